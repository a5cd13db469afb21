//! Commits over a bucket that loses requests and answers, stores and says 503, and says 409 and stores nothing.
//!
//! `HIVEKEEP_TEST_SCALE=100 HIVEKEEP_TEST_SEED=S` ships 10,000 commits, from the seed S on.

use std::sync::Arc;

use super::bench_test::rows;
use super::bucket::Bucket;
use super::cipher::Identities;
use super::faulty_test::Faulty;
use super::gated_test::{LONG, begin_replica, numbers, put, setting, shipper};
use super::moment::ReplicaMoment;
use super::opened::OpenReplica;
use super::outgoing::ShipOutcome;
use super::restore::Copier;
use super::runtime::block_on;
use super::verify::verify;
use crate::clock::{Clock, ManualClock};
use crate::error::Result;
use crate::testkit::checked_store::time;

/// So many commits, times the scale.
const COMMITS: u64 = 100;

#[test]
fn every_commit_is_there_once_and_in_order_and_nobody_is_fenced_for_nothing() {
    let (scale, seed) = (setting("HIVEKEEP_TEST_SCALE", 1), setting("HIVEKEEP_TEST_SEED", 1));
    block_on(ship(COMMITS * scale, seed)).unwrap();
}

async fn ship(commits: u64, seed: u64) -> Result<()> {
    let folder = tempfile::tempdir().unwrap();
    let clock = ManualClock::new(time(0));
    let options = || crate::Store::options().reserve(false).clock(clock.clone());
    let store = options().sharing(crate::Sharing::Exclusive).open(folder.path().join("h.redb"))?;
    let objects = Arc::new(Faulty::unreliable(seed));
    begin_replica(&store, objects.clone(), &clock).await?;
    let (mut number, mut terms) = (0, 0);
    while number < commits {
        let mut writer = shipper(&store, objects.clone(), &clock, LONG).await?;
        terms += 1;
        for _ in 0..50 {
            for _ in 0..1 + number % 5 {
                put(&store, number)?;
                number += 1;
            }
            assert_eq!(writer.step().await?, ShipOutcome::Done, "fenced for nothing, at {number}");
        }
        writer.release().await?;
    }
    let remote = OpenReplica::of(Arc::new(Bucket::of(objects)), Identities::default(), Arc::new(clock.clone())).await?;
    let found = verify(&remote).await?;
    assert!(found.is_sound(), "{found:?}");
    println!("{number} commits in {terms} terms: {found:?}");
    let at: Arc<dyn Clock> = Arc::new(clock.clone());
    let copier = Copier { remote: Arc::new(remote), from: "memory".into(), clock: at };
    let path = folder.path().join("copy.redb");
    copier.restore(&path, &ReplicaMoment::Newest).await?;
    let copy = options().open(&path)?;
    assert_eq!(numbers(&copy), (0..number).collect::<Vec<_>>());
    assert!(rows(&copy) == rows(&store), "the copy has other rows");
    Ok(())
}
