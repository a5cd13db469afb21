//! The log at the opening of its store.
//!
//! * `recover`: moves the entries that were left into redb; `news`: the logs that were taken up or set aside
//! * `join`: opening and closing a log that several processes share

pub(super) mod join;
pub(super) mod news;
pub(in crate::engine) mod recover;

#[cfg(test)]
mod found_test;
#[cfg(test)]
mod trouble_test;
