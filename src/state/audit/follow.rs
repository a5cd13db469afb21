//! A trail outside of its store: up to some time, and verified entry by entry wherever they come from.

use jiff::Timestamp;

use super::entry::Entry;
use super::trail::{EntryHash, Link, Trail, missing};
use crate::engine::codec;
use crate::engine::records::{KeyRange, Records, scan_rows};
use crate::engine::schema::Table;
use crate::error::{Error, Result};
use crate::state::page::{sequence_key, sequence_of};

impl Trail {
    /// Up to the newest entry that was recorded at or before a time.
    pub(crate) fn until(records: &impl Records, time: Timestamp) -> Result<Self> {
        let chain = Self::read(records)?;
        let mut head = chain.purged;
        for row in scan_rows(records, Table::Audit, KeyRange::all().backward()) {
            let (key, payload) = row?;
            if codec::decode::<Entry>(&payload)?.recorded <= time {
                head = Link { sequence: sequence_of(&key)?, hash: EntryHash::of(&payload) };
                break;
            }
        }
        let lost = chain.lost.into_iter().filter(|(from, _)| *from < head.sequence);
        let lost = lost.map(|(from, through)| (from, through.min(head.sequence))).collect();
        Ok(Self { purged: chain.purged, head, lost })
    }

    /// The rows of its entries.
    pub(crate) fn range(&self) -> KeyRange {
        let all = KeyRange::all().after(&sequence_key(self.purged.sequence));
        all.until(&sequence_key(self.head.sequence.saturating_add(1)))
    }
}

/// Follows the entries of a trail, one after another, and compares each with the one before.
#[derive(Debug)]
pub(crate) struct Follow<'t> {
    trail: &'t Trail,
    last: Link,
    /// Nothing is chained over lost entries.
    chained: bool,
}

impl<'t> Follow<'t> {
    /// From the last purged entry.
    pub(crate) fn new(trail: &'t Trail) -> Self {
        Self { trail, last: trail.purged, chained: !trail.is_lost(trail.purged.sequence) }
    }

    /// The next entry, by its row.
    ///
    /// # Errors
    ///
    /// `Damaged` when it is another one than the one that must come.
    pub(crate) fn next(&mut self, key: &[u8], payload: &[u8]) -> Result<()> {
        let sequence = sequence_of(key)?;
        let mut expected = self.last.sequence.saturating_add(1);
        while let Some(next) = self.trail.lost_at(expected).and_then(|(_, through)| through.checked_add(1)) {
            expected = next;
            self.chained = false;
        }
        let entry: Entry = codec::decode(payload)?;
        let follows = sequence == expected
            && sequence <= self.trail.head.sequence
            && entry.sequence == sequence
            && (!self.chained || entry.previous == self.last.hash);
        if !follows {
            return Err(Error::damaged(format!("an audit entry is not the one that must come: sequence={sequence}")));
        }
        (self.last, self.chained) = (Link { sequence, hash: EntryHash::of(payload) }, true);
        Ok(())
    }

    /// Behind the last entry.
    ///
    /// # Errors
    ///
    /// `Damaged` when some are missing, or the newest is another one than the trail says.
    pub(crate) fn end(&self) -> Result<()> {
        let is_whole = self.last == self.trail.head;
        if is_whole { Ok(()) } else { Err(missing(self.last.sequence.saturating_add(1))) }
    }
}
