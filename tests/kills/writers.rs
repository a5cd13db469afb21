//! Threads that write: nothing that they were told is done may be missing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use hivekeep::{
    BotId, ClaimOptions, NewTask, PointRequest, Policy, RestoreOptions, Selector, Sharing, Store, TaskId, TaskState,
};
use serde_json::{Value, json};

use crate::children::Told;
use crate::knobs::scale;
use crate::{Children, LIFE, Log, Numbers, ready};

/// Kills of each of the two tests, times the scale.
const KILLS: usize = 100;
/// After this many, a new store is begun.
const KILLS_OF_STORE: usize = 20;
const THREADS: usize = 8;
const PROCESSES: usize = 3;
/// Stops of the processes, times the scale.
#[cfg(unix)]
const STOPS: usize = 40;
/// The task of a process that shares a log with others.
const OVER_ONE_LOG: &str = "over one log";

/// One process of writers, until it is killed.
pub fn write(told: &Told) {
    let sharing = match told.task.as_str() {
        "alone" => Sharing::Exclusive,
        OVER_ONE_LOG => Sharing::SharedLog,
        _ => Sharing::Shared,
    };
    let threads = if ["together", OVER_ONE_LOG].contains(&told.task.as_str()) { 2 } else { THREADS };
    let store = Store::options().sharing(sharing).open(&told.store).unwrap();
    let log = Log::of(&told.store);
    std::fs::write(ready(&told.store, told.number), b"").unwrap();
    let end = Instant::now() + LIFE;
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let writer = Writer { store: &store, log: &log, name: format!("writer-{}-{thread}", told.number) };
            scope.spawn(move || writer.write_until(end));
        }
        scope.spawn(|| keep_points_until(end, &store));
    });
}

/// One thread of a child.
struct Writer<'a> {
    store: &'a Store,
    log: &'a Log,
    name: String,
}

impl Writer<'_> {
    fn write_until(&self, end: Instant) {
        let before = self.store.view().unwrap().config().get(&self.name).unwrap();
        let mut number = before.as_ref().and_then(Value::as_u64).unwrap_or_default();
        while Instant::now() < end {
            number += 1;
            self.put(number);
            if number.is_multiple_of(2) {
                self.work(number);
            }
        }
    }

    /// A number in two collections, so that half a commit would show.
    fn put(&self, number: u64) {
        let (name, value) = (self.name.as_str(), json!(number));
        self.store
            .write(|tx| {
                tx.config().put(name, &value)?;
                tx.collection("numbers")?.put(name, &value)
            })
            .unwrap();
        self.log.note("put", name, number);
    }

    /// Enqueues a task, claims whatever is next, and completes it, counting that in the same transaction.
    fn work(&self, number: u64) {
        let id = format!("{}-{number}", self.name);
        let task = NewTask::new("work").id(TaskId::new(&id).unwrap());
        self.store.write(|tx| tx.queue().enqueue(task)).unwrap();
        self.log.note("enqueued", &id, 0);
        let bot = BotId::new(&self.name).unwrap();
        let options = ClaimOptions::default();
        for claim in self.store.write(|tx| tx.queue().claim(&bot, &options)).unwrap() {
            let name = claim.id.as_str();
            self.store
                .write(|tx| {
                    tx.queue().complete(&claim.id, claim.token, json!(null))?;
                    let mut done = tx.collection::<u64>("done")?;
                    let times = done.get(name)?.unwrap_or_default();
                    done.put(name, &(times + 1))
                })
                .unwrap();
            self.log.note("completed", name, 0);
        }
    }
}

/// Makes points, restores what nobody counts on, forgets, and looks for the dead.
fn keep_points_until(end: Instant, store: &Store) {
    let policy = Policy {
        cap: Some(3),
        floor: Duration::ZERO,
        thinning: Vec::new(),
        keep_safety: Duration::ZERO,
        ..Policy::default()
    };
    for round in 0.. {
        if Instant::now() >= end {
            break;
        }
        store.write(|tx| tx.collection("scratch")?.put("round", &round)).unwrap();
        let point = store.make_point(PointRequest::new("meanwhile")).unwrap();
        store.write(|tx| tx.collection("scratch")?.put("round", &-round)).unwrap();
        // Another process may have forgotten it meanwhile.
        drop(store.restore(Selector::from(&point), RestoreOptions::new().only(["scratch"])));
        store.retain(&policy).unwrap();
        store.notice_crashes().unwrap();
    }
}

/// Nothing that the log names is lost; no task is lost, done twice, or still held by the dead.
fn verify(path: &Path) -> usize {
    let log = std::fs::read_to_string(Log::path(path)).unwrap();
    let store = Store::open(path).unwrap();
    let report = store.check().unwrap();
    assert!(report.is_sound(), "{:?}", report.findings);
    let view = store.view().unwrap();
    let tasks: BTreeMap<_, _> = view.queue().list().map(Result::unwrap).map(|task| (task.id.clone(), task)).collect();
    let done = view.collection::<u64>("done").unwrap();
    let mut completed = BTreeSet::new();
    for line in log.lines() {
        let [what, name, number] = line.split(' ').collect::<Vec<_>>()[..] else {
            panic!("no line of the log: {line}")
        };
        let task = TaskId::new(name).ok().and_then(|id| tasks.get(&id));
        match what {
            "put" => {
                let found = view.config().get(name).unwrap().and_then(|value| value.as_u64()).unwrap_or_default();
                assert!(found >= number.parse().unwrap(), "an acknowledged write was lost: {line} found={found}");
            }
            "enqueued" => assert!(task.is_some(), "an acknowledged task was lost: {line}"),
            "completed" => {
                assert!(completed.insert(name), "a task was completed twice: {line}");
                assert_eq!(task.unwrap().state, TaskState::Done, "a completion was lost: {line}");
            }
            _ => panic!("no line of the log: {line}"),
        }
    }
    for entry in view.collection::<Value>("numbers").unwrap().list() {
        let (name, value) = entry.unwrap();
        assert_eq!(view.config().get(&name).unwrap(), Some(value), "half a commit: name={name}");
    }
    for task in tasks.values() {
        let times = done.get(task.id.as_str()).unwrap();
        assert_eq!(times, (task.state == TaskState::Done).then_some(1), "{}", task.id);
        assert_ne!(task.state, TaskState::Claimed, "a dead process holds a task: {}", task.id);
    }
    drop(view);
    store.close().unwrap();
    log.lines().count()
}

#[test]
fn a_process_of_eight_threads_that_is_killed_loses_nothing_that_it_was_told_is_done() {
    let (mut numbers, mut acknowledged) = (Numbers::seeded(), 0);
    for _ in 0..(KILLS * scale()).div_ceil(KILLS_OF_STORE) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("h.redb");
        for round in 0..KILLS_OF_STORE {
            let mut children = Children(BTreeMap::new());
            children.start(["alone", "with eight threads"][round % 2], &path, 0);
            numbers.pause();
            children.kill(0);
            if round % 4 == 3 {
                verify(&path);
            }
        }
        acknowledged += verify(&path);
    }
    println!("kills={} acknowledged={acknowledged} lost=0", (KILLS * scale()).next_multiple_of(KILLS_OF_STORE));
}

#[test]
fn processes_that_share_a_store_and_are_killed_one_by_one_lose_nothing_either() {
    kill_one_by_one("together", KILLS);
}

#[test]
fn processes_that_share_a_log_and_are_killed_one_by_one_lose_nothing_either() {
    kill_one_by_one(OVER_ONE_LOG, KILLS / 2);
}

/// One that is stopped keeps the others waiting at most until it goes on, or is killed.
#[cfg(unix)]
#[test]
fn processes_that_share_a_log_and_are_stopped_and_killed_lose_nothing_either() {
    use rustix::process::{Pid, Signal, kill_process};

    let (mut numbers, mut acknowledged) = (Numbers::seeded(), 0);
    for _ in 0..scale() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("h.redb");
        let mut children = Children(BTreeMap::new());
        (0..PROCESSES).for_each(|number| children.start(OVER_ONE_LOG, &path, number));
        for _ in 0..STOPS {
            numbers.pause();
            let number = numbers.below(PROCESSES as u64) as usize;
            let pid = Pid::from_child(&children.0[&number]);
            kill_process(pid, Signal::STOP).unwrap();
            numbers.pause();
            match numbers.below(3) {
                0 => {
                    children.kill(number);
                    children.start(OVER_ONE_LOG, &path, number);
                }
                _ => kill_process(pid, Signal::CONT).unwrap(),
            }
        }
        numbers.pause();
        (0..PROCESSES).for_each(|number| children.kill(number));
        acknowledged += verify(&path);
    }
    println!("stops={} acknowledged={acknowledged} lost=0", STOPS * scale());
}

fn kill_one_by_one(task: &str, kills: usize) {
    let (mut numbers, mut acknowledged) = (Numbers::seeded(), 0);
    for _ in 0..(kills * scale()).div_ceil(KILLS_OF_STORE) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("h.redb");
        let mut children = Children(BTreeMap::new());
        (0..PROCESSES).for_each(|number| children.start(task, &path, number));
        for _ in 0..KILLS_OF_STORE - PROCESSES {
            numbers.pause();
            let number = numbers.below(PROCESSES as u64) as usize;
            children.kill(number);
            children.start(task, &path, number);
        }
        numbers.pause();
        (0..PROCESSES).for_each(|number| children.kill(number));
        acknowledged += verify(&path);
    }
    println!("kills={} acknowledged={acknowledged} lost=0", (kills * scale()).next_multiple_of(KILLS_OF_STORE));
}
