//! The memory of purged tasks: how each ended, so that a done task counts as done after its purge too.
//!
//! The memory consists of rows of `meta`, which no restore touches and no list of tasks shows. If a task is in the
//! queue, its state there counts, even if there is a memory under its id. A restore that brings back an unfinished task
//! is therefore safe. The oldest purged tasks are forgotten first, by age and by number.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::clock::before;
use crate::engine::codec::{self, Stored};
use crate::engine::records::{KeyRange, Records, scan_rows};
use crate::engine::schema::Table;
use crate::engine::write::WriteTx;
use crate::error::{Error, Result};
use crate::state::ids::TaskId;
use crate::state::queue::claiming::claim::millis;
use crate::state::queue::pushing::waiting::TaskIs;
use crate::state::queue::tasks::keys::behind_time;
use crate::state::queue::tasks::row_key::time_key;
use crate::state::queue::tasks::saving::Queue;
use crate::state::queue::tasks::task::{Task, TaskState};

/// Rows of `meta`: how a purged task ended, by its id.
const FINISHED: &[u8] = b"queue/finished/";
/// Rows of `meta`: the time of the purge and the id, to find the oldest.
const PURGED: &[u8] = b"queue/purged/";
/// The row of `meta` with the number and the limits.
const MEMORY: &[u8] = b"queue/memory";

/// The default time for which a purged task is remembered.
const KEEP: Duration = Duration::from_secs(90 * 24 * 60 * 60);
/// The default maximum number of remembered tasks; a million take about 150 MB.
const MOST: u64 = 1_000_000;

/// The memory of a purged task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    /// The state in which it ended.
    pub state: TaskState,
    /// The time when it ended.
    #[serde(with = "crate::clock::time")]
    pub finished_at: Timestamp,
    /// The time when it was purged.
    #[serde(with = "crate::clock::time")]
    pub purged_at: Timestamp,
}

impl Stored for Remembered {
    const VERSION: u8 = 1;
    const WHAT: &'static str = "the memory of a purged task";
}

/// The number of remembered purged tasks, and the limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// The number of remembered tasks.
    pub count: u64,
    /// The time for which each is remembered after its purge, in milliseconds. The default is 90 days.
    pub keep_ms: u64,
    /// The maximum number of remembered tasks. The default is a million.
    pub most: u64,
}

impl Default for Memory {
    fn default() -> Self {
        Self { count: 0, keep_ms: millis(KEEP), most: MOST }
    }
}

impl Stored for Memory {
    const VERSION: u8 = 1;
    const WHAT: &'static str = "the limits of the memory of purged tasks";
}

fn finished_key(id: &TaskId) -> Vec<u8> {
    [FINISHED, id.as_bytes()].concat()
}

fn purged_key(at: Timestamp, id: &TaskId) -> Vec<u8> {
    [PURGED, &time_key(at), id.as_bytes()].concat()
}

/// Splits a row of [`PURGED`] into time and task.
fn split_purged(row: &[u8]) -> Result<(Timestamp, TaskId)> {
    let wrong = || Error::damaged(format!("a row of purged tasks cannot be read: key={}", row.escape_ascii()));
    let (at, id) = row.strip_prefix(PURGED).and_then(behind_time).ok_or_else(wrong)?;
    Ok((at, TaskId::from_key(id)?))
}

/// Whether a purged task had finished. A cancelled task does not count, because no work was done.
pub(crate) fn was_finished<R: Records>(records: R, id: &TaskId) -> Result<bool> {
    let remembered = Queue::of(records).remembered(id)?;
    Ok(remembered.is_some_and(|remembered| remembered.state.is_finished() && remembered.state != TaskState::Cancelled))
}

#[expect(private_bounds, reason = "callers cannot name the reader behind a queue")]
impl<R: Records> Queue<R> {
    /// The memory of a purged task, always of the present. If the task is in the queue again, its state there counts.
    ///
    /// # Errors
    ///
    /// `Damaged` when it cannot be read.
    ///
    /// # Examples
    ///
    /// ```
    /// use hivekeep::{NewTask, Store, TaskState};
    ///
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = Store::open(dir.path().join("hive.redb"))?;
    /// let task = store.write(|tx| tx.queue().enqueue(NewTask::new("build")))?;
    /// store.write(|tx| tx.queue().cancel(&task.id))?;
    /// # std::thread::sleep(std::time::Duration::from_millis(2));
    /// store.purge_finished(std::time::Duration::ZERO)?;
    /// let remembered = store.view()?.queue().remembered(&task.id)?.unwrap();
    /// assert_eq!(remembered.state, TaskState::Cancelled);
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn remembered(&self, id: &TaskId) -> Result<Option<Remembered>> {
        self.records.row(Table::Meta, &finished_key(id))?.map(|bytes| codec::decode(&bytes)).transpose()
    }

    /// The number of remembered purged tasks, and the limits.
    ///
    /// # Errors
    ///
    /// `Damaged` when it cannot be read.
    pub fn memory(&self) -> Result<Memory> {
        self.records.row(Table::Meta, MEMORY)?.map_or_else(|| Ok(Memory::default()), |bytes| codec::decode(&bytes))
    }

    /// The status of a task for the tasks that depend on it: its state in the queue, or at its purge.
    pub(in crate::state::queue) fn stands(&self, id: &TaskId) -> Result<TaskIs> {
        if let Some(task) = self.stored(id)? {
            return Ok(TaskIs::Here(task.state));
        }
        Ok(self.remembered(id)?.map_or(TaskIs::Unknown, |remembered| TaskIs::Purged(remembered.state)))
    }

    /// P1: reports rows of the memory that contradict each other, and a wrong count.
    pub(in crate::state::queue) fn check_memory(&self, report: &mut dyn FnMut(String)) -> Result<()> {
        let (mut by_time, mut by_id) = (0u64, 0u64);
        for row in scan_rows(&self.records, Table::Meta, KeyRange::prefix(PURGED)) {
            let (at, id) = split_purged(&row?.0)?;
            by_time += 1;
            if self.remembered(&id)?.is_none_or(|remembered| remembered.purged_at != at) {
                report(format!("the two rows that remember a purged task differ: task={id}"));
            }
        }
        for row in scan_rows(&self.records, Table::Meta, KeyRange::prefix(FINISHED)) {
            codec::decode::<Remembered>(&row?.1)?;
            by_id += 1;
        }
        let count = self.memory()?.count;
        if by_time != by_id || count != by_id {
            report(format!(
                "the number of purged tasks that are remembered is wrong: kept={count} by_id={by_id} by_time={by_time}"
            ));
        }
        Ok(())
    }
}

impl Queue<&mut WriteTx<'_>> {
    /// Sets how long purged tasks are remembered, and how many at most; the next purge forgets those over the limits.
    /// Zero of either remembers none. Gives the limits and the count as they now are.
    ///
    /// A restore or an import that [keeps finished tasks](crate::RestoreOptions::keep_finished) leaves out only the
    /// purged tasks that are still remembered; the others run again.
    ///
    /// # Errors
    ///
    /// `Damaged` when the earlier limits cannot be read.
    pub fn set_memory(&mut self, keep: Duration, most: u64) -> Result<Memory> {
        let memory = Memory { keep_ms: millis(keep), most, ..self.memory()? };
        self.put_memory(&memory)?;
        self.records.note("queue_memory_set", None)?;
        Ok(memory)
    }

    /// Sets those limits that are given; the others stay.
    #[cfg(feature = "cli")]
    pub(crate) fn change_memory(&mut self, keep: Option<Duration>, most: Option<u64>) -> Result<Memory> {
        let before = self.memory()?;
        self.set_memory(keep.unwrap_or(Duration::from_millis(before.keep_ms)), most.unwrap_or(before.most))
    }

    fn put_memory(&mut self, memory: &Memory) -> Result<()> {
        self.records.put_row(Table::Meta, MEMORY, &codec::encode(memory)?)
    }

    /// Remembers how a task ended that is purged now.
    pub(super) fn remember(&mut self, task: &Task) -> Result<()> {
        let Some(finished_at) = task.finished_at else { return Ok(()) };
        self.forget(&task.id)?;
        let remembered = Remembered { state: task.state, finished_at, purged_at: self.now() };
        self.records.put_row(Table::Meta, &finished_key(&task.id), &codec::encode(&remembered)?)?;
        self.records.put_row(Table::Meta, &purged_key(remembered.purged_at, &task.id), &[])?;
        let memory = self.memory()?;
        self.put_memory(&Memory { count: memory.count.saturating_add(1), ..memory })
    }

    /// Forgets a purged task.
    pub(in crate::state::queue) fn forget(&mut self, id: &TaskId) -> Result<()> {
        let Some(remembered) = self.remembered(id)? else { return Ok(()) };
        self.records.delete(Table::Meta, &finished_key(id))?;
        self.records.delete(Table::Meta, &purged_key(remembered.purged_at, id))?;
        let memory = self.memory()?;
        self.put_memory(&Memory { count: memory.count.saturating_sub(1), ..memory })
    }

    /// Forgets at most `limit` purged tasks that exceed the limits of the memory, the oldest first; returns their
    /// number.
    pub(super) fn forget_old(&mut self, limit: usize) -> Result<usize> {
        let memory = self.memory()?;
        let oldest = before(self.now(), Duration::from_millis(memory.keep_ms));
        let mut over = memory.count.saturating_sub(memory.most);
        let mut forgotten = 0;
        for (row, _) in self.records.rows(Table::Meta, &KeyRange::prefix(PURGED), limit)? {
            let (at, id) = split_purged(&row)?;
            if over == 0 && at > oldest {
                break;
            }
            if self.remembered(&id)?.is_some_and(|remembered| remembered.purged_at == at) {
                self.forget(&id)?;
            }
            self.records.delete(Table::Meta, &row)?;
            over = over.saturating_sub(1);
            forgotten += 1;
        }
        Ok(forgotten)
    }

    /// Repairs the findings of [`check_memory`](Queue::check_memory), after rows were lost.
    pub(in crate::state::queue) fn mend_memory(&mut self) -> Result<()> {
        let mut rest = KeyRange::prefix(PURGED);
        loop {
            let rows = self.records.rows(Table::Meta, &rest, 256)?;
            let Some((last, _)) = rows.last() else { break };
            rest = rest.after(last);
            for (row, _) in &rows {
                let (at, id) = split_purged(row)?;
                if self.remembered(&id)?.is_none_or(|remembered| remembered.purged_at != at) {
                    self.records.delete(Table::Meta, row)?;
                }
            }
        }
        let mut count = 0u64;
        let mut rest = KeyRange::prefix(FINISHED);
        loop {
            let rows = self.records.rows(Table::Meta, &rest, 256)?;
            let Some((last, _)) = rows.last() else { break };
            rest = rest.after(last);
            for (row, bytes) in &rows {
                let id = TaskId::from_key(row.get(FINISHED.len()..).unwrap_or_default())?;
                let remembered: Remembered = codec::decode(bytes)?;
                self.records.put_row(Table::Meta, &purged_key(remembered.purged_at, &id), &[])?;
                count += 1;
            }
        }
        let memory = self.memory()?;
        if memory.count != count {
            self.put_memory(&Memory { count, ..memory })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::state::queue::verbs_test::{id, named};
    use crate::testkit::checked_store::{Fixture, time};

    /// Does a task to its end and purges it.
    fn done_and_purged(hive: &Fixture, name: &str) {
        hive.push(named(name));
        let claim = hive.claim_one("x");
        assert_eq!(claim.id, id(name));
        hive.write(|tx| tx.queue().complete(&claim.id, claim.token, 1));
        hive.pass(1);
        hive.store.purge_finished(Duration::ZERO).unwrap();
        assert_eq!(hive.view().queue().get(&id(name)).unwrap(), None);
    }

    #[test]
    fn the_bytes_of_the_memory_are_fixed() {
        let at = |micros| Timestamp::from_microsecond(micros).unwrap();
        let remembered = Remembered { state: TaskState::Done, finished_at: at(1), purged_at: at(2) };
        assert_eq!(codec::encode(&remembered).unwrap(), [1, 2, 2, 4]);
        let memory = Memory { count: 3, keep_ms: 4, most: 5 };
        assert_eq!(codec::encode(&memory).unwrap(), [1, 3, 4, 5]);
        let row = purged_key(at(2), &id("t"));
        assert_eq!(row, b"queue/purged/\x80\0\0\0\0\0\0\x02t");
        assert_eq!(split_purged(&row).unwrap(), (at(2), id("t")));
        for len in 0..row.len() {
            assert_eq!(split_purged(&row[..len]).unwrap_err().kind(), ErrorKind::Damaged);
        }
    }

    #[test]
    fn a_dependency_that_was_done_and_purged_counts_as_done() {
        let hive = Fixture::new();
        done_and_purged(&hive, "build");
        assert_eq!(hive.push(named("review").after(id("build"))).waiting_for, [].into());
        assert_eq!(hive.claim_ids("x", 1), ["review"]);
    }

    #[test]
    fn a_task_of_the_same_id_is_waited_for_again_however_the_one_before_it_ended() {
        let hive = Fixture::new();
        done_and_purged(&hive, "build");
        hive.push(named("build"));
        assert_eq!(hive.view().queue().memory().unwrap().count, 0);
        assert_eq!(hive.push(named("review").after(id("build"))).waiting_for, [id("build")].into());
    }

    #[test]
    fn a_dependency_that_was_given_up_and_purged_is_refused_by_name_as_one_that_never_was() {
        let hive = Fixture::new();
        hive.push(named("build"));
        hive.write(|tx| tx.queue().cancel(&id("build")));
        hive.pass(1);
        hive.store.purge_finished(Duration::ZERO).unwrap();
        let error = hive.refused(|tx| tx.queue().enqueue(named("review").after(id("build"))));
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().starts_with("a task to wait for was cancelled and purged, so it will not be done"));
        assert!(error.to_string().ends_with("depends_on=build"), "{error}");
    }

    #[test]
    fn the_oldest_is_forgotten_when_the_memory_is_full_or_its_time_is_over() {
        let hive = Fixture::new();
        hive.write(|tx| tx.queue().set_memory(Duration::from_secs(100), 2));
        let known = || ["a", "b", "c"].map(|name| hive.view().queue().remembered(&id(name)).unwrap().is_some());
        done_and_purged(&hive, "a");
        done_and_purged(&hive, "b");
        assert_eq!(known(), [true, true, false]);
        done_and_purged(&hive, "c");
        assert_eq!(known(), [false, true, true]);
        hive.clock.set(time(102));
        hive.store.purge_finished(Duration::ZERO).unwrap();
        assert_eq!(known(), [false, false, true], "b was purged at 2, c at 3");
        hive.check();
    }

    #[test]
    fn what_a_repair_has_lost_of_the_memory_is_mended() {
        let hive = Fixture::new();
        done_and_purged(&hive, "a");
        done_and_purged(&hive, "b");
        hive.store.write(|tx| tx.delete(Table::Meta, &finished_key(&id("a")))).unwrap();
        let at = hive.view().queue().remembered(&id("b")).unwrap().unwrap().purged_at;
        hive.store.write(|tx| tx.delete(Table::Meta, &purged_key(at, &id("b")))).unwrap();
        let mut found = Vec::new();
        hive.view().queue().check_memory(&mut |finding| found.push(finding)).unwrap();
        assert_eq!(found.len(), 2, "{found:?}");
        hive.write(|tx| tx.queue().mend_memory());
        assert_eq!(hive.view().queue().memory().unwrap().count, 1);
    }
}
