//! One running service: the store with all that works beside it, without any face.
//!
//! * [`instance`]: opens all of it in order and closes it in reverse. Backups and points of clients go through it,
//!   which checks the free space first, and it has the options of their claims; [`setup`]: its settings
//! * [`archivist`]: automatic archives; [`mirror`]: events of other processes, for the event log
//! * [`bulk_worker`]: bulk changes of tasks, which outlive a request
//! * [`refusals`]: requests that were refused, gathered for the audit trail
//! * [`keyring`]: the keys of the store in memory, and when they were used
//! * [`free_space`]: the space that the disk needs before a point is made (`engine::reserve` asks the system)
//! * [`check_jobs`]: checks that run for a while; [`health`]: whether the service does its work
//! * [`steward`]: reacts to failures; [`webhook`]: the URL that it notifies
//! * [`replication`]: the replica of the store
//! * [`shell`]: runs a command of the operator's

#[cfg(feature = "http")]
mod archivist;
#[cfg(feature = "http")]
mod bulk_worker;
#[cfg(feature = "http")]
pub(crate) mod check_jobs;
#[cfg(feature = "http")]
pub(crate) mod free_space;
#[cfg(feature = "http")]
pub(crate) mod health;
#[cfg(feature = "http")]
pub(crate) mod instance;
#[cfg(feature = "http")]
pub(crate) mod keyring;
#[cfg(feature = "http")]
mod mirror;
#[cfg(feature = "http")]
pub(crate) mod refusals;
#[cfg(feature = "http")]
pub(crate) mod replication;
#[cfg(feature = "http")]
pub(crate) mod setup;
pub(crate) mod shell;
#[cfg(feature = "http")]
pub(crate) mod steward;
#[cfg(feature = "http")]
pub(crate) mod webhook;
