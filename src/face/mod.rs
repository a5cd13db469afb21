//! How people and programs reach the store. A face parses into options, calls the library, and renders the answer.
//!
//! * `asynchronous`: the library for programs on tokio
//! * `cli`: the command line
//! * `parcel`: claims that travel through async code
//! * `http`: the service; `instance`: the store with all that works beside it while the service runs
//! * `shell`: the shell, for commands of the operator's
//! * `summary`: what a store holds, as both of them tell it

#[cfg(feature = "tokio")]
pub mod asynchronous;
#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "http")]
pub(crate) mod http;
#[cfg(feature = "http")]
pub(crate) mod instance;
#[cfg(feature = "tokio")]
pub(crate) mod parcel;
#[cfg(feature = "cli")]
pub(crate) mod shell;
#[cfg(feature = "cli")]
pub(crate) mod summary;
