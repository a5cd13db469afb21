//! Records the changes of an actor, in the transaction of the change. The layer above knows how.

use crate::engine::acting::Acting;
use crate::engine::commit::{Outcome, TransactionWork};
use crate::engine::write::WriteTx;
use crate::error::Result;

/// Records the acts of an actor.
pub(crate) trait Recorder: Send + Sync {
    /// Refuses an actor who may no longer write.
    fn admit(&self, tx: &WriteTx<'_>) -> Result<()>;

    /// Appends the entry of an action of the actor.
    fn record(&self, tx: &mut WriteTx<'_>, action: &'static str, target: Option<&str>) -> Result<()>;
}

/// The actor of a handle, and how its changes are written down.
#[derive(Clone)]
pub(crate) struct RecordedHandle {
    pub(crate) acting: Acting,
    pub(crate) recorder: &'static dyn Recorder,
}

impl RecordedHandle {
    /// Does the work of a transaction, and records the action that it is part of if it changed
    /// anything. Returns whether it did.
    pub(super) fn within(&self, tx: &mut WriteTx<'_>, work: TransactionWork<'_>) -> Result<(Outcome<()>, bool)> {
        tx.acting = Some(self.acting.clone());
        self.recorder.admit(tx)?;
        let before = tx.row_changes();
        let done = work(tx)?;
        let Some(whole) = self.acting.unrecorded().filter(|_| tx.row_changes() != before) else {
            return Ok((done, false));
        };
        self.recorder.record(tx, whole.action, whole.target.as_deref())?;
        Ok((done, true))
    }
}
