//! Restore points.
//!
//! * `point`: create, list, find and view points
//! * `selector`: the ways to name a point; `resolve`: chooses it among names, purely; `point` reads them from a view and calls it
//! * `lost`: records that a point lost in a repair
//! * `size`: the bytes that forgetting a point would free
//! * `versions`: the history of one record
//! * `short_ids`: the shortest ids that can be typed
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
