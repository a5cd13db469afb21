//! The bytes of a log.
//!
//! * `entry`, `section`: the bytes of an entry and of the head of a file; `reader`: the entries of a file that fit
//! * `id`: which log they are of
//! * `row`: the row of `meta` that says up to where redb has the log

pub(super) mod entry;
pub(super) mod id;
pub(super) mod reader;
pub(super) mod row;
pub(super) mod section;
