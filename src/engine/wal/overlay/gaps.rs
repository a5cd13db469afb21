//! Ranges of keys in which the log and its base show no row. A queue leaves a deletion for each task that was claimed
//! since the last checkpoint, and the head of its lane lies behind all of them: each claim would walk over them anew.

use crate::engine::format::schema::Table;

/// So many are remembered.
const MOST: usize = 16;

/// The gaps of a section's time: they hold for readers of the numbers from which they are on, until a key in them gets
/// a value.
#[derive(Debug, Default)]
pub(super) struct Gaps(Vec<Gap>);

/// From `start` on and before `end`, no key has a value.
#[derive(Debug)]
struct Gap {
    table: Table,
    start: Vec<u8>,
    end: Vec<u8>,
    from: u64,
}

impl Gap {
    fn holds(&self, table: Table, key: &[u8]) -> bool {
        self.table == table && *self.start <= *key && *key < *self.end
    }
}

impl Gaps {
    /// The end of the gap in which a key lies, for readers of a number.
    pub(super) fn end_of(&self, number: u64, table: Table, key: &[u8]) -> Option<&[u8]> {
        let gaps = self.0.iter().filter(|gap| gap.from <= number && gap.holds(table, key));
        gaps.map(|gap| &*gap.end).max()
    }

    /// Remembers a gap, in place of one with the same beginning, or of the oldest.
    pub(super) fn note(&mut self, number: u64, table: Table, start: &[u8], end: &[u8]) {
        self.0.retain(|gap| gap.table != table || *gap.start != *start);
        if self.0.len() == MOST {
            self.0.remove(0);
        }
        self.0.push(Gap { table, start: start.to_vec(), end: end.to_vec(), from: number });
    }

    /// A key gets a value.
    pub(super) fn close(&mut self, table: Table, key: &[u8]) {
        self.0.retain(|gap| !gap.holds(table, key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_counts_from_its_number_on_until_a_key_in_it_gets_a_value() {
        let mut gaps = Gaps::default();
        gaps.note(5, Table::Index, b"b", b"f");
        assert_eq!(gaps.end_of(5, Table::Index, b"b"), Some(b"f".as_slice()));
        assert_eq!(gaps.end_of(6, Table::Index, b"e"), Some(b"f".as_slice()));
        for (number, table, key) in
            [(4, Table::Index, b"c"), (5, Table::Live, b"c"), (5, Table::Index, b"a"), (5, Table::Index, b"f")]
        {
            assert_eq!(gaps.end_of(number, table, key), None, "{number} {table:?} {key:?}");
        }
        gaps.close(Table::Index, b"f");
        gaps.close(Table::Live, b"c");
        assert!(gaps.end_of(5, Table::Index, b"c").is_some());
        gaps.note(7, Table::Index, b"b", b"h");
        assert_eq!(gaps.end_of(6, Table::Index, b"b"), None, "another one has its beginning");
        gaps.close(Table::Index, b"c");
        assert_eq!(gaps.end_of(7, Table::Index, b"g"), None);
        (0..2 * MOST as u8).for_each(|key| gaps.note(7, Table::Index, &[key], &[key, 1]));
        assert_eq!(gaps.0.len(), MOST);
    }
}
