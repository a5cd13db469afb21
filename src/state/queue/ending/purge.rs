//! Removes finished tasks after a time.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;

use crate::engine::records::{KeyRange, Records};
use crate::engine::schema::Table;
use crate::engine::store::Store;
use crate::engine::write::WriteTx;
use crate::error::Result;
use crate::state::queue::tasks::damage::PassedOver;
use crate::state::queue::tasks::keys;
use crate::state::queue::tasks::saving::Queue;
use crate::state::queue::tasks::task::TaskState;
use crate::{clock, limits};

/// The maximum number of tasks that one transaction removes, so that no writer waits long.
const PURGED_AT_ONCE: usize = 256;
/// The maximum number of tasks that one transaction looks at. Any number of them may have to stay.
const LOOKED_AT_ONCE: usize = 4096;

/// The progress of a purge. Earlier rows were looked at; those that are left must stay.
struct PurgeProgress {
    /// The remaining index rows, one range for each state.
    rest: VecDeque<(TaskState, KeyRange)>,
    /// The number of rows it has looked at.
    looked: usize,
}

impl PurgeProgress {
    /// A purge of all tasks that finished before `time`, at its start.
    fn before(time: Timestamp) -> Self {
        let finished = TaskState::ALL.into_iter().filter(|state| state.is_finished());
        let rest = finished.map(|state| (state, keys::finished_before(state, time))).collect();
        Self { rest, looked: 0 }
    }

    /// Continues after a row.
    fn pass(&mut self, row: &[u8]) {
        self.looked += 1;
        if let Some((_, range)) = self.rest.front_mut() {
            *range = range.clone().after(row);
        }
    }
}

fn not_zero(limit: usize) -> Result<()> {
    limits::not_zero("a purge removes at least one task", "limit", limit)
}

impl Store {
    /// Removes every task that has been done, failed, dead or cancelled for longer than `older_than`, as
    /// [`purge`](Queue::purge) does, in small transactions that do not block writers for long; returns their number.
    ///
    /// # Errors
    ///
    /// As [`Store::write`]. `Damaged` when one of them cannot be read, which the message names, once all others are
    /// removed. Tasks removed before that stay removed.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use hivekeep::{NewTask, Store};
    ///
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = Store::open(dir.path().join("hive.redb"))?;
    /// let task = store.write(|tx| tx.queue().enqueue(NewTask::new("build")))?;
    /// store.write(|tx| tx.queue().cancel(&task.id))?;
    /// let month = Duration::from_secs(30 * 24 * 60 * 60);
    /// assert_eq!(store.purge_finished(month)?, 0);
    /// # std::thread::sleep(Duration::from_millis(2));
    /// assert_eq!(store.purge_finished(Duration::ZERO)?, 1);
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn purge_finished(&self, older_than: Duration) -> Result<usize> {
        self.purge_at_most(older_than, usize::MAX)
    }

    /// Removes at most `most` of them; returns their number. A smaller number means that none is left.
    pub(crate) fn purge_at_most(&self, older_than: Duration, most: usize) -> Result<usize> {
        not_zero(most)?;
        let mut place = PurgeProgress::before(clock::before(self.clock().now(), older_than));
        self.doing("queue_purge", None).purge_from(&mut place, most)
    }

    /// Continues a purge until `most` tasks are removed or no row is left.
    fn purge_from(&self, place: &mut PurgeProgress, most: usize) -> Result<usize> {
        let (mut purged, mut passed) = (0, PassedOver::default());
        while purged < most && !place.rest.is_empty() {
            let limit = PURGED_AT_ONCE.min(most - purged);
            purged += self.write(|tx| tx.queue().purge_part(place, limit, LOOKED_AT_ONCE, &mut passed))?;
        }
        while self.write(|tx| tx.queue().forget_old(PURGED_AT_ONCE))? == PURGED_AT_ONCE {}
        passed.unless(purged == most)?;
        Ok(purged)
    }
}

impl Queue<&mut WriteTx<'_>> {
    /// Removes at most `limit` tasks that finished before `time`, whether done, failed, dead or cancelled, together
    /// with their idempotency keys. Returns their number. Call it again while it returns `limit`, because several small
    /// transactions block nobody. [`Store::purge_finished`] does so, and looks only once at each task that must stay.
    ///
    /// A task that another one still waits for is kept, so that it can be requeued. The outcome of each purged task is
    /// [remembered](Queue::remembered) for 90 days, for the last million tasks, unless [other
    /// limits](Queue::set_memory) are set. So a done task counts as done for tasks that are
    /// enqueued later and depend on it.
    ///
    /// Damaged tasks are skipped.
    ///
    /// # Errors
    ///
    /// `Damaged` when none was removed and one was passed over, which the message names. `Invalid` when `limit` is
    /// zero.
    ///
    /// # Examples
    ///
    /// ```
    /// use hivekeep::{NewTask, Store};
    ///
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = Store::open(dir.path().join("hive.redb"))?;
    /// let month_ago = "2026-01-01T00:00:00Z".parse().unwrap();
    /// while store.write(|tx| tx.queue().purge(month_ago, 1000))? == 1000 {}
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn purge(&mut self, time: Timestamp, limit: usize) -> Result<usize> {
        not_zero(limit)?;
        let mut passed = PassedOver::default();
        let purged = self.purge_part(&mut PurgeProgress::before(time), limit, usize::MAX, &mut passed)?;
        self.forget_old(PURGED_AT_ONCE.max(limit.saturating_mul(2)))?;
        passed.unless(purged > 0)?;
        if purged > 0 {
            self.records.note("queue_purge", Some(&format!("{purged} tasks")))?;
        }
        Ok(purged)
    }

    /// Continues a purge, and looks at no more than `looks` tasks.
    fn purge_part(
        &mut self,
        place: &mut PurgeProgress,
        limit: usize,
        looks: usize,
        passed: &mut PassedOver,
    ) -> Result<usize> {
        let mut purged = 0;
        let until = place.looked.saturating_add(looks);
        while let Some((state, range)) = place.rest.front().cloned() {
            let rows = self.records.rows(Table::Index, &range, PURGED_AT_ONCE)?;
            if rows.is_empty() {
                place.rest.pop_front();
            }
            for (row, _) in &rows {
                if purged == limit || place.looked == until {
                    return Ok(purged);
                }
                place.pass(row);
                purged += usize::from(self.purge_one(row, state, passed)?);
            }
        }
        Ok(purged)
    }

    /// Removes a finished task unless another task waits for it; returns whether it did.
    fn purge_one(&mut self, row: &[u8], state: TaskState, passed: &mut PassedOver) -> Result<bool> {
        let id = keys::task_of(row)?;
        if self.is_waited_for(&id)? {
            return Ok(false);
        }
        let Some(task) = passed.whole(self.changeable(&id, state))? else { return Ok(false) };
        self.erase(&task)?;
        self.remember(&task)?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::queue::NewTask;
    use crate::state::queue::verbs_test::{id, named};
    use crate::testkit::checked_store::{Fixture, time};

    #[test]
    fn each_task_that_must_stay_is_looked_at_once_however_many_transactions_it_takes() {
        const STAY: usize = 700;
        const GO: usize = 600;
        let hive = Fixture::new();
        let cancel = |name: String| {
            move |tx: &mut WriteTx<'_>| {
                tx.queue().enqueue(named(&name))?;
                tx.queue().cancel(&id(&name)).map(drop)
            }
        };
        hive.write(|tx| (0..STAY).try_for_each(|number| cancel(format!("stays-{number}"))(tx)));
        let waits = (0..STAY).fold(NewTask::new("waits"), |task, number| task.after(id(&format!("stays-{number}"))));
        hive.push(waits);
        hive.pass(1);
        hive.write(|tx| (0..GO).try_for_each(|number| cancel(format!("goes-{number}"))(tx)));
        hive.pass(1);
        let mut place = PurgeProgress::before(time(2));
        assert_eq!(hive.store.purge_from(&mut place, GO - 1).unwrap(), GO - 1);
        assert_eq!(hive.store.purge_from(&mut place, usize::MAX).unwrap(), 1);
        assert_eq!(place.looked, STAY + GO);
        assert_eq!(hive.view().queue().counts().unwrap().cancelled, STAY as u64);
        hive.check();
    }
}
