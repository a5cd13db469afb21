//! `/mcp`: the tools of agents over HTTP, by the official SDK of the Model Context Protocol.
//!
//! A request first passes the middleware that every request passes: hosts and origins, the key, rate limits, and the
//! memory for bodies. Then each tool checks the role that it needs, and acts with the key of that request.
//!
//! * `sessions`: the open sessions, each of which belongs to the key that began it; their limits and their end
//! * `way`: calls the store through `app`, so the limits of the service hold for tools too
//! * `router`: the router, and the limits of messages and streams

mod router;
mod sessions;
mod way;

#[cfg(test)]
mod test;

#[cfg(test)]
pub(super) use self::router::PATH;
pub(super) use self::router::add;
