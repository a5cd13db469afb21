//! The loop over the lines of a file.

use std::path::Path;

use jiff::tz::TimeZone;
use serde_json::{Map, Value};

use crate::engine::write::WriteTx;
use crate::error::{ErrorKind, Result};
use crate::json;
use crate::transfer::adopt::input;
use crate::transfer::adopt::input::Line;
use crate::transfer::adopt::marks::{Mark, Occurrences};
use crate::transfer::adopt::report::AdoptThing;
use crate::transfer::adopt::work::{FileWork, Seen, Taking};

/// The kind of record that the lines of a file hold.
pub(in crate::transfer::adopt) trait Record {
    /// The record that a line becomes.
    type New;
    /// For the report.
    const THING: AdoptThing;
    /// For the marks; it never changes.
    const MARK: &'static str;

    /// Reads a line's object.
    ///
    /// # Errors
    ///
    /// `Invalid` when it is no such record, and why.
    fn read(members: Map<String, Value>, from: &From<'_>) -> Result<Self::New>;

    /// Appends it and gives its number.
    ///
    /// # Errors
    ///
    /// `Invalid` before anything is written when something in it is too long.
    fn append(tx: &mut WriteTx<'_>, new: Self::New) -> Result<u64>;

    /// Whether the entry that was appended under that number is still there. Trails, which are
    /// only ever purged, always say so.
    fn is_there(_tx: &mut WriteTx<'_>, _number: u64) -> Result<bool> {
        Ok(true)
    }
}

/// Where a line stands.
pub(in crate::transfer::adopt) struct From<'a> {
    /// The name of the file without its ending.
    pub(in crate::transfer::adopt) file: &'a str,
    /// Its text.
    pub(in crate::transfer::adopt) line: &'a str,
    /// Where naive times were written.
    pub(in crate::transfer::adopt) zone: &'a TimeZone,
}

/// Takes over the lines of a file, a batch in each transaction.
pub(in crate::transfer::adopt) fn adopt<R: Record>(work: &mut FileWork<'_>) -> Result<()> {
    let path = work.path;
    let mut lines = match input::lines(path, work.options.max_file_bytes) {
        Ok(lines) => lines,
        Err(why) => {
            work.file.problem("", why, false);
            return Ok(());
        }
    };
    let mut occurrences = Occurrences::default();
    loop {
        let batch = match lines.batch() {
            Ok(batch) => batch,
            Err(error) => {
                work.file.problem("", input::cannot_be_read(&error), false);
                return Ok(());
            }
        };
        let (Some(first), Some(last)) = (batch.first(), batch.last()) else { return Ok(()) };
        let part = format!("lines {} to {}", first.number, last.number);
        work.load(&part, |taking| batch.iter().try_for_each(|line| take::<R>(taking, line, &mut occurrences, path)))?;
    }
}

fn take<R: Record>(taking: &mut Taking<'_, '_>, line: &Line, occurrences: &mut Occurrences, path: &Path) -> Result<()> {
    let place = format!("line {}", line.number);
    if line.is_too_long() {
        let why = format!("it is too long: bytes={} limit={}", line.length, input::PART_MAX);
        return taking.problem(place, why, &[]);
    }
    let before = occurrences.before(&line.bytes);
    let mark = Mark::new(R::MARK, &[&line.bytes, &before.to_le_bytes()]);
    if taking.seen(&mark, R::is_there)? == Seen::Before {
        return Ok(());
    }
    let file = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    match read::<R>(&line.bytes, file, &taking.options.time_zone) {
        Ok(new) => match R::append(taking.tx, new) {
            Err(error) if error.kind() == ErrorKind::Invalid => taking.problem(place, error.to_string(), &line.bytes),
            number => {
                mark.write(taking.tx, number?)?;
                taking.file.took(R::THING, 1);
                Ok(())
            }
        },
        Err(why) => taking.problem(place, why, &line.bytes),
    }
}

pub(super) fn read<R: Record>(bytes: &[u8], file: &str, zone: &TimeZone) -> Result<R::New, String> {
    let value = json::parse(bytes).map_err(|error| format!("it is not JSON: {error}"))?;
    let Value::Object(members) = value else { return Err("it is JSON, but not an object".to_owned()) };
    let line = str::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
    R::read(members, &From { file, line, zone }).map_err(|error| error.to_string())
}
