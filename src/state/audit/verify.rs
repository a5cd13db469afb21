//! Verifies the audit trail entry by entry.

use std::fmt;

use super::entry::Entry;
use super::trail::{EntryHash, Trail};
use super::verbs::Audit;
use crate::engine::codec;
use crate::engine::records::Records;
use crate::engine::schema::Table;
use crate::error::{Error, ErrorKind, Result};
use crate::state::page::{Page, sequence_key, sequence_of};

/// The result of verifying the audit trail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditReport {
    /// The expected number of entries: those after the last purged one, up to the newest.
    pub entries: u64,
    /// The number of the newest entry.
    pub last: u64,
    /// The number of entries that a repair has marked as lost. They are no finding.
    pub lost: u64,
    /// The findings; empty for a sound trail.
    pub findings: Vec<AuditFinding>,
}

/// A fault of the audit trail.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AuditFinding {
    /// The entry is missing.
    Missing {
        /// Its number.
        sequence: u64,
    },
    /// The entry's bytes differ from the written ones.
    Damaged {
        /// Its number.
        sequence: u64,
        /// The error.
        message: String,
    },
    /// The entry is not the one that the entry after it, or the end of the trail, was chained to.
    Altered {
        /// Its number. It is the last purged entry if the oldest remaining one does not follow it.
        sequence: u64,
    },
    /// There is a row outside of the trail.
    Stray {
        /// Its number.
        sequence: u64,
    },
    /// The ends of the trail are damaged, so nothing else was verified.
    Ends {
        /// The error.
        message: String,
    },
}

#[expect(private_bounds, reason = "only views and transactions can be read from")]
impl<R: Records> Audit<R> {
    /// Verifies the chain from the last purged entry to the newest. Returns all faults.
    ///
    /// # Errors
    ///
    /// `Io`, and other errors that prevent reading. Damage is a finding, not an error.
    pub fn verify(&self) -> Result<AuditReport> {
        let chain = match Trail::read(&self.records) {
            Err(error) if error.kind() == ErrorKind::Damaged => {
                let findings = vec![AuditFinding::Ends { message: error.to_string() }];
                return Ok(AuditReport { entries: 0, last: 0, lost: 0, findings });
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
        let (last, purged) = (chain.head.sequence, chain.purged.sequence);
        Ok(AuditReport { entries: last.saturating_sub(purged), last, lost, findings })
    }

    /// Compares one entry with the hash of the one before it, if that is known. Returns its own hash, if it has one.
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

    /// Finds rows before the oldest entry and after the newest one.
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

#[cfg(test)]
mod tests {
    use super::super::trail::{ENDS, Link};
    use super::super::verbs::tests::{entries, findings};
    use super::*;
    use crate::state::audit::NewEntry;
    use crate::testkit::checked_store::Fixture;

    /// Replaces the stored bytes of an entry by what a forger would write, with a right checksum.
    fn forge(test: &Fixture, sequence: u64, change: impl FnOnce(&mut Entry)) {
        let mut entry = test.view().audit().get(sequence).unwrap().unwrap();
        change(&mut entry);
        let payload = codec::encode(&entry).unwrap();
        test.write(|tx| tx.put_row(Table::Audit, &sequence_key(sequence), &payload));
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
        assert_eq!(
            entries(3).view().audit().verify().unwrap(),
            AuditReport { entries: 3, last: 3, lost: 0, findings: vec![] }
        );
        assert_eq!(
            entries(0).view().audit().verify().unwrap(),
            AuditReport { entries: 0, last: 0, lost: 0, findings: vec![] }
        );
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
        assert_eq!(error.to_string(), "an audit entry is missing; check the store: sequence=1");
    }
}
