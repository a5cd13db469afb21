//! Why a task is not claimed.

use std::time::Duration;

use clap::Args;

use crate::face::cli::context::Context;
use crate::face::cli::exit::Exit;
use crate::{BotId, ClaimOptions, Result, TaskId, duration};

/// Say why a task is not claimed, or who may claim it
///
/// It goes by the rule of the claim itself: scheduled until a time, waiting for other tasks and how these are, for a bot
/// that is not registered or a capability that no bot has, behind others, or held up because bots hold as many as they may.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hivekeep queue why task-1
  hivekeep queue why task-1 --bot BOT-222 --json")]
pub(super) struct Why {
    /// The task
    id: TaskId,
    /// Ask about this bot alone
    #[arg(long, value_name = "BOT")]
    bot: Option<BotId>,
    /// Ask about claims with this aging, such as 10m: as queue claim --aging, or as serve --priority-aging if bots claim
    /// over HTTP
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    aging: Option<Duration>,
}

impl Why {
    pub(super) fn run(self, context: &mut Context) -> Result<Exit> {
        let options = ClaimOptions { aging: self.aging, ..ClaimOptions::default() };
        let store = context.look()?;
        let view = store.view()?;
        let why = match &self.bot {
            Some(bot) => view.queue().why_bot(&self.id, bot, &options)?,
            None => view.queue().why(&self.id, &options)?,
        };
        if context.out.is_json() {
            context.out.json(&why)?;
        } else {
            context.out.line(&why)?;
        }
        Ok(Exit::Done)
    }
}
