//! Bulk changes of tasks: all that fit a filter, behind a restore point, in many small transactions.
//!
//! * [`job`]: one of them, as it is stored, and the row that has the last few
//! * `steps`: begins one, continues it, stops it
//!
//! The row says how far the change has come, in the same transaction as each part of it. So a process that is killed in
//! the middle leaves an exact number, and the next one goes on from there. Two processes that continue the same change
//! do no part twice: each writes its part only if the row is still as it was read.

pub(crate) mod job;
mod steps;

#[cfg(test)]
mod test;
