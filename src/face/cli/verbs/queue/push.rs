//! Pushes tasks and assigns them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, value_parser};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::duration;
use crate::face::cli::context::Context;
use crate::face::cli::parsing::input;
use crate::face::cli::printing::exit::Exit;
use crate::face::cli::target::TaskChange;
use crate::face::cli::verbs::queue::change::change;
use crate::text::counted_as;
use crate::{BotId, Error, NewTask, Priority, Result, Task, TaskId, TaskState, parse_time, show_time};

/// The maximum length of a file of tasks: a full batch, and the other fields in its lines.
const FILE_BYTES: u64 = 128 << 20;
/// The arguments that say one task.
const FIELDS: [&str; 11] = [
    "payload",
    "id",
    "priority",
    "assign",
    "after",
    "idempotency_key",
    "capability",
    "not_before",
    "delay",
    "max_attempts",
    "attributes",
];

/// Push a task to the queue; prints its id
///
/// If the idempotency key was used before, push changes nothing, prints the id of the earlier task and its state in a
/// message, and exits with code 0; with --json the field existing is true. If the earlier task differs, push fails with
/// exit code 1, unless --allow-different is given.
///
/// With --from it pushes many tasks in one commit, all of them or none. Each line of the file is one task, such as
/// {"payload": {"build": 1}, "id": "build-1", "priority": "P1", "depends_on": ["lint-1"]}. The other
/// fields are assigned_to, capabilities, idempotency_key, not_before, delay_ms, max_attempts and attributes; only
/// payload is required. A task may depend on any other one of the file. An error names the line.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hivekeep queue push '{\"build\": \"4f2a\"}'
  hivekeep queue push '\"review\"' --id review-1 --priority P1 --after build-1 --capability rust
  hivekeep queue push '\"sweep\"' --delay 10m
  hivekeep queue push - --idempotency-key nightly-2026-01-02 < task.json
  hivekeep queue push --from tasks.jsonl")]
pub(super) struct Push {
    /// The payload, or - to read it from standard input
    #[arg(value_name = "JSON", allow_negative_numbers = true, required_unless_present = "from")]
    payload: Option<String>,
    /// Push the tasks in this file, one JSON object on each line, or from standard input if it is -; at most 10,000
    /// tasks and 64 MiB
    #[arg(long, value_name = "FILE", conflicts_with_all = FIELDS)]
    from: Option<PathBuf>,
    /// The id of the task [default: a generated one, such as task-17]
    #[arg(long, value_name = "ID")]
    id: Option<TaskId>,
    /// The priority: P0, P1, P2 or P3; P0 goes first
    #[arg(long, value_name = "PRIORITY", default_value = "P2")]
    priority: Priority,
    /// Let only this bot claim it
    #[arg(long, value_name = "BOT")]
    assign: Option<BotId>,
    /// Wait until this task is done; if it fails, until it is requeued and done; repeat for several tasks. A task that
    /// was done and purged counts as done
    #[arg(long, value_name = "ID")]
    after: Vec<TaskId>,
    /// Allow tasks in --after that do not exist yet; without this an unknown id is refused
    #[arg(long)]
    allow_missing: bool,
    /// Push a task with this key only once
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// Accept the earlier task with the same key even if it differs
    #[arg(long)]
    allow_different: bool,
    /// A capability that the claiming bot must have; repeat for several capabilities
    #[arg(long, value_name = "NAME")]
    capability: Vec<String>,
    /// Allow no claim before this time, such as 2026-01-02T03:04:05Z
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    not_before: Option<Timestamp>,
    /// Allow no claim before this delay is over, such as 10m
    #[arg(long, value_name = "TIME", value_parser = duration::parse, conflicts_with = "not_before")]
    delay: Option<Duration>,
    /// The number of failed attempts after which it is dead [default: 5]
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..))]
    max_attempts: Option<u32>,
    /// Other attributes: a JSON object
    #[arg(long, value_name = "JSON")]
    attributes: Option<String>,
}

impl Push {
    pub(super) fn run(self, context: &mut Context) -> Result<Exit> {
        if let Some(file) = &self.from {
            return self.push_all(context, file);
        }
        let new = self.task()?;
        let (task, existing) = context.alter(|target| target.push(new))?;
        if context.out.is_json() {
            context.out.json(&Pushed { task: &task, existing })?;
        } else {
            context.out.line(&task.id)?;
        }
        if existing {
            context.out.message(already_there(&task));
        }
        Ok(Exit::Done)
    }

    /// Pushes the tasks of a file.
    fn push_all(&self, context: &mut Context, file: &Path) -> Result<Exit> {
        let lines = input::json_lines(file, FILE_BYTES)?;
        let tasks = lines.into_iter().enumerate().map(|(index, line)| self.task_of_line(index, line));
        let tasks = tasks.collect::<Result<Vec<_>>>()?;
        let pushed = context.alter(|target| target.push_all(tasks))?;
        if context.out.is_json() {
            context.out.json(&pushed.iter().map(|task| &task.json).collect::<Vec<_>>())?;
        } else {
            pushed.iter().try_for_each(|task| context.out.line(&task.id))?;
        }
        let existing = pushed.iter().filter(|task| task.existing).count();
        if existing > 0 {
            context.out.message(format_args!("{} already there", counted_as(existing as u64, "task is", "tasks are")));
        }
        Ok(Exit::Done)
    }

    fn task_of_line(&self, index: usize, line: Value) -> Result<NewTask> {
        let place = format!("line {}", index.saturating_add(1));
        let Value::Object(fields) = line else {
            return Err(Error::invalid(format!("{place}: a task must be a JSON object, such as {{\"payload\": 1}}")));
        };
        let mut task = NewTask::from_fields(fields).map_err(|error| error.context(place))?;
        if self.allow_different {
            task = task.allow_different();
        }
        if self.allow_missing {
            task = task.allow_missing_dependencies();
        }
        Ok(task)
    }

    fn task(self) -> Result<NewTask> {
        let payload = self.payload.as_deref().map_or(Ok(Value::Null), input::json)?;
        let mut task = NewTask::new(payload).priority(self.priority);
        task = self.after.into_iter().fold(task, NewTask::after);
        task = self.capability.into_iter().fold(task, NewTask::capability);
        task = given(task, self.id, NewTask::id);
        task = given(task, self.assign, NewTask::assign_to);
        task = given(task, self.idempotency_key, NewTask::idempotency_key);
        task = given(task, self.not_before, NewTask::not_before);
        task = given(task, self.delay, NewTask::delay);
        if self.allow_different {
            task = task.allow_different();
        }
        if self.allow_missing {
            task = task.allow_missing_dependencies();
        }
        task = given(task, self.attributes.as_deref().map(input::object).transpose()?, NewTask::attributes);
        Ok(given(task, self.max_attempts, NewTask::max_attempts))
    }
}

/// A pushed task, new or earlier.
#[derive(Serialize)]
struct Pushed<'t> {
    #[serde(flatten)]
    task: &'t Task,
    /// Whether it is an earlier task with the same idempotency key.
    existing: bool,
}

/// The state of the earlier task, and the next step if it will not run any more.
fn already_there(Task { id, state, finished_at, .. }: &Task) -> String {
    let since = finished_at.map(|at| format!(" since {}", show_time(at))).unwrap_or_default();
    let again = match state {
        TaskState::Failed | TaskState::Dead | TaskState::Cancelled => {
            format!("; to have it done: hivekeep queue requeue {id}")
        }
        _ => String::new(),
    };
    format!("task {id} is already there: {state}{since}{again}")
}

/// Applies an optional value to a task.
pub(in crate::face::cli) fn given<T>(
    task: NewTask,
    value: Option<T>,
    set: impl FnOnce(NewTask, T) -> NewTask,
) -> NewTask {
    match value {
        Some(value) => set(task, value),
        None => task,
    }
}

/// Assign a task to one bot; only that bot can claim it
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hivekeep queue assign task-1 BOT-222")]
pub(super) struct Assign {
    /// The task
    id: TaskId,
    /// The bot
    bot: BotId,
}

impl Assign {
    pub(super) fn run(self, context: &mut Context) -> Result<Exit> {
        change(context, &self.id, TaskChange::Assign(Some(self.bot)))
    }
}

/// Remove the assignment of a task; any bot can claim it
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hivekeep queue unassign task-1")]
pub(super) struct Unassign {
    /// The task
    id: TaskId,
}

impl Unassign {
    pub(super) fn run(self, context: &mut Context) -> Result<Exit> {
        change(context, &self.id, TaskChange::Assign(None))
    }
}
