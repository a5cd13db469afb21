//! Removes finished tasks after a time.

use std::time::Duration;

use clap::Args;
use serde_json::json;

use crate::Result;
use crate::duration;
use crate::face::cli::context::Context;
use crate::face::cli::printing::exit::Exit;
use crate::text::counted;

/// Remove tasks that have been done, failed, dead or cancelled for longer than a time
///
/// Their idempotency keys are removed too. The store remembers for a while how each task ended: see queue memory. A
/// task that another task still waits for is kept. Existing restore points still contain all of them. With
/// --purge-finished the service purges automatically.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hivekeep queue purge 30d
  hivekeep queue purge 12h --json")]
pub(super) struct Purge {
    /// The minimum time since they finished, such as 30d or 12h
    #[arg(value_name = "AGE", value_parser = duration::parse)]
    older_than: Duration,
}

impl Purge {
    pub(super) fn run(self, context: &mut Context) -> Result<Exit> {
        let purged = context.alter(|target| target.purge(self.older_than))?;
        if context.out.is_json() {
            context.out.json(&json!({"purged": purged}))?;
        } else {
            context.out.line(format_args!("purged {}", counted(purged as u64, "task")))?;
        }
        Ok(Exit::Done)
    }
}
