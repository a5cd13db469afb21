//! A standby whose process is killed at any moment goes on, and never has anything but what its source had. A process
//! that ships for others may be killed at any moment too, and the next one ships the rest.
//!
//! `HIVEKEEP_TEST_SCALE=N` runs N times as many rounds.
#![expect(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

mod children;
mod knobs;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use children::{spawn, wait_for};
use hivekeep::{
    ErrorKind, InitReplicaOptions, ReplicaLocation, ReplicaStandby, ReplicateOptions, Sharing, StandbyChange, Store,
    TakeOverOptions,
};
use knobs::scale;
use serde_json::json;

/// Does nothing unless another test of this file started it.
#[test]
fn a_child_does_what_it_is_told() {
    let Some(told) = children::told() else { return };
    match told.task.as_str() {
        "follow" => follow(&told),
        "ship" => ship(&told.store),
        "write" => write(&told),
        task => panic!("no such task: {task}"),
    }
}

/// Follows the replica until it is killed.
fn follow(told: &children::Told) {
    let mut standby = ReplicaStandby::open(&replica_of(&told.store), &told.store, None).unwrap();
    loop {
        standby.step().unwrap();
        fs::write(told.store.with_extension("follows"), b"").unwrap();
        std::thread::sleep(Duration::from_millis(told.number as u64));
    }
}

/// Ships a store that other processes write to, until it is killed.
fn ship(path: &Path) {
    let store = Store::open(path).unwrap();
    let options = ReplicateOptions { interval: Duration::from_millis(3), ..ReplicateOptions::default() };
    let replicator = store.replicate(&replica_of(path), options, Duration::from_secs(20)).unwrap();
    assert!(replicator.status().term.is_some(), "{:?}", replicator.status());
    fs::write(path.with_extension("ships"), b"").unwrap();
    std::thread::sleep(Duration::from_secs(120));
}

/// Writes numbers in order, each with a record of its own, and notes what the store has taken, until it is killed.
fn write(told: &children::Told) {
    let (store, name) = (Store::open(&told.store).unwrap(), format!("writer-{}", told.number));
    let mut taken = fs::File::create(told.store.with_extension(&name)).unwrap();
    for number in 0_u64.. {
        let put = store.write(|tx| {
            tx.config().put(&name, &json!(number))?;
            tx.config().put(&format!("{name}-{}", number % 50), &json!(number))
        });
        match put {
            Ok(()) => taken.write_all(&number.to_le_bytes()).unwrap(),
            // The store was overtaken.
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
                fs::write(told.store.with_extension(format!("{name}-refused")), error.to_string()).unwrap();
                return;
            }
        }
    }
}

/// The newest number of a writer in a store, in which the numbers before it are whole.
fn written(store: &Store, writer: usize) -> u64 {
    let view = store.view().unwrap();
    let get = |key: &str| view.config().get(key).unwrap().and_then(|value| value.as_u64());
    let newest = get(&format!("writer-{writer}")).unwrap_or_default();
    for number in newest.saturating_sub(49)..=newest {
        assert_eq!(get(&format!("writer-{writer}-{}", number % 50)).unwrap_or_default(), number, "newest={newest}");
    }
    newest
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
    while store.write(|tx| tx.config().put("newest", &json!(0))).is_ok() || !replicator.status().fenced {
        assert!(Instant::now() < until, "{:?}", replicator.status());
        std::thread::sleep(Duration::from_millis(5));
    }
    put(&promoted, number + 1);
    let shipping = promoted.replicate(&replica, ReplicateOptions::default(), Duration::from_secs(20)).unwrap();
    assert_eq!(shipping.status().error, None);
    drop(shipping);
    let restored = folder.path().join("restored.redb");
    Store::restore_replica(&replica, &restored, &Default::default()).unwrap();
    assert_eq!(newest(&Store::open(&restored).unwrap()), number + 1);
    assert!(Store::verify_replica(&replica, None).unwrap().is_sound());
}

#[test]
fn a_process_that_ships_for_others_is_killed_again_and_again_and_an_overtaken_file_is_locked_for_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h.redb");
    let replica = replica_of(&path);
    Store::open(&path).unwrap().init_replica(&replica, &InitReplicaOptions::default()).unwrap();
    let ships = path.with_extension("ships");
    let mut writers: Vec<_> = (0..2).map(|number| spawn("write", &path, number)).collect();
    for round in 0..4 * scale() as u64 {
        let _left = fs::remove_file(&ships);
        let mut shipper = spawn("ship", &path, 0);
        wait_for(&ships);
        std::thread::sleep(Duration::from_millis(20 + round * 37 % 150));
        shipper.kill().unwrap();
        shipper.wait().unwrap();
        if round == 1 {
            writers[0].kill().unwrap();
            writers[0].wait().unwrap();
        }
        // No moment in the replica is one that the store never had.
        let copy = folder.path().join(format!("copy{round}.redb"));
        Store::restore_replica(&replica, &copy, &Default::default()).unwrap();
        let copy = Store::open(&copy).unwrap();
        let (there, store) = (written(&copy, 1), Store::open(&path).unwrap());
        assert!(there <= written(&store, 1));
        assert!(written(&copy, 0) <= written(&store, 0));
    }
    let _left = fs::remove_file(&ships);
    let mut shipper = spawn("ship", &path, 0);
    wait_for(&ships);
    // Another machine takes over while one writes here.
    let there = folder.path().join("there.redb");
    Store::restore_replica(&replica, &there, &Default::default()).unwrap();
    ReplicaStandby::open(&replica, &there, None).unwrap().promote(&TakeOverOptions::default()).unwrap();
    wait_for(&path.with_extension("writer-1-refused"));
    assert!(writers[1].wait().unwrap().success());
    shipper.kill().unwrap();
    shipper.wait().unwrap();
    let store = Store::open(&path).unwrap();
    assert_eq!(store.write(|tx| tx.config().put("a", &json!(1))).unwrap_err().kind(), ErrorKind::Conflict);
    // All that was acknowledged before is in the file.
    for number in 0..2 {
        let taken = fs::metadata(path.with_extension(format!("writer-{number}"))).unwrap().len() / 8;
        assert!(written(&store, number) + 1 >= taken);
    }
    assert!(store.check().unwrap().is_sound());
    let promoted = Store::open(&there).unwrap();
    assert!(written(&promoted, 1) <= written(&store, 1));
    promoted.write(|tx| tx.config().put("a", &json!(1))).unwrap();
    assert!(Store::verify_replica(&replica, None).unwrap().is_sound());
}
