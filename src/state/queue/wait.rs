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
    /// Its place among those who wait; set by the first look that finds nothing.
    waiter: Option<Waiter>,
}

impl ClaimWait {
    /// A wait that has not looked yet.
    pub fn new(bot: &BotId, options: &ClaimOptions, timeout: Duration) -> Self {
        let until = Instant::now().checked_add(timeout);
        Self { bot: bot.clone(), options: options.clone(), until, waiter: None }
    }

    /// Tries to claim. Returns the claims, or an empty list once the time is over. Returns none while the wait continues.
    ///
    /// # Errors
    ///
    /// As [`Store::claim_wait`].
    pub fn look(&mut self, store: &Store) -> Result<Option<Vec<Claim>>> {
        let waiter = match &self.waiter {
            Some(waiter) => waiter,
            None => {
                let claims = store.claim(&self.bot, &self.options)?;
                if !claims.is_empty() || self.is_over() {
                    return Ok(Some(claims));
                }
                self.waiter.insert(store.waiting(self.bot.as_bytes())?)
            }
        };
        waiter.looks();
        let claims = match store.claim_if_any(&self.bot, &self.options)? {
            Found::Claims(claims) => {
                waiter.turn_is_over();
                claims
            }
            Found::Nothing => {
                waiter.turn_is_over();
                Vec::new()
            }
            Found::NothingForIt => {
                waiter.pass_on();
                Vec::new()
            }
        };
        Ok(Some(claims).filter(|claims| !claims.is_empty() || self.is_over()))
    }

    /// Sleeps until it is time for the next look.
    pub(crate) fn sleep(&self) {
        if let Some(waiter) = &self.waiter {
            waiter.sleep(self.until);
        }
    }

    /// Resolves when it is time for the next look.
    #[cfg(feature = "tokio")]
    pub(crate) async fn news(&self) {
        let Some(waiter) = &self.waiter else { return };
        match self.until {
            // Either way it is time to look.
            Some(until) => drop(tokio::time::timeout_at(until.into(), waiter.news()).await),
            None => waiter.news().await,
        }
    }

    fn is_over(&self) -> bool {
        self.until.is_some_and(|until| until <= Instant::now())
    }
}

impl Store {
    /// Claims tasks for `bot` as [`claim`](Queue::claim) does, and waits up to `timeout` for the first one.
    ///
    /// A commit of this process wakes waiting bots at once: as many as it made tasks ready, the longest waiting first. A
    /// bot that cannot do the task passes its turn on. One thread for all waiting bots notices within 100 ms the commits
    /// of other processes, tasks that come due, and leases that end. Waiting costs no write transaction, so
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
            wait.sleep();
        }
    }

    /// Claims only if a read-only look finds a task. Arranges that the waiting bot is woken when the next task comes
    /// due.
    pub(super) fn claim_if_any(&self, bot: &BotId, options: &ClaimOptions) -> Result<Found> {
        let view = self.view()?;
        let next = view.queue().next_due()?;
        if let Some(next) = next {
            self.commits().tell_at(next);
        }
        let is_due = next.is_some_and(|next| next <= view.now());
        if !is_due && !view.queue().may_have_work_for(bot, options)? {
            let is_there = !view.queue().records.rows(Table::Index, &keys::ready().range(), 1)?.is_empty();
            return Ok(if is_there { Found::NothingForIt } else { Found::Nothing });
        }
        drop(view);
        let claims = self.claim(bot, options)?;
        Ok(if claims.is_empty() { Found::NothingForIt } else { Found::Claims(claims) })
    }

    pub(super) fn claim(&self, bot: &BotId, options: &ClaimOptions) -> Result<Vec<Claim>> {
        self.write(|tx| tx.queue().claim(bot, options))
    }
}

/// The result of a look.
pub(super) enum Found {
    Claims(Vec<Claim>),
    /// No task is ready.
    Nothing,
    /// Another bot may find something, or did.
    NothingForIt,
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
    use crate::state::queue::verbs_test::{bot, id, named};
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

    /// How often each of many waiting bots looks while `work` is done, and the claims of each.
    fn looks_while(hive: &Fixture, bots: usize, work: impl FnOnce()) -> Vec<(usize, Vec<String>)> {
        let waiting = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            let wait = |number: usize| {
                let (store, waiting) = (&hive.store, &waiting);
                scope.spawn(move || {
                    let until = Duration::from_millis(1_500);
                    let mut wait = ClaimWait::new(&bot(&format!("b{number}")), &ClaimOptions::default(), until);
                    for looks in 0.. {
                        if let Some(claims) = wait.look(store).unwrap() {
                            return (looks, claims.into_iter().map(|claim| claim.id.to_string()).collect());
                        }
                        waiting.fetch_add(usize::from(looks == 0), std::sync::atomic::Ordering::SeqCst);
                        wait.sleep();
                    }
                    unreachable!("it looks for ever")
                })
            };
            let bots: Vec<_> = (0..bots).map(wait).collect();
            while waiting.load(std::sync::atomic::Ordering::SeqCst) < bots.len() {
                std::thread::sleep(Duration::from_millis(1));
            }
            std::thread::sleep(Duration::from_millis(50));
            work();
            bots.into_iter().map(|waits| waits.join().unwrap()).collect()
        })
    }

    /// The bots that looked again before the end, besides their first look and their last.
    fn woken(looks: &[(usize, Vec<String>)]) -> usize {
        looks.iter().filter(|(looks, claims)| *looks > 1 || !claims.is_empty()).count()
    }

    #[test]
    fn a_task_wakes_one_of_many_bots_that_wait_and_a_batch_as_many_as_it_has_tasks() {
        let hive = Fixture::new();
        let looks = looks_while(&hive, 100, || drop(hive.push(named("a"))));
        assert_eq!(looks.iter().flat_map(|(_, claims)| claims.clone()).collect::<Vec<_>>(), ["a"]);
        assert_eq!(woken(&looks), 1);
        let tasks = (0..7).map(NewTask::new).collect();
        let looks = looks_while(&hive, 100, || drop(hive.store.enqueue_all(tasks).unwrap()));
        assert_eq!(looks.iter().filter(|(_, claims)| claims.len() == 1).count(), 7);
        assert_eq!(woken(&looks), 7);
        let looks = looks_while(&hive, 100, || {
            hive.write(|tx| tx.config().put("a", &serde_json::json!(1)));
        });
        assert_eq!(woken(&looks), 0, "that is no task");
    }

    #[test]
    fn a_task_for_one_bot_wakes_that_one_and_a_task_that_only_the_last_can_do_reaches_it() {
        let hive = Fixture::new();
        let looks = looks_while(&hive, 30, || drop(hive.push(named("a").assign_to(bot("b17")))));
        assert_eq!((woken(&looks), looks[17].1.clone()), (1, vec!["a".to_owned()]));
        hive.register("b23", &["fly"], 9);
        let looks = looks_while(&hive, 30, || drop(hive.push(named("b").capability("fly"))));
        assert_eq!(looks[23].1, ["b"]);
    }

    #[test]
    fn a_bot_that_gets_room_and_one_that_learns_what_it_lacked_find_the_task_that_was_there() {
        let hive = Fixture::new();
        hive.register("b0", &[], 1);
        ["a", "b"].iter().for_each(|name| drop(hive.push(named(name))));
        let held = hive.claim_one("b0");
        hive.write(|tx| tx.queue().assign(&id("b"), &bot("b0")));
        let looks = looks_while(&hive, 3, || {
            hive.write(|tx| tx.queue().complete(&held.id, held.token, 1));
        });
        assert_eq!(looks[0].1, ["b"]);
        hive.push(named("c").capability("fly"));
        let looks = looks_while(&hive, 3, || hive.register("b2", &["fly"], 9));
        assert_eq!(looks[2].1, ["c"]);
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
