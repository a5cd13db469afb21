//! Events: an append-only record of what happened to the store.
//!
//! * `event`: kinds, reading and appending
//! * `failures`: events of operations that failed; also `restore_data`, and the restore of a backup over HTTP
//! * `log`: a file of lines that mirrors them

pub(crate) mod event;
mod failures;
pub(crate) mod log;

#[cfg(test)]
mod failures_test;
