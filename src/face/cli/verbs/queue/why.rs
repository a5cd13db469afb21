//! Explains why a task is not claimed.

use std::time::Duration;

use clap::Args;

use crate::face::cli::context::Context;
use crate::face::cli::printing::exit::Exit;
use crate::{BotId, Result, Selector, TaskId, duration};

/// Explain why a task is not claimed, or who may claim it
///
/// The answer follows the rule of the claim: the task is scheduled for later; or it waits for other tasks, for a bot
/// that is not registered, or for a capability that no bot has; or others go first; or the bots hold as many tasks as
/// they may.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hivekeep queue why task-1
  hivekeep queue why task-1 --bot BOT-222 --json")]
pub(super) struct Why {
    /// The task
    id: TaskId,
    /// Explain it for this bot only
    #[arg(long, value_name = "BOT")]
    bot: Option<BotId>,
    /// Assume this aging in claims, such as 10m: the value of queue claim --aging, or of serve --priority-aging if bots
    /// claim over HTTP
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    aging: Option<Duration>,
}

impl Why {
    pub(super) fn run(self, context: &mut Context) -> Result<Exit> {
        let target = context.reach()?;
        let (text, why) = target.why(&self.id, self.bot.as_ref(), self.aging)?;
        if context.out.is_json() {
            context.out.json(&why)?;
        } else {
            context.out.line(&text)?;
            let task = target.see(&Selector::Now, |_| ())?.task(&self.id)?;
            if let Some((schedule, due)) = task.as_ref().and_then(|task| task.schedule().zip(task.due_at())) {
                context.out.line(format_args!("schedule {schedule} enqueued it, due at {due}"))?;
            }
        }
        Ok(Exit::Done)
    }
}
