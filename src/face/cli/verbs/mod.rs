//! The verbs of the command line, each with its options and its output.
//!
//! * each file: a verb, or a verb and its counterpart (`restore` and `undo`)
//! * `rules`: the rules of retention, as options of several verbs

pub(super) mod adopt;
pub(super) mod backup;
pub(super) mod check;
pub(super) mod compact;
pub(super) mod crash;
pub(super) mod doctor;
pub(super) mod drill;
pub(super) mod export;
mod forget;
pub(super) mod generate;
pub(super) mod get;
pub(super) mod guard;
pub(super) mod import;
pub(super) mod key;
pub(super) mod log;
#[cfg(feature = "mcp")]
pub(super) mod mcp;
pub(super) mod point;
mod policy;
pub(super) mod put;
pub(super) mod queue;
pub(super) mod repair;
#[cfg(feature = "replica")]
pub(super) mod replica;
pub(super) mod restore;
mod rules;
pub(super) mod schedule;
#[cfg(feature = "http")]
pub(super) mod serve;
pub(super) mod status;
