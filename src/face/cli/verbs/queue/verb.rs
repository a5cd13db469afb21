//! The verb `queue`: the list of verbs, `requeue`, `cancel` and `list`.

use std::time::Duration;

use clap::{Args, Subcommand};

use super::bulk::{Bulk, Which};
use super::by_token::{Complete, Extend, Fail, Release};
use super::claim::Claim;
use super::filter::Filter;
use super::memory::Memory;
use super::purge::Purge;
use super::push::{Assign, Push, Unassign};
use super::why::Why;
use crate::face::cli::context::Context;
use crate::face::cli::parsing::input;
use crate::face::cli::printing::exit::Exit;
use crate::face::cli::target::TaskChange;
use crate::{BulkAction, Error, Result, Selector, TaskFilter, TaskState, duration};

/// The task queue: push, claim, complete, and more
///
/// A claim has a lease and a token. If the lease expires first, the task goes to another bot, and the old token is
/// void.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hivekeep queue push '{\"build\": \"4f2a\"}' --priority P1
  hivekeep queue claim BOT-222 --json
  hivekeep queue complete task-1 --token 17 --result '\"built\"'")]
pub(in crate::face::cli) struct QueueArgs {
    #[command(subcommand)]
    verb: QueueVerb,
}

#[derive(Debug, Subcommand)]
enum QueueVerb {
    Push(Push),
    Assign(Assign),
    Unassign(Unassign),
    Claim(Claim),
    Extend(Extend),
    Complete(Complete),
    Fail(Fail),
    Release(Release),
    Requeue(Requeue),
    Cancel(Cancel),
    Bulk(Bulk),
    Purge(Purge),
    Memory(Memory),
    List(List),
    Why(Why),
}

impl QueueArgs {
    pub(in crate::face::cli) fn run(self, context: &mut Context) -> Result<Exit> {
        match self.verb {
            QueueVerb::Push(push) => push.run(context),
            QueueVerb::Assign(assign) => assign.run(context),
            QueueVerb::Unassign(unassign) => unassign.run(context),
            QueueVerb::Claim(claim) => claim.run(context),
            QueueVerb::Extend(extend) => extend.run(context),
            QueueVerb::Complete(complete) => complete.run(context),
            QueueVerb::Fail(fail) => fail.run(context),
            QueueVerb::Release(release) => release.run(context),
            QueueVerb::Requeue(Requeue { which }) => which.run(context, BulkAction::Requeue, TaskChange::Requeue),
            QueueVerb::Cancel(Cancel { which }) => which.run(context, BulkAction::Cancel, TaskChange::Cancel),
            QueueVerb::Bulk(bulk) => bulk.run(context),
            QueueVerb::Purge(purge) => purge.run(context),
            QueueVerb::Memory(memory) => memory.run(context),
            QueueVerb::List(list) => list.run(context),
            QueueVerb::Why(why) => why.run(context),
        }
    }
}

/// Requeue a failed, dead or cancelled task, with all its attempts; or all tasks of a filter
///
/// All tasks of a filter are requeued behind a new restore point, in many small transactions. If the process is killed
/// meanwhile, a service continues by itself; without one, run queue bulk --continue.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hivekeep queue requeue task-1
  hivekeep queue requeue --state dead --dry-run
  hivekeep queue requeue --state dead --can gpu")]
struct Requeue {
    #[command(flatten)]
    which: Which,
}

/// Cancel a task; if it is claimed, its token becomes void; or cancel all tasks of a filter
///
/// All tasks of a filter are cancelled behind a new restore point, as queue requeue does it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hivekeep queue cancel task-1
  hivekeep queue cancel --state ready --id build- --dry-run")]
struct Cancel {
    #[command(flatten)]
    which: Which,
}

/// List tasks: all by id, or those in one state, in the order in which they are claimed or have ended
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hivekeep queue list
  hivekeep queue list --state ready --limit 10
  hivekeep queue list --state done --json
  hivekeep queue list --can gpu --older 2h
  hivekeep queue list --bot BOT-222 --state claimed")]
struct List {
    #[command(flatten)]
    pub(super) filter: Filter,
    /// Show at most this many [default: 100 on a terminal, otherwise all]
    #[arg(long, value_name = "N", value_parser = input::at_least_one)]
    limit: Option<usize>,
    /// List ready tasks in the order of claims with this aging, such as 10m: the value of queue claim --aging, or of
    /// serve --priority-aging if bots claim over HTTP
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    pub(super) aging: Option<Duration>,
    /// Show the state of this restore point
    #[arg(long, value_name = "POINT", default_value = "now")]
    pub(super) at: Selector,
}

impl List {
    pub(super) fn run(self, context: &mut Context) -> Result<Exit> {
        let target = context.reach()?;
        let seen = context.see(&target, &self.at)?;
        let filter: TaskFilter = self.filter.into();
        if self.aging.is_some() && filter.state != Some(TaskState::Ready) {
            return Err(Error::invalid("only ready tasks age; add --state ready, or leave --aging out"));
        }
        if self.aging.is_some() && filter != of_state(TaskState::Ready) {
            return Err(Error::invalid("a list with aging has all ready tasks; leave --aging or the filter out"));
        }
        context.out.list_up_to(seen.tasks(filter, self.aging)?, self.limit)?;
        context.listed(&seen, "queue")
    }
}

fn of_state(state: TaskState) -> TaskFilter {
    TaskFilter { state: Some(state), ..TaskFilter::default() }
}
