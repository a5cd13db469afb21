//! `adopt`: takes over the files of the replaced service.

use std::path::PathBuf;

use clap::Args;
use jiff::tz::TimeZone;

use crate::face::cli::context::{Context, acting};
use crate::face::cli::printing::exit::Exit;
use crate::{AdoptOptions, AdoptSource, Error, Result, Store};

const EXAMPLES: &str = "\
Examples:
  hivekeep adopt .deia --dry-run
  hivekeep adopt .deia
  hivekeep adopt registry.json backlog.json --time-zone America/New_York
  hivekeep adopt .deia --json";

/// The shapes of the files that can be taken over.
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
  docs/MIGRATING.md describes every field, and the record that it becomes.";

/// Take over the files of the replaced service: bots, tasks, chat, logs, backups and restore points
///
/// Files are recognized by their names; folders are searched for them. The store is created if it does not exist. A
/// second run changes nothing.
///
/// Damaged, missing or unknown content of a file, and an unknown file that is named, are reported, and the text is kept
/// in the event log if possible. The rest is taken over, and the exit code is 3. Other files in a folder are listed as
/// skipped, and change no exit code.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{FILES}"))]
pub(in crate::face::cli) struct Adopt {
    /// Files, and folders to search
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// The time zone of times without an offset from UTC [default: the time zone of the system]
    #[arg(long, value_name = "TZ", value_parser = time_zone)]
    time_zone: Option<TimeZone>,
    /// Show what would be taken over, and change nothing; no store is created either
    #[arg(long)]
    dry_run: bool,
    /// Also take over what was adopted before and has been removed, purged or restored away since
    #[arg(long)]
    again: bool,
    /// Refuse longer files
    #[arg(long, value_name = "BYTES")]
    max_file_bytes: Option<u64>,
}

impl Adopt {
    pub(in crate::face::cli) fn run(self, context: &mut Context) -> Result<Exit> {
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
            let store = acting(context.options().create(true).open(&context.path)?);
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
        let message = "unknown time zone; give one such as Europe/Berlin or UTC";
        Error::invalid(format!("{message}: time_zone={}", name.escape_debug())).with_source(error)
    })
}
