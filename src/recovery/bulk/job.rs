//! A bulk change as it is stored and shown, and the row of `meta` that has the last few.

use std::collections::VecDeque;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::engine::codec;
use crate::engine::meta_row::MetaRow;
use crate::engine::records::Records;
use crate::error::{Error, Result};
use crate::state::queue::{BulkAction, BulkProgress, TaskFilter};

/// The row of `meta`.
pub(super) const ROW: MetaRow<StoredJobs> = MetaRow::new(b"bulk");
/// The most changes that are remembered.
const REMEMBERED: usize = 16;

/// A change of all tasks that fit a filter, while it runs and after it has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BulkJob {
    /// The id.
    pub id: String,
    /// The change of each task.
    pub action: BulkAction,
    /// Which tasks. Their ages count from the start of the change.
    pub filter: TaskFilter,
    /// The state of the change.
    pub state: BulkState,
    /// The id of the restore point before it.
    pub point: String,
    /// The one who began it, if that is known.
    pub by: Option<String>,
    /// The time at which it began.
    #[serde(with = "clock::time")]
    pub started_at: Timestamp,
    /// The time at which it ended.
    #[serde(with = "clock::time::option")]
    pub ended_at: Option<Timestamp>,
    /// The number of tasks that it was about when it began.
    pub fits: u64,
    /// The number of tasks that it has changed.
    pub changed: u64,
    /// The number of tasks that stayed as they were: others wait for them, or somebody else was first.
    pub passed: u64,
    /// The reason why it failed.
    pub error: Option<String>,
}

/// The state of a bulk change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BulkState {
    /// It runs: not all tasks have been looked at yet.
    Running,
    /// All tasks were looked at.
    Done,
    /// Somebody stopped it.
    Stopped,
    /// It cannot continue, for example because a record that it needs cannot be read.
    Failed,
}

impl BulkState {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Running, Self::Done, Self::Stopped, Self::Failed];

    /// As text and JSON show it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
        }
    }
}

/// A change with how far it has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stored {
    pub(super) job: BulkJob,
    pub(super) progress: BulkProgress,
    /// The number of transactions that were written for it, so that two processes write none twice.
    pub(super) parts: u64,
}

/// The last changes, newest first. Only the first one can be running.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StoredJobs(pub(super) VecDeque<Stored>);

impl codec::Stored for StoredJobs {
    const VERSION: u8 = 1;
    const WHAT: &'static str = "the list of bulk changes";
}

impl StoredJobs {
    pub(super) fn of<R: Records + ?Sized>(records: &R) -> Result<Self> {
        Ok(ROW.read(records)?.unwrap_or_default())
    }

    /// The one that runs.
    pub(super) fn running(&self) -> Option<&Stored> {
        self.0.iter().find(|stored| stored.job.state == BulkState::Running)
    }

    pub(super) fn begin(&mut self, stored: Stored) {
        self.0.push_front(stored);
        self.0.truncate(REMEMBERED);
    }

    pub(super) fn find(&self, id: &str) -> Result<&Stored> {
        self.0.iter().find(|stored| stored.job.id == id).ok_or_else(|| unknown(id))
    }

    pub(super) fn find_mut(&mut self, id: &str) -> Result<&mut Stored> {
        self.0.iter_mut().find(|stored| stored.job.id == id).ok_or_else(|| unknown(id))
    }
}

fn unknown(id: &str) -> Error {
    Error::not_found(format!("no such bulk change is remembered: id={}", id.escape_debug()))
}
