//! The rows that a commit changed, as bytes: in an entry of the log, and on their way to a replica.

use crate::engine::format::schema::Table;
use crate::error::{Error, Result};

/// The key was there before the commit.
const WAS_THERE: u8 = 1;
/// The key is there after the commit, and its value follows it.
const HAS_VALUE: u8 = 2;

/// A row that a commit changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RowChange<'a> {
    pub(crate) table: Table,
    pub(crate) key: &'a [u8],
    /// Whether the key was there before.
    pub(crate) was_there: bool,
    /// None: it is deleted.
    pub(crate) value: Option<&'a [u8]>,
}

impl RowChange<'_> {
    /// Adds it to the bytes of a commit; says whether it can be told in them.
    pub(crate) fn push_to(&self, rows: &mut Vec<u8>) -> bool {
        let Ok(key_len) = u16::try_from(self.key.len()) else { return false };
        let Ok(value_len) = self.value.map(|value| u32::try_from(value.len())).transpose() else { return false };
        let flags = u8::from(self.was_there) * WAS_THERE + u8::from(self.value.is_some()) * HAS_VALUE;
        rows.extend_from_slice(&[self.table as u8, flags]);
        rows.extend_from_slice(&key_len.to_le_bytes());
        if let Some(len) = value_len {
            rows.extend_from_slice(&len.to_le_bytes());
        }
        rows.extend_from_slice(self.key);
        rows.extend_from_slice(self.value.unwrap_or_default());
        true
    }
}

/// The rows of a commit. After the first that no writer makes, which is an error, there are no more.
pub(crate) fn changes(rows: &[u8]) -> impl Iterator<Item = Result<RowChange<'_>>> {
    let mut fields = Fields(rows);
    std::iter::from_fn(move || {
        if fields.0.is_empty() {
            return None;
        }
        let change = fields.change();
        if change.is_none() {
            fields.0 = &[];
        }
        Some(change.ok_or_else(|| Error::damaged("a commit has rows of no kind")))
    })
}

/// Bytes that are still to be read.
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::format::digest::hex;
    use crate::error::ErrorKind;

    fn rows() -> [RowChange<'static>; 2] {
        [
            RowChange { table: Table::Live, key: b"ab", was_there: true, value: Some(b"hi") },
            RowChange { table: Table::Meta, key: b"c", was_there: true, value: None },
        ]
    }

    #[test]
    fn the_numbers_of_tables_stay_as_they_are() {
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

    #[test]
    fn rows_read_as_they_were_written_and_their_bytes_stay_as_they_are() {
        let mut bytes = Vec::new();
        assert!(rows().iter().all(|row| row.push_to(&mut bytes)));
        assert_eq!(hex(&bytes), "0003020002000000616268690d01010063");
        assert_eq!(changes(&bytes).collect::<Result<Vec<_>>>().unwrap(), rows());
    }

    #[test]
    fn rows_that_no_writer_makes_are_damage() {
        let of = |rows: &[u8]| changes(rows).try_for_each(|row| row.map(drop));
        for wrong in [&[14, 0, 0, 0][..], &[0, 4, 0, 0], &[0, 0, 1, 0], &[0, 2, 0, 0, 1, 0, 0, 0], &[0]] {
            assert_eq!(of(wrong).unwrap_err().kind(), ErrorKind::Damaged, "{wrong:?}");
        }
        of(&[13, 0, 0, 0]).unwrap();
    }

    #[test]
    fn a_key_that_is_too_long_is_not_told() {
        let key = vec![0; 65536];
        let change = RowChange { table: Table::Meta, key: &key, was_there: false, value: None };
        let mut bytes = Vec::new();
        assert!(!change.push_to(&mut bytes));
        assert!(bytes.is_empty());
        assert!(RowChange { key: &key[1..], ..change }.push_to(&mut bytes));
    }
}
