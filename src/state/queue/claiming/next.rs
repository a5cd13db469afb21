//! Completes a task and claims the next one in the same commit.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::engine::store::Store;
use crate::engine::write::WriteTx;
use crate::error::Result;
use crate::state::ids::{BotId, TaskId, Token};
use crate::state::queue::claiming::claim::{Claim, ClaimOptions};
use crate::state::queue::tasks::damage::PassedOver;
use crate::state::queue::tasks::saving::{Queue, names};
use crate::state::queue::tasks::task::Task;

/// A completed task, and the claims that its bot made in the same commit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Completed {
    /// The completed task.
    pub completed: Task,
    /// The next tasks of the bot; none when there is nothing for it.
    pub claims: Vec<Claim>,
}

impl Store {
    /// Completes a task and claims the next one for the same bot, as
    /// [`complete_and_claim`](Queue::complete_and_claim) does, and waits up to `timeout` for the first one.
    ///
    /// The task is completed at once, also if the bot then waits. If the wait fails, the claims are empty, the failure
    /// is logged, and the next call returns it.
    ///
    /// # Errors
    ///
    /// As [`complete_and_claim`](Queue::complete_and_claim) and [`Store::write`]; then nothing is completed, unless the
    /// error is `Uncertain`.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use hivekeep::{BotId, ClaimOptions, NewTask, Store};
    ///
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = Store::open(dir.path().join("hive.redb"))?;
    /// let (bot, options) = (BotId::new("BOT-1")?, ClaimOptions::default());
    /// store.enqueue_all((0..3).map(NewTask::new).collect())?;
    /// let mut claims = store.claim_wait(&bot, &options, Duration::ZERO)?;
    /// while let Some(claim) = claims.pop() {
    ///     let result = claim.payload.as_i64().unwrap_or_default() * 2;
    ///     claims = store.complete_and_claim(&claim.id, claim.token, result, &options, Duration::ZERO)?.claims;
    /// }
    /// assert_eq!(store.view()?.queue().counts()?.done, 3);
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn complete_and_claim(
        &self,
        id: &TaskId,
        token: Token,
        result: impl Into<Value>,
        options: &ClaimOptions,
        timeout: Duration,
    ) -> Result<Completed> {
        let mut ended = self.write(|tx| tx.queue().complete_and_claim(id, token, result, options))?;
        if let Some(bot) = Completed::waiting_bot(&ended.completed, &ended.claims, timeout) {
            ended.claims = Completed::claims_of(self.claim_wait(bot, options, timeout));
        }
        Ok(ended)
    }
}

impl Completed {
    /// The bot that waits up to `timeout` for its next task behind a completion: the one that held the task, if the
    /// same commit claimed nothing for it. None if nobody waits.
    pub fn waiting_bot<'t>(completed: &'t Task, claims: &[Claim], timeout: Duration) -> Option<&'t BotId> {
        completed.finished_by.as_ref().filter(|_| claims.is_empty() && !timeout.is_zero())
    }

    /// The claims of a wait behind a completion. If the wait has failed, there are none, and the failure is logged: the
    /// task stays completed, and the next claim returns the failure.
    pub fn claims_of(waited: Result<Vec<Claim>>) -> Vec<Claim> {
        waited.unwrap_or_else(|error| {
            tracing::warn!(%error, "a task was completed, and then the bot could not wait for the next one");
            Vec::new()
        })
    }
}

impl Queue<&mut WriteTx<'_>> {
    /// Completes a task as [`complete`](Queue::complete) does, and claims the next ones for the bot that held it, as
    /// [`claim`](Queue::claim) does. A damaged task in the queue does not prevent the completion.
    ///
    /// # Errors
    ///
    /// As [`complete`](Queue::complete) and [`claim`](Queue::claim), but for a damaged task that a claim skips. Then
    /// nothing is completed and nothing claimed.
    ///
    /// # Examples
    ///
    /// ```
    /// use hivekeep::{BotId, ClaimOptions, Completed, NewTask, Store};
    ///
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = Store::open(dir.path().join("hive.redb"))?;
    /// let bot = BotId::new("BOT-1")?;
    /// store.write(|tx| {
    ///     tx.queue().enqueue(NewTask::new("build"))?;
    ///     tx.queue().enqueue(NewTask::new("test"))?;
    ///     let first = tx.queue().claim(&bot, &ClaimOptions::default())?;
    ///     let Completed { completed, claims } =
    ///         tx.queue().complete_and_claim(&first[0].id, first[0].token, "built", &ClaimOptions::default())?;
    ///     assert_eq!((completed.payload, claims[0].payload.clone()), ("build".into(), "test".into()));
    ///     Ok(())
    /// })?;
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn complete_and_claim(
        &mut self,
        id: &TaskId,
        token: Token,
        result: impl Into<Value>,
        options: &ClaimOptions,
    ) -> Result<Completed> {
        let result = result.into();
        let (completed, claims) =
            self.end_and_claim_for(None, Some(options), |queue| queue.complete(id, token, result))?;
        Ok(Completed { completed, claims })
    }

    /// Ends a task of `bot`, and claims the next ones for it, if there are options for that.
    pub(crate) fn end_and_claim(
        &mut self,
        bot: &BotId,
        options: Option<&ClaimOptions>,
        end: impl FnOnce(&mut Queue<&mut WriteTx<'_>>) -> Result<Task>,
    ) -> Result<(Task, Vec<Claim>)> {
        self.end_and_claim_for(Some(bot), options, end)
    }

    /// The same for that bot, or for the one that finished the task.
    fn end_and_claim_for(
        &mut self,
        bot: Option<&BotId>,
        options: Option<&ClaimOptions>,
        end: impl FnOnce(&mut Queue<&mut WriteTx<'_>>) -> Result<Task>,
    ) -> Result<(Task, Vec<Claim>)> {
        options.map_or(Ok(()), ClaimOptions::check)?;
        self.records.whole_or_refused(|tx| {
            tx.queue().together(|queue| {
                let ended = end(queue)?;
                let bot = bot.or(ended.finished_by.as_ref());
                let claims = match (options, bot) {
                    (Some(options), Some(bot)) => queue.claim_next(bot, options)?,
                    _ => Vec::new(),
                };
                if let Some(claimed) = names(claims.iter().map(|claim| &claim.id)) {
                    queue.records.note("queue_claim", Some(&claimed))?;
                }
                Ok((ended, claims))
            })
        })
    }

    /// Claims the next tasks for a bot, and skips damaged ones.
    fn claim_next(&mut self, bot: &BotId, options: &ClaimOptions) -> Result<Vec<Claim>> {
        let mut passed = PassedOver::default();
        let (claims, _) = self.take(bot, options, &mut passed)?;
        passed.warn("a task that could be claimed next is damaged, and was skipped");
        Ok(claims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::state::queue::TaskState;
    use crate::state::queue::verbs_test::{bot, id, named};
    use crate::testkit::checked_store::Fixture;

    fn complete_and_claim(hive: &Fixture, claim: &Claim, options: &ClaimOptions) -> Completed {
        hive.write(|tx| tx.queue().complete_and_claim(&claim.id, claim.token, 1, options))
    }

    #[test]
    fn a_task_is_completed_and_the_next_one_claimed_for_the_same_bot_in_one_commit() {
        let hive = Fixture::new();
        ["a", "b"].iter().for_each(|name| drop(hive.push(named(name))));
        let first = hive.claim_one("ant");
        let commits = hive.store.commits().count();
        let ended = complete_and_claim(&hive, &first, &ClaimOptions::default());
        assert_eq!(hive.store.commits().count(), commits + 1);
        assert_eq!((ended.completed.id, ended.completed.state), (id("a"), TaskState::Done));
        assert_eq!(ended.completed.finished_by, Some(bot("ant")));
        assert_eq!(ended.claims[0].id, id("b"));
        assert_eq!(hive.task("b").holder.unwrap().bot, bot("ant"));
        let last = complete_and_claim(&hive, &ended.claims[0], &ClaimOptions::default());
        assert_eq!(last.claims, []);
    }

    #[test]
    fn the_place_of_the_completed_task_is_free_for_the_next_one() {
        let hive = Fixture::new();
        ["a", "b"].iter().for_each(|name| drop(hive.push(named(name))));
        hive.register("ant", &[], 1);
        let first = hive.claim_one("ant");
        assert_eq!(hive.claim_ids("ant", 1), [""; 0]);
        assert_eq!(complete_and_claim(&hive, &first, &ClaimOptions::default()).claims[0].id, id("b"));
    }

    #[test]
    fn the_next_one_may_be_a_task_that_waited_for_the_completed_one() {
        let hive = Fixture::new();
        hive.push(named("build"));
        hive.push(named("test").after(id("build")));
        let first = hive.claim_one("ant");
        assert_eq!(complete_and_claim(&hive, &first, &ClaimOptions::default()).claims[0].id, id("test"));
    }

    #[test]
    fn a_void_token_completes_nothing_and_claims_nothing() {
        let hive = Fixture::new();
        ["a", "b"].iter().for_each(|name| drop(hive.push(named(name))));
        let first = hive.claim_one("ant");
        let void = Token(first.token.0 + 1);
        let error = hive.refused(|tx| tx.queue().complete_and_claim(&first.id, void, 1, &ClaimOptions::default()));
        assert_eq!(error.kind(), ErrorKind::Conflict);
        let none = ClaimOptions { max: 0, ..ClaimOptions::default() };
        hive.refused(|tx| tx.queue().complete_and_claim(&first.id, first.token, 1, &none));
        assert_eq!((hive.task("a").state, hive.task("b").state), (TaskState::Claimed, TaskState::Ready));
    }

    #[test]
    fn a_bot_that_waits_after_its_completion_gets_the_task_that_comes() {
        let hive = Fixture::new();
        hive.push(named("a"));
        let first = hive.claim_one("ant");
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| {
                let options = ClaimOptions::default();
                hive.store.complete_and_claim(&first.id, first.token, 1, &options, Duration::from_secs(60)).unwrap()
            });
            while hive.task("a").state != TaskState::Done {
                std::thread::yield_now();
            }
            hive.push(named("b"));
            assert_eq!(waits.join().unwrap().claims[0].id, id("b"));
        });
    }

    #[test]
    fn a_damaged_task_in_the_queue_does_not_prevent_the_completion() {
        let hive = Fixture::new();
        hive.push(named("a"));
        let first = hive.claim_one("ant");
        hive.push(named("b"));
        hive.damage_task("b");
        let ended =
            hive.store.write(|tx| tx.queue().complete_and_claim(&first.id, first.token, 1, &ClaimOptions::default()));
        let ended = ended.unwrap();
        assert_eq!((ended.completed.state, ended.claims.len()), (TaskState::Done, 0));
    }
}
