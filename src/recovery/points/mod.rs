//! Restore points: made, listed, named, measured and read.
//!
//! * `point`: making, listing, finding and viewing them
//! * `selector`: how a person names one; `resolve`: which one is meant
//! * `lost`: records that a repair has lost of one
//! * `size`: the bytes that forgetting one would free
//! * `versions`: the history of one record
//! * `history`: the history of every commit, and its window

pub(crate) mod history;
pub(crate) mod lost;
pub(crate) mod point;
pub(crate) mod resolve;
pub(crate) mod selector;
pub(crate) mod size;
pub(crate) mod versions;

#[cfg(test)]
mod pre_images_test;
#[cfg(test)]
mod versions_test;
