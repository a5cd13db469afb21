//! Shipping a real store into a folder: nothing is lost and nothing is mixed in, whatever is
//! killed, and whoever comes second.

use std::path::Path;
use std::time::{Duration, Instant};

use super::init::InitReplicaOptions;
use super::location::{Location, ReplicaLocation};
use super::replicator::{ReplicateOptions, Replicator};
use crate::engine::options::Sharing;
use crate::engine::store::Store;
use crate::error::{ErrorKind, Result};

fn open(path: &Path) -> Store {
    Store::options().sharing(Sharing::Exclusive).reserve(false).open(path).unwrap()
}

fn put(store: &Store, number: u64) -> Result<()> {
    store.write(|tx| tx.config().put("number", &serde_json::json!(number)))
}

fn replicate(store: &Store, to: &ReplicaLocation) -> Result<Replicator> {
    let options = ReplicateOptions { interval: Duration::from_millis(5), ..ReplicateOptions::default() };
    store.replicate(to, options, Duration::from_secs(20))
}

/// Waits until the replica has everything.
fn wait_for(replicator: &Replicator, store: &Store) {
    let until = Instant::now() + Duration::from_secs(30);
    let newest = store.feed_status().unwrap().unwrap().sequence;
    while store.feed_status().unwrap().unwrap().shipped < newest {
        assert!(Instant::now() < until, "{:?}", replicator.status());
        std::thread::sleep(Duration::from_millis(5));
    }
}

struct Fleet {
    folder: tempfile::TempDir,
    replica: ReplicaLocation,
}

impl Fleet {
    fn new() -> (Self, Store) {
        let folder = tempfile::tempdir().unwrap();
        let replica = ReplicaLocation(Location::Directory(folder.path().join("replica")));
        let store = open(&folder.path().join("h.redb"));
        put(&store, 1).unwrap();
        store.init_replica(&replica, &InitReplicaOptions::default()).unwrap();
        store.close().unwrap();
        let store = open(&folder.path().join("h.redb"));
        (Self { folder, replica }, store)
    }
}

#[test]
fn commits_reach_the_replica_and_a_restart_goes_on_in_a_term_of_its_own() {
    let (fleet, store) = Fleet::new();
    let replicator = replicate(&store, &fleet.replica).unwrap();
    (2..50).for_each(|number| put(&store, number).unwrap());
    wait_for(&replicator, &store);
    let first = replicator.status().term.unwrap();
    drop(replicator);
    put(&store, 50).unwrap();
    store.close().unwrap();
    let store = open(&fleet.folder.path().join("h.redb"));
    put(&store, 51).unwrap();
    let replicator = replicate(&store, &fleet.replica).unwrap();
    assert!(replicator.status().term.unwrap() > first);
    wait_for(&replicator, &store);
    assert_eq!(replicator.status().error, None);
}

/// The files of a store as a kill would leave them, under another name.
fn copy(fleet: &Fleet) -> std::path::PathBuf {
    let folder = fleet.folder.path();
    for entry in std::fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let is_of_store = name == "h.redb" || name.starts_with("h.redb.wal.");
        if is_of_store {
            std::fs::copy(folder.join(&name), folder.join(name.replacen("h.", "copy.", 1))).unwrap();
        }
    }
    folder.join("copy.redb")
}

#[test]
fn a_copy_that_has_everything_takes_the_replica_over_and_the_original_writes_nothing_any_more() {
    let (fleet, store) = Fleet::new();
    let replicator = replicate(&store, &fleet.replica).unwrap();
    (2..9).for_each(|number| put(&store, number).unwrap());
    wait_for(&replicator, &store);
    let other = open(&copy(&fleet));
    let taken = replicate(&other, &fleet.replica).unwrap();
    put(&other, 9).unwrap();
    wait_for(&taken, &other);
    // It was not told yet, so it still commits; its replica never has this.
    put(&store, 10).unwrap();
    let until = Instant::now() + Duration::from_secs(30);
    while !replicator.status().fenced {
        assert!(Instant::now() < until, "{:?}", replicator.status());
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(put(&store, 11).unwrap_err().kind(), ErrorKind::Conflict);
    put(&other, 12).unwrap();
    wait_for(&taken, &other);
    assert_eq!(taken.status().error, None);
}

#[test]
fn an_older_copy_is_refused_and_the_process_that_writes_goes_on() {
    let (fleet, store) = Fleet::new();
    let older = copy(&fleet);
    let replicator = replicate(&store, &fleet.replica).unwrap();
    put(&store, 2).unwrap();
    wait_for(&replicator, &store);
    let other = open(&older);
    let refused = replicate(&other, &fleet.replica).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict, "{refused}");
    assert!(put(&other, 3).is_err(), "it writes nothing any more");
    put(&store, 4).unwrap();
    wait_for(&replicator, &store);
    assert_eq!((replicator.status().fenced, replicator.status().error), (false, None));
}

#[test]
fn a_second_replica_at_the_same_place_and_a_store_of_another_replica_are_refused() {
    let (fleet, store) = Fleet::new();
    let again = store.init_replica(&fleet.replica, &InitReplicaOptions::default()).unwrap_err();
    assert_eq!(again.kind(), ErrorKind::Conflict, "{again}");
    let nowhere = ReplicaLocation(Location::Directory(fleet.folder.path().join("nowhere")));
    assert_eq!(replicate(&store, &nowhere).unwrap_err().kind(), ErrorKind::NotFound);
    let (other, _store) = Fleet::new();
    let refused = replicate(&store, &other.replica).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict, "{refused}");
    let shared = Store::open(fleet.folder.path().join("shared.redb")).unwrap();
    assert_eq!(replicate(&shared, &fleet.replica).unwrap_err().kind(), ErrorKind::Conflict);
}

#[test]
fn commits_that_are_not_kept_are_bridged_by_a_base() {
    let (fleet, store) = Fleet::new();
    let value = serde_json::json!("x".repeat(1 << 20));
    store.load(|tx| (0..20).try_for_each(|key| tx.config().put(&format!("k{key}"), &value))).unwrap();
    let replicator = replicate(&store, &fleet.replica).unwrap();
    put(&store, 2).unwrap();
    wait_for(&replicator, &store);
    assert_eq!(replicator.status().error, None);
}
