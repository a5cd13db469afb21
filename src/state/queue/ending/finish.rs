//! The operations of a holder on its claim, and the end and the requeue of a task.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use crate::clock::{after, as_stored};
use crate::engine::write::WriteTx;
use crate::error::{Error, ErrorKind, Result};
use crate::limits;
use crate::state::ids::{TaskId, Token};
use crate::state::queue::claiming::claim::{check_lease, millis};
use crate::state::queue::tasks::saving::Queue;
use crate::state::queue::tasks::task::{Holder, Task, TaskState};

/// The delay before the second attempt. It doubles with each attempt.
const RETRY_DELAY_FIRST_MS: u64 = 1_000;
/// The maximum delay between attempts.
pub(super) const RETRY_DELAY_MAX: Duration = Duration::from_secs(300);

/// The consequence of a failed attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Retry {
    /// Retry later: between half a second and a second after the first attempt, and twice that after each further
    /// attempt, at most five minutes. A task without an attempt left is dead.
    #[default]
    Later,
    /// Retry after that time, of at most thirty days. A task without an attempt left is dead.
    After(Duration),
    /// Do not retry: the task has failed.
    Never,
}

impl Queue<&mut WriteTx<'_>> {
    /// Extends a claim to `lease` from now. Returns the task.
    ///
    /// # Errors
    ///
    /// `NotFound` when there is no such task. `Conflict` when the token does not belong to its holder; the message
    /// names the holder. `Invalid` when the lease has no length, or is longer than seven days.
    pub fn extend(&mut self, id: &TaskId, token: Token, lease: Duration) -> Result<Task> {
        check_lease(lease)?;
        let (task, holder) = self.held(id, token)?;
        let deadline = as_stored(after(self.now(), lease));
        let holder = Holder { deadline, lease_ms: millis(lease), ..holder };
        let extended = Task { holder: Some(holder), ..task.clone() };
        self.change_and_note("queue_extend", &task, extended)
    }

    /// Marks a claimed task as done. Tasks that waited for it only can then be claimed. Returns the task.
    ///
    /// # Errors
    ///
    /// `NotFound` when there is no such task. `Conflict` when the token does not belong to its holder, because the
    /// lease had ended and another bot got the task. The message names the holder; discard the result. `Invalid` when
    /// the result is longer than its [limit](crate#limits).
    pub fn complete(&mut self, id: &TaskId, token: Token, result: impl Into<Value>) -> Result<Task> {
        let done = self.end_with(id, token, result.into())?;
        self.records.note("queue_complete", Some(id.as_str()))?;
        Ok(done)
    }

    fn end_with(&mut self, id: &TaskId, token: Token, result: Value) -> Result<Task> {
        limits::json("the result of a task", &result, limits::VALUE_BYTES)?;
        let (task, _) = self.held(id, token)?;
        let done = Task { result, ..finished(&task, TaskState::Done, self.now()) };
        let done = self.change(&task, done)?;
        self.release_those_waiting_for(id)?;
        Ok(done)
    }

    /// Records a failed attempt with its `error`. Returns the task: ready, scheduled, dead, or failed.
    ///
    /// # Errors
    ///
    /// `NotFound` when there is no such task. `Conflict` when the token does not belong to its holder; the message
    /// names the holder. `Invalid` when the error or the delay is longer than its [limit](crate#limits).
    ///
    /// # Examples
    ///
    /// ```
    /// use hivekeep::{BotId, ClaimOptions, NewTask, Retry, Store, TaskState};
    ///
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = Store::open(dir.path().join("hive.redb"))?;
    /// let bot = BotId::new("BOT-1")?;
    /// let task = store.write(|tx| {
    ///     tx.queue().enqueue(NewTask::new("build").max_attempts(1))?;
    ///     let claims = tx.queue().claim(&bot, &ClaimOptions::default())?;
    ///     tx.queue().fail(&claims[0].id, claims[0].token, "no compiler", Retry::Later)
    /// })?;
    /// assert_eq!(task.state, TaskState::Dead);
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn fail(&mut self, id: &TaskId, token: Token, error: impl Into<String>, retry: Retry) -> Result<Task> {
        let error = error.into();
        limits::text("the error of an attempt", &error, limits::REASON_BYTES)?;
        if let Retry::After(delay) = retry {
            limits::duration("the delay of a retry", delay, limits::RETRY_DELAY)?;
        }
        let (task, _) = self.held(id, token)?;
        let now = self.now();
        let failed = match retry {
            Retry::Never => Task { last_error: Some(error), ..finished(&task, TaskState::Failed, now) },
            Retry::After(delay) => attempt_failed(&task, error, now, Some(delay)),
            Retry::Later => attempt_failed(&task, error, now, Some(retry_delay(task.attempts, token))),
        };
        self.change_and_note("queue_fail", &task, failed)
    }

    /// Releases a claimed task as if it had not been claimed: no attempt is counted, and the task keeps its place.
    /// Returns the task.
    ///
    /// # Errors
    ///
    /// `NotFound` when there is no such task. `Conflict` when the token does not belong to its
    /// holder; the message names the holder.
    pub fn release(&mut self, id: &TaskId, token: Token) -> Result<Task> {
        let (task, _) = self.held(id, token)?;
        self.change_and_note("queue_release", &task, released(&task))
    }

    /// Cancels a task. If it is claimed, its token becomes void. Returns the task.
    ///
    /// # Errors
    ///
    /// `NotFound` when there is no such task. `Conflict` when it is finished.
    pub fn cancel(&mut self, id: &TaskId) -> Result<Task> {
        let task = self.existing(id)?;
        self.refuse_unless_holder(&task)?;
        if task.state.is_finished() {
            let state = task.state;
            return Err(Error::conflict(format!(
                "only what is not finished can be cancelled: task={id} state={state}"
            )));
        }
        let by_holder = self.records.actor().is_some_and(|actor| actor.bot().is_some());
        let mut cancelled = finished(&task, TaskState::Cancelled, self.now());
        // Otherwise somebody took the task from its holder, who finished nothing.
        cancelled.finished_by = cancelled.finished_by.filter(|_| by_holder);
        self.change_and_note("queue_cancel", &task, cancelled)
    }

    /// Requeues a failed, dead or cancelled task, after all others of its priority and with all its attempts. Returns
    /// the task. A task that was claimed before does not wait for a dependency that was purged since.
    ///
    /// # Errors
    ///
    /// `NotFound` when there is no such task. `Conflict` when it is ready, claimed or done. `Invalid` when it would
    /// wait for itself.
    pub fn requeue(&mut self, id: &TaskId) -> Result<Task> {
        let task = self.existing(id)?;
        if !matches!(task.state, TaskState::Failed | TaskState::Dead | TaskState::Cancelled) {
            let state = self.shown(task)?.state;
            return Err(Error::conflict(format!(
                "only a failed, dead or cancelled task can be requeued: task={id} state={state}"
            )));
        }
        let again = Task {
            state: TaskState::Ready,
            sequence: self.next_sequence()?,
            waiting_for: self.not_done_again(&task)?,
            attempts: 0,
            finished_at: None,
            finished_by: None,
            ..task.clone()
        };
        self.refuse_waiting_for_itself(&again)?;
        self.change_and_note("queue_requeue", &task, again)
    }

    /// Refuses a token other than the holder's, with the message of a late [`complete`](Queue::complete).
    #[cfg(feature = "http")]
    pub(crate) fn check_token(&self, id: &TaskId, token: Token) -> Result<()> {
        self.held(id, token).map(drop)
    }

    /// Writes a changed task, and notes the action.
    fn change_and_note(&mut self, action: &'static str, before: &Task, after: Task) -> Result<Task> {
        let changed = self.change(before, after)?;
        self.records.note(action, Some(before.id.as_str()))?;
        Ok(changed)
    }

    /// Refuses an actor who acts as a bot, unless that bot holds the task.
    fn refuse_unless_holder(&self, task: &Task) -> Result<()> {
        match &task.holder {
            Some(holder) => self.records.refuse_other_bot(&holder.bot),
            None if self.records.actor().is_some_and(|actor| actor.bot().is_some()) => {
                let message = format!("a bot may only do this with a task that it holds: task={}", task.id);
                Err(Error::new(ErrorKind::Forbidden, message))
            }
            None => Ok(()),
        }
    }

    /// The task and its holder, if the token is the holder's.
    fn held(&self, id: &TaskId, token: Token) -> Result<(Task, Holder)> {
        let task = self.existing(id)?;
        task.holder.as_ref().map_or(Ok(()), |holder| self.records.refuse_other_bot(&holder.bot))?;
        match &task.holder {
            Some(holder) if holder.token == token => {
                let holder = holder.clone();
                Ok((task, holder))
            }
            Some(Holder { bot, .. }) => Err(Error::conflict(format!(
                "the token is void, another claim holds the task now; throw this work away: task={id} token={token} held_by={bot}"
            ))),
            None => {
                let state = self.shown(task)?.state;
                Err(Error::conflict(format!(
                    "the token is void, nobody holds the task now; throw this work away: task={id} token={token} state={state}"
                )))
            }
        }
    }
}

/// The finished task.
fn finished(task: &Task, state: TaskState, now: Timestamp) -> Task {
    let mut task = task.clone();
    task.state = state;
    task.finished_at = Some(now);
    task.finished_by = task.holder.take().map(|holder| holder.bot);
    task.waiting_for.clear();
    (task.not_before, task.ready_since) = (None, None);
    task
}

/// The claimed task after a failed attempt: ready at once or after `delay`, or dead.
pub(in crate::state::queue) fn attempt_failed(
    task: &Task,
    error: String,
    now: Timestamp,
    delay: Option<Duration>,
) -> Task {
    let last_error = Some(error);
    if task.attempts >= task.max_attempts {
        return Task { last_error, ..finished(task, TaskState::Dead, now) };
    }
    let not_before = delay.map(|delay| as_stored(after(now, delay))).filter(|time| *time > now);
    Task { state: TaskState::Ready, holder: None, not_before, last_error, ready_since: None, ..task.clone() }
}

/// The claimed task as if it had not been claimed.
pub(in crate::state::queue) fn released(task: &Task) -> Task {
    Task { state: TaskState::Ready, holder: None, attempts: task.attempts.saturating_sub(1), ..task.clone() }
}

/// The delay after a failed attempt. It doubles each time, and the token of the claim spreads it over its upper half,
/// so that tasks that failed together are not retried together.
fn retry_delay(attempt: u32, token: Token) -> Duration {
    let doubled = 1u64.checked_shl(attempt.saturating_sub(1)).unwrap_or(u64::MAX);
    let longest = RETRY_DELAY_FIRST_MS.saturating_mul(doubled).min(millis(RETRY_DELAY_MAX));
    let half = longest / 2;
    Duration::from_millis(half + scatter(token.0) % (longest - half + 1))
}

/// A pseudo-random number derived from another: SplitMix64, <https://prng.di.unimi.it/splitmix64.c>.
fn scatter(number: u64) -> u64 {
    let mut mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_five_minutes_and_are_spread_over_their_upper_half() {
        for (attempt, longest) in [(1, 1_000), (2, 2_000), (3, 4_000), (9, 256_000), (10, 300_000), (u32::MAX, 300_000)]
        {
            let delays: Vec<_> = (0..200).map(|token| retry_delay(attempt, Token(token)).as_millis()).collect();
            assert!(
                delays.iter().all(|delay| (longest / 2..=longest).contains(delay)),
                "attempt {attempt}: {delays:?}"
            );
            let low = delays.iter().filter(|delay| **delay < longest * 3 / 4).count();
            assert!((60..140).contains(&low), "attempt {attempt}: {low} of 200 in the lower half");
        }
    }
}
