//! A copy of a moment, made of a base and the log.
//!
//! * `moment`: which moment; `refusals`: of moments that are not there
//! * `restore`: makes the copy; `needed`: looks for all of that before anything is downloaded; `tried`: the bases that
//!   were tried
//! * `restored`: the same for blocking callers, without a take-over
//! * `fill`: a copy that is being written; `point_search`: finds the restore point behind which it does not go

pub(crate) mod fill;
pub(crate) mod moment;
mod needed;
pub(crate) mod point_search;
mod refusals;
pub(crate) mod restore;
pub(crate) mod restored;
pub(super) mod tried;

#[cfg(test)]
mod last_object_test;
#[cfg(test)]
mod needed_test;
#[cfg(test)]
mod restore_test;
