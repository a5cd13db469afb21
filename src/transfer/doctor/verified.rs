//! How much of the store is read, and whether it verifies.

use std::time::Duration;

use crate::duration;
use crate::engine::check::CheckReport;
use crate::engine::open;
use crate::engine::schema::Table;
use crate::engine::store::Store;
use crate::error::{ErrorKind, Result};
use crate::text::counted;
use crate::transfer::doctor::line::DiagnosisLine;

/// The number of rows that are verified without --full: about a tenth of a second.
const ROWS: u64 = 20_000;
/// The longest time between two complete checks.
const CHECK_EVERY: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Reads everything. The pages of a file that no other process has open were verified when it was opened.
pub(super) fn everything(store: &Store) -> Result<DiagnosisLine> {
    let mut report = store.check()?;
    report.pages = !open::in_use(store.path())?;
    store.note_check_if_possible(&report);
    let pages = if report.pages { ", all pages" } else { "" };
    let records = counted(report.records, "record");
    Ok(said(&report, format!("all {records}{pages}, every point and every digest verify")))
}

/// Reads a sample of rows, continuing where the last one ended.
pub(super) fn part(store: &Store) -> Result<DiagnosisLine> {
    let topic = "verified";
    let view = store.view()?;
    let of = Table::ALL.iter().map(|table| view.stored().count(*table)).sum::<Result<u64>>()?;
    let part = if of <= ROWS { 1.0 } else { ROWS as f64 / of as f64 };
    match store.check_sample(part) {
        Ok(report) => {
            let rows = ROWS.min(of);
            Ok(said(&report, format!("{rows} of {of} rows verify; --full verifies all")))
        }
        Err(error) if error.kind() == ErrorKind::Io => Ok(DiagnosisLine::warn(
            topic,
            format!("nothing was verified: {error}"),
            "let doctor write beside the store, or run hivekeep check",
        )),
        Err(error) => Err(error),
    }
}

fn said(report: &CheckReport, sound: String) -> DiagnosisLine {
    match report.findings.first() {
        None => DiagnosisLine::ok("verified", sound),
        Some(first) => DiagnosisLine::bad(
            "verified",
            format!("{}; the first: {} {}: {}", counted(report.found, "finding"), first.table, first.key, first.what),
            "see them all with hivekeep check, then restore, or hivekeep repair --dry-run",
        ),
    }
}

/// The time of the last complete check.
pub(super) fn last_check(store: &Store) -> Result<DiagnosisLine> {
    let topic = "checked";
    let advice = "verify everything: hivekeep check";
    let Some(last) = store.last_check()? else {
        return Ok(DiagnosisLine::warn(topic, "no complete check has run yet", advice));
    };
    let ago = duration::since(last.at, store.clock().now());
    let shown = duration::show(ago);
    Ok(if last.found > 0 {
        let found = counted(last.found, "finding");
        DiagnosisLine::bad(topic, format!("the last check, {shown} ago, had {found}"), "see them: hivekeep check")
    } else if ago > CHECK_EVERY {
        DiagnosisLine::warn(topic, format!("the last complete check was {shown} ago"), advice)
    } else {
        let pages = if last.pages { " and all pages" } else { "" };
        DiagnosisLine::ok(topic, format!("all {}{pages} were sound {shown} ago", counted(last.records, "record")))
    })
}
