//! The tools of language-model agents, by the Model Context Protocol: the queue, the bots, the chat, notes, restore
//! points and restores. State can also be read as resources, now or as of a point.
//!
//! * [`door`]: the way of a session to the store, which `cli` and `http` provide; [`refused_call`]: a refused call, and
//!   the next step
//! * [`agent_session`]: a session; [`leases`]: of the claims that it keeps; [`call`]: one call within it
//! * [`tool`]: one row of the table of tools, and [`schema`] of its arguments; [`tools`]: all of them
//! * [`resources`]: the state as resources; [`pages`]: answers that stay short
//! * [`message`]: parses a message; [`stdio`]: messages as lines on standard input and output

pub(in crate::face) mod agent_session;
mod call;
pub(in crate::face) mod door;
pub(in crate::face) mod leases;
pub(in crate::face) mod message;
mod pages;
pub(in crate::face) mod refused_call;
mod resources;
mod schema;
pub(in crate::face) mod stdio;
mod tool;
mod tools;
