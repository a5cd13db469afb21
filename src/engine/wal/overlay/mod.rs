//! The rows of a log, which lie over those of redb.
//!
//! * `layer`: rows that lie over others; `maps`: those of entries that redb does not have, by number;
//!   `gaps`: ranges in which there is none
//! * `write_set`: those that a closure has written
//! * `bell`: wakes the checkpointer when they are many

pub(super) mod bell;
mod gaps;
pub(super) mod layer;
pub(super) mod maps;
pub(super) mod write_set;

#[cfg(test)]
mod reading_test;
