//! The counts and the events of a worker.

use std::time::Duration;

use serde::Serialize;

use crate::error::Error;
use crate::state::queue::Task;
use crate::worker::job::Job;

/// The number of tasks of a worker since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct WorkerCounts {
    /// Tasks that it has claimed.
    pub claimed: u64,
    /// Tasks that its function works on now.
    pub running: u64,
    /// Tasks that it completed.
    pub done: u64,
    /// Attempts that failed, panics among them.
    pub failed: u64,
    /// Attempts that panicked.
    pub panicked: u64,
    /// Tasks whose claim ended while its function worked on them: the result was dropped.
    pub lost: u64,
    /// Tasks that it released when it stopped, because it had not begun them.
    pub released: u64,
    /// Calls of the store that failed; the worker went on.
    pub errors: u64,
}

/// Something that happens to a worker.
#[derive(Debug)]
#[non_exhaustive]
pub enum WorkerEvent<'e> {
    /// The function begins.
    Begun {
        /// The task.
        job: &'e Job,
    },
    /// The function has ended, and the task was completed or failed.
    Ended {
        /// The task as it was claimed.
        job: &'e Job,
        /// The task as it is now: done, scheduled for its next attempt, failed, or dead.
        task: &'e Task,
        /// How long the function worked.
        took: Duration,
    },
    /// The claim has ended, and the result was, or will be, dropped.
    Lost {
        /// The task.
        job: &'e Job,
    },
    /// The worker stops, and has released a task that it had not begun.
    Released {
        /// The task.
        job: &'e Job,
    },
    /// A call of the store failed. The worker waits and goes on.
    Trouble {
        /// The error.
        error: &'e Error,
    },
}
