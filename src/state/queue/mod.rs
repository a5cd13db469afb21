//! The task queue: durable tasks. A bot claims a task under a lease and finishes it, or the task becomes ready again.
//!
//! * [`tasks`]: tasks as they are stored, and their index
//! * [`pushing`]: on their way into the queue; [`claiming`]: on their way to a bot; [`ending`]: the ends of claims and
//!   tasks
//! * [`looking`]: the queue as a person sees it, and its check
//!
//! A claim over HTTP or by `claim_wait` passes `wait`, also when it waits for nothing: its first look writes at once;
//! only when there is no task it takes a place in `commit::wakeups`. A closure begins at `claim`;
//! `leases` and `waiting`, which make due tasks ready; the registry and `why`, for the limit of the bot; the
//! lanes, or `order` with aging; `obstacle`; `state::keys`, as a store with keys gives out tokens that nobody can
//! guess; `save` here, which writes task, assignment and counts; and the entry of an actor, by `audit::acting`.
//! `undelivered` keeps the claims until they arrive, and, for the tools of agents, `kept_claims` those of a session
//! until it ends; `delivery` gives them back. For an empty result a face asks `why` for the reason.

mod claiming;
mod ending;
mod looking;
#[cfg(test)]
mod model_test;
mod pushing;
#[cfg(test)]
mod states_test;
mod tasks;
#[cfg(test)]
mod verbs_test;

use jiff::Timestamp;

#[cfg(feature = "replica")]
pub(crate) use claiming::claim::TOKEN;
pub use claiming::claim::{Claim, ClaimOptions, ClaimOwner};
pub use claiming::kept_claims::KeptClaims;
pub use claiming::next::Completed;
pub use claiming::obstacle::Obstacle;
pub use claiming::undelivered::Undelivered;
pub use claiming::wait::ClaimWait;
pub(crate) use ending::bulk::BulkProgress;
pub use ending::bulk::{BulkAction, BulkTasks};
pub use ending::finish::Retry;
pub(crate) use ending::memory::was_finished;
pub use ending::memory::{Memory, Remembered};
#[cfg(feature = "replica")]
pub(crate) use ending::orphans::{OrphanTask, WaitingOrphans, judge_orphan};
pub(crate) use looking::check::{check_queue, mend_queue, numbers_of_tasks};
pub use looking::counts::TaskCounts;
pub use looking::list::TaskPage;
pub use looking::why::Why;
pub use pushing::enqueue::Enqueued;
#[cfg(feature = "replica")]
pub(crate) use pushing::enqueue::SEQUENCE;
pub use pushing::new_task::NewTask;
pub use tasks::filter::TaskFilter;
pub(crate) use tasks::keys::RULE as INDEX;
pub(crate) use tasks::task::{DUE_ATTRIBUTE, SCHEDULE_ATTRIBUTE, choice_text, is_finished};
pub use tasks::task::{Holder, Priority, Task, TaskState};

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
    records: R,
    /// A change of several tasks in progress, whose counts are written once.
    changing: Option<looking::counts::Changing>,
}

impl<R> Queue<R> {
    fn of(records: R) -> Self {
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
    fn stored(&self, id: &TaskId) -> Result<Option<Task>> {
        let payload = self.records.get(CollectionId::QUEUE, id.as_bytes())?;
        payload.map(|payload| Task::from_record(id.as_bytes(), &payload)).transpose()
    }

    /// The task with an id that a caller gave.
    fn existing(&self, id: &TaskId) -> Result<Task> {
        self.stored(id)?.ok_or_else(|| Error::not_found(format!("there is no such task: task={id}")))
    }

    /// The task that an index row names.
    fn indexed(&self, id: &TaskId) -> Result<Task> {
        let missing =
            || Error::damaged(format!("the index names a task that is not there; check the store: task={id}"));
        self.stored(id)?.ok_or_else(|| missing().with_hint(Hint::CheckStore))
    }

    /// The current time, rounded as stored times are.
    fn now(&self) -> Timestamp {
        as_stored(self.records.now())
    }
}

/// The first ids of several tasks, and how many more there are; none without any.
fn names<'t>(mut ids: impl Iterator<Item = &'t TaskId>) -> Option<String> {
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
    fn change(&mut self, before: &Task, after: Task) -> Result<Task> {
        let after = self.save(Some(before), after)?;
        self.shown(after)
    }

    /// Writes a task, its assignment and the counts in one transaction. No other function writes tasks. Returns the
    /// task, with `ready_since` set.
    fn save(&mut self, before: Option<&Task>, mut after: Task) -> Result<Task> {
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
    fn erase(&mut self, task: &Task) -> Result<()> {
        self.counted(Some(task.state_by_record()), None, |tx| {
            tx.remove(CollectionId::QUEUE, task.key())?;
            assignments::follow(tx, Some(task), None)
        })
    }
}
