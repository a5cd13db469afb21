//! Looks for events of other processes, so that the event log has their lines too. Those of this one are in it at once.

use std::time::Duration;

use crate::engine::store::Store;
use crate::error::{ErrorKind, Result};
use crate::recovery::upkeep::background::{Background, Stop};

/// How often it looks for new events.
const PERIOD: Duration = Duration::from_millis(300);

/// The thread that looks.
#[derive(Debug)]
pub(crate) struct Mirror {
    _thread: Background,
}

impl Mirror {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// `Io` when no thread can be started.
    pub(crate) fn start(store: Store) -> Result<Self> {
        Ok(Self { _thread: Background::start("hivekeep-event-log", move |stop| run(&store, stop))? })
    }
}

fn run(store: &Store, stop: &Stop) {
    while !stop.within(PERIOD) {
        match store.tend_event_log() {
            Ok(()) => {}
            Err(_) if store.is_closed() => return,
            // The file is being opened again, of which somebody else tells.
            Err(error) if error.kind() == ErrorKind::Reopen => {}
            Err(error) => tracing::warn!(%error, "the progress of the event log could not be stored"),
        }
    }
}
