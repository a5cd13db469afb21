//! Restore points.
//!
//! * `point`: a restore point; `make`: makes points; `find`: lists, finds and views them
//! * `selector`: the ways to name a point; `resolve`: chooses it among names, purely; `find` reads them
//!   from a view and calls it
//! * `lost`: records that a point lost in a repair
//! * `size`: the bytes that forgetting a point would free
//! * `versions`: the history of one record
//! * `timeline`: points in short, and their numbers along a time axis
//! * `short_ids`: the shortest ids that can be typed
//! * `names`: the names of collections; `collections`: any collection and record by name
//! * `history`: the history of every commit, and its window

pub(crate) mod collections;
mod find;
pub(crate) mod history;
pub(crate) mod lost;
pub(crate) mod make;
pub(crate) mod names;
pub(crate) mod point;
pub(crate) mod resolve;
pub(crate) mod selector;
pub(crate) mod short_ids;
pub(crate) mod size;
pub(crate) mod timeline;
pub(crate) mod versions;

#[cfg(test)]
mod pre_images_test;
#[cfg(test)]
mod versions_test;
