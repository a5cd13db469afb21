//! Forked children: whatever they do with a store of their parent's, the parent goes on, and its end is noticed.
#![cfg(unix)]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test stops at what it does not expect")]

mod children;

use std::fmt::Debug;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use children::{spawn, wait_for};
use fork::Fork;
use hivekeep::{
    BotId, ClaimOptions, ErrorKind, NewTask, Scheduler, SchedulerOptions, SessionState, Sharing, Store, TaskState, View,
};
use serde_json::json;

/// So many records each of the two processes puts.
const PUTS: usize = 150;
/// Nothing below takes a tenth of it; whoever waits for a thread that is not there waits for ever.
const LONGEST: Duration = Duration::from_secs(60);

/// Does nothing unless another test of this file started it.
#[test]
fn a_child_does_what_it_is_told() {
    let Some(told) = children::told() else { return };
    let (path, 0) = (told.store.as_path(), told.number) else { return };
    match told.task.as_str() {
        "both write" => both_write(path, Sharing::Shared),
        "both write, alone" => both_write(path, Sharing::Exclusive),
        "ends" => forks_a_child_that_ends(path),
        "lives on" => forks_a_child_that_lives_on(path),
        "within a write" => forks_within_a_write(path, Sharing::Shared),
        "within a write, alone" => forks_within_a_write(path, Sharing::Exclusive),
        "both write, over one log" => both_write(path, Sharing::SharedLog),
        "within a write, over one log" => forks_within_a_write(path, Sharing::SharedLog),
        task => panic!("no such task: {task}"),
    }
}

fn put(store: &Store, name: &str, number: usize) -> hivekeep::Result<()> {
    store.write(|tx| tx.collection("numbers")?.put(&format!("{name} {number}"), &number))
}

fn forked<R: Debug>(answer: hivekeep::Result<R>) {
    let error = answer.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Forked, "{error}");
    assert_eq!(error.to_string(), "the store was opened before a fork; open the store again in this process");
}

/// Every call of a store that the parent has opened.
fn every_call_is_refused(store: &Store, view: &View) {
    let (bot, options) = (BotId::new("ant").unwrap(), ClaimOptions::default());
    forked(put(store, "child", 0));
    forked(store.load(|tx| tx.collection("numbers")?.put("child", &0)));
    forked(store.view());
    forked(view.config().get("a"));
    forked(view.collection::<usize>("numbers").and_then(|numbers| numbers.get("parent 0")));
    forked(store.heartbeat(&bot));
    forked(store.claim_wait(&bot, &options, LONGEST));
    forked(store.restore_point("in a child"));
    forked(store.points());
    forked(store.sessions());
    forked(store.check());
    forked(store.compact());
    forked(store.upkeep());
    forked(store.notice_crashes());
    forked(store.mark_shutdown());
    forked(store.reopen());
    // Its locks may be held by threads that the child does not have.
    assert_eq!(store.log_status(), None);
    assert!(store.event_log_error().unwrap().contains("before a fork"));
    forked(store.close());
}

/// Parent and child both write; the child, who is told that the store is its parent's, in a store of its own,
/// unless the parent has it for itself.
fn both_write(path: &Path, sharing: Sharing) {
    let store = Store::options().sharing(sharing).open(path).unwrap();
    // Alone, the third commit begins a log.
    (0..4).for_each(|_| put(&store, "parent", 0).unwrap());
    let view = store.view().unwrap();
    let scheduler = Scheduler::start(store.clone(), SchedulerOptions::default()).unwrap();
    #[cfg(feature = "replica")]
    let replicator = {
        let to = path.with_extension("replica").to_str().unwrap().parse().unwrap();
        store.init_replica(&to, &hivekeep::InitReplicaOptions::default()).unwrap();
        store.replicate(&to, hivekeep::ReplicateOptions::default(), LONGEST).unwrap()
    };
    #[cfg(feature = "tokio")]
    let (runtime, asynchronous) =
        (tokio::runtime::Builder::new_multi_thread().build().unwrap(), hivekeep::AsyncStore::from(store.clone()));
    match fork::fork().unwrap() {
        Fork::Child => {
            every_call_is_refused(&store, &view);
            assert!(scheduler.health().upkeep_error.is_some());
            #[cfg(feature = "replica")]
            {
                assert!(replicator.status().error.unwrap().contains("before a fork"));
                drop(replicator);
            }
            #[cfg(feature = "tokio")]
            {
                let _entered = runtime.enter();
                forked(futures_in_place(asynchronous.write(|_| Ok(()))));
                drop(asynchronous);
                std::mem::forget(runtime);
            }
            drop((view, scheduler, store));
            if sharing != Sharing::Exclusive {
                let own = Store::open(path).unwrap();
                (1..PUTS).for_each(|number| put(&own, "child", number).unwrap());
                own.close().unwrap();
            }
            std::process::exit(0);
        }
        Fork::Parent(child) => {
            (1..PUTS).for_each(|number| put(&store, "parent", number).unwrap());
            assert_eq!(fork::waitpid(child).unwrap(), 0, "the child failed; its output is above");
            let numbers = view.collection::<usize>("numbers").unwrap();
            assert_eq!(numbers.list().count(), 1, "a view of the parent changed");
            drop(scheduler);
            // The child has not ended its parent's term.
            #[cfg(feature = "replica")]
            assert!(!replicator.status().fenced && replicator.status().error.is_none(), "{:?}", replicator.status());
            #[cfg(feature = "replica")]
            drop(replicator);
            store.close().unwrap();
        }
    }
}

/// The answer of a future that waits for nothing.
#[cfg(feature = "tokio")]
fn futures_in_place<R>(future: impl Future<Output = R>) -> R {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut context) {
        std::task::Poll::Ready(answer) => answer,
        std::task::Poll::Pending => panic!("it waits for a thread that is not there"),
    }
}

/// Forks a child that drops the store and ends, says so, and waits to be killed.
fn forks_a_child_that_ends(path: &Path) {
    let store = with_a_claim(path);
    match fork::fork().unwrap() {
        Fork::Child => {
            drop(store);
            std::process::exit(0);
        }
        Fork::Parent(child) => assert_eq!(fork::waitpid(child).unwrap(), 0, "the child failed; its output is above"),
    }
    fs::write(path.with_extension("forked"), b"").unwrap();
    std::thread::sleep(LONGEST);
    drop(store);
}

/// Forks a child that lives on until it is told to end, says so, and waits to be killed.
fn forks_a_child_that_lives_on(path: &Path) {
    let store = with_a_claim(path);
    if let Fork::Child = fork::fork().unwrap() {
        fs::write(path.with_extension("forked"), b"").unwrap();
        wait_for(&path.with_extension("end"));
        fs::write(path.with_extension("ended"), b"").unwrap();
        std::process::exit(0);
    }
    std::thread::sleep(LONGEST);
    drop(store);
}

/// A store in whose process a task was claimed.
fn with_a_claim(path: &Path) -> Store {
    let store = Store::open(path).unwrap();
    let options = ClaimOptions::default();
    store.write(|tx| tx.queue().enqueue(NewTask::new(json!(1)))).unwrap();
    let claims = store.write(|tx| tx.queue().claim(&BotId::new("ant").unwrap(), &options)).unwrap();
    assert_eq!(claims.len(), 1);
    store
}

/// Forks in closures of its writes, while other threads write too.
fn forks_within_a_write(path: &Path, sharing: Sharing) {
    let (store, stop) = (Store::options().sharing(sharing).open(path).unwrap(), AtomicBool::new(false));
    let written = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..3)
            .map(|thread| {
                let (store, stop) = (&store, &stop);
                scope.spawn(move || {
                    let name = format!("thread {thread}");
                    (0..)
                        .take_while(|number| !stop.load(Ordering::Relaxed) && put(store, &name, *number).is_ok())
                        .count()
                })
            })
            .collect();
        for round in 0..20 {
            fork_within_one(&store, round);
        }
        stop.store(true, Ordering::Relaxed);
        threads.into_iter().map(|thread| thread.join().unwrap()).sum::<usize>()
    });
    assert!(written > 0);
    assert_eq!(store.view().unwrap().collection::<usize>("numbers").unwrap().list().count(), written + 20);
    store.close().unwrap();
}

fn fork_within_one(store: &Store, round: usize) {
    let mut child = None;
    let fork_and_put = |tx: &mut hivekeep::WriteTx<'_>| {
        tx.collection("numbers")?.put(&format!("forks {round}"), &round)?;
        child = Some(fork::fork().unwrap());
        Ok(())
    };
    let done = if round.is_multiple_of(2) { store.write(fork_and_put) } else { store.load(fork_and_put) };
    match child.unwrap() {
        Fork::Child => {
            forked(done);
            forked(put(store, "child", round));
            forked(store.view());
            std::process::exit(0);
        }
        Fork::Parent(child) => {
            done.unwrap();
            assert_eq!(fork::waitpid(child).unwrap(), 0, "the child failed; its output is above");
        }
    }
}

struct Fixture {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

fn fixture() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h.redb");
    Fixture { path, _folder: folder }
}

/// Waits for a child, which must end well, and in time.
fn wait(mut child: Child) {
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "a child failed; its output is above");
            return;
        }
        if began.elapsed() > LONGEST {
            child.kill().unwrap();
            panic!("it waits for ever");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn assert_sound(path: &Path) {
    let store = Store::open(path).unwrap();
    assert_eq!(store.crash().unwrap(), None);
    assert!(store.check().unwrap().is_sound());
    store.close().unwrap();
}

#[test]
fn a_forked_child_is_told_to_open_the_store_itself_and_both_lose_nothing() {
    for task in ["both write", "both write, over one log"] {
        let hive = fixture();
        wait(spawn(task, &hive.path, 0));
        let store = Store::open(&hive.path).unwrap();
        let numbers = store.view().unwrap();
        assert_eq!(numbers.collection::<usize>("numbers").unwrap().list().map(Result::unwrap).count(), 2 * PUTS - 1);
        store.close().unwrap();
        assert_sound(&hive.path);
    }
}

#[test]
fn a_fork_within_a_write_hangs_neither_and_the_parent_commits() {
    for task in ["within a write", "within a write, alone", "within a write, over one log"] {
        let hive = fixture();
        wait(spawn(task, &hive.path, 0));
        assert_sound(&hive.path);
    }
}

#[test]
fn a_forked_child_of_a_process_that_has_the_store_for_itself_reaches_neither_file_nor_log() {
    let hive = fixture();
    wait(spawn("both write, alone", &hive.path, 0));
    let store = Store::open(&hive.path).unwrap();
    assert_eq!(store.view().unwrap().collection::<usize>("numbers").unwrap().list().count(), PUTS);
    store.close().unwrap();
    assert_sound(&hive.path);
}

/// The crash of a process that has forked is noticed, and what it had claimed is ready again.
fn assert_crash_is_noticed(store: &Store) {
    let crashed = store.notice_crashes().unwrap();
    assert_eq!(crashed.iter().map(|session| session.state).collect::<Vec<_>>(), [SessionState::Crashed]);
    let task = store.view().unwrap().queue().list().next().unwrap().unwrap();
    assert_eq!((task.state, task.attempts), (TaskState::Ready, 1));
}

#[test]
fn a_forked_child_that_ends_does_not_end_the_session_of_its_parent() {
    let hive = fixture();
    let mut parent = spawn("ends", &hive.path, 0);
    wait_for(&hive.path.with_extension("forked"));
    let store = Store::open(&hive.path).unwrap();
    assert_eq!(store.notice_crashes().unwrap(), []);
    let open = store.sessions().unwrap().iter().filter(|session| session.state == SessionState::Open).count();
    assert_eq!(open, 2);
    parent.kill().unwrap();
    parent.wait().unwrap();
    assert_crash_is_noticed(&store);
}

#[cfg(target_os = "linux")]
#[test]
fn a_process_that_is_killed_is_noticed_although_a_forked_child_of_it_lives() {
    let hive = fixture();
    let mut parent = spawn("lives on", &hive.path, 0);
    wait_for(&hive.path.with_extension("forked"));
    let store = Store::open(&hive.path).unwrap();
    assert_eq!(store.notice_crashes().unwrap(), []);
    parent.kill().unwrap();
    parent.wait().unwrap();
    assert_crash_is_noticed(&store);
    // Everybody goes on beside the child, which still has the descriptors.
    put(&store, "other", 1).unwrap();
    fs::write(hive.path.with_extension("end"), b"").unwrap();
    wait_for(&hive.path.with_extension("ended"));
    put(&store, "other", 2).unwrap();
    store.close().unwrap();
    assert_sound(&hive.path);
}
