//! The write transaction: the one place where a row changes, and the batch of closures that share it.

use std::collections::BTreeMap;

use super::found::Found;
use crate::engine::acting::Acting;
use crate::engine::format::codec;
use crate::engine::format::digest::Stats;
use crate::engine::format::epoch::{Epoch, Epochs};
use crate::engine::format::frame::{self, State};
use crate::engine::format::schema::{CollectionId, Table};
use crate::engine::format::wakes::Wakes;
use crate::engine::meta;
use crate::engine::opening::context::Context;
use crate::engine::records::Records;
use crate::engine::rows::{FIRST_PAGE, KeyRange, WriteRows, next_page};
use crate::error::{Error, ErrorKind, Result};

/// A key may be this long, in bytes.
pub(crate) const MAX_KEY: usize = 4096;

/// A transaction in progress: what a closure given to [`Store::write`](crate::Store::write) works on.
///
/// Reads see the transaction's own writes. Everything is committed together, or not at all.
pub struct WriteTx<'a> {
    pub(super) stored: WriteRows<'a>,
    pub(crate) batch: &'a mut Batch,
    pub(crate) context: &'a Context,
    /// The overwritten rows, in order; none when the whole transaction is aborted on failure.
    overwritten: Option<Vec<Overwritten>>,
    /// Rows changed so far.
    pub(super) row_changes: u64,
    /// Set once a put or remove has failed half-way. Then nothing of the closure is committed, whatever it returns.
    half_done: bool,
    /// For whom the closure writes.
    pub(crate) acting: Option<Acting>,
    pub(super) buffers: Buffers,
    spare: Spare,
}

/// The state that the closures of one transaction share; written to `meta` before the commit.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub(crate) epochs: Epochs,
    pub(crate) stored_epochs: Epochs,
    pub(crate) stats: BTreeMap<CollectionId, Stats>,
    pub(crate) counters: BTreeMap<&'static str, u64>,
    pub(crate) changed: bool,
    /// Whether there are events among the changes.
    pub(crate) has_events: bool,
    /// Whether the write is answered from the disk alone, whatever its caller chose.
    pub(crate) is_for_disk: bool,
    /// Whether it says that the store was overtaken, which a process that writes nothing else writes.
    pub(crate) is_fence: bool,
    /// The waiting callers that the changes concern.
    pub(crate) wakes: Wakes,
}

struct Overwritten {
    pub(super) table: Table,
    pub(super) key: Vec<u8>,
    pub(super) value: Option<Vec<u8>>,
}

/// Kept between calls, so that a put allocates little.
#[derive(Default)]
pub(super) struct Buffers {
    pub(super) row: Vec<u8>,
    pub(super) frame: Vec<u8>,
    pub(super) old: Vec<u8>,
    pub(super) undo: Vec<u8>,
}

/// The same for rows that have no versions.
#[derive(Default)]
struct Spare {
    pub(super) frame: Vec<u8>,
    pub(super) old: Vec<u8>,
}

impl Batch {
    /// The state that a transaction begins with.
    pub(crate) fn begin(rows: &WriteRows<'_>) -> Result<Self> {
        let epochs = meta::epochs(rows.get(Table::Meta, meta::EPOCHS)?.as_deref())?;
        Ok(Self {
            epochs,
            stored_epochs: epochs,
            stats: BTreeMap::new(),
            counters: BTreeMap::new(),
            changed: false,
            has_events: false,
            is_for_disk: false,
            is_fence: false,
            wakes: Wakes::default(),
        })
    }
}

impl<'a> WriteTx<'a> {
    pub(crate) fn new(stored: WriteRows<'a>, batch: &'a mut Batch, context: &'a Context, can_take_back: bool) -> Self {
        Self {
            stored,
            batch,
            context,
            overwritten: can_take_back.then(Vec::new),
            row_changes: 0,
            half_done: false,
            acting: None,
            buffers: Buffers::default(),
            spare: Spare::default(),
        }
    }

    /// The rows, with what was written.
    pub(crate) fn into_rows(self) -> WriteRows<'a> {
        self.stored
    }

    /// The open epoch, and the earliest and newest point.
    pub(crate) fn epochs(&self) -> Epochs {
        self.batch.epochs
    }

    /// Writes a record, whatever its length, and what the index derives from it.
    ///
    /// # Errors
    ///
    /// `Invalid` when the key is too long, `Damaged` when the record that it would overwrite is damaged; only repair
    /// heals that.
    pub(crate) fn put(&mut self, collection: CollectionId, key: &[u8], payload: &[u8]) -> Result<()> {
        if key.len() > MAX_KEY {
            return Err(Error::invalid(format!("a key is too long: bytes={} max={MAX_KEY}", key.len())));
        }
        self.whole_or_refused(|tx| {
            let found = tx.reindex(collection, key, Some(payload))?;
            tx.put_value(collection, key, payload, found)
        })
    }

    /// Removes a record and its index rows; says whether there was one.
    ///
    /// # Errors
    ///
    /// `Damaged` when the record is damaged.
    pub(crate) fn remove(&mut self, collection: CollectionId, key: &[u8]) -> Result<bool> {
        self.whole_or_refused(|tx| {
            let found = tx.reindex(collection, key, None)?;
            tx.remove_value(collection, key, found)
        })
    }

    /// Calls `change` with every record of a collection, fetched in pages, so that it can write meanwhile. Records that
    /// it puts or removes on the way may or may not be seen.
    pub(crate) fn each_to_change(
        &mut self,
        collection: CollectionId,
        mut change: impl FnMut(&mut Self, &[u8], &[u8]) -> Result<()>,
    ) -> Result<()> {
        let (mut rest, mut limit) = (Some(KeyRange::all()), FIRST_PAGE);
        while rest.is_some() {
            let page = next_page(&mut rest, &mut limit, |range, limit| self.part(collection, range, limit))?;
            page.iter().try_for_each(|(key, payload)| change(self, key, payload))?;
        }
        Ok(())
    }

    /// Runs a change of several rows. When it fails between them, the transaction is refused at its end, so that a
    /// closure which goes on after the error does not commit half of a change.
    pub(crate) fn whole_or_refused<R>(&mut self, change: impl FnOnce(&mut Self) -> Result<R>) -> Result<R> {
        let before = self.row_changes;
        let done = change(self);
        self.half_done |= done.is_err() && self.row_changes != before;
        done
    }

    /// Rows changed so far.
    pub(in crate::engine) fn row_changes(&self) -> u64 {
        self.row_changes
    }

    /// Lets nothing of the closure be committed, whatever it returns, if its change could not be written down.
    pub(crate) fn refuse_at_the_end_if(&mut self, failed: bool) {
        self.half_done |= failed;
    }

    /// Refuses a transaction in which a change stopped half-way.
    ///
    /// # Errors
    ///
    /// `NotCommitted` for such a transaction.
    pub(crate) fn refuse_half_done(&self) -> Result<()> {
        if self.half_done {
            let message = "nothing was committed: a change failed half-way, and the transaction continued";
            return Err(Error::new(ErrorKind::NotCommitted, message));
        }
        Ok(())
    }

    /// The statistics of a collection, to be changed.
    pub(super) fn stats_mut(&mut self, collection: CollectionId) -> Result<&mut Stats> {
        // A bot that is registered otherwise may be able to do what it could not.
        self.batch.wakes.everybody |= collection == CollectionId::REGISTRY;
        if !self.batch.stats.contains_key(&collection) {
            let stats = meta::stats(self, collection)?;
            self.batch.stats.insert(collection, stats);
        }
        Ok(self.batch.stats.entry(collection).or_default())
    }

    /// Writes a row of an unversioned table (F2: its birth is 0).
    pub(crate) fn put_row(&mut self, table: Table, key: &[u8], payload: &[u8]) -> Result<()> {
        if table == Table::Events {
            self.batch.has_events = true;
            // The event log outside of the store gets it too, and no power cut takes it back there.
            self.wait_for_disk();
        }
        let mut bytes = std::mem::take(&mut self.spare.frame);
        frame::encode(&mut bytes, table.place(key), Epoch(0), State::Present(payload));
        let done = self.insert(table, key, &bytes);
        self.spare.frame = bytes;
        done
    }

    /// Removes a row of an unversioned table; says whether there was one.
    pub(crate) fn remove_row(&mut self, table: Table, key: &[u8]) -> Result<bool> {
        self.delete(table, key)
    }

    /// Lets this write wait for the disk, whatever its caller chose, since a power cut must not take it back.
    pub(crate) fn wait_for_disk(&mut self) {
        self.batch.is_for_disk = true;
    }

    /// The next number of a counter: 1, 2, 3 and so on. It never goes back, whatever is restored (S6).
    pub(crate) fn next(&mut self, counter: &'static str) -> Result<u64> {
        let current = match self.batch.counters.get(counter) {
            Some(current) => *current,
            None => meta::counter(self, counter)?,
        };
        let next = current
            .checked_add(1)
            .ok_or_else(|| Error::damaged(format!("a counter is exhausted: counter={counter}")))?;
        self.batch.counters.insert(counter, next);
        self.batch.changed = true;
        Ok(next)
    }

    /// The number of a user's collection, given out now when the name is new.
    ///
    /// # Errors
    ///
    /// `Invalid` when the name is that of a built-in collection.
    pub(crate) fn user_collection(&mut self, name: &str) -> Result<CollectionId> {
        if CollectionId::built_in(name).is_some() {
            return Err(Error::invalid(format!(
                "the name belongs to a built-in collection; choose another: name={name}"
            )));
        }
        if let Some(id) = self.collection_id(name)? {
            return Ok(id);
        }
        let number = self.next(meta::COLLECTIONS)?.checked_add(u64::from(CollectionId::FIRST_USER.0) - 1);
        let id = number.and_then(|number| u32::try_from(number).ok());
        let id = CollectionId(id.ok_or_else(|| Error::damaged("the numbers of collections are exhausted"))?);
        self.put_row(Table::Collections, name.as_bytes(), &id.0.to_be_bytes())?;
        Ok(id)
    }

    /// Writes what the closures of the transaction have in common.
    pub(crate) fn flush(&mut self) -> Result<()> {
        for (collection, stats) in std::mem::take(&mut self.batch.stats) {
            self.put_row(Table::Meta, &meta::stats_key(collection), &codec::encode(&stats)?)?;
        }
        for (counter, value) in std::mem::take(&mut self.batch.counters) {
            self.put_row(Table::Meta, &meta::counter_key(counter), &value.to_be_bytes())?;
        }
        if self.batch.epochs != self.batch.stored_epochs {
            let epochs = codec::encode(&self.batch.epochs)?;
            self.put_row(Table::Meta, meta::EPOCHS, &epochs)?;
            self.batch.stored_epochs = self.batch.epochs;
        }
        Ok(())
    }

    /// Takes back every change that this closure made, the newest first.
    pub(crate) fn take_back(&mut self) -> Result<()> {
        for Overwritten { table, key, value } in self.overwritten.take().unwrap_or_default().into_iter().rev() {
            match value {
                Some(value) => self.insert(table, &key, &value)?,
                None => drop(self.delete(table, &key)?),
            }
        }
        Ok(())
    }

    /// The stored rows, with those of this transaction.
    pub(crate) fn stored(&self) -> &WriteRows<'a> {
        &self.stored
    }

    /// Stores a row as it is.
    pub(crate) fn insert(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<()> {
        self.replace_unseen(table, key, Some(value)).map(drop)
    }

    /// Deletes a row; says whether there was one.
    pub(crate) fn delete(&mut self, table: Table, key: &[u8]) -> Result<bool> {
        self.replace_unseen(table, key, None)
    }

    fn replace_unseen(&mut self, table: Table, key: &[u8], value: Option<&[u8]>) -> Result<bool> {
        let mut old = std::mem::take(&mut self.spare.old);
        let done = self.replace(table, key, value, &mut old);
        self.spare.old = old;
        done
    }

    /// The one place where a row changes: stores or deletes it, leaves what it was in `old` and in the list of
    /// overwritten rows.
    pub(in crate::engine) fn replace(
        &mut self,
        table: Table,
        key: &[u8],
        value: Option<&[u8]>,
        old: &mut Vec<u8>,
    ) -> Result<bool> {
        let existed = self.stored.replace(table, key, value, old)?;
        if existed || value.is_some() {
            self.note_overwritten(table, key, existed.then_some(&**old));
        }
        Ok(existed)
    }

    /// The same with a row of `live` that this transaction has read, and whose bytes need not be read again.
    pub(super) fn replace_found(&mut self, key: &[u8], value: Option<&[u8]>, found: &Found) -> Result<bool> {
        let old = found.bytes();
        if old.is_some() || value.is_some() {
            self.stored.put_over(Table::Live, key, old.is_some(), value)?;
            self.note_overwritten(Table::Live, key, old);
        }
        Ok(old.is_some())
    }

    fn note_overwritten(&mut self, table: Table, key: &[u8], old: Option<&[u8]>) {
        self.batch.changed = true;
        self.row_changes += 1;
        if let Some(overwritten) = &mut self.overwritten {
            overwritten.push(Overwritten { table, key: key.to_vec(), value: old.map(<[u8]>::to_vec) });
        }
    }
}
