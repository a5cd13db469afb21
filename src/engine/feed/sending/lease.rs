//! R12: the lease of the process that ships a store. It writes only as long as the replica answers it, so that a
//! standby which waits for longer than that knows that nobody is told of a commit any more.

use std::time::Duration;

use parking_lot::Mutex;

#[cfg(feature = "replica")]
use crate::clock::boot_time;
use crate::error::Result;
#[cfg(feature = "replica")]
use crate::error::{Error, ErrorKind};

/// Whether a process may write, and be answered, now.
#[derive(Debug, Default)]
pub(crate) struct WriteLease(Mutex<Option<Duration>>);

impl WriteLease {
    /// Whether there is a lease at all.
    pub(in crate::engine) fn is_needed(&self) -> bool {
        self.0.lock().is_some()
    }

    /// Refuses a write, or its answer, when the lease has run out.
    ///
    /// # Errors
    ///
    /// `NotCommitted` then.
    pub(in crate::engine) fn refuse_lapsed(&self) -> Result<()> {
        #[cfg(feature = "replica")]
        match *self.0.lock() {
            Some(Duration::ZERO) => {
                let message = "this process has no lease to write to the store: it has not begun to ship it to its \
                               replica, or does not ship it any more; see its replication";
                return Err(Error::new(ErrorKind::NotCommitted, message));
            }
            Some(until) if boot_time() >= until => {
                let message = "this process may not write now: the replica has not answered for too long, and another \
                               machine may have taken over; it may again once the replica answers";
                return Err(Error::new(ErrorKind::NotCommitted, message));
            }
            Some(_) | None => {}
        }
        Ok(())
    }

    #[cfg(feature = "replica")]
    pub(super) fn until(&self) -> Option<Duration> {
        *self.0.lock()
    }

    /// Until that time of [`boot_time`] writes are answered; with none, always.
    #[cfg(feature = "replica")]
    pub(super) fn set(&self, until: Option<Duration>) {
        *self.0.lock() = until;
    }
}
