//! Marks of what has been taken over, so that taking it over again changes nothing.
//!
//! A mark is made of the content, not of the file that it was in: a copy of a file brings nothing new, and of a file
//! that has grown only the new lines are taken. Marks are not versioned.

use std::collections::HashMap;

use crate::engine::records::Records;
use crate::engine::schema::Table;
use crate::engine::write::WriteTx;
use crate::error::{Error, Result};

/// The prefix of the rows of `meta` that are marks.
const PREFIX: &[u8] = b"adopted/";
/// So many different lines of one file are told apart from their repetitions: 142 MB of memory at most.
const LINES_MAX: usize = 1 << 22;

/// The row of `meta` that says that something was taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark(Vec<u8>);

impl Mark {
    /// The mark of something of a kind, by what makes it what it is.
    pub(super) fn new(kind: &str, parts: &[&[u8]]) -> Self {
        let mut hasher = blake3::Hasher::new();
        for part in [&[kind.as_bytes()][..], parts].concat() {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        Self([PREFIX, hasher.finalize().as_bytes()].concat())
    }

    /// The number that was noted with it, if it is there.
    pub(super) fn read(&self, tx: &WriteTx<'_>) -> Result<Option<u64>> {
        let Some(payload) = tx.row(Table::Meta, &self.0)? else { return Ok(None) };
        let number = <[u8; 8]>::try_from(payload.as_slice());
        let number = number.map_err(|_| Error::damaged("a mark of what was adopted is not 8 bytes long"))?;
        Ok(Some(u64::from_be_bytes(number)))
    }

    /// Writes it with a number: where in the store the thing is, when it has no name of its own.
    pub(super) fn write(&self, tx: &mut WriteTx<'_>, number: u64) -> Result<()> {
        tx.put_row(Table::Meta, &self.0, &number.to_be_bytes())
    }
}

/// Counts how often each line was met in a file: two equal lines are two records.
#[derive(Debug, Default)]
pub(super) struct Occurrences(HashMap<u64, u32>);

impl Occurrences {
    /// How often the line was met before.
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
    fn parts_are_told_apart_from_one_another() {
        assert_ne!(Mark::new("a", &[b"bc"]), Mark::new("ab", &[b"c"]));
        assert_ne!(Mark::new("a", &[b"b", b"c"]), Mark::new("a", &[b"bc"]));
    }

    #[test]
    fn equal_lines_are_counted() {
        let mut lines = Occurrences::default();
        assert_eq!([lines.before(b"a"), lines.before(b"b"), lines.before(b"a"), lines.before(b"a")], [0, 0, 1, 2]);
    }
}
