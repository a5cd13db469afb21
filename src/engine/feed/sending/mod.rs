//! A store whose commits are for a replica.
//!
//! * `of_store`: beginning, reading and ending the feed; `of_file`: reading that of a file that is only looked at;
//!   `dump`: every row of one moment
//! * `outbox`: the rows of the changed keys, from their commit on; `kept`: the feed of a damaged file
//! * `told`: how far the replica is, as this process was told; and whether it may go on writing
//! * `awaited`: the writes that wait until the replica has them; `shipping`: their verbs, and those of whoever ships
//! * `lease`: until when the process that ships may write
//! * `shipping_lock`: the one process that ships a store; `unshipped`: the commits that wait for it

#[cfg(any(test, feature = "replica"))]
pub(super) mod awaited;
#[cfg(any(test, feature = "replica"))]
pub(super) mod dump;
pub(super) mod kept;
pub(super) mod lease;
#[cfg(feature = "replica")]
mod of_file;
#[cfg(any(test, feature = "replica"))]
pub(super) mod of_store;
pub(in crate::engine) mod outbox;
#[cfg(any(test, feature = "replica"))]
pub(super) mod shipping;
#[cfg(feature = "transfer")]
pub(super) mod shipping_lock;
pub(super) mod told;
#[cfg(feature = "transfer")]
pub(super) mod unshipped;

#[cfg(test)]
mod awaited_test;
#[cfg(all(test, feature = "replica"))]
mod lease_test;
