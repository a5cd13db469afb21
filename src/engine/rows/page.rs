//! Collecting rows of a range: copies of them, or batches of them where they lie.

use std::ops::ControlFlow;

use super::range::{KeyRange, Row};
use super::stored::Rows;
use crate::engine::format::schema::Table;
use crate::engine::redb_file::{OpenTable, RowRef, Tables};
use crate::error::{Error, Result};

/// How much is read at a time: so many rows, or fewer once they have so many bytes together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchSize {
    pub(crate) rows: usize,
    pub(crate) bytes: usize,
}

impl<B: Tables> Rows<B> {
    /// The first rows of a range, in its direction, until there are `limit` or they have so many bytes.
    ///
    /// # Errors
    ///
    /// `Damaged` for keys that are out of order: a caller who goes on behind the last one would read rows again and again.
    pub(super) fn collect(&self, table: Table, range: &KeyRange, limit: usize, bytes: usize) -> Result<Vec<Row>> {
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let opened = self.base.open(table)?;
        let rows = self.base.guard().read(|| opened.copies_in(range, limit, bytes))?;
        if range.holds_in_order(&rows) { Ok(rows) } else { Err(out_of_order()) }
    }

    /// Calls `each` with the rows of a range where they lie, a batch at a time, until it breaks. A batch keeps its pages in
    /// memory.
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
        let mut rows = guard.read(|| opened.rows_in(&range))?;
        let mut rest = range;
        loop {
            let batch = guard.read(|| rows.next_batch(size.rows, size.bytes))?;
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
}

/// Keys that go back, as only damaged pages have them.
fn out_of_order() -> Error {
    Error::damaged("the pages of the file are out of order; run hivekeep repair")
}
