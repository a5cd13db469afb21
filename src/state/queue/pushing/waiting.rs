//! Tasks that wait for other tasks or for their start time.

use std::collections::{BTreeMap, BTreeSet};

use crate::engine::records::Records;
use crate::engine::schema::Table;
use crate::engine::write::WriteTx;
use crate::error::{Error, Hint, Result};
use crate::state::ids::TaskId;
use crate::state::queue::tasks::damage::PassedOver;
use crate::state::queue::tasks::keys;
use crate::state::queue::tasks::saving::Queue;
use crate::state::queue::tasks::task::{Task, TaskState};

/// The status of a task for the tasks that depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::state::queue) enum TaskIs {
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

#[expect(private_bounds, reason = "callers cannot name the reader behind a queue")]
impl<R: Records> Queue<R> {
    /// The tasks of `ids` that are not done, and were not done when they were purged.
    pub(in crate::state::queue) fn not_done(&self, ids: &BTreeSet<TaskId>) -> Result<BTreeSet<TaskId>> {
        self.those(ids, |task| !task.is_done())
    }

    /// The tasks of `ids` that are not in the queue, or not done there.
    pub(in crate::state::queue) fn not_done_here(&self, ids: &BTreeSet<TaskId>) -> Result<BTreeSet<TaskId>> {
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
            return Err(Error::invalid(format!(
                "{what}; enqueue it first, or allow missing dependencies: depends_on={id}"
            ))
            .with_hint(Hint::AllowMissingDependencies));
        }
        Ok(())
    }

    /// The dependencies of a finished task that is requeued. If it was claimed before, all its dependencies were done
    /// then, so a missing one was purged.
    pub(in crate::state::queue) fn not_done_again(&self, task: &Task) -> Result<BTreeSet<TaskId>> {
        if task.attempts == 0 {
            return self.not_done(&task.depends_on);
        }
        self.not_done_among(&task.depends_on)
    }

    /// The tasks of `ids` that are in the queue and not done there.
    pub(in crate::state::queue) fn not_done_among(&self, ids: &BTreeSet<TaskId>) -> Result<BTreeSet<TaskId>> {
        self.those(ids, |task| matches!(task, TaskIs::Here(state) if state != TaskState::Done))
    }

    /// The dependencies of a task that is not done.
    pub(in crate::state::queue) fn depends_on_unless_done(&self, id: &TaskId) -> Result<BTreeSet<TaskId>> {
        let task = self.stored(id)?.filter(|task| task.state != TaskState::Done);
        Ok(task.map(|task| task.depends_on).unwrap_or_default())
    }

    /// Whether any task waits for this one.
    pub(in crate::state::queue) fn is_waited_for(&self, id: &TaskId) -> Result<bool> {
        Ok(!self.records.rows(Table::Index, &keys::waiting_for(id).range(), 1)?.is_empty())
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

/// A task that waits for `id`, searched from these on; none if none of them does, nor of those that they wait for.
pub(in crate::state::queue) fn found_waiting_for(
    id: &TaskId,
    mut rest: Vec<TaskId>,
    waits_for: impl Fn(&TaskId) -> Result<BTreeSet<TaskId>>,
) -> Result<Option<TaskId>> {
    let mut seen = BTreeSet::new();
    while let Some(next) = rest.pop() {
        let waits = waits_for(&next)?;
        if waits.contains(id) {
            return Ok(Some(next));
        }
        rest.extend(waits.into_iter().filter(|other| seen.insert(other.clone())));
    }
    Ok(None)
}

/// The refusal of a task that depends on itself through another one.
pub(in crate::state::queue) fn waits_for_itself(id: &TaskId, other: &TaskId) -> Error {
    Error::invalid(format!("the task would wait for itself: task={id} through={other}"))
}

impl Queue<&mut WriteTx<'_>> {
    /// Refuses a task that depends on itself through other tasks.
    ///
    /// This is possible only if another task already waits for its id, so one look-up is enough in most cases.
    pub(in crate::state::queue) fn refuse_waiting_for_itself(&self, task: &Task) -> Result<()> {
        if task.state != TaskState::Ready || task.waiting_for.is_empty() || !self.is_waited_for(&task.id)? {
            return Ok(());
        }
        let rest = task.waiting_for.iter().cloned().collect();
        match found_waiting_for(&task.id, rest, |other| self.depends_on_unless_done(other))? {
            Some(other) => Err(waits_for_itself(&task.id, &other)),
            None => Ok(()),
        }
    }

    /// The first tasks found that wait for each other in a circle with some of `new`, which are enqueued already: each
    /// one waits for the next, and the last for the first. Every task is read once.
    pub(super) fn circle(&self, new: &[TaskId]) -> Result<Option<Vec<TaskId>>> {
        // The tasks that were read; whether they are on the way from the first one to the last.
        let mut read: BTreeMap<TaskId, bool> = BTreeMap::new();
        for first in new {
            if read.contains_key(first) || !self.is_waited_for(first)? {
                continue;
            }
            let mut way = vec![(first.clone(), self.left_of(first, &read)?)];
            read.insert(first.clone(), true);
            while let Some((last, rest)) = way.last_mut() {
                let Some(next) = rest.pop() else {
                    read.insert(last.clone(), false);
                    way.pop();
                    continue;
                };
                match read.get(&next) {
                    Some(true) => {
                        let from = way.iter().position(|(id, _)| *id == next).unwrap_or_default();
                        return Ok(Some(way.split_off(from).into_iter().map(|(id, _)| id).collect()));
                    }
                    Some(false) => {}
                    None => {
                        let rest = self.left_of(&next, &read)?;
                        read.insert(next.clone(), true);
                        way.push((next, rest));
                    }
                }
            }
        }
        Ok(None)
    }

    /// The dependencies of a task from which the search for a circle has still to go on.
    fn left_of(&self, id: &TaskId, read: &BTreeMap<TaskId, bool>) -> Result<Vec<TaskId>> {
        let depends_on = self.depends_on_unless_done(id)?.into_iter();
        Ok(depends_on.filter(|other| read.get(other) != Some(&false)).collect())
    }

    /// Removes a done task from the dependencies of the tasks that wait for it. A damaged task is left to the repair.
    pub(in crate::state::queue) fn release_those_waiting_for(&mut self, done: &TaskId) -> Result<()> {
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
    pub(in crate::state::queue) fn make_due(&mut self, limit: usize, passed: &mut PassedOver) -> Result<usize> {
        self.sweep(keys::due(self.now()), limit, TaskState::Ready, passed, |queue, task| {
            queue.save(Some(task), Task { not_before: None, ready_since: task.not_before, ..task.clone() }).map(drop)
        })
    }
}
