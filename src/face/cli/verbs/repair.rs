//! `repair`: makes a new, sound store from a damaged one.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

#[cfg(feature = "replica")]
use crate::ReplicaLocation;
use crate::face::cli::context::{Context, user};
#[cfg(feature = "replica")]
use crate::face::cli::parsing::input;
use crate::face::cli::printing::exit::Exit;
use crate::text::{counted, show_bytes};
use crate::{Error, ErrorKind, RepairPlan, RepairReport, Result, Store};

/// Make a new store from all sound records of a damaged one, and report the losses
///
/// The damaged file is only read. Every record that verifies is kept, now and at every point; a record whose newest
/// version is damaged goes back to its newest sound version. Points that lost something are kept and marked as partial.
/// With --from, what is lost comes from the replica of the store where that is proved to be as it was; the new store
/// belongs to no replica. The exit code is 3 if something is lost. To use the new store, stop all programs that use the
/// old one, and replace the old file with the new one.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hivekeep repair --dry-run
  hivekeep repair
  hivekeep repair --from s3://backups/hive
  hivekeep repair --to sound.redb --json")]
pub(in crate::face::cli) struct Repair {
    /// The file of the new store [default: NAME.repaired.redb beside the old one]
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    /// Ignore the write-ahead log of the store, and keep only the state that the file itself has
    #[arg(long)]
    without_log: bool,
    /// Take what is lost from the replica of the store at this location
    #[cfg(feature = "replica")]
    #[arg(long, value_name = "LOCATION", conflicts_with = "without_log")]
    from: Option<ReplicaLocation>,
    /// Read an encrypted replica with the age identity in this file
    #[cfg(feature = "replica")]
    #[arg(long, value_name = "FILE", env = "HIVEKEEP_REPLICA_IDENTITY")]
    identity: Option<PathBuf>,
    /// Show what would be kept and lost, and create no file
    #[arg(long, conflicts_with = "to")]
    dry_run: bool,
}

impl Repair {
    pub(in crate::face::cli) fn run(self, context: &mut Context) -> Result<Exit> {
        let from = &context.path;
        if !from.exists() {
            let path = from.display();
            return Err(Error::new(ErrorKind::NoStore, format!("no store at {path}; pass --store")));
        }
        let to = self.to.clone().unwrap_or_else(|| from.with_extension("repaired.redb"));
        let plan = self.plan(from, &to)?;
        let report = if self.dry_run { plan.report().clone() } else { plan.acting_as(user()).apply()? };
        if context.out.is_json() {
            let to = (!self.dry_run).then(|| to.to_string_lossy());
            context.out.json(
                &json!({"from": from.to_string_lossy(), "to": to, "whole": report.is_whole(), "report": report}),
            )?;
        } else {
            context.out.text(&report)?;
            context.out.line(summary(&report))?;
        }
        if !self.dry_run {
            context.out.message(format_args!("the repaired store is {}", to.display()));
        }
        if !report.is_whole() && !self.takes_from_replica() && !context.out.is_json() {
            context.tell_of_replica();
        }
        Ok(if report.is_whole() { Exit::Done } else { Exit::InPart })
    }
}

impl Repair {
    #[cfg(feature = "replica")]
    fn takes_from_replica(&self) -> bool {
        self.from.is_some()
    }

    #[cfg(not(feature = "replica"))]
    fn takes_from_replica(&self) -> bool {
        false
    }

    fn plan(&self, from: &Path, to: &Path) -> Result<RepairPlan> {
        #[cfg(feature = "replica")]
        if let Some(replica) = &self.from {
            let identity = self.identity.as_deref().map(input::text_file).transpose()?;
            return Store::plan_repair_from_replica(from, to, replica, identity.as_deref());
        }
        match self.without_log {
            true => Store::plan_repair_without_log(from, to),
            false => Store::plan_repair(from, to),
        }
    }
}

fn summary(report: &RepairReport) -> String {
    let verdict = if report.is_whole() { "nothing is lost" } else { "something is lost" };
    format!(
        "{verdict}: {} ({}), {} and {} kept",
        counted(report.records, "record"),
        show_bytes(report.bytes),
        counted(report.pre_images, "pre-image"),
        counted(report.points, "point"),
    )
}
