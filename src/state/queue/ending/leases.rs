//! Claims that end without their holder: by a timeout, a crash, or a restore.

use std::time::Duration;

use crate::clock::{after, as_stored, before};
use crate::engine::codec;
use crate::engine::records::{KeyRange, Records, scan_rows};
use crate::engine::schema::Table;
use crate::engine::write::WriteTx;
use crate::error::Result;
use crate::limits;
use crate::state::ids::{BotId, SessionId, TaskId};
use crate::state::queue::ending::finish::{RETRY_DELAY_MAX, attempt_failed, released};
use crate::state::queue::tasks::damage::PassedOver;
use crate::state::queue::tasks::keys;
use crate::state::queue::tasks::saving::Queue;
use crate::state::queue::tasks::task::{Holder, Task, TaskState};

/// The reason of a claim that was lost as nobody extended it.
pub(super) const LEASE_ENDED: &str = "the lease ended";

/// The error of an attempt whose claim was lost.
pub(super) fn claim_lost(why: &str, bot: &BotId, attempt: u32) -> String {
    format!("{why}: bot={bot} attempt={attempt}")
}

#[expect(private_bounds, reason = "callers cannot name the reader behind a queue")]
impl<R: Records> Queue<R> {
    /// The tasks that `bot` has claimed.
    ///
    /// # Errors
    ///
    /// `Damaged` when one of them cannot be read.
    pub fn claimed_by(&self, bot: &BotId) -> Result<Vec<Task>> {
        if !self.records.is_now() {
            let is_wanted = |task: &Task| task.holder.as_ref().is_some_and(|holder| holder.bot == *bot);
            return self.stored_tasks().filter(|task| task.as_ref().map_or(true, is_wanted)).collect();
        }
        let rows = scan_rows(&self.records, Table::Index, keys::held_by(bot).range());
        rows.map(|row| self.indexed(&keys::task_of(&row?.0)?)).collect()
    }

    /// The number of tasks that this session has claimed and not finished.
    pub(crate) fn count_claimed_in(&self, session: SessionId) -> Result<u64> {
        scan_rows(&self.records, Table::Index, keys::of_session(session).range()).map(|row| row.map(|_| 1)).sum()
    }

    /// The number of expired claims that are not processed yet, counted up to `limit`.
    #[cfg(feature = "transfer")]
    pub(crate) fn overdue(&self, limit: usize) -> Result<usize> {
        Ok(self.records.rows(Table::Index, &keys::expired(self.records.now()), limit)?.len())
    }
}

impl Queue<&mut WriteTx<'_>> {
    /// Ends at most `limit` claims whose lease has ended, the oldest first; returns their number. The attempt counts: a
    /// task without an attempt left is dead.
    ///
    /// Every claim does this by itself; this operation is for times without claims. If the clock went back, no lease
    /// lasts longer from now than its length. A damaged task is skipped.
    ///
    /// # Errors
    ///
    /// `Damaged` when no claim was ended and a task was skipped; the message names it. `Invalid` when `limit` is zero.
    pub fn expire(&mut self, limit: usize) -> Result<usize> {
        limits::not_zero("take back at least one task", "limit", limit)?;
        let mut passed = PassedOver::default();
        let count = self.take_back_expired(limit, &mut passed)?;
        passed.unless(count > 0)?;
        Ok(count)
    }

    pub(in crate::state::queue) fn take_back_expired(
        &mut self,
        limit: usize,
        passed: &mut PassedOver,
    ) -> Result<usize> {
        self.correct_deadlines_if_the_clock_went_back(passed)?;
        let expired = keys::expired(self.now());
        self.sweep(expired, limit, TaskState::Claimed, passed, |queue, task| queue.take_back(task, LEASE_ENDED))
    }

    /// Ends the claims of a crashed session; returns their number. The attempt counts. A damaged task stays as it is,
    /// so that it keeps no process from starting.
    pub(crate) fn return_claims_of_session(&mut self, session: SessionId) -> Result<usize> {
        let mut passed = PassedOver::default();
        let claimed = keys::of_session(session).range();
        let count = self.sweep(claimed, usize::MAX, TaskState::Claimed, &mut passed, |queue, task| {
            queue.take_back(task, "the process crashed")
        })?;
        passed.warn("a task that a crashed process had claimed is damaged, and was not taken back");
        Ok(count)
    }

    /// Makes every claimed task ready again without counting an attempt; returns their number. This is for a queue that
    /// was restored to an older point, whose claims are no longer valid.
    pub(crate) fn void_claims(&mut self) -> Result<usize> {
        let claimed = self.all_claims()?;
        for id in &claimed {
            self.void_claim(id)?;
        }
        Ok(claimed.len())
    }

    /// Makes a task consistent with the others after it alone was restored to an older point: its claim is void, and
    /// dependencies that are done are removed. Returns whether it was claimed.
    pub(crate) fn settle(&mut self, id: &TaskId) -> Result<bool> {
        let Some(task) = self.stored(id)? else { return Ok(false) };
        match task.state {
            // Its bot no longer works on it.
            TaskState::Claimed => self.void_claim(id)?,
            // The tasks that it waits for were not restored with it, and may be done.
            TaskState::Ready => {
                let waiting_for = self.not_done(&task.waiting_for)?;
                self.change(&task, Task { waiting_for, ..task.clone() }).map(drop)?;
            }
            // Others may wait for it, as it was not done a moment ago.
            TaskState::Done => self.release_those_waiting_for(id)?,
            TaskState::Failed | TaskState::Dead | TaskState::Cancelled => {}
            // These are never stored.
            TaskState::Scheduled | TaskState::Waiting => {}
        }
        Ok(task.state == TaskState::Claimed)
    }

    /// Writes a finished task again, after a restore to a point at which it was not finished or did not exist.
    pub(crate) fn keep_finished(&mut self, payload: &[u8]) -> Result<()> {
        let finished: Task = codec::decode(payload)?;
        let before = self.stored(&finished.id)?;
        let finished = self.save(before.as_ref(), finished)?;
        if finished.state == TaskState::Done {
            self.release_those_waiting_for(&finished.id)?;
        }
        Ok(())
    }

    /// Removes a task that a restore brought back, because it was finished and purged. If it was done, no task waits
    /// for it.
    pub(crate) fn leave_out(&mut self, key: &[u8]) -> Result<()> {
        let id = TaskId::from_key(key)?;
        if let Some(task) = self.stored(&id)? {
            self.erase(&task)?;
        }
        if self.remembered(&id)?.is_some_and(|remembered| remembered.state == TaskState::Done) {
            self.release_those_waiting_for(&id)?;
        }
        Ok(())
    }

    fn void_claim(&mut self, id: &TaskId) -> Result<()> {
        let task = self.indexed(id)?;
        self.change(&task, released(&task)).map(drop)
    }

    /// Ends a claim whose lease has ended or whose process has crashed; `why` says which.
    fn take_back(&mut self, task: &Task, why: &str) -> Result<()> {
        let Some(holder) = &task.holder else { return Ok(()) };
        let error = claim_lost(why, &holder.bot, task.attempts);
        let failed = attempt_failed(task, error, self.now(), None);
        self.change(task, failed).map(drop)
    }

    /// Corrects deadlines that were set before the clock went back: those further away than their lease is long.
    /// Otherwise the task of a dead bot would stay claimed until the clock has caught up. This reads all claims and the
    /// retries up to then, so it runs only once after the clock went back.
    fn correct_deadlines_if_the_clock_went_back(&mut self, passed: &mut PassedOver) -> Result<()> {
        let Some(ahead) = self.clock_was_ahead_by()? else { return Ok(()) };
        self.sweep(keys::leases().range(), usize::MAX, TaskState::Claimed, passed, Self::correct_deadline)?;
        let delayed = keys::delayed_between(self.now(), after(self.now(), ahead.saturating_add(RETRY_DELAY_MAX)));
        let correct = |queue: &mut Self, task: &Task| queue.correct_retry(task, ahead);
        self.sweep(delayed, usize::MAX, TaskState::Ready, passed, correct)?;
        self.accept_the_time()
    }

    /// Moves the next attempt of a failed task, which may have been set by the wrong clock, so that it is never too
    /// late.
    fn correct_retry(&mut self, task: &Task, ahead: Duration) -> Result<()> {
        let Some(not_before) = task.not_before.filter(|_| task.attempts > 0) else { return Ok(()) };
        let not_before = Some(as_stored(before(not_before, ahead)));
        self.change(task, Task { not_before, ..task.clone() }).map(drop)
    }

    fn correct_deadline(&mut self, task: &Task) -> Result<()> {
        let Some(holder) = &task.holder else { return Ok(()) };
        let latest = as_stored(after(self.now(), Duration::from_millis(holder.lease_ms)));
        let holder = Holder { deadline: holder.deadline.min(latest), ..holder.clone() };
        self.change(task, Task { holder: Some(holder), ..task.clone() }).map(drop)
    }

    fn all_claims(&self) -> Result<Vec<TaskId>> {
        let leases: KeyRange = keys::leases().range();
        let rows = scan_rows(&self.records, Table::Index, leases);
        rows.map(|row| keys::task_of(&row?.0)).collect()
    }
}
