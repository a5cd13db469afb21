//! Verifying everything without a change, in O(live + undo).
//!
//! Every key's chain of pre-images is walked once, from its newest frame to the earliest point. Each step belongs to
//! one segment, and says what that segment changed in its collection. So the digests of every point follow from the
//! digests of now, segment by segment, and must be those of its manifest.
//!
//! The rows are read directly from the pages of the file first, which is faster. A clean result is the report.
//! Otherwise everything is read again through redb, and that result is the report.
//!
//! * `walk`: reads every row of a table on all cores, from the pages or through redb
//! * `chains`: one record with its pre-images; `tables`: the tables as a whole, and the rules between them
//! * `at`: one point; `sample`: a part of the store at a time
//! * `whole`: the report, and the whole check

mod at;
mod chains;
mod sample;
mod tables;
pub(super) mod walk;
mod whole;

#[cfg(test)]
mod test;

pub(crate) use self::at::check_at;
pub(crate) use self::sample::{Position, check_sample};
pub(crate) use self::whole::check;
pub use self::whole::{CheckReport, Finding};
