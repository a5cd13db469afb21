//! The receiver of committed events, which hears of them before their writers do, such as a log file.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use parking_lot::RwLock;

use crate::engine::write::WriteTx;
use crate::error::Result;

/// Takes the events of a store somewhere else.
pub(crate) trait Sink: Send + Sync {
    /// Writes something into a transaction that has events, before it is committed.
    fn committing(&self, tx: &mut WriteTx<'_>) -> Result<()>;

    /// Called after events were committed, before the writing calls return. It may read the store; writing to it
    /// would wait for itself.
    fn committed(&self);

    /// Called from time to time, for events of other processes.
    fn tend(&self) -> Result<()>;

    /// The state of the sink.
    fn state(&self) -> SinkState;
}

/// The state of a sink.
#[derive(Clone, Debug, Default)]
pub(crate) struct SinkState {
    /// Why it cannot take events.
    pub(crate) error: Option<String>,
    /// How often it failed.
    pub(crate) failures: u64,
}

/// The sink of a store, if it has one.
#[derive(Default)]
pub(crate) struct SinkSlot(RwLock<Option<Arc<dyn Sink>>>);

impl SinkSlot {
    pub(crate) fn set(&self, sink: Arc<dyn Sink>) {
        *self.0.write() = Some(sink);
    }

    pub(crate) fn clear(&self) {
        *self.0.write() = None;
    }

    pub(crate) fn get(&self) -> Option<Arc<dyn Sink>> {
        self.0.read().clone()
    }

    /// Lets the sink write into a transaction that has events.
    pub(crate) fn prepare(&self, tx: &mut WriteTx<'_>) -> Result<()> {
        self.get().filter(|_| tx.batch.has_events).map_or(Ok(()), |sink| sink.committing(tx))
    }

    /// Notifies the sink of events that were committed.
    pub(crate) fn notify(&self) {
        let Some(sink) = self.get() else { return };
        // The callers whose commit this was are still to be answered.
        if catch_unwind(AssertUnwindSafe(|| sink.committed())).is_err() {
            tracing::error!("writing the event log panicked");
        }
    }
}
