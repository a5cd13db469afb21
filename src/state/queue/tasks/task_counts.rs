//! The number of tasks in each state, as data.

use serde::{Deserialize, Serialize};

use super::task::TaskState;

/// The number of tasks in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskCounts {
    /// Tasks with a start time in the future.
    pub scheduled: u64,
    /// Tasks that wait for other tasks, or for a bot that could do them.
    pub waiting: u64,
    /// Tasks that can be claimed now.
    pub ready: u64,
    /// Tasks that bots hold.
    pub claimed: u64,
    /// Tasks that were completed.
    pub done: u64,
    /// Tasks that a bot gave up.
    pub failed: u64,
    /// Tasks that were given up after the last attempt.
    pub dead: u64,
    /// Tasks that were cancelled.
    pub cancelled: u64,
}

impl TaskCounts {
    /// The number of tasks in that state.
    pub fn of(&self, state: TaskState) -> u64 {
        match state {
            TaskState::Scheduled => self.scheduled,
            TaskState::Waiting => self.waiting,
            TaskState::Ready => self.ready,
            TaskState::Claimed => self.claimed,
            TaskState::Done => self.done,
            TaskState::Failed => self.failed,
            TaskState::Dead => self.dead,
            TaskState::Cancelled => self.cancelled,
        }
    }

    /// The number of all tasks.
    pub fn total(&self) -> u64 {
        TaskState::ALL.into_iter().fold(0, |total, state| total.wrapping_add(self.of(state)))
    }

    /// Moves a number of tasks from one state to another.
    pub(in crate::state::queue) fn change(&mut self, from: TaskState, to: TaskState, count: u64) {
        let was = self.of_mut(from);
        *was = was.saturating_sub(count);
        let is = self.of_mut(to);
        *is = is.saturating_add(count);
    }

    pub(in crate::state::queue) fn of_mut(&mut self, state: TaskState) -> &mut u64 {
        match state {
            TaskState::Scheduled => &mut self.scheduled,
            TaskState::Waiting => &mut self.waiting,
            TaskState::Ready => &mut self.ready,
            TaskState::Claimed => &mut self.claimed,
            TaskState::Done => &mut self.done,
            TaskState::Failed => &mut self.failed,
            TaskState::Dead => &mut self.dead,
            TaskState::Cancelled => &mut self.cancelled,
        }
    }
}

/// The counts of a change of several tasks that is in progress; none before its first task.
#[derive(Debug, Default)]
pub(in crate::state::queue) struct Changing {
    pub(in crate::state::queue) counts: Option<TaskCounts>,
}
