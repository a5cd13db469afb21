//! A trail outside its store: it ends at a time, and is verified entry by entry.

use jiff::Timestamp;

use super::entry::Entry;
use super::trail::{EntryHash, Link, Trail, missing};
use crate::engine::codec;
use crate::engine::records::{KeyRange, Records, scan_rows};
use crate::engine::schema::Table;
use crate::error::{Error, Result};
use crate::state::page::{sequence_key, sequence_of};

impl Trail {
    /// The trail up to the newest entry that was recorded at or before a time.
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

/// Verifies the entries of a trail one after another, each against the one before.
#[derive(Debug)]
pub(crate) struct Follow<'t> {
    trail: &'t Trail,
    last: Link,
    /// Nothing is chained over lost entries.
    chained: bool,
}

impl<'t> Follow<'t> {
    /// Starts at the last purged entry.
    pub(crate) fn new(trail: &'t Trail) -> Self {
        Self { trail, last: trail.purged, chained: !trail.is_lost(trail.purged.sequence) }
    }

    /// Verifies the next entry, by its row.
    ///
    /// # Errors
    ///
    /// `Damaged` when it is not the expected entry.
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

    /// Ends after the last entry.
    ///
    /// # Errors
    ///
    /// `Damaged` when entries are missing, or the newest one is not the one that the trail states.
    pub(crate) fn end(&self) -> Result<()> {
        let is_whole = self.last == self.trail.head;
        if is_whole { Ok(()) } else { Err(missing(self.last.sequence.saturating_add(1))) }
    }
}
