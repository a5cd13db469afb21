//! The outbox: the rows of commits that redb has and the replica does not, one row of `meta` for each commit, written in the
//! transaction of the commit.

use super::changed_keys::ChangedKeys;
use super::row::{FeedRow, is_local, outbox_key, outbox_sequence, put};
use super::told::Told;
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
    let Some(mut feed) = FeedRow::of(rows)? else { return Ok(()) };
    tell(&mut feed, told);
    let known = feed.shipped.max(feed.kept_from);
    match moved.entries(feed.log_number) {
        Some(entries) => {
            for (number, bytes) in entries {
                let sequence = feed.sequence_of(number);
                if sequence > known {
                    keep(rows, &mut feed, sequence, &bytes)?;
                }
            }
        }
        // R2: they were not kept while they were in memory.
        None => feed.kept_from = feed.kept_from.max(feed.sequence_of(moved.number())),
    }
    feed.sequence = feed.sequence_of(moved.number());
    feed.log_number = feed.log_number.max(moved.number());
    remove_shipped(rows, &mut feed)?;
    feed.write(rows)
}

/// R1: keeps the rows that a transaction of redb has changed itself. `number` is that of the log behind its commit, where there is
/// a log. Says whether the feed is on.
pub(in crate::engine) fn keep_commit(transaction: &Transaction, number: Option<u64>, told: &Told) -> Result<bool> {
    let changed = transaction.take_changed_keys();
    let mut rows = WriteRows::of(transaction);
    let Some(mut feed) = FeedRow::of(&rows)? else { return Ok(false) };
    tell(&mut feed, Some(told));
    let number = match number {
        Some(number) => number,
        None => row_number(rows.get(Table::Meta, meta::WAL)?.as_deref())?,
    };
    let begins = feed.begins();
    if !begins {
        feed.sequence = feed.sequence.saturating_add(number.saturating_sub(feed.log_number).max(1));
    }
    feed.log_number = number;
    match changed.map(|changed| rows_of(&rows, &changed)).transpose()?.flatten() {
        _ if begins => {}
        // Only what says something about the file.
        Some(bytes) if bytes.is_empty() => {}
        Some(bytes) => {
            let sequence = feed.sequence;
            keep(&mut rows, &mut feed, sequence, &bytes)?;
        }
        // R2: nobody knows all of them.
        None => feed.kept_from = feed.sequence,
    }
    remove_shipped(&mut rows, &mut feed)?;
    feed.write(&mut rows)?;
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

fn keep(rows: &mut WriteRows<'_>, feed: &mut FeedRow, sequence: u64, bytes: &[u8]) -> Result<()> {
    if feed.bytes.saturating_add(bytes.len() as u64) > MOST_BYTES {
        feed.kept_from = sequence;
        return Ok(());
    }
    put(rows, &outbox_key(sequence), bytes)?;
    feed.bytes = feed.bytes.saturating_add(bytes.len() as u64);
    Ok(())
}

/// Takes over how far the replica is.
fn tell(feed: &mut FeedRow, told: Option<&Told>) {
    if let Some((sequence, position)) = told.and_then(Told::shipped)
        && sequence >= feed.shipped
    {
        (feed.shipped, feed.position) = (sequence, position.to_vec());
    }
}

/// Removes rows that the replica has, and those that are not kept.
fn remove_shipped(rows: &mut WriteRows<'_>, feed: &mut FeedRow) -> Result<()> {
    feed.kept_from = feed.kept_from.max(feed.shipped.min(feed.sequence));
    let range = KeyRange::prefix(meta::OUTBOX).until(&outbox_key(feed.kept_from.saturating_add(1)));
    let mut old = Vec::new();
    for (key, _) in rows.part(Table::Meta, &range, REMOVED_AT_A_TIME)? {
        outbox_sequence(&key)?;
        rows.replace(Table::Meta, &key, None, &mut old)?;
        let payload = meta::payload(Table::Meta, &key, &old)?;
        feed.bytes = feed.bytes.saturating_sub(payload.len() as u64);
    }
    Ok(())
}
