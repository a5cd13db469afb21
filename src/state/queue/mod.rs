//! The task queue: durable tasks that bots claim for a time and finish, or that come back.
//!
//! Its parts: [`task`] is what is stored, [`new_task`] what a caller says; [`keys`] is the index; [`enqueue`],
//! [`claim`], [`wait`], [`delivery`], [`undelivered`], [`finish`] are the verbs of callers and bots; [`leases`] and [`waiting`] move tasks
//! that nobody touches; [`list`], [`counts`] and [`purge`] look at it and tidy it; [`memory`] is what is known of purged
//! tasks; [`obstacle`] is the rule of a claim and [`order`] its order, [`reach`] and [`why`] say who could do a task and why
//! nobody does;
//! [`damage`] is what they pass over; [`check`] says what must hold.

mod check;
mod claim;
mod counts;
mod damage;
mod delivery;
mod enqueue;
mod finish;
mod keys;
mod leases;
mod list;
mod memory;
mod new_task;
mod obstacle;
mod order;
mod purge;
mod reach;
mod task;
mod undelivered;
mod wait;
mod waiting;
mod why;

#[cfg(test)]
mod damage_test;
#[cfg(test)]
mod leases_test;
#[cfg(test)]
mod model_test;
#[cfg(test)]
mod order_test;
#[cfg(test)]
mod states_test;
#[cfg(test)]
mod verbs_test;

use jiff::Timestamp;

pub(crate) use check::{check_queue, mend_queue, numbers_of_tasks};
pub use claim::{Claim, ClaimOptions, ClaimOwner};
pub use counts::TaskCounts;
pub use enqueue::Enqueued;
pub use finish::Retry;
pub(crate) use keys::RULE as INDEX;
pub use list::TaskPage;
pub(crate) use memory::was_finished;
pub use memory::{Memory, Remembered};
pub use new_task::NewTask;
pub use obstacle::Obstacle;
pub(crate) use task::is_finished;
pub use task::{Holder, Priority, Task, TaskState};
pub use undelivered::Undelivered;
pub use why::Why;

use crate::clock::as_stored;
use crate::engine::codec;
use crate::engine::records::Records;
use crate::engine::schema::CollectionId;
use crate::engine::view::View;
use crate::engine::write::WriteTx;
use crate::error::{Error, Result};
use crate::state::assignments;
use crate::state::ids::TaskId;

/// The task queue, to be read, and in a write transaction to be worked on.
///
/// A task is scheduled, waiting, ready, claimed, or finished: done, failed, dead or cancelled. A claim has a lease and a token. When the
/// lease ends first, the task goes to another bot, and what the first one then says with its old token is refused.
pub struct Queue<R> {
    records: R,
}

impl WriteTx<'_> {
    /// The task queue.
    pub fn queue(&mut self) -> Queue<&mut Self> {
        Queue { records: self }
    }
}

impl View {
    /// The task queue, as this view sees it.
    pub fn queue(&self) -> Queue<&Self> {
        Queue { records: self }
    }
}

#[expect(private_bounds, reason = "what a queue is read from is the crate's own matter")]
impl<R: Records> Queue<R> {
    /// The task with that id.
    ///
    /// # Errors
    ///
    /// `Damaged` when it cannot be read.
    pub fn get(&self, id: &TaskId) -> Result<Option<Task>> {
        self.stored(id)?.map(|task| self.shown(task)).transpose()
    }

    /// The task with that id as it is stored: scheduled and waiting ones are ready.
    fn stored(&self, id: &TaskId) -> Result<Option<Task>> {
        let payload = self.records.get(CollectionId::QUEUE, id.as_bytes())?;
        payload.map(|payload| Task::from_record(id.as_bytes(), &payload)).transpose()
    }

    /// The task that a caller named.
    fn existing(&self, id: &TaskId) -> Result<Task> {
        self.stored(id)?.ok_or_else(|| Error::not_found(format!("there is no such task: task={id}")))
    }

    /// The task that a row of the index names.
    fn indexed(&self, id: &TaskId) -> Result<Task> {
        let missing = || Error::damaged(format!("the index names a task that is not there; run check: task={id}"));
        self.stored(id)?.ok_or_else(missing)
    }

    /// The time now, as exact as it is stored.
    fn now(&self) -> Timestamp {
        as_stored(self.records.now())
    }
}

impl Queue<&mut WriteTx<'_>> {
    /// Writes a change of a task that was read before; gives what it now is, as everybody is told.
    fn change(&mut self, before: &Task, after: Task) -> Result<Task> {
        let after = self.save(Some(before), after)?;
        self.shown(after)
    }

    /// The one place where tasks are written: the task with its assignment and the counts, in one transaction. Gives it
    /// with the time since which it could be claimed.
    fn save(&mut self, before: Option<&Task>, mut after: Task) -> Result<Task> {
        if before == Some(&after) {
            return Ok(after);
        }
        if after.ready_since.is_none() && after.state_by_record() == TaskState::Ready {
            after.ready_since = Some(self.now());
        }
        let counts = self.kept_counts()?;
        self.records.put(CollectionId::QUEUE, after.key(), &codec::encode(&after)?)?;
        assignments::follow(self.records, before, Some(&after))?;
        self.count(counts, before.map(Task::state_by_record), Some(after.state_by_record()))?;
        Ok(after)
    }

    /// The one place where tasks are removed.
    fn erase(&mut self, task: &Task) -> Result<()> {
        let counts = self.kept_counts()?;
        self.records.remove(CollectionId::QUEUE, task.key())?;
        assignments::follow(self.records, Some(task), None)?;
        self.count(counts, Some(task.state_by_record()), None)
    }
}
