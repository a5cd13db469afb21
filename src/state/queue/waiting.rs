//! Tasks that wait for other tasks or for their start time.

use std::collections::BTreeSet;

use crate::engine::records::Records;
use crate::engine::schema::Table;
use crate::engine::write::WriteTx;
use crate::error::{Error, Hint, Result};
use crate::state::ids::TaskId;
use crate::state::queue::damage::PassedOver;
use crate::state::queue::task::{Task, TaskState};
use crate::state::queue::{Queue, keys};

/// The status of a task for the tasks that depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TaskIs {
    /// The task is in the queue, in this state.
    Here(TaskState),
    /// The task was purged after it ended in this state.
    Purged(TaskState),
    /// No such task exists, and none is remembered.
    Unknown,
}

impl TaskIs {
    fn is_done(self) -> bool {
        matches!(self, Self::Here(TaskState::Done) | Self::Purged(TaskState::Done))
    }
}

#[expect(private_bounds, reason = "what a queue is read from is the crate's own matter")]
impl<R: Records> Queue<R> {
    /// The tasks of `ids` that are not done, and were not done when they were purged.
    pub(super) fn not_done(&self, ids: &BTreeSet<TaskId>) -> Result<BTreeSet<TaskId>> {
        self.those(ids, |task| !task.is_done())
    }

    /// The tasks of `ids` that are not in the queue, or not done there.
    pub(super) fn not_done_here(&self, ids: &BTreeSet<TaskId>) -> Result<BTreeSet<TaskId>> {
        self.those(ids, |task| task != TaskIs::Here(TaskState::Done))
    }

    /// Refuses a dependency on an unknown task, which is most often a typing error, or on a task that was given up and
    /// purged.
    pub(super) fn refuse_missing(&self, ids: &BTreeSet<TaskId>) -> Result<()> {
        for id in ids {
            let what = match self.stands(id)? {
                TaskIs::Unknown => "there is no task of that name to wait for".to_owned(),
                TaskIs::Purged(state) => {
                    format!("a task to wait for was {state} and purged, so it will not be done")
                }
                TaskIs::Here(_) => continue,
            };
            return Err(Error::invalid(format!("{what}; enqueue it first, or allow missing dependencies: after={id}"))
                .with_hint(Hint::AllowMissingDependencies));
        }
        Ok(())
    }

    /// The dependencies of a finished task that is requeued. If it was claimed before, all its dependencies were done
    /// then, so a missing one was purged.
    pub(super) fn not_done_again(&self, task: &Task) -> Result<BTreeSet<TaskId>> {
        if task.attempts == 0 {
            return self.not_done(&task.depends_on);
        }
        self.those(&task.depends_on, |task| matches!(task, TaskIs::Here(state) if state != TaskState::Done))
    }

    /// The tasks of `ids` whose status is wanted.
    fn those(&self, ids: &BTreeSet<TaskId>, wanted: impl Fn(TaskIs) -> bool) -> Result<BTreeSet<TaskId>> {
        let mut those = BTreeSet::new();
        for id in ids {
            if wanted(self.stands(id)?) {
                those.insert(id.clone());
            }
        }
        Ok(those)
    }
}

impl Queue<&mut WriteTx<'_>> {
    /// Refuses a task that depends on itself through other tasks.
    ///
    /// This is possible only if another task already waits for its id, so one look-up is enough in most cases.
    pub(super) fn refuse_waiting_for_itself(&self, task: &Task) -> Result<()> {
        if task.state != TaskState::Ready || task.waiting_for.is_empty() || !self.is_waited_for(&task.id)? {
            return Ok(());
        }
        let mut seen = BTreeSet::new();
        let mut rest: Vec<TaskId> = task.waiting_for.iter().cloned().collect();
        while let Some(other) = rest.pop() {
            let waits_for = self.stored(&other)?.filter(|other| other.state != TaskState::Done);
            let waits_for = waits_for.map(|other| other.depends_on).unwrap_or_default();
            if waits_for.contains(&task.id) {
                let id = &task.id;
                return Err(Error::invalid(format!("the task would wait for itself: task={id} through={other}")));
            }
            rest.extend(waits_for.into_iter().filter(|id| seen.insert(id.clone())));
        }
        Ok(())
    }

    /// Whether any task waits for this one.
    pub(super) fn is_waited_for(&self, id: &TaskId) -> Result<bool> {
        Ok(!self.records.rows(Table::Index, &keys::waiting_for(id).range(), 1)?.is_empty())
    }

    /// Removes a done task from the dependencies of the tasks that wait for it. A damaged task is left to the repair.
    pub(super) fn release_those_waiting_for(&mut self, done: &TaskId) -> Result<()> {
        let mut passed = PassedOver::default();
        let waiting = keys::waiting_for(done).range();
        self.sweep(waiting, usize::MAX, TaskState::Ready, &mut passed, |queue, task| {
            let mut released = task.clone();
            released.waiting_for.remove(done);
            if released.waiting_for.is_empty() {
                released.not_before = released.not_before.filter(|time| *time > queue.now());
            }
            queue.save(Some(task), released).map(drop)
        })?;
        passed.warn("a task that waits for one that is done is damaged, and goes on waiting");
        Ok(())
    }

    /// Makes at most `limit` due tasks ready; returns their number.
    pub(super) fn make_due(&mut self, limit: usize, passed: &mut PassedOver) -> Result<usize> {
        self.sweep(keys::due(self.now()), limit, TaskState::Ready, passed, |queue, task| {
            queue.save(Some(task), Task { not_before: None, ready_since: task.not_before, ..task.clone() }).map(drop)
        })
    }
}
