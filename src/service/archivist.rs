//! Makes the automatic archives, on a thread of its own: one of a large store takes a while,
//! and nothing else may wait for it.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::engine::store::Store;
use crate::error::{ErrorKind, Result};
use crate::recovery::upkeep::background::{Background, Stop};
use crate::recovery::upkeep::work::{Work, note};
use crate::service::steward::Steward;
use crate::transfer::archive::ArchiveSchedule;

/// How often it looks whether one is due.
const TICK: Duration = Duration::from_secs(1);
/// A service that is started for a moment makes none.
const FIRST_AFTER: Duration = Duration::from_secs(10);

/// A running thread that makes the archives that are due. It stops when it is dropped.
#[derive(Debug)]
pub(crate) struct Archivist {
    error: Arc<Known>,
    _thread: Background,
}

/// The error of the last one. Written by the thread, read by every request for it.
type Known = Mutex<Option<String>>;

impl Archivist {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// `Io` when no thread can be started.
    pub(crate) fn start(store: Store, schedule: ArchiveSchedule, steward: Arc<Steward>) -> Result<Self> {
        let error = Arc::<Known>::default();
        let own = error.clone();
        let thread = Background::start("hivekeep-archivist", move |stop| run(&store, &schedule, &steward, &own, stop))?;
        Ok(Self { error, _thread: thread })
    }

    /// The error of the last one, if it failed.
    pub(crate) fn error(&self) -> Option<String> {
        self.error.lock().clone()
    }
}

fn run(store: &Store, schedule: &ArchiveSchedule, steward: &Steward, known: &Known, stop: &Stop) {
    let mut pause = FIRST_AFTER.min(schedule.every);
    while !stop.within(pause) {
        pause = TICK;
        // The machine that has the history makes them.
        if store.is_left_alone() {
            *known.lock() = None;
            continue;
        }
        match store.auto_archive(schedule) {
            Err(_) if store.is_closed() => return,
            // The file is being opened again, of which somebody else tells.
            Err(error) if error.kind() == ErrorKind::Reopen => {}
            // That none was due says nothing of how the last one went.
            Ok(None) => {}
            made => note(Work::Archive, &mut known.lock(), made.err(), store, steward),
        }
    }
}
