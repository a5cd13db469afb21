//! A standby whose process is killed at any moment goes on, and never has anything but what its source had.
//!
//! `HIVEKEEP_TEST_SCALE=N` runs N times as many rounds.
#![expect(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

mod children;
mod knobs;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use children::{spawn, wait_for};
use hivekeep::{
    InitReplicaOptions, ReplicaLocation, ReplicaStandby, ReplicateOptions, Sharing, StandbyChange, Store,
    TakeOverOptions,
};
use knobs::scale;
use serde_json::json;

/// Does nothing unless another test of this file started it.
#[test]
fn a_child_does_what_it_is_told() {
    let Some(told) = children::told() else { return };
    assert_eq!(told.task, "follow");
    let mut standby = ReplicaStandby::open(&replica_of(&told.store), &told.store, None).unwrap();
    loop {
        standby.step().unwrap();
        fs::write(told.store.with_extension("follows"), b"").unwrap();
        std::thread::sleep(Duration::from_millis(told.number as u64));
    }
}

fn replica_of(copy: &Path) -> ReplicaLocation {
    copy.with_extension("replica").to_str().unwrap().parse().unwrap()
}

/// Writes a number, and a record of its own for it.
fn put(store: &Store, number: u64) {
    store
        .write(|tx| {
            tx.config().put("newest", &json!(number))?;
            tx.config().put(&format!("number-{number}"), &json!(number))
        })
        .unwrap();
}

/// The newest number of a store, which has a record for it and for every one before, and for no other.
fn newest(store: &Store) -> u64 {
    let view = store.view().unwrap();
    let get = |key: &str| view.config().get(key).unwrap().map(|value| value.as_u64().unwrap());
    let newest = get("newest").unwrap();
    for number in 0..=newest {
        assert_eq!(get(&format!("number-{number}")), Some(number), "newest={newest}");
    }
    assert_eq!(get(&format!("number-{}", newest + 1)), None);
    newest
}

#[test]
fn a_standby_that_is_killed_again_and_again_goes_on_and_can_be_promoted() {
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join("h.redb"), folder.path().join("copy.redb"));
    let replica = replica_of(&copy);
    let store = Store::options().sharing(Sharing::Exclusive).open(&path).unwrap();
    put(&store, 0);
    store.init_replica(&replica, &InitReplicaOptions::default()).unwrap();
    let options = ReplicateOptions { interval: Duration::from_millis(3), ..ReplicateOptions::default() };
    let replicator = store.replicate(&replica, options, Duration::from_secs(20)).unwrap();
    let (mut number, mut before) = (0, 0);
    for round in 0..10 * scale() as u64 {
        let mut child = spawn("follow", &copy, round as usize % 4);
        // The first ones are killed while they make the copy.
        if round > 2 {
            wait_for(&copy.with_extension("follows"));
        }
        for _ in 0..20 {
            number += 1;
            put(&store, number);
        }
        std::thread::sleep(Duration::from_millis(round * 7 % 40));
        child.kill().unwrap();
        child.wait().unwrap();
        let _left = fs::remove_file(copy.with_extension("follows"));
        if copy.exists() {
            let opened = Store::options().create(false).open(&copy).unwrap();
            let newest = newest(&opened);
            assert!(newest >= before && newest <= number, "it went back: before={before} newest={newest}");
            before = newest;
            opened.close().unwrap();
        }
    }
    let mut standby = ReplicaStandby::open(&replica, &copy, None).unwrap();
    let until = Instant::now() + Duration::from_secs(30);
    while newest(standby.store().unwrap()) < number {
        assert!(Instant::now() < until, "{:?}", replicator.status());
        let progress = standby.step().unwrap();
        assert_ne!(progress.change, StandbyChange::Anew);
    }
    assert!(standby.store().unwrap().check().unwrap().is_sound());
    standby.promote(&TakeOverOptions::default()).unwrap();
    let promoted = Store::options().sharing(Sharing::Exclusive).open(&copy).unwrap();
    assert_eq!(newest(&promoted), number);
    // The former source learns that it is over, and writes nothing any more.
    let until = Instant::now() + Duration::from_secs(30);
    while store.write(|tx| tx.config().put("newest", &json!(0))).is_ok() {
        assert!(Instant::now() < until, "{:?}", replicator.status());
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(replicator.status().fenced);
    put(&promoted, number + 1);
    let shipping = promoted.replicate(&replica, ReplicateOptions::default(), Duration::from_secs(20)).unwrap();
    assert_eq!(shipping.status().error, None);
    drop(shipping);
    let restored = folder.path().join("restored.redb");
    Store::restore_replica(&replica, &restored, &Default::default()).unwrap();
    assert_eq!(newest(&Store::open(&restored).unwrap()), number + 1);
    assert!(Store::verify_replica(&replica, None).unwrap().is_sound());
}
