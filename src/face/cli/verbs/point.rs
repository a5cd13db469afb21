//! `point`: makes, lists, compares, holds and releases restore points.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use serde::Serialize;

use crate::face::cli::context::Context;
use crate::face::cli::parsing::input;
use crate::face::cli::printing::columns::origin;
use crate::face::cli::printing::exit::Exit;
use crate::face::cli::printing::output::Output;
use crate::face::cli::printing::screen::Cell;
use crate::face::cli::printing::table::Columns;
use crate::face::cli::target::SizedPoint;
use crate::face::cli::verbs::forget::Forget;
use crate::face::cli::verbs::policy::PolicyArgs;
use crate::text::{counted, show_bytes};
use crate::{Change, Counts, Point, PointSize, Result, Selector, show_time};

/// Restore points: make, list, compare, hold and forget them
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hivekeep point create 'before the upgrade'
  hivekeep point list
  hivekeep point diff latest now")]
pub(in crate::face::cli) struct PointArgs {
    #[command(subcommand)]
    verb: PointVerb,
}

#[derive(Debug, Subcommand)]
enum PointVerb {
    Create(Create),
    List(List),
    Show(Show),
    Diff(Diff),
    Hold(Hold),
    Release(Release),
    Forget(Forget),
    Policy(PolicyArgs),
}

impl PointArgs {
    pub(in crate::face::cli) fn run(self, context: &mut Context) -> Result<Exit> {
        match self.verb {
            PointVerb::Create(create) => create.run(context),
            PointVerb::List(list) => list.run(context),
            PointVerb::Show(show) => show.run(context),
            PointVerb::Diff(diff) => diff.run(context),
            PointVerb::Hold(Hold { point }) => held(context, &point, true),
            PointVerb::Release(Release { point }) => held(context, &point, false),
            PointVerb::Forget(forget) => forget.run(context),
            PointVerb::Policy(policy) => policy.run(context),
        }
    }
}

/// Make a restore point of everything, in one commit; prints its id
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hivekeep point create 'before the upgrade'
  hivekeep point create nightly --tag release=1.2 --hold")]
struct Create {
    /// A description
    #[arg(default_value = "")]
    description: String,
    /// Add a tag; repeat for several tags
    #[arg(long, value_name = "NAME=VALUE", value_parser = input::tag)]
    tag: Vec<(String, String)>,
    /// Hold it, so that retention never forgets it
    #[arg(long)]
    hold: bool,
}

impl Create {
    fn run(self, context: &mut Context) -> Result<Exit> {
        let Self { description, tag, hold } = self;
        let tags = input::tags(tag)?;
        let point = context.alter(|target| target.make_point(description, tags, hold))?;
        if context.out.is_json() {
            context.out.json(&point)?
        } else {
            context.out.line(&point)?
        }
        Ok(Exit::Done)
    }
}

/// List restore points, newest first
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hivekeep point list
  hivekeep point list --all --sizes
  hivekeep point list --json")]
struct List {
    /// Also list the points of restores, documents, and single commits
    #[arg(long)]
    all: bool,
    /// Also show the space that forgetting each one alone would free
    #[arg(long)]
    sizes: bool,
    /// Show at most this many [default: 100 on a terminal, otherwise all]
    #[arg(long, value_name = "N", value_parser = input::at_least_one)]
    limit: Option<usize>,
}

/// A point, and the space that forgetting it would free.
#[derive(Serialize)]
struct Weighed {
    #[serde(flatten)]
    point: Point,
    frees: PointSize,
}

impl Columns for Weighed {
    const HEAD: &'static [&'static str] = &["POINT", "TIME", "ORIGIN", "HELD", "RECORDS", "FREES", "DESCRIPTION"];

    fn cells(&self) -> Vec<Cell> {
        let mut cells = self.point.cells();
        cells.insert(5, show_bytes(self.frees.bytes).into());
        cells
    }
}

impl From<SizedPoint> for Weighed {
    fn from((point, size): SizedPoint) -> Self {
        Self { point, frees: size.unwrap_or_default() }
    }
}

impl List {
    fn run(self, context: &mut Context) -> Result<Exit> {
        let target = context.reach()?;
        context.out.know_ids(&target)?;
        let mut points = target.points(self.all, self.sizes)?.peekable();
        if points.peek().is_none() {
            let count = |count: usize, point: Result<_>| point.map(|_| count.saturating_add(1));
            let hidden = if self.all { 0 } else { target.points(true, false)?.try_fold(0, count)? };
            context.out.message(none_listed(hidden));
            return if context.out.is_json() {
                context.out.json(&[(); 0]).map(|()| Exit::Done)
            } else {
                Ok(Exit::Done)
            };
        }
        if self.sizes {
            context.out.list_up_to(points.map(|point| point.map(Weighed::from)), self.limit)?;
        } else {
            context.out.list_up_to(points.map(|point| point.map(|(point, _)| point)), self.limit)?;
        }
        Ok(Exit::Done)
    }
}

/// The message in place of a list without a point.
fn none_listed(hidden: usize) -> String {
    if hidden == 0 {
        return "there is no restore point yet; make one with hivekeep point create".to_owned();
    }
    let hidden = counted(hidden as u64, "point");
    format!("there is no restore point of the live state yet; {hidden} of documents, restores and commits: --all")
}

/// Show a restore point: its content, and the space that forgetting it would free
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hivekeep point show latest
  hivekeep point show '1h ago' --json")]
struct Show {
    /// An id or a prefix of it, latest, latest~3, a time, or '10m ago'
    #[arg(value_name = "POINT")]
    point: Selector,
}

impl Show {
    fn run(self, context: &mut Context) -> Result<Exit> {
        let target = context.reach()?;
        context.tell(&target, &self.point)?;
        let weighed = Weighed::from(target.point_with_size(&self.point, true)?);
        if context.out.is_json() {
            context.out.json(&weighed)?
        } else {
            show(&mut context.out, &weighed)?
        }
        Ok(Exit::Done)
    }
}

fn show(out: &mut Output, Weighed { point, frees }: &Weighed) -> Result<()> {
    out.fact("point        ", point)?;
    out.fact("time         ", show_time(point.timestamp))?;
    let held = if point.held { ", held" } else { "" };
    out.fact("origin       ", format_args!("{}{held}", origin(point)))?;
    if !point.description.is_empty() {
        out.fact("description  ", &point.description)?;
    }
    for (name, value) in &point.tags {
        out.fact("tag          ", format_args!("{name}={value}"))?;
    }
    for (name, stats) in point.collections.iter().filter(|(name, _)| !name.starts_with('#')) {
        out.fact("holds        ", format_args!("{name} {}, {}", stats.count, show_bytes(stats.bytes)))?;
    }
    if point.partial && point.lost.is_empty() {
        out.fact("partial      ", "a repair may have lost something of it")?;
    }
    for (name, loss) in &point.lost {
        let is = point.collections.get(name).copied().unwrap_or_default();
        let keys = if loss.keys.is_empty() { String::new() } else { format!(": {}", loss.keys.join(", ")) };
        out.fact("partial      ", format_args!("{name} had {}, {}{keys}", loss.was.count, show_bytes(loss.was.bytes)))?;
        if is.count == 0 {
            out.fact("             ", format_args!("{name} has nothing left"))?;
        }
    }
    out.fact("frees        ", format_args!("{} in {}", show_bytes(frees.bytes), counted(frees.rows, "row")))
}

/// Show the changes from one restore point to another, or to now
///
/// + marks an added record, - a removed one, ~ a changed one, ? one that a repair lost (exit code 3).
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hivekeep point diff latest
  hivekeep point diff latest~1 latest
  hivekeep point diff '1h ago' now --json")]
struct Diff {
    /// An id or a prefix of it, latest, latest~3, a time, or '10m ago'
    #[arg(value_name = "FROM")]
    from: Selector,
    /// The same, or now
    #[arg(value_name = "TO", default_value = "now")]
    to: Selector,
    /// Show at most this many changes [default: 100 on a terminal, otherwise all]
    #[arg(long, value_name = "N", value_parser = input::at_least_one)]
    limit: Option<usize>,
}

/// The output of `point diff --json`; `json!` would write numbers of records in another way.
#[derive(Serialize)]
struct ShownDiff {
    from: String,
    to: String,
    partial: bool,
    counts: BTreeMap<String, Counts>,
    changes: Vec<Change>,
}

impl Diff {
    fn run(self, context: &mut Context) -> Result<Exit> {
        let target = context.reach()?;
        context.tell(&target, &self.from)?;
        context.tell(&target, &self.to)?;
        let mut diff = target.diff(&self.from, &self.to)?;
        let partial = diff.is_partial();
        if context.out.is_json() {
            let name = |selector: &Selector| match selector {
                Selector::Now => Ok("now".to_owned()),
                selector => target.point(selector).map(|point| point.to_string()),
            };
            let (from, to, counts) = (name(&self.from)?, name(&self.to)?, diff.counts());
            diff.changes.truncate(self.limit.unwrap_or(usize::MAX));
            context.out.json(&ShownDiff { from, to, partial, counts, changes: diff.changes })?;
        } else {
            let all = diff.changes.len();
            diff.changes.truncate(self.limit.or(context.out.shown_max()).unwrap_or(usize::MAX));
            context.out.text(&diff)?;
            match all - diff.changes.len() {
                _ if all == 0 => context.out.message("nothing differs"),
                more if self.limit.is_none() => context.out.tell_of_more(more),
                _ => {}
            }
        }
        if partial {
            context.out.flush()?;
            context.out.complain("partial: a repair lost records, so their changes are unknown");
        }
        Ok(if partial { Exit::InPart } else { Exit::Done })
    }
}

/// Hold a restore point, so that it is never forgotten
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hivekeep point hold latest")]
struct Hold {
    /// An id or a prefix of it, latest, latest~3, a time, or '10m ago'
    #[arg(value_name = "POINT")]
    point: Selector,
}

/// Release a held restore point, so that it can be forgotten
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hivekeep point release latest~3")]
struct Release {
    /// An id or a prefix of it, latest, latest~3, a time, or '10m ago'
    #[arg(value_name = "POINT")]
    point: Selector,
}

fn held(context: &mut Context, selector: &Selector, hold: bool) -> Result<Exit> {
    let point = context.alter(|target| {
        context.tell(target, selector)?;
        target.hold(selector, hold)
    })?;
    if context.out.is_json() {
        context.out.json(&point)?;
    }
    context.out.message(format_args!("{} {}", if hold { "held" } else { "released" }, point));
    Ok(Exit::Done)
}
