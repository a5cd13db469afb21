//! `restore` and `undo`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;

use crate::face::cli::context::Context;
use crate::face::cli::printing::exit::Exit;
use crate::face::cli::printing::output::Output;
use crate::face::cli::target::{Planned, RestoreAsked};
use crate::text::counted;
use crate::{Counts, RestoreReport, Result, Selector, Store};

/// Go back to a restore point, in one transaction
///
/// Only changes since the point are touched. A safety point is made in the same transaction, so every restore can be
/// undone. The audit trail and the events are never restored.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hivekeep restore latest --dry-run
  hivekeep restore latest
  hivekeep restore '10m ago' --only queue --keep-finished
  hivekeep restore latest~2 --only registry --key BOT-222
  hivekeep restore '1d ago' --to yesterday.redb")]
pub(in crate::face::cli) struct Restore {
    /// An id or a prefix of it, latest, latest~3, a time, or '10m ago'
    #[arg(value_name = "POINT")]
    point: Selector,
    /// Restore only these collections, separated by commas; queue and assignments go together
    #[arg(long, value_name = "KINDS", value_delimiter = ',')]
    only: Vec<String>,
    /// Restore only this record of the one collection in --only
    #[arg(long, value_name = "KEY", requires = "only")]
    key: Option<String>,
    /// Show what would be done, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Verify every record and every point first
    #[arg(long, conflicts_with = "dry_run")]
    verify: bool,
    /// Do not run tasks again that finished since the point, including tasks pushed after it, and purged tasks as
    /// long as queue memory remembers them
    #[arg(long)]
    keep_finished: bool,
    /// Restore the remaining part of a point that a repair could not recover completely
    #[arg(long)]
    partial: bool,
    /// Restore only if the state has not changed since a plan: its `state`, which --dry-run --json prints
    #[arg(long, value_name = "STATE", conflicts_with = "dry_run")]
    expect: Option<String>,
    /// Restore in this new file, and leave the store as it is
    #[arg(long, value_name = "FILE", conflicts_with_all = ["dry_run", "expect"])]
    to: Option<PathBuf>,
}

/// Undo the last restore, exactly; undoing an undo does the restore again
///
/// Undo refuses to overwrite records that have changed since the restore.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hivekeep undo --dry-run
  hivekeep undo
  hivekeep undo --discard")]
pub(in crate::face::cli) struct Undo {
    /// Undo even if records have changed since; a safety point keeps those
    #[arg(long)]
    discard: bool,
    /// Show what would be done, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Undo only if the state has not changed since a plan: its `state`, which --dry-run --json prints
    #[arg(long, value_name = "STATE", conflicts_with = "dry_run")]
    expect: Option<String>,
}

impl Restore {
    pub(in crate::face::cli) fn run(self, context: &mut Context) -> Result<Exit> {
        let dry_run = self.dry_run;
        let asked = RestoreAsked {
            point: self.point,
            only: self.only,
            key: self.key,
            verify: self.verify,
            keep_finished: self.keep_finished,
            partial: self.partial,
            expect: self.expect,
        };
        if let Some(to) = self.to {
            context.needs_file("--to", "it copies the file of the store")?;
            let report = Store::restore_to(&context.path, &to, &asked.point, asked.options())?;
            show_report(&mut context.out, &report)?;
            let records = counted(report.total(), "record");
            let message = format!(
                "{} has the state of that point, with {records} restored; the store is as it was",
                to.display()
            );
            context.out.message(message);
            return Ok(Exit::Done);
        }
        if dry_run {
            let target = context.reach()?;
            context.tell(&target, &asked.point)?;
            let plan = target.plan_restore(&asked)?;
            let exit = show_plan(&mut context.out, &plan)?;
            hint_partial(&mut context.out, &plan, asked.partial);
            return Ok(exit);
        }
        let report = context.alter(|target| {
            // If the point does not exist, the restore below fails and reports it.
            let _said = context.tell(target, &asked.point);
            target.restore(&asked)
        })?;
        show_report(&mut context.out, &report)?;
        if report.claims_returned > 0 {
            let claims = counted(report.claims_returned, "claim");
            context.out.message(format_args!("{claims} returned to ready; their tokens are void"));
        }
        tell_finished(&mut context.out, report.tasks_run_again, report.tasks_forgotten, report.keep_finished);
        match (&report.undo, &report.earlier) {
            (Some(_), _) => {
                let records = counted(report.total(), "record");
                context.out.message(format_args!("restored {records}; undo with: hivekeep undo"));
            }
            (None, Some(earlier)) => {
                context.out.message(format_args!("nothing differed; the newest point that does is {earlier}"));
            }
            (None, None) if report.tasks_run_again + report.tasks_forgotten > 0 => {
                context.out.message("nothing else differed, so nothing was restored");
            }
            (None, None) => context.out.message("nothing differed, so nothing was restored"),
        }
        Ok(Exit::Done)
    }
}

impl Undo {
    pub(in crate::face::cli) fn run(self, context: &mut Context) -> Result<Exit> {
        if self.dry_run {
            let plan = context.reach()?.plan_undo()?;
            return show_plan(&mut context.out, &plan);
        }
        let report = context.alter(|target| target.undo(self.discard, self.expect))?;
        show_report(&mut context.out, &report)?;
        if report.undo.is_none() {
            context.out.message("everything is as it was before that restore, so nothing was undone");
            return Ok(Exit::Done);
        }
        let records = counted(report.total(), "record");
        context.out.message(format_args!("undone, {records} changed; redo with: hivekeep undo"));
        Ok(Exit::Done)
    }
}

fn show_plan(out: &mut Output, plan: &Planned) -> Result<Exit> {
    if out.is_json() {
        out.json(&plan.json)?
    } else {
        out.text(&plan.text)?;
        let finished = plan.number("tasks_run_again") + plan.number("tasks_forgotten");
        hint_finished(out, finished, plan.json["keep_finished"] == true);
    }
    Ok(Exit::Done)
}

/// The next steps for a point of which a repair lost a part, printed below a plan that is refused for it.
fn hint_partial(out: &mut Output, plan: &Planned, partial: bool) {
    if plan.json["point"]["partial"] == true && !partial && !out.is_json() {
        out.message("hint: hivekeep point show POINT lists what it lost; to restore what is left of it: --partial");
    }
}

/// The option that keeps finished work, printed below a plan that does not.
pub(super) fn hint_finished(out: &mut Output, tasks: u64, keep: bool) {
    if tasks > 0 && !keep {
        out.message("hint: to keep them finished: --keep-finished");
    }
}

fn show_report(out: &mut Output, report: &RestoreReport) -> Result<()> {
    if out.is_json() { out.json(report) } else { show_counts(out, &report.collections) }
}

/// Reports the effect on tasks that were finished after the point.
pub(super) fn tell_finished(out: &mut Output, run_again: u64, forgotten: u64, keep: bool) {
    let tasks = counted(run_again + forgotten, "finished task");
    let way = "to keep finished work: hivekeep undo, then the same with --keep-finished";
    match (keep, run_again, forgotten) {
        (_, 0, 0) => {}
        (true, ..) => out.message(format_args!("{tasks} kept")),
        (false, _, 0) => out.message(format_args!("{tasks} will run again; {way}")),
        (false, 0, _) => out.message(format_args!("{tasks} forgotten; {way}")),
        (false, ..) => {
            out.message(format_args!("{tasks}: {run_again} will run again, {forgotten} forgotten; {way}"));
        }
    }
}

/// One line for each collection that changes.
pub(super) fn show_counts(out: &mut Output, collections: &BTreeMap<String, Counts>) -> Result<()> {
    for (name, counts) in collections.iter().filter(|(_, counts)| counts.total() > 0) {
        out.line(format_args!("{name}: {counts}"))?;
    }
    Ok(())
}
