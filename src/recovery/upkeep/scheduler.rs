//! Periodic work: automatic backups, retention, expired leases, old audit entries, tasks that finished long ago,
//! crashes of other processes, schedules. A thread does it, or the caller's own loop.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;

use crate::clock::{self, Wait};
use crate::engine::schema::Table;
use crate::engine::store::Store;
use crate::error::{Error, ErrorKind, Result};
use crate::recovery::points::make::PointRequest;
use crate::recovery::upkeep::background::{Background, Stop};
use crate::recovery::upkeep::clockwork;
use crate::recovery::upkeep::work::{Attendant, Health, Work, note};

/// The interval at which the thread looks for due work.
const TICK: Duration = Duration::from_secs(1);
/// The age up to which audit entries are kept.
const KEEP_AUDIT: Duration = Duration::from_secs(90 * 24 * 60 * 60);
/// The interval at which a session stores that it is alive.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// Retention runs after every automatic backup, and at least this often, because other points are made and age too.
const RETAIN_EVERY: Duration = Duration::from_secs(10 * 60);
/// Retention runs at once after this many new points, so that a program that makes points without end does not pile
/// them up.
const RETAIN_AT_ONCE: u64 = 1_000;
/// A failed operation is retried after this long.
const AGAIN_AFTER: Duration = Duration::from_secs(10);
/// The expired claims that one transaction takes back.
const EXPIRED_AT_ONCE: usize = 256;
/// The interval at which old finished tasks are looked for.
const PURGE_EVERY: Duration = Duration::from_secs(60);
/// The most tasks that one tick purges, so that other work does not wait for a million of them. A fleet finishes fewer
/// tasks in that time.
const PURGED_IN_A_TICK: usize = 4096;

/// The settings of a scheduler.
#[derive(Clone, Debug)]
pub struct SchedulerOptions {
    /// The interval of automatic backups; 10 minutes by default, none for no backups.
    pub backup_interval: Option<Duration>,
    /// Whether a backup is made even if nothing has changed since the last one. The default is no.
    pub backup_unchanged: bool,
    /// Whether points are forgotten, by the current [policy](Store::policy) of the store. The default is yes.
    pub retain: bool,
    /// The age from which finished tasks are purged, within a minute; none, the default, keeps them forever.
    pub purge_finished: Option<Duration>,
    /// Whether [schedules](crate::Schedules) fire, on a thread of their own. The default is yes.
    pub fire_schedules: bool,
}

impl Default for SchedulerOptions {
    fn default() -> Self {
        let backup_interval = Some(Duration::from_secs(10 * 60));
        Self { backup_interval, backup_unchanged: false, retain: true, purge_finished: None, fire_schedules: true }
    }
}

/// A running thread that does due work. It stops when it is dropped.
#[derive(Debug)]
pub struct Scheduler {
    health: Arc<Mutex<Health>>,
    thread: Background,
    schedules: Option<Background>,
}

impl Store {
    /// Takes back expired claims and the claims of crashed sessions, and removes audit entries over 90 days. Writes
    /// buffered heartbeats. Starts the session that a full disk prevented, once there is space.
    ///
    /// # Errors
    ///
    /// As [`Store::write`]. `Moved` even if there is nothing to write. `Damaged` when a claimed task cannot be read,
    /// after everything else is done.
    pub fn upkeep(&self) -> Result<()> {
        self.locally().tend()
    }

    fn tend(&self) -> Result<()> {
        self.refuse_moved()?;
        self.notice_crashes()?;
        let heard = self.write_heartbeats();
        let expired = self.expire_claims();
        self.tend_event_log()?;
        let old = clock::before(self.clock().now(), KEEP_AUDIT);
        while self.write(|tx| tx.audit().purge(old))? > 0 {}
        self.finish_merging()?;
        heard.and(expired)
    }

    fn expire_claims(&self) -> Result<()> {
        while self.write(|tx| tx.queue().expire(EXPIRED_AT_ONCE))? == EXPIRED_AT_ONCE {}
        Ok(())
    }
}

impl Scheduler {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// `Io` when no thread can be started.
    pub fn start(store: Store, options: SchedulerOptions) -> Result<Self> {
        Self::start_with(store, options, Arc::new(()))
    }

    /// Starts the thread with an attendant, which is asked before backups and notified of failures.
    ///
    /// # Errors
    ///
    /// `Io` when no thread can be started.
    pub fn start_with(store: Store, options: SchedulerOptions, attendant: Arc<dyn Attendant>) -> Result<Self> {
        let health = Arc::<Mutex<Health>>::default();
        let (fires, store) = (options.fire_schedules, store.locally());
        let schedules =
            fires.then(|| clockwork::start(store.clone(), health.clone(), attendant.clone())).transpose()?;
        let mut worker = Worker::new(store, options, attendant, health.clone());
        let thread = Background::start("hivekeep-scheduler", move |stop| worker.run(stop))?;
        Ok(Self { health, thread, schedules })
    }

    /// The health of its work. In a forked child, which does not have the threads, and once a thread has panicked, its
    /// work is in error.
    pub fn health(&self) -> Health {
        if let Err(ended) = self.thread.refuse_ended() {
            return Health { upkeep_error: Some(ended.to_string()), ..Health::default() };
        }
        let ended = self.schedules.as_ref().and_then(|schedules| schedules.refuse_ended().err());
        let health = self.health.lock().clone();
        Health { schedules_error: ended.map(|ended| ended.to_string()).or(health.schedules_error), ..health }
    }
}

/// The state of the thread.
struct Worker {
    store: Store,
    options: SchedulerOptions,
    attendant: Arc<dyn Attendant>,
    health: Arc<Mutex<Health>>,
    /// The wait before a failed backup is retried.
    backup: Wait,
    /// The wait until the next retention.
    retention: Wait,
    /// The number of points after the last retention.
    points: u64,
    /// The wait until the session stores again that it is alive.
    alive: Wait,
    /// The announced time since which a view has been open.
    long_view: Option<Timestamp>,
    /// The wait until old finished tasks are looked for again.
    purge: Wait,
}

impl Worker {
    fn new(store: Store, options: SchedulerOptions, attendant: Arc<dyn Attendant>, health: Arc<Mutex<Health>>) -> Self {
        let now = store.clock().now();
        let (alive, none) = (Wait::new(now, KEEP_ALIVE), Wait::new(now, Duration::ZERO));
        Self {
            store,
            options,
            attendant,
            health,
            backup: none,
            retention: none,
            points: 0,
            alive,
            long_view: None,
            purge: none,
        }
    }

    fn run(&mut self, stop: &Stop) {
        while self.tick() && !stop.within(TICK) {}
    }

    /// Does the due work. Returns whether the store is still open.
    fn tick(&mut self) -> bool {
        if self.store.is_closed() {
            return false;
        }
        // Its source does all of this, and its replica brings it along; or another machine has the history. While
        // nobody can extend a claim, none expires.
        if self.store.is_left_alone() {
            return true;
        }
        let upkeep = self.upkeep();
        if let Err(error) = &upkeep
            && error.kind() == ErrorKind::Reopen
        {
            // The file may be reopened. The keeper that does so reports it.
            self.health.lock().upkeep_error = Some(error.to_string());
            return true;
        }
        self.note(Work::Upkeep, upkeep.err());
        let now = self.store.clock().now();
        let made = if self.backup.is_over(now) { Some(self.back_up()) } else { None };
        let has_made = matches!(made, Some(Ok(true)));
        if let Some(made) = made {
            self.backup = Wait::new(now, if made.is_err() { AGAIN_AFTER } else { Duration::ZERO });
            self.note(Work::Backup, made.err());
        }
        if has_made || self.retention.is_over(now) || self.points_pile_up() {
            let retained = self.retain();
            self.points = self.count_points().unwrap_or_default();
            self.retention = Wait::new(now, if retained.is_err() { AGAIN_AFTER } else { RETAIN_EVERY });
            self.note(Work::Retention, retained.err());
        }
        true
    }

    fn upkeep(&mut self) -> Result<()> {
        // One damaged task does not stop other work.
        let upkeep = self.store.upkeep();
        self.keep_alive()?;
        self.purge()?;
        upkeep
    }

    fn keep_alive(&mut self) -> Result<()> {
        let now = self.store.clock().now();
        if !self.alive.is_over(now) {
            return Ok(());
        }
        self.alive = Wait::new(now, KEEP_ALIVE);
        self.long_view = self.store.announce_long_view(self.long_view);
        self.store.session().map_or(Ok(()), |session| self.store.write(|tx| tx.keep_alive(session)))
    }

    /// Purges old finished tasks. If there are many, the next tick continues.
    fn purge(&mut self) -> Result<()> {
        let now = self.store.clock().now();
        let Some(age) = self.options.purge_finished.filter(|_| self.purge.is_over(now)) else { return Ok(()) };
        let purged = self.store.purge_at_most(age, PURGED_IN_A_TICK);
        let is_over = match &purged {
            Ok(purged) => *purged < PURGED_IN_A_TICK,
            Err(error) => error.kind() == ErrorKind::Damaged,
        };
        if is_over {
            self.purge = Wait::new(now, PURGE_EVERY);
        }
        purged.map(drop)
    }

    /// Makes the automatic backup if it is due. Returns whether it did.
    fn back_up(&self) -> Result<bool> {
        let Some(interval) = self.options.backup_interval else { return Ok(false) };
        if self.store.next_backup_at(interval)? > self.store.clock().now() {
            return Ok(false);
        }
        self.attendant.before_backup(&self.store)?;
        let request = PointRequest::new("automatic-backup").automatic();
        Ok(self.store.auto_backup(interval, request, self.options.backup_unchanged)?.is_some())
    }

    fn points_pile_up(&self) -> bool {
        self.count_points().is_ok_and(|count| count >= self.points.saturating_add(RETAIN_AT_ONCE))
    }

    fn count_points(&self) -> Result<u64> {
        self.store.view()?.stored().count(Table::Points)
    }

    fn retain(&self) -> Result<()> {
        if !self.options.retain {
            return Ok(());
        }
        match self.store.retain_by_policy() {
            // Another process forgot it at the same time.
            Err(error) if error.kind() == ErrorKind::Gone => Ok(()),
            retained => retained.map(drop),
        }
    }

    fn note(&self, work: Work, error: Option<Error>) {
        let mut health = self.health.lock();
        let known = match work {
            Work::Backup => &mut health.backup_error,
            Work::Retention => &mut health.retention_error,
            Work::Schedules => &mut health.schedules_error,
            Work::Upkeep | Work::Check | Work::Archive | Work::Reopen => &mut health.upkeep_error,
        };
        note(work, known, error, &self.store, &*self.attendant);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::clock::{Clock as _, ManualClock};
    use crate::engine::commit::Outcome;
    use crate::engine::schema::CollectionId;
    use crate::engine::write::WriteTx;
    use crate::recovery::events::event::EventKind;
    use crate::recovery::retention::Policy;
    use crate::state::ids::BotId;
    use crate::state::queue::NewTask;
    use crate::state::registry::Bot;

    /// Refuses every backup unless told otherwise, and keeps the reports.
    #[derive(Default)]
    struct Refuser {
        takes: bool,
        told: Mutex<Vec<(Work, String)>>,
    }

    impl Attendant for Refuser {
        fn before_backup(&self, _store: &Store) -> Result<()> {
            if self.takes { Ok(()) } else { Err(Error::new(ErrorKind::Full, "no room")) }
        }

        fn failed(&self, work: Work, error: &str) {
            self.told.lock().push((work, error.to_owned()));
        }
    }

    fn worker(attendant: Arc<dyn Attendant>) -> (tempfile::TempDir, ManualClock, Worker) {
        let folder = tempfile::tempdir().unwrap();
        let clock = ManualClock::new("2026-01-02T03:04:05Z".parse().unwrap());
        let store = Store::options().clock(clock.clone()).open(folder.path().join("h.redb")).unwrap();
        store.write(|tx| tx.config().put("limit", &json!(1))).unwrap();
        (folder, clock, Worker::new(store, SchedulerOptions::default(), attendant, Arc::default()))
    }

    #[test]
    fn a_failed_backup_is_reported_once_and_does_not_hide_that_retention_works() {
        let refuser = Arc::new(Refuser::default());
        let (_folder, clock, mut worker) = worker(refuser.clone());
        for _ in 0..3 {
            assert!(worker.tick());
            clock.advance(AGAIN_AFTER);
        }
        assert_eq!(*refuser.told.lock(), [(Work::Backup, "no room".to_owned())]);
        let health = worker.health.lock().clone();
        assert_eq!((health.backup_error.as_deref(), health.retention_error), (Some("no room"), None));
        let events = worker.store.view().unwrap().events().list(crate::state::page::Page::newest(9)).unwrap();
        assert_eq!(events.iter().filter(|event| event.kind == EventKind::BackupFailed).count(), 1);
    }

    #[test]
    fn a_scheduler_whose_thread_panicked_is_not_healthy() {
        struct Panics;
        impl Attendant for Panics {
            fn before_backup(&self, _store: &Store) -> Result<()> {
                panic!("in the work of the program");
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("h.redb")).unwrap();
        store.write(|tx| tx.config().put("limit", &json!(1))).unwrap();
        let scheduler = Scheduler::start_with(store, SchedulerOptions::default(), Arc::new(Panics)).unwrap();
        while scheduler.health().upkeep_error.is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(scheduler.health().upkeep_error.unwrap().contains("panicked"));
    }

    #[test]
    fn a_tick_writes_the_buffered_heartbeats() {
        let (_folder, _clock, mut worker) = worker(Arc::new(()));
        let bot = BotId::new("BOT-1").unwrap();
        worker.store.write(|tx| tx.registry().put(&Bot::new(bot.clone()))).unwrap();
        let at = worker.store.heartbeat(&bot).unwrap();
        worker.tick();
        let other = Store::open(worker.store.path()).unwrap();
        assert_eq!(other.view().unwrap().registry().get(&bot).unwrap().unwrap().last_heartbeat, Some(at));
    }

    #[test]
    fn points_that_are_too_old_go_even_if_nothing_changes_any_more() {
        let (_folder, clock, mut worker) = worker(Arc::new(()));
        worker.tick();
        worker.store.write(|tx| tx.config().put("limit", &json!(2))).unwrap();
        clock.advance(Duration::from_secs(600));
        worker.tick();
        assert_eq!(worker.store.points().unwrap().len(), 2);
        clock.advance(Duration::from_secs(8 * 24 * 3600));
        worker.tick();
        assert_eq!(worker.store.points().unwrap().len(), 1, "the latest good point stays");
    }

    #[test]
    fn a_clock_that_is_set_back_delays_neither_backups_nor_retention_nor_other_work() {
        let (_folder, clock, mut worker) = worker(Arc::new(()));
        worker.options.purge_finished = Some(Duration::ZERO);
        worker.tick();
        let back: Timestamp = "2020-01-01T00:00:00Z".parse().unwrap();
        clock.set(back);
        let finish = |tx: &mut WriteTx<'_>| {
            let task = tx.queue().enqueue(NewTask::new("old"))?;
            tx.queue().cancel(&task.id).map(drop)
        };
        let change = |worker: &Worker, to: u32| worker.store.write(|tx| tx.config().put("limit", &json!(to))).unwrap();
        worker.store.write(finish).unwrap();
        change(&worker, 2);
        clock.advance(Duration::from_secs(1));
        worker.tick();
        let now = clock.now();
        assert_eq!(worker.store.points().unwrap().first().map(|point| point.timestamp), Some(now));
        assert_eq!((worker.retention.from, worker.store.sessions().unwrap()[0].alive_at), (now, now));
        assert_eq!(worker.store.view().unwrap().queue().counts().unwrap().cancelled, 0);
        change(&worker, 3);
        clock.advance(Duration::from_secs(599));
        worker.tick();
        assert_eq!(worker.store.points().unwrap().len(), 2, "the interval counts from the clock as it is");
        clock.advance(Duration::from_secs(1));
        worker.tick();
        assert_eq!(worker.store.points().unwrap().len(), 3);
    }

    #[test]
    fn a_failed_backup_is_retried_although_the_clock_was_set_back() {
        let refuser = Arc::new(Refuser::default());
        let (_folder, clock, mut worker) = worker(refuser);
        worker.tick();
        clock.set("2020-01-01T00:00:00Z".parse().unwrap());
        worker.attendant = Arc::new(());
        worker.tick();
        assert_eq!(worker.store.points().unwrap().len(), 1);
    }

    #[test]
    fn for_days_there_is_a_point_every_ten_minutes_and_a_hundred_reach_over_a_week() {
        let (_folder, clock, mut worker) = worker(Arc::new(()));
        let ten_minutes = Duration::from_secs(600);
        let change = |worker: &Worker, number: u64| {
            worker.store.write(|tx| tx.config().put("limit", &json!(number))).unwrap();
        };
        let newest = |worker: &Worker| worker.store.points().unwrap().first().map(|point| point.timestamp);
        worker.tick();
        let held = worker.store.points().unwrap().remove(0);
        worker.store.hold(&held).unwrap();
        for number in 0..8 * 24 * 6 {
            change(&worker, number);
            clock.advance(ten_minutes / 2);
            // All points are compared only every two hours, because this takes long.
            let looks = number % 12 == 0;
            if looks {
                worker.tick();
                assert!(newest(&worker) < Some(clock.now()), "half-way nothing is due");
            }
            clock.advance(ten_minutes / 2);
            worker.tick();
            assert!(!looks || newest(&worker) == Some(clock.now()), "one every ten minutes");
        }
        let mut points = worker.store.points().unwrap();
        assert_eq!(points.pop().map(|point| point.id), Some(held.id), "what is held stays");
        assert!(points.len() <= 100, "{}", points.len());
        let age = |point: &crate::Point| clock.now().duration_since(point.timestamp);
        let week = jiff::SignedDuration::from_hours(7 * 24);
        let oldest = points.last().map(age).unwrap();
        assert!(oldest <= week && oldest >= week - jiff::SignedDuration::from_hours(7), "{oldest:?}");
        let recent = points.iter().filter(|point| age(point) < jiff::SignedDuration::from_hours(6)).count();
        assert_eq!(recent, 36, "of the last hours all are there");

        // Nothing ran for three days: one backup makes up for the missed ones.
        change(&worker, u64::MAX);
        clock.advance(Duration::from_secs(3 * 24 * 3600));
        let before = clock.now();
        worker.tick();
        assert_eq!(newest(&worker), Some(before));
        clock.advance(ten_minutes / 2);
        change(&worker, 0);
        worker.tick();
        assert_eq!(newest(&worker), Some(before), "and not once for each");
        assert!(worker.health.lock().retention_error.is_none());
    }

    #[test]
    fn a_failed_retention_is_reported_although_backups_work() {
        let told = Arc::new(Refuser { takes: true, ..Refuser::default() });
        let (_folder, clock, mut worker) = worker(told.clone());
        let damaged = worker.store.restore_point("to be damaged").unwrap();
        worker.store.restore_point("a sound one").unwrap();
        worker.store.write(|tx| tx.put_row(Table::Points, &damaged.epoch.to_key(), b"no manifest")).unwrap();
        for number in 0..3 {
            worker.store.write(|tx| tx.config().put("limit", &json!(number))).unwrap();
            clock.advance(Duration::from_secs(600));
            assert!(worker.tick());
        }
        let health = worker.health.lock().clone();
        assert_eq!(health.backup_error, None);
        assert!(health.retention_error.is_some());
        let told: Vec<_> = told.told.lock().iter().map(|(work, _)| *work).collect();
        assert_eq!(told, [Work::Retention]);
        let events = worker.store.view().unwrap().events().list(crate::state::page::Page::newest(20)).unwrap();
        let count = |kind| events.iter().filter(|event| event.kind == kind).count();
        assert_eq!((count(EventKind::RetentionFailed), count(EventKind::BackupFailed)), (1, 0));
        assert!(count(EventKind::RestorePointCreated) >= 3, "backups go on");
    }

    #[test]
    fn tasks_go_when_they_have_been_finished_for_long_enough_and_stay_by_default() {
        let (_folder, clock, mut worker) = worker(Arc::new(()));
        let hour = Duration::from_secs(3600);
        let finish = |worker: &Worker, count: usize| {
            let push = |tx: &mut WriteTx<'_>| {
                let task = tx.queue().enqueue(NewTask::new("old"))?;
                tx.queue().cancel(&task.id).map(drop)
            };
            worker.store.write(|tx| (0..count).try_for_each(|_| push(tx))).unwrap();
        };
        let left = |worker: &Worker| worker.store.view().unwrap().queue().counts().unwrap().cancelled;
        finish(&worker, PURGED_IN_A_TICK + 1);
        clock.advance(30 * 24 * hour);
        worker.tick();
        assert_eq!(left(&worker), PURGED_IN_A_TICK as u64 + 1);
        worker.options.purge_finished = Some(hour);
        finish(&worker, 1);
        worker.tick();
        assert_eq!(left(&worker), 2, "many are not removed at once");
        worker.tick();
        assert_eq!(left(&worker), 1, "nor left for later");
        clock.advance(hour);
        worker.tick();
        assert_eq!(left(&worker), 1, "it is no older than that");
        clock.advance(PURGE_EVERY);
        worker.tick();
        assert_eq!(left(&worker), 0);
        assert_eq!(worker.health.lock().upkeep_error, None);
    }

    #[test]
    fn tasks_that_cannot_be_purged_are_reported_and_the_session_stays_alive() {
        let refuser = Arc::new(Refuser { takes: true, ..Refuser::default() });
        let (_folder, clock, mut worker) = worker(refuser.clone());
        worker.options.purge_finished = Some(Duration::ZERO);
        let task = worker.store.write(|tx| tx.queue().enqueue(NewTask::new("lost"))).unwrap();
        worker.store.write(|tx| tx.queue().cancel(&task.id)).unwrap();
        let row = CollectionId::QUEUE.row_key(task.id.as_bytes());
        worker.store.write(|tx| tx.put_row(Table::Live, &row, b"no record")).unwrap();
        clock.advance(KEEP_ALIVE);
        let alive = worker.alive;
        assert!(worker.tick());
        assert!(worker.health.lock().upkeep_error.is_some());
        assert!(worker.alive.from > alive.from);
        assert_eq!(refuser.told.lock().iter().filter(|(work, _)| *work == Work::Upkeep).count(), 1);
    }

    #[test]
    fn it_stops_when_the_store_is_closed() {
        let (_folder, _clock, mut worker) = worker(Arc::new(()));
        worker.store.close().unwrap();
        assert!(!worker.tick());
    }

    #[test]
    fn points_that_are_made_without_end_are_thinned_before_they_pile_up() {
        let (_folder, clock, mut worker) = worker(Arc::new(Refuser { takes: true, ..Refuser::default() }));
        let earlier = worker.store.restore_point("by hand this morning").unwrap();
        assert!(worker.tick());
        clock.advance(AGAIN_AFTER);
        worker.store.set_policy(Some(Policy { burst: Some(10), ..Policy::default() }), "test").unwrap();
        let point = |tx: &mut WriteTx<'_>| tx.make_point(PointRequest::new("burst")).map(drop);
        let burst = |tx: &mut WriteTx<'_>| (0..RETAIN_AT_ONCE).try_for_each(|_| point(tx)).map(Outcome::Commit);
        worker.store.alone(burst).unwrap();
        assert!(worker.tick());
        // Nine found room beside the earlier one, and the newest always stays.
        assert_eq!(worker.store.points().unwrap().len(), 1 + 9 + 1);
        assert!(worker.store.find_point(&earlier).unwrap().is_some());
    }
}
