//! `status`: shows the content of the store on one screen.

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use crate::duration;
use crate::face::cli::context::Context;
use crate::face::cli::printing::exit::Exit;
use crate::face::cli::printing::output::Output;
use crate::face::cli::verbs::crash::told;
use crate::text::{counted, show_bytes};
use crate::{
    Crash, Durability, LastDrill, LogStatus, OutsideCopy, Point, Result, ScheduleTotals, Session, Summary, TaskState,
    Weight, Weights, show_time,
};

/// Show the content of the store
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hivekeep status
  hivekeep status --sizes
  hivekeep status --json")]
pub(in crate::face::cli) struct Status {
    /// Also measure the live records, what only restore points need, and free space, by reading everything
    #[arg(long)]
    sizes: bool,
}

/// The output of `status --json`.
#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    summary: Summary,
    #[serde(skip_serializing_if = "Option::is_none")]
    sizes: Option<Weights>,
}

impl Status {
    pub(in crate::face::cli) fn run(self, context: &mut Context) -> Result<Exit> {
        let target = context.reach()?;
        context.out.know_ids(&target)?;
        let (summary, sizes) = target.summary(self.sizes)?;
        let shown = Shown { summary, sizes };
        if context.out.is_json() {
            context.out.json(&shown)?
        } else {
            show(&mut context.out, target.now(), &shown)?
        }
        Ok(Exit::Done)
    }
}

fn show(out: &mut Output, now: Timestamp, Shown { summary, sizes }: &Shown) -> Result<()> {
    out.fact("store    ", format_args!("{} ({})", summary.store.display(), show_bytes(summary.file_bytes)))?;
    let held = summary.collections.iter().filter(|(_, stats)| stats.count > 0);
    let held: Vec<_> = held
        .map(|(name, stats)| match name.as_str() {
            "documents" => format!("{name} {} of {}", summary.documents, counted(stats.count, "element")),
            name => format!("{name} {}", stats.count),
        })
        .collect();
    out.fact("records  ", if held.is_empty() { "none".to_owned() } else { held.join(", ") })?;
    let states = TaskState::ALL.into_iter().filter(|state| summary.tasks.of(*state) > 0);
    let states: Vec<_> = states.map(|state| format!("{} {state}", summary.tasks.of(state))).collect();
    out.fact("tasks    ", if states.is_empty() { "none".to_owned() } else { states.join(", ") })?;
    if summary.schedules.total > 0 {
        out.fact("schedules", format_args!(" {}", schedules(&summary.schedules)))?;
    }
    out.fact("points   ", points(summary))?;
    if let Some(latest) = &summary.points.latest {
        out.fact("latest   ", described(latest, now, out))?;
    }
    out.fact("archive  ", archived(&summary.archive, now))?;
    if let Some(replica) = &summary.replica {
        out.fact("replica  ", replica.in_words(now))?;
    }
    if let Some(log) = &summary.log {
        out.fact("log      ", logged(log, now))?;
    }
    if let Some(crash) = &summary.crash {
        out.fact("crashed  ", crashed(crash))?;
    }
    if let Some(drill) = &summary.last_drill {
        out.fact("drill    ", drilled(drill, now))?;
    }
    if let Some(Weights { live, history, free_bytes, readers }) = sizes {
        let shown = |weight: &Weight| format!("{} in {}", show_bytes(weight.bytes), counted(weight.rows, "row"));
        out.fact("live     ", shown(live))?;
        out.fact("history  ", shown(history))?;
        out.fact("free     ", format_args!("{} of the file", show_bytes(*free_bytes)))?;
        for reader in readers {
            out.fact(
                "pinned   ",
                format_args!("{reader}: space freed since then stays unused until it drops its view"),
            )?;
        }
    }
    Ok(())
}

/// The process that died, when it was last alive, the effect on the state, and the next step.
fn crashed(crash: &Crash) -> String {
    let Session { id, program, alive_at, .. } = &crash.session;
    format!("session {id} of {program}, last alive {}; {}", show_time(*alive_at), told(crash))
}

/// The write-ahead log: its files, its rows that the file of the store does not have, and its last checkpoint.
fn logged(log: &LogStatus, now: Timestamp) -> String {
    let files = format!("{} of {}", counted(log.sections, "file"), show_bytes(log.bytes));
    let in_use = if log.in_use { format!("in use, {files}") } else { "not in use yet".to_owned() };
    let ago = |at: Timestamp| duration::show(duration::since(at, now));
    let checkpoint = log
        .last_checkpoint
        .map(|last| format!(", last moved into the store {} ago in {} ms", ago(last.at), last.took_ms));
    let views =
        log.oldest_view.map(|since| format!(", {}, the oldest {}", counted(log.views, "open view"), ago(since)));
    let failing = log.failing.as_ref().map(|why| format!("; it cannot be moved now: {why}"));
    let waiting = format!(", {} waiting in memory", show_bytes(log.memory_bytes));
    let since = log.since.map(|since| format!(", the file has everything until {} ago", ago(since)));
    let answers = match log.durability {
        Durability::Replicated => Some(", each write waits for the replica".to_owned()),
        Durability::Disk => None,
        Durability::System => Some(", a power cut may take the writes of the last 100 ms".to_owned()),
    };
    let parts = [answers, since, checkpoint, views, failing].into_iter().flatten().collect::<String>();
    format!("{in_use}{waiting}{parts}")
}

/// The newest archive, and the age of the state in it.
fn archived(copy: &OutsideCopy, now: Timestamp) -> String {
    let warning = copy.warning.as_deref().unwrap_or_default();
    let behind = if warning.is_empty() { String::new() } else { format!("; {warning}") };
    if let Some(file) = &copy.exported {
        return format!("{file}, made by hand{behind}");
    }
    let Some(last) = &copy.last else {
        return if warning.is_empty() {
            "none; the replica is the other copy".to_owned()
        } else {
            format!("none: {warning}")
        };
    };
    let age = duration::show(duration::since(last.state_at, now));
    let changed = match copy.changed_since {
        Some(false) => ", and nothing has changed since",
        _ => "",
    };
    format!("{} of the state of {}, {age} ago{changed}{behind}", last.file, show_time(last.state_at))
}

/// The time of the last drill, and the missed targets.
fn drilled(drill: &LastDrill, now: Timestamp) -> String {
    let ago = duration::show(duration::since(drill.at, now));
    let missed = drill.missed();
    let how = if missed.is_empty() { "every target met".to_owned() } else { format!("missed {}", missed.join(", ")) };
    format!("{ago} ago, {how}")
}

fn points(summary: &Summary) -> String {
    let total = summary.points.total;
    match summary.points.others {
        0 => total.to_string(),
        others => format!("{total}, and {others} of documents, restores and commits: hivekeep point list --all"),
    }
}

/// The schedules, and whether somebody fires them.
fn schedules(totals: &ScheduleTotals) -> String {
    let ScheduleTotals { total, paused, overdue, silent } = totals;
    let paused = if *paused > 0 { format!(", {paused} paused") } else { String::new() };
    let overdue = if *overdue > 0 { format!(", {overdue} overdue: start hivekeep serve") } else { String::new() };
    let silent = if *silent > 0 { format!(", {silent} moved ahead by a clock: see doctor") } else { String::new() };
    format!("{total}{paused}{overdue}{silent}")
}

/// A point with its age. JSON omits the age, so that the same state prints the same bytes.
fn described(point: &Point, now: Timestamp, out: &Output) -> String {
    let age = now.duration_since(point.timestamp);
    let age = duration::show(age.try_into().unwrap_or_default());
    let description = if point.description.is_empty() { String::new() } else { format!(" ({})", point.description) };
    let at = if out.is_wide() { format!(" of {}", show_time(point.timestamp)) } else { String::new() };
    format!("{}{at}, {age} ago{description}", out.id(&point.to_string()))
}
