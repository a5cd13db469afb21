//! Staying recoverable.

pub(crate) mod age;
pub(crate) mod events;
pub(crate) mod resolve;
pub(crate) mod retention;
pub(crate) mod selector;
