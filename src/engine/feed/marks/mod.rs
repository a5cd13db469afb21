//! The rows and the sums that a feed keeps of a store.
//!
//! * `row`: the row `feed` of `meta`, and the names of the rows that stay in their store
//! * `changed_keys`: the keys that a transaction of redb has changed, noted while the feed is on
//! * `states`: the count, bytes and digest of every collection

pub(super) mod changed_keys;
pub(super) mod row;
#[cfg(any(test, feature = "replica"))]
pub(super) mod states;
