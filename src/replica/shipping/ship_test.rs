//! Shipping a real store into a folder: nothing is lost and nothing is mixed in, whatever is
//! killed, and whoever comes second.

use std::path::Path;
use std::time::{Duration, Instant};

use super::init::InitReplicaOptions;
use super::options::ReplicateOptions;
use super::outgoing::REQUEST_BYTES;
use super::replicator::Replicator;
use super::ship::is_base_due;
use crate::engine::feed::Fed;
use crate::engine::options::Sharing;
use crate::engine::store::Store;
use crate::error::{ErrorKind, Result};
use crate::replica::bucket::Bucket;
use crate::replica::bucket::location::{Location, ReplicaLocation};
use crate::replica::mending::repair_test::copy_all;
use crate::replica::reading::shipped::ShippedTo;
use crate::replica::restoring::restored::RestoreReplicaOptions;

pub(in crate::replica) fn open(path: &Path) -> Store {
    Store::options().sharing(Sharing::Exclusive).reserve(false).open(path).unwrap()
}

pub(in crate::replica) fn put(store: &Store, number: u64) -> Result<()> {
    store.write(|tx| tx.config().put("number", &serde_json::json!(number)))
}

pub(in crate::replica) fn replicate(store: &Store, to: &ReplicaLocation) -> Result<Replicator> {
    let options = ReplicateOptions { interval: Duration::from_millis(5), ..ReplicateOptions::default() };
    store.replicate(to, options, Duration::from_secs(5))
}

/// Waits until the replica has everything.
pub(in crate::replica) fn wait_for(replicator: &Replicator, store: &Store) {
    let until = Instant::now() + Duration::from_secs(30);
    let newest = store.feed_status().unwrap().unwrap().sequence;
    let is_whole = || {
        let shipped = store.feed_status().unwrap().unwrap().shipped;
        let behind = store.feed_after(shipped, 1).unwrap();
        matches!(behind, Fed::Commits(commits) if commits.iter().all(|commit| commit.sequence > newest))
    };
    while !is_whole() {
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
        Self::with(&InitReplicaOptions::default())
    }

    fn with(options: &InitReplicaOptions) -> (Self, Store) {
        let folder = tempfile::tempdir().unwrap();
        let replica = ReplicaLocation(Location::Directory(folder.path().join("replica")));
        let store = open(&folder.path().join("h.redb"));
        put(&store, 1).unwrap();
        store.init_replica(&replica, options).unwrap();
        store.close().unwrap();
        let store = open(&folder.path().join("h.redb"));
        (Self { folder, replica }, store)
    }
}

#[test]
fn a_replica_whose_beginning_was_interrupted_is_finished_by_another_one() {
    for left_out in ["term", "log", "base"] {
        let folder = tempfile::tempdir().unwrap();
        let bucket = folder.path().join("replica");
        let replica = ReplicaLocation(Location::Directory(bucket.clone()));
        let store = open(&folder.path().join("h.redb"));
        put(&store, 1).unwrap();
        // A folder cannot have the name of a file.
        std::fs::create_dir(&bucket).unwrap();
        std::fs::write(bucket.join(left_out), "").unwrap();
        store.init_replica(&replica, &InitReplicaOptions::default()).unwrap_err();
        std::fs::remove_file(bucket.join(left_out)).unwrap();
        put(&store, 2).unwrap();
        let recipients = vec!["age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p".to_owned()];
        let other = store.init_replica(&replica, &InitReplicaOptions { recipients }).unwrap_err();
        assert!(other.to_string().contains("begun for other recipients"), "{left_out}: {other}");
        store.init_replica(&replica, &InitReplicaOptions::default()).unwrap();
        let again = store.init_replica(&replica, &InitReplicaOptions::default()).unwrap_err();
        assert!(again.to_string().starts_with("there is a replica already"), "{left_out}: {again}");
        let copy = folder.path().join("copy.redb");
        Store::restore_replica(&replica, &copy, &RestoreReplicaOptions::default()).unwrap();
        let copy = Store::options().read_only(true).open(&copy).unwrap();
        assert_eq!(copy.view().unwrap().config().get("number").unwrap(), Some(serde_json::json!(2)));
    }
}

#[test]
fn a_base_is_due_after_so_many_small_objects_as_after_so_many_bytes() {
    let (fleet, store) = Fleet::new();
    let replicator = replicate(&store, &fleet.replica).unwrap();
    let mut at = loop {
        // The position of a commit counts the objects before it.
        put(&store, 2).unwrap();
        wait_for(&replicator, &store);
        let at = ShippedTo::of_bytes(&store.feed_status().unwrap().unwrap().position).unwrap();
        if at.log_bytes > 0 {
            break at;
        }
    };
    drop(replicator);
    assert!(at.log_bytes > REQUEST_BYTES, "an object that was shipped is counted by its bytes alone");
    let now = at.base_made;
    at.log_bytes = 7_900 * (REQUEST_BYTES + 300);
    assert!(!is_base_due(&at, now));
    at.log_bytes = 8_000 * (REQUEST_BYTES + 300);
    assert!(is_base_due(&at, now));
    // Behind a large base, the log may be longer.
    at.base_bytes = 1 << 30;
    assert!(!is_base_due(&at, now));
    // A quiet store makes no base, however old its newest one is.
    let tomorrow = now + Duration::from_secs(25 * 60 * 60);
    assert!(is_base_due(&at, tomorrow));
    at.log_bytes = 0;
    assert!(!is_base_due(&at, tomorrow));
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
    let new = open(&fleet.folder.path().join("new.redb"));
    assert_eq!(replicate(&new, &nowhere).unwrap_err().kind(), ErrorKind::NotFound);
    // A store that is in a replica elsewhere is started with a wrong location.
    assert_eq!(replicate(&store, &nowhere).unwrap_err().kind(), ErrorKind::NotFound);
    let (other, _store) = Fleet::new();
    let refused = replicate(&store, &other.replica).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict, "{refused}");
}

/// The folder of the replica as it is now, under another name.
fn copy_of_replica(fleet: &Fleet, name: &str) -> ReplicaLocation {
    let (from, to) = (fleet.folder.path().join("replica"), fleet.folder.path().join(name));
    copy_all(&from, &to);
    ReplicaLocation(Location::Directory(to))
}

#[test]
fn a_wrong_location_is_refused_and_the_store_is_written_and_shipped_to_the_right_one() {
    let (fleet, store) = Fleet::new();
    let (other, _store) = Fleet::new();
    let an_older_term = copy_of_replica(&fleet, "older");
    let replicator = replicate(&store, &fleet.replica).unwrap();
    put(&store, 2).unwrap();
    wait_for(&replicator, &store);
    let an_older_object = copy_of_replica(&fleet, "shorter");
    put(&store, 3).unwrap();
    wait_for(&replicator, &store);
    drop(replicator);
    for wrong in [&other.replica, &an_older_term, &an_older_object] {
        let refused = replicate(&store, wrong).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Conflict, "{wrong}: {refused}");
        put(&store, 4).unwrap();
        assert!(store.overtaken().unwrap().is_none(), "{wrong}: {refused}");
    }
    let replicator = replicate(&store, &fleet.replica).unwrap();
    put(&store, 5).unwrap();
    wait_for(&replicator, &store);
    assert_eq!((replicator.status().fenced, replicator.status().error), (false, None));
}

#[test]
fn a_process_that_runs_goes_on_while_its_location_leads_to_another_replica() {
    let (fleet, store) = Fleet::new();
    let (other, _store) = Fleet::new();
    let place = std::sync::Arc::new(parking_lot::Mutex::new(Location::Directory(fleet.folder.path().join("away"))));
    let of_opener = place.clone();
    let open = std::sync::Arc::new(move || Bucket::open(&of_opener.lock()));
    let options = ReplicateOptions { interval: Duration::from_millis(5), ..ReplicateOptions::default() };
    let replicator = store.replicate_into(&fleet.replica, open, options, Duration::from_millis(100)).unwrap();
    let tells = |what: &str| replicator.status().error.is_some_and(|error| error.contains(what));
    let wait_until = |what: &str| {
        let until = Instant::now() + Duration::from_secs(30);
        while !tells(what) {
            assert!(Instant::now() < until, "{:?}", replicator.status());
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    wait_until("there is no replica");
    *place.lock() = other.replica.0.clone();
    wait_until("belongs to another replica");
    put(&store, 2).unwrap();
    *place.lock() = fleet.replica.0.clone();
    wait_for(&replicator, &store);
    assert_eq!((replicator.status().fenced, replicator.status().error), (false, None));
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

/// An image of a store whose process was killed, opened by another one that has no identity.
fn kill_and_go_on(fleet: &Fleet) {
    let other = open(&copy(fleet));
    let taken = replicate(&other, &fleet.replica).unwrap();
    put(&other, 77).unwrap();
    wait_for(&taken, &other);
    assert_eq!(taken.status().error, None);
    drop(taken);
    other.close().unwrap();
}

#[test]
fn a_killed_process_of_an_encrypted_replica_goes_on_without_an_identity() {
    let (recipients, _identities) = crate::replica::connection::cipher::key_pair();
    let (fleet, store) = Fleet::with(&InitReplicaOptions { recipients: recipients.texts() });
    let replicator = replicate(&store, &fleet.replica).unwrap();
    for number in 2..9 {
        put(&store, number).unwrap();
        wait_for(&replicator, &store);
    }
    kill_and_go_on(&fleet);
}

#[test]
fn a_process_that_is_killed_behind_a_gap_goes_on() {
    let (fleet, store) = Fleet::new();
    let replicator = replicate(&store, &fleet.replica).unwrap();
    let value = serde_json::json!("x".repeat(1 << 20));
    store.load(|tx| (0..20).try_for_each(|key| tx.config().put(&format!("k{key}"), &value))).unwrap();
    wait_for(&replicator, &store);
    kill_and_go_on(&fleet);
}

#[test]
fn a_writer_without_a_pause_does_not_keep_the_replica_from_being_complete() {
    let (fleet, store) = Fleet::new();
    let replicator = replicate(&store, &fleet.replica).unwrap();
    let ends = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0.. {
                put(&store, number).unwrap();
                if ends.load(std::sync::atomic::Ordering::Relaxed) {
                    break;
                }
            }
        });
        let until = Instant::now() + Duration::from_secs(30);
        let first = replicator.status().complete_at;
        while replicator.status().complete_at == first || replicator.status().complete_at.is_none() {
            assert!(Instant::now() < until, "{:?}", replicator.status());
            std::thread::sleep(Duration::from_millis(5));
        }
        ends.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}
