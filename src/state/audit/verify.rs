//! The chain of the audit trail: each entry carries the hash of the one before it, and the two ends are kept apart.
//!
//! An entry's hash is the BLAKE3 of its stored bytes, which hold the previous entry's hash. The row `audit` of `meta`
//! has the last purged entry, which the oldest one left must follow, and the newest, which nothing follows. Numbers have
//! no gaps, so that an entry that is gone is named.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Audit, Entry};
use crate::engine::codec::{self, Stored};
use crate::engine::records::{FIRST_PAGE, KeyRange, Records, next_page};
use crate::engine::schema::Table;
use crate::engine::write::WriteTx;
use crate::error::{Error, ErrorKind, Result};
use crate::state::page::{Page, sequence_key, sequence_of};

/// The row of `meta` that holds the ends.
const ENDS: &[u8] = b"audit";

/// The hash of an audit entry; sixty-four hexadecimal digits in text.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct EntryHash([u8; 32]);

impl EntryHash {
    /// The hash of an entry's stored bytes.
    pub(crate) fn of(payload: &[u8]) -> Self {
        Self(*blake3::hash(payload).as_bytes())
    }
}

/// An entry's place in the chain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Its number.
    pub sequence: u64,
    /// Its hash.
    pub hash: EntryHash,
}

/// An audit trail, by its two ends: with them its entries can be verified, wherever they are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trail {
    /// The last purged entry.
    pub purged: Link,
    /// The newest entry.
    pub head: Link,
    /// Numbers of entries that a repair found to be lost: from, and up to, ascending. Nothing is chained over them.
    pub lost: Vec<(u64, u64)>,
}

impl Stored for Trail {
    const VERSION: u8 = 1;
    const WHAT: &'static str = "the row of the audit trail's ends";
}

impl Trail {
    /// The ends as they are stored; of a trail that was never used, both are zero.
    pub(super) fn read(records: &impl Records) -> Result<Self> {
        records.row(Table::Meta, ENDS)?.map_or(Ok(Self::default()), |payload| codec::decode(&payload))
    }

    /// Whether the entry of that number is known to be lost.
    pub(super) fn is_lost(&self, sequence: u64) -> bool {
        self.lost_at(sequence).is_some()
    }

    /// The lost entries that the one of that number is among.
    pub(super) fn lost_at(&self, sequence: u64) -> Option<(u64, u64)> {
        let at = self.lost.partition_point(|(_, through)| *through < sequence);
        self.lost.get(at).copied().filter(|(from, _)| *from <= sequence)
    }

    /// Notes entries as lost, if there are any between the two.
    fn lose(&mut self, from: u64, through: u64) {
        if from <= through {
            self.lost.push((from, through));
        }
    }

    /// Makes it the store's; its entries are put by themselves.
    pub(crate) fn write(&self, tx: &mut WriteTx<'_>) -> Result<()> {
        tx.put_row(Table::Meta, ENDS, &codec::encode(self)?)
    }
}

/// The result of verifying the audit trail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditReport {
    /// How many entries there should be: those after the last purged one, up to the newest.
    pub entries: u64,
    /// How many of them are lost, as a repair has noted. They are no finding.
    pub lost: u64,
    /// The faults; empty when there are none.
    pub findings: Vec<AuditFinding>,
}

/// Something that is wrong with the audit trail.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AuditFinding {
    /// The entry is not there.
    Missing {
        /// Its number.
        sequence: u64,
    },
    /// The entry's bytes are not what was written.
    Damaged {
        /// Its number.
        sequence: u64,
        /// How that shows.
        message: String,
    },
    /// The entry is not the one that the entry after it, or the end of the trail, was chained to.
    Altered {
        /// Its number; of the last purged entry, when the oldest one left does not follow it.
        sequence: u64,
    },
    /// There is a row outside of the trail.
    Stray {
        /// Its number.
        sequence: u64,
    },
    /// The ends of the trail are damaged, so that nothing else was looked at.
    Ends {
        /// How that shows.
        message: String,
    },
}

#[expect(private_bounds, reason = "only views and transactions can be read from")]
impl<R: Records> Audit<R> {
    /// Walks the chain from the last purged entry to the newest and says all that is wrong with it.
    ///
    /// # Errors
    ///
    /// `Io`, and what else keeps the store from being read; damage is a finding, not an error.
    pub fn verify(&self) -> Result<AuditReport> {
        let chain = match Trail::read(&self.records) {
            Err(error) if error.kind() == ErrorKind::Damaged => {
                let findings = vec![AuditFinding::Ends { message: error.to_string() }];
                return Ok(AuditReport { entries: 0, lost: 0, findings });
            }
            chain => chain?,
        };
        let mut findings = Vec::new();
        let mut previous = (!chain.is_lost(chain.purged.sequence)).then_some(chain.purged.hash);
        let mut lost = 0;
        for sequence in chain.purged.sequence.saturating_add(1)..=chain.head.sequence {
            if chain.is_lost(sequence) {
                (previous, lost) = (None, lost + 1);
                continue;
            }
            previous = self.verify_entry(sequence, previous, &mut findings)?;
        }
        if previous.is_some_and(|hash| hash != chain.head.hash) {
            findings.push(AuditFinding::Altered { sequence: chain.head.sequence });
        }
        self.find_strays(&chain, &mut findings)?;
        Ok(AuditReport { entries: chain.head.sequence.saturating_sub(chain.purged.sequence), lost, findings })
    }

    /// Compares one entry with the hash of the one before it, when that is known, and gives its own, when it has one.
    fn verify_entry(
        &self,
        sequence: u64,
        previous: Option<EntryHash>,
        findings: &mut Vec<AuditFinding>,
    ) -> Result<Option<EntryHash>> {
        let damaged = |error: Error| AuditFinding::Damaged { sequence, message: error.to_string() };
        let payload = match self.records.row(Table::Audit, &sequence_key(sequence)) {
            Err(error) if error.kind() == ErrorKind::Damaged => {
                findings.push(damaged(error));
                return Ok(None);
            }
            payload => payload?,
        };
        let Some(payload) = payload else {
            findings.push(AuditFinding::Missing { sequence });
            return Ok(None);
        };
        match codec::decode::<Entry>(&payload) {
            Err(error) => findings.push(damaged(error)),
            Ok(entry) if entry.sequence != sequence => {
                let message = format!("it carries another number: number={}", entry.sequence);
                findings.push(AuditFinding::Damaged { sequence, message });
            }
            Ok(entry) if previous.is_some_and(|hash| hash != entry.previous) => {
                findings.push(AuditFinding::Altered { sequence: sequence - 1 });
            }
            Ok(_) => {}
        }
        Ok(Some(EntryHash::of(&payload)))
    }

    /// Rows before the oldest entry and behind the newest.
    fn find_strays(&self, chain: &Trail, findings: &mut Vec<AuditFinding>) -> Result<()> {
        let most = 100;
        let before = Page::oldest(most).before(chain.purged.sequence.saturating_add(1));
        let behind = Page::oldest(most).after(chain.head.sequence);
        for page in [before, behind] {
            match self.records.rows(Table::Audit, &page.range(&[]), page.limit()) {
                Err(error) if error.kind() == ErrorKind::Damaged => {
                    findings.push(AuditFinding::Ends { message: error.to_string() });
                }
                rows => {
                    for (key, _) in rows? {
                        findings.push(AuditFinding::Stray { sequence: sequence_of(&key)? });
                    }
                }
            }
        }
        Ok(())
    }
}

/// Notes every entry that is missing or not chained to its neighbours as lost, after rows were lost; the trail goes on
/// behind the highest number that is known. Says how many are newly lost.
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

/// A trail that is made anew from the entries that are left.
struct Mending {
    chain: Trail,
    /// The number that comes next, and the hash of the entry before it, when that is known.
    next: u64,
    hash: Option<EntryHash>,
    /// Whether its beginning is lost, so that it is where the first entry is.
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

/// The error for an entry that is not there.
pub(super) fn missing(sequence: u64) -> Error {
    Error::damaged(format!("an audit entry is missing; run hivekeep check: sequence={sequence}"))
}

impl fmt::Display for AuditFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { sequence } => write!(f, "an audit entry is missing: sequence={sequence}"),
            Self::Damaged { sequence, message } => {
                write!(f, "an audit entry is damaged ({message}): sequence={sequence}")
            }
            Self::Altered { sequence } => {
                write!(f, "an audit entry is not the one that was written: sequence={sequence}")
            }
            Self::Stray { sequence } => write!(f, "an audit entry is outside of the trail: sequence={sequence}"),
            Self::Ends { message } => write!(f, "the ends of the audit trail are damaged: {message}"),
        }
    }
}

impl fmt::Display for EntryHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for EntryHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for EntryHash {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if to.is_human_readable() { to.collect_str(self) } else { self.0.serialize(to) }
    }
}

impl<'de> Deserialize<'de> for EntryHash {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        if from.is_human_readable() {
            let text = String::deserialize(from)?;
            let hash = blake3::Hash::from_hex(&text).map_err(serde::de::Error::custom)?;
            Ok(Self(*hash.as_bytes()))
        } else {
            <[u8; 32]>::deserialize(from).map(Self)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::entries;
    use super::*;
    use crate::state::audit::NewEntry;
    use crate::testkit::checked_store::Fixture;

    fn findings(test: &Fixture) -> Vec<String> {
        test.view().audit().verify().unwrap().findings.iter().map(ToString::to_string).collect()
    }

    /// Replaces the stored bytes of an entry by what a forger would write, with a right checksum.
    fn forge(test: &Fixture, sequence: u64, change: impl FnOnce(&mut Entry)) {
        let mut entry = test.view().audit().get(sequence).unwrap().unwrap();
        change(&mut entry);
        let payload = codec::encode(&entry).unwrap();
        test.write(|tx| tx.put_row(Table::Audit, &sequence_key(sequence), &payload));
    }

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
        assert_eq!(report, AuditReport { entries: 7, lost: 2, findings: vec![] });
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

    #[test]
    fn the_ends_are_stored_in_these_bytes() {
        let chain = Trail {
            purged: Link { sequence: 1, hash: EntryHash([2; 32]) },
            head: Link { sequence: 3, hash: EntryHash([4; 32]) },
            lost: vec![(2, 5)],
        };
        let bytes = codec::encode(&chain).unwrap();
        assert_eq!(bytes, [&[1, 1][..], &[2; 32], &[3], &[4; 32], &[1, 2, 5]].concat());
        assert_eq!(codec::decode::<Trail>(&bytes).unwrap(), chain);
    }

    #[test]
    fn an_entry_carries_the_hash_of_the_one_before_it() {
        let test = entries(2);
        let view = test.view();
        let hash = |sequence| EntryHash::of(&view.row(Table::Audit, &sequence_key(sequence)).unwrap().unwrap());
        assert_eq!(view.audit().get(1).unwrap().unwrap().previous, EntryHash::default());
        assert_eq!(view.audit().get(2).unwrap().unwrap().previous, hash(1));
        assert_eq!(view.audit().head().unwrap(), Link { sequence: 2, hash: hash(2) });
    }

    #[test]
    fn a_sound_trail_and_an_empty_one_have_no_findings() {
        assert_eq!(entries(3).view().audit().verify().unwrap(), AuditReport { entries: 3, lost: 0, findings: vec![] });
        assert_eq!(entries(0).view().audit().verify().unwrap(), AuditReport { entries: 0, lost: 0, findings: vec![] });
    }

    #[test]
    fn a_changed_entry_is_named_be_it_the_first_one_in_the_middle_or_the_last() {
        for sequence in 1..=3 {
            let test = entries(3);
            forge(&test, sequence, |entry| entry.actor = "somebody else".into());
            let expected = format!("an audit entry is not the one that was written: sequence={sequence}");
            assert_eq!(findings(&test), [expected]);
        }
    }

    #[test]
    fn a_missing_entry_is_named_be_it_the_first_one_in_the_middle_or_the_last() {
        for sequence in 1..=3 {
            let test = entries(3);
            test.write(|tx| tx.remove_row(Table::Audit, &sequence_key(sequence)));
            assert_eq!(findings(&test), [format!("an audit entry is missing: sequence={sequence}")]);
        }
    }

    #[test]
    fn bytes_that_are_no_entry_are_named_and_the_rest_is_still_verified() {
        let test = entries(3);
        test.write(|tx| tx.put_row(Table::Audit, &sequence_key(1), b""));
        forge(&test, 3, |entry| entry.sequence = 4);
        assert_eq!(
            findings(&test),
            [
                "an audit entry is damaged (an audit entry is empty): sequence=1",
                "an audit entry is not the one that was written: sequence=1",
                "an audit entry is damaged (it carries another number: number=4): sequence=3",
                "an audit entry is not the one that was written: sequence=3"
            ]
        );
    }

    #[test]
    fn an_entry_that_was_purged_and_put_back_or_slipped_in_behind_the_newest_is_stray() {
        let test = entries(2);
        let payload = test.view().row(Table::Audit, &sequence_key(1)).unwrap().unwrap();
        test.write(|tx| tx.audit().purge(jiff::Timestamp::MAX));
        test.write(|tx| {
            tx.put_row(Table::Audit, &sequence_key(1), &payload)?;
            tx.put_row(Table::Audit, &sequence_key(9), &payload)
        });
        assert_eq!(
            findings(&test),
            [
                "an audit entry is outside of the trail: sequence=1",
                "an audit entry is outside of the trail: sequence=9"
            ]
        );
    }

    #[test]
    fn damaged_ends_are_a_finding_and_nothing_is_appended_to_them() {
        let test = entries(2);
        test.write(|tx| tx.put_row(Table::Meta, ENDS, b""));
        assert_eq!(
            findings(&test),
            ["the ends of the audit trail are damaged: the row of the audit trail's ends is empty"]
        );
        let error = test.store.write(|tx| tx.audit().append(NewEntry::new("a", "b"))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Damaged);
    }

    #[test]
    fn purging_stops_at_a_missing_entry() {
        let test = entries(2);
        test.write(|tx| tx.remove_row(Table::Audit, &sequence_key(1)));
        let error = test.store.write(|tx| tx.audit().purge(jiff::Timestamp::MAX)).unwrap_err();
        assert_eq!(error.to_string(), "an audit entry is missing; run hivekeep check: sequence=1");
    }

    #[test]
    fn a_hash_is_sixty_four_digits_in_json() {
        let hash = EntryHash([0xab; 32]);
        let json = serde_json::to_string(&hash).unwrap();
        assert_eq!(json, format!("\"{}\"", "ab".repeat(32)));
        assert_eq!(serde_json::from_str::<EntryHash>(&json).unwrap(), hash);
        assert!(serde_json::from_str::<EntryHash>("\"ab\"").is_err());
    }
}
