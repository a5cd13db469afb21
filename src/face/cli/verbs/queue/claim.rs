//! Claims tasks for a bot, and shows them.

use std::time::Duration;

use clap::Args;

use crate::duration;
use crate::face::cli::context::Context;
use crate::face::cli::printing::exit::Exit;
use crate::face::cli::target::{Claimed, Target};
use crate::{BotId, Claim as Taken, ClaimOptions, ClaimOwner, Error, Result, show_time};

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
        let target = context.reach_to_change()?;
        match target.claim(&self.bot, &options, self.wait)? {
            Claimed::Nothing(why) => {
                target.close()?;
                Err(Error::not_found(why))
            }
            Claimed::Tasks(claims) => {
                deliver(target, &claims, || self.show(context, &claims).and_then(|()| context.out.flush()))?;
                Ok(Exit::Done)
            }
        }
    }

    fn show(&self, context: &mut Context, claims: &[Taken]) -> Result<()> {
        if context.out.is_json() {
            return match (self.max, claims) {
                (None, [first, ..]) => context.out.json(first),
                _ => context.out.json(&claims),
            };
        }
        show_lines(context, claims)
    }
}

/// Shows claims, one on each line.
pub(super) fn show_lines(context: &mut Context, claims: &[Taken]) -> Result<()> {
    claims.iter().try_for_each(|claim| {
        let until = show_time(claim.deadline);
        context.out.line(format_args!("{}  token {}  until {until}  {}", claim.id, claim.token, claim.payload))
    })
}

/// Shows claims and closes the store, or gives them back: a claim is useless without its token.
pub(super) fn deliver(target: Target, claims: &[Taken], show: impl FnOnce() -> Result<()>) -> Result<()> {
    let Err(error) = show() else { return target.close() };
    target.give_back(claims)?;
    target.close()?;
    // Other verbs accept a closed pipe; here the reader did not get its claim.
    let why = format!("the claim could not be shown, and is given back: {error}");
    Err(Error::new(error.kind(), why))
}
