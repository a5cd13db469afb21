//! The store with all that works beside it while a service runs.
//!
//! * `instance`: opens all of it in order and closes it in reverse
//! * `steward`: reacts to failures; `webhook`: the URL that it notifies; `shell`: the command that it runs
//! * `archivist`: automatic archives; `mirror`: events of other processes, for the event log
//! * `free_space`: the space that the disk needs before a point is made

#[cfg(feature = "http")]
pub(crate) mod archivist;
#[cfg(feature = "http")]
pub(crate) mod free_space;
#[cfg(feature = "http")]
pub(crate) mod instance;
#[cfg(feature = "http")]
pub(crate) mod mirror;
pub(crate) mod shell;
#[cfg(feature = "http")]
pub(crate) mod steward;
#[cfg(feature = "http")]
pub(crate) mod webhook;
