//! A write transaction in progress.

use std::cell::RefCell;

use redb::WriteTransaction;

use super::definition::definition;
use super::{Failure, RedbGuard};
use crate::engine::feed::ChangedKeys;
use crate::engine::format::schema::Table;
use crate::engine::session::process::Owned;
use crate::error::Result;

/// A write transaction, to be committed or aborted. A forked child does neither.
pub(crate) struct Transaction {
    inner: Owned<WriteTransaction>,
    guard: RedbGuard,
    /// The keys that it changes, once somebody asks for them.
    changed: RefCell<Option<ChangedKeys>>,
}

impl Transaction {
    pub(super) fn new(inner: WriteTransaction, guard: RedbGuard) -> Self {
        Self { inner: Owned::new(inner, guard.process()), guard, changed: RefCell::default() }
    }

    /// Saves the allocator's state with the commit, so that opening after a crash takes no walk of the file.
    /// The commit has two phases then.
    pub(crate) fn save_allocator_state(&mut self) {
        self.inner.set_quick_repair(true);
    }

    /// Syncs the changes. After a failure it is unknown whether they reached the disk.
    ///
    /// # Errors
    ///
    /// As [`RedbGuard::run`], with the errors of redb.
    pub(crate) fn commit(self) -> Result<()> {
        let Self { inner, guard, .. } = self;
        guard.run(|| Ok(inner.into_inner().commit()?))
    }

    /// Drops the changes.
    ///
    /// # Errors
    ///
    /// As [`RedbGuard::run`], with the errors of redb, which then refuses all further work by itself.
    pub(crate) fn abort(self) -> Result<()> {
        let Self { inner, guard, .. } = self;
        guard.run(|| Ok(inner.into_inner().abort()?))
    }

    /// From now on it notes the keys that it changes.
    pub(crate) fn watch(&self) {
        self.changed.borrow_mut().get_or_insert_default();
    }

    /// The keys that it has changed since then; none when nobody asked for them.
    pub(crate) fn take_changed_keys(&self) -> Option<ChangedKeys> {
        self.changed.borrow_mut().take()
    }

    /// It changes a key.
    pub(super) fn note(&self, table: Table, key: &[u8]) {
        if let Some(changed) = &mut *self.changed.borrow_mut() {
            changed.note(table, key);
        }
    }

    /// Calls into redb go through this guard.
    pub(crate) fn guard(&self) -> &RedbGuard {
        &self.guard
    }

    pub(super) fn open_table(&self, table: Table) -> Result<redb::Table<'_, &'static [u8], &'static [u8]>, Failure> {
        Ok(self.inner.open_table(definition(table))?)
    }
}
