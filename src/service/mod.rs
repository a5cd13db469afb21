//! One running service: the store with all that works beside it, without any face.
//!
//! * [`instance`]: the composition root: opened in order, closed in reverse
//! * [`archivist`]: automatic archives; [`mirror`]: events of other processes, for the event log
//! * [`free_space`]: whether the disk has room for a point
//! * [`check_jobs`]: checks that run for a while; [`health`]: whether the service does its work
//! * [`steward`]: what is done when something fails; [`webhook`]: the URL that is told of it
//! * [`shell`]: the shell, for commands of the operator's

#[cfg(feature = "http")]
mod archivist;
#[cfg(feature = "http")]
pub(crate) mod check_jobs;
#[cfg(feature = "http")]
pub(crate) mod free_space;
#[cfg(feature = "http")]
pub(crate) mod health;
#[cfg(feature = "http")]
pub(crate) mod instance;
#[cfg(feature = "http")]
mod mirror;
pub(crate) mod shell;
#[cfg(feature = "http")]
mod steward;
#[cfg(feature = "http")]
pub(crate) mod webhook;
