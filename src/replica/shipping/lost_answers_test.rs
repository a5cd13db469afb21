//! Commits over a bucket that loses requests and answers, stores and says 503, and says 409 and stores nothing; and
//! starts that die before their answer.
//!
//! `HIVEKEEP_TEST_SCALE=100 HIVEKEEP_TEST_SEED=S` ships 10,000 commits, from the seed S on.

use std::fs;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use futures_util::poll;

use super::outgoing::ShipOutcome;
use super::ship::Shipper;
use crate::clock::{Clock, ManualClock};
use crate::engine::store::Store;
use crate::error::{ErrorKind, Result};
use crate::replica::bench_test::rows;
use crate::replica::bucket::Bucket;
use crate::replica::bucket::faulty_test::Faulty;
use crate::replica::checks::verify::verify;
use crate::replica::connection::cipher::Identities;
use crate::replica::connection::opened::OpenReplica;
use crate::replica::connection::runtime::block_on;
use crate::replica::following::take_over::TakeOverOptions;
use crate::replica::gated_test::{Fleet, LONG, begin_replica, numbers, put, setting, shipper};
use crate::replica::restoring::moment::ReplicaMoment;
use crate::replica::restoring::restore::Copier;
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
    let options = || Store::options().reserve(false).clock(clock.clone());
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

#[test]
fn a_restored_file_goes_on_behind_starts_that_died_at_any_request_and_no_copy_of_it_does() {
    let mut left = 0;
    while block_on(die_behind(left)).unwrap() {
        left += 1;
    }
    assert!(left > 8, "{left}");
}

/// Lets two starts of a restored file die behind so many requests; says whether they did.
async fn die_behind(left: u64) -> Result<bool> {
    let (fleet, store) = Fleet::begin().await?;
    let door = fleet.world.door();
    let mut writer = fleet.shipper(&door, &store).await?;
    put(&store, 0)?;
    let _shipped = writer.step().await?;
    let (path, copy) = (fleet.path("restored.redb"), fleet.path("copy.redb"));
    fleet.copier(&door).await?.restore(&path, &ReplicaMoment::Newest).await?;
    Store::take_over_replica(&path, &TakeOverOptions::default())?;
    for _ in 0..2 {
        let store = fleet.open(&path)?;
        let started = start_that_dies(&fleet, &store, left).await;
        store.close()?;
        if let Some(started) = started {
            return started.map(|_| false);
        }
        fs::copy(&path, &copy).unwrap();
    }
    let restored = fleet.open(&path)?;
    let mut shipper = fleet.shipper(&door, &restored).await?;
    put(&restored, 1)?;
    assert_eq!(shipper.step().await?, ShipOutcome::Done);
    let refused = fleet.shipper(&door, &fleet.open(&copy)?).await.map(drop).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict, "{refused}");
    put(&restored, 2)?;
    assert_eq!(shipper.step().await?, ShipOutcome::Done);
    Ok(true)
}

/// A start that dies behind so many requests; none if it died.
async fn start_that_dies(fleet: &Fleet, store: &Store, left: u64) -> Option<Result<Shipper>> {
    let door = fleet.world.door().taking_turns(Some(left));
    let mut start = pin!(fleet.shipper(&door, store));
    loop {
        match poll!(&mut start) {
            Poll::Ready(done) => return Some(done),
            Poll::Pending if door.is_dead() => return None,
            Poll::Pending => tokio::task::yield_now().await,
        }
    }
}
