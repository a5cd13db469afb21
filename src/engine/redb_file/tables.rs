//! Open tables of a transaction: what [`rows`](crate::engine::rows) are read from and written to.

use std::cell::OnceCell;
use std::sync::OnceLock;

use redb::{ReadOnlyTable, ReadTransaction, ReadableTable};

use super::definition::{Bytes, definition};
use super::{Failure, RedbGuard, Transaction};
use crate::engine::format::schema::Table;
use crate::engine::rows::{KeyRange, Row};
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

    /// Leaves the value of a key in `out`, which is empty before; says whether there is one.
    fn copy_value(&self, key: &[u8], out: &mut Vec<u8>) -> Result<bool, Failure>;

    /// The rows of a range that is not empty, in its direction.
    fn rows_in(&self, range: &KeyRange) -> Result<RowRefs<'_>, Failure>;

    /// Copies of the first rows of the range, until there are `limit` or they reach a number of bytes.
    fn copies_in(&self, range: &KeyRange, limit: usize, bytes: usize) -> Result<Vec<Row>, Failure>;

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

    fn copy_value(&self, key: &[u8], out: &mut Vec<u8>) -> Result<bool, Failure> {
        Ok(self.get(key)?.map(|value| out.extend_from_slice(value.value())).is_some())
    }

    fn rows_in(&self, range: &KeyRange) -> Result<RowRefs<'_>, Failure> {
        let bounds = (range.start.as_ref().map(Vec::as_slice), range.end.as_ref().map(Vec::as_slice));
        Ok(RowRefs { rows: self.range::<&[u8]>(bounds)?, backward: range.backward })
    }

    fn copies_in(&self, range: &KeyRange, limit: usize, bytes: usize) -> Result<Vec<Row>, Failure> {
        let RowRefs { rows, backward } = self.rows_in(range)?;
        // The direction is asked once, not for each row.
        match backward {
            true => copies(rows.rev().take(limit), bytes),
            false => copies(rows.take(limit), bytes),
        }
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
pub(crate) struct PageRow<'t> {
    key: redb::AccessGuard<'t, Bytes>,
    value: redb::AccessGuard<'t, Bytes>,
}

impl PageRow<'_> {
    #[inline]
    pub(crate) fn key(&self) -> &[u8] {
        self.key.value()
    }

    #[inline]
    pub(crate) fn value(&self) -> &[u8] {
        self.value.value()
    }
}

/// The rows of a range, in its direction.
pub(crate) struct RowRefs<'t> {
    rows: redb::Range<'t, Bytes, Bytes>,
    backward: bool,
}

impl<'t> RowRefs<'t> {
    /// The next rows: a number of them, or fewer once they reach a number of bytes. None at the end.
    ///
    /// Each is looked at here, where a panic is contained: on a damaged page redb may find only when a row is
    /// asked for that it is not there.
    pub(crate) fn next_batch(&mut self, limit: usize, bytes: usize) -> Result<Vec<PageRow<'t>>, Failure> {
        match self.backward {
            true => batch(self.rows.by_ref().rev().take(limit), bytes),
            false => batch(self.rows.by_ref().take(limit), bytes),
        }
    }
}

type Pair<'t> = (redb::AccessGuard<'t, Bytes>, redb::AccessGuard<'t, Bytes>);

fn batch<'t>(
    rows: impl Iterator<Item = Result<Pair<'t>, redb::StorageError>>,
    bytes: usize,
) -> Result<Vec<PageRow<'t>>, Failure> {
    let (mut batch, mut met) = (Vec::new(), 0);
    for row in rows {
        let (key, value) = row?;
        met += key.value().len() + value.value().len();
        batch.push(PageRow { key, value });
        if met > bytes {
            break;
        }
    }
    Ok(batch)
}

fn copies<'t>(
    rows: impl Iterator<Item = Result<Pair<'t>, redb::StorageError>>,
    mut bytes_left: usize,
) -> Result<Vec<Row>, Failure> {
    let mut collected = Vec::new();
    for row in rows {
        let (key, value) = row?;
        let (key, value) = (key.value().to_vec(), value.value().to_vec());
        bytes_left = bytes_left.saturating_sub(key.len() + value.len());
        collected.push((key, value));
        if bytes_left == 0 {
            break;
        }
    }
    Ok(collected)
}

impl<T: Tables> Tables for &T {
    type Open = T::Open;

    fn open(&self, table: Table) -> Result<&Self::Open> {
        (**self).open(table)
    }

    fn guard(&self) -> &RedbGuard {
        (**self).guard()
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

    /// Stores a value under a key, or deletes the key; leaves what it had in `old` and says whether there was
    /// something.
    pub(crate) fn replace(
        &mut self,
        table: Table,
        key: &[u8],
        value: Option<&[u8]>,
        old: &mut Vec<u8>,
    ) -> Result<bool> {
        self.change(table, key, value, |before| {
            old.clear();
            before.map(|before| old.extend_from_slice(before)).is_some()
        })
    }

    /// The same for a caller who knows what the key has.
    pub(crate) fn put(&mut self, table: Table, key: &[u8], value: Option<&[u8]>) -> Result<()> {
        self.change(table, key, value, |_| ())
    }

    fn change<R>(
        &mut self,
        table: Table,
        key: &[u8],
        value: Option<&[u8]>,
        see: impl FnOnce(Option<&[u8]>) -> R,
    ) -> Result<R> {
        self.open(table)?;
        self.transaction.note(table, key);
        let opened = self.tables[table as usize].get_mut().ok_or_else(|| Error::damaged("a table is closed"))?;
        self.transaction.guard().run(|| {
            let before = match value {
                Some(value) => opened.insert(key, value)?,
                None => opened.remove(key)?,
            };
            Ok(see(before.as_ref().map(redb::AccessGuard::value)))
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
