//! The proof that a store survives its disk: cuts of the power, failures of every operation, a full disk.
//!
//! A [`fleet`] works on a store over a [`disk`] in memory in every way that there is, beside a model of what it should
//! hold. The disk remembers what was synced, so that any state in which a power cut could leave it can be built.
//!
//! * [`disk`]: the disk; `image`: its bytes; `names`: a file system that loses names until their folder is synced
//! * `power_cut`: cuts the power at every sync of a recorded run; `fault`: fails one operation at a time
//! * `step`: the states that a failure may leave; `content`: what the store holds, beside what the model expects
//! * `choices`: the random choices of a run
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test stops at what it does not expect")]

pub(crate) mod choices;
pub(crate) mod content;
pub(crate) mod disk;
pub(crate) mod fault;
pub(crate) mod fleet;
pub(crate) mod image;
pub(crate) mod power_cut;
pub(crate) mod step;

#[cfg(all(test, feature = "transfer"))]
pub(crate) mod names;

#[cfg(test)]
mod fault_test;
#[cfg(test)]
mod full_test;
#[cfg(all(test, feature = "transfer"))]
mod names_test;
#[cfg(test)]
mod power_cut_test;
#[cfg(test)]
mod reopen_test;
#[cfg(test)]
mod schedule_test;
