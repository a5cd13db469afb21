//! `replica orphans`: what only an overtaken file has, and taking it back.

use std::path::PathBuf;

use clap::Args;

use super::source::Source;
use crate::face::cli::context::Context;
use crate::face::cli::printing::exit::Exit;
use crate::text::counted;
use crate::{OrphansOptions, OrphansReport, Result};

/// List what only the file of an overtaken machine has, and take it into the store that goes on
///
/// The file is read and stays as it is. The state at which it and the replica went apart is restored from the replica
/// into a scratch folder, and compared with both. A record that changed in the file alone is taken; one that has
/// another change in the store is in conflict, and stays as the store has it. Tasks that are done in the store never
/// run again. With --apply everything is taken in one transaction, with a safety point before it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hivekeep replica orphans s3://backups/hive --of old/hive.redb
  hivekeep replica orphans s3://backups/hive --of old/hive.redb --apply")]
pub(super) struct Orphans {
    #[command(flatten)]
    from: Source,
    /// The file of the machine that was overtaken, with its log beside it
    #[arg(long = "of", value_name = "FILE")]
    file: PathBuf,
    /// Take the changes into the store
    #[arg(long)]
    apply: bool,
    /// Show what would be done, and change nothing
    #[arg(long, requires = "apply")]
    dry_run: bool,
    /// Take back also what a restore to an earlier moment gave up
    #[arg(long)]
    with_given_up: bool,
    /// The folder for a copy of the state at which both went apart [default: the store's folder]
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
}

impl Orphans {
    pub(super) fn run(self, context: &mut Context) -> Result<Exit> {
        let Self { scratch, with_given_up, .. } = &self;
        let (identity, scratch) = (self.from.identity()?, scratch.clone());
        let options = OrphansOptions { identity, scratch, with_given_up: *with_given_up };
        if !self.apply || self.dry_run {
            let plan = context.look()?.plan_orphans(&self.from.location, &self.file, &options)?;
            return if context.out.is_json() { context.out.json(&plan) } else { context.out.text(&plan) }
                .map(|()| Exit::Done);
        }
        let report = context.change(|store| {
            let plan = store.plan_orphans(&self.from.location, &self.file, &options)?;
            store.apply_orphans(&plan)
        })?;
        if context.out.is_json() {
            context.out.json(&report)?;
        } else {
            context.out.text(&report)?;
        }
        tell(context, &report);
        Ok(Exit::Done)
    }
}

fn tell(context: &mut Context, report: &OrphansReport) {
    let total = report.total();
    match report.undo {
        Some(_) => {
            let taken = counted(total.taken, "record");
            context.out.message(format_args!("took {taken} into the store; undo with: hivekeep undo"));
        }
        None => context.out.message("nothing was taken"),
    }
    if total.conflicts > 0 {
        let conflicts = counted(total.conflicts, "record");
        context.out.message(format_args!("in conflict, and as they were in the store: {conflicts}"));
    }
}
