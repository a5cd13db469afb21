//! The past: pre-images, and the points that need them.
//!
//! * `pre_images`: the walk over them
//! * `merge`: forgetting points
//! * `tally`: what records add up to, now and at every point

pub(super) mod merge;
pub(super) mod pre_images;
pub(super) mod tally;

#[cfg(test)]
pub(super) mod model_test;
