//! The bytes of an entry: one commit, or the end of a section.

use std::sync::Arc;

use super::id::LogId;
use crate::engine::format::schema::Table;
use crate::error::{Error, Result};

/// The bytes before the rows of an entry. Integers are little-endian: length, kind, three zeros, log id, section, number,
/// CRC of the entry before, number known to be synced, CRC-32.
pub(super) const HEAD: usize = 56;
/// Where the CRC of the entry itself stands, which it does not cover.
const CRC_AT: usize = HEAD - 4;
/// The key was there before the commit.
const WAS_THERE: u8 = 1;
/// The key is there after the commit, and its value follows it.
const HAS_VALUE: u8 = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EntryKind {
    Commit = 1,
    /// The last entry of a section.
    End = 2,
    /// The same, and the next section has its name already. If that section is missing, its entries are lost.
    EndBeforeNext = 3,
}

/// The place of an entry in its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) id: LogId,
    pub(super) section: u64,
    pub(super) number: u64,
    /// The CRC of the entry before.
    pub(super) chain: u32,
    /// The number that was known to be synced when the entry was written.
    pub(super) synced: u64,
}

/// A row that a commit changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RowChange<'a> {
    pub(super) table: Table,
    pub(super) key: &'a [u8],
    /// Whether the key was there before.
    pub(super) was_there: bool,
    /// None: it is deleted.
    pub(super) value: Option<&'a [u8]>,
}

/// An entry whose own CRC is right.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    pub(super) kind: EntryKind,
    pub(super) link: Link,
    pub(super) crc: u32,
    pub(super) len: usize,
    rows: &'a [u8],
}

/// The length of an entry whose rows have this many bytes.
pub(super) fn len_with(rows: usize) -> u64 {
    (HEAD + rows) as u64
}

/// Adds a row to those of an entry; says whether it can be told in one.
pub(super) fn push(rows: &mut Vec<u8>, change: &RowChange<'_>) -> bool {
    let Ok(key_len) = u16::try_from(change.key.len()) else { return false };
    let flags = u8::from(change.was_there) * WAS_THERE + u8::from(change.value.is_some()) * HAS_VALUE;
    rows.extend_from_slice(&[change.table as u8, flags]);
    rows.extend_from_slice(&key_len.to_le_bytes());
    if let Some(value) = change.value {
        let Ok(len) = u32::try_from(value.len()) else { return false };
        rows.extend_from_slice(&len.to_le_bytes());
    }
    rows.extend_from_slice(change.key);
    rows.extend_from_slice(change.value.unwrap_or_default());
    true
}

/// The bytes of an entry, and its CRC.
///
/// # Errors
///
/// `Invalid` for rows that are longer than an entry can be.
pub(super) fn encode(kind: EntryKind, link: &Link, rows: &[u8]) -> Result<(Vec<u8>, u32)> {
    let too_long = || Error::invalid(format!("a commit is too long for the log: bytes={}", rows.len()));
    let len = u32::try_from(HEAD + rows.len()).map_err(|_| too_long())?;
    let mut bytes = Vec::with_capacity(HEAD + rows.len());
    bytes.extend_from_slice(&len.to_le_bytes());
    bytes.extend_from_slice(&[kind as u8, 0, 0, 0]);
    bytes.extend_from_slice(&link.id.0);
    bytes.extend_from_slice(&link.section.to_le_bytes());
    bytes.extend_from_slice(&link.number.to_le_bytes());
    bytes.extend_from_slice(&link.chain.to_le_bytes());
    bytes.extend_from_slice(&link.synced.to_le_bytes());
    let crc = crc(&bytes, rows);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes.extend_from_slice(rows);
    Ok((bytes, crc))
}

fn crc(head: &[u8], rows: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(head);
    crc.update(rows);
    crc.finalize()
}

/// The length that the bytes claim to have, when it is that of an entry of this log and lies within them; none otherwise.
pub(super) fn claimed_len(bytes: &[u8], id: LogId) -> Option<usize> {
    let len = usize::try_from(u32::from_le_bytes(*bytes.first_chunk()?)).ok()?;
    let is_of_log = bytes.get(8..24)? == id.0;
    (is_of_log && len >= HEAD && len <= bytes.len()).then_some(len)
}

/// The entry at the beginning of the bytes; none when there is no whole one.
pub(super) fn decode(bytes: &[u8]) -> Option<Entry<'_>> {
    let mut fields = Fields(bytes);
    let len = usize::try_from(u32::from_le_bytes(fields.array()?)).ok()?;
    let kind = match fields.array()? {
        [1, 0, 0, 0] => EntryKind::Commit,
        [2, 0, 0, 0] => EntryKind::End,
        [3, 0, 0, 0] => EntryKind::EndBeforeNext,
        _ => return None,
    };
    let link = Link {
        id: LogId(fields.array()?),
        section: u64::from_le_bytes(fields.array()?),
        number: u64::from_le_bytes(fields.array()?),
        chain: u32::from_le_bytes(fields.array()?),
        synced: u64::from_le_bytes(fields.array()?),
    };
    let stored = u32::from_le_bytes(fields.array()?);
    let rows = bytes.get(HEAD..len)?;
    (crc(bytes.get(..CRC_AT)?, rows) == stored).then_some(Entry { kind, link, crc: stored, len, rows })
}

impl<'a> Entry<'a> {
    /// Calls `each` with every row that the commit changed.
    ///
    /// # Errors
    ///
    /// Every error that `each` returns; `Damaged` for rows that no writer makes.
    pub(super) fn each_change(&self, mut each: impl FnMut(RowChange<'a>)) -> Result<()> {
        let mut fields = Fields(self.rows);
        while !fields.0.is_empty() {
            let wrong =
                || Error::damaged(format!("an entry of the log has rows of no kind: number={}", self.link.number));
            each(fields.change().ok_or_else(wrong)?);
        }
        Ok(())
    }
}

/// Bytes that are still to be read.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*array)
    }

    fn bytes(&mut self, len: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(bytes)
    }

    fn change(&mut self) -> Option<RowChange<'a>> {
        let [table, flags] = self.array()?;
        let table = *Table::ALL.get(usize::from(table))?;
        if flags & !(WAS_THERE | HAS_VALUE) != 0 {
            return None;
        }
        let key_len = usize::from(u16::from_le_bytes(self.array()?));
        let value_len = match flags & HAS_VALUE {
            0 => None,
            _ => Some(usize::try_from(u32::from_le_bytes(self.array()?)).ok()?),
        };
        let key = self.bytes(key_len)?;
        let value = value_len.map(|len| self.bytes(len).ok_or(())).transpose().ok()?;
        Some(RowChange { table, key, was_there: flags & WAS_THERE != 0, value })
    }
}

/// A copy of bytes that views share.
pub(super) fn shared(bytes: &[u8]) -> Arc<[u8]> {
    Arc::from(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::format::digest::hex;

    const ID: LogId = LogId([7; 16]);

    #[test]
    fn the_numbers_of_tables_in_entries_stay_as_they_are() {
        use Table::*;

        let tables = [
            Live,
            PreImages,
            Tombstones,
            Points,
            Commits,
            PointIds,
            Backups,
            Index,
            Liveness,
            Sessions,
            Audit,
            Events,
            Collections,
            Meta,
        ];
        assert_eq!(tables.map(|table| table as usize), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]);
        assert_eq!(tables, Table::ALL);
    }

    fn link() -> Link {
        Link { id: ID, section: 3, number: 9, chain: 0x0102_0304, synced: 8 }
    }

    fn changes() -> [RowChange<'static>; 2] {
        [
            RowChange { table: Table::Live, key: b"ab", was_there: true, value: Some(b"hi") },
            RowChange { table: Table::Meta, key: b"c", was_there: true, value: None },
        ]
    }

    fn commit() -> Vec<u8> {
        let mut rows = Vec::new();
        assert!(changes().iter().all(|change| push(&mut rows, change)));
        encode(EntryKind::Commit, &link(), &rows).unwrap().0
    }

    #[test]
    fn the_bytes_of_an_entry_are_those_of_the_format() {
        let expected = "49000000010000000707070707070707070707070707070703000000000000000900000000000000040302010800000000000000\
                        68e47ae80003020002000000616268690d01010063";
        assert_eq!(hex(&commit()), expected);
    }

    #[test]
    fn an_entry_reads_as_it_was_written() {
        let bytes = [commit(), vec![0; 9]].concat();
        let entry = decode(&bytes).unwrap();
        assert_eq!((entry.kind, entry.link, entry.len), (EntryKind::Commit, link(), bytes.len() - 9));
        assert_eq!(claimed_len(&bytes, ID), Some(entry.len));
        assert_eq!(claimed_len(&bytes, LogId([8; 16])), None);
        let mut read = Vec::new();
        entry.each_change(|change| read.push(change)).unwrap();
        assert_eq!(read, changes());
        let end = encode(EntryKind::End, &link(), b"").unwrap().0;
        assert_eq!(decode(&end).unwrap().kind, EntryKind::End);
    }

    #[test]
    fn an_entry_with_any_byte_changed_or_cut_off_is_none() {
        let bytes = commit();
        for at in 0..bytes.len() {
            for bit in [1, 0x80] {
                let mut wrong = bytes.clone();
                wrong[at] ^= bit;
                assert!(decode(&wrong).is_none(), "at={at}");
            }
            assert!(decode(&bytes[..at]).is_none(), "at={at}");
        }
    }

    #[test]
    fn rows_that_no_writer_makes_are_damage() {
        let of = |rows: &[u8]| {
            let bytes = encode(EntryKind::Commit, &link(), rows).unwrap().0;
            decode(&bytes).unwrap().each_change(drop)
        };
        for wrong in [&[14, 0, 0, 0][..], &[0, 4, 0, 0], &[0, 0, 1, 0], &[0, 2, 0, 0, 1, 0, 0, 0], &[0]] {
            assert_eq!(of(wrong).unwrap_err().kind(), crate::error::ErrorKind::Damaged, "{wrong:?}");
        }
        of(&[13, 0, 0, 0]).unwrap();
    }

    #[test]
    fn a_key_that_is_too_long_for_an_entry_is_not_put_into_one() {
        let key = vec![0; 65536];
        let change = RowChange { table: Table::Meta, key: &key, was_there: false, value: None };
        assert!(!push(&mut Vec::new(), &change));
        assert!(push(&mut Vec::new(), &RowChange { key: &key[1..], ..change }));
    }
}
