//! The table and the JSON.

use std::fmt::Write;
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use crate::bench::{Compared, Figure, Measured, Outcome, Work};
use crate::engine::HIVEKEEP;

/// One entry of the JSON. Null where an engine cannot do the work; `note` says why.
#[derive(Serialize)]
struct Entry<'a> {
    work: &'static str,
    engine: &'static str,
    records: u64,
    median_ms: Option<f64>,
    min_ms: Option<f64>,
    max_ms: Option<f64>,
    bytes: Option<u64>,
    /// Above 1: Hivekeep is ahead. It compares bytes for `disk` and `memory`, and medians otherwise.
    ratio_to_hivekeep: Option<f64>,
    /// Records changed before, where that tells entries of one work apart.
    changes: Option<u64>,
    /// Further parameters that tell entries of one workload apart.
    variant: &'static str,
    /// Bytes of the files, free pages included.
    #[serde(skip_serializing_if = "Option::is_none")]
    file_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'a str>,
}

pub fn json(figures: &[Figure], records: u64) -> Result<String> {
    let entries: Vec<_> = figures.iter().map(|figure| entry(figures, figure, records)).collect();
    Ok(serde_json::to_string_pretty(&entries)? + "\n")
}

fn entry<'a>(figures: &[Figure], figure: &'a Figure, records: u64) -> Entry<'a> {
    let Work { name, changes, variant, .. } = figure.work;
    let (measured, note) = match &figure.outcome {
        Outcome::Measured(measured) => (Some(measured), None),
        Outcome::Cannot(why) => (None, Some(why.as_str())),
    };
    let times = measured.and_then(Measured::spread);
    Entry {
        work: name,
        engine: figure.engine,
        records,
        median_ms: times.map(|[_, median, _]| median),
        min_ms: times.map(|[min, ..]| min),
        max_ms: times.map(|[.., max]| max),
        bytes: measured.and_then(|measured| measured.bytes),
        ratio_to_hivekeep: ratio(figures, figure),
        changes,
        variant,
        file_bytes: measured.and_then(|measured| measured.file_bytes),
        note,
    }
}

impl Measured {
    /// Least, median and most, in milliseconds.
    fn spread(&self) -> Option<[f64; 3]> {
        let mut times: Vec<_> = self.times.iter().map(Duration::as_secs_f64).map(|seconds| seconds * 1e3).collect();
        times.sort_by(f64::total_cmp);
        let middle = f64::midpoint(*times.get(times.len().saturating_sub(1) / 2)?, *times.get(times.len() / 2)?);
        Some([*times.first()?, middle, *times.last()?])
    }

    fn compared(&self, by: Compared) -> Option<f64> {
        match by {
            Compared::Time => self.spread().map(|[_, median, _]| median),
            Compared::Bytes => self.bytes.map(|bytes| bytes as f64),
        }
    }
}

/// An engine's figure over Hivekeep's.
fn ratio(figures: &[Figure], figure: &Figure) -> Option<f64> {
    let of = |figure: &Figure| match &figure.outcome {
        Outcome::Measured(measured) => measured.compared(figure.work.compared),
        Outcome::Cannot(_) => None,
    };
    let ours = figures.iter().find(|other| other.work == figure.work && other.engine == HIVEKEEP)?;
    Some(of(figure)? / of(ours)?)
}

/// The figures of one work.
pub fn table(figures: &[Figure]) -> String {
    let mut text = figures.first().map(|figure| heading(figure.work)).unwrap_or_default();
    figures.iter().for_each(|figure| text.push_str(&line(figures, figure)));
    text
}

fn heading(work: Work) -> String {
    let changes = work.changes.map(|changes| format!(", {changes} changes before")).unwrap_or_default();
    let variant = if work.variant.is_empty() { String::new() } else { format!(", {}", work.variant) };
    let columns = ["median ms", "least", "most", "MB", "MB of files", "ratio"];
    let mut text = format!("\n{:<44}", format!("{}{variant}{changes}", work.name));
    columns.iter().for_each(|column| text.push_str(&format!("{column:>12}")));
    text.push('\n');
    text
}

fn line(figures: &[Figure], figure: &Figure) -> String {
    let mut text = format!("  {:<42}", figure.engine);
    let measured = match &figure.outcome {
        Outcome::Cannot(why) => return format!("{text}{:>12}  {why}\n", "-"),
        Outcome::Measured(measured) => measured,
    };
    let [min, median, max] = measured.spread().map_or([None; 3], |times| times.map(Some));
    let megabytes = |bytes: Option<u64>| bytes.map(|bytes| bytes as f64 / 1e6);
    let columns = [median, min, max, megabytes(measured.bytes), megabytes(measured.file_bytes), ratio(figures, figure)];
    for column in columns {
        let shown = column.map(short).unwrap_or_default();
        // Writing to a string cannot fail.
        write!(text, "{shown:>12}").unwrap_or_default();
    }
    text.push('\n');
    text
}

/// Three digits, or all before the point.
fn short(number: f64) -> String {
    let decimals = match number {
        _ if number < 1.0 => 3,
        _ if number < 10.0 => 2,
        _ if number < 100.0 => 1,
        _ => 0,
    };
    format!("{number:.decimals$}")
}
