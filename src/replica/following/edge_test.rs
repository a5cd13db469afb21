//! Copies at an edge: of what was collected, where a standby at its very slot goes on and one slot before it is made
//! anew; and of a moment to which the history goes back.

use std::task::Poll;
use std::time::{Duration, Instant};

use futures_util::poll;

use super::follower::{Follower, FollowerStep};
use super::take_over::TakeOverOptions;
use crate::error::{ErrorKind, Result};
use crate::replica::checks::verify::verify;
use crate::replica::connection::runtime::block_on;
use crate::replica::gated_test::{Fleet, HOUR, numbers, put, shipper_with};
use crate::replica::restoring::moment::ReplicaMoment;
use crate::replica::shipping::collect::CollectStep;
use crate::replica::shipping::outgoing::ShipOutcome;
use crate::replica::terms::lease::Lease;

#[test]
fn a_standby_at_the_edge_of_a_collection_goes_on_and_one_slot_before_is_made_anew() {
    for is_before in [false, true] {
        block_on(edge(is_before)).unwrap();
    }
}

async fn edge(is_before: bool) -> Result<()> {
    let (fleet, store) = Fleet::begin().await?;
    let door = fleet.world.door();
    let mut writer = fleet.shipper(&door, &store).await?;
    put(&store, 0)?;
    assert_eq!(writer.step().await?, ShipOutcome::Done);
    let mut copy = Follower::open(fleet.copier(&door).await?, &fleet.path("copy.redb"), fleet.options()).await?;
    put(&store, 1)?;
    assert_eq!(writer.step().await?, ShipOutcome::Done);
    if !is_before {
        assert!(matches!(copy.step().await?, FollowerStep::Moved(_)));
    }
    // The first of these bases is the edge.
    for number in 2..4 {
        let _made = writer.base().await?;
        // Not so long that a step makes a base by itself.
        fleet.clock.advance(HOUR);
        put(&store, number)?;
        assert_eq!(writer.step().await?, ShipOutcome::Done);
    }
    let mut collector = writer.collector(crate::replica::terms::sleeper_test::AT_ONCE);
    let mut deleted = 0;
    loop {
        match writer.collect(&mut collector, HOUR).await?.unwrap() {
            CollectStep::Nothing | CollectStep::Over | CollectStep::Blocked => break,
            CollectStep::Deleted(count) => deleted += count,
            CollectStep::Announced | CollectStep::Decided => {}
        }
    }
    assert!(deleted > 0, "nothing was collected");
    let mut steps = 0;
    let step = loop {
        steps += 1;
        match copy.step().await? {
            FollowerStep::Nothing if steps < 100 => {}
            step => break step,
        }
    };
    assert_eq!(matches!(step, FollowerStep::Anew(_)), is_before, "{step:?} after {steps} steps");
    assert_eq!(numbers(copy.store()?), [0, 1, 2, 3]);
    Ok(())
}

#[test]
fn an_earlier_moment_that_is_taken_over_ends_the_writer_and_its_lease_first() {
    for lease in [None, Lease::new(Duration::from_secs(2))] {
        block_on(back_to_a_moment(lease)).unwrap();
    }
}

async fn back_to_a_moment(lease: Option<Lease>) -> Result<()> {
    let (fleet, store) = Fleet::begin().await?;
    let door = fleet.world.door();
    let objects = std::sync::Arc::new(door.clone());
    let mut writer = shipper_with(&store, objects, &fleet.clock, Duration::from_secs(1), lease).await?;
    put(&store, 1)?;
    assert_eq!(writer.step().await?, ShipOutcome::Done);
    let moment = ReplicaMoment::Sequence(store.feed_status()?.unwrap().sequence);
    put(&store, 2)?;
    assert_eq!(writer.step().await?, ShipOutcome::Done);
    let (copier, how) = (fleet.copier(&fleet.world.door()).await?, TakeOverOptions::default());
    let (past, other) = (fleet.path("past.redb"), fleet.path("other.redb"));
    for path in [&past, &other] {
        copier.restore(path, &moment).await?;
    }
    let begun = Instant::now();
    Follower::open(copier.clone(), &past, fleet.options()).await?.take_over(&how).await?;
    // Until then the writer may have told of successes.
    assert!(begun.elapsed() >= lease.map_or(Duration::ZERO, Lease::length), "{:?}", begun.elapsed());
    assert!(lease.is_none() || put(&store, 3).is_err());
    put(&store.locally(), 3)?;
    assert_eq!(writer.step().await?, ShipOutcome::Fenced);
    let late = Follower::open(copier.clone(), &other, fleet.options()).await?.take_over(&how).await.unwrap_err();
    assert!(late.kind() == ErrorKind::Conflict && late.to_string().contains("was moved to this moment"), "{late}");
    let past = fleet.open(&past)?;
    let mut shipper = fleet.shipper(&door, &past).await?;
    put(&past, 4)?;
    assert_eq!(shipper.step().await?, ShipOutcome::Done);
    let newest = fleet.path("newest.redb");
    copier.restore(&newest, &ReplicaMoment::Newest).await?;
    assert_eq!(numbers(&fleet.open(&newest)?), numbers(&past));
    assert_eq!(numbers(&past), [1, 4]);
    assert!(verify(&copier.remote).await?.is_sound());
    Ok(())
}

#[test]
fn a_standby_does_not_promote_itself_while_somebody_who_goes_back_waits_for_the_lease() {
    block_on(beside_a_claimant()).unwrap();
}

async fn beside_a_claimant() -> Result<()> {
    let (fleet, store) = Fleet::begin().await?;
    let (door, length) = (fleet.world.door(), Duration::from_secs(2));
    let objects = std::sync::Arc::new(door.clone());
    let mut writer = shipper_with(&store, objects, &fleet.clock, length, Lease::new(length)).await?;
    put(&store, 1)?;
    assert_eq!(writer.step().await?, ShipOutcome::Done);
    let (copier, past) = (fleet.copier(&door).await?, fleet.path("past.redb"));
    copier.restore(&past, &ReplicaMoment::Sequence(store.feed_status()?.unwrap().sequence)).await?;
    put(&store, 2)?;
    assert_eq!(writer.step().await?, ShipOutcome::Done);
    let mut standby = Follower::open(copier.clone(), &fleet.path("standby.redb"), fleet.options()).await?;
    standby.step().await?;
    assert!(standby.lease().await?.is_some_and(|(_, is_over)| !is_over));
    // It has heard of the writer before the other one seals the term.
    tokio::time::sleep(length / 2).await;
    let copy = Follower::open(copier.clone(), &past, fleet.options()).await?;
    let how = TakeOverOptions::default();
    let mut work = Box::pin(copy.take_over(&how));
    let taken = loop {
        if let Poll::Ready(taken) = poll!(&mut work) {
            break taken;
        }
        standby.step().await?;
        assert!(standby.lease().await?.is_some_and(|(_, is_over)| !is_over));
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    taken?;
    assert_eq!(numbers(&fleet.open(&past)?), [1]);
    Ok(())
}
