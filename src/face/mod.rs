//! How people and programs reach the store. A face parses into options, calls the library, and renders the answer.
//!
//! * [`cli`]: the command line
//! * `http`: the service
//! * `summary`: what a store holds, as both of them tell it

pub mod cli;
#[cfg(feature = "http")]
pub(crate) mod http;
pub(crate) mod summary;
