//! The rows of a transaction.

use super::paging::PAGE_BYTES;
use super::range::{KeyRange, Row};
use crate::engine::format::schema::Table;
use crate::engine::redb_file::{OpenTable, ReadTables, RedbGuard, Tables, Transaction, WriteTables};
use crate::error::Result;

/// The rows of a transaction.
pub(crate) struct Rows<B> {
    pub(super) base: B,
}

/// The rows of one commit.
pub(crate) type ReadRows = Rows<ReadTables>;

/// The rows of a write transaction, with its own writes.
pub(crate) type WriteRows<'a> = Rows<WriteTables<'a>>;

impl<B: Tables> Rows<B> {
    /// The value of a key.
    pub(crate) fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let opened = self.base.open(table)?;
        self.base.guard().read(|| opened.value_of(key))
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
        self.base.guard().read(|| opened.count())
    }

    /// The bytes of the pages that the rows of a table are on, with what is unused on them. Reads every page.
    #[cfg(feature = "transfer")]
    pub(crate) fn used_bytes(&self, table: Table) -> Result<u64> {
        let opened = self.base.open(table)?;
        self.base.guard().read(|| opened.used_bytes())
    }
}

impl ReadRows {
    pub(crate) fn new(base: ReadTables) -> Self {
        Self { base }
    }
}

impl<'a> WriteRows<'a> {
    pub(crate) fn of(transaction: &'a Transaction) -> Self {
        Self { base: WriteTables::new(transaction) }
    }

    /// Puts a value under a key, or, with none, deletes the key. Leaves what the key had in `old`, and says whether there
    /// was something.
    pub(crate) fn replace(
        &mut self,
        table: Table,
        key: &[u8],
        value: Option<&[u8]>,
        old: &mut Vec<u8>,
    ) -> Result<bool> {
        self.base.replace(table, key, value, old)
    }
}
