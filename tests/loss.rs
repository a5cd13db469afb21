//! The writes that a replica lacks when the process that ships them is killed, and the lag of a standby.
//!
//! `cargo test --release --test loss -- --ignored --nocapture figures` prints both; `HIVEKEEP_TEST_SCALE=N` kills N
//! times as often.
#![expect(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

mod children;
mod knobs;

use std::fs;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use children::{spawn, wait_for};
use hivekeep::{
    Durability, InitReplicaOptions, ReplicaLocation, ReplicaStandby, ReplicateOptions, Sharing, StandbyOptions, Store,
};
use knobs::scale;
use serde_json::json;

/// Between two writes of a load that is about a hundred a second.
const PACE: Duration = Duration::from_millis(8);
const SECOND: f64 = 1e6;
/// The number of a child whose writes wait for the replica; another one's do not.
const WAITS: usize = 1;

/// Does nothing unless another test of this file started it.
#[test]
fn a_child_does_what_it_is_told() {
    let Some(told) = children::told() else { return };
    match told.task.as_str() {
        "work" => work(&told.store, if told.number == WAITS { Durability::Replicated } else { Durability::Disk }),
        task => panic!("no such task: {task}"),
    }
}

fn replica_of(path: &Path) -> ReplicaLocation {
    path.with_extension("replica").to_str().unwrap().parse().unwrap()
}

fn micros() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros()).unwrap()
}

/// Writes the time again and again, and notes each write that was answered, until it is killed.
fn work(path: &Path, durability: Durability) {
    let store = Store::options().sharing(Sharing::Exclusive).open(path).unwrap();
    let replicator = store.replicate(&replica_of(path), ReplicateOptions::default(), Duration::from_secs(20)).unwrap();
    assert!(replicator.status().term.is_some(), "{:?}", replicator.status());
    let writing = store.with_durability(durability);
    let mut answered = fs::File::create(path.with_extension("answered")).unwrap();
    fs::write(path.with_extension("works"), b"").unwrap();
    loop {
        let at = micros();
        writing.write(|tx| tx.config().put("at", &json!(at))).unwrap();
        answered.write_all(&at.to_le_bytes()).unwrap();
        std::thread::sleep(PACE);
    }
}

/// The time that was written last.
fn newest(store: &Store) -> u64 {
    store.view().unwrap().config().get("at").unwrap().and_then(|at| at.as_u64()).unwrap_or_default()
}

/// A store with a replica in the folder.
fn begin(path: &Path) {
    let store = Store::options().sharing(Sharing::Exclusive).open(path).unwrap();
    store.init_replica(&replica_of(path), &InitReplicaOptions::default()).unwrap();
    store.close().unwrap();
}

/// Kills a process after so long, and says how many microseconds of answered writes the replica lacks.
fn killed_after(number: usize, time: Duration) -> u64 {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h.redb");
    begin(&path);
    let mut child = spawn("work", &path, number);
    wait_for(&path.with_extension("works"));
    std::thread::sleep(time);
    child.kill().unwrap();
    child.wait().unwrap();
    let answered = fs::read(path.with_extension("answered")).unwrap();
    let (answered, _half) = answered.as_chunks::<8>();
    let answered: Vec<_> = answered.iter().map(|at| u64::from_le_bytes(*at)).collect();
    let restored = folder.path().join("restored.redb");
    Store::restore_replica(&replica_of(&path), &restored, &Default::default()).unwrap();
    let there = newest(&Store::open(&restored).unwrap());
    let kept = newest(&Store::open(&path).unwrap());
    let last = answered.last().copied().unwrap_or_default();
    assert!(there <= kept && last <= kept, "there={there} last={last} kept={kept}");
    assert!(answered.contains(&there) || there >= last || there == 0, "the replica has a state that never was");
    last.saturating_sub(there)
}

#[test]
fn a_killed_process_loses_the_writes_of_about_an_interval_and_none_that_waited_for_the_replica() {
    // A machine that is busy may be slow for long, so this is no figure.
    let lost = killed_after(0, Duration::from_millis(2_500));
    assert!(lost < 20_000_000, "{lost} microseconds");
    for millis in [300, 700] {
        assert_eq!(killed_after(WAITS, Duration::from_millis(millis)), 0);
    }
}

fn print_sorted(what: &str, mut micros: Vec<u64>) {
    micros.sort_unstable();
    let at = |part: f64| micros[((micros.len() - 1) as f64 * part) as usize] as f64 / SECOND;
    let (count, worst) = (micros.len(), at(1.0));
    println!("{what}: count={count} median={:.2} s, 99 of 100 within {:.2} s, worst {worst:.2} s", at(0.5), at(0.99));
}

#[test]
#[ignore = "it takes minutes, and proves nothing"]
fn figures_of_what_a_kill_loses_and_of_the_lag_of_a_standby() {
    let rounds = 25 * scale() as u64;
    // Moments of an interval that no multiple of it repeats.
    let after = |round: u64| Duration::from_millis(1_500 + round * 618 % 1_000);
    print_sorted("lost by a kill", (0..rounds).map(|round| killed_after(0, after(round))).collect());
    let waited = (0..rounds / 5).map(|round| killed_after(WAITS, after(round)));
    print_sorted("lost by a kill of writes that wait for the replica", waited.collect());
    print_sorted("lag of a standby", lag(Duration::from_secs(30 * scale() as u64)));
}

/// How far a standby is behind a process that writes, looked at every 20 ms.
fn lag(time: Duration) -> Vec<u64> {
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join("h.redb"), folder.path().join("copy.redb"));
    begin(&path);
    let mut child = spawn("work", &path, 0);
    wait_for(&path.with_extension("works"));
    let is_over = AtomicBool::new(false);
    let lags = std::thread::scope(|scope| {
        scope.spawn(|| {
            ReplicaStandby::run(&replica_of(&path), &copy, None, &StandbyOptions::default(), |_| {
                Ok(if is_over.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            })
        });
        wait_for(&copy);
        std::thread::sleep(Duration::from_secs(2));
        let reader = Store::options().create(false).open(&copy).unwrap();
        let (begun, mut lags) = (Instant::now(), Vec::new());
        while begun.elapsed() < time {
            lags.push(micros().saturating_sub(newest(&reader)));
            std::thread::sleep(Duration::from_millis(20));
        }
        is_over.store(true, Ordering::Relaxed);
        lags
    });
    child.kill().unwrap();
    child.wait().unwrap();
    lags
}
