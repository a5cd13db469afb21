//! The thread that syncs entries of `Durability::System`, which are answered before they are on the disk.
//! The first such answer starts it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// Syncs, and says whether there will be more to sync.
pub(super) type SyncAll = Box<dyn Fn() -> bool + Send>;

/// The time from the first answer to the beginning of the sync; with the sync itself that is about 100 ms.
const SOON: Duration = Duration::from_millis(50);

/// Whether something was answered that is not on the disk yet.
#[derive(Debug)]
pub(crate) struct Unsynced {
    state: Mutex<UnsyncedState>,
    noted: Condvar,
}

#[derive(Debug)]
struct UnsyncedState {
    thread: Thread,
    /// The first answer since the last sync began.
    since: Option<Instant>,
    is_stopped: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Thread {
    NotBegun,
    Runs,
    /// The system has none.
    Missing,
    /// A test syncs by itself.
    NotWanted,
}

impl Unsynced {
    pub(super) fn new(has_threads: bool) -> Self {
        let thread = if has_threads { Thread::NotBegun } else { Thread::NotWanted };
        Self { state: Mutex::new(UnsyncedState { thread, since: None, is_stopped: false }), noted: Condvar::new() }
    }

    /// Notes an answer, and begins the thread that syncs, unless it runs. Says whether somebody will sync it.
    pub(super) fn note(self: &Arc<Self>, sync: impl FnOnce() -> SyncAll) -> bool {
        let mut state = self.state.lock();
        if state.is_stopped {
            return false;
        }
        if state.thread == Thread::NotBegun {
            state.thread = self.begin(sync());
        }
        if state.thread == Thread::Runs && state.since.is_none() {
            state.since = Some(Instant::now());
            self.noted.notify_all();
        }
        state.thread != Thread::Missing
    }

    fn begin(self: &Arc<Self>, sync: SyncAll) -> Thread {
        let own = self.clone();
        let tend = move || while own.wait() && sync() {};
        let spawned = std::thread::Builder::new().name("hivekeep-sync".into()).spawn(tend);
        match spawned {
            Ok(_) => Thread::Runs,
            Err(error) => {
                tracing::warn!(%error, "there is no thread that syncs, so every write waits for the disk");
                Thread::Missing
            }
        }
    }

    /// Waits until there is something to sync. Returns false once the log has stopped.
    fn wait(&self) -> bool {
        let mut state = self.state.lock();
        while !state.is_stopped {
            match state.since.map(|since| since + SOON) {
                None => self.noted.wait(&mut state),
                Some(due) if Instant::now() < due => drop(self.noted.wait_until(&mut state, due)),
                Some(_) => {
                    state.since = None;
                    return true;
                }
            }
        }
        false
    }

    /// The log is used no more.
    pub(crate) fn stop(&self) {
        self.state.lock().is_stopped = true;
        self.noted.notify_all();
    }
}
