//! The queue as callers hold it, and the one place where a task is written or removed.

use jiff::Timestamp;

use super::task::{Task, TaskState};
use super::task_counts::Changing;
use crate::clock::as_stored;
use crate::engine::codec;
use crate::engine::records::Records;
use crate::engine::schema::CollectionId;
use crate::engine::view::View;
use crate::engine::write::WriteTx;
use crate::error::{Error, Hint, Result};
use crate::state::assignments;
use crate::state::ids::TaskId;

/// The task queue: read-only in a view, read-write in a transaction.
///
/// A task is scheduled, waiting, ready, claimed, or finished: done, failed, dead or cancelled. A claim has a lease and
/// a token. If the lease ends before the bot finishes, another bot can claim the task, and the old token is refused.
pub struct Queue<R> {
    pub(in crate::state::queue) records: R,
    /// A change of several tasks in progress, whose counts are written once.
    pub(in crate::state::queue) changing: Option<Changing>,
}

impl<R> Queue<R> {
    pub(in crate::state::queue) fn of(records: R) -> Self {
        Self { records, changing: None }
    }
}

impl WriteTx<'_> {
    /// The task queue.
    pub fn queue(&mut self) -> Queue<&mut Self> {
        Queue::of(self)
    }
}

impl View {
    /// The task queue, as this view sees it.
    pub fn queue(&self) -> Queue<&Self> {
        Queue::of(self)
    }
}

#[expect(private_bounds, reason = "callers cannot name the reader behind a queue")]
impl<R: Records> Queue<R> {
    /// The task with that id.
    ///
    /// # Errors
    ///
    /// `Damaged` when it cannot be read.
    pub fn get(&self, id: &TaskId) -> Result<Option<Task>> {
        self.stored(id)?.map(|task| self.shown(task)).transpose()
    }

    /// The stored task with that id. A scheduled or waiting task is stored as ready.
    pub(in crate::state::queue) fn stored(&self, id: &TaskId) -> Result<Option<Task>> {
        let payload = self.records.get(CollectionId::QUEUE, id.as_bytes())?;
        payload.map(|payload| Task::from_record(id.as_bytes(), &payload)).transpose()
    }

    /// The task with an id that a caller gave.
    pub(in crate::state::queue) fn existing(&self, id: &TaskId) -> Result<Task> {
        self.stored(id)?.ok_or_else(|| Error::not_found(format!("there is no such task: task={id}")))
    }

    /// The task that an index row names.
    pub(in crate::state::queue) fn indexed(&self, id: &TaskId) -> Result<Task> {
        let missing =
            || Error::damaged(format!("the index names a task that is not there; check the store: task={id}"));
        self.stored(id)?.ok_or_else(|| missing().with_hint(Hint::CheckStore))
    }

    /// The current time, rounded as stored times are.
    pub(in crate::state::queue) fn now(&self) -> Timestamp {
        as_stored(self.records.now())
    }
}

/// The first ids of several tasks, and how many more there are; none without any.
pub(in crate::state::queue) fn names<'t>(mut ids: impl Iterator<Item = &'t TaskId>) -> Option<String> {
    const NAMED: usize = 10;
    let mut names = ids.next()?.to_string();
    for id in ids.by_ref().take(NAMED - 1) {
        names += &format!(", {id}");
    }
    let more = ids.count();
    Some(if more > 0 { format!("{names} and {more} more") } else { names })
}

impl Queue<&mut WriteTx<'_>> {
    /// Writes a changed task, and returns it with the state that callers see.
    pub(in crate::state::queue) fn change(&mut self, before: &Task, after: Task) -> Result<Task> {
        let after = self.save(Some(before), after)?;
        self.shown(after)
    }

    /// Writes a task, its assignment and the counts in one transaction. No other function writes tasks. Returns the
    /// task, with `ready_since` set.
    pub(in crate::state::queue) fn save(&mut self, before: Option<&Task>, mut after: Task) -> Result<Task> {
        if before == Some(&after) {
            return Ok(after);
        }
        if after.ready_since.is_none() && after.state_by_record() == TaskState::Ready {
            after.ready_since = Some(self.now());
        }
        self.counted(before.map(Task::state_by_record), Some(after.state_by_record()), |tx| {
            tx.put(CollectionId::QUEUE, after.key(), &codec::encode(&after)?)?;
            assignments::follow(tx, before, Some(&after))
        })?;
        Ok(after)
    }

    /// Removes a task. No other function removes tasks.
    pub(in crate::state::queue) fn erase(&mut self, task: &Task) -> Result<()> {
        self.counted(Some(task.state_by_record()), None, |tx| {
            tx.remove(CollectionId::QUEUE, task.key())?;
            assignments::follow(tx, Some(task), None)
        })
    }
}
