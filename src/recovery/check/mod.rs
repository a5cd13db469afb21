//! Verification of the store.
//!
//! * `verify`: the whole check; `file`: of a file that nobody has open yet
//! * `last`: the result of the last one, in a file beside the store
//! * `last_drill`: the result of the last drill, in the store; `last_replica`: what was found out about the replica

mod file;
pub(crate) mod last;
pub(crate) mod last_drill;
pub(crate) mod last_replica;
pub(crate) mod verify;

#[cfg(test)]
mod verify_test;
