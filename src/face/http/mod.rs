//! The service.
//!
//! * [`listen`]: where it listens, and who may reach it there
//! * [`server`]: connections, from the first to the last; [`places`]: how many, and how many of them may wait;
//!   [`peer`]: whether the client is still there;
//!   [`date`]: none while the clock shows no year that can be written
//! * [`signals`]: what tells the process to stop, or to read its settings anew
//! * [`app`]: what handlers are given; the one door to the store
//! * [`access`], [`authority`]: where a request may come from, and how hosts and origins are written
//! * [`token`], [`body`], [`fields`], [`handed`], [`query`]: what a request shows and carries
//! * [`problem`]: how an error is answered
//! * [`route`], [`routes`], [`shapes`], [`openapi`]: the table of all that can be asked, and what is made from it
//! * [`recovery`]: the end points of the replaced service; [`state`]: the live state; [`operations`], [`metrics`]: for
//!   whoever runs it
//! * `inside`: all of it without sockets, for the fuzzer

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
