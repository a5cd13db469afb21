//! Waits for a claim. A look without a result costs no write transaction.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::engine::commit::wakeups::Waiter;
use crate::engine::records::Records;
use crate::engine::schema::Table;
use crate::engine::store::Store;
use crate::engine::view::View;
use crate::error::Result;
use crate::state::ids::BotId;
use crate::state::queue::claim::{Claim, ClaimOptions};
use crate::state::queue::{Queue, keys};

/// A wait for a claim, one look after the other. Between two looks its owner waits for the next commit, on a thread or
/// in async code.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use hivekeep::{BotId, ClaimOptions, ClaimWait, NewTask, Store};
///
/// # let dir = tempfile::tempdir().unwrap();
/// # let store = Store::open(dir.path().join("hive.redb"))?;
/// let mut wait = ClaimWait::new(&BotId::new("BOT-1")?, &ClaimOptions::default(), Duration::from_secs(30));
/// assert_eq!(wait.look(&store)?, None);
/// store.write(|tx| tx.queue().enqueue(NewTask::new("build")))?;
/// assert_eq!(wait.look(&store)?.unwrap().len(), 1);
/// # Ok::<(), hivekeep::Error>(())
/// ```
pub struct ClaimWait {
    bot: BotId,
    options: ClaimOptions,
    /// The end of the wait; none if the time cannot be represented.
    until: Option<Instant>,
    /// The number of commits that the last look had seen.
    seen: u64,
    /// Lets the store tell when a task comes due; set by the first look that finds nothing.
    waiter: Option<Waiter>,
}

impl ClaimWait {
    /// A wait that has not looked yet.
    pub fn new(bot: &BotId, options: &ClaimOptions, timeout: Duration) -> Self {
        let until = Instant::now().checked_add(timeout);
        Self { bot: bot.clone(), options: options.clone(), until, seen: 0, waiter: None }
    }

    /// Tries to claim. Returns the claims, or an empty list once the time is over. Returns none while the wait continues.
    ///
    /// # Errors
    ///
    /// As [`Store::claim_wait`].
    pub fn look(&mut self, store: &Store) -> Result<Option<Vec<Claim>>> {
        if self.waiter.is_none() {
            let claims = store.claim(&self.bot, &self.options)?;
            if !claims.is_empty() || self.is_over() {
                return Ok(Some(claims));
            }
            self.waiter = Some(store.waiting()?);
        }
        self.seen = store.commits().count();
        let claims = store.claim_if_any(&self.bot, &self.options)?;
        Ok(Some(claims).filter(|claims| !claims.is_empty() || self.is_over()))
    }

    /// The number of commits that the last look had seen: the next one is due when there are more, or at the end.
    pub(crate) fn seen(&self) -> u64 {
        self.seen
    }

    /// The end of the wait; none if the time cannot be represented.
    pub(crate) fn until(&self) -> Option<Instant> {
        self.until
    }

    fn is_over(&self) -> bool {
        self.until.is_some_and(|until| until <= Instant::now())
    }
}

impl Store {
    /// Claims tasks for `bot` as [`claim`](Queue::claim) does, and waits up to `timeout` for the first one.
    ///
    /// A commit of this process wakes the waiting bot at once. One thread for all waiting bots notices within 100 ms
    /// the commits of other processes, tasks that come due, and leases that end. Waiting costs no write transaction, so
    /// many bots may wait.
    ///
    /// # Errors
    ///
    /// As [`claim`](Queue::claim) and [`Store::write`]; `Io` when no thread can be started. A timeout is no error: the
    /// result is empty.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use hivekeep::{BotId, ClaimOptions, NewTask, Store};
    ///
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = Store::open(dir.path().join("hive.redb"))?;
    /// let bot = BotId::new("BOT-1")?;
    /// assert!(store.claim_wait(&bot, &ClaimOptions::default(), Duration::from_millis(10))?.is_empty());
    ///
    /// let worker = std::thread::spawn({
    ///     let (store, bot) = (store.clone(), bot.clone());
    ///     move || store.claim_wait(&bot, &ClaimOptions::default(), Duration::from_secs(30))
    /// });
    /// store.write(|tx| tx.queue().enqueue(NewTask::new(serde_json::json!("build"))))?;
    /// assert_eq!(worker.join().unwrap()?.len(), 1);
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn claim_wait(&self, bot: &BotId, options: &ClaimOptions, timeout: Duration) -> Result<Vec<Claim>> {
        let mut wait = ClaimWait::new(bot, options, timeout);
        loop {
            if let Some(claims) = wait.look(self)? {
                return Ok(claims);
            }
            self.commits().wait(wait.seen(), wait.until());
        }
    }

    /// Claims only if a read-only look finds a task. Arranges that the waiting bot is woken when the next task comes
    /// due.
    pub(super) fn claim_if_any(&self, bot: &BotId, options: &ClaimOptions) -> Result<Vec<Claim>> {
        let view = self.view()?;
        let next = view.queue().next_due()?;
        if let Some(next) = next {
            self.commits().tell_at(next);
        }
        let is_due = next.is_some_and(|next| next <= view.now());
        if !is_due && !view.queue().may_have_work_for(bot, options)? {
            return Ok(Vec::new());
        }
        drop(view);
        self.claim(bot, options)
    }

    pub(super) fn claim(&self, bot: &BotId, options: &ClaimOptions) -> Result<Vec<Claim>> {
        self.write(|tx| tx.queue().claim(bot, options))
    }
}

impl Queue<&View> {
    /// The time when the next task comes due or the next lease ends.
    fn next_due(&self) -> Result<Option<Timestamp>> {
        let mut next = None;
        for rows in [keys::leases().range(), keys::delayed().range()] {
            let first = self.records.rows(Table::Index, &rows, 1)?;
            let time = first.first().map(|(row, _)| keys::time_of(row)).transpose()?;
            next = next.into_iter().chain(time).min();
        }
        Ok(next)
    }

    /// Whether a claim of the bot could find a task, or could correct deadlines after the clock went back.
    fn may_have_work_for(&self, bot: &BotId, options: &ClaimOptions) -> Result<bool> {
        if self.clock_went_back()? {
            return Ok(true);
        }
        let registered = self.records.registry().get(bot)?;
        let claimant = self.claimant(bot, registered.as_ref(), options)?;
        Ok(claimant.free() > 0 && self.has_open_lane(&claimant)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::queue::NewTask;
    use crate::state::queue::verbs_test::{bot, named};
    use crate::testkit::checked_store::Fixture;

    const LONG: Duration = Duration::from_secs(60);

    fn claim_wait(hive: &Fixture, timeout: Duration) -> Vec<String> {
        let claims = hive.store.claim_wait(&bot("ant"), &ClaimOptions::default(), timeout).unwrap();
        claims.into_iter().map(|claim| claim.id.to_string()).collect()
    }

    /// The claims of a bot that waits while `work` is done, and how long it waited.
    fn waiting_while(hive: &Fixture, work: impl FnOnce()) -> (Vec<String>, Duration) {
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| {
                let started = Instant::now();
                (claim_wait(hive, LONG), started.elapsed())
            });
            std::thread::sleep(Duration::from_millis(30));
            work();
            waits.join().unwrap()
        })
    }

    #[test]
    fn a_bot_that_waits_gets_the_task_that_comes() {
        let hive = Fixture::new();
        let (got, waited) = waiting_while(&hive, || drop(hive.push(named("a"))));
        assert_eq!(got, ["a"]);
        assert!(waited < LONG);
    }

    #[test]
    fn a_task_that_comes_due_and_one_whose_lease_ends_are_noticed_without_a_commit() {
        let hive = Fixture::new();
        hive.push(named("later").not_before(crate::testkit::checked_store::time(10)));
        for seconds in [10, 30] {
            let (got, waited) = waiting_while(&hive, || hive.pass(seconds));
            assert_eq!(got, ["later"]);
            assert!(waited < LONG);
        }
    }

    #[test]
    fn what_is_not_for_the_bot_is_waited_past() {
        let hive = Fixture::new();
        hive.push(named("of another").assign_to(bot("bee")));
        hive.push(named("beyond it").capability("fly"));
        assert!(claim_wait(&hive, Duration::from_millis(150)).is_empty());
        assert_eq!(waiting_while(&hive, || drop(hive.push(NewTask::new(1).id("mine".parse().unwrap())))).0, ["mine"]);
    }

    #[test]
    fn several_that_wait_share_what_comes_and_nobody_gets_what_another_has() {
        let hive = Fixture::new();
        let got = std::thread::scope(|scope| {
            let waiting: Vec<_> = (0..4)
                .map(|number| {
                    let store = &hive.store;
                    scope.spawn(move || {
                        store.claim_wait(&bot(&format!("b{number}")), &ClaimOptions::default(), LONG).unwrap()
                    })
                })
                .collect();
            (0..4).for_each(|number| drop(hive.push(named(&format!("t{number}")))));
            waiting.into_iter().flat_map(|waits| waits.join().unwrap()).map(|claim| claim.id).collect::<Vec<_>>()
        });
        let mut names: Vec<_> = got.iter().map(ToString::to_string).collect();
        names.sort();
        assert_eq!(names, ["t0", "t1", "t2", "t3"]);
    }

    #[test]
    fn what_another_process_pushes_is_noticed() {
        let hive = Fixture::new();
        let other = Store::options().open_with(hive.store.path(), crate::state::INDEXES).unwrap();
        let push = || drop(other.write(|tx| tx.queue().enqueue(named("a"))).unwrap());
        let (got, waited) = waiting_while(&hive, push);
        assert_eq!(got, ["a"]);
        assert!(waited < LONG);
    }

    #[test]
    fn who_waits_for_nothing_that_comes_does_not_look() {
        let hive = Fixture::new();
        hive.push(named("later").not_before(crate::testkit::checked_store::time(10)));
        let news = std::thread::scope(|scope| {
            scope.spawn(|| claim_wait(&hive, Duration::from_millis(600)));
            std::thread::sleep(Duration::from_millis(200));
            let seen = hive.store.commits().count();
            std::thread::sleep(Duration::from_millis(300));
            hive.store.commits().count() - seen
        });
        assert_eq!(news, 0);
    }

    #[test]
    fn when_the_store_is_closed_waiting_ends() {
        let hive = Fixture::new();
        let started = Instant::now();
        let error = std::thread::scope(|scope| {
            let waits = scope.spawn(|| hive.store.claim_wait(&bot("ant"), &ClaimOptions::default(), LONG));
            std::thread::sleep(Duration::from_millis(30));
            hive.store.close_file().unwrap();
            waits.join().unwrap().unwrap_err()
        });
        assert_eq!(error.kind(), crate::error::ErrorKind::Reopen);
        assert!(started.elapsed() < LONG);
    }

    #[test]
    fn a_time_beyond_every_calendar_is_waited_for() {
        let hive = Fixture::new();
        hive.push(named("a"));
        assert_eq!(claim_wait(&hive, Duration::MAX), ["a"]);
    }
}
