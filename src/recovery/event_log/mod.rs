//! The events as lines of a file, for tools that read logs: `{"timestamp", "event", "details"}`. The line is in the file when
//! the call returns that committed its event.
//!
//! Several processes may have one file; each writes to it for a moment, everything that is missing, in order. How far it has
//! come, the file itself says, by its last line. From where that is looked for is kept in the store by the file's path,
//! and written by and by, so that a line costs no commit of its own. So no line is left out, nor, whatever crashes, written
//! twice.

mod file;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use self::file::{Locked, LogFile};
use crate::engine::codec::{self, Stored};
use crate::engine::records::Records;
use crate::engine::schema::Table;
use crate::engine::sink::{Sink, SinkState};
use crate::engine::store::{Options, Store};
use crate::engine::view::View;
use crate::engine::write::WriteTx;
use crate::error::{Error, ErrorKind, Result};
use crate::files::Rights;
use crate::recovery::events::Event;
use crate::state::page::Page;

/// Events that are written at a time.
const PAGE: usize = 256;
/// A writer waits so long for another process that writes to the file.
const PATIENCE: Duration = Duration::from_secs(1);

/// How far a file has come: the number of an event in it, of the last one or of one shortly before.
#[derive(Serialize, Deserialize)]
struct Written(u64);

impl Stored for Written {
    const VERSION: u8 = 1;
    const WHAT: &'static str = "how far an event log has come";
}

/// A file that events are written to.
struct EventLog {
    path: PathBuf,
    key: Vec<u8>,
    /// Held while the file is written to; nothing is written to the store meanwhile.
    progress: Mutex<Progress>,
    state: Mutex<SinkState>,
}

#[derive(Default)]
struct Progress {
    file: Option<LogFile>,
    /// The last event that is known to be in the file.
    last: u64,
    /// What the store says of that.
    saved: u64,
}

impl Options {
    /// Writes every event to that file too, as one JSON object on a line, before the call returns that committed it. A file
    /// that is renamed, as to rotate it, is left alone from then on, and a new one made. It may be shared by the processes
    /// that have the store open. When it cannot be written, calls succeed all the same, [`Store::event_log_error`] and the log
    /// tell of it, and the lines come later. Events that other processes have committed come with the next line, at the next
    /// [`Store::upkeep`] or opening.
    ///
    /// # Examples
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// let log = dir.path().join("events.jsonl");
    /// let store = hivekeep::Store::options().event_log(&log).open(dir.path().join("h.redb"))?;
    /// store.restore_point("before the upgrade")?;
    /// assert!(std::fs::read_to_string(&log)?.contains(r#""event":"restore_point_created""#));
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    #[must_use]
    pub fn event_log(mut self, path: impl Into<PathBuf>) -> Self {
        self.event_log = Some(path.into());
        self
    }
}

impl Store {
    /// Why events cannot be written to their file, if they cannot; none too where there is no such file.
    pub fn event_log_error(&self) -> Option<String> {
        self.sink().get().and_then(|sink| sink.state().error)
    }

    /// Writes the events to that file from now on.
    ///
    /// # Errors
    ///
    /// `Invalid` when it is no regular file, `Io` when it cannot be written.
    pub(crate) fn log_events(&self, path: &Path) -> Result<()> {
        let path = std::path::absolute(path)?;
        let key = [b"event log/", path.as_os_str().as_encoded_bytes()].concat();
        let log = EventLog { path, key, progress: Mutex::default(), state: Mutex::default() };
        log.catch_up(self, PATIENCE)?;
        let log = Arc::new(log);
        let last = log.clone();
        self.at_close(Box::new(move |tx| last.save_in(tx)));
        self.sink().set(self, log);
        Ok(())
    }

    /// Writes the events to no file any more.
    #[cfg(feature = "http")]
    pub(crate) fn log_no_events(&self) {
        self.sink().clear();
    }

    /// Writes what is missing in the event log, as other processes have committed it, and notes how far it has come.
    ///
    /// # Errors
    ///
    /// As [`Store::write`]. That the file cannot be written is no error here.
    pub(crate) fn tend_event_log(&self) -> Result<()> {
        self.sink().get().map_or(Ok(()), |sink| sink.tend(self))
    }
}

impl Sink for EventLog {
    fn committed(&self, store: &Store) {
        // Where another process keeps the file to itself, nobody waits for it twice.
        let patience = if self.state.lock().error.is_some() { Duration::ZERO } else { PATIENCE };
        self.note(self.catch_up(store, patience));
    }

    fn tend(&self, store: &Store) -> Result<()> {
        match self.catch_up(store, Duration::ZERO) {
            Err(error) if error.kind() == ErrorKind::Reopen => return Err(error),
            // Somebody writes to it just now, and all that is missing.
            Err(error) if error.kind() == ErrorKind::Locked => {}
            caught_up => self.note(caught_up),
        }
        let progress = self.progress.lock();
        let is_saved = progress.saved >= progress.last;
        drop(progress);
        if is_saved { Ok(()) } else { store.write(|tx| self.save_in(tx)) }
    }

    fn state(&self) -> SinkState {
        self.state.lock().clone()
    }
}

impl EventLog {
    /// Writes what the file has not got yet.
    fn catch_up(&self, store: &Store, patience: Duration) -> Result<()> {
        let mut progress = self.progress.lock();
        let Progress { file, last, saved } = &mut *progress;
        let mut file = LogFile::lock(file, &self.path, Rights::of_content(store.path()), patience)?;
        // Begun behind the lock, so that it has all that others have written.
        let view = store.view()?;
        let written = view.row(Table::Meta, &self.key)?.map(|bytes| codec::decode::<Written>(&bytes)).transpose()?;
        *saved = (*saved).max(written.map_or(0, |written| written.0));
        *last = (*last).max(*saved);
        if file.is_changed()? {
            *last = find(&mut file, &view, *last)?;
        }
        loop {
            let events = after(&view, *last)?;
            let Some(newest) = events.last() else { return Ok(()) };
            let lines = events.iter().map(line).collect::<Result<Vec<_>>>()?.concat();
            file.append(&lines)?;
            *last = newest.sequence;
        }
    }

    fn save_in(&self, tx: &mut WriteTx<'_>) -> Result<()> {
        let last = self.progress.lock().last;
        let stored = tx.row(Table::Meta, &self.key)?.map(|bytes| codec::decode::<Written>(&bytes)).transpose()?;
        if stored.is_none_or(|stored| stored.0 < last) {
            tx.put_row(Table::Meta, &self.key, &codec::encode(&Written(last))?)?;
        }
        Ok(())
    }

    /// Tells of a failure once, and of its end.
    fn note(&self, done: Result<()>) {
        let mut state = self.state.lock();
        match done {
            Ok(()) if state.error.take().is_some() => {
                tracing::warn!(path = %self.path.display(), "events are written to their log again");
            }
            Ok(()) => {}
            Err(error) => {
                let error = error.to_string();
                state.failures += 1;
                if state.error.is_none() {
                    tracing::error!(error, path = %self.path.display(), "events could not be written to their log");
                }
                state.error = Some(error);
            }
        }
    }
}

/// The number of the last event, after `from`, whose line is the last one of the file. Half a line behind it goes.
fn find(file: &mut Locked<'_>, view: &View, from: u64) -> Result<u64> {
    let mut events = after(view, from)?;
    if events.is_empty() {
        return Ok(from);
    }
    let end = file.end()?;
    let (mut found, mut next) = (from, None);
    while let Some(newest) = events.last().map(|event| event.sequence) {
        for event in &events {
            let line = line(event)?;
            if end.is(&line) {
                (found, next) = (event.sequence, None);
            } else if next.is_none() {
                next = Some(line);
            }
        }
        events = after(view, newest)?;
    }
    file.end_the_line(&end, &next.unwrap_or_default())?;
    Ok(found)
}

fn after(view: &View, sequence: u64) -> Result<Vec<Event>> {
    view.events().list(Page::oldest(PAGE).after(sequence))
}

fn line(event: &Event) -> Result<Vec<u8>> {
    let mut line = serde_json::to_vec(event).map_err(|error| Error::from(std::io::Error::from(error)))?;
    line.push(b'\n');
    Ok(line)
}

#[cfg(test)]
mod test;
