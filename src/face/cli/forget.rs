//! `point forget`: by name, or by the rules of retention.

use clap::Args;
use serde::Serialize;

use crate::clock::show_time;
use crate::engine::point::Origin;
use crate::engine::store::Store;
use crate::error::{Error, Result};
use crate::face::cli::columns::origin;
use crate::face::cli::context::Context;
use crate::face::cli::exit::Exit;
use crate::face::cli::table::Columns;
use crate::face::summary::counted;
use crate::recovery::points::Point;
use crate::recovery::retention::{Candidate, Class, Policy, Verdict};
use crate::recovery::selector::Selector;

/// Forget restore points, and free what only they need
///
/// Everything that other points need stays, and every other point stays as it is. A held point is not forgotten.
/// With --policy the rules of retention say which: by default points of the last 7 days are kept, at most 100 of a
/// kind, the automatic ones of them thinned.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hivekeep point forget latest~7 latest~8
  hivekeep point forget --policy --dry-run
  hivekeep point forget --policy")]
pub(super) struct Forget {
    /// Ids or their beginnings, latest~3, times, or '10m ago'
    #[arg(value_name = "POINT", required_unless_present = "policy")]
    points: Vec<Selector>,
    /// Forget those that the rules of retention do not keep
    #[arg(long, conflicts_with = "points")]
    policy: bool,
    /// Show what would be forgotten, and change nothing
    #[arg(long)]
    dry_run: bool,
}

/// A point, and what retention says of it.
#[derive(Serialize)]
struct Judged {
    #[serde(flatten)]
    point: Point,
    keep: bool,
    reasons: Vec<String>,
}

impl Columns for Judged {
    const HEAD: &'static [&'static str] = &["POINT", "TIME", "ORIGIN", "VERDICT", "BECAUSE"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.point.label(),
            show_time(self.point.timestamp),
            origin(&self.point).to_owned(),
            if self.keep { "keep" } else { "forget" }.to_owned(),
            self.reasons.join(", "),
        ]
    }
}

impl Forget {
    pub(super) fn run(self, context: &mut Context) -> Result<Exit> {
        if self.policy { by_policy(context, self.dry_run) } else { by_name(context, &self.points, self.dry_run) }
    }
}

fn by_name(context: &mut Context, selectors: &[Selector], dry_run: bool) -> Result<Exit> {
    let named = |store: &Store| -> Result<Vec<Point>> {
        selectors.iter().try_for_each(|selector| context.tell(store, selector))?;
        if !dry_run {
            return store.forget(selectors);
        }
        let now = || Error::invalid("the state as it is now is no point to forget");
        selectors.iter().map(|selector| store.find_point(selector)?.ok_or_else(now)).collect()
    };
    let points = if dry_run { named(&context.look()?)? } else { context.change(named)? };
    let count = points.len() as u64;
    context.out.list(points.into_iter().map(Ok))?;
    tell(context, count, dry_run);
    Ok(Exit::Done)
}

fn by_policy(context: &mut Context, dry_run: bool) -> Result<Exit> {
    let forget = |store: &Store| -> Result<Vec<Judged>> {
        let judged = judge(store)?;
        let gone: Vec<_> = judged.iter().filter(|judged| !judged.keep).map(|judged| (&judged.point).into()).collect();
        if !dry_run && !gone.is_empty() {
            store.forget(&gone)?;
        }
        Ok(judged)
    };
    let judged = if dry_run { forget(&context.look()?)? } else { context.change(forget)? };
    let count = judged.iter().filter(|judged| !judged.keep).count() as u64;
    context.out.list(judged.into_iter().map(Ok))?;
    tell(context, count, dry_run);
    Ok(Exit::Done)
}

fn tell(context: &mut Context, count: u64, dry_run: bool) {
    let verb = if dry_run { "would forget" } else { "forgot" };
    context.out.message(format_args!("{verb} {}", counted(count, "restore point")));
}

/// What the default policy says of every point, newest first. Points of single commits have their own window.
fn judge(store: &Store) -> Result<Vec<Judged>> {
    let points = store.all_points()?;
    let candidates: Vec<_> = points.iter().filter_map(candidate).collect();
    let mut verdicts = Policy::default().judge(&candidates, store.clock().now());
    verdicts.reverse();
    let named = points.into_iter().filter(|point| point.origin.is_some());
    Ok(named.zip(verdicts).map(|(point, verdict)| judged(point, verdict)).collect())
}

fn judged(point: Point, Verdict { keep, reasons, .. }: Verdict) -> Judged {
    Judged { point, keep, reasons: reasons.iter().map(ToString::to_string).collect() }
}

fn candidate(point: &Point) -> Option<Candidate> {
    let (class, kind) = match point.origin? {
        Origin::Automatic => (Class::Automatic, "point"),
        Origin::Manual => (Class::Manual, "point"),
        Origin::Safety => (Class::Safety, "safety"),
        Origin::Documents => (Class::Manual, "documents"),
        Origin::Adopted => (Class::Manual, "adopted"),
    };
    Some(Candidate {
        epoch: point.epoch,
        at: point.sealed_at,
        class,
        kind: kind.to_owned(),
        tags: point.tags.clone(),
        held: point.held,
        sound: true,
    })
}
