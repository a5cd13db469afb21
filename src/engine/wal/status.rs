//! The log as a person sees it.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::disk::leftovers;
use super::encoding::row::Wal;
use super::encoding::section;
use super::writing::kept::LastCheckpoint;
use super::writing::log::Log;
use crate::clock::as_stored;
use crate::engine::opening::context::Context;
use crate::engine::options::Durability;
use crate::error::Error;

/// The write-ahead log of a store that one process has for itself, or whose processes share one.
///
/// # Examples
///
/// ```
/// use hivekeep::{Sharing, Store};
///
/// # let dir = tempfile::tempdir().unwrap();
/// let store = Store::options().sharing(Sharing::Exclusive).open(dir.path().join("h.redb"))?;
/// for number in 0..5 {
///     store.write(|tx| tx.config().put("limit", &serde_json::json!(number)))?;
/// }
/// let log = store.log_status().unwrap();
/// assert!(log.in_use && log.sections > 0 && log.memory_bytes > 0);
/// # Ok::<(), hivekeep::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LogStatus {
    /// Whether commits are in it that the file of the store may not have yet. The first commits
    /// of a process go into the file.
    pub in_use: bool,
    /// The time up to which the file of the store has everything for certain, while the log is in use.
    #[serde(with = "crate::clock::time::option")]
    pub since: Option<Timestamp>,
    /// The version of the format of its files.
    pub format: u32,
    /// The moment from which an answered write survives, unless a writer chose another. In a log that several processes
    /// share, every answered write is on the disk.
    pub durability: Durability,
    /// The number of its files, `PATH.wal.N`.
    pub sections: u64,
    /// The summed length of these files, in bytes.
    pub bytes: u64,
    /// The memory of rows that the file of the store does not have yet, about, in bytes. A process that only reads has
    /// those of its newest view.
    pub memory_bytes: u64,
    /// The last time at which a part of the log was moved into the file of the store.
    pub last_checkpoint: Option<LastCheckpoint>,
    /// The reason why the log cannot be moved into the file of the store now. Commits and reads go on meanwhile.
    pub failing: Option<String>,
    /// The open views of this process. Each of them keeps the rows of its time in memory.
    pub views: u64,
    /// The time at which the oldest of these views began.
    #[serde(with = "crate::clock::time::option")]
    pub oldest_view: Option<Timestamp>,
}

impl Log {
    pub(super) fn note_checkpoint(&self, now: Timestamp, took: Duration) {
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        self.kept.lock().last = Some(LastCheckpoint { at: as_stored(now), took_ms });
    }

    pub(super) fn note_failing(&self, error: Option<&Error>) {
        self.kept.lock().failing = error.map(ToString::to_string);
    }

    /// How many files there are, and their length. Those that an opening found are counted in the folder.
    fn size(&self, was_found: bool) -> (u64, u64) {
        if !was_found {
            return self.files.lock().size();
        }
        let sections = self.folder.sections().unwrap_or_default();
        let length = |section: &u64| leftovers::length(&*self.folder, *section).unwrap_or_default();
        (sections.len() as u64, sections.iter().map(length).sum())
    }

    /// The log as a person sees it, where the file of the store has this row.
    pub(super) fn status(&self, context: &Context, row: Option<Wal>) -> LogStatus {
        let row = row.filter(|row| row.in_use);
        // Not the write lock, which is held while a closure runs.
        let head = self.head.lock();
        // The files of a shared log are those of all processes.
        let is_counted = head.newest_section == 0 || self.turns.is_some();
        let in_use = if self.turns.is_some() { row.is_some() } else { head.id.is_some() };
        let was_found = in_use && is_counted;
        drop(head);
        let (sections, bytes) = self.size(was_found);
        let kept = self.kept.lock();
        let (last_checkpoint, failing) = (kept.last, kept.failing.clone());
        drop(kept);
        LogStatus {
            in_use,
            since: row.filter(|_| in_use).map(|row| row.at()),
            format: section::FORMAT,
            // W18: every answer waits for the disk.
            durability: match context.durability {
                Durability::System if self.turns.is_some() => Durability::Disk,
                durability => durability,
            },
            sections,
            bytes,
            memory_bytes: self.bytes_in_memory() as u64,
            last_checkpoint,
            failing,
            views: context.views.count(),
            oldest_view: context.views.oldest(),
        }
    }
}
