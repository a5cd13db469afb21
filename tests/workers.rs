//! Workers in several processes, some of which are killed in the middle of their work.
//!
//! `HIVEKEEP_TEST_SCALE=N` kills N times as many.
#![expect(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

mod children;
mod knobs;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use children::{spawn, wait_for};
use hivekeep::{BotId, ClaimOptions, NewTask, Store, TaskState, WorkerEvent};
use knobs::scale;

const TASKS: u32 = 300;

/// Does nothing unless another test of this file started it.
#[test]
fn a_child_does_what_it_is_told() {
    let Some(told) = children::told() else { return };
    match told.task.as_str() {
        "work" => work(&told.store, told.number),
        "hold" => hold(&told.store),
        task => panic!("no such task: {task}"),
    }
}

/// Claims a task for ten minutes, says so, and waits until it is killed.
fn hold(path: &Path) {
    let store = Store::open(path).unwrap();
    let options = ClaimOptions { lease: Duration::from_secs(600), ..ClaimOptions::default() };
    let claims = store.write(|tx| tx.queue().claim(&BotId::new("killed").unwrap(), &options)).unwrap();
    assert_eq!(claims.len(), 1);
    log(path).write_all(b"claimed\n").unwrap();
    loop {
        std::thread::park();
    }
}

#[test]
fn a_worker_that_waits_gets_the_task_of_a_process_that_was_killed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h.redb");
    let store = Store::open(&path).unwrap();
    store.write(|tx| tx.queue().enqueue(NewTask::new(1))).unwrap();
    let mut child = spawn("hold", &path, 0);
    wait_for(&path.with_extension("log"));
    let worker = store.worker(&BotId::new("waits").unwrap()).start(|job| Ok(job.attempt())).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let began = Instant::now();
    while store.view().unwrap().queue().counts().unwrap().done == 0 {
        assert!(began.elapsed() < Duration::from_secs(60), "the lease of the killed process ends after ten minutes");
        std::thread::sleep(Duration::from_millis(10));
    }
    worker.stop(Duration::from_secs(10));
}

/// The log outside of the store: a line for each task whose end was committed.
fn log(path: &Path) -> File {
    File::options().create(true).append(true).open(path.with_extension("log")).unwrap()
}

/// Works until it is killed, or nothing is left.
fn work(path: &Path, number: usize) {
    let store = Store::open(path).unwrap();
    let log = log(path);
    let bot = BotId::new(format!("bot-{number}")).unwrap();
    let worker = store.worker(&bot).concurrency(2).lease(Duration::from_secs(2)).on_event(move |event| {
        if let WorkerEvent::Ended { task, .. } = event {
            (&log).write_all(format!("{} {}\n", task.id, task.state).as_bytes()).unwrap();
        }
    });
    let worker = worker.start(|job| {
        std::thread::sleep(Duration::from_millis(3));
        Ok(job.attempt())
    });
    let worker = worker.unwrap();
    while store.view().unwrap().queue().counts().unwrap().done < u64::from(TASKS) {
        std::thread::sleep(Duration::from_millis(20));
    }
    worker.stop(Duration::from_secs(10));
    store.close().unwrap();
}

#[test]
fn every_task_ends_once_although_worker_processes_are_killed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h.redb");
    let store = Store::open(&path).unwrap();
    store.enqueue_all((0..TASKS).map(|n| NewTask::new(n).max_attempts(1_000)).collect()).unwrap();
    let counts = || store.view().unwrap().queue().counts().unwrap();
    let mut children: Vec<_> = (0..3).map(|number| spawn("work", &path, number)).collect();
    wait_for(&path.with_extension("log"));
    for round in 0..6 * scale() {
        // Until somebody is at work.
        while counts().claimed == 0 && counts().done < u64::from(TASKS) {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(40));
        let number = round % children.len();
        children[number].kill().unwrap();
        children[number].wait().unwrap();
        children[number] = spawn("work", &path, number);
    }
    let began = Instant::now();
    while counts().done < u64::from(TASKS) {
        assert!(began.elapsed() < Duration::from_secs(120), "not every task ends: {:?}", counts());
        std::thread::sleep(Duration::from_millis(10));
    }
    for mut child in children {
        assert!(child.wait().unwrap().success(), "a worker failed; its output is above");
    }
    let mut ends = BTreeMap::<String, u32>::new();
    for line in fs::read_to_string(path.with_extension("log")).unwrap().lines() {
        let (id, state) = line.split_once(' ').unwrap();
        assert_eq!(state, "done");
        *ends.entry(id.to_owned()).or_default() += 1;
    }
    assert!(ends.values().all(|times| *times == 1), "a task ended twice: {ends:?}");
    let view = store.view().unwrap();
    let tasks: Vec<_> = view.queue().list().map(Result::unwrap).collect();
    assert!(tasks.iter().all(|task| task.state == TaskState::Done));
    // A process that is killed between the commit and the log has ended a task that is not in the log.
    assert!(ends.len() > tasks.len() / 2, "{} of {} are in the log", ends.len(), tasks.len());
    assert!(tasks.iter().any(|task| task.attempts > 1), "nothing was killed at work");
    drop(view);
    assert!(store.check().unwrap().is_sound());
}
