//! The feed of a store: the rows of every commit, in order and without loss, for a replica elsewhere; and a store that
//! gets them.
//!
//! A commit in the log is read from there. One that goes straight into redb, or moves there before a replica has it,
//! leaves its rows in the *outbox*: rows of `meta`, in the same transaction. So the feed survives every kill, and a
//! commit by another process of a shared store is in it too. It is off until it is begun.
//!
//! * `marks`: the row of the feed, and what it notes of the store
//! * `sending`: a store whose commits are for a replica
//! * `receiving`: a store that gets them, and one that was overtaken

mod marks;
mod receiving;
pub(crate) mod sending;
#[cfg(test)]
mod test;

pub(crate) use self::marks::changed_keys::ChangedKeys;
pub(crate) use self::marks::row::is_local;
#[cfg(feature = "replica")]
pub(crate) use self::marks::states::States;
#[cfg(feature = "replica")]
pub(crate) use self::receiving::counted::WholeState;
#[cfg(all(test, feature = "replica"))]
pub(crate) use self::receiving::leave::{LEAP, LEAP_SPREAD};
#[cfg(feature = "replica")]
pub(crate) use self::receiving::leave::{Numbers, Resumed};
#[cfg(feature = "transfer")]
pub(crate) use self::receiving::overtaken::Fence;
#[cfg(feature = "replica")]
pub(crate) use self::receiving::receive::{ReceivedCommit, Receiver};
#[cfg(feature = "transfer")]
pub(crate) use self::receiving::standby::Standby;
#[cfg(any(test, feature = "replica"))]
pub(in crate::engine) use self::sending::awaited::Awaited;
#[cfg(feature = "replica")]
pub(crate) use self::sending::dump::Dump;
pub(in crate::engine) use self::sending::kept::KeptFeed;
pub(in crate::engine) use self::sending::lease::WriteLease;
#[cfg(any(test, feature = "replica"))]
pub(crate) use self::sending::of_store::Fed;
#[cfg(feature = "replica")]
pub(crate) use self::sending::of_store::FedCommit;
#[cfg(feature = "replica")]
pub(crate) use self::sending::shipping::AwaitedShipping;
#[cfg(feature = "replica")]
pub(crate) use self::sending::shipping_lock::{FollowingLock, ShippingLock};
pub(crate) use self::sending::told::Told;
#[cfg(feature = "transfer")]
pub(crate) use self::sending::unshipped::Unshipped;
