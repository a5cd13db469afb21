//! The endpoints about the service itself.
//!
//! * [`operations`], [`metrics`]: for operators; [`keys`]: who may call the service; [`me`]: the caller

pub(super) mod keys;
pub(super) mod me;
mod metrics;
pub(super) mod operations;
