//! The rows that a closure has written so far, and how they lie over those of the log.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Bound;

use super::layer::{Bytes, Layer, LayerPage, Value, merged, page_of};
use super::maps::{Overlay, ROW_OVERHEAD};
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
    /// Writes a row, or deletes it. Leaves what it was until now in `old`, which is empty before, and says whether it
    /// was anything; `below` does so for a row that the closure has not written yet.
    ///
    /// # Errors
    ///
    /// Every error that `below` returns; then nothing is written.
    pub(crate) fn replace(
        &mut self,
        table: Table,
        key: &[u8],
        value: Option<&[u8]>,
        old: &mut Vec<u8>,
        below: impl FnOnce(&mut Vec<u8>) -> Result<bool>,
    ) -> Result<bool> {
        // One way down the tree: most rows of a closure are new to it.
        let entry = self.tables[table as usize].entry(Bytes::from(key));
        let is_there = match &entry {
            Entry::Occupied(held) => held.get().value.as_deref().map(|value| old.extend_from_slice(value)).is_some(),
            Entry::Vacant(_) => below(old)?,
        };
        // It was not there, and it is not.
        if !is_there && value.is_none() {
            return Ok(false);
        }
        self.more[table as usize] += i64::from(value.is_some()) - i64::from(is_there);
        self.bytes += key.len() + value.map_or(0, <[u8]>::len) + ROW_OVERHEAD;
        let value = value.map(Bytes::from);
        match entry {
            // It came and went within the closure, so the entry need not name it.
            Entry::Occupied(held) if !held.get().was_there && value.is_none() => _ = held.remove(),
            Entry::Occupied(mut held) => held.get_mut().value = value,
            Entry::Vacant(place) => _ = place.insert(Written { was_there: is_there, value }),
        }
        Ok(is_there)
    }

    /// Whether the closure has written nothing from one key on and before another.
    fn has_none(&self, table: Table, start: &[u8], end: &[u8]) -> bool {
        let inside = (Bound::Included(start), Bound::Excluded(end));
        start >= end || self.tables[table as usize].range::<[u8], _>(inside).next().is_none()
    }

    /// About how much memory the rows take. Overwritten values count too.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The rows of an entry; none when it cannot be told in one.
    pub(in crate::engine::wal) fn encode(&self) -> Option<Vec<u8>> {
        let mut bytes = Vec::with_capacity(self.bytes.min(1 << 20));
        let mut changes = Table::ALL.into_iter().flat_map(|table| self.changes(table));
        changes.all(|change| change.push_to(&mut bytes)).then_some(bytes)
    }

    /// The rows of a table, in the order of their keys.
    pub(crate) fn changes(&self, table: Table) -> impl Iterator<Item = RowChange<'_>> {
        self.tables[table as usize].iter().map(move |(key, written)| {
            let value = written.value.as_deref();
            RowChange { table, key, was_there: written.was_there, value }
        })
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

    fn behind_gap(&self, table: Table, key: &[u8]) -> Option<Vec<u8>> {
        self.below.behind_gap(table, key).filter(|end| self.own.has_none(table, key, end))
    }

    fn note_gap(&self, table: Table, start: &[u8], end: &[u8]) {
        // A deletion of the closure's own may never be committed.
        if self.own.has_none(table, start, end) {
            self.below.note_gap(table, start, end);
        }
    }
}
