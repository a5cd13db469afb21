//! The tools of agents, by the real program over its standard input and output.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test stops at what it does not expect")]

mod agent;
mod ends;
mod hostile;
mod rights;
#[cfg(unix)]
mod sdk;
mod state;
#[expect(dead_code, reason = "what the tests of the command line use besides")]
#[path = "../cli/util.rs"]
mod util;
mod work;
