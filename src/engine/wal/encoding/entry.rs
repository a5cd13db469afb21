//! The bytes of an entry: one commit, or the end of a section.

use super::id::LogId;
use crate::engine::format::row_change::{Fields, RowChange, changes};
use crate::error::{Error, Result};

/// The bytes before the rows of an entry. Integers are little-endian: length, kind, three zeros, log id, section,
/// number, CRC of the entry before, number known to be synced, CRC-32.
pub(in crate::engine::wal) const HEAD: usize = 56;
/// Where the CRC of the entry itself stands, which it does not cover.
const CRC_AT: usize = HEAD - 4;
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine::wal) enum EntryKind {
    Commit = 1,
    /// The last entry of a section.
    End = 2,
    /// The same, and the next section has its name already. If that section is missing, its entries are lost.
    EndBeforeNext = 3,
}

/// The place of an entry in its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine::wal) struct Link {
    pub(in crate::engine::wal) id: LogId,
    pub(in crate::engine::wal) section: u64,
    pub(in crate::engine::wal) number: u64,
    /// The CRC of the entry before.
    pub(in crate::engine::wal) chain: u32,
    /// The number that was known to be synced when the entry was written.
    pub(in crate::engine::wal) synced: u64,
}

/// An entry whose own CRC is right.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine::wal) struct Entry<'a> {
    pub(in crate::engine::wal) kind: EntryKind,
    pub(in crate::engine::wal) link: Link,
    pub(in crate::engine::wal) crc: u32,
    pub(in crate::engine::wal) len: usize,
    rows: &'a [u8],
}

/// The length of an entry whose rows have this many bytes.
pub(in crate::engine::wal) fn len_with(rows: usize) -> u64 {
    (HEAD + rows) as u64
}

/// The bytes of an entry, and its CRC.
///
/// # Errors
///
/// `Invalid` for rows that are longer than an entry can be.
pub(in crate::engine::wal) fn encode(kind: EntryKind, link: &Link, rows: &[u8]) -> Result<(Vec<u8>, u32)> {
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

/// The length that the bytes claim to have, when it is that of an entry of this log and lies within them; none
/// otherwise.
pub(in crate::engine::wal) fn claimed_len(bytes: &[u8], id: LogId) -> Option<usize> {
    let len = usize::try_from(u32::from_le_bytes(*bytes.first_chunk()?)).ok()?;
    let is_of_log = bytes.get(8..24)? == id.0;
    (is_of_log && len >= HEAD && len <= bytes.len()).then_some(len)
}

/// The place that the beginning of an entry names; none where there is no such beginning. Its CRC is not compared.
pub(in crate::engine::wal) fn link_of(bytes: &[u8]) -> Option<Link> {
    head_of(bytes).map(|(_, _, link, _)| link)
}

/// The entry at the beginning of the bytes; none when there is no whole one.
pub(in crate::engine::wal) fn decode(bytes: &[u8]) -> Option<Entry<'_>> {
    let (len, kind, link, stored) = head_of(bytes)?;
    let rows = bytes.get(HEAD..len)?;
    (crc(bytes.get(..CRC_AT)?, rows) == stored).then_some(Entry { kind, link, crc: stored, len, rows })
}

/// Length, kind, place and CRC as the beginning of an entry has them.
fn head_of(bytes: &[u8]) -> Option<(usize, EntryKind, Link, u32)> {
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
    Some((len, kind, link, u32::from_le_bytes(fields.array()?)))
}

impl<'a> Entry<'a> {
    /// The rows of the commit, as bytes.
    pub(in crate::engine::wal) fn rows(&self) -> &'a [u8] {
        self.rows
    }

    /// Calls `each` with every row that the commit changed.
    ///
    /// # Errors
    ///
    /// Every error that `each` returns; `Damaged` for rows that no writer makes.
    pub(in crate::engine::wal) fn each_change(&self, mut each: impl FnMut(RowChange<'a>)) -> Result<()> {
        changes(self.rows).try_for_each(|change| {
            each(change.map_err(|error| error.context(format!("entry {} of the log", self.link.number)))?);
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::format::digest::hex;
    use crate::engine::format::schema::Table;

    const ID: LogId = LogId([7; 16]);

    fn link() -> Link {
        Link { id: ID, section: 3, number: 9, chain: 0x0102_0304, synced: 8 }
    }

    fn rows_of_two() -> [RowChange<'static>; 2] {
        [
            RowChange { table: Table::Live, key: b"ab", was_there: true, value: Some(b"hi") },
            RowChange { table: Table::Meta, key: b"c", was_there: true, value: None },
        ]
    }

    fn commit() -> Vec<u8> {
        let mut rows = Vec::new();
        assert!(rows_of_two().iter().all(|change| change.push_to(&mut rows)));
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
        assert_eq!(read, rows_of_two());
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
}
