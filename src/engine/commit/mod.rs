//! The group commit.
//!
//! * `gate`: the queue of the writers of one open store
//! * `batch`: a transaction with the closures of several of them
//! * `sink`, `wakeups`: who is told of a commit
//! * `reentrancy`: a write inside of a write is refused
//! * `locks`: the locks that writers queue at

mod batch;
mod gate;
pub(super) mod locks;
pub(super) mod reentrancy;
pub(crate) mod sink;
pub(crate) mod wakeups;

#[cfg(all(test, shuttle))]
mod interleaving_test;
#[cfg(test)]
mod test;

pub(crate) use self::batch::Outcome;
pub(crate) use self::gate::Gate;
