//! Processes killed at random moments, again and again, beside a log of what they were told is done.
//!
//! `HIVEKEEP_TEST_SCALE=N HIVEKEEP_TEST_SEED=S cargo test --release --test kills` kills N times as many, from S on.
#![expect(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

mod children;
mod knobs;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use children::{spawn, wait_for};
use hivekeep::{
    BotId, ClaimOptions, NewTask, PointRequest, Policy, RestoreOptions, Selector, Sharing, Store, TaskId, TaskState,
};
use knobs::scale;
use serde_json::{Value, json};

/// Kills of each of the two tests, times the scale.
const KILLS: usize = 100;
/// After so many, a new store is begun.
const KILLS_OF_STORE: usize = 20;
const THREADS: usize = 8;
const PROCESSES: usize = 3;
/// A child that nobody kills ends all the same.
const LIFE: Duration = Duration::from_secs(60);

/// Does nothing unless another test of this file started it.
#[test]
fn a_child_does_what_it_is_told() {
    let Some(told) = children::told() else { return };
    let sharing = if told.task == "alone" { Sharing::Exclusive } else { Sharing::Shared };
    let threads = if told.task == "together" { 2 } else { THREADS };
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

/// A file that says that a child has opened the store.
fn ready(store: &Path, number: usize) -> PathBuf {
    store.with_extension(format!("ready{number}"))
}

/// What was acknowledged, a line each, written after the store said so.
struct Log(File);

impl Log {
    fn path(store: &Path) -> PathBuf {
        store.with_extension("log")
    }

    fn of(store: &Path) -> Self {
        Self(OpenOptions::new().create(true).append(true).open(Self::path(store)).unwrap())
    }

    fn note(&self, what: &str, name: &str, number: u64) {
        (&self.0).write_all(format!("{what} {name} {number}\n").as_bytes()).unwrap();
    }
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
        let options = ClaimOptions { session: self.store.session(), ..ClaimOptions::default() };
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
    let policy = Policy { cap: Some(3), thinning: Vec::new(), keep_safety: Duration::ZERO, ..Policy::default() };
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

/// A xorshift generator: the same numbers for the same seed.
struct Numbers(u64);

impl Numbers {
    fn seeded() -> Self {
        let seed = std::env::var("HIVEKEEP_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or_else(|| u64::from(std::process::id()));
        println!("HIVEKEEP_TEST_SEED={seed} HIVEKEEP_TEST_SCALE={}", scale());
        Self(seed << 8 | 1)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }

    /// Waits for up to 200 ms, and often for much less.
    fn pause(&mut self) {
        let most = 1 + self.below(200_000);
        std::thread::sleep(Duration::from_micros(self.below(most)));
    }
}

/// Children that are killed when the test fails.
struct Children(BTreeMap<usize, Child>);

impl Children {
    fn start(&mut self, task: &str, store: &Path, number: usize) {
        drop(std::fs::remove_file(ready(store, number)));
        self.0.insert(number, spawn(task, store, number));
        wait_for(&ready(store, number));
    }

    fn kill(&mut self, number: usize) {
        let mut child = self.0.remove(&number).unwrap();
        assert!(child.try_wait().unwrap().is_none(), "a child ended by itself; why is above");
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

impl Drop for Children {
    fn drop(&mut self) {
        for child in self.0.values_mut() {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// Nothing that the log tells of is lost; no task is lost, done twice, or still held by the dead.
fn verify(path: &Path) -> usize {
    let log = std::fs::read_to_string(Log::path(path)).unwrap();
    let store = Store::open(path).unwrap();
    let report = store.check(&|_, _| ()).unwrap();
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
    let (mut numbers, mut acknowledged) = (Numbers::seeded(), 0);
    for _ in 0..(KILLS * scale()).div_ceil(KILLS_OF_STORE) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("h.redb");
        let mut children = Children(BTreeMap::new());
        (0..PROCESSES).for_each(|number| children.start("together", &path, number));
        for _ in 0..KILLS_OF_STORE - PROCESSES {
            numbers.pause();
            let number = numbers.below(PROCESSES as u64) as usize;
            children.kill(number);
            children.start("together", &path, number);
        }
        numbers.pause();
        (0..PROCESSES).for_each(|number| children.kill(number));
        acknowledged += verify(&path);
    }
    println!("kills={} acknowledged={acknowledged} lost=0", (KILLS * scale()).next_multiple_of(KILLS_OF_STORE));
}
