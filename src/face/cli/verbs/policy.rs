//! `point policy`: shows and sets the retention policy of the store.

use std::fmt;

use clap::Args;
use serde::Serialize;

use crate::face::cli::context::Context;
use crate::face::cli::printing::exit::Exit;
use crate::face::cli::verbs::rules::{Rules, shown_rules};
use crate::text::OneLine;
use crate::{Policy, Result, StoredPolicy, show_time};

/// Show or set the retention policy of this store
///
/// The store keeps one policy, which the service, point forget --policy and doctor apply. Without options it is shown,
/// as lines for the file of serve --config. With options these rules of it are changed, and apply from the next
/// retention run on. If serve is given rules of its own, they replace the policy at each start.
///
/// Hours, days, weeks and months are in UTC.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hivekeep point policy
  hivekeep point policy --keep-within 30d --keep-daily 60
  hivekeep point policy --default
  hivekeep point policy --keep-everything")]
pub(super) struct PolicyArgs {
    #[command(flatten)]
    rules: Rules,
    /// Start from the default rules
    #[arg(long)]
    default: bool,
    /// Never forget a point, whatever its age and the number of points
    #[arg(long, conflicts_with_all = ["default", "Rules"])]
    keep_everything: bool,
}

/// The output of `point policy --json`.
#[derive(Serialize)]
struct Shown<'p> {
    #[serde(flatten)]
    stored: &'p StoredPolicy,
    changed: bool,
}

impl PolicyArgs {
    pub(in crate::face::cli) fn run(self, context: &mut Context) -> Result<Exit> {
        let sets = self.default || self.keep_everything || self.rules.are_given();
        let (stored, changed) = if sets {
            context.alter(|target| target.set_policy(self.over(target.policy()?.policy), "hivekeep point policy"))?
        } else {
            (context.reach()?.policy()?, false)
        };
        if context.out.is_json() {
            context.out.json(&Shown { stored: &stored, changed })?;
        } else {
            context.out.file(format_args!("{}\n", Lines(&stored)))?;
        }
        Ok(Exit::Done)
    }

    /// The given rules, over those of the store.
    fn over(&self, below: Option<Policy>) -> Option<Policy> {
        if self.keep_everything {
            return None;
        }
        Some(self.rules.over(below.filter(|_| !self.default).unwrap_or_default()))
    }
}

/// The policy as a part of a settings file.
struct Lines<'p>(&'p StoredPolicy);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.set {
            Some(set) => writeln!(f, "# set by {} at {}", OneLine(&set.by), show_time(set.at))?,
            None => writeln!(f, "# never set; these are the defaults")?,
        }
        match &self.0.policy {
            Some(policy) => f.write_str(shown_rules(policy).trim_end()),
            None => f.write_str("no-retention = true"),
        }
    }
}
