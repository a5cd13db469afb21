//! Terms: the protocol by which exactly one process writes the log of a replica, whatever crashes, sleeps, comes
//! back from an older disk, or is cloned. No clock is part of that; only a lease, which is a further promise, has one.
//! FORMAT.md says why it holds, and the
//! simulation of the tests tries it.
//!
//! * `remote`: the two sides of the protocol as it sees them; `settle`: one object under one name
//! * `chain`: the terms that there are; `open`: opens one; `lease`: waits for the writer before it; `write`: writes the
//!   log of a term
//! * `end`: the end of a log; `walk`: moves a state along the log; `follow`: the same, object by object
//! * `hold`: keeps old objects for a restore
//! * `rules`: rules that a test breaks on purpose

#[macro_use]
pub(super) mod rules;

pub(crate) mod chain;
pub(crate) mod end;
pub(crate) mod follow;
pub(crate) mod hold;
pub(crate) mod lease;
pub(crate) mod open;
pub(crate) mod remote;
pub(crate) mod settle;
pub(crate) mod walk;
pub(crate) mod write;

#[cfg(test)]
mod machine_test;
#[cfg(test)]
mod simulation_test;
#[cfg(test)]
pub(super) mod sleeper_test;
#[cfg(test)]
mod truth_test;
