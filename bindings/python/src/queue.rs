//! The task queue.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hivekeep::{BotId, Claim, ClaimOptions, ClaimWait, Enqueued, NewTask, Retry, Task, TaskId, Token};
use pyo3::prelude::*;
use serde::Serialize;

use crate::call::{detached, parsed, parsed_or_none, raised, waited};
use crate::door::{self, Door, read_json};
use crate::value::{Numbers, given, to_json, to_object};
use crate::waiting;

/// A task to enqueue.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct Wanted<'py> {
    payload: Bound<'py, PyAny>,
    id: Option<String>,
    priority: Option<String>,
    not_before: Option<String>,
    delay_ms: Option<u64>,
    capabilities: Vec<String>,
    assigned_to: Option<String>,
    depends_on: Vec<String>,
    allow_missing_dependencies: bool,
    idempotency_key: Option<String>,
    allow_different: bool,
    max_attempts: Option<u32>,
    attributes: Option<Bound<'py, PyAny>>,
}

impl Wanted<'_> {
    fn into_task(self, py: Python<'_>) -> PyResult<NewTask> {
        let mut task = NewTask::new(to_json(&self.payload)?);
        task = with(task, parsed_or_none(py, self.id.as_deref())?, NewTask::id);
        task = with(task, parsed_or_none(py, self.priority.as_deref())?, NewTask::priority);
        let not_before = self.not_before.as_deref().map(hivekeep::parse_time).transpose();
        task = with(task, not_before.map_err(|error| raised(py, &error))?, NewTask::not_before);
        task = with(task, self.delay_ms.map(Duration::from_millis), NewTask::delay);
        task = self.capabilities.into_iter().fold(task, NewTask::capability);
        task = with(task, parsed_or_none(py, self.assigned_to.as_deref())?, NewTask::assign_to);
        for other in &self.depends_on {
            task = task.after(parsed(py, other)?);
        }
        task = with(task, self.allow_missing_dependencies.then_some(()), |task, ()| task.allow_missing_dependencies());
        task = with(task, self.idempotency_key, NewTask::idempotency_key);
        task = with(task, self.allow_different.then_some(()), |task, ()| task.allow_different());
        task = with(task, self.max_attempts, NewTask::max_attempts);
        Ok(with(task, self.attributes.as_ref().map(to_object).transpose()?, NewTask::attributes))
    }
}

fn with<T>(task: NewTask, value: Option<T>, set: impl FnOnce(NewTask, T) -> NewTask) -> NewTask {
    match value {
        Some(value) => set(task, value),
        None => task,
    }
}

/// How to claim.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct Claiming {
    lease_ms: u64,
    max: usize,
    max_concurrent: Option<u32>,
    aging_ms: Option<u64>,
}

impl From<Claiming> for ClaimOptions {
    fn from(claiming: Claiming) -> Self {
        Self {
            lease: Duration::from_millis(claiming.lease_ms),
            max: claiming.max,
            max_concurrent: claiming.max_concurrent,
            aging: claiming.aging_ms.map(Duration::from_millis),
            ..Self::default()
        }
    }
}

/// The task queue, through a door.
#[pyclass(frozen, module = "hivekeep._hivekeep")]
pub(crate) struct Queue {
    door: Door,
}

impl Queue {
    pub(crate) fn new(door: Door) -> Self {
        Self { door }
    }

    /// Changes a task whose id is known.
    fn change(
        &self,
        py: Python<'_>,
        id: &str,
        verb: impl FnOnce(hivekeep::Queue<&mut hivekeep::WriteTx<'_>>, &TaskId) -> hivekeep::Result<Task> + Send + 'static,
    ) -> PyResult<TaskFields> {
        let id: TaskId = parsed(py, id)?;
        let task = self.door.write(py, move |tx| verb(tx.queue(), &id))?;
        Ok(self.fields(task))
    }

    fn fields(&self, task: Task) -> TaskFields {
        TaskFields { task, numbers: self.door.numbers().clone() }
    }

    /// An enqueued task, whether it is new, and the fields in which an earlier one differs.
    fn pushed(&self, Enqueued { task, is_new, differs }: Enqueued) -> (TaskFields, bool, Vec<&'static str>) {
        (self.fields(task), is_new, differs)
    }

    /// An answer with claims, as Python objects. Claims that cannot become any go back, so that they are not held for
    /// nobody.
    fn delivered<'py>(
        &self,
        py: Python<'py>,
        answer: &(impl Serialize + Sync),
        claims: &[Claim],
    ) -> PyResult<Bound<'py, PyAny>> {
        let answer = detached(py, || door::json(answer)).and_then(|answer| self.door.numbers().to_python(py, &answer));
        if answer.is_err() && !claims.is_empty() {
            let claims = claims.to_vec();
            self.door.write(py, move |tx| tx.queue().give_back(&claims))?;
        }
        answer
    }
}

#[pymethods]
impl Queue {
    /// Enqueues a task, and tells whether it is new.
    fn enqueue(
        &self,
        py: Python<'_>,
        #[pyo3(from_py_with = given)] task: Wanted<'_>,
    ) -> PyResult<(TaskFields, bool, Vec<&'static str>)> {
        let task = task.into_task(py)?;
        let enqueued = self.door.write(py, move |tx| tx.queue().enqueue_once(task))?;
        Ok(self.pushed(enqueued))
    }

    /// Enqueues many tasks, all of them or none.
    fn enqueue_all(
        &self,
        py: Python<'_>,
        #[pyo3(from_py_with = given)] tasks: Vec<Wanted<'_>>,
    ) -> PyResult<Vec<(TaskFields, bool, Vec<&'static str>)>> {
        let tasks: Vec<NewTask> = tasks.into_iter().map(|task| task.into_task(py)).collect::<PyResult<_>>()?;
        let enqueued = self.door.write(py, move |tx| tx.queue().enqueue_all(tasks))?;
        Ok(enqueued.into_iter().map(|one| self.pushed(one)).collect())
    }

    /// Claims tasks, and waits for the first one.
    fn claim<'py>(
        &self,
        py: Python<'py>,
        bot: &str,
        #[pyo3(from_py_with = given)] options: Claiming,
        wait_ms: u64,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (bot, options): (BotId, ClaimOptions) = (parsed(py, bot)?, options.into());
        if wait_ms == 0 {
            let claims = self.door.write(py, move |tx| tx.queue().claim(&bot, &options))?;
            return self.delivered(py, &claims, &claims);
        }
        let shared = self.door.store(py)?;
        let mut wait = ClaimWait::new(&bot, &options, Duration::from_millis(wait_ms));
        let mut is_time = true;
        let claims = waited(py, |slice| {
            shared.refuse_inside()?;
            let claims = if is_time { wait.look(&shared.store)? } else { None };
            if claims.is_none() {
                is_time = wait.sleep(slice);
            }
            Ok(claims)
        })?;
        self.delivered(py, &claims, &claims)
    }

    /// Begins a wait for tasks in async code; see [`waiting::ClaimWait::begin`].
    fn claim_later(
        &self,
        py: Python<'_>,
        bot: &str,
        #[pyo3(from_py_with = given)] options: Claiming,
        wait_ms: u64,
        told: Py<PyAny>,
    ) -> PyResult<waiting::ClaimWait> {
        let wanted = (parsed(py, bot)?, options.into(), Duration::from_millis(wait_ms));
        waiting::ClaimWait::begin(py, self.door.store(py)?, wanted, told)
    }

    /// Completes a task.
    fn complete(&self, py: Python<'_>, id: &str, token: u64, result: &Bound<'_, PyAny>) -> PyResult<TaskFields> {
        let result = to_json(result)?;
        self.change(py, id, move |mut queue, id| queue.complete(id, Token(token), result))
    }

    /// Completes a task, and claims the next ones in the same transaction.
    fn complete_and_claim<'py>(
        &self,
        py: Python<'py>,
        id: &str,
        token: u64,
        result: &Bound<'py, PyAny>,
        #[pyo3(from_py_with = given)] options: Claiming,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (id, result, options): (TaskId, _, ClaimOptions) = (parsed(py, id)?, to_json(result)?, options.into());
        let ended =
            self.door.write(py, move |tx| tx.queue().complete_and_claim(&id, Token(token), result, &options))?;
        self.delivered(py, &ended, &ended.claims)
    }

    /// Fails a task.
    fn fail(
        &self,
        py: Python<'_>,
        id: &str,
        token: u64,
        error: String,
        retry: bool,
        delay_ms: Option<u64>,
    ) -> PyResult<TaskFields> {
        let retry = match delay_ms {
            _ if !retry => Retry::Never,
            Some(delay) => Retry::After(Duration::from_millis(delay)),
            None => Retry::Later,
        };
        self.change(py, id, move |mut queue, id| queue.fail(id, Token(token), error, retry))
    }

    /// Extends a lease, from now.
    fn extend(&self, py: Python<'_>, id: &str, token: u64, lease_ms: u64) -> PyResult<TaskFields> {
        let lease = Duration::from_millis(lease_ms);
        self.change(py, id, move |mut queue, id| queue.extend(id, Token(token), lease))
    }

    /// Releases a task as if it had not been claimed.
    fn release(&self, py: Python<'_>, id: &str, token: u64) -> PyResult<TaskFields> {
        self.change(py, id, move |mut queue, id| queue.release(id, Token(token)))
    }

    /// Cancels a task.
    fn cancel(&self, py: Python<'_>, id: &str) -> PyResult<TaskFields> {
        self.change(py, id, |mut queue, id| queue.cancel(id))
    }

    /// Makes a failed, dead or cancelled task ready again.
    fn requeue(&self, py: Python<'_>, id: &str) -> PyResult<TaskFields> {
        self.change(py, id, |mut queue, id| queue.requeue(id))
    }

    /// Assigns a task to one bot, or to any.
    fn assign(&self, py: Python<'_>, id: &str, bot: Option<&str>) -> PyResult<TaskFields> {
        let bot: Option<BotId> = parsed_or_none(py, bot)?;
        self.change(py, id, move |mut queue, id| match &bot {
            Some(bot) => queue.assign(id, bot),
            None => queue.unassign(id),
        })
    }

    /// A task, or none.
    fn get<'py>(&self, py: Python<'py>, id: &str) -> PyResult<Bound<'py, PyAny>> {
        let id: TaskId = parsed(py, id)?;
        read_json!(&self.door, py, move |from| from.queue().get(&id)?)
    }

    /// Some tasks, and where the next ones begin.
    fn page<'py>(
        &self,
        py: Python<'py>,
        state: Option<&str>,
        cursor: Option<String>,
        limit: usize,
    ) -> PyResult<Bound<'py, PyAny>> {
        let state = parsed_or_none(py, state)?;
        read_json!(&self.door, py, move |from| from.queue().page(state, cursor.as_deref(), limit)?)
    }

    /// How many tasks there are in each state.
    fn counts<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        read_json!(&self.door, py, move |from| from.queue().counts()?)
    }

    /// Explains why a task is not claimed, by any bot or by this one.
    fn why<'py>(&self, py: Python<'py>, id: &str, bot: Option<&str>) -> PyResult<Bound<'py, PyAny>> {
        let (id, bot): (TaskId, Option<BotId>) = (parsed(py, id)?, parsed_or_none(py, bot)?);
        let options = ClaimOptions::default();
        read_json!(&self.door, py, move |from| match &bot {
            Some(bot) => from.queue().why_bot(&id, bot, &options)?,
            None => from.queue().why(&id, &options)?,
        })
    }

    /// Explains why a claim of a bot is empty, in one line.
    fn why_nothing<'py>(&self, py: Python<'py>, bot: &str) -> PyResult<Bound<'py, PyAny>> {
        let bot: BotId = parsed(py, bot)?;
        let options = ClaimOptions::default();
        read_json!(&self.door, py, move |from| from.queue().why_nothing(&bot, &options)?.to_string())
    }

    /// Tasks that cannot proceed by themselves, each with its obstacle in one line.
    fn stuck<'py>(&self, py: Python<'py>, limit: usize) -> PyResult<Bound<'py, PyAny>> {
        read_json!(&self.door, py, move |from| {
            let stuck = from.queue().stuck(limit)?.into_iter();
            stuck.map(|(id, obstacle)| (id.to_string(), obstacle.to_string())).collect::<BTreeMap<_, _>>()
        })
    }

    /// Removes the tasks that finished longer ago; gives their number.
    fn purge(&self, py: Python<'_>, older_than_ms: u64) -> PyResult<usize> {
        let shared = self.door.store(py)?;
        shared.call(py, |store| store.purge_finished(Duration::from_millis(older_than_ms)))
    }

    /// The same as of this moment.
    fn at_once(&self, py: Python<'_>) -> PyResult<Self> {
        Ok(Self::new(self.door.at_once(py)?))
    }
}

/// A task that was written. Its fields become Python objects when somebody looks at them, which most callers do not.
#[pyclass(frozen, module = "hivekeep._hivekeep")]
pub(crate) struct TaskFields {
    task: Task,
    numbers: Arc<Numbers>,
}

#[pymethods]
impl TaskFields {
    /// The fields by their names.
    fn read<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let fields = door::json(&self.task).map_err(|error| raised(py, &error))?;
        self.numbers.to_python(py, &fields)
    }
}
