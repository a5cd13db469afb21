//! The group commit.
//!
//! * `gate`: the queue of the writers of one open store; it begins each transaction; `callers`: which of them may run.
//!   In a store with a log, writers queue at the lock of `wal::writing::log` instead
//! * `batch`: a transaction with the closures of several of them, or with work alone, as restores and backups are; its
//!   end: a point of the commit if every commit is kept, the common rows, the name of the file, the sync
//! * `logged`: a write of a store that has a log, with an end of its own, of the same steps; `log_slot`: that log;
//!   `work`: the work of a transaction without its result
//! * `sink`: for the event log: it hears of a transaction's events before its sync, and again after it; `wakeups`:
//!   wakes those who wait for a commit
//! * `failures`: the errors of a commit that failed
//! * `reentrancy`: a write inside of a write is refused
//! * `locks`: the locks that writers queue at

mod batch;
mod callers;
pub(super) mod failures;
mod gate;
pub(super) mod locks;
mod log_slot;
mod logged;
pub(super) mod reentrancy;
pub(crate) mod sink;
pub(crate) mod wakeups;
mod work;

#[cfg(all(test, shuttle))]
mod interleaving_test;
#[cfg(test)]
mod test;

pub(crate) use self::batch::{Outcome, Size};
pub(crate) use self::gate::Gate;
pub(crate) use self::work::{TransactionWork, with_result};
