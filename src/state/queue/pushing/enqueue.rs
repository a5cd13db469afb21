//! Enqueues tasks and assigns them to bots.

use std::collections::BTreeSet;

use crate::clock::as_stored;
use crate::engine::records::Records;
use crate::engine::schema::Table;
use crate::engine::write::WriteTx;
use crate::error::{Error, Hint, Result};
use crate::state::ids::{BotId, TaskId, check_new};
use crate::state::queue::pushing::new_task::{Done, NewTask};
use crate::state::queue::tasks::damage::PassedOver;
use crate::state::queue::tasks::keys;
use crate::state::queue::tasks::saving::Queue;
use crate::state::queue::tasks::task::{Task, TaskState};

/// The counter of sequence numbers.
pub(crate) const SEQUENCE: &str = "task";

/// The result of an enqueue.
#[derive(Clone, Debug, PartialEq)]
pub struct Enqueued {
    /// The task in its current state.
    pub task: Task,
    /// Whether this call enqueued the task. If not, it is the earlier task with that idempotency key, in any state.
    pub is_new: bool,
    /// The fields in which the earlier task differs from the request.
    pub differs: Vec<&'static str>,
}

#[cfg(feature = "cli")]
impl Enqueued {
    /// A task in the answer to a batch, which would be long with whole tasks.
    pub(crate) fn in_brief(&self) -> serde_json::Value {
        serde_json::json!({"id": self.task.id, "state": self.task.state, "existing": !self.is_new})
    }
}

impl Queue<&mut WriteTx<'_>> {
    /// Enqueues a task and returns it.
    ///
    /// If a task with the same idempotency key exists, this returns that task in its current state and changes nothing.
    /// A producer that does not know whether its task was enqueued can therefore enqueue it again.
    /// [`enqueue_once`](Queue::enqueue_once) tells the two cases apart.
    ///
    /// # Errors
    ///
    /// `Invalid` when a name in it is no name, it asks for more than 16 capabilities or depends on more than 1,000
    /// tasks, has no attempt, names a schedule and a due time as only schedules do (`schedule` and `due_at`), would
    /// wait for itself, or depends on a task that is neither there nor was done and purged, unless that is
    /// [allowed](NewTask::allow_missing_dependencies); within a transaction the one to wait for comes first. `Conflict`
    /// when there is another task with its id, or the task with its idempotency key differs from it, unless that is
    /// [allowed](NewTask::allow_different).
    ///
    /// # Examples
    ///
    /// ```
    /// use hivekeep::{NewTask, Store};
    ///
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = Store::open(dir.path().join("hive.redb"))?;
    /// let new = NewTask::new("build").idempotency_key("build of 4f2a");
    /// let first = store.write(|tx| tx.queue().enqueue(new.clone()))?;
    /// let again = store.write(|tx| tx.queue().enqueue(new.clone()))?;
    /// assert_eq!(first.id, again.id);
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn enqueue(&mut self, new: NewTask) -> Result<Task> {
        self.enqueue_once(new).map(|enqueued| enqueued.task)
    }

    /// Enqueues a task as [`enqueue`](Queue::enqueue) does, and returns whether it is new, and how an earlier one
    /// differs.
    ///
    /// # Errors
    ///
    /// As [`enqueue`](Queue::enqueue).
    ///
    /// # Examples
    ///
    /// ```
    /// use hivekeep::{ErrorKind, NewTask, Store};
    ///
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = Store::open(dir.path().join("hive.redb"))?;
    /// let build = |what: &str| NewTask::new(what).idempotency_key("build of today");
    /// assert!(store.write(|tx| tx.queue().enqueue_once(build("4f2a")))?.is_new);
    /// assert!(!store.write(|tx| tx.queue().enqueue_once(build("4f2a")))?.is_new);
    /// let other = store.write(|tx| tx.queue().enqueue_once(build("77aa")));
    /// assert_eq!(other.unwrap_err().kind(), ErrorKind::Conflict);
    /// let other = store.write(|tx| tx.queue().enqueue_once(build("77aa").allow_different()))?;
    /// assert_eq!(other.differs, ["payload"]);
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn enqueue_once(&mut self, new: NewTask) -> Result<Enqueued> {
        new.check_as_callers()?;
        let allows_missing = new.allow_missing_dependencies;
        let added = self.add(new, |queue, task| {
            if !allows_missing {
                queue.refuse_missing(&task.waiting_for)?;
            }
            queue.refuse_waiting_for_itself(task)
        })?;
        if added.is_new {
            self.records.note("queue_push", Some(added.task.id.as_str()))?;
        }
        Ok(added)
    }

    /// Enqueues a task under its id, unless there is or was a task of that id. No action is recorded.
    pub(crate) fn enqueue_unseen(&mut self, new: NewTask) -> Result<Option<Task>> {
        new.check()?;
        if let Some(id) = &new.id
            && (self.stored(id)?.is_some() || self.remembered(id)?.is_some())
        {
            return Ok(None);
        }
        Ok(Some(self.add(new, |_, _| Ok(()))?.task))
    }

    /// Enqueues a task whose fields are valid. `refuse` looks at what it depends on.
    pub(in crate::state::queue) fn add(
        &mut self,
        new: NewTask,
        refuse: impl FnOnce(&Self, &Task) -> Result<()>,
    ) -> Result<Enqueued> {
        if let Some(known) = self.known(new.idempotency_key.as_deref())? {
            return self.earlier(&new, known);
        }
        new.assigned_to.iter().try_for_each(|bot| self.refuse_unfit(bot))?;
        let sequence = self.next_sequence()?;
        let id = self.free_id(new.id.clone(), sequence)?;
        let task = self.task_of(new, id, sequence)?;
        refuse(self, &task)?;
        let task = self.save(None, task)?;
        self.forget(&task.id)?;
        if task.state == TaskState::Done {
            self.release_those_waiting_for(&task.id)?;
        }
        Ok(Enqueued { task: self.shown(task)?, is_new: true, differs: Vec::new() })
    }

    /// The result for a key that an earlier task has.
    fn earlier(&self, new: &NewTask, known: Task) -> Result<Enqueued> {
        let differs = new.differences(&known);
        let task = self.shown(known)?;
        if !differs.is_empty() && !new.allow_different {
            let Task { id, state, .. } = &task;
            return Err(Error::conflict(format!(
                "the task that has this idempotency key is another one; choose another key, or allow it to differ: \
                 task={id} state={state} differs={}",
                differs.join(",")
            ))
            .with_hint(Hint::AllowDifferent));
        }
        Ok(Enqueued { task, is_new: false, differs })
    }

    /// Lets only `bot` claim the task from now on. Returns the task.
    ///
    /// # Errors
    ///
    /// `NotFound` when there is no such task. `Conflict` when it is finished, or another bot holds it.
    ///
    /// # Examples
    ///
    /// ```
    /// use hivekeep::{BotId, ClaimOptions, NewTask, Store};
    ///
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = Store::open(dir.path().join("hive.redb"))?;
    /// let (ant, bee) = (BotId::new("ant")?, BotId::new("bee")?);
    /// store.write(|tx| {
    ///     let task = tx.queue().enqueue(NewTask::new("build"))?;
    ///     tx.queue().assign(&task.id, &bee)?;
    ///     assert!(tx.queue().claim(&ant, &ClaimOptions::default())?.is_empty());
    ///     assert_eq!(tx.queue().claim(&bee, &ClaimOptions::default())?.len(), 1);
    ///     Ok(())
    /// })?;
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn assign(&mut self, id: &TaskId, bot: &BotId) -> Result<Task> {
        let task = self.set_assignee(id, Some(bot))?;
        self.records.note("queue_assign", Some(&format!("{id} to {bot}")))?;
        Ok(task)
    }

    /// Lets any bot claim the task again. Returns the task.
    ///
    /// # Errors
    ///
    /// `NotFound` when there is no such task. `Conflict` when it is finished.
    pub fn unassign(&mut self, id: &TaskId) -> Result<Task> {
        let task = self.set_assignee(id, None)?;
        self.records.note("queue_assign", Some(&format!("{id} to any bot")))?;
        Ok(task)
    }

    fn set_assignee(&mut self, id: &TaskId, bot: Option<&BotId>) -> Result<Task> {
        bot.map_or(Ok(()), |bot| self.refuse_unfit(bot))?;
        let task = self.existing(id)?;
        if task.state.is_finished() {
            let state = task.state;
            return Err(Error::conflict(format!(
                "a finished task cannot be assigned; requeue it first: task={id} state={state}"
            )));
        }
        if let (Some(holder), Some(bot)) = (&task.holder, bot)
            && holder.bot != *bot
        {
            let held_by = &holder.bot;
            return Err(Error::conflict(format!(
                "another bot holds the task; release it first: task={id} held_by={held_by}"
            )));
        }
        self.change(&task, Task { assigned_to: bot.cloned(), ..task.clone() })
    }

    /// The next sequence number. No number is used twice.
    pub(in crate::state::queue) fn next_sequence(&mut self) -> Result<u64> {
        self.records.next(SEQUENCE)
    }

    /// The requested id, or a new one made from the sequence number.
    fn free_id(&self, wish: Option<TaskId>, sequence: u64) -> Result<TaskId> {
        if let Some(id) = wish {
            return match self.stored(&id)? {
                None => check_new("a task id", id.as_str(), || Ok(false)).map(|()| id),
                Some(task) => {
                    let state = self.shown(task)?.state;
                    Err(Error::conflict(format!(
                        "there is a task with that id; choose another: task={id} state={state}"
                    )))
                }
            };
        }
        let mut id = TaskId::new(format!("task-{sequence}"))?;
        let mut more = 1;
        // The id of a damaged task is in use too.
        while PassedOver::default().whole(self.stored(&id))?.is_none_or(|task| task.is_some()) {
            more += 1;
            id = TaskId::new(format!("task-{sequence}-{more}"))?;
        }
        Ok(id)
    }

    fn task_of(&self, new: NewTask, id: TaskId, sequence: u64) -> Result<Task> {
        let now = self.now();
        let not_before = new.starts_at(now).map(as_stored).filter(|time| *time > now);
        let (state, done, waiting_for) = match new.done {
            None => (TaskState::Ready, None, self.not_done(&new.depends_on)?),
            Some(done) => (TaskState::Done, Some(done), BTreeSet::new()),
        };
        let is_ready = state == TaskState::Ready && waiting_for.is_empty() && not_before.is_none();
        let finished_at = done.as_ref().map(|Done { at, .. }| as_stored(*at));
        let (finished_by, result) = done.map(|Done { by, result, .. }| (by, result)).unwrap_or_default();
        Ok(Task {
            id,
            priority: new.priority,
            sequence,
            state,
            holder: None,
            assigned_to: new.assigned_to,
            capabilities: new.capabilities,
            depends_on: new.depends_on,
            waiting_for,
            not_before,
            idempotency_key: new.idempotency_key,
            attempts: 0,
            max_attempts: new.max_attempts,
            enqueued_at: new.enqueued_at.map_or(now, as_stored),
            finished_at,
            finished_by,
            last_error: None,
            payload: new.payload,
            result,
            attributes: new.attributes,
            ready_since: is_ready.then_some(now),
        })
    }
}

#[expect(private_bounds, reason = "callers cannot name the reader behind a queue")]
impl<R: Records> Queue<R> {
    /// The task with that idempotency key.
    fn known(&self, key: Option<&str>) -> Result<Option<Task>> {
        let Some(key) = key else { return Ok(None) };
        let rows = self.records.rows(Table::Index, &keys::known_by(key).range(), 1)?;
        rows.first().map(|(row, _)| self.indexed(&keys::task_of(row)?)).transpose()
    }

    /// Another task that has the idempotency key of this one.
    pub(crate) fn other_with_key_of(&self, task: &Task) -> Result<Option<TaskId>> {
        let Some(key) = &task.idempotency_key else { return Ok(None) };
        let rows = self.records.rows(Table::Index, &keys::known_by(key).range(), 2)?;
        let ids = rows.iter().map(|(row, _)| keys::task_of(row)).collect::<Result<Vec<_>>>()?;
        Ok(ids.into_iter().find(|id| *id != task.id))
    }
}
