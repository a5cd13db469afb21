//! The processes that have the store open.
//!
//! * `session`: starts, keeps alive and ends sessions, and finds those that crashed; `alive`: when they were last alive
//! * `mark`: the mark of a clean shutdown
//! * `crash`: crashes and their acknowledgement
//! * `seen`: the ways in which a crash comes to be acknowledged
//! * `pins`: views that a process keeps open for long

mod alive;
pub(crate) mod crash;
mod mark;
pub(crate) mod pins;
mod seen;
pub(crate) mod session;

#[cfg(test)]
mod session_test;
