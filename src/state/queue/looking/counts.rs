//! The number of tasks in each state, without counting them.
//!
//! A count cannot be derived from one record, so it is no row of the index. It is kept in `meta`, which no restore
//! touches, together with the statistics of the queue that it belongs to. When these are not those of now, something
//! else than the queue's own verbs has changed the queue, a restore for example; then the index is counted instead, and
//! the next write keeps the new count. So it is exact at all times, and nobody has to remember to correct it.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::clock::as_stored;
use crate::engine::codec::{self, Stored};
use crate::engine::digest::Stats;
use crate::engine::records::{KeyRange, Records, scan_rows};
use crate::engine::schema::{CollectionId, Table};
use crate::engine::write::WriteTx;
use crate::error::{Error, Hint, Result};
use crate::state::queue::tasks::keys;
use crate::state::queue::tasks::row_key::Key;
use crate::state::queue::tasks::saving::Queue;
use crate::state::queue::tasks::task::TaskState;
use crate::state::queue::tasks::task_counts::{Changing, TaskCounts};

/// The row of `meta`.
const TALLY: &[u8] = b"queue/tally";
/// The clock went back when the last write is further than this in the future; less is two threads that read it in
/// turn.
const CLOCK_SLACK: Duration = Duration::from_secs(1);

/// The stored counts: by the records alone, so that they change only when tasks do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::state::queue) struct Tally {
    /// The content of the queue when it was written. The counts are valid only as long as it has this content.
    stats: Stats,
    counts: TaskCounts,
    /// The latest time at which it was written, even if the clock has gone back since and nobody has noticed.
    #[serde(with = "crate::clock::time")]
    written_at: Timestamp,
}

impl Stored for Tally {
    const VERSION: u8 = 2;
    const WHAT: &'static str = "the counts of the queue";

    fn upgrade(_version: u8, bytes: &[u8]) -> Result<Self> {
        let FirstTally { written_at, .. } = codec::decode_body(bytes)?;
        // No queue is like that, so the index is counted.
        let stats = Stats { count: u64::MAX, ..Stats::default() };
        Ok(Self { stats, counts: TaskCounts::default(), written_at })
    }
}

/// Version 1, in which scheduled and waiting tasks were counted as ready.
#[derive(Serialize, Deserialize)]
struct FirstTally {
    stats: Stats,
    ready: u64,
    claimed: u64,
    done: u64,
    failed: u64,
    dead: u64,
    cancelled: u64,
    #[serde(with = "crate::clock::time")]
    written_at: Timestamp,
}

impl Stored for FirstTally {
    const VERSION: u8 = 1;
    const WHAT: &'static str = Tally::WHAT;
}

impl Tally {
    /// As it was last written, whether it still counts or not.
    fn stored<R: Records>(records: &R) -> Result<Option<Self>> {
        records.row(Table::Meta, TALLY)?.map(|bytes| codec::decode(&bytes)).transpose()
    }
}

#[expect(private_bounds, reason = "callers cannot name the reader behind a queue")]
impl<R: Records> Queue<R> {
    /// The number of tasks in each state.
    ///
    /// The cost does not depend on the number of tasks, with these exceptions: tasks that came due since the last claim
    /// are read, and tasks that no bot could claim are counted in the index. In a view of a point every task is read.
    /// Between a restore of the queue and its next change, every task that is not done is counted in the index.
    ///
    /// # Errors
    ///
    /// `Damaged` when something that is read for it cannot be read.
    ///
    /// # Examples
    ///
    /// ```
    /// use hivekeep::{NewTask, Store};
    ///
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = Store::open(dir.path().join("hive.redb"))?;
    /// store.write(|tx| tx.queue().enqueue(NewTask::new("build")))?;
    /// let counts = store.view()?.queue().counts()?;
    /// assert_eq!((counts.ready, counts.total()), (1, 1));
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn counts(&self) -> Result<TaskCounts> {
        if self.records.is_now() { self.corrected(self.kept_counts()?) } else { self.counts_as_shown() }
    }

    /// The counts by the records alone, as they are kept.
    pub(super) fn kept_counts(&self) -> Result<TaskCounts> {
        let stats = self.records.stats(CollectionId::QUEUE)?;
        match Tally::stored(&self.records)? {
            Some(tally) if tally.stats == stats => Ok(tally.counts),
            _ => self.counts_from_index(&stats),
        }
    }

    fn counts_as_shown(&self) -> Result<TaskCounts> {
        let mut counts = TaskCounts::default();
        for task in self.list() {
            *counts.of_mut(task?.state) += 1;
        }
        Ok(counts)
    }

    /// The counts by the records alone, counted.
    pub(super) fn counts_from_tasks(&self) -> Result<TaskCounts> {
        let mut counts = TaskCounts::default();
        for task in self.stored_tasks() {
            *counts.of_mut(task?.state_by_record()) += 1;
        }
        Ok(counts)
    }

    /// Done tasks, which are the most, are the rest.
    fn counts_from_index(&self, stats: &Stats) -> Result<TaskCounts> {
        let mut counts = TaskCounts {
            scheduled: self.count_rows(keys::delayed())?,
            waiting: self.count_waiting()?,
            ready: self.count_rows(keys::ready())?,
            claimed: self.count_rows(keys::leases())?,
            done: 0,
            failed: self.count_rows(keys::finished(TaskState::Failed))?,
            dead: self.count_rows(keys::finished(TaskState::Dead))?,
            cancelled: self.count_rows(keys::finished(TaskState::Cancelled))?,
        };
        let done = stats.count.checked_sub(counts.total());
        let too_many = || Error::damaged("the index of the queue has too many rows; check the store");
        counts.done = done.ok_or_else(|| too_many().with_hint(Hint::CheckStore))?;
        Ok(counts)
    }

    /// Whether the queue was written to at a time that is yet to come.
    pub(in crate::state::queue) fn clock_went_back(&self) -> Result<bool> {
        Ok(self.clock_was_ahead_by()?.is_some())
    }

    /// How far ahead of now the clock was when the queue was last written to, when it has gone back since.
    pub(in crate::state::queue) fn clock_was_ahead_by(&self) -> Result<Option<Duration>> {
        let written_at = Tally::stored(&self.records)?.map(|tally| tally.written_at);
        let ahead = written_at.and_then(|written_at| written_at.duration_since(self.records.now()).try_into().ok());
        Ok(ahead.filter(|ahead| *ahead > CLOCK_SLACK))
    }

    fn count_rows(&self, rows: Key) -> Result<u64> {
        scan_rows(&self.records, Table::Index, rows.range()).try_fold(0, |count, row| row.map(|_| count + 1))
    }

    /// Calls `visit` with each row of the index in a range.
    pub(super) fn each_row(&self, rows: KeyRange, mut visit: impl FnMut(&Self, &[u8]) -> Result<()>) -> Result<()> {
        scan_rows(&self.records, Table::Index, rows).try_for_each(|row| visit(self, &row?.0))
    }

    /// A task has a row for each task that it waits for.
    fn count_waiting(&self) -> Result<u64> {
        let rows = scan_rows(&self.records, Table::Index, keys::waiting().range());
        let ids = rows.map(|row| keys::task_of(&row?.0)).collect::<Result<BTreeSet<_>>>()?;
        Ok(ids.len() as u64)
    }
}

impl Queue<&mut WriteTx<'_>> {
    /// Makes a change of any number of tasks, and writes the counts once, at its end. A change
    /// within a change is a part of it.
    ///
    /// If it fails, the counts are not written. The earlier ones then belong to another content of the queue, so that
    /// they are counted again.
    pub(in crate::state::queue) fn together<T>(&mut self, change: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.changing.is_some() {
            return change(self);
        }
        self.changing = Some(Changing::default());
        let changed = change(self);
        let counts = self.changing.take().and_then(|changing| changing.counts);
        let changed = changed?;
        counts.map_or(Ok(()), |counts| self.keep_counts(counts))?;
        Ok(changed)
    }

    /// Writes the counts that belong to the present content of the queue.
    pub(super) fn keep_counts(&mut self, counts: TaskCounts) -> Result<()> {
        let now = as_stored(self.records.now());
        let latest = Tally::stored(&self.records)?.map_or(now, |tally| tally.written_at.max(now));
        self.write_counts(counts, latest)
    }

    /// Changes one task, and moves the counts by it.
    pub(in crate::state::queue) fn counted(
        &mut self,
        was: Option<TaskState>,
        is: Option<TaskState>,
        change: impl FnOnce(&mut WriteTx<'_>) -> Result<()>,
    ) -> Result<()> {
        self.together(|queue| {
            // Before the change, because the kept counts are those of the present content.
            let mut counts = queue.counts_so_far()?;
            change(queue.records)?;
            if let Some(state) = was {
                let count = counts.of_mut(state);
                *count = count.saturating_sub(1);
            }
            if let Some(state) = is {
                let count = counts.of_mut(state);
                *count = count.saturating_add(1);
            }
            queue.changing = Some(Changing { counts: Some(counts) });
            Ok(())
        })
    }

    /// The counts in the middle of a change.
    fn counts_so_far(&self) -> Result<TaskCounts> {
        let moved = self.changing.as_ref().and_then(|changing| changing.counts);
        moved.map_or_else(|| self.kept_counts(), Ok)
    }

    /// Corrects times that were set before the clock went back, so that they count from now on.
    pub(in crate::state::queue) fn accept_the_time(&mut self) -> Result<()> {
        let counts = self.counts_so_far()?;
        self.write_counts(counts, as_stored(self.records.now()))
    }

    fn write_counts(&mut self, counts: TaskCounts, written_at: Timestamp) -> Result<()> {
        let stats = self.records.stats(CollectionId::QUEUE)?;
        self.records.put_row(Table::Meta, TALLY, &codec::encode(&Tally { stats, counts, written_at })?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_of_the_counts_are_fixed() {
        let counts =
            TaskCounts { scheduled: 1, waiting: 2, ready: 3, claimed: 4, done: 5, failed: 6, dead: 7, cancelled: 8 };
        let stats = Stats { count: 36, bytes: 9, ..Stats::default() };
        let written_at = Timestamp::from_microsecond(7).unwrap();
        let tally = Tally { stats, counts, written_at };
        let golden = [&[2, 36, 9][..], &[0; 32], &[1, 2, 3, 4, 5, 6, 7, 8, 14]].concat();
        assert_eq!(codec::encode(&tally).unwrap(), golden);
        assert_eq!(codec::decode::<Tally>(&golden).unwrap(), tally);
        assert_eq!(counts.total(), 36);
        let first = [&[1, 21, 9][..], &[0; 32], &[1, 2, 3, 4, 5, 6, 14]].concat();
        let upgraded = codec::decode::<Tally>(&first).unwrap();
        assert_eq!((upgraded.written_at, upgraded.stats == stats), (written_at, false), "it is counted anew");
    }
}
