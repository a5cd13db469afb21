//! Tools of tests, of the fuzzer and of the benchmarks. No release build has them.
//!
//! * `checked_store`: a store that checks its rules after every write
//! * `proof`: a disk in memory that loses power, fails and fills up
//! * `fuzzing`: entry points of the fuzzer; `made_replica`: a replica that it writes
//! * `parts`: parts of the engine that a benchmark measures alone

#[cfg(test)]
pub(crate) mod checked_store;
#[cfg(any(fuzzing, test))]
pub mod fuzzing;
#[cfg(all(any(fuzzing, test), feature = "replica"))]
pub(crate) mod made_replica;
#[cfg(feature = "parts")]
pub mod parts;
#[cfg(any(fuzzing, test))]
pub(crate) mod proof;
