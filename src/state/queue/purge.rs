//! Removing finished tasks after a time.

use std::time::Duration;

use jiff::Timestamp;

use crate::clock;
use crate::engine::records::Records;
use crate::engine::schema::Table;
use crate::engine::store::Store;
use crate::engine::write::WriteTx;
use crate::error::Result;
use crate::state::ids::TaskId;
use crate::state::queue::task::TaskState;
use crate::state::queue::{Queue, keys};

/// Tasks removed in one transaction, so that no writer waits for long.
const PURGED_AT_ONCE: usize = 256;

impl Store {
    /// Removes every task that has been done, failed, dead or cancelled for longer than `older_than`, as
    /// [`purge`](Queue::purge) does, in small transactions that hold nobody up; gives how many.
    ///
    /// # Errors
    ///
    /// As [`purge`](Queue::purge) and [`Store::write`]. What was removed before stays removed.
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

    /// Removes at most `most` of them; gives how many. Fewer than that means that no more are left.
    pub(crate) fn purge_at_most(&self, older_than: Duration, most: usize) -> Result<usize> {
        let time = clock::before(self.clock().now(), older_than);
        let mut purged = 0;
        while purged < most {
            let limit = PURGED_AT_ONCE.min(most - purged);
            let removed = self.write(|tx| tx.queue().purge(time, limit))?;
            purged += removed;
            if removed < limit {
                break;
            }
        }
        Ok(purged)
    }
}

impl Queue<&mut WriteTx<'_>> {
    /// Removes at most `limit` tasks that finished before `time`, whether done, failed, dead or cancelled; gives how
    /// many. Their idempotency keys are forgotten with them. Call it again while it gives `limit`: several small
    /// transactions hold nobody up.
    ///
    /// A task that another one still waits for is kept, so that it can be requeued. One that is enqueued later and
    /// depends on a task that was removed waits until there is one of that name again.
    ///
    /// # Errors
    ///
    /// `Damaged` when one of them cannot be read.
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
        let mut purged = 0;
        for state in TaskState::ALL.into_iter().filter(|state| state.is_finished()) {
            let mut rest = keys::finished_before(state, time);
            loop {
                let rows = self.records.rows(Table::Index, &rest, limit - purged)?;
                let Some((last, _)) = rows.last() else { break };
                rest = rest.after(last);
                for (row, _) in &rows {
                    purged += usize::from(self.purge_one(&keys::task_of(row)?)?);
                }
            }
        }
        Ok(purged)
    }

    /// Removes a finished task unless another one waits for it; says whether it did.
    fn purge_one(&mut self, id: &TaskId) -> Result<bool> {
        let is_waited_for = self.is_waited_for(id)?;
        if !is_waited_for {
            let task = self.indexed(id)?;
            self.erase(&task)?;
        }
        Ok(!is_waited_for)
    }
}
