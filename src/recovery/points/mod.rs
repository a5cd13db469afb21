//! Restore points: made, listed, named, measured and read.
//!
//! * `point`: making, listing, finding and viewing them
//! * `selector`: how a person names one; `resolve`: which one is meant
//! * `lost`: records that a repair has lost of one
//! * `size`: the bytes that forgetting one would free
//! * `versions`: the history of one record
//! * `short_ids`: ids as short as they can be typed
//! * `collections`: any collection and record by name
//! * `history`: the history of every commit, and its window

pub(crate) mod collections;
pub(crate) mod history;
pub(crate) mod lost;
pub(crate) mod point;
pub(crate) mod resolve;
pub(crate) mod selector;
pub(crate) mod short_ids;
pub(crate) mod size;
pub(crate) mod versions;

#[cfg(test)]
mod pre_images_test;
#[cfg(test)]
mod versions_test;
