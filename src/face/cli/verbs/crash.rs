//! `crash`: acknowledges crashes.

use clap::{Args, Subcommand};
use serde_json::json;

use crate::face::cli::context::Context;
use crate::face::cli::printing::exit::Exit;
use crate::{Crash, Result};

/// Crashes of processes that had the store open
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hivekeep crash ack")]
pub(in crate::face::cli) struct CrashArgs {
    #[command(subcommand)]
    verb: CrashVerb,
}

#[derive(Debug, Subcommand)]
enum CrashVerb {
    /// Acknowledge the crashes of processes, so that status and doctor no longer report them
    #[command(after_help = "\
Examples:
  hivekeep crash ack")]
    Ack,
}

impl CrashArgs {
    pub(in crate::face::cli) fn run(self, context: &mut Context) -> Result<Exit> {
        match self.verb {
            CrashVerb::Ack => acknowledge(context),
        }
    }
}

/// The effect of a crash, and the next step.
pub(in crate::face::cli) fn told(crash: &Crash) -> String {
    format!("{}; once seen: hivekeep crash ack", crash.outcome())
}

fn acknowledge(context: &mut Context) -> Result<Exit> {
    let count = context.alter(|target| target.acknowledge_crashes())?;
    if context.out.is_json() {
        context.out.json(&json!({"acknowledged": count}))?;
    }
    context.out.message(format_args!(
        "{} acknowledged",
        if count == 1 { "1 crash".to_owned() } else { format!("{count} crashes") }
    ));
    Ok(Exit::Done)
}
