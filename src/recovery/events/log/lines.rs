//! The lines of a file of events: which ones are missing, and the order of the steps that write them.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::file::{End, Locked, LogFile};
use crate::engine::codec::{self, Stored};
use crate::engine::commit::sink::{Sink, SinkState};
use crate::engine::records::Records;
use crate::engine::schema::Table;
use crate::engine::store::{Inner, Options, Store};
use crate::engine::view::View;
use crate::engine::write::WriteTx;
use crate::error::{ErrorKind, Result};
use crate::files::Rights;
use crate::recovery::events::event::Event;
use crate::state::page::Page;
use crate::text::EscapedJson;

/// The events that are written at a time.
const EVENTS_PER_WRITE: usize = 256;
/// The time that a writer waits for another process that writes to the file.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);

/// The progress of a file on the disk: the number of an event in it, which is the last one or slightly earlier.
#[derive(Serialize, Deserialize)]
pub(super) struct Written(pub(super) u64);

/// The progress of a file before a commit, valid until the system restarts.
#[derive(Serialize, Deserialize)]
pub(super) struct Reached {
    pub(super) boot: String,
    pub(super) last: u64,
}

impl Stored for Reached {
    const VERSION: u8 = 1;
    const WHAT: &'static str = "the progress of an event log before a commit";
}

impl Stored for Written {
    const VERSION: u8 = 1;
    const WHAT: &'static str = "the progress of an event log";
}

/// An event log in a file.
pub(crate) struct EventLog {
    /// The store whose events it writes. It owns the log.
    pub(super) store: Weak<Inner>,
    pub(super) path: PathBuf,
    pub(super) key: Vec<u8>,
    /// The key of [`Reached`].
    reached: Vec<u8>,
    /// The id of this boot; none if the system has none.
    pub(super) boot: Option<String>,
    /// Held while the file is written to. Nothing is written to the store meanwhile.
    pub(super) progress: Mutex<Progress>,
    state: Mutex<SinkState>,
}

#[derive(Default)]
pub(super) struct Progress {
    pub(super) file: Option<LogFile>,
    /// The last event that is known to be in the file.
    pub(super) last: u64,
    /// Whether some of these lines are in a file that this process has not opened, and that may not be synced.
    elsewhere: bool,
    /// The last event whose line, like all earlier ones, is on the disk for certain.
    synced: u64,
    /// The progress that the store contains.
    pub(super) saved: u64,
}

impl Options {
    /// Writes every event to that file too, as one JSON object on a line, before the call returns that committed it.
    /// After a rename of the file, as for log rotation, the log continues in a new file. The processes that have the
    /// store open may share the file. If it cannot be written, calls still succeed; [`Store::event_log_error`] and the
    /// log report the error, and the lines follow later. Events of other processes are written with the next line, by
    /// [`Store::upkeep`], or when the store is opened. Upkeep and closing sync the lines. No line is lost. A process
    /// that is killed after a rename may duplicate the lines of its last commit, and a power cut those since the last
    /// sync.
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
    /// The reason why events cannot be written to their file; none if they can, or if there is no file.
    pub fn event_log_error(&self) -> Option<String> {
        // The lock of the file's state may be held for ever in a process that came of a fork.
        if let Err(forked) = self.refuse_forked() {
            return Some(forked.to_string());
        }
        self.sink().get().and_then(|sink| sink.state().error)
    }

    /// Writes the events to that file from now on.
    ///
    /// # Errors
    ///
    /// `Invalid` when it is not a regular file, `Io` when it cannot be written.
    pub(crate) fn log_events(&self, path: &Path) -> Result<()> {
        let log = self.event_log_at(path)?;
        self.log_events_to(Some(log));
        Ok(())
    }

    /// Opens the event log in that file, and writes all missing events to it.
    ///
    /// # Errors
    ///
    /// As [`Store::log_events`].
    pub(crate) fn event_log_at(&self, path: &Path) -> Result<Arc<EventLog>> {
        let log = EventLog::new(self, std::path::absolute(path)?);
        log.catch_up(self, PATIENCE)?;
        Ok(Arc::new(log))
    }

    /// Writes the events to that log from now on; none stops it.
    pub(crate) fn log_events_to(&self, log: Option<Arc<EventLog>>) {
        let Some(log) = log else { return self.sink().clear() };
        let last = log.clone();
        self.at_close(Box::new(move |tx| {
            if let Err(error) = last.sync() {
                tracing::warn!(%error, path = %last.path.display(), "the event log could not be synced");
            }
            last.save_in(tx)
        }));
        self.sink().set(log);
    }

    /// Writes events of other processes that are missing in the event log, and stores its progress.
    ///
    /// # Errors
    ///
    /// As [`Store::write`]. A file that cannot be written is not an error here.
    pub(crate) fn tend_event_log(&self) -> Result<()> {
        self.sink().get().map_or(Ok(()), |sink| sink.tend())
    }
}

impl Sink for EventLog {
    fn committing(&self, tx: &mut WriteTx<'_>) -> Result<()> {
        let Some(boot) = self.boot.clone() else { return Ok(()) };
        let last = self.progress.lock().last;
        if self.reached(tx)?.is_none_or(|stored| stored < last) {
            tx.put_row(Table::Meta, &self.reached, &codec::encode(&Reached { boot, last })?)?;
        }
        Ok(())
    }

    fn committed(&self) {
        // The last events of a store that is being closed are written when it is opened next.
        let Some(store) = self.store() else { return };
        // If another process keeps the file locked, only one call waits for it.
        let patience = if self.state.lock().error.is_some() { Duration::ZERO } else { PATIENCE };
        self.note(self.catch_up(&store, patience));
    }

    fn tend(&self) -> Result<()> {
        let Some(store) = self.store() else { return Ok(()) };
        // Synced whether or not another process writes to it at this moment.
        match self.catch_up(&store, Duration::ZERO).and(self.sync()) {
            Err(error) if error.kind() == ErrorKind::Reopen => return Err(error),
            // Another process writes all missing lines at this moment.
            Err(error) if error.kind() == ErrorKind::Locked => {}
            caught_up => self.note(caught_up),
        }
        let progress = self.progress.lock();
        let is_saved = progress.saved >= progress.synced;
        drop(progress);
        if is_saved || store.is_only_read() { Ok(()) } else { store.write(|tx| self.save_in(tx)) }
    }

    fn state(&self) -> SinkState {
        self.state.lock().clone()
    }
}

impl EventLog {
    pub(super) fn new(store: &Store, path: PathBuf) -> Self {
        let key_of = |kind: &[u8]| [kind, path.as_os_str().as_encoded_bytes()].concat();
        let boot = crate::clock::boot_id().map(|id| id.trim().to_owned());
        Self {
            store: Arc::downgrade(&store.inner),
            key: key_of(b"event log/"),
            reached: key_of(b"event log reached/"),
            path,
            boot,
            progress: Mutex::default(),
            state: Mutex::default(),
        }
    }

    pub(super) fn store(&self) -> Option<Store> {
        self.store.upgrade().map(|inner| Store::of(inner).locally())
    }

    /// Writes the missing lines.
    pub(super) fn catch_up(&self, store: &Store, patience: Duration) -> Result<()> {
        let mut progress = self.progress.lock();
        let Progress { file, last, elsewhere, synced, saved } = &mut *progress;
        let mut file = LogFile::lock(file, &self.path, Rights::of_content(store.path()), patience, |old| {
            // Another process may have written more to it, and this one may be the first in the next file.
            let view = store.view()?;
            let others = std::mem::replace(elsewhere, true);
            *last = (*last).max(self.written(&view)?);
            *last = last_line(&old.end()?, &view, *last)?.0.unwrap_or(*last);
            old.descriptor()?.sync(others)?;
            (*synced, *elsewhere) = (*last, false);
            Ok(())
        })?;
        // The view begins while the file is locked, so that it contains all events of lines by other processes.
        let view = store.view()?;
        *saved = (*saved).max(self.written(&view)?);
        *synced = (*synced).max(*saved);
        *last = (*last).max(*saved);
        if file.is_changed()? {
            let (found, is_elsewhere) = find(&mut file, &view, *last, self.reached(&view)?)?;
            *last = found;
            *elsewhere |= is_elsewhere;
        }
        loop {
            let events = after(&view, *last)?;
            let Some(newest) = events.last() else { return Ok(()) };
            let lines = events.iter().map(line).collect::<Result<Vec<_>>>()?.concat();
            file.append(&lines)?;
            *last = newest.sequence;
        }
    }

    /// Syncs the lines that the store is to record as written. Other lines may be written meanwhile.
    pub(super) fn sync(&self) -> Result<()> {
        let progress = self.progress.lock();
        let (last, elsewhere) = (progress.last, progress.elsewhere);
        let Some(file) = progress.file.as_ref().filter(|_| progress.synced < last) else { return Ok(()) };
        let file = file.descriptor()?;
        drop(progress);
        file.sync(elsewhere)?;
        let mut progress = self.progress.lock();
        progress.synced = progress.synced.max(last);
        progress.elsewhere &= progress.last != last;
        Ok(())
    }

    /// Stores the progress of the file on the disk, and no more: it must also be true after a power cut.
    pub(super) fn save_in(&self, tx: &mut WriteTx<'_>) -> Result<()> {
        let synced = self.progress.lock().synced;
        if self.written(tx)? < synced {
            tx.put_row(Table::Meta, &self.key, &codec::encode(&Written(synced))?)?;
        }
        Ok(())
    }

    /// The stored progress on the disk.
    pub(super) fn written(&self, records: &impl Records) -> Result<u64> {
        let written = records.row(Table::Meta, &self.key)?.map(|bytes| codec::decode::<Written>(&bytes)).transpose()?;
        Ok(written.map_or(0, |written| written.0))
    }

    /// The stored progress before a commit, if the system has not restarted since.
    fn reached(&self, records: &impl Records) -> Result<Option<u64>> {
        let reached =
            records.row(Table::Meta, &self.reached)?.map(|bytes| codec::decode::<Reached>(&bytes)).transpose()?;
        Ok(reached.filter(|reached| Some(&reached.boot) == self.boot.as_ref()).map(|reached| reached.last))
    }

    /// Logs the start and the end of a failure, once each.
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

/// The number of the last event in the file, and whether it is in a file that had the same name. The last line of the
/// file decides, if it belongs to an event after `from`; otherwise the result is `reached`. A half line after it is
/// removed.
fn find(file: &mut Locked<'_>, view: &View, from: u64, reached: Option<u64>) -> Result<(u64, bool)> {
    if view.events().list(Page::oldest(1).after(from))?.is_empty() {
        return Ok((from, false));
    }
    let end = file.end()?;
    let (found, next) = last_line(&end, view, from)?;
    if let Some(reached) = reached.filter(|reached| found.is_none() && *reached > from) {
        let (_, next) = last_line(&end, view, reached)?;
        file.end_the_line(&end, &next)?;
        return Ok((reached, true));
    }
    file.end_the_line(&end, &next)?;
    Ok((found.unwrap_or(from), false))
}

/// The number of the event after `from` whose line is the last one, and the line that follows.
fn last_line(end: &End, view: &View, from: u64) -> Result<(Option<u64>, Vec<u8>)> {
    let (mut found, mut next) = (None, None);
    let mut events = after(view, from)?;
    while let Some(newest) = events.last().map(|event| event.sequence) {
        for event in &events {
            let line = line(event)?;
            let is_last = end.is(&line) || earlier_line(event, &line)?.is_some_and(|earlier| end.is(&earlier));
            if is_last {
                (found, next) = (Some(event.sequence), None);
            } else if next.is_none() {
                next = Some(line);
            }
        }
        events = after(view, newest)?;
    }
    Ok((found, next.unwrap_or_default()))
}

fn after(view: &View, sequence: u64) -> Result<Vec<Event>> {
    view.events().list(Page::oldest(EVENTS_PER_WRITE).after(sequence))
}

/// The line of an event. Characters that a terminal would interpret are escaped.
pub(super) fn line(event: &Event) -> Result<Vec<u8>> {
    let mut line = Vec::new();
    serde_json::to_writer(EscapedJson(&mut line), event).map_err(std::io::Error::from)?;
    line.push(b'\n');
    Ok(line)
}

/// The line of an event as earlier versions wrote it; none if that is the same.
fn earlier_line(event: &Event, line: &[u8]) -> Result<Option<Vec<u8>>> {
    if !line.windows(2).any(|two| two == b"\\u") {
        return Ok(None);
    }
    let mut earlier = serde_json::to_vec(event).map_err(std::io::Error::from)?;
    earlier.push(b'\n');
    Ok(Some(earlier))
}
