//! The service, by the real program over real sockets.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test stops at what it does not expect")]

mod access;
mod audit;
mod budgets;
mod bulk;
mod clock;
mod crash;
mod crowd;
mod described;
mod forgiving;
mod gone;
mod hang_up;
mod keys;
mod kill;
mod looking;
#[cfg(feature = "mcp")]
mod mcp;
mod moved;
mod operations;
#[cfg(feature = "page")]
mod page;
mod python;
mod queue;
mod recovery;
mod remote;
mod remote_faults;
mod reopen;
mod schedules;
mod schema;
mod service;
mod sessions;
#[cfg(target_os = "linux")]
#[path = "../small/mod.rs"]
mod small;
mod state;
#[cfg(unix)]
mod transport;
#[expect(dead_code, reason = "what the tests of the command line use besides")]
#[path = "../cli/util.rs"]
mod util;

/// Where the end points of the replaced service are.
const BASE: &str = "/api/disaster-recovery";
