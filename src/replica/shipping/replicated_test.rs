//! Writes that wait for the replica: each acknowledged one is in it, whatever the bucket does, also when another
//! process takes it over.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use object_store::memory::InMemory;
use serde_json::json;

use super::options::ReplicateOptions;
use super::replicator::Replicator;
use crate::clock::SystemClock;
use crate::engine::options::{Durability, Sharing};
use crate::engine::store::Store;
use crate::error::{Error, ErrorKind, Result};
use crate::replica::bucket::Bucket;
use crate::replica::bucket::faulty_test::{Faulty, Lies, run};
use crate::replica::bucket::location::{Location, ReplicaLocation};
use crate::replica::connection::cipher::Identities;
use crate::replica::connection::opened::OpenReplica;
use crate::replica::restoring::moment::ReplicaMoment;
use crate::replica::restoring::restore::Copier;

const WRITERS: usize = 4;

fn open(path: &Path) -> Store {
    let options = Store::options().sharing(Sharing::Exclusive).durability(Durability::Replicated);
    options.reserve(false).open(path).unwrap()
}

fn put(store: &Store, key: &str, value: u64) -> Result<()> {
    store.write(|tx| tx.config().put(key, &json!(value)))
}

/// A store with a replica in a bucket that is bad on demand.
struct Hive {
    folder: tempfile::TempDir,
    bucket: Arc<Faulty>,
    location: ReplicaLocation,
    store: Store,
}

impl Hive {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let bucket = Arc::new(Faulty::new(Lies::default()));
        let store = open(&folder.path().join("h.redb"));
        // Its name alone is used.
        let location = ReplicaLocation(Location::Directory(folder.path().join("elsewhere")));
        store.init_replica_in(Arc::new(Bucket::of(bucket.clone())), &location, None).unwrap();
        Self { folder, bucket, location, store }
    }

    /// Ships a store. No commit is shipped for the passing of time.
    fn ship(&self, store: &Store, write_limit: Duration) -> Replicator {
        let options =
            ReplicateOptions { interval: Duration::from_secs(3600), write_limit, ..ReplicateOptions::default() };
        let bucket = self.bucket.clone();
        let open = Arc::new(move || Ok(Bucket::of(bucket.clone())));
        store.replicate_into(&self.location, open, options, Duration::from_secs(60)).unwrap()
    }

    /// The files of the store as a kill would leave them, under another name.
    fn copy(&self) -> Store {
        let folder = self.folder.path();
        for entry in std::fs::read_dir(folder).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if name == "h.redb" || name.starts_with("h.redb.wal.") {
                std::fs::copy(folder.join(&name), folder.join(name.replacen("h.", "copy.", 1))).unwrap();
            }
        }
        open(&folder.join("copy.redb"))
    }
}

/// The values of keys in the newest state that is in a bucket.
fn restored(image: InMemory, keys: &[String]) -> Vec<u64> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("back.redb");
    run(async {
        let clock = Arc::new(SystemClock);
        let bucket = Arc::new(Bucket::of(Arc::new(image)));
        let remote = OpenReplica::of(bucket, Identities::default(), clock.clone()).await.unwrap();
        let copier = Copier { remote: Arc::new(remote), from: "memory".into(), clock };
        copier.restore(&path, &ReplicaMoment::Newest).await.unwrap();
    });
    let store = Store::options().read_only(true).open(&path).unwrap();
    let view = store.view().unwrap();
    let value = |key: &String| view.config().get(key).unwrap().map_or(0, |value| value.as_u64().unwrap());
    keys.iter().map(value).collect()
}

#[test]
fn every_acknowledged_write_is_in_the_replica_whatever_is_lost_on_the_way() {
    for seed in 0..3 {
        let hive = Hive::new();
        let replicator = hive.ship(&hive.store, Duration::from_secs(120));
        hive.bucket.make_unreliable(seed);
        let acknowledged: [AtomicU64; WRITERS] = Default::default();
        let keys: Vec<String> = (0..WRITERS).map(|writer| format!("w{writer}")).collect();
        let mut images = Vec::new();
        std::thread::scope(|scope| {
            let writers: Vec<_> = acknowledged
                .iter()
                .zip(&keys)
                .map(|(acknowledged, key)| {
                    scope.spawn(|| {
                        for value in 1..=12 {
                            put(&hive.store, key, value).unwrap();
                            acknowledged.store(value, Ordering::SeqCst);
                        }
                    })
                })
                .collect();
            // A kill of the machine at any moment leaves what the bucket has then.
            while !writers.iter().all(|writer| writer.is_finished()) {
                let before: Vec<u64> = acknowledged.iter().map(|value| value.load(Ordering::SeqCst)).collect();
                images.push((before, hive.bucket.image()));
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        images.push((vec![12; WRITERS], hive.bucket.image()));
        let step = images.len().div_ceil(8);
        for (before, image) in images.into_iter().rev().step_by(step) {
            let back = restored(image, &keys);
            assert!(back.iter().zip(&before).all(|(back, before)| back >= before), "{before:?} {back:?}");
        }
        assert!(!replicator.status().fenced);
    }
}

#[test]
fn many_writers_share_one_object() {
    let hive = Hive::new();
    let _replicator = hive.ship(&hive.store, Duration::from_secs(60));
    hive.bucket.delay(Duration::from_millis(20));
    let before = run(objects(&hive.bucket));
    std::thread::scope(|scope| {
        for writer in 0..8 {
            let store = &hive.store;
            scope.spawn(move || (0..10).for_each(|value| put(store, &format!("w{writer}"), value).unwrap()));
        }
    });
    let objects = run(objects(&hive.bucket)) - before;
    assert!(objects < 60, "80 writes took {objects} objects");
}

async fn objects(bucket: &Faulty) -> usize {
    use futures_util::StreamExt;
    object_store::ObjectStore::list(bucket, None).count().await
}

#[test]
fn a_write_behind_which_another_process_took_over_is_uncertain_and_the_next_one_is_refused() {
    let hive = Hive::new();
    let _replicator = hive.ship(&hive.store, Duration::from_secs(60));
    put(&hive.store, "before", 1).unwrap();
    let other = hive.copy();
    let _taken = hive.ship(&other, Duration::from_secs(60));
    put(&other, "other", 1).unwrap();
    let refused = put(&hive.store, "late", 1).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Uncertain, "{refused}");
    assert_eq!(put(&hive.store, "later", 1).unwrap_err().kind(), ErrorKind::Conflict);
    put(&other, "other", 2).unwrap();
    let keys = ["before", "other", "late", "later"].map(str::to_owned);
    assert_eq!(restored(hive.bucket.image(), &keys), [1, 2, 0, 0]);
}

#[test]
fn a_commit_that_is_too_large_counts_once_the_base_behind_it_is_there() {
    let hive = Hive::new();
    let _replicator = hive.ship(&hive.store, Duration::from_secs(60));
    let value = json!("x".repeat(1 << 20));
    let load = hive.store.load(|tx| {
        (0..20).try_for_each(|key| tx.config().put(&format!("k{key}"), &value))?;
        tx.config().put("loaded", &json!(1))
    });
    load.unwrap();
    assert_eq!(restored(hive.bucket.image(), &["loaded".to_owned()]), [1]);
}

#[test]
fn a_bucket_that_is_away_is_an_error_in_time_and_writes_go_on_once_it_is_back() {
    let hive = Hive::new();
    let limit = Duration::from_millis(50);
    let replicator = hive.ship(&hive.store, limit);
    hive.bucket.be_away(true);
    let refused = put(&hive.store, "away", 1).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Uncertain, "{refused}");
    hive.bucket.be_away(false);
    let until = Instant::now() + Duration::from_secs(60);
    while let Err(error) = put(&hive.store, "back", 1) {
        assert!(matches!(error.kind(), ErrorKind::Uncertain | ErrorKind::NotCommitted), "{error}");
        assert!(Instant::now() < until, "{:?}", replicator.status());
    }
    assert_eq!(restored(hive.bucket.image(), &["away".to_owned(), "back".to_owned()]), [1, 1]);
}

#[test]
fn a_bucket_that_swallows_requests_counts_as_away_before_it_fails_any() {
    let hive = Hive::new();
    let limit = Duration::from_millis(100);
    let _replicator = hive.ship(&hive.store, limit);
    hive.bucket.delay(Duration::from_secs(3));
    assert_eq!(put(&hive.store, "first", 1).unwrap_err().kind(), ErrorKind::Uncertain);
    // The object was sent behind the commit.
    std::thread::sleep(limit);
    let refused = put(&hive.store, "second", 1).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NotCommitted, "{refused}");
    hive.bucket.delay(Duration::ZERO);
}

#[test]
fn shipping_is_stopped_although_its_folder_hangs() {
    let hive = Hive::new();
    let (end, ended) = std::sync::mpsc::channel::<()>();
    let ended = parking_lot::Mutex::new(ended);
    let open = Arc::new(move || {
        let _end = ended.lock().recv();
        Err(Error::new(ErrorKind::Io, "it hung"))
    });
    let (tell, told) = std::sync::mpsc::channel();
    let options = ReplicateOptions::default();
    let replicator = hive.store.replicate_into(&hive.location, open, options, Duration::from_millis(10)).unwrap();
    std::thread::spawn(move || {
        drop(replicator);
        tell.send(()).unwrap_or_default();
    });
    told.recv_timeout(Duration::from_secs(60)).expect("the stop hangs");
    drop(end);
}

#[test]
fn writes_that_wait_are_shipped_by_the_end_of_shipping() {
    let hive = Hive::new();
    let replicator = hive.ship(&hive.store, Duration::from_secs(60));
    hive.bucket.delay(Duration::from_millis(100));
    std::thread::scope(|scope| {
        let write = scope.spawn(|| put(&hive.store, "last", 1));
        while hive.store.locally().view().unwrap().config().get("last").unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        drop(replicator);
        write.join().unwrap().unwrap();
    });
    assert_eq!(put(&hive.store, "later", 1).unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(restored(hive.bucket.image(), &["last".to_owned()]), [1]);
}

/// Prints the commits a second and the times of writes of eight threads with a bucket that takes 20 ms.
#[test]
#[ignore = "a measurement"]
fn measure_eight_threads_with_a_bucket_of_20_ms() {
    let hive = Hive::new();
    let _replicator = hive.ship(&hive.store, Duration::from_secs(60));
    hive.bucket.delay(Duration::from_millis(20));
    for threads in [1, 8, 32] {
        let (begun, count) = (Instant::now(), 100);
        let mut times: Vec<Duration> = std::thread::scope(|scope| {
            let write = |writer| {
                let store = &hive.store;
                move || {
                    let timed = |value| {
                        let begun = Instant::now();
                        put(store, &format!("w{writer}"), value).unwrap();
                        begun.elapsed()
                    };
                    (0..count).map(timed).collect::<Vec<_>>()
                }
            };
            let writers: Vec<_> = (0..threads).map(|writer| scope.spawn(write(writer))).collect();
            writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
        });
        let seconds = begun.elapsed().as_secs_f64();
        times.sort();
        let (p50, p99) = (times[times.len() / 2], times[times.len() * 99 / 100]);
        let a_second = times.len() as f64 / seconds;
        println!("{threads} threads: {a_second:.0} commits/s, p50 {p50:?}, p99 {p99:?}");
    }
}
