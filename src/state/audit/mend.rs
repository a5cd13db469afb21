//! Repairs the audit trail after rows were lost.

use super::entry::Entry;
use super::trail::{EntryHash, Link, Trail};
use crate::engine::codec;
use crate::engine::records::{FIRST_PAGE, KeyRange, Records, next_page};
use crate::engine::schema::Table;
use crate::engine::write::WriteTx;
use crate::error::Result;
use crate::state::page::{sequence_key, sequence_of};

/// Marks every entry that is missing or not chained to its neighbours as lost. The trail continues after the highest
/// known number. Returns the number of newly lost entries.
pub(crate) fn mend_trail(tx: &mut WriteTx<'_>) -> Result<u64> {
    let stored = Trail::read(tx).unwrap_or_default();
    let mut mending = Mending {
        chain: Trail { purged: stored.purged, head: stored.head, lost: Vec::new() },
        next: stored.purged.sequence.saturating_add(1),
        hash: (!stored.is_lost(stored.purged.sequence)).then_some(stored.purged.hash),
        begins_anywhere: stored == Trail::default(),
    };
    let (mut rest, mut limit) = (Some(KeyRange::all()), FIRST_PAGE);
    while rest.is_some() {
        let rows = next_page(&mut rest, &mut limit, |range, limit| tx.rows(Table::Audit, range, limit))?;
        rows.iter().try_for_each(|(row, payload)| mending.entry(tx, row, payload))?;
    }
    let Mending { mut chain, next, .. } = mending;
    let newest = chain.head.sequence;
    chain.lose(next, newest);
    if chain == stored {
        return Ok(0);
    }
    let count = |chain: &Trail| chain.lost.iter().map(|(from, through)| through - from + 1).sum::<u64>();
    let newly = count(&chain).saturating_sub(count(&stored));
    chain.write(tx)?;
    Ok(newly)
}

/// A trail that is rebuilt from the remaining entries.
struct Mending {
    chain: Trail,
    /// The next number, and the hash of the entry before it, if that is known.
    next: u64,
    hash: Option<EntryHash>,
    /// Whether its beginning is lost. Then the first remaining entry is the beginning.
    begins_anywhere: bool,
}

impl Mending {
    fn entry(&mut self, tx: &mut WriteTx<'_>, row: &[u8], payload: &[u8]) -> Result<()> {
        let sequence = sequence_of(row)?;
        if sequence < self.next {
            // It was purged before, and found again on a page that was not in use any more.
            return tx.remove_row(Table::Audit, row).map(drop);
        }
        let entry: Entry = codec::decode(payload)?;
        if self.begins_anywhere && self.next == 1 {
            self.chain.purged = Link { sequence: sequence.saturating_sub(1), hash: entry.previous };
            (self.next, self.hash) = (sequence, Some(entry.previous));
        }
        self.chain.lose(self.next, sequence.saturating_sub(1));
        let follows = sequence > self.next || self.hash.is_none_or(|hash| hash == entry.previous);
        if !follows {
            // The one before is not the one that was written.
            let before = sequence.saturating_sub(1);
            self.chain.lose(before, before);
            tx.remove_row(Table::Audit, &sequence_key(before))?;
        }
        let hash = EntryHash::of(payload);
        (self.next, self.hash) = (sequence.saturating_add(1), Some(hash));
        if sequence >= self.chain.head.sequence {
            self.chain.head = Link { sequence, hash };
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::trail::ENDS;
    use super::super::verbs::tests::{entries, findings};
    use super::*;
    use crate::state::audit::{AuditReport, NewEntry};

    #[test]
    fn lost_entries_are_noted_once_and_the_trail_goes_on_without_them() {
        let test = entries(6);
        for sequence in [1, 4] {
            test.write(|tx| tx.remove_row(Table::Audit, &sequence_key(sequence)));
        }
        assert!(!findings(&test).is_empty());
        assert_eq!(test.write(mend_trail), 2);
        assert_eq!(test.write(mend_trail), 0);
        test.write(|tx| tx.audit().append(NewEntry::new("later", "tester")));
        let report = test.view().audit().verify().unwrap();
        assert_eq!(report, AuditReport { entries: 7, last: 7, lost: 2, findings: vec![] });
        let time = test.view().audit().get(6).unwrap().unwrap().recorded;
        assert_eq!(test.write(|tx| tx.audit().purge(time)), 5);
        assert_eq!(findings(&test), [""; 0]);
        // Another loss is none that is known.
        test.write(|tx| tx.remove_row(Table::Audit, &sequence_key(6)));
        assert!(!findings(&test).is_empty());
        test.write(|tx| tx.remove_row(Table::Meta, ENDS));
        test.write(mend_trail);
        assert_eq!(findings(&test), [""; 0]);
    }
}
