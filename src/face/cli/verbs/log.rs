//! `log`: shows events.

use std::time::Duration;

use clap::Args;

use crate::face::cli::context::Context;
use crate::face::cli::printing::exit::Exit;
use crate::face::cli::target::Target;
use crate::{Clock as _, Error, Event, Page, Result, SystemClock};

/// The polling interval of --follow.
const LOOK_EVERY: Duration = Duration::from_millis(300);
/// The same over a service.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// The number of events that are read at a time.
const EVENTS_PER_READ: usize = 256;

/// Show what happened: restores, backups, crashes, damage
///
/// Shows the newest events, oldest of them first. With --json the output is an array; with --follow too, one object per
/// line.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hivekeep log
  hivekeep log --limit 5 --json
  hivekeep log --follow")]
pub(in crate::face::cli) struct Log {
    /// Keep running, and show events as they happen
    #[arg(long)]
    follow: bool,
    /// Show at most this many of the existing events
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
}

impl Log {
    pub(in crate::face::cli) fn run(self, context: &mut Context) -> Result<Exit> {
        if self.limit == 0 && !self.follow {
            return Err(Error::invalid("nothing would be shown; raise --limit, or add --follow: limit=0"));
        }
        let target = context.reach()?;
        context.out.know_ids(&target)?;
        let mut events = target.events(Page::newest(self.limit))?;
        events.reverse();
        if self.follow {
            return follow(context, &target, events);
        }
        context.out.list(events.into_iter().map(Ok))?;
        Ok(Exit::Done)
    }
}

/// Shows events until the reader closes the pipe or the user presses Ctrl-C.
fn follow(context: &mut Context, target: &Target, mut events: Vec<Event>) -> Result<Exit> {
    let newest = target.events(Page::newest(1))?;
    let mut last = newest.last().map_or(0, |event| event.sequence);
    last = events.last().map_or(last, |event| event.sequence);
    loop {
        for event in &events {
            if context.out.is_json() {
                context.out.json_line(event)?;
            } else {
                context.out.row(event)?;
            }
        }
        context.out.flush()?;
        last = events.last().map_or(last, |event| event.sequence);
        SystemClock.sleep(if context.is_remote() { ASK_EVERY } else { LOOK_EVERY });
        events = target.events(Page::oldest(EVENTS_PER_READ).after(last))?;
    }
}
