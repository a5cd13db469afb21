//! R12: the lease of the process that ships a store. It writes only as long as the replica answers it, so that a standby
//! which waits for longer than that knows that nobody is told of a commit any more.

use std::time::Duration;

use parking_lot::Mutex;

#[cfg(any(test, feature = "replica"))]
use crate::clock::boot_time;
#[cfg(feature = "replica")]
use crate::engine::store::Store;
use crate::error::Result;
#[cfg(any(test, feature = "replica"))]
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
        #[cfg(any(test, feature = "replica"))]
        if self.0.lock().is_some_and(|until| boot_time() >= until) {
            let message = "this process may not write now: the replica has not answered for too long, or has not begun \
                           to, and another machine may have taken over; it may again once the replica answers";
            return Err(Error::new(ErrorKind::NotCommitted, message));
        }
        Ok(())
    }

    #[cfg(feature = "replica")]
    fn until(&self) -> Option<Duration> {
        *self.0.lock()
    }

    /// Until that time of [`boot_time`] writes are answered; with none, always.
    #[cfg(any(test, feature = "replica"))]
    pub(super) fn set(&self, until: Option<Duration>) {
        *self.0.lock() = until;
    }
}

#[cfg(feature = "replica")]
impl Store {
    /// Whether this process must have a lease to write: at first it has none.
    pub(crate) fn need_lease(&self, is_needed: bool) {
        self.inner.context.lease.set(is_needed.then_some(Duration::ZERO));
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

#[cfg(all(test, feature = "replica"))]
mod tests {
    use super::*;
    use crate::engine::options::Durability;
    use crate::engine::records::Records;
    use crate::engine::schema::CollectionId;

    const C: CollectionId = CollectionId::CONFIG;
    const SOON: Duration = Duration::from_millis(300);

    #[test]
    fn nothing_is_written_without_the_lease_and_nobody_is_answered_behind_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::options().open_with(&folder.path().join("h.redb"), &[]).unwrap();
        let put = |store: &Store, value: u8, wait: Duration| {
            store.write(|tx| {
                std::thread::sleep(wait);
                tx.put(C, b"key", &[value])
            })
        };
        let kind = |done: Result<()>| done.unwrap_err().kind();
        let get = || store.view().unwrap().get(C, b"key").unwrap();
        put(&store, 1, Duration::ZERO).unwrap();
        assert_eq!(store.lease_left(), None);
        store.need_lease(true);
        for handle in [store.clone(), store.with_durability(Durability::Disk)] {
            assert_eq!(kind(put(&handle, 2, Duration::ZERO)), ErrorKind::NotCommitted);
        }
        assert_eq!(get(), Some(vec![1]));
        store.hold_lease(boot_time() + Duration::from_secs(60));
        put(&store, 3, Duration::ZERO).unwrap();
        // It begins in time, and ends late.
        store.hold_lease(boot_time() + SOON);
        assert_eq!(kind(put(&store, 4, 2 * SOON)), ErrorKind::Uncertain);
        assert_eq!(get(), Some(vec![4]));
        store.hold_lease(boot_time() + SOON);
        let looked = store.write(|tx| {
            std::thread::sleep(2 * SOON);
            tx.get(C, b"key").map(drop)
        });
        assert_eq!(kind(looked), ErrorKind::NotCommitted);
        // Nobody is answered for this.
        put(&store.locally(), 5, Duration::ZERO).unwrap();
        store.need_lease(false);
        put(&store, 6, Duration::ZERO).unwrap();
    }
}
