//! How people and programs reach the store. A face parses into options, calls the library, and renders the answer.
//!
//! * `asynchronous`: the library for programs on tokio
//! * `cli`: the command line
//! * `parcel`: claims that travel through async code, for both `asynchronous` and `http`; it takes them from the store,
//!   and gives them back if it is dropped before they are delivered
//! * `http`: the service
//! * `mcp`: the tools of language-model agents, which `cli` and `http` serve
//! * `remote`: the client of a service, for `cli`
//! * `signals`: shutdown and reload, for `cli` and `http`
//! * `wire`: JSON that travels, for `http`, `mcp` and `remote`

#[cfg(feature = "tokio")]
pub mod asynchronous;
#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "http")]
pub(crate) mod http;
#[cfg(feature = "mcp")]
pub(crate) mod mcp;
#[cfg(feature = "tokio")]
pub(crate) mod parcel;
#[cfg(feature = "cli")]
mod remote;
#[cfg(feature = "http")]
mod signals;
#[cfg(feature = "http")]
mod wire;
