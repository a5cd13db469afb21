//! Claims that end without their holder: by time, by a crash, by a restore.

use std::time::Duration;

use crate::clock::{after, as_stored};
use crate::engine::codec;
use crate::engine::records::{KeyRange, Records, scan_rows};
use crate::engine::schema::Table;
use crate::engine::write::WriteTx;
use crate::error::Result;
use crate::state::ids::{BotId, SessionId, TaskId};
use crate::state::queue::Queue;
use crate::state::queue::finish::{attempt_failed, released};
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
    pub(crate) fn claimed_in(&self, session: SessionId) -> Result<Vec<Task>> {
        self.claims_where(&keys::of_session(session), |holder| holder.session == Some(session))
    }

    /// How many claims are over that nobody has taken back yet; counts to `limit`.
    #[cfg(feature = "cli")]
    pub(crate) fn overdue(&self, limit: usize) -> Result<usize> {
        Ok(self.records.rows(Table::Index, &keys::expired(self.records.now()), limit)?.len())
    }

    /// The claimed tasks under `head` of the index, or, as of a point, those that `held` names.
    fn claims_where(&self, head: &Key, held: impl Fn(&Holder) -> bool) -> Result<Vec<Task>> {
        if !self.records.is_now() {
            let is_wanted = |task: &Task| task.holder.as_ref().is_some_and(&held);
            return self.list().filter(|task| task.as_ref().map_or(true, is_wanted)).collect();
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
    /// longer from now than it was asked for.
    ///
    /// # Errors
    ///
    /// `Damaged` when one of them cannot be read.
    pub fn expire(&mut self, limit: usize) -> Result<usize> {
        let now = self.now();
        self.correct_deadlines_if_the_clock_went_back()?;
        let rows = self.records.rows(Table::Index, &keys::expired(now), limit)?;
        for (row, _) in &rows {
            let task = self.indexed(&keys::task_of(row)?)?;
            self.take_back(&task, "the lease ended")?;
        }
        Ok(rows.len())
    }

    /// Takes back what was claimed in a session that has crashed; gives how many tasks. The attempt counts.
    pub(crate) fn return_claims_of_session(&mut self, session: SessionId) -> Result<usize> {
        let claimed = self.claimed_in(session)?;
        for task in &claimed {
            self.take_back(task, "the process crashed")?;
        }
        Ok(claimed.len())
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
        let Some(task) = self.get(id)? else { return Ok(false) };
        match task.state {
            TaskState::Claimed => self.void_claim(id)?,
            TaskState::Ready => {
                let waiting_for = self.not_done(&task.waiting_for)?;
                self.change(&task, Task { waiting_for, ..task.clone() }).map(drop)?;
            }
            TaskState::Done => self.release_those_waiting_for(id)?,
            TaskState::Failed | TaskState::Dead | TaskState::Cancelled => {}
        }
        Ok(task.state == TaskState::Claimed)
    }

    /// Puts a task back as it was when it had finished, after a restore to a point before that.
    pub(crate) fn keep_finished(&mut self, payload: &[u8]) -> Result<()> {
        let finished: Task = codec::decode(payload)?;
        let before = self.indexed(&finished.id)?;
        let finished = self.change(&before, finished)?;
        if finished.state == TaskState::Done {
            self.release_those_waiting_for(&finished.id)?;
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
    /// a dead bot would stay with it until the clock has caught up. It looks at all claims, so only once after the clock
    /// went back.
    fn correct_deadlines_if_the_clock_went_back(&mut self) -> Result<()> {
        if !self.clock_went_back()? {
            return Ok(());
        }
        let now = self.now();
        for id in self.all_claims()? {
            let task = self.indexed(&id)?;
            let Some(holder) = &task.holder else { continue };
            let latest = as_stored(after(now, Duration::from_millis(holder.lease_ms)));
            if holder.deadline > latest {
                let holder = Some(Holder { deadline: latest, ..holder.clone() });
                self.change(&task, Task { holder, ..task.clone() })?;
            }
        }
        self.accept_the_time()
    }

    fn all_claims(&self) -> Result<Vec<TaskId>> {
        let leases: KeyRange = keys::leases().range();
        let rows = scan_rows(&self.records, Table::Index, leases);
        rows.map(|row| keys::task_of(&row?.0)).collect()
    }
}
