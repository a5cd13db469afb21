//! Shipping a store, and all that its process does beside it.
//!
//! * `init`: the beginning of a replica; `replicator`: shipping on a thread of its own, with its `options` and its
//!   `shipping_status`
//! * `source`: the store that is shipped; `ship`: its term and bases; `outgoing`: its commits; `base`: one base;
//!   `base_tries`: what follows when it fails
//! * `tending`: the work beside shipping; `collect`: announces and decides what is old; `old_objects`: deletes it
//! * `fencing`: the end of shipping when another process has taken over, with the errors in `overtaken`

pub(crate) mod base;
mod base_tries;
pub(crate) mod collect;
mod fencing;
pub(crate) mod init;
mod old_objects;
pub(crate) mod options;
pub(super) mod outgoing;
pub(crate) mod overtaken;
pub(crate) mod replicator;
pub(crate) mod ship;
pub(crate) mod shipping_status;
pub(crate) mod source;
mod tending;

#[cfg(test)]
mod away_test;
#[cfg(test)]
mod base_test;
#[cfg(test)]
mod collect_test;
#[cfg(test)]
mod collected_test;
#[cfg(test)]
mod fencing_test;
#[cfg(test)]
mod lost_answers_test;
#[cfg(test)]
mod replicated_test;
#[cfg(test)]
mod shared_test;
#[cfg(test)]
pub(super) mod ship_test;
#[cfg(test)]
mod tending_test;
