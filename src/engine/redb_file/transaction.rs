//! A write transaction in progress.

use redb::WriteTransaction;

use super::definition::definition;
use super::{Failure, RedbGuard};
use crate::engine::format::schema::Table;
use crate::engine::session::process::Owned;
use crate::error::Result;

/// A write transaction, to be committed or aborted. A forked child does neither.
pub(crate) struct Transaction {
    inner: Owned<WriteTransaction>,
    guard: RedbGuard,
}

impl Transaction {
    pub(super) fn new(inner: WriteTransaction, guard: RedbGuard) -> Self {
        Self { inner: Owned::new(inner, guard.process()), guard }
    }

    /// Saves the allocator's state with the commit, so that opening after a crash takes no walk of the file. The commit has
    /// two phases then.
    pub(crate) fn save_allocator_state(&mut self) {
        self.inner.set_quick_repair(true);
    }

    /// Syncs the changes. After a failure it is unknown whether they reached the disk.
    ///
    /// # Errors
    ///
    /// As [`RedbGuard::run`], with the errors of redb.
    pub(crate) fn commit(self) -> Result<()> {
        let Self { inner, guard } = self;
        guard.run(|| Ok(inner.into_inner().commit()?))
    }

    /// Drops the changes.
    ///
    /// # Errors
    ///
    /// As [`RedbGuard::run`], with the errors of redb, which then refuses all further work by itself.
    pub(crate) fn abort(self) -> Result<()> {
        let Self { inner, guard } = self;
        guard.run(|| Ok(inner.into_inner().abort()?))
    }

    /// Calls into redb go through this guard.
    pub(crate) fn guard(&self) -> &RedbGuard {
        &self.guard
    }

    pub(super) fn open_table(&self, table: Table) -> Result<redb::Table<'_, &'static [u8], &'static [u8]>, Failure> {
        Ok(self.inner.open_table(definition(table))?)
    }
}
