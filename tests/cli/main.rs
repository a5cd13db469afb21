//! The command line: the output, the exit codes and the refusals of each verb.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test stops at what it does not expect, and shows it")]

mod adopt;
mod archive;
mod audit;
mod doctor;
mod drill;
mod files;
mod guard;
mod hostile;
mod limits;
mod output;
mod queue;
mod recovery;
mod refusals;
mod repair;
#[cfg(feature = "replica")]
mod replica;
mod schedule;
mod service;
mod shared_log;
mod state;
mod terminal;
mod util;
mod words;
