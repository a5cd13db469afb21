//! The ends of claims and of tasks.
//!
//! * [`finish`]: the operations of a bot with a claim; [`leases`]: claims that end by themselves; [`delivery`]: claims
//!   that are given back
//! * [`bulk`]: changes of all tasks that fit a filter
//! * [`purge`] removes finished tasks, and [`memory`] records how purged tasks ended
//! * `orphans`: the tasks of a file that was overtaken

pub(super) mod bulk;
mod delivery;
pub(super) mod finish;
mod leases;
pub(super) mod memory;
#[cfg(feature = "replica")]
pub(super) mod orphans;
mod purge;

#[cfg(test)]
mod leases_test;
