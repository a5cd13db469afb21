//! An hour without the bucket: writes go on, more of them than are kept, and each moment of before and after can be
//! restored, while each one between is refused.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::poll;
use object_store::Error as StoreError;
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::Notify;

use super::outgoing::ShipOutcome;
use crate::clock::{Clock, before, boot_time};
use crate::engine::store::Store;
use crate::error::{Error, ErrorKind, Result};
use crate::replica::bench_test::Bench;
use crate::replica::checks::verify::verify;
use crate::replica::connection::runtime::block_on;
use crate::replica::gated_test::{Fleet, numbers, put, refused, shipper_with};
use crate::replica::objects::name::{Folder, ObjectName};
use crate::replica::restoring::moment::ReplicaMoment;
use crate::replica::terms::lease::Lease;
use crate::replica::terms::remote::Remote as _;

/// The bucket is given up at once.
const SHORT: Duration = Duration::from_millis(10);

fn forbidden() -> StoreError {
    StoreError::PermissionDenied { path: "p".into(), source: "403 the key is no longer known".into() }
}

/// The last commit of a store, with its numbers.
fn moment(store: &Store) -> (u64, Vec<u64>) {
    (store.feed_status().unwrap().unwrap().sequence, numbers(store))
}

#[test]
fn writes_go_on_without_the_bucket_and_the_gap_is_exact_to_the_commit() {
    // One that nothing here outlasts.
    let lease = Lease::new(Duration::from_secs(60 * 60));
    for (answer, kind) in [(refused as fn() -> StoreError, ErrorKind::Io), (forbidden, ErrorKind::Forbidden)] {
        block_on(an_hour(answer, kind, None)).unwrap();
        block_on(an_hour(answer, kind, lease)).unwrap();
    }
}

async fn an_hour(answer: fn() -> StoreError, kind: ErrorKind, lease: Option<Lease>) -> Result<()> {
    let (fleet, store) = Fleet::begin().await?;
    let door = fleet.world.door();
    let mut writer = shipper_with(&store, Arc::new(door.clone()), &fleet.clock, SHORT, lease).await?;
    let mut moments = Vec::new();
    for number in 0..3 {
        put(&store, number)?;
        moments.push(moment(&store));
    }
    assert_eq!(writer.step().await?, ShipOutcome::Done);
    door.away(Some(answer));
    for number in 3..6 {
        put(&store, number)?;
        moments.push(moment(&store));
        assert_eq!(writer.step().await.unwrap_err().kind(), kind);
    }
    // More than a store keeps for its replica in one commit.
    let value = json!("x".repeat(1 << 20));
    store.load(|tx| (0..20).try_for_each(|key| tx.config().put(&format!("long-{key}"), &value)))?;
    moments.push(moment(&store));
    for number in 6..9 {
        put(&store, number)?;
        moments.push(moment(&store));
        assert_eq!(writer.step().await.unwrap_err().kind(), kind);
    }
    fleet.clock.advance(Duration::from_secs(60 * 60));
    door.away(None);
    assert_eq!(writer.step().await?, ShipOutcome::Done);
    let last_lost = moments.len() - 2;
    put(&store, 9)?;
    moments.push(moment(&store));
    assert_eq!(writer.step().await?, ShipOutcome::Done);

    let copier = fleet.copier(&door).await?;
    // With a lease, objects without commits stand before the gap, and tell nothing of this moment.
    let within = ReplicaMoment::Time(before(fleet.clock.now(), Duration::from_secs(30 * 60)));
    let refused = copier.restore(&fleet.path("copy.redb"), &within).await.unwrap_err();
    assert!(refused.kind() == ErrorKind::Conflict && refused.to_string().contains("out of reach"), "{refused}");
    let found = verify(&copier.remote).await?;
    assert!(found.is_sound(), "{found:?}");
    let mut lost = Vec::new();
    for (number, (sequence, numbers_then)) in moments.iter().enumerate() {
        let path = fleet.path("copy.redb");
        match copier.restore(&path, &ReplicaMoment::Sequence(*sequence)).await {
            Ok(_) => {
                let copy = fleet.options().open(&path)?;
                assert_eq!(numbers(&copy), *numbers_then, "sequence {sequence}");
                copy.close()?;
                std::fs::remove_file(&path)?;
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
                assert!(error.to_string().contains("out of reach"), "{error}");
                lost.push(number);
            }
        }
    }
    println!("{kind:?}: of {} moments these are within the gap: {lost:?}", moments.len());
    let is_one_gap = lost.windows(2).all(|pair| pair[0] + 1 == pair[1]);
    assert!(is_one_gap && lost.first() > Some(&2) && lost.last() == Some(&last_lost), "{lost:?}");
    Ok(())
}

#[test]
fn a_lease_is_renewed_while_a_base_is_on_its_way_also_the_one_of_a_gap() {
    for is_gap in [false, true] {
        block_on(a_slow_base(is_gap)).unwrap();
    }
}

async fn a_slow_base(is_gap: bool) -> Result<()> {
    let (fleet, store) = Fleet::begin().await?;
    let (door, length) = (fleet.world.door(), Duration::from_secs(3));
    let objects = Arc::new(door.clone());
    let mut writer = shipper_with(&store, objects, &fleet.clock, length, Lease::new(length)).await?;
    if is_gap {
        let value = json!("x".repeat(1 << 20));
        // This may take longer than the lease.
        store.locally().write(|tx| (0..20).try_for_each(|key| tx.config().put(&format!("long-{key}"), &value)))?;
    } else {
        put(&store, 1)?;
        assert_eq!(writer.step().await?, ShipOutcome::Done);
    }
    // The first object of the base.
    door.hold();
    let mut work = Box::pin(async {
        match is_gap {
            true => writer.step().await,
            false => writer.base().await,
        }
    });
    let begun = Instant::now();
    while begun.elapsed() < 3 * length / 2 {
        assert!(poll!(&mut work).is_pending());
        let is_held = store.lease_left() > Some(Duration::ZERO);
        assert!(is_held || begun.elapsed() < length / 2, "gap: {is_gap}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(door.is_asleep());
    door.wake();
    assert_eq!(work.await?, ShipOutcome::Done);
    put(&store, 2)?;
    assert_eq!(writer.step().await?, ShipOutcome::Done);
    assert!(verify(&fleet.copier(&door).await?.remote).await?.is_sound());
    Ok(())
}

#[test]
fn a_base_goes_on_where_it_was_when_the_bucket_was_away_meanwhile() {
    for is_gap in [false, true] {
        block_on(an_interrupted_base(is_gap)).unwrap();
    }
}

async fn an_interrupted_base(is_gap: bool) -> Result<()> {
    let (fleet, store) = Fleet::begin().await?;
    let (door, value) = (fleet.world.door(), json!("x".repeat(1 << 20)));
    let lease = Lease::new(Duration::from_secs(60 * 60));
    let mut writer = shipper_with(&store, Arc::new(door.clone()), &fleet.clock, SHORT, lease).await?;
    writer = writer.with_patience(Duration::from_secs(60));
    // A base of two parts, and a gap if they are one commit.
    let fill = |keys: std::ops::Range<u64>| {
        store.write(|tx| keys.clone().try_for_each(|key| tx.config().put(&format!("long-{key}"), &value)))
    };
    if is_gap {
        fill(0..20)?;
    } else {
        for key in 0..20 {
            fill(key..key + 1)?;
            assert_eq!(writer.step().await?, ShipOutcome::Done);
        }
    }
    let before = fleet.copier(&door).await?.remote.list(Folder::Bases).await?;
    door.hold();
    let mut work = Box::pin(async {
        match is_gap {
            true => writer.step().await,
            false => writer.base().await,
        }
    });
    // The first part is in the bucket then, and its answer is lost.
    while !door.is_asleep() {
        assert!(poll!(&mut work).is_pending());
    }
    assert!(fleet.world.let_go().await);
    door.away(Some(refused));
    door.wake();
    put(&store, 1)?;
    let begun = Instant::now();
    // Commits are tried beside it after a second.
    while begun.elapsed() < Duration::from_secs(2) {
        assert!(poll!(&mut work).is_pending(), "gap: {is_gap}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    door.away(None);
    assert_eq!(work.await?, ShipOutcome::Done);
    let copier = fleet.copier(&door).await?;
    let mut made = copier.remote.list(Folder::Bases).await?;
    made.retain(|name| !before.contains(name));
    let base_of = |name: &ObjectName| match name {
        ObjectName::Part(base, _) | ObjectName::Manifest(base) => *base,
        other => panic!("{other}"),
    };
    let bases: HashSet<_> = made.iter().map(base_of).collect();
    assert!(bases.len() == 1 && made.len() == 3, "{made:?}");
    assert_eq!(writer.step().await?, ShipOutcome::Done);
    assert!(verify(&copier.remote).await?.is_sound());
    Ok(())
}

#[test]
fn tries_that_take_long_end_by_the_time_and_not_by_their_number() {
    let bench = Bench::new();
    let why = || Error::new(ErrorKind::Io, "swallowed");
    // The patience of its bucket is a second.
    let long_ago = boot_time().saturating_sub(Duration::from_secs(2));
    let told = bench.run(bench.remote.wait(1, long_ago, why())).unwrap_err();
    assert_eq!(told.to_string(), "swallowed");
    bench.run(bench.remote.wait(1, boot_time(), why())).unwrap();
    // An answer that was lost.
    bench.run(bench.remote.wait(0, long_ago, why())).unwrap();
}

#[test]
fn a_write_that_waits_is_shipped_at_once_beside_a_base_and_the_replica_is_told_to_be_complete() {
    block_on(beside_a_base()).unwrap();
}

async fn beside_a_base() -> Result<()> {
    let (fleet, store) = Fleet::begin().await?;
    let (door, awaited) = (fleet.world.door(), Arc::new(Notify::new()));
    let told = Arc::new(Mutex::new(Vec::new()));
    let writer = fleet.shipper(&door, &store).await?.woken_by(awaited.clone());
    let telling = told.clone();
    let mut writer = writer.telling(move |_, sequence| telling.lock().push(sequence));
    put(&store, 1)?;
    assert_eq!(writer.step().await?, ShipOutcome::Done);
    // The first object of the base.
    door.hold();
    let mut work = Box::pin(writer.base());
    while !door.is_asleep() {
        assert!(poll!(&mut work).is_pending());
    }
    put(&store, 2)?;
    awaited.notify_one();
    let newest = store.feed_status()?.unwrap().sequence;
    // Long before the next look that comes by itself.
    for _ in 0..20 {
        assert!(poll!(&mut work).is_pending());
        tokio::task::yield_now().await;
    }
    assert!(door.is_asleep(), "the base is on its way");
    assert_eq!(told.lock().last(), Some(&newest));
    door.wake();
    assert_eq!(work.await?, ShipOutcome::Done);
    Ok(())
}
