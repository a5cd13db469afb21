//! Collecting rows of a range: copies of them, or batches of them where they lie.

use std::ops::{Bound, ControlFlow};

use super::merging::Merging;
use super::paging::BatchSize;
use super::range::{KeyRange, Row};
use super::row_ref::RowRef;
use super::stored::Rows;
use crate::engine::format::schema::Table;
use crate::engine::redb_file::{OpenTable, Tables};
use crate::engine::wal::Layer;
use crate::error::{Error, Hint, Result};

impl<B: Tables, L: Layer> Rows<B, L> {
    /// The first rows of a range, in its direction, until there are `limit` or they reach a number of bytes.
    ///
    /// # Errors
    ///
    /// `Damaged` for keys that are out of order: a caller who goes on behind the last one would read rows again and
    /// again.
    pub(super) fn collect(&self, table: Table, range: &KeyRange, limit: usize, bytes: usize) -> Result<Vec<Row>> {
        if range.is_empty() {
            return Ok(Vec::new());
        }
        if !self.base.guard().read(|| Ok(self.layer.touches(table)))? {
            return self.collect_from_base(table, range, limit, bytes);
        }
        let begin = gap_begin(range);
        let behind = match begin {
            Some(key) => self.base.guard().read(|| Ok(self.layer.behind_gap(table, key)))?,
            None => None,
        };
        let shorter = behind.map(|end| range.clone().from(&end));
        let mut merging = Merging::new(shorter.as_ref().unwrap_or(range), limit, bytes);
        while let Some(mut wanted) = merging.wanted() {
            let over = self.base.guard().read(|| Ok(self.layer.page(table, merging.rest(), wanted.rows)))?;
            wanted.rows = merging.wanted_below(&over);
            let below = self.collect_from_base(table, merging.rest(), wanted.rows, wanted.bytes)?;
            merging.take(over, below, wanted);
        }
        let is_behind_a_gap = merging.is_behind_a_gap();
        let rows = merging.into_rows();
        if let Some(begin) = begin.filter(|_| is_behind_a_gap)
            && let Some(end) = rows.first().map(|(key, _)| &**key).or_else(|| gap_end(range))
        {
            self.layer.note_gap(table, begin, end);
        }
        Ok(rows)
    }

    fn collect_from_base(&self, table: Table, range: &KeyRange, limit: usize, bytes: usize) -> Result<Vec<Row>> {
        let opened = self.base.open(table)?;
        let rows = self.base.guard().read(|| opened.copies_in(range, limit, bytes))?;
        if range.holds_in_order(&rows) { Ok(rows) } else { Err(out_of_order()) }
    }

    /// Calls `each` with the rows of a range where they lie, a batch at a time, until it breaks. A
    /// batch keeps its pages in memory.
    ///
    /// # Errors
    ///
    /// Every error that `each` returns; `Damaged` for keys that are out of order, over which a walk might never end.
    pub(crate) fn each_batch(
        &self,
        table: Table,
        range: KeyRange,
        size: BatchSize,
        mut each: impl FnMut(&[RowRef<'_>]) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        if range.is_empty() {
            return Ok(());
        }
        let (opened, guard) = (self.base.open(table)?, self.base.guard());
        if guard.read(|| Ok(self.layer.touches(table)))? {
            return self.each_copied_batch(table, range, size, each);
        }
        let mut rows = guard.read(|| opened.rows_in(&range))?;
        let mut rest = range;
        loop {
            let batch = guard.read(|| rows.next_batch(size.rows, size.bytes))?;
            let batch: Vec<_> = batch.into_iter().map(RowRef::OnPage).collect();
            if !rest.holds_keys_in_order(batch.iter().map(RowRef::key)) {
                return Err(out_of_order());
            }
            let Some(last) = batch.last() else { return Ok(()) };
            rest = rest.after(last.key());
            if each(&batch)?.is_break() {
                return Ok(());
            }
        }
    }

    /// The same of rows that are merged from several places.
    fn each_copied_batch(
        &self,
        table: Table,
        mut range: KeyRange,
        size: BatchSize,
        mut each: impl FnMut(&[RowRef<'_>]) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        loop {
            let batch = self.collect(table, &range, size.rows, size.bytes)?;
            let Some((last, _)) = batch.last() else { return Ok(()) };
            range = range.after(last);
            let batch: Vec<_> = batch.into_iter().map(RowRef::InMemory).collect();
            if each(&batch)?.is_break() {
                return Ok(());
            }
        }
    }
}

/// The key at which a gap at the beginning of a range would begin.
fn gap_begin(range: &KeyRange) -> Option<&[u8]> {
    match &range.start {
        Bound::Included(key) if !range.backward => Some(key),
        _ => None,
    }
}

/// The end of the gap that is a whole range.
fn gap_end(range: &KeyRange) -> Option<&[u8]> {
    match &range.end {
        Bound::Excluded(key) => Some(key),
        _ => None,
    }
}

/// Keys that go back, as only damaged pages have them.
fn out_of_order() -> Error {
    Error::damaged("the pages of the file are out of order; repair the store").with_hint(Hint::RepairStore)
}
