//! The rows of a transaction: those of its base in redb, and those that lie over them.

use std::ops::ControlFlow;

use super::paging::{BatchSize, PAGE_BYTES};
use super::range::{KeyRange, Row};
use super::row_ref::RowRef;
use crate::engine::format::row_change::RowChange;
use crate::engine::format::schema::Table;
use crate::engine::redb_file::{OpenTable, ReadTables, RedbGuard, Tables, Transaction, WriteTables};
use crate::engine::wal::{Layer, NoLayer, Overlay, Stack, WriteSet};
use crate::error::Result;

/// The rows of a transaction.
pub(crate) struct Rows<B, L> {
    pub(super) base: B,
    pub(super) layer: L,
}

/// The rows of one commit.
pub(crate) type ReadRows = Rows<ReadTables, Overlay>;

impl<B: Tables, L: Layer> Rows<B, L> {
    /// The value of a key.
    pub(crate) fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let guard = self.base.guard();
        if let Some(value) = guard.read(|| Ok(self.layer.find(table, key)))? {
            return Ok(value.map(|value| value.to_vec()));
        }
        let opened = self.base.open(table)?;
        guard.read(|| opened.value_of(key))
    }

    /// At most `limit` rows of a range, in its direction.
    pub(crate) fn page(&self, table: Table, range: &KeyRange, limit: usize) -> Result<Vec<Row>> {
        self.collect(table, range, limit, usize::MAX)
    }

    /// The same, until they have [`PAGE_BYTES`].
    pub(crate) fn part(&self, table: Table, range: &KeyRange, limit: usize) -> Result<Vec<Row>> {
        self.collect(table, range, limit, PAGE_BYTES)
    }

    /// The first row of a range, in its direction.
    pub(crate) fn first(&self, table: Table, range: &KeyRange) -> Result<Option<Row>> {
        self.page(table, range, 1).map(|rows| rows.into_iter().next())
    }

    /// Calls into redb go through this guard.
    pub(crate) fn guard(&self) -> &RedbGuard {
        self.base.guard()
    }

    /// How many rows a table has, at the same cost whatever their number.
    pub(crate) fn count(&self, table: Table) -> Result<u64> {
        let opened = self.base.open(table)?;
        self.base.guard().read(|| Ok(opened.count()?.saturating_add_signed(self.layer.more(table))))
    }

    /// The bytes of the pages that the rows of a table are on, with what is unused on them. Reads every page; rows
    /// that are on none yet do not count.
    #[cfg(feature = "transfer")]
    pub(crate) fn used_bytes(&self, table: Table) -> Result<u64> {
        let opened = self.base.open(table)?;
        self.base.guard().read(|| opened.used_bytes())
    }
}

/// Leaves the value of a key in `out`, which is empty before; says whether there is one.
fn copy_value(base: &impl Tables, layer: &impl Layer, table: Table, key: &[u8], out: &mut Vec<u8>) -> Result<bool> {
    let guard = base.guard();
    if let Some(value) = guard.read(|| Ok(layer.find(table, key)))? {
        return Ok(value.map(|value| out.extend_from_slice(&value)).is_some());
    }
    let opened = base.open(table)?;
    guard.read(|| opened.copy_value(key, out))
}

impl ReadRows {
    pub(crate) fn new(base: ReadTables, layer: Overlay) -> Self {
        Self { base, layer }
    }

    /// The value of a key in the base alone.
    pub(crate) fn stored(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let opened = self.base.open(table)?;
        self.guard().read(|| opened.value_of(key))
    }

    /// The same base under other rows.
    pub(crate) fn over(self, layer: Overlay) -> Self {
        Self { layer, ..self }
    }

    /// The rows that lie over the base.
    pub(crate) fn overlay(&self) -> &Overlay {
        &self.layer
    }
}

/// A way into redb for a transaction that becomes too large for the log.
pub(crate) trait IntoRedb<'a> {
    /// A transaction of redb that has all that the closure found; begun when it is first asked for.
    fn transaction(&self) -> Result<&'a Transaction>;
}

/// The rows of a write transaction, with its own writes.
#[expect(
    clippy::large_enum_variant,
    reason = "there is one at a time, and a box would be an allocation for each write"
)]
pub(crate) enum WriteRows<'a> {
    /// They go straight into redb.
    Redb(Box<Rows<WriteTables<'a>, NoLayer>>),
    /// They are kept in memory, to become an entry of the log.
    Set(SetRows<'a>),
}

/// Rows that are kept in memory, and go into redb after all once they take more than a number of bytes.
pub(crate) struct SetRows<'a> {
    rows: Rows<&'a ReadTables, Stack<'a>>,
    into_redb: &'a dyn IntoRedb<'a>,
    most_bytes: usize,
}

macro_rules! either {
    ($rows:expr, $inner:ident => $call:expr) => {
        match $rows {
            WriteRows::Redb($inner) => $call,
            WriteRows::Set(SetRows { rows: $inner, .. }) => $call,
        }
    };
}

impl<'a> WriteRows<'a> {
    pub(crate) fn of(transaction: &'a Transaction) -> Self {
        Self::Redb(Box::new(Rows { base: WriteTables::new(transaction), layer: NoLayer }))
    }

    /// Writes that are kept in memory, over those of a commit.
    pub(crate) fn over(below: &'a ReadRows, into_redb: &'a dyn IntoRedb<'a>, most_bytes: usize) -> Self {
        let layer = Stack { own: WriteSet::default(), below: &below.layer };
        Self::Set(SetRows { rows: Rows { base: &below.base, layer }, into_redb, most_bytes })
    }

    /// The written rows, if they are still in memory.
    pub(crate) fn into_set(self) -> Option<WriteSet> {
        match self {
            Self::Redb(_) => None,
            Self::Set(set) => Some(set.rows.layer.own),
        }
    }

    pub(crate) fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>> {
        either!(self, rows => rows.get(table, key))
    }

    pub(crate) fn page(&self, table: Table, range: &KeyRange, limit: usize) -> Result<Vec<Row>> {
        either!(self, rows => rows.page(table, range, limit))
    }

    pub(crate) fn part(&self, table: Table, range: &KeyRange, limit: usize) -> Result<Vec<Row>> {
        either!(self, rows => rows.part(table, range, limit))
    }

    pub(crate) fn first(&self, table: Table, range: &KeyRange) -> Result<Option<Row>> {
        either!(self, rows => rows.first(table, range))
    }

    pub(crate) fn count(&self, table: Table) -> Result<u64> {
        either!(self, rows => rows.count(table))
    }

    /// As [`Rows::each_batch`].
    pub(crate) fn each_batch(
        &self,
        table: Table,
        range: KeyRange,
        size: BatchSize,
        each: impl FnMut(&[RowRef<'_>]) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        either!(self, rows => rows.each_batch(table, range, size, each))
    }

    /// Puts a value under a key, or, with none, deletes the key. Leaves what the key had in `old`, and
    /// says whether there was something.
    pub(crate) fn replace(
        &mut self,
        table: Table,
        key: &[u8],
        value: Option<&[u8]>,
        old: &mut Vec<u8>,
    ) -> Result<bool> {
        self.make_room()?;
        old.clear();
        match self {
            Self::Redb(rows) => rows.base.replace(table, key, value, old),
            Self::Set(SetRows { rows, .. }) => {
                let Stack { own, below } = &mut rows.layer;
                own.replace(table, key, value, old, |old| copy_value(&rows.base, *below, table, key, old))
            }
        }
    }

    /// The same for a caller who knows what the key has: something or nothing.
    pub(crate) fn put_over(&mut self, table: Table, key: &[u8], is_there: bool, value: Option<&[u8]>) -> Result<()> {
        self.make_room()?;
        let mut old = Vec::new();
        match self {
            Self::Redb(rows) => rows.base.put(table, key, value),
            Self::Set(set) => set.rows.layer.own.replace(table, key, value, &mut old, |_| Ok(is_there)).map(drop),
        }
    }

    /// Rows that take too much memory for an entry go into redb.
    fn make_room(&mut self) -> Result<()> {
        if let Self::Set(set) = self
            && set.rows.layer.own.bytes() >= set.most_bytes
        {
            *self = set.go_into_redb()?;
        }
        Ok(())
    }

    /// Writes every row of a set.
    pub(crate) fn put_all(&mut self, set: &WriteSet) -> Result<()> {
        Table::ALL.into_iter().flat_map(|table| set.changes(table)).try_for_each(|row| self.put_change(&row))
    }

    /// Writes a row of a log or of a set.
    pub(crate) fn put_change(&mut self, row: &RowChange<'_>) -> Result<()> {
        self.put_over(row.table, row.key, row.was_there, row.value)
    }
}

impl<'a> SetRows<'a> {
    fn go_into_redb(&mut self) -> Result<WriteRows<'a>> {
        let mut rows = WriteRows::of(self.into_redb.transaction()?);
        rows.put_all(&self.rows.layer.own)?;
        Ok(rows)
    }
}
