//! Claims that end without their holder: by time, by a crash, by a restore.

use std::time::Duration;

use crate::clock::{after, as_stored, before};
use crate::engine::codec;
use crate::engine::records::{KeyRange, Records, scan_rows};
use crate::engine::schema::Table;
use crate::engine::write::WriteTx;
use crate::error::Result;
use crate::limits;
use crate::state::ids::{BotId, SessionId, TaskId};
use crate::state::queue::Queue;
use crate::state::queue::damage::PassedOver;
use crate::state::queue::finish::{RETRY_DELAY_MAX, attempt_failed, released};
use crate::state::queue::keys::{self, Key};
use crate::state::queue::task::{Holder, Task, TaskState};

#[expect(private_bounds, reason = "what a queue is read from is the crate's own matter")]
impl<R: Records> Queue<R> {
    /// The tasks that `bot` has claimed.
    ///
    /// # Errors
    ///
    /// `Damaged` when one of them cannot be read.
    pub fn claimed_by(&self, bot: &BotId) -> Result<Vec<Task>> {
        self.claims_where(&keys::held_by(bot), |holder| holder.bot == *bot)
    }

    /// The tasks that were claimed in that session and not finished since.
    #[cfg(test)]
    pub(crate) fn claimed_in(&self, session: SessionId) -> Result<Vec<Task>> {
        self.claims_where(&keys::of_session(session), |holder| holder.session == Some(session))
    }

    /// How many tasks are claimed in that session.
    pub(crate) fn count_claimed_in(&self, session: SessionId) -> Result<u64> {
        scan_rows(&self.records, Table::Index, keys::of_session(session).range()).map(|row| row.map(|_| 1)).sum()
    }

    /// How many claims are over that nobody has taken back yet; counts to `limit`.
    #[cfg(feature = "transfer")]
    pub(crate) fn overdue(&self, limit: usize) -> Result<usize> {
        Ok(self.records.rows(Table::Index, &keys::expired(self.records.now()), limit)?.len())
    }

    /// The claimed tasks under `head` of the index, or, as of a point, those that `held` names.
    fn claims_where(&self, head: &Key, held: impl Fn(&Holder) -> bool) -> Result<Vec<Task>> {
        if !self.records.is_now() {
            let is_wanted = |task: &Task| task.holder.as_ref().is_some_and(&held);
            return self.stored_tasks().filter(|task| task.as_ref().map_or(true, is_wanted)).collect();
        }
        let rows = scan_rows(&self.records, Table::Index, head.clone().range());
        rows.map(|row| self.indexed(&keys::task_of(&row?.0)?)).collect()
    }
}

impl Queue<&mut WriteTx<'_>> {
    /// Takes back at most `limit` tasks whose lease has ended, the one that ended first in front; gives how many. The
    /// attempt counts: a task with none left is dead.
    ///
    /// Every claim does so by itself; this is for when nobody claims. Should the clock have gone back, no lease lasts
    /// longer from now than it was asked for. A task that is damaged is passed over.
    ///
    /// # Errors
    ///
    /// `Damaged` when none was taken back and one was passed over, which the message names. `Invalid` when `limit` is zero.
    pub fn expire(&mut self, limit: usize) -> Result<usize> {
        limits::not_zero("take back at least one task", "limit", limit)?;
        let mut passed = PassedOver::default();
        let count = self.take_back_expired(limit, &mut passed)?;
        passed.unless(count > 0)?;
        Ok(count)
    }

    pub(super) fn take_back_expired(&mut self, limit: usize, passed: &mut PassedOver) -> Result<usize> {
        self.correct_deadlines_if_the_clock_went_back(passed)?;
        let expired = keys::expired(self.now());
        self.sweep(expired, limit, TaskState::Claimed, passed, |queue, task| queue.take_back(task, "the lease ended"))
    }

    /// Takes back what was claimed in a session that has crashed; gives how many tasks. The attempt counts. One that is
    /// damaged stays as it is: it keeps no process from starting.
    pub(crate) fn return_claims_of_session(&mut self, session: SessionId) -> Result<usize> {
        let mut passed = PassedOver::default();
        let claimed = keys::of_session(session).range();
        let count = self.sweep(claimed, usize::MAX, TaskState::Claimed, &mut passed, |queue, task| {
            queue.take_back(task, "the process crashed")
        })?;
        passed.warn("a task that a crashed process had claimed is damaged, and was not taken back");
        Ok(count)
    }

    /// Makes every claimed task ready again, without counting an attempt; gives how many. For a queue that was restored
    /// to an older point, whose claims are of the past.
    pub(crate) fn void_claims(&mut self) -> Result<usize> {
        let claimed = self.all_claims()?;
        for id in &claimed {
            self.void_claim(id)?;
        }
        Ok(claimed.len())
    }

    /// Makes one task agree with the others once it alone was restored to an older point: a claim is void, and what is
    /// done is waited for no more. Says whether it was claimed.
    pub(crate) fn settle(&mut self, id: &TaskId) -> Result<bool> {
        let Some(task) = self.stored(id)? else { return Ok(false) };
        match task.state {
            TaskState::Claimed => self.void_claim(id)?,
            TaskState::Ready => {
                let waiting_for = self.not_done(&task.waiting_for)?;
                self.change(&task, Task { waiting_for, ..task.clone() }).map(drop)?;
            }
            TaskState::Done => self.release_those_waiting_for(id)?,
            TaskState::Failed | TaskState::Dead | TaskState::Cancelled => {}
            // These are never stored.
            TaskState::Scheduled | TaskState::Waiting => {}
        }
        Ok(task.state == TaskState::Claimed)
    }

    /// Puts a task back as it was when it had finished, after a restore to a point before that, or before it came.
    pub(crate) fn keep_finished(&mut self, payload: &[u8]) -> Result<()> {
        let finished: Task = codec::decode(payload)?;
        let before = self.stored(&finished.id)?;
        let finished = self.save(before.as_ref(), finished)?;
        if finished.state == TaskState::Done {
            self.release_those_waiting_for(&finished.id)?;
        }
        Ok(())
    }

    /// Lets a task of the point that was restored not come back. When it was done, none waits for it.
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

    /// Ends a claim whose holder is not heard of any more.
    fn take_back(&mut self, task: &Task, why: &str) -> Result<()> {
        let bot = task.holder.as_ref().map(|holder| holder.bot.to_string()).unwrap_or_default();
        let error = format!("{why}: bot={bot} attempt={}", task.attempts);
        let failed = attempt_failed(task, error, self.now(), None);
        self.change(task, failed).map(drop)
    }

    /// A deadline further from now than its lease is long was set before the clock went back; without this, the task of
    /// a dead bot would stay with it until the clock has caught up. It looks at all claims and at the tasks that were to
    /// be tried again by then, so only once after the clock went back.
    fn correct_deadlines_if_the_clock_went_back(&mut self, passed: &mut PassedOver) -> Result<()> {
        let Some(ahead) = self.clock_was_ahead_by()? else { return Ok(()) };
        self.sweep(keys::leases().range(), usize::MAX, TaskState::Claimed, passed, Self::correct_deadline)?;
        let delayed = keys::delayed_between(self.now(), after(self.now(), ahead.saturating_add(RETRY_DELAY_MAX)));
        let correct = |queue: &mut Self, task: &Task| queue.correct_retry(task, ahead);
        self.sweep(delayed, usize::MAX, TaskState::Ready, passed, correct)?;
        self.accept_the_time()
    }

    /// The next attempt of a task that failed was set by that clock too, or before: it comes no later than it should.
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
