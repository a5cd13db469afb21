//! The tasks of a file that was overtaken: which of its changes the store that goes on takes, and how.
//!
//! A claim is life of one machine, and so are the attempts, delays and errors that it leaves: they are no change. A
//! task is never run a second time because of the file, and an end is taken only if nobody has begun anew here.

use std::collections::{BTreeMap, BTreeSet};

use crate::engine::records::Records;
use crate::engine::write::WriteTx;
use crate::error::Result;
use crate::state::ids::TaskId;
use crate::state::queue::ending::leases::{LEASE_ENDED, claim_lost};
use crate::state::queue::pushing::waiting::{TaskIs, found_waiting_for};
use crate::state::queue::tasks::saving::Queue;
use crate::state::queue::tasks::task::{Holder, Task, TaskState};

/// The fate of a task that differs in the file from its state before both went apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OrphanTask {
    /// Nothing but life of the other machine has changed.
    Unchanged,
    /// The store has the change, or was done with the task meanwhile.
    AlreadyThere,
    Take,
    /// It stays as the store has it, for this reason.
    Conflict(&'static str),
}

use OrphanTask::{AlreadyThere, Conflict, Take, Unchanged};

const BEGUN_HERE: &str = "it was begun again here";
const ENDED_OTHERWISE: &str = "it has ended otherwise here";

/// A task before both went apart, and as the file has it; none: it is not there.
pub(crate) type TaskBefore<'t> = Option<&'t Task>;

/// Decides about a task of the file by what the store has now, and had before both went apart.
///
/// # Errors
///
/// `Damaged` when a task of the store cannot be read.
pub(crate) fn judge_orphan(
    here: &dyn Records,
    before: &dyn Records,
    base: TaskBefore<'_>,
    old: TaskBefore<'_>,
) -> Result<OrphanTask> {
    let Some(task) = old.or(base) else { return Ok(Unchanged) };
    let queue = Queue::of(here);
    let (new, remembered) = (queue.stored(&task.id)?, queue.remembered(&task.id)?);
    Ok(match (base, old, &new) {
        (None, Some(old), None) => match remembered {
            // The name was that of an earlier task, too.
            Some(remembered) if remembered.finished_at < old.enqueued_at => {
                Conflict("the store finished an earlier task with this id")
            }
            Some(remembered) if is_done_there_alone(old, remembered.state) => Conflict(ENDED_OTHERWISE),
            Some(_) => AlreadyThere,
            None => judge_key(&queue, before, old)?,
        },
        (None, Some(old), Some(new)) => judge_same(old, new),
        (Some(_), None, None) => AlreadyThere,
        // Finished tasks are removed by each store for itself.
        (Some(base), None, Some(_)) if base.state.is_finished() => Unchanged,
        (Some(_), None, Some(_)) => Conflict("it is not in the file any more, and how it ended there is not known"),
        (Some(base), Some(old), _) if (base.enqueued_at, &base.depends_on) != (old.enqueued_at, &old.depends_on) => {
            Conflict("the file has another task of this name")
        }
        (Some(base), Some(old), _) if !is_change(base, old) => Unchanged,
        (Some(base), Some(_), None) if base.state.is_finished() => Conflict("it was removed here"),
        (Some(_), Some(old), None) => match remembered {
            Some(remembered) if is_done_there_alone(old, remembered.state) => Conflict(ENDED_OTHERWISE),
            Some(_) => AlreadyThere,
            None => Conflict("it is not in the store any more, and how it ended there is not known"),
        },
        (Some(base), Some(old), Some(new)) => judge_change(base, old, new),
        (None, None, _) => Unchanged,
    })
}

/// A task that both have, and that was not there before.
fn judge_same(old: &Task, new: &Task) -> OrphanTask {
    if !is_same_work(old, new) {
        return Conflict("the store has another task of this name");
    }
    if old.state != TaskState::Done || is_done_alike(old, new) {
        return AlreadyThere;
    }
    if new.state.is_finished() {
        return Conflict(ENDED_OTHERWISE);
    }
    match new.holder.is_none() && new.attempts == 0 && new.last_error.is_none() {
        true => Take,
        false => Conflict(BEGUN_HERE),
    }
}

/// A new task, of which the store may have the work under another name.
fn judge_key(queue: &Queue<&dyn Records>, before: &dyn Records, old: &Task) -> Result<OrphanTask> {
    let Some(other) = queue.other_with_key_of(old)? else { return Ok(Take) };
    let is_older = Queue::of(before).stored(&other)?.is_some();
    let other = queue.stored(&other)?.filter(|other| !is_older && other.payload == old.payload);
    Ok(match other.is_some_and(|other| old.state != TaskState::Done || is_done_alike(old, &other)) {
        true => AlreadyThere,
        false => Conflict("the store has another task with its idempotency key"),
    })
}

/// Whether a task is done in both, with the same result.
fn is_done_alike(old: &Task, new: &Task) -> bool {
    new.state == old.state && new.result == old.result
}

/// Whether a task is done in the file, and ended otherwise in the store, which was done with it in that state.
fn is_done_there_alone(old: &Task, remembered: TaskState) -> bool {
    old.state == TaskState::Done && remembered != TaskState::Done
}

/// Whether the task of a file is the one of the store, whatever became of it. A due time of a schedule is the same work
/// on each machine.
fn is_same_work(old: &Task, new: &Task) -> bool {
    let due = |task: &Task| Some((task.schedule()?.to_owned(), task.due_at()?.to_owned()));
    if due(old).is_some_and(|old| due(new) == Some(old)) {
        return true;
    }
    let order = |task: &Task| (task.enqueued_at, task.idempotency_key.clone(), task.depends_on.clone());
    order(old) == order(new) && old.payload == new.payload && old.attributes == new.attributes
}

/// Whether something has changed that is more than life of the machine.
fn is_change(base: &Task, old: &Task) -> bool {
    described(base) != described(old) || has_ended_otherwise(base, old)
}

/// Whether a task has an end that it did not have, or no longer has the one that it had. An attempt that failed without
/// a word of its bot is none: the store ends such claims by itself.
fn has_ended_otherwise(base: &Task, old: &Task) -> bool {
    match (base.state.is_finished(), old.state.is_finished()) {
        (false, false) => false,
        (false, true) => old.state != TaskState::Dead,
        (true, _) => base != old,
    }
}

/// The fields that only a producer or an operator changes.
fn described(task: &Task) -> Task {
    Task {
        state: TaskState::Ready,
        holder: None,
        sequence: 0,
        waiting_for: BTreeSet::new(),
        not_before: None,
        finished_at: None,
        attempts: 0,
        finished_by: None,
        last_error: None,
        result: serde_json::Value::Null,
        ready_since: None,
        ..task.clone()
    }
}

/// A change of a task that all three have.
fn judge_change(base: &Task, old: &Task, new: &Task) -> OrphanTask {
    let is_same_end = !has_ended_otherwise(base, old) || old.state.is_finished() && is_done_alike(old, new);
    if is_same_end && described(new) == described(old) {
        return AlreadyThere;
    }
    if !old.state.is_finished() && !new.state.is_finished() && base.state.is_finished() {
        return AlreadyThere;
    }
    // An undo there does not make it run a second time, whatever became of it since.
    if new.state == TaskState::Done && old.state != TaskState::Done {
        return Conflict("it is done here");
    }
    if old.state == TaskState::Dead && !base.state.is_finished() {
        return Conflict("its attempts have ended there");
    }
    if new.state.is_finished() && base != new {
        return Conflict(ENDED_OTHERWISE);
    }
    if described(new) != described(base) {
        return Conflict("it was changed here too");
    }
    let is_untouched = if base.state.is_finished() { base == new } else { is_as_before(base, new) };
    // Its bot may still work on it, and only that bot's own end of this attempt is a reason to void the claim.
    let is_own_end = |holder: &Holder| {
        let is_end = matches!(old.state, TaskState::Done | TaskState::Failed) && old.attempts == base.attempts;
        is_end && old.finished_by.as_ref() == Some(&holder.bot)
    };
    match is_untouched {
        false => Conflict(BEGUN_HERE),
        true if new.holder.as_ref().is_some_and(|holder| !is_own_end(holder)) => Conflict("a bot holds it here"),
        true => Take,
    }
}

/// Whether nobody has begun the task since both went apart: nobody holds it but the bot that held it before, and its
/// claim was released at most.
fn is_as_before(base: &Task, new: &Task) -> bool {
    let claim = |holder: &Holder| (holder.bot.clone(), holder.token, holder.since);
    match (&base.holder, &new.holder) {
        (_, Some(holder)) => base.holder.as_ref().map(claim) == Some(claim(holder)),
        (Some(_), None) if new.attempts < base.attempts => {
            new.attempts == base.attempts.saturating_sub(1) && new.last_error == base.last_error
        }
        // The claim was kept, and its lease ended here.
        (Some(holder), None) => {
            let lost = claim_lost(LEASE_ENDED, &holder.bot, base.attempts);
            new.attempts == base.attempts && new.last_error == Some(lost)
        }
        (None, None) => new.attempts == base.attempts && new.last_error == base.last_error,
    }
}

/// New tasks of a file that wait for others: none of them may wait for ever.
#[derive(Default)]
pub(crate) struct WaitingOrphans(BTreeMap<TaskId, BTreeSet<TaskId>>);

impl WaitingOrphans {
    /// Notes a task that is taken; one that the store has is requeued or changed, and waits for those that are here.
    ///
    /// # Errors
    ///
    /// `Damaged` when a task of the store cannot be read.
    pub(crate) fn note(&mut self, here: &dyn Records, task: &Task, is_new: bool) -> Result<()> {
        let mut waits = BTreeSet::new();
        if !task.state.is_finished() {
            waits = Queue::of(here).not_done_among(&task.depends_on)?;
            waits.extend(task.waiting_for.iter().filter(|_| is_new).cloned());
        }
        self.0.insert(task.id.clone(), waits);
        Ok(())
    }

    /// The noted tasks that cannot be taken, with the reasons: those that would wait for a task that neither the
    /// store has nor the file brings, or for themselves; and those that wait for one of these.
    ///
    /// # Errors
    ///
    /// `Damaged` when a task of the store cannot be read.
    pub(crate) fn refused(mut self, here: &dyn Records) -> Result<BTreeMap<TaskId, &'static str>> {
        let queue = Queue::of(here);
        let mut refused = BTreeMap::new();
        for (id, waits) in &self.0 {
            for other in waits {
                let is_missing = match queue.stands(other)? {
                    TaskIs::Here(_) | TaskIs::Purged(TaskState::Done) => false,
                    TaskIs::Purged(_) => true,
                    TaskIs::Unknown => !self.0.contains_key(other),
                };
                if is_missing {
                    refused.insert(id.clone(), "it waits for a task that will not be done here");
                }
            }
            // A circle leads through a task of the store that waits for this one.
            if !waits.is_empty() && queue.is_waited_for(id)? && self.waits_for_itself(&queue, id)? {
                refused.insert(id.clone(), "it would wait for itself");
            }
        }
        let mut rest: Vec<_> = refused.keys().cloned().collect();
        let mut waiting: BTreeMap<TaskId, Vec<TaskId>> = BTreeMap::new();
        for (id, waits) in std::mem::take(&mut self.0) {
            waits.into_iter().for_each(|other| waiting.entry(other).or_default().push(id.clone()));
        }
        while let Some(id) = rest.pop() {
            for other in waiting.remove(&id).unwrap_or_default() {
                if !refused.contains_key(&other) {
                    refused.insert(other.clone(), "it waits for a task that is not taken");
                    rest.push(other);
                }
            }
        }
        Ok(refused)
    }

    fn waits_for_itself(&self, queue: &Queue<&dyn Records>, id: &TaskId) -> Result<bool> {
        let waits = |task: &TaskId| match self.0.get(task) {
            Some(waits) => Ok(waits.clone()),
            None => queue.depends_on_unless_done(task),
        };
        Ok(found_waiting_for(id, vec![id.clone()], waits)?.is_some())
    }
}

impl Queue<&mut WriteTx<'_>> {
    /// Takes a task of the file that [`judge_orphan`] lets take. Every number is one of this store.
    pub(crate) fn take_orphan(&mut self, old: Task) -> Result<()> {
        let new = self.stored(&old.id)?;
        let now = self.now();
        let not_before = old.not_before.filter(|time| *time > now);
        let task = match &new {
            None if old.state.is_finished() => Task { sequence: self.next_sequence()?, ..old },
            // Its claim was one of the other machine, and no attempt of this one. A dependency that is done there may
            // not be done here yet.
            None => Task {
                state: TaskState::Ready,
                sequence: self.next_sequence()?,
                attempts: old.attempts.saturating_sub(u32::from(old.holder.is_some())),
                holder: None,
                waiting_for: &self.not_done(&old.waiting_for)? | &self.not_done_among(&old.depends_on)?,
                not_before,
                ready_since: None,
                ..old
            },
            Some(new) if old.state.is_finished() => Task { sequence: new.sequence, ..old },
            Some(new) if new.state.is_finished() => Task {
                state: TaskState::Ready,
                sequence: self.next_sequence()?,
                attempts: 0,
                holder: None,
                waiting_for: self.not_done_again(new)?,
                not_before,
                finished_at: None,
                finished_by: None,
                ready_since: None,
                ..old
            },
            // The life of a task goes on as it is here.
            Some(new) => Task {
                assigned_to: old.assigned_to,
                priority: old.priority,
                capabilities: old.capabilities,
                payload: old.payload,
                attributes: old.attributes,
                max_attempts: old.max_attempts,
                idempotency_key: old.idempotency_key,
                ..new.clone()
            },
        };
        let task = self.save(new.as_ref(), task)?;
        if task.state == TaskState::Done {
            self.release_those_waiting_for(&task.id)?;
        }
        Ok(())
    }
}
