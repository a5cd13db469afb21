//! The open log: a commit on its way into it, and from there into redb.
//!
//! * `log`: the open log, as readers see it; `kept`: as a person sees it
//! * `way`: which way a write goes, and how a section begins; `appended`, `appending`: an entry behind the last, and
//!   the sync that makes it durable; `unsynced`: the thread that syncs entries of `Durability::System`
//! * `checkpoint`: moving whole sections into redb; `past`: work that goes past the log, and a close

mod appended;
mod appending;
pub(super) mod checkpoint;
pub(super) mod kept;
pub(super) mod log;
pub(super) mod past;
mod unsynced;
pub(super) mod way;

#[cfg(test)]
mod crash_test;
#[cfg(test)]
mod durability_test;
#[cfg(test)]
mod space_test;
