//! The rows of `meta` and of the other unversioned tables: their names and how they are read.

use crate::engine::format::codec;
use crate::engine::format::digest::Stats;
use crate::engine::format::epoch::{Epoch, Epochs};
use crate::engine::format::frame::{self, State};
use crate::engine::format::schema::{CollectionId, Table};
use crate::engine::records::{KeyRange, Records, Row, scan_rows};
use crate::engine::rows::WriteRows;
use crate::error::{Error, Result};

/// The row of the file format's version.
pub(crate) const FORMAT: &[u8] = b"format";
/// The row with the open epoch, and the earliest and newest point.
pub(crate) const EPOCHS: &[u8] = b"epochs";
/// The row of the log: up to where the file has it.
pub(crate) const WAL: &[u8] = b"wal";
/// The row of a store that receives the commits of another one: from where, and how far it has come.
pub(crate) const STANDBY: &[u8] = b"standby";
/// The row of a store whose history another machine goes on with.
pub(crate) const FENCE: &[u8] = b"fence";
/// The row of the host that wrote last.
pub(crate) const HOST: &[u8] = b"host";
/// The row of the feed: how far a replica is.
pub(crate) const FEED: &[u8] = b"feed";
/// The row of the place of a store in its replica, in the replica's own form.
pub(crate) const FEED_POSITION: &[u8] = b"feed position";
/// Rows of commits that a replica does not have yet.
pub(crate) const OUTBOX: &[u8] = b"outbox/";
/// Rows of the times at which sessions were last alive, which a layer above keeps here.
pub(crate) const ALIVE: &[u8] = b"alive/";
/// Rows of the keys of the service, which a layer above keeps here. A repair looks for their names.
pub(crate) const KEY: &[u8] = b"key/";
/// The counter of the users' collections.
pub(crate) const COLLECTIONS: &str = "collections";
/// Rows of counters.
const COUNTER: &[u8] = b"counter/";
/// Rows of the statistics of collections.
pub(crate) const STATS: &[u8] = b"stats/";
/// Rows of forgotten points that are still being merged into the next one.
const MERGING: &[u8] = b"merging/";
/// The row of the window of the history of every commit, in milliseconds, as it was last asked for.
pub(crate) const HISTORY: &[u8] = b"history";

/// `stats/` and the collection.
pub(crate) fn stats_key(collection: CollectionId) -> Vec<u8> {
    [STATS, &collection.0.to_be_bytes()[..]].concat()
}

/// Whether the engine itself writes a row of `meta` when it rebuilds a store: all but counters and what the layers
/// above keep there.
pub(crate) fn is_rebuilt(key: &[u8]) -> bool {
    [FORMAT, EPOCHS, HOST, WAL, FEED, FEED_POSITION, STANDBY, FENCE].contains(&key)
        || [STATS, MERGING, OUTBOX].iter().any(|prefix| key.starts_with(prefix))
}

/// The collection whose statistics a row holds; none for another row.
pub(crate) fn stats_collection(key: &[u8]) -> Option<CollectionId> {
    let number = key.strip_prefix(STATS)?;
    number.try_into().map(|number| CollectionId(u32::from_be_bytes(number))).ok()
}

/// `counter/` and its name.
pub(crate) fn counter_key(counter: &str) -> Vec<u8> {
    [COUNTER, counter.as_bytes()].concat()
}

/// Whether a row is of a counter.
pub(crate) fn is_counter(key: &[u8]) -> bool {
    key.starts_with(COUNTER)
}

/// The keys of counters.
#[cfg(any(test, feature = "replica"))]
pub(crate) fn counters() -> KeyRange {
    KeyRange::prefix(COUNTER)
}

/// `alive/` and the session.
pub(crate) fn alive_key(session: u64) -> Vec<u8> {
    [ALIVE, &session.to_be_bytes()].concat()
}

/// `merging/` and the forgotten point.
pub(crate) fn merging_key(epoch: Epoch) -> Vec<u8> {
    [MERGING, &epoch.to_key()].concat()
}

/// The payload of a row of an unversioned table.
pub(crate) fn payload(table: Table, key: &[u8], bytes: &[u8]) -> Result<Vec<u8>> {
    match frame::decode(table.place(key), bytes)?.state {
        State::Present(payload) => Ok(payload.to_vec()),
        _ => Err(Error::damaged(format!("a row has no content: {}", table.place(key)))),
    }
}

/// Writes a row of `meta` as it is, beside the transaction of a closure (F2: its birth is 0).
pub(crate) fn put(rows: &mut WriteRows<'_>, key: &[u8], payload: &[u8]) -> Result<()> {
    let (mut bytes, mut old) = (Vec::new(), Vec::new());
    frame::encode(&mut bytes, Table::Meta.place(key), Epoch(0), State::Present(payload));
    rows.replace(Table::Meta, key, Some(&bytes), &mut old).map(drop)
}

/// Makes the file one that only programs which know that version of the format open.
pub(crate) fn raise_format(rows: &mut WriteRows<'_>, version: u64) -> Result<()> {
    let stored = rows.get(Table::Meta, FORMAT)?.map(|bytes| payload(Table::Meta, FORMAT, &bytes)).transpose()?;
    match stored.map(|bytes| number(&bytes)).transpose()? {
        Some(stored) if stored >= version => Ok(()),
        _ => put(rows, FORMAT, &version.to_be_bytes()),
    }
}

/// The payloads of rows of an unversioned table.
pub(crate) fn payloads(table: Table, rows: Vec<Row>) -> Result<Vec<Row>> {
    rows.into_iter().map(|(key, bytes)| payload(table, &key, &bytes).map(|payload| (key, payload))).collect()
}

/// The stored bytes of the row of epochs, read.
pub(crate) fn epochs(bytes: Option<&[u8]>) -> Result<Epochs> {
    let bytes = bytes.ok_or_else(|| Error::damaged("the row of epochs is missing: table=meta key=epochs"))?;
    codec::decode(&payload(Table::Meta, EPOCHS, bytes)?)
}

/// The statistics of a collection now.
pub(crate) fn stats<R: Records + ?Sized>(records: &R, collection: CollectionId) -> Result<Stats> {
    let row = records.row(Table::Meta, &stats_key(collection))?;
    row.map_or(Ok(Stats::default()), |bytes| codec::decode(&bytes))
}

/// The statistics now of every collection that was ever written to.
pub(crate) fn all_stats<R: Records + ?Sized>(records: &R) -> Result<Vec<(CollectionId, Stats)>> {
    scan_rows(records, Table::Meta, KeyRange::prefix(STATS))
        .map(|row| {
            let (key, bytes) = row?;
            let id = key.last_chunk::<4>().ok_or_else(|| Error::damaged("a row of statistics has a short key"))?;
            Ok((CollectionId(u32::from_be_bytes(*id)), codec::decode(&bytes)?))
        })
        .collect()
}

/// The last number that a counter gave out.
pub(crate) fn counter<R: Records + ?Sized>(records: &R, counter: &str) -> Result<u64> {
    records.row(Table::Meta, &counter_key(counter))?.map_or(Ok(0), |bytes| number(&bytes))
}

/// The finding when a number is in use that a counter is still to give out; none when there is no such number.
pub(crate) fn counter_behind<R: Records + ?Sized>(records: &R, name: &str, highest: u64) -> Result<Option<String>> {
    let given = counter(records, name)?;
    let what = "a counter is behind a number that is in use, and would give it out again";
    Ok((given < highest).then(|| format!("{what}; repair the store: counter={name} given={given} in_use={highest}")))
}

/// The users' collections by name.
pub(crate) fn user_collections<R: Records + ?Sized>(records: &R) -> Result<Vec<(String, CollectionId)>> {
    scan_rows(records, Table::Collections, KeyRange::all())
        .map(|row| {
            let (name, bytes) = row?;
            let name = String::from_utf8(name).map_err(|_| Error::damaged("the name of a collection is not UTF-8"))?;
            Ok((name, CollectionId::of_bytes(&bytes)?))
        })
        .collect()
}

/// The forgotten points between two epochs that are still being merged, ascending.
pub(crate) fn merging_between<R: Records + ?Sized>(records: &R, after: Epoch, before: Epoch) -> Result<Vec<Epoch>> {
    let range = KeyRange::prefix(MERGING).after(&merging_key(after)).until(&merging_key(before));
    if range.is_empty() {
        return Ok(Vec::new());
    }
    scan_rows(records, Table::Meta, range).map(|row| merging_epoch(&row?.0)).collect()
}

/// The newest forgotten point that is still being merged.
pub(crate) fn last_merging<R: Records + ?Sized>(records: &R) -> Result<Option<Epoch>> {
    let last = records.rows(Table::Meta, &KeyRange::prefix(MERGING).backward(), 1)?;
    last.first().map(|(key, _)| merging_epoch(key)).transpose()
}

fn merging_epoch(key: &[u8]) -> Result<Epoch> {
    let epoch = key.get(MERGING.len()..).and_then(Epoch::split_key);
    epoch.map(|(epoch, _)| epoch).ok_or_else(|| Error::damaged("a row of a merging point has a short key"))
}

/// A big-endian number.
pub(crate) fn number(bytes: &[u8]) -> Result<u64> {
    let bytes = <[u8; 8]>::try_from(bytes).map_err(|_| Error::damaged("a stored number is not 8 bytes long"))?;
    Ok(u64::from_be_bytes(bytes))
}
