//! The one process of a store that ships it, and holds a byte of the file of sessions; and the commits that wait for
//! it.

#[cfg(any(test, feature = "replica"))]
use std::thread::sleep;
#[cfg(any(test, feature = "replica"))]
use std::time::{Duration, Instant};

use super::row::FeedRow;
use crate::engine::format::codec;
use crate::engine::format::schema::Table;
use crate::engine::meta;
use crate::engine::records::Records;
use crate::engine::session::session_locks::SessionLocks;
use crate::engine::store::Store;
use crate::engine::view::View;
use crate::error::Result;
#[cfg(any(test, feature = "replica"))]
use crate::error::{Error, ErrorKind};

/// Between two looks whether the process that ships has ended.
#[cfg(any(test, feature = "replica"))]
const LOOK: Duration = Duration::from_millis(20);

/// Until this is dropped, no other process ships the store. The kernel ends it with the process.
#[cfg(any(test, feature = "replica"))]
#[derive(Debug)]
pub(crate) struct ShippingLock {
    _held: SessionLocks,
}

#[cfg(any(test, feature = "replica"))]
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

/// The commits that wait for a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unshipped {
    /// The newest commit that the replica has, as far as that was written down.
    pub(crate) shipped: u64,
    /// The bytes of the commits behind it that are kept.
    pub(crate) kept_bytes: u64,
    /// Whether a process ships the store now.
    pub(crate) is_shipped: bool,
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

    /// The commits that wait for a replica; none of a store that has none.
    ///
    /// # Errors
    ///
    /// As a view.
    pub(crate) fn waiting_for_replica(&self, view: &View) -> Result<Option<Unshipped>> {
        let Some(row) = view.row(Table::Meta, meta::FEED)? else { return Ok(None) };
        let FeedRow { shipped, bytes: kept_bytes, .. } = codec::decode(&row)?;
        Ok(Some(Unshipped { shipped, kept_bytes, is_shipped: self.is_shipped()? }))
    }
}
