//! Bringing a damaged store back, as a new file.
//!
//! * `plan`: the repaired store under a temporary name, and its verdict; applying gives it its name
//! * `unfinished`: the temporary file

pub(crate) mod plan;
mod unfinished;
