//! Changes of all tasks that fit a filter: `requeue` and `cancel` without an id, and `bulk`.

use clap::Args;
use serde_json::json;

use crate::face::cli::context::Context;
use crate::face::cli::printing::exit::Exit;
use crate::face::cli::printing::progress::Progress;
use crate::face::cli::printing::screen::Cell;
use crate::face::cli::printing::table::Columns;
use crate::face::cli::target::{Target, TaskChange};
use crate::face::cli::verbs::queue::change::change;
use crate::face::cli::verbs::queue::filter::Filter;
use crate::text::counted;
use crate::{BulkAction, BulkJob, BulkTasks, Error, Result, TaskFilter, TaskId};

/// One task by its id, or all tasks of a filter.
#[derive(Debug, Args)]
pub(super) struct Which {
    /// The task; name a filter or --all instead to change many tasks, behind a restore point
    #[arg(value_name = "ID")]
    task: Option<TaskId>,
    #[command(flatten)]
    filter: Filter,
    /// All tasks that are not finished for cancel, and all that failed or were cancelled for requeue
    #[arg(long)]
    all: bool,
    /// Count the tasks that fit, and change nothing
    #[arg(long)]
    dry_run: bool,
}

impl Which {
    /// Does it with the one task, or with all that fit.
    pub(super) fn run(self, context: &mut Context, action: BulkAction, one: TaskChange) -> Result<Exit> {
        let filter: TaskFilter = self.filter.into();
        let tasks = match (self.task, self.all, filter == TaskFilter::default()) {
            (Some(_), false, true) if self.dry_run => {
                return Err(Error::invalid("--dry-run works with a filter or --all only; leave it out"));
            }
            (Some(task), false, true) => return change(context, &task, one),
            (None, false, true) => {
                let message = "name a task, or the tasks by a filter";
                return Err(Error::invalid(format!("{message}: hivekeep queue {action} --id build-, or --all")));
            }
            (None, true, true) => BulkTasks::All,
            (None, false, false) => filter.into(),
            _ => return Err(Error::invalid("name one task, a filter, or --all, not several of them")),
        };
        if self.dry_run { plan(context, action, tasks) } else { begin(context, action, tasks) }
    }
}

fn plan(context: &mut Context, action: BulkAction, tasks: BulkTasks) -> Result<Exit> {
    let fits = context.reach()?.plan_bulk(action, tasks)?;
    if context.out.is_json() {
        context.out.json(&json!({"fits": fits}))?;
    } else {
        context.out.line(format_args!("{} would be changed by {action}", counted(fits, "task")))?;
    }
    Ok(Exit::Done)
}

fn begin(context: &mut Context, action: BulkAction, tasks: BulkTasks) -> Result<Exit> {
    let begun = context.alter(|target| target.begin_bulk(action, tasks.clone()))?;
    let id = &begun.id;
    context.out.message(format_args!(
        "began {id}; a service goes on with it, unless you stop it: hivekeep queue bulk --stop {id}"
    ));
    // A service may have been quicker.
    let jobs = context.alter(|target| {
        go_on(context, target)?;
        target.bulk_jobs()
    })?;
    let done = jobs.into_iter().find(|job| job.id == begun.id);
    show(context, &done.unwrap_or(begun))
}

fn go_on(context: &Context, target: &Target) -> Result<Option<BulkJob>> {
    let bar = Progress::new(&context.out, "tasks");
    target.continue_bulk(|job| bar.show(job.changed + job.passed, job.fits))
}

fn show(context: &mut Context, job: &BulkJob) -> Result<Exit> {
    if context.out.is_json() {
        context.out.json(job)?;
        return Ok(Exit::Done);
    }
    let stayed = if job.passed > 0 { format!("; {} stayed as before", job.passed) } else { String::new() };
    let error = job.error.as_ref().map(|error| format!("; {error}")).unwrap_or_default();
    let (action, state) = (job.action, job.state.as_str());
    context.out.line(format_args!("{action} {state}: {} changed{stayed}{error}", counted(job.changed, "task")))?;
    context.out.message(format_args!(
        "to see what a restore would take back: hivekeep restore {} --only queue --dry-run",
        job.point
    ));
    Ok(Exit::Done)
}

/// List the last changes of all tasks of a filter; continue one that was killed, or stop it
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hivekeep queue bulk
  hivekeep queue bulk --continue
  hivekeep queue bulk --stop 01arz3ndektsv4rrffq69g5fav")]
pub(super) struct Bulk {
    /// Continue the change that was left in the middle; a service does so by itself
    #[arg(long = "continue", conflicts_with = "stop")]
    goes_on: bool,
    /// Stop this change; tasks that it has changed stay so
    #[arg(long, value_name = "ID")]
    stop: Option<String>,
}

impl Bulk {
    pub(super) fn run(self, context: &mut Context) -> Result<Exit> {
        if let Some(id) = self.stop {
            let job = context.alter(|target| target.stop_bulk(&id))?;
            return show(context, &job);
        }
        if self.goes_on {
            let job = context.alter(|target| go_on(context, target))?;
            let job = job.ok_or_else(|| Error::not_found("no bulk change was left in the middle"))?;
            return show(context, &job);
        }
        let jobs = context.reach()?.bulk_jobs()?;
        context.out.list(jobs.into_iter().map(Ok))?;
        Ok(Exit::Done)
    }
}

impl Columns for BulkJob {
    const HEAD: &'static [&'static str] =
        &["BULK CHANGE", "ACTION", "STATE", "STARTED", "FITS", "CHANGED", "POINT BEFORE"];

    fn cells(&self) -> Vec<Cell> {
        vec![
            Cell::Name(self.id.clone()),
            self.action.as_str().into(),
            self.state.as_str().into(),
            Cell::Time(self.started_at),
            self.fits.to_string().into(),
            self.changed.to_string().into(),
            Cell::Name(self.point.clone()),
        ]
    }
}
