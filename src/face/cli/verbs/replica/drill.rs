//! `replica drill`: proof that a moment comes back, and how long that takes.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::source::Source;
use crate::face::cli::context::Context;
use crate::face::cli::printing::exit::Exit;
use crate::files::folder_of;
use crate::text::{counted, show_bytes};
use crate::{DrillReplicaOptions, DrilledReplica, ReplicaMoment, Result, Store, show_time};

/// Restore a random moment into a scratch folder, compare every record, measure, and remove it again
///
/// The free space is looked at first. The exit code is 4 if the replica does not give back what was written to it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hivekeep replica drill s3://backups/hive
  hivekeep replica drill /mnt/other/hive --at newest --scratch /mnt/spare --json")]
pub(super) struct Drill {
    #[command(flatten)]
    from: Source,
    /// The moment: newest, a time, '10m ago', the id of a restore point, or 'sequence NUMBER' [default: a random one]
    #[arg(long, value_name = "MOMENT")]
    at: Option<ReplicaMoment>,
    /// The folder for the copy, which is removed afterwards [default: the store's folder]
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
}

impl Drill {
    pub(super) fn run(self, context: &mut Context) -> Result<Exit> {
        let options = DrillReplicaOptions { at: self.at, identity: self.from.identity()? };
        let scratch = self.scratch.unwrap_or_else(|| folder_of(&context.path).to_owned());
        let drilled = Store::drill_replica(&self.from.location, scratch, &options)?;
        if context.out.is_json() {
            context.out.json(&json!(drilled))?;
        } else {
            context.out.line(shown(&drilled))?;
        }
        for passed_over in &drilled.passed_over {
            context.out.message(format_args!("passed over: {passed_over}"));
        }
        for damaged in &drilled.damaged_bases {
            context.out.message(format_args!("a newer base is damaged: {damaged}"));
        }
        Ok(Exit::Done)
    }
}

fn shown(drilled: &DrilledReplica) -> String {
    let DrilledReplica { sequence, time, restored_ms, took_ms, records, bytes, .. } = drilled;
    let [restored, took] = [restored_ms, took_ms].map(|millis| format!("{}.{:03} s", millis / 1000, millis % 1000));
    let (time, records, bytes) = (show_time(*time), counted(*records, "record"), show_bytes(*bytes));
    format!("commit {sequence} of {time} came back in {restored}: {records}, {bytes}; compared after {took}")
}
