//! `check --heal`: damaged rows get their bytes back from the replica.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::face::cli::context::Context;
use crate::face::cli::parsing::input;
use crate::text::counted;
use crate::{HealOptions, HealReport, ReplicaLocation, Result};

/// The replica from which a check heals.
#[derive(Debug, Args)]
pub(in crate::face::cli) struct Heal {
    /// First give damaged rows their bytes back from the replica of the store at this location
    #[arg(long, value_name = "LOCATION", conflicts_with_all = ["at", "sample"])]
    heal: Option<ReplicaLocation>,
    /// Read an encrypted replica with the age identity in this file
    #[arg(long, value_name = "FILE", env = "HIVEKEEP_REPLICA_IDENTITY")]
    identity: Option<PathBuf>,
}

impl Heal {
    /// Heals, if a replica was named, and shows the result.
    pub(in crate::face::cli) fn run(&self, context: &mut Context) -> Result<()> {
        let Some(replica) = &self.heal else { return Ok(()) };
        let options = HealOptions { identity: self.identity.as_deref().map(input::text_file).transpose()? };
        let report = context.change_unverified(|store| store.heal_from_replica(replica, &options))?;
        if context.out.is_json() {
            return context.out.json_line(&json!({"heal": report}));
        }
        shown(&report).iter().try_for_each(|line| context.out.line(line))
    }

    /// Refuses a heal over a service.
    pub(in crate::face::cli) fn refuse_remote(&self, context: &Context) -> Result<()> {
        match &self.heal {
            None => Ok(()),
            Some(_) => context.needs_file("--heal", "it writes bytes of rows"),
        }
    }
}

fn shown(report: &HealReport) -> Vec<String> {
    let mut lines: Vec<_> = report.rows.iter().map(|row| format!("{} {}: healed", row.table, row.key)).collect();
    lines.extend(report.refusals.iter().map(|row| format!("{} {}: not healed: {}", row.table, row.key, row.why)));
    let unlisted = report.healed + report.refused - lines.len() as u64;
    if unlisted > 0 {
        lines.push(format!("and {unlisted} more"));
    }
    let (healed, refused) = (counted(report.healed, "row"), counted(report.refused, "row"));
    lines.push(format!("healed: {healed}; not healed: {refused}"));
    lines
}
