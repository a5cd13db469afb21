//! Heartbeats are gathered for up to a second and written together: a fleet of a thousand bots costs one commit a
//! second, not a thousand. One that has not been written yet is seen all the same by whoever asks this service.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::{Condvar, Mutex};

use crate::engine::store::Store;
use crate::error::{ErrorKind, Result};
use crate::state::ids::BotId;

/// No heartbeat waits longer.
const GATHERED_FOR: Duration = Duration::from_millis(900);

/// The thread that writes them. It writes the last ones when it is dropped.
#[derive(Debug)]
pub(crate) struct Heartbeats {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    gathered: Mutex<Gathered>,
    stopped: Condvar,
}

/// Read and written by whoever holds the mutex.
#[derive(Debug, Default)]
struct Gathered {
    bots: BTreeMap<BotId, Timestamp>,
    stop: bool,
}

impl Heartbeats {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// `Io` when no thread can be started.
    pub(crate) fn start(store: Store) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let own = shared.clone();
        let thread = std::thread::Builder::new().name("hivekeep-heartbeats".into());
        let thread = thread.spawn(move || run(&store, &own))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Notes when a bot was heard of.
    pub(crate) fn note(&self, bot: BotId, at: Timestamp) {
        self.shared.gathered.lock().bots.insert(bot, at);
    }

    /// When a bot was heard of, if that has not been written yet.
    pub(crate) fn of(&self, bot: &BotId) -> Option<Timestamp> {
        self.shared.gathered.lock().bots.get(bot).copied()
    }

    /// Forgets what was noted of a bot, as it is not there any more.
    pub(crate) fn forget(&self, bot: &BotId) {
        self.shared.gathered.lock().bots.remove(bot);
    }
}

impl Drop for Heartbeats {
    fn drop(&mut self) {
        self.shared.gathered.lock().stop = true;
        self.shared.stopped.notify_all();
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was its own end; there is nobody left to tell.
            let _ended = thread.join();
        }
    }
}

fn run(store: &Store, shared: &Shared) {
    loop {
        let mut gathered = shared.gathered.lock();
        if !gathered.stop {
            shared.stopped.wait_for(&mut gathered, GATHERED_FOR);
        }
        let (bots, stop) = (gathered.bots.clone(), gathered.stop);
        drop(gathered);
        if !bots.is_empty() {
            match write(store, &bots) {
                Ok(()) => shared.gathered.lock().bots.retain(|bot, at| bots.get(bot) != Some(at)),
                Err(error) => tracing::warn!(%error, "heartbeats could not be written; they are tried again"),
            }
        }
        if stop {
            return;
        }
    }
}

/// Writes them in one transaction. A bot that has been removed since is passed over.
fn write(store: &Store, bots: &BTreeMap<BotId, Timestamp>) -> Result<()> {
    store.write(|tx| {
        for (bot, at) in bots {
            match tx.registry().heartbeat(bot, *at) {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                noted => noted?,
            }
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::registry::Bot;

    #[test]
    fn what_is_gathered_is_written_at_the_latest_when_it_ends() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("h.redb")).unwrap();
        let (bot, gone) = (BotId::new("BOT-1").unwrap(), BotId::new("BOT-2").unwrap());
        store.write(|tx| tx.registry().put(&Bot::new(bot.clone()))).unwrap();
        let at = "2026-01-02T03:04:05Z".parse().unwrap();
        let heartbeats = Heartbeats::start(store.clone()).unwrap();
        heartbeats.note(bot.clone(), at);
        heartbeats.note(gone, at);
        drop(heartbeats);
        assert_eq!(store.view().unwrap().registry().get(&bot).unwrap().unwrap().last_heartbeat, Some(at));
    }
}
