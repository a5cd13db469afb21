//! The verbs of whoever ships a store, with a lease or without, and of the writes that wait for it.

use std::sync::Arc;
use std::time::Duration;

use super::awaited::{Moment, Running};
#[cfg(feature = "replica")]
use crate::clock::boot_time;
#[cfg(feature = "replica")]
use crate::engine::redb_file::FileId;
use crate::engine::store::Store;
use crate::error::Result;

/// The shipping of a store by this process, for as long as it exists. Its end wakes all writes that wait.
pub(crate) struct AwaitedShipping {
    store: Store,
    number: u64,
}

impl AwaitedShipping {
    /// Calls this when a write waits. It must return at once.
    pub(crate) fn wake_by(&self, wake: Arc<dyn Fn() + Send + Sync>) {
        self.change(|running| running.wake = Some(wake));
    }

    /// Notes whether the replica was reached.
    pub(crate) fn note_reached(&self, is_reached: bool) {
        self.change(|running| running.note_answered(is_reached));
    }

    /// Gives the writes that were answered just now a moment to come back, so that threads which write back to back
    /// share the next object.
    pub(crate) fn gather(&self, most: Duration) {
        self.store.inner.context.awaited.gather(most);
    }

    fn change(&self, change: impl FnOnce(&mut Running)) {
        self.store.inner.context.awaited.change(self.number, change);
    }
}

impl Drop for AwaitedShipping {
    fn drop(&mut self) {
        self.store.inner.context.awaited.end(Some(self.number));
        // Another process may ship from now on, and write down its own place.
        if self.store.is_shared() {
            self.store.inner.context.told.forget_shipped();
        }
    }
}

impl Store {
    /// Begins to ship the store, for writes that wait for the replica, each for `limit` at most.
    pub(crate) fn begin_shipping(&self, limit: Duration) -> AwaitedShipping {
        AwaitedShipping { store: self.clone(), number: self.inner.context.awaited.begin(limit) }
    }

    /// The replica of the feed with that number has every commit up to a sequence. Answers the writes that wait for
    /// them.
    pub(crate) fn note_replicated(&self, feed: u64, sequence: u64) {
        self.inner.context.awaited.note(Moment { feed, sequence });
    }

    /// A request to the replica begins on which the writes that wait depend, or was answered. While none is answered
    /// for longer than a write waits, further ones are refused.
    pub(crate) fn note_answered(&self, is_answered: bool) {
        self.inner.context.awaited.note_answered(is_answered);
    }

    /// Refuses a write that would wait for the replica in vain, before anything is written.
    ///
    /// # Errors
    ///
    /// `Conflict` when this process does not ship the store; `NotCommitted` when the replica has been away for longer
    /// than a write waits.
    pub(in crate::engine) fn refuse_unless_shipped(&self) -> Result<()> {
        self.inner.context.awaited.refuse_unless_shipped()
    }

    /// Waits until the replica has everything that this store has now.
    ///
    /// # Errors
    ///
    /// An error of any kind, once that can no longer be told.
    pub(in crate::engine) fn wait_for_replica(&self) -> Result<()> {
        let moment = self.newest_moment()?;
        self.inner.context.awaited.wait(moment, || self.inner.context.told.refuse_fenced())
    }
}

#[cfg(feature = "replica")]
impl Store {
    /// Whether this process must have a lease to write: at first it has none.
    pub(crate) fn need_lease(&self, is_needed: bool) {
        self.inner.context.lease.set(is_needed.then_some(Duration::ZERO));
    }

    /// A text that stands for the file of the store, until the machine is started anew; none where that cannot be told.
    pub(crate) fn file_of_boot(&self) -> Option<String> {
        self.inner.context.place.id().and_then(FileId::of_boot)
    }

    /// For how long this process may still write; none if it needs no lease.
    pub(crate) fn lease_left(&self) -> Option<Duration> {
        self.inner.context.lease.until().map(|until| until.saturating_sub(boot_time()))
    }

    /// This process may write until then, by [`boot_time`].
    pub(crate) fn hold_lease(&self, until: Duration) {
        self.inner.context.lease.set(Some(until));
    }
}
