//! Beginning, reading and ending the feed of a store.

use std::sync::Arc;

use super::awaited::Moment;
use super::dump::Dump;
use super::told::Progress;
use crate::engine::commit::{Outcome, Size};
use crate::engine::feed::marks::row::{FeedRow, MOST, outbox_key, outbox_sequence, travelling};
use crate::engine::feed::marks::states::States;
use crate::engine::format::codec;
use crate::engine::format::epoch::Epoch;
use crate::engine::format::schema::Table;
use crate::engine::meta;
use crate::engine::rows::{KeyRange, ROWS_PER_READ, ReadRows, is_full};
use crate::engine::store::Store;
use crate::engine::view::View;
use crate::engine::write::WriteTx;
use crate::error::{Error, ErrorKind, Result};

/// One commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FedCommit {
    /// Commits are numbered upwards, with gaps.
    pub(crate) sequence: u64,
    /// The rows that it changed ([`row_change`](crate::engine::format::row_change)).
    pub(crate) rows: Arc<[u8]>,
}

/// The commits behind one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fed {
    /// They are on the disk, in order. None: there are no more.
    Commits(Vec<FedCommit>),
    /// Some of them are not kept, as they were too many or too large: a replica needs a new base.
    Gap,
}

/// The state of the feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FeedStatus {
    /// The number of the feed.
    pub(crate) id: u64,
    /// The store is at this commit, or at a number behind it.
    pub(crate) sequence: u64,
    /// The replica has everything up to this commit, as far as the store was told.
    pub(crate) shipped: u64,
    /// Its place in the replica, in the replica's own form; empty when it was never told.
    pub(crate) position: Vec<u8>,
    /// The bytes that are kept for the replica.
    pub(crate) kept_bytes: u64,
}

impl Store {
    /// Begins the feed, unless it has begun: every later commit is in it, and none before.
    /// Numbers begin behind `at_least`.
    ///
    /// # Errors
    ///
    /// As a write; `Invalid` for a number that no store reaches.
    pub(crate) fn begin_feed(&self, at_least: u64) -> Result<()> {
        if at_least > MOST / 2 {
            return Err(Error::invalid(format!("no feed begins behind this number: number={at_least}")));
        }
        let fresh = codec::encode(&FeedRow::begun_at(at_least + 1))?;
        self.locally().alone_with(Size::Large, |tx| {
            if tx.stored().get(Table::Meta, meta::FEED)?.is_none() {
                tx.refuse_older_programs()?;
                tx.put_row(Table::Meta, meta::FEED, &fresh)?;
            }
            Ok(Outcome::Commit(()))
        })
    }

    /// Ends the feed, and keeps nothing any more.
    ///
    /// # Errors
    ///
    /// As a write.
    pub(crate) fn end_feed(&self) -> Result<()> {
        self.locally().alone_with(Size::Large, |tx| tx.end_feed().map(Outcome::Commit))
    }

    /// The state of the feed; none when it has not begun.
    ///
    /// # Errors
    ///
    /// As a view.
    pub(crate) fn feed_status(&self) -> Result<Option<FeedStatus>> {
        self.fed(|rows, feed| {
            let sequence = sequence_of(rows, &feed);
            let (shipped, position) = match self.inner.context.told.beyond(feed.id, feed.shipped) {
                Some(told) => (told.sequence, told.position.to_vec()),
                None => (feed.shipped, position_of(rows)?),
            };
            Ok(FeedStatus { id: feed.id, sequence, shipped, position, kept_bytes: feed.bytes })
        })
    }

    /// The commits behind that one which are on the disk, until they have about so many bytes.
    ///
    /// # Errors
    ///
    /// As a view; `Conflict` when the feed has not begun.
    pub(crate) fn feed_after(&self, sequence: u64, most_bytes: usize) -> Result<Fed> {
        let fed = self.fed(|rows, feed| commits_after(rows, &feed, sequence, most_bytes))?;
        fed.ok_or_else(has_not_begun)
    }

    /// Every row of this moment, to be read part by part.
    ///
    /// # Errors
    ///
    /// As a view; `Conflict` when the feed has not begun.
    pub(crate) fn dump(&self) -> Result<Dump> {
        let rows = self.durable_rows()?;
        let feed = feed_of(&rows)?.ok_or_else(has_not_begun)?;
        let sequence = sequence_of(&rows, &feed);
        let view = View::new(self.inner.context.clone(), rows, Epoch::NOW)?;
        let states = States::new(meta::all_stats(&view)?);
        Ok(Dump::new(view, sequence, states))
    }

    /// The replica of the feed with that number has everything up to a commit, at a position in its own form. The next
    /// commits that reach redb write it down.
    pub(crate) fn note_shipped(&self, feed: u64, sequence: u64, position: Vec<u8>) {
        self.inner.context.told.note(Progress { feed, sequence, position: position.into() });
    }

    /// Writes down at once how far the replica is, as the last step before a close.
    ///
    /// # Errors
    ///
    /// As a write.
    pub(crate) fn write_shipped(&self) -> Result<()> {
        self.locally().alone_with(Size::Large, |tx| {
            // The commit itself does it.
            tx.batch.changed = true;
            Ok(Outcome::Commit(()))
        })
    }

    /// The moment of now, all of which is on the disk.
    ///
    /// # Errors
    ///
    /// As a view; `Conflict` when the feed has not begun.
    pub(super) fn newest_moment(&self) -> Result<Moment> {
        let moment = self.fed(|rows, feed| Ok(Moment { feed: feed.id, sequence: sequence_of(rows, &feed) }))?;
        moment.ok_or_else(has_not_begun)
    }

    /// Reads from a moment of which everything is on the disk, if the feed has begun.
    fn fed<R>(&self, read: impl FnOnce(&ReadRows, FeedRow) -> Result<R>) -> Result<Option<R>> {
        let rows = self.durable_rows()?;
        feed_of(&rows)?.map(|feed| read(&rows, feed)).transpose()
    }

    fn durable_rows(&self) -> Result<ReadRows> {
        // The rows that a reader found in a log may be in the system's cache only.
        if self.only_looks() {
            return Err(Error::conflict("the store was opened for reading only, and its feed cannot be read"));
        }
        self.inner.slot.with(|handle| {
            let rows = self.rows_of_now(handle)?;
            // R4: so may be what an opening found in a log, and could put nowhere. The replica may have it already, so
            // it must not be told of an older moment either.
            if self.inner.gate.log().is_some_and(|log| log.may_lose_found()) {
                return Err(Error::new(
                    ErrorKind::Io,
                    "the log of the store is not on the disk yet; make room, or repair",
                ));
            }
            // R4: a replica must not have what a power cut takes from its source.
            if let Some(log) = self.inner.gate.log().filter(|_| !rows.overlay().is_empty()) {
                log.wait_for_seen(rows.overlay().number())?;
            }
            Ok(rows)
        })
    }
}

impl WriteTx<'_> {
    /// Ends the feed, and keeps nothing any more.
    pub(in crate::engine::feed) fn end_feed(&mut self) -> Result<()> {
        self.delete(Table::Meta, meta::FEED)?;
        self.delete(Table::Meta, meta::FEED_POSITION)?;
        loop {
            let rows = self.stored().part(Table::Meta, &KeyRange::prefix(meta::OUTBOX), ROWS_PER_READ)?;
            if rows.is_empty() {
                return Ok(());
            }
            for (key, _) in rows {
                self.delete(Table::Meta, &key)?;
            }
        }
    }
}

pub(super) fn has_not_begun() -> Error {
    Error::conflict("the feed of the store has not begun")
}

/// The row of the feed in the base alone: no entry of the log has one.
pub(super) fn feed_of(rows: &ReadRows) -> Result<Option<FeedRow>> {
    FeedRow::read(rows.stored(Table::Meta, meta::FEED)?.as_deref())
}

/// The place in the replica that was written down last; empty when none ever was.
pub(super) fn position_of(rows: &ReadRows) -> Result<Vec<u8>> {
    let stored = rows.stored(Table::Meta, meta::FEED_POSITION)?;
    stored.map_or(Ok(Vec::new()), |bytes| meta::payload(Table::Meta, meta::FEED_POSITION, &bytes))
}

/// The number of the moment that the rows show.
pub(in crate::engine::feed) fn sequence_of(rows: &ReadRows, feed: &FeedRow) -> u64 {
    if rows.overlay().is_empty() { feed.sequence } else { feed.sequence_of(rows.overlay().number()) }
}

/// Commits that are being gathered.
struct Commits {
    commits: Vec<FedCommit>,
    bytes: usize,
    most_bytes: usize,
}

impl Commits {
    /// Adds one; says whether there is room for more.
    fn push(&mut self, sequence: u64, rows: Arc<[u8]>) -> bool {
        self.bytes += rows.len();
        self.commits.push(FedCommit { sequence, rows });
        self.bytes < self.most_bytes
    }
}

/// The commits behind one, until they have about so many bytes.
pub(in crate::engine::feed) fn commits_after(
    rows: &ReadRows,
    feed: &FeedRow,
    sequence: u64,
    most_bytes: usize,
) -> Result<Fed> {
    // R4: nobody is ahead of the store who has its history.
    if sequence < feed.kept_from || sequence > sequence_of(rows, feed) {
        return Ok(Fed::Gap);
    }
    let mut commits = Commits { commits: Vec::new(), bytes: 0, most_bytes };
    // Redb has these, and entries of the log are behind all of them.
    let is_whole = match in_outbox(rows, sequence, &mut commits) {
        Err(error) if error.kind() == ErrorKind::Damaged => {
            tracing::warn!(%error, "a commit that a replica does not have is damaged");
            return Ok(Fed::Gap);
        }
        read => read?,
    };
    if is_whole && !rows.overlay().is_empty() {
        let Some(entries) = rows.overlay().entries(feed.log_number) else { return Ok(Fed::Gap) };
        for (number, bytes) in entries {
            let at = feed.sequence_of(number);
            if at > sequence
                && let Some(bytes) = travelling(bytes)?
                && !commits.push(at, bytes)
            {
                break;
            }
        }
    }
    Ok(Fed::Commits(commits.commits))
}

/// Gathers commits of the outbox; says whether these are all.
fn in_outbox(rows: &ReadRows, sequence: u64, commits: &mut Commits) -> Result<bool> {
    let mut range = KeyRange::prefix(meta::OUTBOX).after(&outbox_key(sequence));
    loop {
        let part = rows.part(Table::Meta, &range, ROWS_PER_READ)?;
        let (goes_on, last) = (is_full(&part, ROWS_PER_READ), part.last().map(|(key, _)| key.clone()));
        for (key, bytes) in part {
            let payload = meta::payload(Table::Meta, &key, &bytes)?;
            if !commits.push(outbox_sequence(&key)?, payload.into()) {
                return Ok(false);
            }
        }
        match last {
            Some(last) if goes_on => range = range.after(&last),
            _ => return Ok(true),
        }
    }
}
