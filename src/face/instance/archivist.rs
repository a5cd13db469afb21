//! Makes the automatic archives, on a thread of its own: one of a large store takes a while, and nothing else may wait for it.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::engine::store::Store;
use crate::error::{ErrorKind, Result};
use crate::face::instance::steward::Steward;
use crate::recovery::scheduler::{Attendant, Work};
use crate::transfer::archive::ArchiveSchedule;

/// How often it looks whether one is due.
const TICK: Duration = Duration::from_secs(1);
/// A service that is started for a moment makes none.
const FIRST_AFTER: Duration = Duration::from_secs(10);

/// A running thread that makes what is due. It stops when it is dropped.
#[derive(Debug)]
pub(crate) struct Archivist {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    /// What went wrong with the last one. Written by the thread, read by whoever asks.
    error: Mutex<Option<String>>,
    stop: Mutex<bool>,
    stopped: Condvar,
}

impl Archivist {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// `Io` when no thread can be started.
    pub(crate) fn start(store: Store, schedule: ArchiveSchedule, steward: Arc<Steward>) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let own = shared.clone();
        let thread = std::thread::Builder::new().name("hivekeep-archivist".into());
        let thread = thread.spawn(move || own.run(&store, &schedule, &steward))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// What went wrong with the last one, if anything did.
    pub(crate) fn error(&self) -> Option<String> {
        self.shared.error.lock().clone()
    }
}

impl Drop for Archivist {
    fn drop(&mut self) {
        *self.shared.stop.lock() = true;
        self.shared.stopped.notify_all();
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was its own end; there is nobody left to tell.
            let _ended = thread.join();
        }
    }
}

impl Shared {
    fn run(&self, store: &Store, schedule: &ArchiveSchedule, steward: &Steward) {
        if self.stops_within(FIRST_AFTER.min(schedule.every)) {
            return;
        }
        loop {
            let made = store.auto_archive(schedule);
            if matches!(&made, Err(error) if error.kind() == ErrorKind::Reopen) {
                return;
            }
            match made {
                // That none was due says nothing of how the last one went.
                Ok(None) => {}
                made => self.note(made.err().map(|error| error.to_string()), store, steward),
            }
            if self.stops_within(TICK) {
                return;
            }
        }
    }

    /// Keeps how it has gone, and tells of it when it has begun to fail, or fails in another way.
    fn note(&self, error: Option<String>, store: &Store, steward: &Steward) {
        let mut known = self.error.lock();
        if let Some(error) = error.as_deref().filter(|error| Some(*error) != known.as_deref()) {
            store.tell_failure(Work::Archive, error);
            steward.failed(Work::Archive, error);
        }
        *known = error;
    }

    /// Waits that long, and says whether it is to stop.
    fn stops_within(&self, time: Duration) -> bool {
        let until = Instant::now() + time;
        let mut stop = self.stop.lock();
        while !*stop && !self.stopped.wait_until(&mut stop, until).timed_out() {}
        *stop
    }
}
