//! Marks of adopted parts, so that a second adoption changes nothing.
//!
//! A mark follows from the content and not from the file: a copy of a file adds nothing, and only new lines are adopted
//! from a file that has grown. Marks are not versioned.

use std::collections::HashMap;

use crate::engine::records::Records;
use crate::engine::schema::Table;
use crate::engine::write::WriteTx;
use crate::error::{Error, Result};

/// The prefix of the rows of `meta` that are marks.
const PREFIX: &[u8] = b"adopted/";
/// The most different lines of a file that are distinguished from their repetitions: 142 MB of memory at most.
const LINES_MAX: usize = 1 << 22;

/// The row in `meta` of an adopted part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark(Vec<u8>);

impl Mark {
    /// The mark of a part of a kind, from its content.
    pub(super) fn new(kind: &str, parts: &[&[u8]]) -> Self {
        let mut hasher = blake3::Hasher::new();
        for part in [&[kind.as_bytes()][..], parts].concat() {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        Self([PREFIX, hasher.finalize().as_bytes()].concat())
    }

    /// The number that was stored with it, if it exists.
    pub(super) fn read(&self, tx: &WriteTx<'_>) -> Result<Option<u64>> {
        let Some(payload) = tx.row(Table::Meta, &self.0)? else { return Ok(None) };
        let number = <[u8; 8]>::try_from(payload.as_slice());
        let number = number.map_err(|_| Error::damaged("the mark of an adopted part does not have 8 bytes"))?;
        Ok(Some(u64::from_be_bytes(number)))
    }

    /// Stores it with a number: the place of the part in the store, if it has no name of its own.
    pub(super) fn write(&self, tx: &mut WriteTx<'_>, number: u64) -> Result<()> {
        tx.put_row(Table::Meta, &self.0, &number.to_be_bytes())
    }
}

/// Counts the occurrences of each line in a file: two equal lines are two records.
#[derive(Debug, Default)]
pub(super) struct Occurrences(HashMap<u64, u32>);

impl Occurrences {
    /// The number of earlier occurrences of the line.
    pub(super) fn before(&mut self, line: &[u8]) -> u32 {
        let hash = blake3::hash(line);
        let short = hash.as_bytes().first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        if self.0.len() >= LINES_MAX && !self.0.contains_key(&short) {
            return 0;
        }
        let count = self.0.entry(short).or_default();
        let before = *count;
        *count = count.saturating_add(1);
        before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_a_mark_is_fixed() {
        let Mark(key) = Mark::new("message", &[b"{}", b"\0\0\0\0"]);
        assert!(key.starts_with(b"adopted/"));
        let hash: String = key.iter().skip(PREFIX.len()).map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hash, "d606488ded79ce39f980ad979c57db6a250aa91ec9933c3f2a62e899d8d36f4f");
    }

    #[test]
    fn parts_are_distinguished() {
        assert_ne!(Mark::new("a", &[b"bc"]), Mark::new("ab", &[b"c"]));
        assert_ne!(Mark::new("a", &[b"b", b"c"]), Mark::new("a", &[b"bc"]));
    }

    #[test]
    fn equal_lines_are_counted() {
        let mut lines = Occurrences::default();
        assert_eq!([lines.before(b"a"), lines.before(b"b"), lines.before(b"a"), lines.before(b"a")], [0, 0, 1, 2]);
    }
}
