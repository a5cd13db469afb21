//! Open tables of a transaction: what [`rows`](crate::engine::rows) are read from and written to.

use std::cell::OnceCell;
use std::sync::OnceLock;

use redb::{ReadOnlyTable, ReadTransaction, ReadableTable};

use super::definition::{Bytes, definition};
use super::{Failure, RedbGuard, Transaction};
use crate::engine::format::schema::Table;
use crate::engine::rows::KeyRange;
use crate::engine::session::process::Owned;
use crate::error::{Error, Result};

/// The tables of one transaction. Each is opened when it is first asked for.
pub(crate) trait Tables {
    type Open: OpenTable;

    /// An open table.
    fn open(&self, table: Table) -> Result<&Self::Open>;

    /// Calls into redb go through this guard.
    fn guard(&self) -> &RedbGuard;
}

/// Reading an open table. Every call belongs inside a [`RedbGuard`].
pub(crate) trait OpenTable {
    /// The value of a key.
    fn value_of(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Failure>;

    /// The rows of a range that is not empty, in its direction.
    fn rows_in(&self, range: &KeyRange) -> Result<RowRefs<'_>, Failure>;

    /// How many rows there are.
    fn count(&self) -> Result<u64, Failure>;

    /// The bytes of the pages that the rows are on, with what is unused on them. Reads every page.
    #[cfg(feature = "transfer")]
    fn used_bytes(&self) -> Result<u64, Failure>;
}

impl<T: ReadableTable<Bytes, Bytes>> OpenTable for T {
    fn value_of(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
        Ok(self.get(key)?.map(|value| value.value().to_vec()))
    }

    fn rows_in(&self, range: &KeyRange) -> Result<RowRefs<'_>, Failure> {
        let bounds = (range.start.as_ref().map(Vec::as_slice), range.end.as_ref().map(Vec::as_slice));
        Ok(RowRefs { rows: self.range::<&[u8]>(bounds)?, backward: range.backward })
    }

    fn count(&self) -> Result<u64, Failure> {
        Ok(self.len()?)
    }

    #[cfg(feature = "transfer")]
    fn used_bytes(&self) -> Result<u64, Failure> {
        let stats = self.stats()?;
        let bytes = [stats.stored_bytes(), stats.metadata_bytes(), stats.fragmented_bytes()];
        Ok(bytes.into_iter().fold(0, u64::saturating_add))
    }
}

/// A row where it lies on its page, which it keeps in memory.
pub(crate) struct RowRef<'t> {
    key: redb::AccessGuard<'t, Bytes>,
    value: redb::AccessGuard<'t, Bytes>,
}

impl RowRef<'_> {
    pub(crate) fn key(&self) -> &[u8] {
        self.key.value()
    }

    pub(crate) fn value(&self) -> &[u8] {
        self.value.value()
    }
}

/// The rows of a range, in its direction.
pub(crate) struct RowRefs<'t> {
    rows: redb::Range<'t, Bytes, Bytes>,
    backward: bool,
}

impl<'t> Iterator for RowRefs<'t> {
    type Item = Result<RowRef<'t>, Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        let row = if self.backward { self.rows.next_back() } else { self.rows.next() };
        row.map(|row| row.map(|(key, value)| RowRef { key, value }).map_err(Failure::from))
    }
}

/// The tables of a read transaction.
pub(crate) struct ReadTables {
    transaction: Owned<ReadTransaction>,
    tables: [OnceLock<ReadOnlyTable<Bytes, Bytes>>; Table::COUNT],
    guard: RedbGuard,
}

impl ReadTables {
    pub(super) fn new(transaction: Owned<ReadTransaction>, guard: RedbGuard) -> Self {
        Self { transaction, tables: Default::default(), guard }
    }
}

impl Tables for ReadTables {
    type Open = ReadOnlyTable<Bytes, Bytes>;

    fn open(&self, table: Table) -> Result<&Self::Open> {
        let cell = &self.tables[table as usize];
        if let Some(opened) = cell.get() {
            return Ok(opened);
        }
        let opened = self.guard.read(|| Ok(self.transaction.open_table(definition(table))?))?;
        Ok(cell.get_or_init(|| opened))
    }

    fn guard(&self) -> &RedbGuard {
        &self.guard
    }
}

/// The tables of a write transaction. Reads see its writes.
pub(crate) struct WriteTables<'a> {
    transaction: &'a Transaction,
    tables: [OnceCell<redb::Table<'a, Bytes, Bytes>>; Table::COUNT],
}

impl<'a> WriteTables<'a> {
    pub(crate) fn new(transaction: &'a Transaction) -> Self {
        Self { transaction, tables: Default::default() }
    }

    /// Stores a value under a key, or deletes the key; leaves what it had in `old` and says whether there was something.
    pub(crate) fn replace(
        &mut self,
        table: Table,
        key: &[u8],
        value: Option<&[u8]>,
        old: &mut Vec<u8>,
    ) -> Result<bool> {
        self.open(table)?;
        let opened = self.tables[table as usize].get_mut().ok_or_else(|| Error::damaged("a table is closed"))?;
        self.transaction.guard().run(|| {
            let before = match value {
                Some(value) => opened.insert(key, value)?,
                None => opened.remove(key)?,
            };
            old.clear();
            Ok(before.map(|before| old.extend_from_slice(before.value())).is_some())
        })
    }
}

impl<'a> Tables for WriteTables<'a> {
    type Open = redb::Table<'a, Bytes, Bytes>;

    fn open(&self, table: Table) -> Result<&Self::Open> {
        let cell = &self.tables[table as usize];
        if let Some(opened) = cell.get() {
            return Ok(opened);
        }
        let opened = self.transaction.guard().run(|| self.transaction.open_table(table))?;
        Ok(cell.get_or_init(|| opened))
    }

    fn guard(&self) -> &RedbGuard {
        self.transaction.guard()
    }
}
