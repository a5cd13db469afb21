//! The files of the sections of one log: made ahead of need, one at a time, and removed once redb has what they hold.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::folder::LogFolder;
use super::id::LogId;
use super::section::{Head, MOST};
use crate::engine::redb_file::StorageBackend;
use crate::error::Result;

/// An open file, and its length.
type Made = (Arc<dyn StorageBackend>, u64);

/// The files of a log.
#[derive(Debug)]
pub(super) struct Files {
    /// Those that have a name, which is on the disk.
    named: BTreeSet<u64>,
    /// The section that was made ahead, and its log.
    ahead: Option<(LogId, u64, Made)>,
    /// The length of the next one, and of the first.
    length: u64,
    first: u64,
}

impl Files {
    /// No files; the first is to be so long.
    pub(super) fn new(length: u64) -> Self {
        Self { named: BTreeSet::new(), ahead: None, length, first: length }
    }

    /// Sections are to be longer from the next one on.
    pub(super) fn lengthen(&mut self) {
        self.length = self.length.saturating_mul(2).min(MOST);
    }

    /// Sections are to be as short as the first again.
    pub(super) fn shorten(&mut self) {
        self.length = self.first;
    }

    /// Makes a section, unless it is there: zeros, synced, named, and its name is on the disk.
    pub(super) fn make(&mut self, folder: &dyn LogFolder, id: LogId, section: u64) -> Result<()> {
        if self.ahead.as_ref().is_some_and(|(log, there, _)| (*log, *there) == (id, section)) {
            return Ok(());
        }
        let head = Head { id, section, length: self.length };
        let file = folder.make(section, &head.encode(), self.length)?;
        self.ahead = Some((id, section, (Arc::from(file), self.length)));
        self.named.insert(section);
        Ok(())
    }

    /// The file of the section that is to begin.
    pub(super) fn take(&mut self, folder: &dyn LogFolder, id: LogId, section: u64) -> Result<Made> {
        self.make(folder, id, section)?;
        let (_, _, made) = self.ahead.take().ok_or_else(|| crate::error::Error::damaged("a section is missing"))?;
        Ok(made)
    }

    /// Removes sections that redb has, but never the newest: without it a log in use would seem lost.
    pub(super) fn remove(&mut self, folder: &dyn LogFolder, covered: u64) -> Result<()> {
        let newest = self.named.last().copied().unwrap_or_default();
        let gone: Vec<_> =
            self.named.iter().copied().filter(|section| *section <= covered && *section < newest).collect();
        for section in gone {
            folder.remove(section)?;
            self.named.remove(&section);
        }
        Ok(())
    }
}
