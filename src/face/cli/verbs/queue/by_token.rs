//! Verbs for a task that a bot holds, by the token of its claim.

use std::time::Duration;

use clap::Args;
use serde_json::Value;

use crate::duration;
use crate::face::cli::context::Context;
use crate::face::cli::parsing::input;
use crate::face::cli::printing::exit::Exit;
use crate::face::cli::target::TaskChange;
use crate::face::cli::verbs::queue::change::change;
use crate::face::cli::verbs::queue::claim::{deliver, show_lines};
use crate::{ClaimOptions, ClaimOwner, Completed, Result, Retry, Task, TaskId, Token};

/// Extend the lease of a claim
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hivekeep queue extend task-1 --token 17 --lease 5m")]
pub(super) struct Extend {
    #[command(flatten)]
    claim: ClaimedTask,
    /// The new lease, from now
    #[arg(long, value_name = "TIME", value_parser = duration::parse, default_value = "30s")]
    lease: Duration,
}

/// Mark a task as done
///
/// With --claim-next it also claims the next task for the same bot, in the same commit, and prints that claim in a
/// second line; with --json it prints an object with completed and claims. No next task is no error.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hivekeep queue complete task-1 --token 17
  hivekeep queue complete task-1 --token 17 --claim-next --lease 5m --wait 1m
  hivekeep queue complete task-1 --token 17 --result '{\"tests\": 12}'")]
pub(super) struct Complete {
    #[command(flatten)]
    claim: ClaimedTask,
    /// The result, or - to read it from standard input
    #[arg(long, value_name = "JSON", allow_negative_numbers = true)]
    result: Option<String>,
    /// Claim the next task for the same bot
    #[arg(long)]
    claim_next: bool,
    /// The lease of the next claim, such as 500ms, 30s or 5m
    #[arg(long, value_name = "TIME", value_parser = duration::parse, default_value = "30s", requires = "claim_next")]
    lease: Duration,
    /// Wait up to this long for the next task, such as 1m
    #[arg(long, value_name = "TIME", value_parser = duration::parse, default_value = "0s", requires = "claim_next")]
    wait: Duration,
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
    claim: ClaimedTask,
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
    claim: ClaimedTask,
}

/// A claimed task, and its token.
#[derive(Debug, Args)]
struct ClaimedTask {
    /// The task
    id: TaskId,
    /// The token of the claim
    #[arg(long, value_name = "TOKEN")]
    token: Token,
}

impl Extend {
    pub(super) fn run(self, context: &mut Context) -> Result<Exit> {
        let ClaimedTask { id, token } = self.claim;
        change(context, &id, TaskChange::Extend(token, self.lease))
    }
}

impl Complete {
    pub(super) fn run(self, context: &mut Context) -> Result<Exit> {
        let ClaimedTask { id, token } = self.claim;
        let result = self.result.map_or(Ok(Value::Null), |text| input::json(&text))?;
        if !self.claim_next {
            return change(context, &id, TaskChange::Complete(token, result));
        }
        let options = ClaimOptions { lease: self.lease, owner: ClaimOwner::Nobody, ..ClaimOptions::default() };
        let target = context.reach_to_change()?;
        let ended = target.complete_and_claim(&id, (token, result), &options, self.wait)?;
        deliver(target, &ended.claims, || show(context, &ended).and_then(|()| context.out.flush()))?;
        Ok(Exit::Done)
    }
}

/// Shows a completed task, and the claims behind it.
fn show(context: &mut Context, ended: &Completed) -> Result<()> {
    if context.out.is_json() {
        return context.out.json(ended);
    }
    context.out.line(format_args!("{} is {}", ended.completed.id, ended.completed.state))?;
    show_lines(context, &ended.claims)
}

impl Fail {
    pub(super) fn run(self, context: &mut Context) -> Result<Exit> {
        let ClaimedTask { id, token } = self.claim;
        let retry = match self.delay {
            _ if self.no_retry => Retry::Never,
            Some(delay) => Retry::After(delay),
            None => Retry::Later,
        };
        change(context, &id, TaskChange::Fail(token, self.error, retry))
    }
}

impl Release {
    pub(super) fn run(self, context: &mut Context) -> Result<Exit> {
        let ClaimedTask { id, token } = self.claim;
        change(context, &id, TaskChange::Release(token))
    }
}
