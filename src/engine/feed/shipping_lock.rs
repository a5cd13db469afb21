//! The one process of a store that ships it: it holds a byte of the file of sessions.

#[cfg(feature = "replica")]
use std::thread::sleep;
#[cfg(feature = "replica")]
use std::time::{Duration, Instant};

use crate::engine::session::session_locks::SessionLocks;
use crate::engine::store::Store;
use crate::error::Result;
#[cfg(feature = "replica")]
use crate::error::{Error, ErrorKind};

/// Between two looks whether the process that ships has ended.
#[cfg(feature = "replica")]
const LOOK: Duration = Duration::from_millis(20);

/// Until this is dropped, no other process ships the store. The kernel ends it with the process.
#[cfg(feature = "replica")]
#[derive(Debug)]
pub(crate) struct ShippingLock {
    _held: SessionLocks,
}

#[cfg(feature = "replica")]
impl Store {
    /// Lets this process alone ship the store. Another one that does so may end within `wait`.
    ///
    /// # Errors
    ///
    /// `Locked` when it does not; `Io`.
    pub(crate) fn lock_shipping(&self, wait: Duration) -> Result<ShippingLock> {
        self.refuse_forked()?;
        let (locks, begun) = (SessionLocks::open(self.path())?, Instant::now());
        while !locks.hold_shipping()? {
            if begun.elapsed() >= wait {
                let message = "another process ships this store to its replica, and one is enough; stop that one first";
                return Err(Error::new(ErrorKind::Locked, format!("{message}: store={}", self.path().display())));
            }
            sleep(LOOK);
        }
        Ok(ShippingLock { _held: locks })
    }
}

impl Store {
    /// Whether a process ships the store, also this one.
    ///
    /// # Errors
    ///
    /// `Io`.
    pub(crate) fn is_shipped(&self) -> Result<bool> {
        Ok(SessionLocks::look(self.path())?.is_some_and(|locks| locks.somebody_ships()))
    }
}
