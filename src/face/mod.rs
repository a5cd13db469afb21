//! How people and programs reach the store. A face parses into options, calls the library, and renders the answer.
//!
//! * [`cli`]: the command line
//! * `http`: the service; `instance`: the store with all that works beside it while the service runs
//! * `summary`: what a store holds, as both of them tell it

pub mod cli;
#[cfg(feature = "http")]
pub(crate) mod http;
#[cfg(feature = "http")]
pub(crate) mod instance;
pub(crate) mod summary;
