//! The memory of purged tasks.

use std::time::Duration;

use clap::Args;

use crate::Result;
use crate::duration;
use crate::face::cli::context::Context;
use crate::face::cli::printing::exit::Exit;
use crate::text::counted;

/// Show how many purged tasks are remembered, or set the limits
///
/// The store remembers how a purged task ended for 90 days, and at most a million tasks, unless set. Two things need
/// this: a done task counts as done for a task that is pushed later with --after, and restore --keep-finished does not
/// bring back a task that was finished and purged. Once a task is forgotten, --after refuses it, and such a restore
/// makes it run again. The setting applies to every process that purges; --most 0 or --keep 0s remembers none.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hivekeep queue memory
  hivekeep queue memory --keep 30d --most 100000")]
pub(super) struct Memory {
    /// Remember each task for this long after its purge, such as 30d
    #[arg(long, value_name = "AGE", value_parser = duration::parse)]
    keep: Option<Duration>,
    /// Remember at most this many, the most recent ones
    #[arg(long, value_name = "N")]
    most: Option<u64>,
}

impl Memory {
    pub(super) fn run(self, context: &mut Context) -> Result<Exit> {
        let memory = match (self.keep, self.most) {
            (None, None) => context.reach()?.queue_memory()?,
            (keep, most) => context.alter(|target| target.set_queue_memory(keep, most))?,
        };
        if context.out.is_json() {
            context.out.json(&memory)?;
        } else {
            let (count, keep) =
                (counted(memory.count, "purged task"), duration::show(Duration::from_millis(memory.keep_ms)));
            context.out.line(format_args!("{count} remembered, for {keep}, at most {}", memory.most))?;
        }
        Ok(Exit::Done)
    }
}
