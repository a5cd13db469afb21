//! Another server behind the same location proves itself before a process opens a term there.

use std::sync::Arc;
use std::time::Duration;

use object_store::memory::InMemory;
use serde_json::json;

use super::cipher::Identities;
use super::opened::OpenReplica;
use crate::clock::SystemClock;
use crate::engine::options::Sharing;
use crate::engine::store::Store;
use crate::error::{ErrorKind, Result};
use crate::replica::bucket::Bucket;
use crate::replica::bucket::faulty_test::{Faulty, Lies, run};
use crate::replica::bucket::location::{Location, ReplicaLocation};
use crate::replica::following::follower::Follower;
use crate::replica::following::take_over::TakeOverOptions;
use crate::replica::objects::name::Term;
use crate::replica::restoring::restore::Copier;
use crate::replica::shipping::options::ReplicateOptions;
use crate::replica::terms::chain::newest_term;

/// A store whose replica is in a bucket.
struct Hive {
    folder: tempfile::TempDir,
    store: Store,
    location: ReplicaLocation,
    objects: InMemory,
}

impl Hive {
    fn new() -> Result<Self> {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::options().sharing(Sharing::Exclusive).reserve(false).open(folder.path().join("h.redb"))?;
        let bucket = Arc::new(Faulty::new(Lies::default()));
        // Its name alone is used.
        let location = ReplicaLocation(Location::Directory(folder.path().join("elsewhere")));
        store.init_replica_in(Arc::new(Bucket::of(bucket.clone())), &location, None)?;
        Ok(Self { folder, store, location, objects: bucket.image() })
    }

    /// A server that has the objects, and lets everybody create everything.
    fn other_server(&self) -> Arc<Faulty> {
        Arc::new(Faulty::with(self.objects.fork(), Lies { overwrites: true, ..Lies::default() }))
    }
}

async fn opened(bucket: Arc<Faulty>) -> Result<OpenReplica> {
    OpenReplica::of(Arc::new(Bucket::of(bucket)), Identities::default(), Arc::new(SystemClock)).await
}

/// The newest term that somebody claimed.
fn claimed(bucket: Arc<Faulty>) -> Option<Term> {
    run(async { newest_term(&opened(bucket).await?).await }).unwrap()
}

#[test]
fn a_server_that_lets_two_writers_win_gets_no_term_and_the_store_works_on() {
    let hive = Hive::new().unwrap();
    let ship = |bucket: &Arc<Faulty>, wait| {
        let bucket = bucket.clone();
        let open = Arc::new(move || Ok(Bucket::of(bucket.clone())));
        hive.store.replicate_into(&hive.location, open, ReplicateOptions::default(), wait).unwrap()
    };
    let (wrong, right) = (hive.other_server(), Arc::new(Faulty::with(hive.objects.fork(), Lies::default())));
    let before = claimed(wrong.clone());
    let replicator = ship(&wrong, Duration::from_millis(500));
    let error = replicator.status().error.unwrap();
    assert!(error.contains("cannot keep two writers apart"), "{error}");
    hive.store.write(|tx| tx.config().put("still", &json!("works"))).unwrap();
    drop(replicator);
    assert_eq!(claimed(wrong), before);
    assert!(ship(&right, Duration::from_secs(60)).status().term.is_some());
}

#[test]
fn no_copy_takes_over_in_a_server_that_lets_two_writers_win() {
    let hive = Hive::new().unwrap();
    let (wrong, path) = (hive.other_server(), hive.folder.path().join("copy.redb"));
    let before = claimed(wrong.clone());
    let follower = || async {
        let copier = Copier {
            remote: Arc::new(opened(wrong.clone()).await?),
            from: "here".into(),
            clock: Arc::new(SystemClock),
        };
        Follower::open(copier, &path, Store::options().reserve(false)).await
    };
    let how = TakeOverOptions::default();
    let refused = run(async { follower().await?.promote(&how).await }).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid, "{refused}");
    let refused = run(async { follower().await?.take_over(&how).await }).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid, "{refused}");
    assert_eq!(claimed(wrong), before);
}
