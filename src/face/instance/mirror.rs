//! The events as lines of a file, for tools that read logs: `{"timestamp", "event", "details"}`.
//!
//! How far the file has come is kept in the store, by the file's path, so that a line is neither left out nor, but for
//! a crash between the two, written twice. Of several processes with one file only one writes it.

use std::fs::{File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::engine::codec::{self, Stored};
use crate::engine::records::Records;
use crate::engine::schema::Table;
use crate::engine::store::Store;
use crate::error::{ErrorKind, Result};
use crate::files::{self, Rights};
use crate::recovery::background::{Background, Stop};
use crate::state::page::Page;

/// How often it looks for new events.
const PERIOD: Duration = Duration::from_millis(300);
/// Events that are written at a time.
const PAGE: usize = 256;

/// The thread that writes them. It writes the last ones when it is dropped.
#[derive(Debug)]
pub(crate) struct Mirror {
    _thread: Background,
}

/// How far a file has come: the number of the last event in it.
#[derive(Serialize, Deserialize)]
struct Written(u64);

impl Stored for Written {
    const VERSION: u8 = 1;
    const WHAT: &'static str = "how far an event log has come";
}

/// A file that events are written to.
struct Log {
    store: Store,
    path: PathBuf,
    file: File,
    locked: bool,
}

impl Mirror {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// `Io` when the file cannot be written, or no thread can be started.
    pub(crate) fn start(store: Store, path: &Path) -> Result<Self> {
        let path = std::path::absolute(path)?;
        let file = files::append_or_create(&path, Rights::of_content(store.path()));
        let file = file.map_err(|error| files::failed(&path, error).context("event log"))?;
        files::sync_name(&path).map_err(|error| files::failed(&path, error).context("event log"))?;
        let mut log = Log { store, path, file, locked: false };
        Ok(Self { _thread: Background::start("hivekeep-event-log", move |stop| log.run(stop))? })
    }
}

impl Log {
    fn run(&mut self, stop: &Stop) {
        let mut failing = false;
        loop {
            let stop = stop.within(PERIOD);
            match self.catch_up() {
                Ok(()) => failing = false,
                Err(error) if error.kind() == ErrorKind::Reopen => return,
                Err(error) => {
                    if !failing {
                        tracing::error!(%error, path = %self.path.display(), "events could not be written to their log");
                    }
                    failing = true;
                }
            }
            if stop {
                return;
            }
        }
    }

    /// Writes what the file has not got yet, if no other process writes it.
    fn catch_up(&mut self) -> Result<()> {
        if !self.locked {
            match self.file.try_lock() {
                Ok(()) => self.locked = true,
                Err(TryLockError::WouldBlock) => return Ok(()),
                Err(TryLockError::Error(error)) => return Err(error.into()),
            }
        }
        let key = [b"event log/", self.path.as_os_str().as_encoded_bytes()].concat();
        let view = self.store.view()?;
        let written = view.row(Table::Meta, &key)?.map(|bytes| codec::decode::<Written>(&bytes)).transpose()?;
        let mut last = written.map_or(0, |written| written.0);
        loop {
            let events = view.events().list(Page::oldest(PAGE).after(last))?;
            let Some(newest) = events.last() else { return Ok(()) };
            last = newest.sequence;
            let mut lines = Vec::new();
            for event in &events {
                serde_json::to_writer(&mut lines, event).map_err(std::io::Error::from)?;
                lines.push(b'\n');
            }
            self.file.write_all(&lines)?;
            self.store.write(|tx| tx.put_row(Table::Meta, &key, &codec::encode(&Written(last))?))?;
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::recovery::events::EventKind;

    #[test]
    fn every_event_is_one_line_once_over_restarts() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("h.redb")).unwrap();
        let path = folder.path().join("events.jsonl");
        for n in 0..3 {
            store.write(|tx| tx.events().append(EventKind::BackupCreated, json!({"n": n}))).unwrap();
            drop(Mirror::start(store.clone(), &path).unwrap());
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<_> = text.lines().map(|line| crate::json::parse(line.as_bytes()).unwrap()).collect();
        assert_eq!(lines.iter().map(|line| line["details"]["n"].clone()).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(lines[0]["event"], "backup_created");
    }

    #[test]
    fn the_bytes_of_how_far_it_has_come_are_fixed() {
        assert_eq!(codec::encode(&Written(7)).unwrap(), b"\x01\x07");
    }
}
