//! The output of a verb: data on standard output, as text or JSON; messages and errors on standard error.

use std::error::Error as _;
use std::fmt::Display;
use std::io::{self, BufWriter, IsTerminal, Write};

use serde::Serialize;
use serde::ser::{SerializeMap, SerializeSeq, Serializer};
use serde_json::json;

use crate::face::cli::printing::exit::Exit;
use crate::face::cli::printing::hint::typed;
use crate::face::cli::printing::screen::{Screen, columns, cut, wrapped};
use crate::face::cli::printing::table::{Columns, Table};
use crate::face::cli::target::Target;
use crate::text::{EscapedJson, Lines, OneLine};
use crate::{Error, ErrorKind, Result};

/// The most rows of a list on a terminal, unless the verb is told how many. A pipe and JSON have all of them.
const SHOWN_MAX: usize = 100;
/// The most rows behind them that are counted.
const MORE_MAX: usize = 10_000;
/// The message in place of a list without rows.
const NOTHING: &str = "there is nothing to list";

/// The output of one run.
pub(in crate::face::cli) struct Output {
    json: bool,
    quiet: bool,
    /// The terminal, if standard output is one.
    screen: Option<Screen>,
    /// A hint beside that of the error that ends the verb.
    further_hint: Option<String>,
    out: BufWriter<Standard>,
}

/// Standard output. Its errors name it, so that a full disk there is not mistaken for the disk of the store.
struct Standard(io::Stdout);

impl Write for Standard {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(of_standard_output)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().map_err(of_standard_output)
    }
}

/// Names standard output in an error. A closed pipe and a signal keep their kinds, which callers check.
fn of_standard_output(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::BrokenPipe | io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock => error,
        _ => io::Error::other(format!("standard output cannot be written: {error}")),
    }
}

impl Output {
    /// Writes to the standard streams of this process. On a terminal rows are fitted to its width, unless `wide` is
    /// set.
    pub(in crate::face::cli) fn new(json: bool, quiet: bool, wide: bool) -> Self {
        let screen = if json { None } else { Screen::of_output(wide) };
        Self { json, quiet, screen, further_hint: None, out: BufWriter::new(Standard(io::stdout())) }
    }

    /// Reads the ids of points and backups, so that they can be shown shortened on a terminal.
    pub(in crate::face::cli) fn know_ids(&mut self, target: &Target) -> Result<()> {
        self.screen.as_mut().map_or(Ok(()), |screen| screen.know_ids(target))
    }

    /// Whether ids and times are shown in full.
    pub(in crate::face::cli) fn is_wide(&self) -> bool {
        self.screen.is_none()
    }

    /// The id of a point or a backup, shortened on a terminal.
    pub(in crate::face::cli) fn id(&self, id: &str) -> String {
        self.screen.as_ref().map_or(id, |screen| screen.id(id)).to_owned()
    }

    /// Whether the output is JSON.
    pub(in crate::face::cli) fn is_json(&self) -> bool {
        self.json
    }

    /// Whether a progress bar would be visible.
    pub(super) fn shows_progress(&self) -> bool {
        !self.quiet && !self.json && io::stderr().is_terminal()
    }

    /// Whether messages and text are wanted.
    pub(in crate::face::cli) fn shows_messages(&self) -> bool {
        !self.quiet && !self.json
    }

    /// Standard output itself, for a verb with a protocol of its own.
    pub(in crate::face::cli) fn stream(&mut self) -> &mut dyn Write {
        &mut self.out
    }

    /// A line of text. On a terminal it wraps, with the same indentation.
    pub(in crate::face::cli) fn line(&mut self, text: impl Display) -> Result<()> {
        let text = OneLine(text).to_string();
        let (indent, text) = text.split_at(text.len() - text.trim_start_matches(' ').len());
        self.fact(indent, text)
    }

    /// A line with a label. On a terminal it wraps, and the label is the indentation.
    pub(in crate::face::cli) fn fact(&mut self, about: &str, text: impl Display) -> Result<()> {
        let text = OneLine(text).to_string();
        let Some(screen) = &self.screen else { return Ok(writeln!(self.out, "{about}{text}")?) };
        let indent = columns(about);
        for (number, line) in wrapped(&text, screen.width().saturating_sub(indent)).into_iter().enumerate() {
            let before = if number == 0 { about } else { "" };
            writeln!(self.out, "{}", format_args!("{before:<indent$}{line}").to_string().trim_end())?;
        }
        Ok(())
    }

    /// One row on its own, without alignment.
    pub(in crate::face::cli) fn row(&mut self, row: &impl Columns) -> Result<()> {
        let cells = row.cells();
        let cells: Vec<_> = cells.iter().map(|cell| cell.shown(self.screen.as_ref())).collect();
        let line = OneLine(cells.join("  ")).to_string();
        let width = self.screen.as_ref().map_or(usize::MAX, Screen::width);
        Ok(writeln!(self.out, "{}", cut(&line, width))?)
    }

    /// Text with line breaks of its own, in which control characters are escaped. On a terminal each line is an
    /// [`Output::line`].
    pub(in crate::face::cli) fn text(&mut self, text: impl Display) -> Result<()> {
        match self.screen {
            None => self.file(text),
            Some(_) => Lines(text).to_string().lines().try_for_each(|line| self.line(line)),
        }
    }

    /// The same for the content of a file: lines never wrap.
    pub(in crate::face::cli) fn file(&mut self, text: impl Display) -> Result<()> {
        Ok(write!(self.out, "{}", Lines(text))?)
    }

    /// One JSON value, indented.
    pub(in crate::face::cli) fn json(&mut self, value: &impl Serialize) -> Result<()> {
        serde_json::to_writer_pretty(EscapedJson(&mut self.out), value).map_err(io::Error::from)?;
        Ok(writeln!(self.out)?)
    }

    /// One JSON value on one line, for endless output.
    pub(in crate::face::cli) fn json_line(&mut self, value: &impl Serialize) -> Result<()> {
        serde_json::to_writer(EscapedJson(&mut self.out), value).map_err(io::Error::from)?;
        Ok(writeln!(self.out)?)
    }

    /// A JSON object, written member by member, so that memory stays bounded.
    pub(in crate::face::cli) fn json_object<K, V>(
        &mut self,
        members: impl Iterator<Item = Result<(K, V)>>,
    ) -> Result<()>
    where
        K: Serialize,
        V: Serialize,
    {
        let mut writer = serde_json::Serializer::pretty(EscapedJson(&mut self.out));
        let mut object = writer.serialize_map(None).map_err(io::Error::from)?;
        for member in members {
            let (key, value) = member?;
            object.serialize_entry(&key, &value).map_err(io::Error::from)?;
        }
        SerializeMap::end(object).map_err(io::Error::from)?;
        Ok(writeln!(self.out)?)
    }

    /// A JSON array, written item by item.
    pub(super) fn json_array<T: Serialize>(&mut self, items: impl Iterator<Item = Result<T>>) -> Result<()> {
        let mut writer = serde_json::Serializer::pretty(EscapedJson(&mut self.out));
        let mut array = writer.serialize_seq(None).map_err(io::Error::from)?;
        for item in items {
            array.serialize_element(&item?).map_err(io::Error::from)?;
        }
        SerializeSeq::end(array).map_err(io::Error::from)?;
        Ok(writeln!(self.out)?)
    }

    /// Aligned columns, written in batches as rows arrive. Returns the number of rows.
    pub(in crate::face::cli) fn table<T: Columns>(&mut self, rows: impl Iterator<Item = Result<T>>) -> Result<u64> {
        let mut table = Table::new(T::HEAD, self.screen.as_ref());
        let mut count = 0;
        for row in rows {
            count += 1;
            if table.push(row?.cells()) {
                table.write(&mut self.out)?;
            }
        }
        table.write(&mut self.out)?;
        Ok(count)
    }

    /// A list: a JSON array, or aligned columns.
    pub(in crate::face::cli) fn list<T: Columns + Serialize>(
        &mut self,
        items: impl Iterator<Item = Result<T>>,
    ) -> Result<()> {
        self.list_up_to(items, Some(usize::MAX))
    }

    /// The same, of at most `limit` items; without one as [`Output::rows`].
    pub(in crate::face::cli) fn list_up_to<T: Columns + Serialize>(
        &mut self,
        items: impl Iterator<Item = Result<T>>,
        limit: Option<usize>,
    ) -> Result<()> {
        match self.json {
            true => self.json_array(items.take(limit.unwrap_or(usize::MAX))),
            false => self.rows(items, limit),
        }
    }

    /// Aligned columns of at most `limit` rows. Without a limit a terminal gets the first hundred, and is told how many
    /// more there are.
    pub(in crate::face::cli) fn rows<T: Columns>(
        &mut self,
        mut rows: impl Iterator<Item = Result<T>>,
        limit: Option<usize>,
    ) -> Result<()> {
        let most = limit.or(self.shown_max()).unwrap_or(usize::MAX);
        if self.table(rows.by_ref().take(most))? == 0 {
            self.message(NOTHING);
        }
        if limit.is_none() && self.screen.is_some() {
            let more = rows.take(MORE_MAX).try_fold(0, |count: usize, row| row.map(|_| count.saturating_add(1)))?;
            self.tell_of_more(more);
        }
        Ok(())
    }

    /// Tells a terminal how many items its list leaves out.
    pub(in crate::face::cli) fn tell_of_more(&mut self, more: usize) {
        match more {
            0 => {}
            MORE_MAX.. => self.message(format_args!("and {MORE_MAX} or more; to see them: --limit N, or a pipe")),
            more => self.message(format_args!("and {more} more; to see them: --limit N, or a pipe")),
        }
    }

    /// The most items that a terminal gets unless the verb is told how many; none for a pipe.
    pub(in crate::face::cli) fn shown_max(&self) -> Option<usize> {
        self.screen.as_ref().map(|_| SHOWN_MAX)
    }

    /// Flushes standard output.
    pub(in crate::face::cli) fn flush(&mut self) -> Result<()> {
        Ok(self.out.flush()?)
    }

    /// A message for people, after the data written so far.
    pub(in crate::face::cli) fn message(&mut self, text: impl Display) {
        // A closed pipe is detected at the end.
        let _ = self.out.flush();
        self.aside(text);
    }

    /// A message for people, before the data.
    pub(in crate::face::cli) fn aside(&self, text: impl Display) {
        if !self.quiet {
            // A closed standard error cannot be reported anywhere.
            let _ = writeln!(io::stderr(), "{}", OneLine(text));
        }
    }

    /// A message about a failure, printed with --quiet too.
    pub(in crate::face::cli) fn complain(&self, text: impl Display) {
        // A closed standard error cannot be reported anywhere.
        let _ = writeln!(io::stderr(), "{}", OneLine(text));
    }

    /// Adds a hint to that of the error that ends the verb.
    pub(in crate::face::cli) fn hint_further(&mut self, hint: Option<String>) {
        self.further_hint = hint;
    }

    /// Reports an error after the data written so far, and returns the exit code. A reader that has closed the pipe
    /// wants no more output, so that is no error.
    pub(in crate::face::cli) fn finish(mut self, result: Result<Exit>) -> Exit {
        let result = result.and_then(|exit| self.flush().map(|()| exit));
        match result {
            Ok(exit) => exit,
            Err(error) if is_closed_pipe(&error) => Exit::Done,
            Err(error) => {
                let _ = self.out.flush();
                let exit = Exit::of(&error);
                let hints: Vec<_> = error.hint().map(typed).into_iter().chain(self.further_hint).collect();
                let hint = (!hints.is_empty()).then(|| hints.join("; "));
                report(self.json, error.kind().as_str(), &with_cause(&error), hint.as_deref(), exit);
                exit
            }
        }
    }
}

/// Writes an error to standard error: as one JSON object, or as text with the hint on a line of its own.
pub(in crate::face::cli) fn report(json: bool, kind: &str, message: &str, hint: Option<&str>, exit: Exit) {
    let lines = if json {
        let mut object = json!({"kind": kind, "message": message, "code": exit.code()});
        if let Some(hint) = hint {
            object["hint"] = hint.into();
        }
        object.to_string()
    } else {
        let error = OneLine(format_args!("error: {message}")).to_string();
        hint.into_iter().fold(error, |error, hint| format!("{error}\n{}", OneLine(format_args!("hint: {hint}"))))
    };
    let _ = writeln!(EscapedJson(io::stderr()), "{lines}");
}

/// The message of an error, with its cause if that adds something. The message of a lock names its holder already.
fn with_cause(error: &Error) -> String {
    let message = error.to_string();
    let told = error.kind() == ErrorKind::Locked;
    match error.source().map(ToString::to_string) {
        Some(cause) if !told && !message.contains(&cause) => format!("{message} ({cause})"),
        _ => message,
    }
}

fn is_closed_pipe(error: &Error) -> bool {
    let source = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    source.is_some_and(|source| source.kind() == io::ErrorKind::BrokenPipe)
}
