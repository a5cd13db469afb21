//! The processes that have the store open.
//!
//! * `session`: begin, heartbeat and end of one, and the crash of one that did not end
//! * `crash`: a crash and its acknowledgement
//! * `pins`: views that a process keeps open for long

pub(crate) mod crash;
pub(crate) mod pins;
pub(crate) mod session;

#[cfg(test)]
mod session_test;
