//! The command line, as it is typed: what each verb prints, how it ends, and what it says when it refuses.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test stops at what it does not expect, and shows it")]

mod adopt;
mod archive;
mod doctor;
mod drill;
mod files;
mod guard;
mod hostile;
mod limits;
mod output;
mod recovery;
mod refusals;
mod repair;
mod service;
mod state;
mod terminal;
mod util;
