//! Repair: rebuilds a damaged store in a new file.
//!
//! * `plan`: the repaired store under a temporary name, and its verdict. To apply it gives it its name
//! * `unfinished`: the temporary file

pub(crate) mod plan;
mod unfinished;
