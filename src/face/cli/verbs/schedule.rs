//! `schedule`: tasks that come back by the calendar.

use std::time::Duration;

use clap::{ArgGroup, Args, Subcommand, value_parser};
use serde_json::json;

use crate::face::cli::context::Context;
use crate::face::cli::parsing::input;
use crate::face::cli::printing::exit::Exit;
use crate::face::cli::target::Target;
use crate::face::cli::verbs::queue::push::given;
use crate::{
    BotId, Missed, NewSchedule, NewTask, Overlap, Priority, Result, Schedule, ScheduleName, Selector, Timing, duration,
    show_time,
};

/// The number of due times that `show` lists.
const SHOWN: usize = 5;

/// Schedules: tasks that come back by the calendar
///
/// Each due time becomes one task in the queue, its id NAME@TIME. hivekeep serve fires schedules, and so does each
/// program with a scheduler of the library; however many run, each due time fires once. Points and restores contain
/// schedules, but no restore makes a due time fire again.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hivekeep schedule add tidy --every 10m -- '\"tidy up\"'
  hivekeep schedule add nightly --cron '0 3 * * *' --time-zone Europe/Vienna -- '{\"report\": \"sales\"}'
  hivekeep schedule list
  hivekeep schedule pause nightly")]
pub(in crate::face::cli) struct ScheduleArgs {
    #[command(subcommand)]
    verb: ScheduleVerb,
}

#[derive(Debug, Subcommand)]
enum ScheduleVerb {
    Add(Box<Add>),
    List(List),
    Show(Show),
    Pause(Pause),
    Resume(Resume),
    Remove(Remove),
    Run(Run),
}

impl ScheduleArgs {
    pub(in crate::face::cli) fn run(self, context: &mut Context) -> Result<Exit> {
        match self.verb {
            ScheduleVerb::Add(add) => add.run(context),
            ScheduleVerb::List(list) => list.run(context),
            ScheduleVerb::Show(show) => show.run(context),
            ScheduleVerb::Pause(Pause { name }) => change(context, |target| target.pause_schedule(&name)),
            ScheduleVerb::Resume(Resume { name }) => change(context, |target| target.resume_schedule(&name)),
            ScheduleVerb::Remove(remove) => remove.run(context),
            ScheduleVerb::Run(run) => run.run(context),
        }
    }
}

/// Add a schedule; prints its next due time
///
/// A cron expression has five fields: minute, hour, day of the month, month and day of the week. A time that a
/// change of the clock leaves out comes at the change, and one that comes twice counts once; expressions whose
/// minutes begin with * go on by real time.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("timing").required(true))]
#[command(after_help = "\
Examples:
  hivekeep schedule add tidy --every 10m -- '\"tidy up\"'
  hivekeep schedule add nightly --cron '30 2 * * mon-fri' --time-zone Europe/Vienna --missed all --priority P1 -- '\"report\"'
  hivekeep schedule add poll --every 30s --overlap skip -- '\"poll\"'")]
struct Add {
    /// The name: letters, digits, hyphens, dots and underscores
    name: ScheduleName,
    /// The payload of its tasks, or - to read it from standard input
    #[arg(value_name = "JSON", allow_negative_numbers = true)]
    payload: String,
    /// Repeat at this interval, such as 10m; the first time one interval from now
    #[arg(long, value_name = "TIME", value_parser = duration::parse, group = "timing")]
    every: Option<Duration>,
    /// Repeat at the times of this cron expression, such as '0 3 * * *', or @hourly, @daily, @weekly, @monthly, @yearly
    #[arg(long, value_name = "FIELDS", group = "timing")]
    cron: Option<String>,
    /// The time zone of the cron expression, such as Europe/Vienna [default: UTC]
    #[arg(long, value_name = "ZONE", conflicts_with = "every")]
    time_zone: Option<String>,
    /// The due times to fire later, if no process fired them in time: none, last, or all up to 1,000
    #[arg(long, value_name = "WHICH", default_value = "last")]
    missed: Missed,
    /// The due times that come while the last task is not finished: allow or skip
    #[arg(long, value_name = "CHOICE", default_value = "allow")]
    overlap: Overlap,
    /// Replace the schedule of that name
    #[arg(long)]
    replace: bool,
    /// The priority of its tasks: P0, P1, P2 or P3; P0 goes first
    #[arg(long, value_name = "PRIORITY", default_value = "P2")]
    priority: Priority,
    /// Let only this bot claim them
    #[arg(long, value_name = "BOT")]
    assign: Option<BotId>,
    /// A capability that the claiming bot must have; repeat for several capabilities
    #[arg(long, value_name = "NAME")]
    capability: Vec<String>,
    /// Allow no claim before this delay after the due time is over, such as 10m
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    delay: Option<Duration>,
    /// The number of failed attempts after which a task is dead [default: 5]
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..))]
    max_attempts: Option<u32>,
    /// Other attributes: a JSON object
    #[arg(long, value_name = "JSON")]
    attributes: Option<String>,
}

impl Add {
    fn run(self, context: &mut Context) -> Result<Exit> {
        let new = self.schedule()?;
        change(context, |target| target.add_schedule(new))
    }

    fn schedule(self) -> Result<NewSchedule> {
        let timing = match (self.every, &self.cron) {
            (Some(every), _) => Timing::every(every)?,
            (None, cron) => {
                let zone = self.time_zone.as_deref().unwrap_or("UTC");
                Timing::cron(cron.as_deref().unwrap_or_default(), zone)?
            }
        };
        let mut task = NewTask::new(input::json(&self.payload)?).priority(self.priority);
        task = self.capability.into_iter().fold(task, NewTask::capability);
        task = given(task, self.assign, NewTask::assign_to);
        task = given(task, self.delay, NewTask::delay);
        task = given(task, self.attributes.as_deref().map(input::object).transpose()?, NewTask::attributes);
        task = given(task, self.max_attempts, NewTask::max_attempts);
        let new = NewSchedule::new(self.name, timing, task).missed(self.missed).overlap(self.overlap);
        Ok(if self.replace { new.replacing() } else { new })
    }
}

/// List the schedules
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hivekeep schedule list
  hivekeep schedule list --json
  hivekeep schedule list --at latest")]
struct List {
    /// Show the state of this restore point
    #[arg(long, value_name = "POINT", default_value = "now")]
    at: Selector,
}

impl List {
    fn run(self, context: &mut Context) -> Result<Exit> {
        let target = context.reach()?;
        let seen = context.see(&target, &self.at)?;
        context.out.list(seen.schedules()?)?;
        context.listed(&seen, "schedules")
    }
}

/// Show a schedule, and its next due times
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hivekeep schedule show nightly
  hivekeep schedule show nightly --json")]
struct Show {
    /// The schedule
    name: ScheduleName,
    /// Show the state of this restore point
    #[arg(long, value_name = "POINT", default_value = "now")]
    at: Selector,
}

impl Show {
    fn run(self, context: &mut Context) -> Result<Exit> {
        let target = context.reach()?;
        let schedule = context.see(&target, &self.at)?.schedule(&self.name)?;
        if context.out.is_json() {
            context.out.json(&schedule)?;
            return Ok(Exit::Done);
        }
        let out = &mut context.out;
        out.fact("schedule  ", &schedule.name)?;
        let paused = if schedule.paused { ", paused" } else { "" };
        out.fact("due       ", format_args!("{}{paused}", schedule.timing))?;
        out.fact("missed    ", schedule.missed)?;
        out.fact("overlap   ", schedule.overlap)?;
        out.fact("payload   ", schedule.task.payload())?;
        let due = std::iter::successors(schedule.next_at, |at| schedule.timing.next(*at)).take(SHOWN);
        for (number, at) in due.enumerate() {
            out.fact(if number == 0 { "next      " } else { "          " }, show_time(at))?;
        }
        if let Some(task) = &schedule.last_task {
            out.fact("last task ", task)?;
        }
        if let Some(since) = schedule.overdue_since(target.now()) {
            out.message(format_args!(
                "it is overdue since {}: no process fires schedules; start hivekeep serve",
                show_time(since)
            ));
        }
        if let Some(until) = schedule.silent_until(target.now()) {
            out.message(format_args!(
                "the clock was ahead, so it does not fire before {}; schedule add --replace lets it begin now",
                show_time(until)
            ));
        }
        Ok(Exit::Done)
    }
}

/// Pause a schedule; the due times of a pause do not fire later
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hivekeep schedule pause nightly")]
struct Pause {
    /// The schedule
    name: ScheduleName,
}

/// Resume a paused schedule, with its first due time after now
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hivekeep schedule resume nightly")]
struct Resume {
    /// The schedule
    name: ScheduleName,
}

/// Remove a schedule; its tasks stay
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hivekeep schedule remove nightly")]
struct Remove {
    /// The schedule
    name: ScheduleName,
}

impl Remove {
    fn run(self, context: &mut Context) -> Result<Exit> {
        context.alter(|target| target.remove_schedule(&self.name))?;
        if context.out.is_json() {
            context.out.json(&json!({"schedule": self.name}))?;
        }
        context.out.message(format_args!("removed schedule {}", self.name));
        Ok(Exit::Done)
    }
}

/// Push the task of a schedule now, also while it is paused; prints the id of the task
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hivekeep schedule run nightly")]
struct Run {
    /// The schedule
    name: ScheduleName,
}

impl Run {
    fn run(self, context: &mut Context) -> Result<Exit> {
        let task = context.alter(|target| target.run_schedule(&self.name))?;
        if context.out.is_json() {
            context.out.json(&task)?;
        } else {
            context.out.line(&task.id)?;
        }
        Ok(Exit::Done)
    }
}

/// Changes a schedule, and shows when it is due next.
fn change(context: &mut Context, work: impl FnOnce(&Target) -> Result<Schedule>) -> Result<Exit> {
    let schedule = context.alter(work)?;
    if context.out.is_json() {
        context.out.json(&schedule)?;
    } else {
        let name = &schedule.name;
        match schedule.next_at {
            Some(next) => context.out.line(format_args!("{name} is due next at {}", show_time(next)))?,
            None => context.out.line(format_args!("{name} is paused"))?,
        }
    }
    Ok(Exit::Done)
}
