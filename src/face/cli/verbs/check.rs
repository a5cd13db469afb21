//! `check`: verifies everything, changes nothing.

use clap::Args;
use serde_json::json;

use crate::face::cli::context::Context;
use crate::face::cli::printing::exit::Exit;
use crate::face::cli::printing::hint::typed;
use crate::face::cli::printing::output::Output;
use crate::face::cli::printing::progress::Progress;
#[cfg(feature = "replica")]
use crate::face::cli::verbs::replica::Heal;
use crate::text::{counted, show_bytes};
use crate::{CheckReport, Error, Finding, Hint, Result, Selector, Store, VerifyOnOpen};

/// Verify every record, every point and every digest; change no record
///
/// Damage is listed with its table, its key and its meaning, and the exit code is 4. If no other process has the store
/// open, the pages of the file are verified too, and no byte of the file changes; the summary says whether they were.
/// With --json every finding is a line, and the last line is the summary.
/// With --heal, damaged rows first get their bytes back from the replica of the store, where these are proved; other
/// programs may use the store meanwhile.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hivekeep check
  hivekeep check --pages
  hivekeep check --sample 10%
  hivekeep check --at latest --json
  hivekeep check --heal s3://backups/hive")]
pub(in crate::face::cli) struct Check {
    /// Verify the pages of the file even if other processes have it open; their writers wait, 1 to 2 s per GB, and the
    /// file notes that it was verified
    #[arg(long)]
    pages: bool,
    /// Verify only one point: it can be read completely, and matches its manifest
    #[arg(long, value_name = "POINT", conflicts_with = "pages")]
    at: Option<Selector>,
    /// Verify a part of all rows, such as 10%; each such check continues where the last one ended, which PATH.check
    /// records
    #[arg(long, value_name = "PART", value_parser = part, conflicts_with_all = ["pages", "at"])]
    sample: Option<f64>,
    #[cfg(feature = "replica")]
    #[command(flatten)]
    heal: Heal,
}

impl Check {
    pub(in crate::face::cli) fn run(self, context: &mut Context) -> Result<Exit> {
        if context.is_remote() {
            return self.there(context);
        }
        #[cfg(feature = "replica")]
        self.heal.run(context)?;
        let bar = Progress::new(&context.out, "rows");
        let show = |done, of| bar.show(done, of);
        let report = match (&self.at, self.sample) {
            (Some(at), _) => {
                let store = open_for_a_part(context)?;
                context.tell_of_file(&store, at)?;
                store.check_at_with(at, show)?
            }
            (None, Some(part)) => open_for_a_part(context)?.check_sample_with(part, show)?,
            (None, None) => context.options().check_file(&context.path, self.pages, show)?,
        };
        drop(bar);
        let exit = shown(&mut context.out, &report)?;
        if self.at.is_none() && self.sample.is_none() && !report.pages {
            context.out.message("the pages of the file were not verified, as another process has it open: --pages");
        }
        if exit == Exit::Damaged && !context.out.is_json() {
            context.tell_of_replica();
        }
        Ok(exit)
    }

    /// Lets a service check its store.
    fn there(self, context: &mut Context) -> Result<Exit> {
        let others = [("--pages", self.pages), ("--at", self.at.is_some()), ("--sample", self.sample.is_some())];
        #[cfg(feature = "replica")]
        self.heal.refuse_remote(context)?;
        let why = "a service checks all records and points, and no pages";
        others.iter().filter(|(_, is_given)| *is_given).try_for_each(|(name, _)| context.needs_file(name, why))?;
        let bar = Progress::new(&context.out, "rows");
        let (report, healed) = context.reach()?.check_by_service(|done, of| bar.show(done, of))?;
        drop(bar);
        if healed > 0 {
            match context.out.is_json() {
                true => context.out.json_line(&json!({"heal": {"healed": healed}}))?,
                false => context.out.line(told_of_healed(healed))?,
            }
        }
        shown(&mut context.out, &report)
    }
}

/// The rows that a service got back while it checked.
fn told_of_healed(healed: u64) -> String {
    format!("healed: {} from the replica", counted(healed, "row"))
}

fn shown(out: &mut Output, report: &CheckReport) -> Result<Exit> {
    if out.is_json() {
        show_lines(out, report)?
    } else {
        list(out, report)?;
        if !report.is_sound() {
            out.message(format_args!("hint: {}", typed(&Hint::RepairStore)));
        }
    }
    Ok(if report.is_sound() { Exit::Done } else { Exit::Damaged })
}

/// Opens the store beside others. A sample is quick. A verification of all pages at the opening is not, and would hide
/// which rows a damaged page affects.
fn open_for_a_part(context: &Context) -> Result<Store> {
    context.options().read_only(true).verify_on_open(VerifyOnOpen::Never).open(&context.path)
}

/// Parses `10%` or `0.1`.
fn part(text: &str) -> Result<f64> {
    let number = |text: &str| text.trim().parse::<f64>().ok();
    let part = match text.strip_suffix('%') {
        Some(percent) => number(percent).map(|percent| percent / 100.0),
        None => number(text),
    };
    part.filter(|part| *part > 0.0 && *part <= 1.0)
        .ok_or_else(|| Error::invalid("must be more than 0 and at most 100%, such as 10% or 0.1"))
}

fn show_lines(out: &mut Output, report: &CheckReport) -> Result<()> {
    report.findings.iter().try_for_each(|finding| out.json_line(finding))?;
    let CheckReport { records, bytes, pre_images, points, pages, found, .. } = report;
    out.json_line(&json!({
        "sound": report.is_sound(), "found": found, "records": records, "bytes": bytes, "pre_images": pre_images,
        "points": points, "pages": pages,
    }))
}

/// The most findings of one kind that text lists; JSON lists all.
const ALIKE_MAX: usize = 5;
/// The tables whose rows follow from others. Damage elsewhere explains most of their findings.
const FOLLOWING: [&str; 3] = ["index", "points", "point_ids"];

/// Findings of one kind in one table.
struct Alike<'f> {
    table: &'f str,
    what: &'f str,
    findings: Vec<&'f Finding>,
}

/// The findings by their kind, damage before its consequences.
fn alike(findings: &[Finding]) -> Vec<Alike<'_>> {
    let mut kinds: Vec<Alike<'_>> = Vec::new();
    for finding in findings {
        let (table, what) = (finding.table.as_str(), finding.what.split(": ").next().unwrap_or_default());
        match kinds.iter_mut().find(|kind| kind.table == table && kind.what == what) {
            Some(kind) => kind.findings.push(finding),
            None => kinds.push(Alike { table, what, findings: vec![finding] }),
        }
    }
    kinds.sort_by_key(|kind| FOLLOWING.contains(&kind.table));
    kinds
}

fn list(out: &mut Output, report: &CheckReport) -> Result<()> {
    for Alike { table, what, findings } in alike(&report.findings) {
        for finding in findings.iter().take(ALIKE_MAX) {
            out.line(format_args!("{table} {}: {}", finding.key, finding.what))?;
        }
        if let Some(more @ 1..) = findings.len().checked_sub(ALIKE_MAX) {
            out.line(format_args!("{table}: {more} more of: {what}"))?;
        }
    }
    let unlisted = report.found - report.findings.len() as u64;
    if unlisted > 0 {
        out.line(format_args!("and {unlisted} more"))?;
    }
    let verdict = if report.is_sound() { "sound".to_owned() } else { counted(report.found, "finding") };
    let (records, bytes) = (counted(report.records, "record"), show_bytes(report.bytes));
    let (pre_images, points) = (counted(report.pre_images, "pre-image"), counted(report.points, "point"));
    match report.pages {
        true => out.line(format_args!("{verdict}: {records} ({bytes}), {pre_images}, {points} and all pages verified")),
        false => out.line(format_args!("{verdict}: {records} ({bytes}), {pre_images} and {points} verified")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_comes_before_its_consequences_and_these_are_counted() {
        let finding = |table: &str, what: &str| Finding::new(table, b"k", what);
        let mut findings: Vec<_> = (0..40).map(|_| finding("index", "an index row follows from no record")).collect();
        findings.push(finding("live", "the checksum does not match: key=a"));
        findings.push(finding("live", "the checksum does not match: key=b"));
        let kinds: Vec<_> = alike(&findings).into_iter().map(|kind| (kind.table, kind.findings.len())).collect();
        assert_eq!(kinds, [("live", 2), ("index", 40)]);
    }
}
