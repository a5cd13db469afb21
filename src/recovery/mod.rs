//! Staying recoverable.

pub(crate) mod age;
pub(crate) mod selector;
