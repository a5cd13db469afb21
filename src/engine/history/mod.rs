//! The past: pre-images, and the points that need them.
//!
//! * `members`: which epochs are points
//! * `pre_images`: the walk over them
//! * `seal`: making points
//! * `merge`: forgetting points
//! * `tally`: the counts and digests of records, now and at every point

pub(super) mod members;
pub(super) mod merge;
pub(super) mod pre_images;
mod seal;
pub(super) mod tally;

#[cfg(test)]
pub(super) mod model_test;
