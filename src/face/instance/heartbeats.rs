//! Heartbeats are gathered for up to a second and written together: a fleet of a thousand bots costs one commit a
//! second, not a thousand. One that has not been written yet is seen all the same by whoever asks this service.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;

use crate::engine::store::Store;
use crate::error::{ErrorKind, Result};
use crate::recovery::background::{Background, Stop};
use crate::state::ids::BotId;

/// No heartbeat waits longer.
const GATHERED_FOR: Duration = Duration::from_millis(900);

/// The thread that writes them. It writes the last ones when it is dropped.
#[derive(Debug)]
pub(crate) struct Heartbeats {
    gathered: Arc<Gathered>,
    _thread: Background,
}

/// When each bot was heard of, as far as that has not been written yet.
type Gathered = Mutex<BTreeMap<BotId, Timestamp>>;

impl Heartbeats {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// `Io` when no thread can be started.
    pub(crate) fn start(store: Store) -> Result<Self> {
        let gathered = Arc::<Gathered>::default();
        let own = gathered.clone();
        let thread = Background::start("hivekeep-heartbeats", move |stop| run(&store, &own, stop))?;
        Ok(Self { gathered, _thread: thread })
    }

    /// Notes when a bot was heard of.
    pub(crate) fn note(&self, bot: BotId, at: Timestamp) {
        self.gathered.lock().insert(bot, at);
    }

    /// When a bot was heard of, if that has not been written yet.
    pub(crate) fn of(&self, bot: &BotId) -> Option<Timestamp> {
        self.gathered.lock().get(bot).copied()
    }

    /// Forgets what was noted of a bot, as it is not there any more.
    pub(crate) fn forget(&self, bot: &BotId) {
        self.gathered.lock().remove(bot);
    }
}

fn run(store: &Store, gathered: &Gathered, stop: &Stop) {
    loop {
        let stop = stop.within(GATHERED_FOR);
        let bots = gathered.lock().clone();
        if !bots.is_empty() {
            match write(store, &bots) {
                Ok(()) => gathered.lock().retain(|bot, at| bots.get(bot) != Some(at)),
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
