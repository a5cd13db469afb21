//! Filling a standby with the rows of one moment of its source, and applying the commits behind it.
//!
//! All content of a standby was compared with its source: the rows in `live` of every collection that changed must add
//! up to the count, the bytes and the digest that the source wrote into the same commit. Nothing of a step in which
//! they do not is kept.

use std::path::Path;
use std::sync::Arc;

use super::counted::{Counted, WholeState, verify};
use super::standby::{STANDBY, Standby};
use crate::clock::Clock;
use crate::engine::commit::{Outcome, Size};
use crate::engine::feed::marks::states::States;
use crate::engine::format::index::IndexRule;
use crate::engine::format::row_change::{RowChange, changes};
use crate::engine::format::schema::{Place, Table};
use crate::engine::meta;
use crate::engine::opening::options::{Options, Sharing, VerifyOnOpen};
use crate::engine::redb_file::create_empty;
use crate::engine::store::Store;
use crate::engine::write::WriteTx;
use crate::error::{Error, Result};
use crate::files::Rights;

/// A standby, open to get rows.
pub(crate) struct Receiver {
    store: Store,
    /// The content so far; none once it is whole.
    filling: Option<WholeState>,
}

/// One commit of the source.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReceivedCommit<'a> {
    /// The rows that it changed.
    pub(crate) rows: &'a [u8],
    /// The [digest](States::digest) of the state after it, if that is known from elsewhere too.
    pub(crate) states: Option<[u8; 32]>,
}

impl Receiver {
    /// Makes a new file, which nobody may use before it has its name. It has no content until [`Receiver::finish`].
    ///
    /// # Errors
    ///
    /// `Io`, `Full`; `Io` when there is a file.
    pub(crate) fn create(
        path: &Path,
        from: &str,
        clock: Arc<dyn Clock>,
        indexes: &'static [IndexRule],
    ) -> Result<Self> {
        create_empty(path, Rights::new_at(path)).map_err(|failure| Error::from(failure).context(path.display()))?;
        // A file that a kill leaves half filled is made anew, so its commits need one phase only.
        let options = Store::options().sharing(Sharing::Exclusive).one_phase_commits(true).reserve(false);
        let options = Options { clock, ..options }.verify_on_open(VerifyOnOpen::Never);
        let store = options.create(false).open_with(path, indexes)?;
        let row = Standby { from: from.to_owned(), position: None };
        store.alone_in_standby(Size::Large, |tx| {
            tx.refuse_older_programs()?;
            STANDBY.put(tx, &row).map(Outcome::Commit)
        })?;
        Ok(Self { store, filling: Some(WholeState::default()) })
    }

    /// Opens a standby to apply more commits. Other processes can read it meanwhile.
    ///
    /// # Errors
    ///
    /// `Conflict` when it is no standby, or was not finished; as [`Options::open`](crate::Options::open).
    pub(crate) fn open(path: &Path, options: Options, indexes: &'static [IndexRule]) -> Result<Self> {
        let receiver = Self { store: options.create(false).open_with(path, indexes)?, filling: None };
        receiver.position().map_err(|error| error.context(path.display()))?;
        Ok(receiver)
    }

    /// Adds rows of the source at one moment, each of them once, in one transaction.
    ///
    /// # Errors
    ///
    /// `Damaged` for rows that no source has, `Conflict` once it is finished, `Io`, `Full`. Then the file is of no use.
    pub(crate) fn put(&mut self, rows: &[u8]) -> Result<()> {
        self.filling.as_mut().ok_or_else(has_content)?.count(rows)?;
        self.store
            .alone_in_standby(Size::Large, |tx| changes(rows).try_for_each(|row| fill(tx, &row?)).map(Outcome::Commit))
    }

    /// Ends the filling: everything of that moment has come. Compares the content of every collection.
    ///
    /// # Errors
    ///
    /// `Damaged` when the content differs, `Conflict` when it was finished before, `Io`, `Full`.
    pub(crate) fn finish(&mut self, states: [u8; 32], position: &[u8]) -> Result<()> {
        self.filling.take().ok_or_else(has_content)?.compare(states)?;
        self.store.alone_in_standby(Size::Small, |tx| move_to(tx, position).map(Outcome::Commit))
    }

    /// Applies commits in one durable transaction, which also has the new position: all of them or none.
    ///
    /// # Errors
    ///
    /// `Damaged` when the content differs from the source's after any of them, and for rows that no source has;
    /// `Conflict` when it was never finished; `Io`, `Full`.
    pub(crate) fn apply<'a>(
        &mut self,
        steps: impl IntoIterator<Item = ReceivedCommit<'a>>,
        position: &[u8],
    ) -> Result<()> {
        self.position()?;
        // R6: one transaction.
        self.store.alone_in_standby(Size::Large, |tx| {
            steps.into_iter().try_for_each(|step| apply(tx, step))?;
            move_to(tx, position).map(Outcome::Commit)
        })
    }

    /// The state of all collections.
    ///
    /// # Errors
    ///
    /// As a view.
    pub(crate) fn states(&self) -> Result<States> {
        Ok(States::new(meta::all_stats(&self.store.view()?)?))
    }

    /// How far it has come.
    ///
    /// # Errors
    ///
    /// `Conflict` when it is no standby, or was never finished; as a view.
    pub(crate) fn position(&self) -> Result<Vec<u8>> {
        let Some(row) = self.store.standby()? else { return Err(self.no_copy()?) };
        row.position.ok_or_else(|| Error::conflict("the copy was not finished; remove it, and make it anew"))
    }

    /// Why it is no copy, with what a person can do instead.
    fn no_copy(&self) -> Result<Error> {
        let is_source = self.store.feed_status()?.is_some();
        Ok(Error::conflict(match (self.store.overtaken()?, is_source) {
            (Some(fence), _) => {
                let replica = fence.replica.escape_debug();
                format!("another machine has the history of this store; make a new copy beside it: replica={replica}")
            }
            (None, true) => {
                "the store is no copy any more, or never was: it was promoted or taken over before, or began the \
                             replica; it is written to, so ship it"
                    .to_owned()
            }
            (None, false) => "the store is one of its own, and no copy of a replica".to_owned(),
        }))
    }

    /// The store, to be read.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// Closes the file.
    ///
    /// # Errors
    ///
    /// As [`Store::close`].
    pub(crate) fn close(self) -> Result<()> {
        self.store.close_file()
    }
}

/// Notes how far the standby has come.
fn move_to(tx: &mut WriteTx<'_>, position: &[u8]) -> Result<()> {
    let row = STANDBY.read(tx)?.ok_or_else(|| Error::conflict("the store is no copy of a replica any more"))?;
    STANDBY.put(tx, &Standby { position: Some(position.to_vec()), ..row })
}

fn fill(tx: &mut WriteTx<'_>, row: &RowChange<'_>) -> Result<()> {
    let is_twice = tx.replace(row.table, row.key, row.value, &mut Vec::new())?;
    // A new file has this row.
    if is_twice && (row.table, row.key) != (Table::Meta, meta::EPOCHS) {
        return Err(Error::damaged(format!("a copy of all rows has one twice: {}", row.table.place(row.key))));
    }
    Ok(())
}

fn apply(tx: &mut WriteTx<'_>, step: ReceivedCommit<'_>) -> Result<()> {
    let (mut counted, mut old) = (Counted::default(), Vec::new());
    for row in changes(step.rows) {
        let row = row?;
        verify(&row)?;
        let collection = match row.table {
            Table::Live => Some(Place::of_record(row.key).collection),
            Table::Meta => meta::stats_collection(row.key),
            _ => None,
        };
        collection.map_or(Ok(()), |collection| counted.begin(tx, collection))?;
        let was_there = tx.replace(row.table, row.key, row.value, &mut old)?;
        if row.table == Table::Live {
            if was_there {
                counted.subtract(row.key, &old)?;
            }
            row.value.map_or(Ok(()), |value| counted.add(row.key, value))?;
        }
    }
    // R7: before anything of it is on the disk.
    counted.compare(tx)?;
    step.states.map_or(Ok(()), |states| compare_states(tx, states))
}

fn has_content() -> Error {
    Error::conflict("the copy has its first content already")
}

fn compare_states(tx: &WriteTx<'_>, expected: [u8; 32]) -> Result<()> {
    if States::new(meta::all_stats(tx)?).digest() == expected {
        return Ok(());
    }
    Err(Error::damaged("the state of the copy is not the one that the source had, so nothing of it was kept"))
}

#[cfg(test)]
mod test;
