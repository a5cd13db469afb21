//! A process that ships with a lease, on a machine that stops for a while, or whose replica is away: nobody is told of
//! a write by it once a standby has taken over.
//!
//! `HIVEKEEP_TEST_SCALE=N` runs N times as many rounds.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

mod children;
mod knobs;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Child;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use children::{spawn, wait_for};
use hivekeep::{
    ErrorKind, InitReplicaOptions, ReplicaLocation, ReplicaStandby, ReplicateOptions, Replicator, Sharing, Store,
    TakeOverOptions,
};
use knobs::scale;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

const LEASE: Duration = Duration::from_secs(6);

/// Does nothing unless another test of this file started it.
#[test]
fn a_child_does_what_it_is_told() {
    let Some(told) = children::told() else { return };
    assert_eq!((told.task.as_str(), told.number), ("write", 0));
    write(&told.store);
}

/// Writes numbers in order, and notes when each was answered, until the store refuses for good.
fn write(path: &Path) {
    let store = open(path);
    let replicator = store.replicate(&replica_of(path), options(), Duration::from_secs(20)).unwrap();
    let mut answers = fs::OpenOptions::new().append(true).create(true).open(path.with_extension("answers")).unwrap();
    fs::write(path.with_extension("writes"), b"").unwrap();
    for number in 1_u64.. {
        match store.write(|tx| tx.config().put("number", &json!(number))) {
            Ok(()) => answers.write_all(&micros().to_le_bytes()).unwrap(),
            Err(error) if error.kind() == ErrorKind::Conflict => break,
            Err(error) => {
                assert!(matches!(error.kind(), ErrorKind::NotCommitted | ErrorKind::Uncertain), "{error}");
                fs::write(path.with_extension("waits"), error.to_string()).unwrap();
            }
        }
        sleep(Duration::from_micros(200));
    }
    let until = Instant::now() + LEASE;
    while !replicator.status().fenced {
        assert!(Instant::now() < until, "{:?}", replicator.status());
        sleep(Duration::from_millis(5));
    }
    fs::write(path.with_extension("refused"), b"").unwrap();
}

fn micros() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros()).unwrap()
}

fn open(path: &Path) -> Store {
    Store::options().sharing(Sharing::Exclusive).open(path).unwrap()
}

fn options() -> ReplicateOptions {
    ReplicateOptions { interval: Duration::from_millis(5), lease: Some(LEASE), ..ReplicateOptions::default() }
}

fn replica_of(path: &Path) -> ReplicaLocation {
    path.with_file_name("replica").to_str().unwrap().parse().unwrap()
}

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

fn answers(path: &Path) -> Vec<u64> {
    let bytes = fs::read(path.with_extension("answers")).unwrap_or_default();
    bytes.as_chunks().0.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect()
}

/// A store that was shipped once.
fn begin(path: &Path) {
    open(path).init_replica(&replica_of(path), &InitReplicaOptions::default()).unwrap();
}

/// A store that is shipped with a lease, and a standby.
fn begin_with_standby(folder: &Path) -> (Store, Replicator, ReplicaStandby) {
    let path = folder.join("h.redb");
    begin(&path);
    let store = open(&path);
    let replicator = store.replicate(&replica_of(&path), options(), Duration::from_secs(20)).unwrap();
    let standby = ReplicaStandby::open(&replica_of(&path), folder.join("copy.redb"), None).unwrap();
    (store, replicator, standby)
}

#[test]
fn a_standby_promotes_itself_and_the_process_that_slept_answers_nobody_any_more() {
    for round in 0..scale() as u64 {
        let folder = tempfile::tempdir().unwrap();
        let (path, copy) = (folder.path().join("h.redb"), folder.path().join("copy.redb"));
        begin(&path);
        let mut child = spawn("write", &path, 0);
        wait_for(&path.with_extension("writes"));
        let mut standby = ReplicaStandby::open(&replica_of(&path), &copy, None).unwrap();
        // As long as it writes, the lease does not run out.
        let until = Instant::now() + LEASE + LEASE / 2;
        while Instant::now() < until {
            standby.step().unwrap();
            assert!(!standby.lease().unwrap().expect("the writer has a lease").is_over);
            sleep(Duration::from_millis(10));
        }
        signal(&child, Signal::STOP);
        let stopped = Instant::now();
        loop {
            standby.step().unwrap();
            if standby.lease().unwrap().is_some_and(|lease| lease.is_over) {
                break;
            }
            sleep(Duration::from_millis(10));
        }
        assert!(stopped.elapsed() > LEASE / 2, "{:?}", stopped.elapsed());
        // Some wake in the middle of the promotion.
        if round % 2 == 1 {
            signal(&child, Signal::CONT);
        }
        standby.promote(&TakeOverOptions::default()).unwrap();
        let promoted = open(&copy);
        let begun = micros();
        promoted.write(|tx| tx.config().put("number", &json!(0))).unwrap();
        signal(&child, Signal::CONT);
        wait_for(&path.with_extension("refused"));
        assert!(child.wait().unwrap().success());
        let answers = answers(&path);
        assert!(answers.len() > 100, "{}", answers.len());
        // It may have been stopped between an answer and its note.
        let late = answers.iter().filter(|at| **at >= begun).count();
        assert!(late <= 1, "{late} answers behind the promotion");
        assert!(path.with_extension("waits").exists() || round % 2 == 1);
        // Its file is locked from now on, also for a process that knows nothing of the lease.
        assert_eq!(open(&path).write(|tx| tx.config().put("a", &json!(1))).unwrap_err().kind(), ErrorKind::Conflict);
        assert!(Store::verify_replica(&replica_of(&path), None).unwrap().is_sound());
    }
}

#[test]
fn a_process_that_is_killed_writes_again_at_once_and_a_copy_of_its_file_waits_for_the_lease() {
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join("h.redb"), folder.path().join("copy.redb"));
    begin(&path);
    for _ in 0..2 * scale() {
        let mut child = spawn("write", &path, 0);
        wait_for(&path.with_extension("writes"));
        let before = answers(&path).len();
        let begun = Instant::now();
        while answers(&path).len() < before + 20 {
            assert!(begun.elapsed() < LEASE, "it waits for the lease of its own killed process");
            sleep(Duration::from_millis(5));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        fs::remove_file(path.with_extension("writes")).unwrap();
    }
    open(&path).close().unwrap();
    fs::copy(&path, &copy).unwrap();
    let store = open(&path);
    let replicator = store.replicate(&replica_of(&path), options(), Duration::from_secs(20)).unwrap();
    // A clone that is started by mistake does not end the process that writes.
    let clone = open(&copy);
    let cloned = clone.replicate(&replica_of(&path), options(), Duration::ZERO).unwrap();
    let until = Instant::now() + LEASE;
    while cloned.status().error.is_none() {
        assert!(Instant::now() < until + LEASE);
        store.write(|tx| tx.config().put("number", &json!(1))).unwrap();
        sleep(Duration::from_millis(5));
    }
    // At the second look it lacks commits, so it is locked for good.
    let refused = clone.write(|tx| tx.config().put("a", &json!(1))).unwrap_err();
    assert!(matches!(refused.kind(), ErrorKind::NotCommitted | ErrorKind::Conflict), "{refused}");
    assert!(!replicator.status().fenced);
    // Without its replicator it has no lease, and says so.
    drop((cloned, replicator));
    assert_eq!(store.write(|tx| tx.config().put("a", &json!(1))).unwrap_err().kind(), ErrorKind::NotCommitted);
}

#[test]
fn writes_stop_while_the_replica_is_away_and_go_on_once_it_is_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h.redb");
    begin(&path);
    let store = open(&path);
    let replicator = store.replicate(&replica_of(&path), options(), Duration::from_secs(20)).unwrap();
    let put = || store.write(|tx| tx.config().put("a", &json!(1)));
    put().unwrap();
    let (there, away) = (folder.path().join("replica"), folder.path().join("away"));
    fs::rename(&there, &away).unwrap();
    let begun = Instant::now();
    let refused = loop {
        match put() {
            Ok(()) => assert!(begun.elapsed() < LEASE, "it writes without a lease"),
            Err(error) => break error,
        }
        sleep(Duration::from_millis(5));
    };
    assert!(matches!(refused.kind(), ErrorKind::NotCommitted | ErrorKind::Uncertain), "{refused}");
    assert_eq!(replicator.status().lease_left_ms, Some(0));
    fs::rename(&away, &there).unwrap();
    while put().is_err() {
        assert!(begun.elapsed() < 10 * LEASE, "{:?}", replicator.status());
        sleep(Duration::from_millis(5));
    }
    assert!(!replicator.status().fenced);
}

#[test]
fn a_store_that_other_processes_share_has_no_lease() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h.redb");
    begin(&path);
    let store = Store::open(&path).unwrap();
    let error = store.replicate(&replica_of(&path), options(), Duration::ZERO).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    store.write(|tx| tx.config().put("a", &json!(1))).unwrap();
}

#[test]
fn a_load_that_the_store_does_not_keep_for_the_replica_does_not_cost_the_lease() {
    let folder = tempfile::tempdir().unwrap();
    let (store, replicator, mut standby) = begin_with_standby(folder.path());
    let replica = replica_of(store.path());
    // One commit of more than is kept, so that the log goes on behind a base.
    let text = "x".repeat(1 << 20);
    store.write(|tx| (0..20).try_for_each(|number| tx.config().put(&format!("big-{number}"), &json!(text)))).unwrap();
    let until = Instant::now() + 2 * LEASE;
    while Instant::now() < until {
        store.write(|tx| tx.config().put("a", &json!(1))).unwrap();
        standby.step().unwrap();
        assert!(!standby.lease().unwrap().expect("the writer has a lease").is_over);
        sleep(Duration::from_millis(20));
    }
    drop(replicator);
    standby.step().unwrap();
    assert_eq!(standby.store().unwrap().view().unwrap().config().get("big-19").unwrap(), Some(json!(text)));
    assert!(Store::verify_replica(&replica, None).unwrap().is_sound());
    standby.close().unwrap();
    // Without a lease of its own it waits for a term before it writes, as its last one had one.
    let without = ReplicateOptions { lease: None, ..options() };
    let (there, away) = (folder.path().join("replica"), folder.path().join("away"));
    fs::rename(&there, &away).unwrap();
    let replicator = store.replicate(&replica, without, Duration::ZERO).unwrap();
    let put = || store.write(|tx| tx.config().put("a", &json!(2)));
    assert_eq!(put().unwrap_err().kind(), ErrorKind::NotCommitted);
    fs::rename(&away, &there).unwrap();
    let until = Instant::now() + Duration::from_secs(30);
    while put().is_err() {
        assert!(Instant::now() < until, "{:?}", replicator.status());
        sleep(Duration::from_millis(20));
    }
    assert_eq!(replicator.status().lease_left_ms, None);
}

#[test]
fn an_outage_that_a_standby_shares_is_no_silence_of_the_writer_and_a_sign_stops_a_promotion() {
    let folder = tempfile::tempdir().unwrap();
    let (store, replicator, mut standby) = begin_with_standby(folder.path());
    let mut look = || {
        let step = standby.step();
        step.and_then(|_| standby.lease()).map(|lease| lease.expect("the writer has a lease").is_over)
    };
    assert!(!look().unwrap());
    let (there, away) = (folder.path().join("replica"), folder.path().join("away"));
    fs::rename(&there, &away).unwrap();
    let until = Instant::now() + LEASE + LEASE / 2;
    while Instant::now() < until {
        assert!(look().is_err(), "the folder is away");
        sleep(Duration::from_millis(50));
    }
    fs::rename(&away, &there).unwrap();
    let until = Instant::now() + LEASE + LEASE / 2;
    while Instant::now() < until {
        assert!(!look().unwrap(), "{:?}", replicator.status());
        sleep(Duration::from_millis(50));
    }
    let refused = standby.promote(&TakeOverOptions { if_silent: true, ..TakeOverOptions::default() }).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict, "{refused}");
    store.write(|tx| tx.config().put("a", &json!(1))).unwrap();
    assert!(!replicator.status().fenced);
}
