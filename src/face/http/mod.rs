//! The service. A request passes `listen`, `server` with `client`, `connection_limit` with its `connection_slots`,
//! `date`, `peer` over `stream`, `tls`, the match in `routes`, `middleware`, `query` and `condition`, `body` or
//! `document_body`, its handler, `app`, and then the store. `middleware` asks `access`, `identify`, `rates` and
//! `memory`, in this order. A claim passes `face::parcel` between `app` and the store, and its answer passes `peer`.
//!
//! * [`server`]: accepts, serves and drains connections; [`sockets`]: those connections, their limits and their memory
//! * [`app`]: the state of the handlers, and their calls of the store: with a permit, on a blocking thread, once the
//!   keeper has the file open. A change voids the mark of a clean shutdown first, a claim once it has tasks, in
//!   `face::parcel`.
//!   These go past `app`: claims that do not arrive, refusals, wrong keys, uses of keys, and running checks
//! * [`routes`]: all routes, and the role that each needs; [`layers`]: the layers around them; [`route`], [`shapes`],
//!   [`openapi`]: the description of each, and the OpenAPI document made from it
//! * [`admission`]: where a request comes from, who asks, and how often
//! * [`bodies`]: reading bodies and parameters, and shortening answers; [`problem`]: error responses.
//!   The fields of a body are read by `face/wire`
//! * [`recovery`]: the endpoints of the replaced service; [`state`]: the live state; [`management`]: the service
//!   itself; [`measures`]: its numbers
//! * `page`: the page for people; `mcp`: the tools of agents
//! * `inside`: the service without sockets, for the fuzzer

mod admission;
mod app;
mod bodies;
#[cfg(any(fuzzing, test))]
pub(crate) mod inside;
mod layers;
mod management;
#[cfg(feature = "mcp")]
mod mcp;
mod measures;
mod openapi;
#[cfg(feature = "page")]
mod page;
mod problem;
mod recovery;
mod route;
mod routes;
mod server;
mod shapes;
mod sockets;
mod state;

pub(in crate::face) use self::admission::access::Access;
pub(in crate::face) use self::admission::authority::{AllowedHost, Origin};
pub(in crate::face) use self::admission::band::{Band, BandColour, BandName};
pub(in crate::face) use self::admission::rates::RateLimits;
pub(in crate::face) use self::admission::token::Token;
pub(in crate::face) use self::app::{Limits, Live};
pub(in crate::face) use self::server::{Renew, Served, Service};
pub(in crate::face) use self::sockets::listen::{Listener, Reach, bind};
pub(in crate::face) use self::sockets::tls::Tls;
