//! Does bulk changes of tasks, on a thread of its own, so that they outlive the request that began
//! them and a restart of the service.

use std::time::Duration;

use crate::engine::store::Store;
use crate::error::{ErrorKind, Result};
use crate::recovery::upkeep::background::{Background, Stop};

/// How often it looks for one that nobody continues, such as that of a command that was killed.
const PERIOD: Duration = Duration::from_secs(10);

/// A running thread. It stops when it is dropped, between two parts of a change.
#[derive(Debug)]
pub(crate) struct BulkWorker {
    thread: Background,
}

impl BulkWorker {
    /// Starts the thread, which goes on with a change that was left in the middle.
    ///
    /// # Errors
    ///
    /// `Io` when no thread can be started.
    pub(crate) fn start(store: Store) -> Result<Self> {
        Ok(Self { thread: Background::start("hivekeep-bulk", move |stop| run(&store, stop))? })
    }

    /// Tells it that a change was begun.
    pub(crate) fn wake(&self) {
        self.thread.wake();
    }
}

fn run(store: &Store, stop: &Stop) {
    loop {
        // The machine that has the history continues them.
        if store.is_left_alone() {
            if stop.within(PERIOD) {
                return;
            }
            continue;
        }
        match store.continue_bulk(|_| !stop.pause(Duration::ZERO)) {
            Ok(Some(job)) => {
                tracing::info!(id = job.id, state = job.state.as_str(), changed = job.changed, "a bulk change");
            }
            Ok(None) => {}
            Err(_) if store.is_closed() => return,
            // The file is being opened again, of which somebody else tells.
            Err(error) if error.kind() == ErrorKind::Reopen => {}
            Err(error) => tracing::warn!(%error, "a bulk change could not be continued, and is tried again"),
        }
        if stop.within(PERIOD) {
            return;
        }
    }
}
