//! The rows that a closure has written so far, and how they lie over those of the log.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::maps::{Bytes, Layer, LayerPage, Overlay, ROW_OVERHEAD, Value, merged, page_of};
use crate::engine::format::row_change::RowChange;
use crate::engine::format::schema::Table;
use crate::engine::rows::KeyRange;
use crate::error::Result;

/// The rows that a closure has written.
#[derive(Debug, Default)]
pub(crate) struct WriteSet {
    tables: [BTreeMap<Bytes, Written>; Table::COUNT],
    more: [i64; Table::COUNT],
    bytes: usize,
}

#[derive(Debug)]
struct Written {
    was_there: bool,
    value: Value,
}

impl WriteSet {
    /// Writes a row, or deletes it; `is_there` says whether the closure saw one there until now.
    pub(crate) fn put(&mut self, table: Table, key: &[u8], is_there: bool, value: Option<&[u8]>) {
        self.more[table as usize] += i64::from(value.is_some()) - i64::from(is_there);
        self.bytes += key.len() + value.map_or(0, <[u8]>::len) + ROW_OVERHEAD;
        let value = value.map(Bytes::from);
        // One way down the tree: most rows of a closure are new to it.
        match self.tables[table as usize].entry(Bytes::from(key)) {
            // It came and went within the closure, so the entry need not name it.
            Entry::Occupied(held) if !held.get().was_there && value.is_none() => _ = held.remove(),
            Entry::Occupied(mut held) => held.get_mut().value = value,
            Entry::Vacant(_) if !is_there && value.is_none() => {}
            Entry::Vacant(place) => _ = place.insert(Written { was_there: is_there, value }),
        }
    }

    /// About how much memory the rows take. Overwritten values count too.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The rows of an entry; none when it cannot be told in one.
    pub(super) fn encode(&self) -> Option<Vec<u8>> {
        let mut bytes = Vec::with_capacity(self.bytes.min(1 << 20));
        for (table, rows) in Table::ALL.iter().zip(&self.tables) {
            for (key, written) in rows {
                let value = written.value.as_deref();
                let change = RowChange { table: *table, key, was_there: written.was_there, value };
                if !change.push_to(&mut bytes) {
                    return None;
                }
            }
        }
        Some(bytes)
    }

    /// Calls `each` with every row, in the order of tables and keys.
    ///
    /// # Errors
    ///
    /// Every error that `each` returns.
    pub(crate) fn each(&self, mut each: impl FnMut(Table, &[u8], Option<&[u8]>) -> Result<()>) -> Result<()> {
        for (table, rows) in Table::ALL.iter().zip(&self.tables) {
            rows.iter().try_for_each(|(key, written)| each(*table, key, written.value.as_deref()))?;
        }
        Ok(())
    }
}

/// The rows that a closure has written, over those of the log.
pub(crate) struct Stack<'a> {
    pub(crate) own: WriteSet,
    pub(crate) below: &'a Overlay,
}

impl Layer for Stack<'_> {
    fn touches(&self, table: Table) -> bool {
        !self.own.tables[table as usize].is_empty() || self.below.touches(table)
    }

    fn find(&self, table: Table, key: &[u8]) -> Option<Value> {
        match self.own.tables[table as usize].get(key) {
            Some(written) => Some(written.value.clone()),
            None => self.below.find(table, key),
        }
    }

    fn page(&self, table: Table, range: &KeyRange, limit: usize) -> LayerPage {
        let own = page_of(&self.own.tables[table as usize], range, limit, |written| Some(&written.value));
        merged(vec![self.below.page(table, range, limit), own], range.backward)
    }

    fn more(&self, table: Table) -> i64 {
        self.own.more[table as usize] + self.below.more(table)
    }
}
