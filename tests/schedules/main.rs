//! Schedules over restores, archives, two years of a calendar, and real processes that are killed.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test stops at what it does not expect")]

mod verbs;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hivekeep::{ManualClock, Missed, NewSchedule, NewTask, RestoreOptions, Scheduler, SchedulerOptions, Store, Timing};
use jiff::{SignedDuration, Timestamp};

/// A store whose clock stands still, at 08:00 in UTC.
struct Hive {
    store: Store,
    clock: ManualClock,
    #[cfg_attr(not(feature = "transfer"), expect(dead_code, reason = "a test keeps its folder"))]
    folder: tempfile::TempDir,
}

impl Hive {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = ManualClock::new("2027-01-15T08:00:00Z".parse().unwrap());
        let store = Store::options().clock(clock.clone()).open(folder.path().join("hive.redb")).unwrap();
        Self { store, clock, folder }
    }

    fn write<R>(&self, closure: impl FnOnce(&mut hivekeep::WriteTx<'_>) -> hivekeep::Result<R>) -> R {
        self.store.write(closure).unwrap()
    }

    fn refused<R>(&self, closure: impl FnOnce(&mut hivekeep::WriteTx<'_>) -> hivekeep::Result<R>) -> hivekeep::Error {
        let Err(error) = self.store.write(closure) else { panic!("it was not refused") };
        error
    }

    fn view(&self) -> hivekeep::View {
        self.store.view().unwrap()
    }

    /// Adds a schedule for each minute, all of whose missed due times fire.
    fn add(&self, name: &str) {
        let new = minutely(name);
        self.store.write(|tx| tx.schedules().add(new)).unwrap();
    }

    fn remove(&self, name: &str) {
        self.store.write(|tx| tx.schedules().remove(&name.parse()?)).unwrap();
    }

    fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    fn fired(&self) -> Vec<String> {
        self.store.fire_schedules().unwrap().into_iter().map(|task| task.to_string()).collect()
    }
}

fn minutely(name: &str) -> NewSchedule {
    let timing = Timing::every(Duration::from_secs(60)).unwrap();
    NewSchedule::new(name.parse().unwrap(), timing, NewTask::new("work")).missed(Missed::All)
}

fn only_schedules() -> RestoreOptions {
    RestoreOptions::new().only(["schedules"])
}

#[test]
fn a_restore_brings_no_due_time_back_that_has_fired_and_loses_none_of_an_unchanged_schedule() {
    let hive = Hive::new();
    hive.add("a");
    let point = hive.store.restore_point("before").unwrap();
    hive.pass(300);
    assert_eq!(hive.fired().len(), 5);
    hive.pass(90);
    hive.store.restore(&point, RestoreOptions::new()).unwrap();
    assert_eq!(hive.store.view().unwrap().queue().counts().unwrap().total(), 0, "the queue is as it was");
    assert_eq!(hive.fired(), ["a@2027-01-15T08:06:00Z"], "only the due time that nobody had handled");
    hive.store.undo_discarding().unwrap();
    assert!(hive.fired().is_empty());
    hive.pass(60);
    assert_eq!(hive.fired().len(), 1);
    assert!(hive.store.check().unwrap().is_sound());
}

#[test]
fn a_schedule_that_a_restore_brings_back_begins_at_the_restore() {
    let hive = Hive::new();
    hive.add("a");
    let point = hive.store.restore_point("before").unwrap();
    hive.remove("a");
    hive.pass(3000);
    hive.store.restore(&point, only_schedules()).unwrap();
    hive.pass(120);
    assert_eq!(hive.fired(), ["a@2027-01-15T08:51:00Z", "a@2027-01-15T08:52:00Z"]);
    hive.store.undo_discarding().unwrap();
    assert!(hive.store.view().unwrap().schedules().list().unwrap().is_empty());
    hive.pass(600);
    assert!(hive.fired().is_empty());
}

#[test]
fn a_pause_that_a_restore_ends_begins_at_the_restore() {
    let hive = Hive::new();
    hive.add("a");
    let name = "a".parse().unwrap();
    hive.store.write(|tx| tx.schedules().pause(&name)).unwrap();
    let paused = hive.store.restore_point("paused").unwrap();
    hive.store.write(|tx| tx.schedules().resume(&name)).unwrap();
    let runs = hive.store.restore_point("runs").unwrap();
    hive.pass(60);
    assert_eq!(hive.fired().len(), 1);
    hive.store.restore(&paused, only_schedules()).unwrap();
    hive.pass(600);
    assert!(hive.fired().is_empty());
    hive.store.restore(&runs, only_schedules()).unwrap();
    assert!(hive.fired().is_empty(), "due times of the pause do not fire later");
    hive.pass(60);
    assert_eq!(hive.fired().len(), 1);
}

#[test]
fn points_contain_definitions_and_firing_changes_none() {
    let hive = Hive::new();
    hive.add("a");
    let point = hive.store.restore_point("before").unwrap();
    let digest = |view: &hivekeep::View| view.collections().unwrap()["schedules"].digest;
    hive.pass(60);
    assert_eq!(hive.fired().len(), 1);
    let past = hive.store.at(&point).unwrap();
    assert_eq!(digest(&hive.store.view().unwrap()), digest(&past));
    let name = "a".parse().unwrap();
    hive.store.write(|tx| tx.schedules().pause(&name)).unwrap();
    let then = past.schedules().get(&name).unwrap().unwrap();
    assert!(!then.paused && then.next_at.is_none() && then.last_task.is_none());
    let diff = hive.store.diff(&point, "now".parse::<hivekeep::Selector>().unwrap()).unwrap();
    assert!(diff.to_string().contains("schedules"), "{diff}");
    assert!(hive.store.check().unwrap().is_sound());
}

#[cfg(feature = "transfer")]
#[test]
fn an_archive_contains_schedules_and_an_import_fires_nothing_of_the_past() {
    use hivekeep::{ExportOptions, ImportOptions};
    let hive = Hive::new();
    let [archive, copy] = ["hive.tar.zst", "copy.redb"].map(|name| hive.folder.path().join(name));
    hive.add("a");
    hive.store.export(&archive, &ExportOptions::new()).unwrap();
    hive.remove("a");
    hive.pass(3000);
    hive.store.import(&archive, &ImportOptions::new()).unwrap();
    hive.pass(60);
    assert_eq!(hive.fired().len(), 1);
    Store::import_new(&archive, &copy, &ImportOptions::new()).unwrap();
    let copied = Store::options().clock(hive.clock.clone()).open(&copy).unwrap();
    assert_eq!(copied.view().unwrap().schedules().list().unwrap().len(), 1);
    let first = copied.fire_schedules().unwrap();
    assert!(first.is_empty(), "{first:?}");
}

/// Numbers that look random, the same in each run.
struct Choices(u64);

impl Choices {
    fn one_of(&mut self, count: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % count
    }
}

fn timings() -> Vec<(&'static str, Timing)> {
    let cron = |text, zone| Timing::cron(text, zone).unwrap();
    vec![
        ("vienna", cron("30 2 * * *", "Europe/Vienna")),
        ("new-york", cron("30 1 * * *", "America/New_York")),
        ("lord-howe", cron("0 */8 * * *", "Australia/Lord_Howe")),
        ("kathmandu", cron("45 5 * * mon", "Asia/Kathmandu")),
        ("utc", cron("@monthly", "UTC")),
        ("every", Timing::every(Duration::from_secs(31 * 3600 + 7)).unwrap()),
    ]
}

/// Every due time of the schedules after one moment and up to another.
fn due_times(begin: Timestamp, end: Timestamp) -> BTreeMap<String, u32> {
    let mut due = BTreeMap::new();
    for (name, timing) in timings() {
        let begun = match timing.interval() {
            // The intervals of a schedule count from when it was added.
            Some(every) => (1..).map(|n| begin + SignedDuration::try_from(every).unwrap() * n).collect_until(end),
            None => std::iter::successors(timing.next(begin), |at| timing.next(*at)).collect_until(end),
        };
        assert!(begun.len() >= 24, "{name}");
        due.extend(begun.into_iter().map(|at| (format!("{name}@{at}"), 1)));
    }
    due
}

trait CollectUntil: Iterator<Item = Timestamp> + Sized {
    fn collect_until(self, end: Timestamp) -> Vec<Timestamp> {
        self.take_while(|at| *at <= end).collect()
    }
}

impl<I: Iterator<Item = Timestamp>> CollectUntil for I {}

/// Finishes every task, and purges them.
fn tidy(store: &Store) {
    let tasks: Vec<_> = store.view().unwrap().queue().list().map(|task| task.unwrap()).collect();
    let open = tasks.iter().filter(|task| !task.state.is_finished());
    store.write(|tx| open.clone().try_for_each(|task| tx.queue().cancel(&task.id).map(drop))).unwrap();
    store.purge_finished(Duration::ZERO).unwrap();
}

#[test]
fn over_two_years_each_due_time_fires_once_in_three_processes_with_stops_clock_jumps_and_restores() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hive.redb");
    let begin: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let clock = ManualClock::new(begin);
    let open = || Store::options().session(false).clock(clock.clone()).open(&path).unwrap();
    let mut stores: Vec<_> = (0..3).map(|_| open()).collect();
    for (name, timing) in timings() {
        let new = NewSchedule::new(name.parse().unwrap(), timing, NewTask::new(name)).missed(Missed::All);
        stores[0].write(|tx| tx.schedules().add(new)).unwrap();
    }
    let point = stores[0].restore_point("at the beginning").unwrap();
    let (mut choices, mut fired, mut latest) = (Choices(42), BTreeMap::<String, u32>::new(), begin);
    let (mut jumps, mut stops, mut restores) = (0, 0, 0);
    for step in 1..=2 * 365 {
        // The clock is wrong now and then: set back by days, or forward by hours.
        let right = begin + SignedDuration::from_hours(24 * step);
        let wrong = match choices.one_of(10) {
            0 => right - SignedDuration::from_hours(24 * i64::try_from(1 + choices.one_of(9)).unwrap()),
            1 => right + SignedDuration::from_hours(7),
            _ => right,
        };
        jumps += u32::from(wrong != right);
        clock.set(wrong);
        if choices.one_of(10) < 3 {
            stops += 1;
            continue;
        }
        if choices.one_of(40) == 0 {
            let at = usize::try_from(choices.one_of(3)).unwrap();
            stores[at] = open();
        }
        let looks: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = stores.iter().map(|store| scope.spawn(|| store.fire_schedules().unwrap())).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        latest = latest.max(wrong);
        for task in looks {
            *fired.entry(task.to_string()).or_default() += 1;
        }
        match choices.one_of(60) {
            0 => {
                restores += 1;
                stores[0].restore(&point, RestoreOptions::new()).unwrap();
            }
            1 => tidy(&stores[0]),
            _ => {}
        }
    }
    assert!(jumps > 50 && stops > 100 && restores > 3, "{jumps} {stops} {restores}");
    let expected = due_times(begin, latest);
    let missing: Vec<_> = expected.keys().filter(|task| !fired.contains_key(*task)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert_eq!(fired, expected);
    assert!(stores[0].check().unwrap().is_sound());
}

/// Set for a process of the next test: the path of its store.
const STORE: &str = "HIVEKEEP_TEST_SCHEDULES";

/// Fires schedules until it is killed.
fn fire_until_killed(path: &Path) {
    let store = Store::open(path).unwrap();
    let options = SchedulerOptions { backup_interval: None, retain: false, ..SchedulerOptions::default() };
    let _scheduler = Scheduler::start(store, options).unwrap();
    std::thread::sleep(Duration::from_secs(600));
}

/// Killed when it is dropped.
struct Process(std::process::Child);

impl Process {
    fn start(path: &Path) -> Self {
        let own = std::env::current_exe().unwrap();
        let test = "real_processes_that_are_killed_fire_each_due_time_once";
        let mut command = std::process::Command::new(own);
        command.args(["--exact", test, "--nocapture"]).env(STORE, path).stdout(std::process::Stdio::null());
        Self(command.spawn().unwrap())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _killed = self.0.kill();
        let _ended = self.0.wait();
    }
}

#[test]
fn real_processes_that_are_killed_fire_each_due_time_once() {
    if let Some(path) = std::env::var_os(STORE) {
        return fire_until_killed(&PathBuf::from(path));
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hive.redb");
    let store = Store::open(&path).unwrap();
    let timing = Timing::every(Duration::from_secs(1)).unwrap();
    for name in ["a", "b"] {
        let new = NewSchedule::new(name.parse().unwrap(), timing.clone(), NewTask::new(name)).missed(Missed::All);
        store.write(|tx| tx.schedules().add(new)).unwrap();
    }
    let mut processes: Vec<_> = (0..3).map(|_| Process::start(&path)).collect();
    for _ in 0..4 {
        std::thread::sleep(Duration::from_millis(1300));
        drop(processes.remove(0));
        processes.push(Process::start(&path));
    }
    std::thread::sleep(Duration::from_millis(1500));
    processes.clear();
    store.fire_schedules().unwrap();
    let view = store.view().unwrap();
    for name in ["a", "b"] {
        let schedule = view.schedules().get(&name.parse().unwrap()).unwrap().unwrap();
        let Timing::Every { from: Some(from), .. } = schedule.timing else { panic!("it has intervals") };
        let last = schedule.last_due_at.unwrap();
        let due = |n: i64| format!("{name}@{}", from + SignedDuration::from_secs(n));
        let expected: Vec<_> = (1..=(last - from).get_seconds()).map(due).collect();
        let mut tasks: Vec<_> = view.queue().list().map(|task| task.unwrap().id.to_string()).collect();
        tasks.retain(|task| task.starts_with(name));
        tasks.sort_by_key(|task| task.split('@').nth(1).unwrap().parse::<Timestamp>().unwrap());
        assert!(expected.len() >= 6, "{}", expected.len());
        assert_eq!(tasks, expected);
    }
    assert!(store.check().unwrap().is_sound());
}
