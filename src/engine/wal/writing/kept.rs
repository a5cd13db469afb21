//! The facts about checkpoints that are kept for the status.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A part of a log that was moved into the file of its store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastCheckpoint {
    /// The time at which it was done.
    #[serde(with = "crate::clock::time")]
    pub at: Timestamp,
    /// Its duration, in milliseconds.
    pub took_ms: u64,
}

/// The facts about checkpoints that are kept for it.
#[derive(Debug, Default)]
pub(in crate::engine::wal) struct Kept {
    pub(in crate::engine::wal) last: Option<LastCheckpoint>,
    pub(in crate::engine::wal) failing: Option<String>,
}
