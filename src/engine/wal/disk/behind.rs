//! The entries of a log behind its damage: whole, and yet lost. To apply them over the gap would show a state that
//! never was, so a repair only says what they changed.

use std::collections::{BTreeMap, BTreeSet};

use super::folder::LogFolder;
use super::leftovers::load;
use crate::engine::format::schema::{CollectionId, Place, Table};
use crate::engine::wal::encoding::entry::{self, EntryKind};
use crate::engine::wal::encoding::row::Wal;
use crate::engine::wal::encoding::section;
use crate::error::Result;

/// The most records that are named. The numbers are of all entries.
const NAMED: usize = 1_000;
/// The most bytes that are compared with a checksum because they look like entries.
const MOST_COMPARED: usize = 256 << 20;

/// The entries behind the damage, and the records that they changed.
#[derive(Debug, Default)]
pub(crate) struct BehindDamage {
    /// The numbers of the whole entries.
    numbers: BTreeSet<u64>,
    /// The rows of the records that they changed, as far as they are named.
    pub(crate) records: BTreeSet<Vec<u8>>,
    /// The rows that name collections.
    pub(crate) collections: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Whether they changed more records.
    is_cut: bool,
}

impl BehindDamage {
    /// Looks for whole entries behind the last one that was read.
    ///
    /// # Errors
    ///
    /// Those of listing the folder. A section that cannot be read has none.
    pub(in crate::engine::wal) fn find(folder: &dyn LogFolder, wal: &Wal, last: u64) -> Result<Self> {
        let mut found = Self::default();
        for section in folder.sections()?.into_iter().filter(|section| *section > wal.section) {
            if let Ok(Some(bytes)) = load(folder, section) {
                found.read(&bytes, wal, last);
            }
        }
        Ok(found)
    }

    fn read(&mut self, bytes: &[u8], wal: &Wal, last: u64) {
        let (mut at, mut compared) = (usize::try_from(section::HEAD).unwrap_or(usize::MAX), 0_usize);
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            at += 1;
            let Some(len) = entry::claimed_len(rest, wal.id) else { continue };
            compared = compared.saturating_add(len);
            if compared > MOST_COMPARED {
                return;
            }
            let Some(entry) = entry::decode(rest) else { continue };
            at += len - 1;
            if entry.kind == EntryKind::Commit && entry.link.number > last {
                self.numbers.insert(entry.link.number);
                // Rows that no writer makes end the entry; those before them count.
                drop(entry.each_change(|change| self.note(change.table, change.key, change.value)));
            }
        }
    }

    fn note(&mut self, table: Table, key: &[u8], value: Option<&[u8]>) {
        match (table, value) {
            (Table::Collections, Some(value)) => {
                self.collections.insert(key.to_vec(), value.to_vec());
            }
            (Table::Live, _) if Place::of_record(key).collection != CollectionId::CHUNKS => {
                if self.records.len() < NAMED {
                    self.records.insert(key.to_vec());
                } else {
                    self.is_cut |= !self.records.contains(key);
                }
            }
            _ => {}
        }
    }

    /// A sentence about them; none if there are none.
    pub(in crate::engine::wal) fn show(&self) -> Option<String> {
        let (first, last) = (self.numbers.first()?, self.numbers.last()?);
        let (count, records) = (self.numbers.len(), self.records.len());
        let more = if self.is_cut { "more than " } else { "" };
        Some(format!(
            "behind the damage of the log, {count} whole entries were not applied, since one before them is missing: \
             first={first} last={last}; they changed {more}{records} records"
        ))
    }
}
