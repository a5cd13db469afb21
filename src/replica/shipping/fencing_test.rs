//! A take-over that comes to its end locks the file of the process before, and one that was interrupted does not.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::init::InitReplicaOptions;
use super::options::ReplicateOptions;
use super::replicator::Replicator;
use super::ship_test::{open, put};
use crate::engine::store::Store;
use crate::error::{Error, ErrorKind, Result};
use crate::replica::bucket::location::{Location, ReplicaLocation};
use crate::replica::connection::runtime::block_on;
use crate::replica::following::follower::Follower;
use crate::replica::following::take_over::TakeOverOptions;
use crate::replica::restoring::restore::Copier;

const LEASE: Duration = Duration::from_secs(2);

struct Machines {
    folder: tempfile::TempDir,
    at: ReplicaLocation,
}

impl Machines {
    fn new() -> (Self, Store) {
        let folder = tempfile::tempdir().unwrap();
        let at = ReplicaLocation(Location::Directory(folder.path().join("replica")));
        let store = open(&folder.path().join("h.redb"));
        put(&store, 1).unwrap();
        store.init_replica(&at, &InitReplicaOptions::default()).unwrap();
        (Self { folder, at }, store)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn replicate(&self, store: &Store) -> Result<Replicator> {
        let interval = Duration::from_millis(5);
        let options = ReplicateOptions { interval, lease: Some(LEASE), ..ReplicateOptions::default() };
        store.replicate(&self.at, options, Duration::from_secs(20))
    }

    /// Promotes a copy, unless that takes longer.
    fn promote(&self, copy: &Path, most: Duration) -> Result<()> {
        block_on(async {
            let copier = Copier::open(&self.at, None).await?;
            let follower = Follower::open(copier, copy, Store::options()).await?;
            match tokio::time::timeout(most, follower.promote(&TakeOverOptions::default())).await {
                Ok(promoted) => promoted.map(drop),
                Err(_) => Err(Error::new(ErrorKind::Io, "interrupted")),
            }
        })
    }
}

fn until(mut is_done: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(30);
    while !is_done() {
        assert!(Instant::now() < until);
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_take_over_that_was_interrupted_before_its_term_opened_locks_no_file() {
    for is_reopened in [false, true] {
        interrupted(is_reopened);
    }
}

fn interrupted(is_reopened: bool) {
    let (machines, mut store) = Machines::new();
    let replicator = machines.replicate(&store).unwrap();
    let interrupted = machines.promote(&machines.path("copy.redb"), LEASE / 2).unwrap_err();
    assert_eq!(interrupted.to_string(), "interrupted");
    // Its term was sealed: it writes nothing, and says what to do.
    until(|| replicator.status().fenced);
    let refused = put(&store, 2).unwrap_err();
    assert!(refused.kind() == ErrorKind::Conflict && refused.to_string().contains("start this one anew"), "{refused}");
    // It has asked whether another one has the history.
    std::thread::sleep(Duration::from_millis(700));
    drop(replicator);
    if is_reopened {
        store.close().unwrap();
        store = open(&machines.path("h.redb"));
    }
    assert_eq!(store.overtaken().unwrap(), None);
    let replicator = machines.replicate(&store).unwrap();
    put(&store, 3).unwrap();
    assert!(!replicator.status().fenced, "{:?}", replicator.status());
    drop(replicator);
    assert!(Store::verify_replica(&machines.at, None).unwrap().is_sound());
    let restored = machines.path("restored.redb");
    Store::restore_replica(&machines.at, &restored, &Default::default()).unwrap();
    let number = open(&restored).view().unwrap().config().get("number").unwrap();
    assert_eq!(number, Some(serde_json::json!(3)));
}

#[test]
fn a_file_is_locked_once_the_process_that_ended_its_term_has_opened_the_next_one() {
    let (machines, store) = Machines::new();
    let replicator = machines.replicate(&store).unwrap();
    std::thread::scope(|scope| {
        let promoted = scope.spawn(|| machines.promote(&machines.path("copy.redb"), Duration::from_secs(30)));
        until(|| replicator.status().fenced);
        let refused = put(&store, 2).unwrap_err().to_string();
        // It waits for the end of the lease, unless this machine was slow.
        assert!(promoted.is_finished() || refused.contains("start this one anew"), "{refused}");
        promoted.join().unwrap().unwrap();
    });
    until(|| put(&store, 2).unwrap_err().to_string().contains("another machine has the history"));
    until(|| replicator.status().error.is_some_and(|error| error.contains("has taken the replica over")));
    drop(replicator);
    store.close().unwrap();
    let store = open(&machines.path("h.redb"));
    assert!(store.overtaken().unwrap().is_some_and(|fence| fence.by_term.is_some()));
    assert_eq!(machines.replicate(&store).unwrap_err().kind(), ErrorKind::Conflict);
}

#[test]
fn a_copy_that_was_taken_over_without_the_replica_answers_nobody_before_the_lease_of_the_other_has_ended() {
    let (machines, store) = Machines::new();
    let replicator = machines.replicate(&store).unwrap();
    let path = machines.path("copy.redb");
    Store::restore_replica(&machines.at, &path, &Default::default()).unwrap();
    Store::take_over_replica(&path, &TakeOverOptions::default()).unwrap();
    let copy = open(&path);
    // It has no lease of its own.
    let shipping = copy.replicate(&machines.at, ReplicateOptions::default(), Duration::from_millis(100)).unwrap();
    until(|| replicator.status().fenced);
    let early = put(&copy, 2);
    // It waits for the end of the lease, unless this machine was slow.
    if shipping.status().term.is_none() {
        assert_eq!(early.unwrap_err().kind(), ErrorKind::NotCommitted);
    }
    until(|| shipping.status().term.is_some());
    put(&copy, 3).unwrap();
    assert_eq!(shipping.status().lease_left_ms, None);
}
