//! The service. A request passes `listen`, `server` with `client`, `connection_limit` with its `connection_slots`,
//! `date`, `peer` over `stream`, `tls`, the match in `routes`, `middleware`, `query` and `condition`, `body` or
//! `document_body`, its handler, `app`, and then the store. `middleware` asks `access`, `identify`, `rates` and
//! `memory`, in this order. A claim passes `face::parcel` between `app` and the store, and its answer passes `peer`.
//!
//! * [`listen`]: the listening socket; [`tls`]: its certificate; [`stream`]: a stream of either kind of socket
//! * [`server`]: accepts, serves and drains connections; [`connection_limit`]: their limit, and that of waiting claims;
//!   [`peer`]: whether the client is still there, and the delivery of claims: those that do not arrive go back;
//!   [`date`]: refuses clients while the system clock shows an impossible year
//! * [`app`]: the state of the handlers, and their calls of the store: with a permit, on a blocking thread, once the
//!   keeper has the file open. A change voids the mark of a clean shutdown first, a claim once it has tasks, in
//!   `face::parcel`.
//!   These go past `app`: claims that do not arrive, refusals, wrong keys, uses of keys, and running checks
//! * [`routes`]: all routes, and the role that each needs; [`middleware`]: the layers around them; [`route`],
//!   [`shapes`],
//!   [`openapi`]: the description of each, and the OpenAPI document made from it
//! * [`access`], [`authority`]: the allowed hosts and origins; [`identify`], [`caller`]: who asks, by a key of the
//!   store, by the [`token`] of the service or by one of the [`sessions`] of the page; [`client`]: the address of the
//!   client; [`rates`]: rate limits; [`connection_slots`]: which connection is closed when all are taken; [`keys`]: the
//!   routes for keys; [`me`]: those for the caller
//! * [`body`]: reads and parses a body, a long one on a blocking thread; [`document_body`]: the same for documents,
//!   which are prepared for the store while they are parsed; [`query`]: path and query string; [`preview`]: shortened
//!   values in lists; [`condition`]: `If-Match` and `If-None-Match`; [`problem`]: error responses.
//!   The fields of a body are read by `face/wire`
//! * [`memory`]: the memory that all requests may take together; [`metered`]: a value that is counted while it is
//!   parsed
//! * [`recovery`]: the endpoints of the replaced service; [`state`]: the live state; [`operations`], [`metrics`]: for
//!   operators; [`request_counts`], [`prometheus`]: what metrics are made of
//! * `page`: the page for people; [`band`]: its name and colour
//! * `mcp`: the tools of agents
//! * `inside`: the service without sockets, for the fuzzer

mod access;
mod app;
mod authority;
mod band;
mod body;
mod caller;
mod client;
mod condition;
mod connection_limit;
mod connection_slots;
mod date;
mod document_body;
mod identify;
#[cfg(any(fuzzing, test))]
pub(crate) mod inside;
mod keys;
mod listen;
#[cfg(feature = "mcp")]
mod mcp;
mod me;
mod memory;
mod metered;
mod metrics;
mod middleware;
mod openapi;
mod operations;
#[cfg(feature = "page")]
mod page;
mod peer;
mod preview;
mod problem;
mod prometheus;
mod query;
mod rates;
mod recovery;
mod request_counts;
mod route;
mod routes;
mod server;
mod sessions;
mod shapes;
mod state;
mod stream;
mod tls;
mod token;

pub(in crate::face) use self::access::Access;
pub(in crate::face) use self::app::{Limits, Live};
pub(in crate::face) use self::authority::{AllowedHost, Origin};
pub(in crate::face) use self::band::{Band, BandColour, BandName};
pub(in crate::face) use self::listen::{Listener, Reach, bind};
pub(in crate::face) use self::rates::RateLimits;
pub(in crate::face) use self::server::{Renew, Served, Service};
pub(in crate::face) use self::tls::Tls;
pub(in crate::face) use self::token::Token;
