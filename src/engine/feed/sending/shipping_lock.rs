//! The one process of a store that ships it: it holds a byte of the file of sessions, and one of the store's file if
//! others may share that, since the file of sessions may be removed or replaced.

use std::ops::Bound;
#[cfg(feature = "replica")]
use std::thread::sleep;
#[cfg(feature = "replica")]
use std::time::{Duration, Instant};

#[cfg(feature = "replica")]
use crate::engine::redb_file::BackendError;
use crate::engine::redb_file::{OwnFile, StorageBackend, WRITER};
use crate::engine::session::session_locks::SessionLocks;
use crate::engine::store::Store;
use crate::error::Result;
#[cfg(feature = "replica")]
use crate::error::{Error, ErrorKind};

/// Between two looks whether the process that ships has ended.
#[cfg(feature = "replica")]
const LOOK: Duration = Duration::from_millis(20);

/// The byte of the store's file. A process that has the file for itself holds it anyway, as redb locks it then.
const SHIPPER: Bound<u64> = Bound::Included(WRITER - 2);

/// Until this is dropped, no other process ships the store. The kernel ends it with the process.
#[cfg(feature = "replica")]
#[derive(Debug)]
pub(crate) struct ShippingLock {
    _sessions: SessionLocks,
    _file: Option<OwnFile>,
}

/// Until this is dropped, no other process follows the replica of the copy, promotes it or takes it over, and all see
/// that one does. Such a process takes the place of the one that ships: nobody ships a copy.
#[cfg(feature = "replica")]
#[derive(Debug)]
pub(crate) struct FollowingLock {
    _file: OwnFile,
}

#[cfg(feature = "replica")]
impl Store {
    /// Lets this process alone follow with the copy, or end it, and shows others that it does.
    ///
    /// # Errors
    ///
    /// `Locked` when another one does; `Moved` when another file has the path since the copy was opened; `Io`.
    pub(crate) fn lock_following(&self) -> Result<FollowingLock> {
        let file = OwnFile::write(self.path())?;
        if !hold(&file)? {
            let message = "a standby keeps this copy up to date, or another program takes it over; stop that one first";
            return Err(Error::new(ErrorKind::Locked, format!("{message}: copy={}", self.path().display())));
        }
        // It may have got its name behind the opening.
        self.refuse_moved()?;
        Ok(FollowingLock { _file: file })
    }

    /// Lets this process alone ship the store. Another one that does so may end within `wait`.
    ///
    /// # Errors
    ///
    /// `Locked` when it does not; `Io`.
    pub(crate) fn lock_shipping(&self, wait: Duration) -> Result<ShippingLock> {
        self.refuse_forked()?;
        let (sessions, begun) = (SessionLocks::open(self.path())?, Instant::now());
        let file = self.is_shared().then(|| OwnFile::write(self.path())).transpose()?;
        while !sessions.hold_shipping()? || !file.as_ref().map_or(Ok(true), hold)? {
            if begun.elapsed() >= wait {
                let message = "another process ships this store to its replica, and one is enough; stop that one first";
                return Err(Error::new(ErrorKind::Locked, format!("{message}: store={}", self.path().display())));
            }
            sleep(LOOK);
        }
        Ok(ShippingLock { _sessions: sessions, _file: file })
    }
}

/// Holds the byte of the store's file; says whether nobody else does. Where ranges cannot be locked, only one process
/// can have the file open anyway.
#[cfg(feature = "replica")]
fn hold(file: &OwnFile) -> Result<bool> {
    match file.try_lock_range(SHIPPER, SHIPPER) {
        Err(BackendError::Unsupported) => Ok(true),
        held => held.map_err(|source| Error::new(ErrorKind::Io, format!("the store cannot be locked: {source}"))),
    }
}

impl Store {
    /// Whether a process ships the store, also this one, or keeps it up to date if it is a copy.
    ///
    /// # Errors
    ///
    /// `Io`.
    pub(crate) fn is_shipped(&self) -> Result<bool> {
        // Nobody keeps a copy up to date in whose place another file is.
        if self.was_replaced() {
            return Ok(false);
        }
        if self.is_shared() {
            return Ok(OwnFile::read(self.path())?.query_lock_range(SHIPPER, SHIPPER).unwrap_or(false));
        }
        Ok(SessionLocks::look(self.path())?.is_some_and(|locks| locks.somebody_ships()))
    }
}
