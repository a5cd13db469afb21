//! `drill-bot`: the bots of a drill, in a process that the drill kills.

use clap::Args;

use crate::face::cli::context::Context;
use crate::face::cli::printing::exit::Exit;
use crate::{Result, drill_bot};

/// Run bots of a drill until killed; they write to the store, which must be a copy
#[derive(Debug, Args)]
#[command(
    hide = true,
    after_help = "\
Examples:
  hivekeep --store copy.redb drill-bot one --threads 4"
)]
pub(in crate::face::cli) struct DrillBot {
    /// The prefix of their names
    #[arg(value_name = "NAME")]
    name: String,
    /// The number of bots in the process
    #[arg(long, value_name = "N", default_value_t = 1)]
    threads: usize,
}

impl DrillBot {
    pub(in crate::face::cli) fn run(self, context: &mut Context) -> Result<Exit> {
        drill_bot(&context.path, &self.name, self.threads, context.out.stream())?;
        Ok(Exit::Done)
    }
}
