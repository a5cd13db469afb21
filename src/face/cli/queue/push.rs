//! Pushes, assigns and claims tasks.

use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use crate::duration;
use crate::face::cli::context::Context;
use crate::face::cli::exit::Exit;
use crate::face::cli::input;
use crate::face::cli::queue::change::change;
use crate::{
    BotId, Claim as Taken, ClaimOptions, ClaimOwner, Enqueued, Error, NewTask, Priority, Result, Task, TaskId,
    TaskState, parse_time, show_time,
};

/// Push a task to the queue; prints its id
///
/// If the idempotency key was used before, push changes nothing, prints the id of the earlier task and its state in a
/// message, and exits with code 0; with --json the field existing is true. If the earlier task differs, push fails with
/// exit code 1, unless --allow-different is given.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hivekeep queue push '{\"build\": \"4f2a\"}'
  hivekeep queue push '\"review\"' --id review-1 --priority P1 --after build-1 --capability rust
  hivekeep queue push '\"sweep\"' --delay 10m
  hivekeep queue push - --idempotency-key nightly-2026-01-02 < task.json")]
pub(super) struct Push {
    /// The payload, or - to read it from standard input
    #[arg(value_name = "JSON", allow_negative_numbers = true)]
    payload: String,
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
    #[arg(long, value_name = "N")]
    max_attempts: Option<u32>,
    /// Other attributes: a JSON object
    #[arg(long, value_name = "JSON")]
    attributes: Option<String>,
}

impl Push {
    pub(super) fn run(self, context: &mut Context) -> Result<Exit> {
        let new = self.task()?;
        let Enqueued { task, is_new, .. } = context.change(|store| store.write(|tx| tx.queue().enqueue_once(new)))?;
        if context.out.is_json() {
            context.out.json(&Pushed { task: &task, existing: !is_new })?;
        } else {
            context.out.line(&task.id)?;
        }
        if !is_new {
            context.out.message(already_there(&task));
        }
        Ok(Exit::Done)
    }

    fn task(self) -> Result<NewTask> {
        let mut task = NewTask::new(input::json(&self.payload)?).priority(self.priority);
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
fn given<T>(task: NewTask, value: Option<T>, set: impl FnOnce(NewTask, T) -> NewTask) -> NewTask {
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
        change(context, |tx| tx.queue().assign(&self.id, &self.bot))
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
        change(context, |tx| tx.queue().unassign(&self.id))
    }
}

/// Claim the most urgent task that this bot is allowed to do
///
/// With --json it prints an object with id, token, payload and more; with --max an array of them. If there is nothing
/// for the bot, or it holds as many tasks as it may, the message says which, and the exit code is 13. A bot holds at
/// most three tasks, unless its registration (max_concurrent) or --max-concurrent sets another limit.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hivekeep queue claim BOT-222
  hivekeep queue claim BOT-222 --lease 5m --json
  hivekeep queue claim BOT-222 --max 3
  hivekeep queue claim BOT-222 --wait 1m")]
pub(super) struct Claim {
    /// The bot
    bot: BotId,
    /// The lease: the time until the bot must finish or extend, such as 500ms, 30s or 5m
    #[arg(long, value_name = "TIME", value_parser = duration::parse, default_value = "30s")]
    lease: Duration,
    /// Claim up to this many
    #[arg(long, value_name = "N")]
    max: Option<usize>,
    /// Let the bot hold this many at once [default: 3]; if its registration sets a limit too, the smaller one applies
    #[arg(long, value_name = "N")]
    max_concurrent: Option<u32>,
    /// Raise the priority of a task by one for each such time that it has been ready, such as 10m
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    aging: Option<Duration>,
    /// Wait up to this long for the first task, such as 1m
    #[arg(long, value_name = "TIME", value_parser = duration::parse, default_value = "0s")]
    wait: Duration,
}

impl Claim {
    pub(super) fn run(self, context: &mut Context) -> Result<Exit> {
        let options = ClaimOptions {
            lease: self.lease,
            max: self.max.unwrap_or(1),
            max_concurrent: self.max_concurrent,
            owner: ClaimOwner::Nobody,
            aging: self.aging,
        };
        let store = context.options().open(&context.path)?;
        let claims = store.claim_wait(&self.bot, &options, self.wait)?;
        if claims.is_empty() {
            let why = store.view()?.queue().why_nothing(&self.bot, &options)?;
            store.close()?;
            return Err(Error::not_found(why.to_string()));
        }
        // A claim is useless without its token.
        if let Err(error) = self.show(context, &claims).and_then(|()| context.out.flush()) {
            store.give_back(&claims)?;
            store.close()?;
            // Other verbs accept a closed pipe; here the reader did not get its claim.
            let why = format!("the claim could not be shown, and is given back: {error}");
            return Err(Error::new(error.kind(), why));
        }
        store.close()?;
        Ok(Exit::Done)
    }

    fn show(&self, context: &mut Context, claims: &[Taken]) -> Result<()> {
        if context.out.is_json() {
            return match (self.max, claims) {
                (None, [first, ..]) => context.out.json(first),
                _ => context.out.json(&claims),
            };
        }
        for claim in claims {
            let until = show_time(claim.deadline);
            context.out.line(format_args!("{}  token {}  until {until}  {}", claim.id, claim.token, claim.payload))?;
        }
        Ok(())
    }
}
