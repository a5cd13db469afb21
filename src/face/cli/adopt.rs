//! `adopt`: what the replaced service left, taken over.

use std::path::PathBuf;

use clap::Args;
use jiff::tz::TimeZone;

use crate::face::cli::context::Context;
use crate::face::cli::exit::Exit;
use crate::{AdoptOptions, AdoptSource, Error, Result, Store};

const EXAMPLES: &str = "\
Examples:
  hivekeep adopt .deia --dry-run
  hivekeep adopt .deia
  hivekeep adopt registry.json backlog.json --time-zone America/New_York
  hivekeep adopt .deia --json";

/// What a file must have in it to be taken over.
const FILES: &str = "\
Files, and what must be in them:
  registry.json            {\"bots\": {ID: {..}, ..}, ..}
  bots.json                the same, or {ID: {..}, ..}, each with bot_id, role, status or port
  backlog.json             {\"backlog\": [{\"id\", \"status\", ..}, ..], ..}; status is DONE, TODO, QUEUED, ASSIGNED or IN_PROGRESS
  chat-history-*.jsonl     on each line {\"timestamp\", \"role\", \"content\", ..}
  *-activity.jsonl         on each line {\"ts\" or \"timestamp\", ..}
  registry-changes.jsonl   on each line {\"timestamp\", ..}
  disaster-recovery.jsonl  on each line {\"timestamp\", \"event\", ..}
  index.json               {\"backups\": {ID: {\"timestamp\", \"backup_type\", ..}, ..}, \"restore_points\": {ID: {\"timestamp\", ..}, ..}},
                           and ID.json beside it for each backup
  docs/MIGRATING.md has every member, and what becomes of it.";

/// Take over what the replaced service left: bots, tasks, chat, logs, backups and restore points
///
/// Files are known by their names; folders are searched for them. The store is created when there is none. Doing it again
/// changes nothing.
///
/// What is damaged, missing or not understood is named, and its text is kept in the event log where it can be; the rest
/// is taken, and the exit code is 3.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{FILES}"))]
pub(super) struct Adopt {
    /// Files, and folders to search
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// Where times were written that do not say how far from UTC they are; the system's time zone unless given
    #[arg(long, value_name = "TZ", value_parser = time_zone)]
    time_zone: Option<TimeZone>,
    /// Show what would be taken, and change nothing: no store is created either
    #[arg(long)]
    dry_run: bool,
    /// Take also what was adopted before and has been removed, purged or restored away since
    #[arg(long)]
    again: bool,
    /// Refuse files with more bytes
    #[arg(long, value_name = "BYTES")]
    max_file_bytes: Option<u64>,
}

impl Adopt {
    pub(super) fn run(self, context: &mut Context) -> Result<Exit> {
        AdoptSource::check_paths(&self.paths)?;
        let usual = AdoptOptions::default();
        let options = AdoptOptions {
            time_zone: self.time_zone.unwrap_or(usual.time_zone),
            max_file_bytes: self.max_file_bytes.unwrap_or(usual.max_file_bytes),
            again: self.again,
        };
        let report = if self.dry_run {
            Store::rehearse_adopt(&context.path, &self.paths, &options)?
        } else {
            let store = context.options().create(true).open(&context.path)?;
            let report = store.adopt(&self.paths, &options)?;
            store.close()?;
            report
        };
        if context.out.is_json() {
            context.out.json(&report)?
        } else {
            context.out.text(format_args!("{report}\n"))?
        }
        Ok(if report.in_part() { Exit::InPart } else { Exit::Done })
    }
}

fn time_zone(name: &str) -> Result<TimeZone> {
    TimeZone::get(name).map_err(|error| {
        let message = "that is no time zone; name one such as Europe/Berlin or UTC";
        Error::invalid(format!("{message}: time_zone={}", name.escape_debug())).with_source(error)
    })
}
