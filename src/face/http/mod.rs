//! The service.
//!
//! * [`listen`]: the listening socket
//! * [`server`]: accepts, serves and drains connections; [`connection_limit`]: their limit, and that of waiting claims;
//!   [`peer`]: whether the client is still there;
//!   [`date`]: refuses clients while the system clock shows an impossible year
//! * [`signals`]: what tells the process to stop, or to read its settings anew
//! * [`app`]: the state of the handlers; every access to the store
//! * [`routes`]: all routes; [`middleware`]: the layers around them; [`route`], [`shapes`], [`openapi`]: the description of
//!   each, and the OpenAPI document made from it
//! * [`access`], [`authority`]: the allowed hosts and origins; [`token`]: the secret of the service
//! * [`body`], [`fields`], [`document_body`], [`query`]: reading requests; [`problem`]: error responses
//! * [`recovery`]: the endpoints of the replaced service; [`state`]: the live state; [`operations`], [`metrics`]: for
//!   operators; [`request_counts`], [`prometheus`]: what metrics are made of
//! * `inside`: the service without sockets, for the fuzzer

mod access;
mod app;
mod authority;
mod body;
mod connection_limit;
mod date;
mod document_body;
mod fields;
#[cfg(any(fuzzing, test))]
pub(crate) mod inside;
mod listen;
mod metrics;
mod middleware;
mod openapi;
mod operations;
mod peer;
mod problem;
mod prometheus;
mod query;
mod recovery;
mod request_counts;
mod route;
mod routes;
mod server;
mod shapes;
mod signals;
mod state;
mod token;

pub(in crate::face) use self::access::Access;
pub(in crate::face) use self::app::{Limits, Live};
pub(in crate::face) use self::authority::{AllowedHost, Origin};
pub(in crate::face) use self::listen::{Listener, bind};
pub(in crate::face) use self::server::{Renew, Served, Service};
pub(in crate::face) use self::token::Token;
