//! The outbox: the rows of commits that redb has and the replica does not, one row of `meta` for each commit, written
//! in the transaction of the commit.

use super::told::Told;
use crate::engine::feed::marks::changed_keys::ChangedKeys;
use crate::engine::feed::marks::row::{FeedRow, is_local, outbox_key, travelling};
use crate::engine::format::row_change::RowChange;
use crate::engine::format::schema::Table;
use crate::engine::meta;
use crate::engine::redb_file::Transaction;
use crate::engine::rows::{KeyRange, WriteRows};
use crate::engine::wal::{Overlay, row_number};
use crate::error::Result;

/// A commit with more bytes than this is not kept: a new base is as short a way.
const MOST_OF_A_COMMIT: usize = 16 << 20;
/// With more bytes than this, nothing is kept any more: the replica has been away for long.
const MOST_BYTES: u64 = 256 << 20;
/// So many rows are removed with one commit.
const REMOVED_AT_A_TIME: usize = 4096;

/// Whether the rows of a transaction that begins are to be kept.
pub(in crate::engine) fn is_on(rows: &WriteRows<'_>) -> Result<bool> {
    Ok(rows.get(Table::Meta, meta::FEED)?.is_some())
}

/// R1: keeps entries of the log that a transaction has just moved into redb, unless the replica has them.
pub(in crate::engine) fn keep_entries(rows: &mut WriteRows<'_>, moved: &Overlay, told: Option<&Told>) -> Result<()> {
    let Some(feed) = FeedRow::of(rows)? else { return Ok(()) };
    let mut outbox = Outbox { rows, feed, kept: 0, has_old: false };
    outbox.take_told(told)?;
    outbox.remove_old()?;
    let (known, log_number) = (outbox.feed.kept_from, outbox.feed.log_number);
    match moved.entries(log_number) {
        Some(entries) => {
            for (number, bytes) in entries {
                let sequence = outbox.feed.sequence_of(number);
                if sequence > known
                    && let Some(bytes) = travelling(bytes)?
                {
                    outbox.keep(sequence, &bytes)?;
                }
            }
        }
        // R2: they were not kept while they were in memory.
        None => outbox.feed.kept_from = known.max(outbox.feed.sequence_of(moved.number())),
    }
    outbox.feed.sequence = outbox.feed.sequence_of(moved.number());
    outbox.feed.log_number = log_number.max(moved.number());
    outbox.take_told(told)?;
    outbox.remove_old()?;
    outbox.write()
}

/// R1: keeps the rows that a transaction of redb has changed itself. `number` is that of the log behind its commit,
/// where there is a log. Says whether the feed is on.
pub(in crate::engine) fn keep_commit(transaction: &Transaction, number: Option<u64>, told: &Told) -> Result<bool> {
    let changed = transaction.take_changed_keys();
    let mut rows = WriteRows::of(transaction);
    let Some(feed) = FeedRow::of(&rows)? else { return Ok(false) };
    let number = match number {
        Some(number) => number,
        None => row_number(rows.get(Table::Meta, meta::WAL)?.as_deref())?,
    };
    let begins = feed.begins();
    let told = (!begins).then_some(told);
    let mut outbox = Outbox { rows: &mut rows, feed, kept: 0, has_old: false };
    if !begins {
        let moved_on = number.saturating_sub(outbox.feed.log_number).max(1);
        outbox.feed.sequence = outbox.feed.sequence.saturating_add(moved_on);
    }
    outbox.feed.log_number = number;
    let sequence = outbox.feed.sequence;
    outbox.take_told(told)?;
    outbox.remove_old()?;
    match changed.map(|changed| rows_of(outbox.rows, &changed)).transpose()?.flatten() {
        _ if begins => {}
        // Only what says something about the file.
        Some(bytes) if bytes.is_empty() => {}
        Some(bytes) => outbox.keep(sequence, &bytes)?,
        // R2: nobody knows all of them.
        None => outbox.feed.kept_from = sequence,
    }
    outbox.remove_old()?;
    outbox.write()?;
    Ok(true)
}

/// The changed rows as they are now; none when they are too many.
fn rows_of(rows: &WriteRows<'_>, changed: &ChangedKeys) -> Result<Option<Vec<u8>>> {
    let Some(keys) = changed.keys() else { return Ok(None) };
    let mut bytes = Vec::new();
    for (table, key) in keys.filter(|(table, key)| !is_local(*table, key)) {
        let value = rows.get(table, key)?;
        // Whether the key was there before is not known any more, and a replica need not know.
        let change = RowChange { table, key, was_there: true, value: value.as_deref() };
        if !change.push_to(&mut bytes) || bytes.len() > MOST_OF_A_COMMIT {
            return Ok(None);
        }
    }
    Ok(Some(bytes))
}

/// The outbox in a transaction.
struct Outbox<'r, 't> {
    rows: &'r mut WriteRows<'t>,
    feed: FeedRow,
    /// The rows that were added.
    kept: usize,
    /// Whether rows are left that nobody needs.
    has_old: bool,
}

impl Outbox<'_, '_> {
    fn keep(&mut self, sequence: u64, bytes: &[u8]) -> Result<()> {
        let total = self.feed.bytes.saturating_add(bytes.len() as u64);
        // R2: rows that nobody needs, and that are still to be removed, are no reason.
        if total > MOST_BYTES && !self.has_old {
            self.feed.kept_from = sequence;
            return Ok(());
        }
        meta::put(self.rows, &outbox_key(sequence), bytes)?;
        self.feed.bytes = total;
        self.kept += 1;
        Ok(())
    }

    /// Takes over how far the replica is.
    fn take_told(&mut self, told: Option<&Told>) -> Result<()> {
        let Some(told) = told.and_then(|told| told.beyond(self.feed.id, self.feed.shipped)) else { return Ok(()) };
        // Nobody has commits that the store does not have.
        if told.sequence <= self.feed.sequence {
            self.feed.shipped = told.sequence;
            let written = self.rows.get(Table::Meta, meta::FEED_POSITION)?;
            let written = written.map(|bytes| meta::payload(Table::Meta, meta::FEED_POSITION, &bytes));
            if !matches!(written, Some(Ok(written)) if written == *told.position) {
                meta::put(self.rows, meta::FEED_POSITION, &told.position)?;
            }
        }
        self.feed.kept_from = self.feed.kept_from.max(self.feed.shipped);
        Ok(())
    }

    /// Removes rows that nobody needs, at least as many as were added.
    fn remove_old(&mut self) -> Result<()> {
        let range = KeyRange::prefix(meta::OUTBOX).until(&outbox_key(self.feed.kept_from.saturating_add(1)));
        let mut left = REMOVED_AT_A_TIME.max(2 * self.kept);
        let mut old = Vec::new();
        loop {
            let part = self.rows.part(Table::Meta, &range, left)?;
            self.has_old = !part.is_empty() && part.len() >= left;
            if part.is_empty() {
                return Ok(());
            }
            left -= part.len().min(left);
            for (key, _) in part {
                self.rows.replace(Table::Meta, &key, None, &mut old)?;
                // Damage in a row that nobody needs keeps nobody from writing.
                let bytes = meta::payload(Table::Meta, &key, &old).map_or(old.len(), |payload| payload.len());
                self.feed.bytes = self.feed.bytes.saturating_sub(bytes as u64);
            }
            if left == 0 {
                return Ok(());
            }
        }
    }

    fn write(self) -> Result<()> {
        self.feed.write(self.rows)
    }
}
