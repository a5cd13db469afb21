//! `point forget`: by name, or by the retention policy.

use clap::Args;
use serde::Serialize;

use crate::face::cli::context::Context;
use crate::face::cli::printing::columns::origin;
use crate::face::cli::printing::exit::Exit;
use crate::face::cli::printing::screen::Cell;
use crate::face::cli::printing::table::Columns;
use crate::face::cli::target::Target;
use crate::text::counted;
use crate::{Origin, Point, Result, Selector, Store, Verdict, show_time};

/// Forget restore points, and free the space that only they need
///
/// Everything that other points need stays, and all other points stay as they are. A held point is not forgotten. With
/// --policy the retention policy of the store selects the points, as in the service: hivekeep point policy shows and
/// sets it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hivekeep point forget latest~7 latest~8
  hivekeep point forget --policy --dry-run
  hivekeep point forget --policy")]
pub(super) struct Forget {
    /// Ids or prefixes of ids, latest~3, times, or '10m ago'
    #[arg(value_name = "POINT", required_unless_present = "policy")]
    points: Vec<Selector>,
    /// Forget the points that the retention policy does not keep
    #[arg(long, conflicts_with = "points")]
    policy: bool,
    /// Show what would be forgotten, and change nothing
    #[arg(long)]
    dry_run: bool,
}

/// A point, with the verdict of retention.
#[derive(Serialize)]
struct Judged {
    #[serde(flatten)]
    point: Point,
    keep: bool,
    reasons: Vec<String>,
}

impl Judged {
    fn new(point: Point, verdict: &Verdict) -> Self {
        Self { point, keep: verdict.keep, reasons: verdict.reasons.iter().map(ToString::to_string).collect() }
    }
}

impl Judged {
    /// The begin of the age of an adopted point, which is not the time that the list shows.
    fn counted_since(&self) -> String {
        match self.point.origin {
            Some(Origin::Adopted) => {
                format!("; its age counts since its adoption at {}", show_time(self.point.sealed_at))
            }
            _ => String::new(),
        }
    }
}

impl Columns for Judged {
    const HEAD: &'static [&'static str] = &["POINT", "TIME", "ORIGIN", "VERDICT", "BECAUSE"];

    fn cells(&self) -> Vec<Cell> {
        vec![
            Cell::Id(self.point.to_string()),
            Cell::Time(self.point.timestamp),
            origin(&self.point).into(),
            if self.keep { "keep" } else { "forget" }.into(),
            format!("{}{}", self.reasons.join(", "), self.counted_since()).into(),
        ]
    }
}

impl Forget {
    pub(in crate::face::cli) fn run(self, context: &mut Context) -> Result<Exit> {
        if self.policy { by_policy(context, self.dry_run) } else { by_name(context, &self.points, self.dry_run) }
    }
}

fn by_name(context: &mut Context, selectors: &[Selector], dry_run: bool) -> Result<Exit> {
    context.know_ids()?;
    let named = |target: &Target| -> Result<Vec<Point>> {
        selectors.iter().try_for_each(|selector| context.tell(target, selector))?;
        if dry_run {
            return selectors.iter().map(|selector| target.point(selector)).collect();
        }
        target.forget(selectors)
    };
    let points = if dry_run { named(&context.reach()?)? } else { context.alter(named)? };
    let count = points.len() as u64;
    context.out.list(points.into_iter().map(Ok))?;
    tell(context, count, dry_run);
    Ok(Exit::Done)
}

fn by_policy(context: &mut Context, dry_run: bool) -> Result<Exit> {
    context.needs_file("--policy", "a service applies the policy by itself")?;
    // A policy that keeps everything judges no point.
    let judge = |store: &Store| store.policy()?.policy.map_or(Ok(Vec::new()), |policy| store.judge(&policy));
    context.know_ids()?;
    let judged = match dry_run {
        true => judge(&context.look()?)?,
        false => context.change(|store| {
            let judged = judge(store)?;
            store.retain_by_policy().map(|_| judged)
        })?,
    };
    let count = judged.iter().filter(|(_, verdict)| !verdict.keep).count() as u64;
    if !judged.is_empty() || context.out.is_json() {
        context.out.list(judged.into_iter().rev().map(|(point, verdict)| Ok(Judged::new(point, &verdict))))?;
    }
    tell(context, count, dry_run);
    Ok(Exit::Done)
}

fn tell(context: &mut Context, count: u64, dry_run: bool) {
    let verb = if dry_run { "would forget" } else { "forgot" };
    context.out.message(format_args!("{verb} {}", counted(count, "restore point")));
}
