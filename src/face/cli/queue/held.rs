//! Verbs for a task that a bot holds, by the token of its claim.

use std::time::Duration;

use clap::Args;
use serde_json::Value;

use crate::duration;
use crate::face::cli::context::Context;
use crate::face::cli::exit::Exit;
use crate::face::cli::input;
use crate::face::cli::queue::change::change;
use crate::{Result, Retry, Task, TaskId, Token};

/// Extend the lease of a claim
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hivekeep queue extend task-1 --token 17 --lease 5m")]
pub(super) struct Extend {
    #[command(flatten)]
    claim: Held,
    /// The new lease, from now
    #[arg(long, value_name = "TIME", value_parser = duration::parse, default_value = "30s")]
    lease: Duration,
}

/// Mark a task as done
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hivekeep queue complete task-1 --token 17
  hivekeep queue complete task-1 --token 17 --result '{\"tests\": 12}'")]
pub(super) struct Complete {
    #[command(flatten)]
    claim: Held,
    /// The result, or - to read it from standard input
    #[arg(long, value_name = "JSON", allow_negative_numbers = true)]
    result: Option<String>,
}

/// Report a failed attempt; the task is retried after a delay, unless no attempt is left
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hivekeep queue fail task-1 --token 17 --error 'no compiler'
  hivekeep queue fail task-1 --token 17 --error 'rate limit' --delay 10m
  hivekeep queue fail task-1 --token 17 --error 'no such branch' --no-retry")]
pub(super) struct Fail {
    #[command(flatten)]
    claim: Held,
    /// The reason
    #[arg(long, value_name = "TEXT", default_value = Task::NO_REASON)]
    error: String,
    /// Retry after this delay, such as 10m [default: an exponential back-off]
    #[arg(long, value_name = "TIME", value_parser = duration::parse, conflicts_with = "no_retry")]
    delay: Option<Duration>,
    /// Do not retry
    #[arg(long)]
    no_retry: bool,
}

/// Release a claimed task, as if it had not been claimed
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hivekeep queue release task-1 --token 17")]
pub(super) struct Release {
    #[command(flatten)]
    claim: Held,
}

/// A claimed task, and its token.
#[derive(Debug, Args)]
struct Held {
    /// The task
    id: TaskId,
    /// The token of the claim
    #[arg(long, value_name = "TOKEN")]
    token: Token,
}

impl Extend {
    pub(super) fn run(self, context: &mut Context) -> Result<Exit> {
        let Held { id, token } = self.claim;
        change(context, |tx| tx.queue().extend(&id, token, self.lease))
    }
}

impl Complete {
    pub(super) fn run(self, context: &mut Context) -> Result<Exit> {
        let Held { id, token } = self.claim;
        let result = self.result.map_or(Ok(Value::Null), |text| input::json(&text))?;
        change(context, |tx| tx.queue().complete(&id, token, result))
    }
}

impl Fail {
    pub(super) fn run(self, context: &mut Context) -> Result<Exit> {
        let Held { id, token } = self.claim;
        let retry = match self.delay {
            _ if self.no_retry => Retry::Never,
            Some(delay) => Retry::After(delay),
            None => Retry::Later,
        };
        change(context, |tx| tx.queue().fail(&id, token, self.error, retry))
    }
}

impl Release {
    pub(super) fn run(self, context: &mut Context) -> Result<Exit> {
        let Held { id, token } = self.claim;
        change(context, |tx| tx.queue().release(&id, token))
    }
}
