//! The files of the sections of one log: made ahead of need, one at a time, and removed once redb has their rows.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::bounds::{Bounds, ROOM};
use super::folder::LogFolder;
use super::writer::OpenSection;
use crate::engine::redb_file::StorageBackend;
use crate::engine::wal::encoding::id::LogId;
use crate::engine::wal::encoding::section::{Head, MOST};
use crate::error::Result;

/// An open file, and its length.
type Made = (Arc<dyn StorageBackend>, u64);

/// The length behind a section in which there was little.
const FEW: u64 = 64 << 10;
/// The longest section, in lengths of the first one.
const GROWTH: u64 = 16;

/// The length of the next section.
#[derive(Debug)]
pub(in crate::engine::wal) struct Lengths {
    first: u64,
    next: AtomicU64,
    pub(in crate::engine::wal) bounds: Bounds,
}

impl Lengths {
    /// The first section of a log has this length.
    pub(in crate::engine::wal) fn new(first: u64, bounds: Bounds) -> Self {
        let first = first.min(bounds.section);
        Self { first, next: AtomicU64::new(first), bounds }
    }

    pub(in crate::engine::wal) fn next(&self) -> u64 {
        self.next.load(Ordering::Relaxed)
    }

    /// Makes the sections behind one that ends as long as the commits need: making one and ending it costs some ten
    /// syncs. No entry is longer than the longest one that the section had to take, or had no room for.
    pub(in crate::engine::wal) fn follow(&self, ended: &OpenSection) {
        let needed = Self::room_for(ended.longest);
        if ended.place < ended.length / 8 {
            return self.set(self.first.min(FEW).max(needed));
        }
        let was_too_short = ended.place > ended.length / 2 && ended.was_filled_soon();
        let next = if was_too_short { self.next().saturating_mul(2) } else { self.next() };
        self.set(next.max(needed));
    }

    fn room_for(entry: u64) -> u64 {
        entry.saturating_mul(ROOM).min(MOST).next_power_of_two()
    }

    fn set(&self, next: u64) {
        self.next.store(next.min(self.longest()), Ordering::Relaxed);
    }

    /// No section is longer.
    pub(in crate::engine::wal) fn longest(&self) -> u64 {
        self.first.saturating_mul(GROWTH).min(self.bounds.section)
    }

    /// Goes on from the length that other processes have come to, if they have said one.
    pub(in crate::engine::wal) fn go_on_at(&self, length: u64) {
        if length > 0 {
            self.set(length);
        }
    }

    /// Begins anew: the next section is the first of a log.
    pub(in crate::engine::wal) fn begin(&self) {
        self.next.store(self.first, Ordering::Relaxed);
    }
}

/// The files of a log.
#[derive(Debug, Default)]
pub(in crate::engine::wal) struct Files {
    /// Those that have a name, which is on the disk, and their lengths.
    named: BTreeMap<u64, u64>,
    /// The section that was made ahead, and its log.
    ahead: Option<(LogId, u64, Made)>,
}

impl Files {
    /// Whether a section was made ahead.
    pub(in crate::engine::wal) fn is_ahead(&self, id: LogId, section: u64) -> bool {
        self.ahead.as_ref().is_some_and(|(log, there, _)| (*log, *there) == (id, section))
    }

    /// Makes a section, unless it is there: zeros, synced, named, and its name is on the disk.
    pub(in crate::engine::wal) fn make(
        &mut self,
        folder: &dyn LogFolder,
        id: LogId,
        section: u64,
        length: u64,
    ) -> Result<()> {
        if self.is_ahead(id, section) {
            return Ok(());
        }
        let head = Head { id, section, length };
        let file = folder.make(section, &head.encode(), length)?;
        self.ahead = Some((id, section, (Arc::from(file), length)));
        self.named.insert(section, length);
        Ok(())
    }

    /// The file of the next section.
    pub(in crate::engine::wal) fn take(
        &mut self,
        folder: &dyn LogFolder,
        id: LogId,
        section: u64,
        length: u64,
    ) -> Result<Made> {
        self.make(folder, id, section, length)?;
        let (_, _, made) = self.ahead.take().ok_or_else(|| crate::error::Error::damaged("a section is missing"))?;
        Ok(made)
    }

    /// How many files there are, and their length.
    pub(in crate::engine::wal) fn size(&self) -> (u64, u64) {
        (self.named.len() as u64, self.named.values().sum())
    }

    /// Removes sections that redb has, but never the newest: without it a log in use would seem lost.
    pub(in crate::engine::wal) fn remove(&mut self, folder: &dyn LogFolder, covered: u64) -> Result<()> {
        let newest = self.named.keys().last().copied().unwrap_or_default();
        let gone: Vec<_> =
            self.named.keys().copied().filter(|section| *section <= covered && *section < newest).collect();
        for section in gone {
            folder.remove(section)?;
            self.named.remove(&section);
        }
        Ok(())
    }
}
