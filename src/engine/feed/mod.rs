//! The feed of a store: the rows of every commit, in order and without loss, for a replica elsewhere; and a store that
//! gets them.
//!
//! A commit in the log is read from there. One that goes straight into redb, or moves there before a replica has it,
//! leaves its rows in the *outbox*: rows of `meta`, in the same transaction. So the feed survives every kill, and a
//! commit by another process of a shared store is in it too. It is off until it is begun.
//!
//! * `row`: the row `feed` of `meta`, and the names of the rows that stay in their store
//! * `changed_keys`: the keys that a transaction of redb has changed, noted while the feed is on; `outbox`: what
//!   becomes of them at its commit
//! * `kept`: the feed of a damaged file
//! * `told`: how far the replica is, as this process was told; and whether it may go on writing
//! * `awaited`: the writes that wait until the replica has them; `shipping`: their verbs, and those of whoever ships
//! * `lease`: until when the process that ships may write
//! * `fence`: a store whose history another machine goes on with, so that no process writes to it; `overtaken`: its row
//! * `shipping_lock`: the one process that ships a store; `unshipped`: the commits that wait for it
//! * `known_place`: the commit and the time of a place in a replica
//! * `states`: the count, bytes and digest of every collection
//! * `of_store`: beginning, reading and ending the feed; `of_file`: reading that of a file that is only looked at;
//!   `dump`: every row of one moment
//! * `standby`: a store that gets the commits of another one, and that nobody else writes to; `receive`: filling it,
//!   and applying commits to it; `counted`: the proof that the rows are those of the source; `leave`: the end of being
//!   one

#[cfg(any(test, feature = "replica"))]
mod awaited;
#[cfg(test)]
mod awaited_test;
mod changed_keys;
#[cfg(any(test, feature = "replica"))]
mod counted;
#[cfg(any(test, feature = "replica"))]
mod dump;
mod fence;
#[cfg(test)]
mod fence_test;
mod kept;
#[cfg(feature = "transfer")]
mod known_place;
mod lease;
#[cfg(all(test, feature = "replica"))]
mod lease_test;
#[cfg(any(test, feature = "replica"))]
mod leave;
#[cfg(feature = "replica")]
mod of_file;
#[cfg(any(test, feature = "replica"))]
mod of_store;
pub(in crate::engine) mod outbox;
mod overtaken;
#[cfg(any(test, feature = "replica"))]
mod receive;
mod row;
#[cfg(any(test, feature = "replica"))]
mod shipping;
#[cfg(feature = "transfer")]
mod shipping_lock;
mod standby;
#[cfg(any(test, feature = "replica"))]
mod states;
#[cfg(test)]
mod test;
mod told;
#[cfg(feature = "transfer")]
mod unshipped;

#[cfg(any(test, feature = "replica"))]
pub(in crate::engine) use self::awaited::Awaited;
pub(crate) use self::changed_keys::ChangedKeys;
#[cfg(feature = "replica")]
pub(crate) use self::counted::WholeState;
#[cfg(feature = "replica")]
pub(crate) use self::dump::Dump;
pub(in crate::engine) use self::kept::KeptFeed;
pub(in crate::engine) use self::lease::WriteLease;
#[cfg(all(test, feature = "replica"))]
pub(crate) use self::leave::{LEAP, LEAP_SPREAD};
#[cfg(feature = "replica")]
pub(crate) use self::leave::{Numbers, Resumed};
#[cfg(any(test, feature = "replica"))]
pub(crate) use self::of_store::Fed;
#[cfg(feature = "replica")]
pub(crate) use self::of_store::FedCommit;
#[cfg(feature = "transfer")]
pub(crate) use self::overtaken::Fence;
#[cfg(feature = "replica")]
pub(crate) use self::receive::{ReceivedCommit, Receiver};
pub(crate) use self::row::is_local;
#[cfg(feature = "replica")]
pub(crate) use self::shipping::AwaitedShipping;
#[cfg(feature = "replica")]
pub(crate) use self::shipping_lock::{FollowingLock, ShippingLock};
#[cfg(feature = "transfer")]
pub(crate) use self::standby::Standby;
#[cfg(feature = "replica")]
pub(crate) use self::states::States;
pub(crate) use self::told::Told;
#[cfg(feature = "transfer")]
pub(crate) use self::unshipped::Unshipped;
