//! A standby at the edge of what was collected: at its very slot it goes on, and one slot before it is made anew.

use super::follower::{Follower, FollowerStep};
use super::gated_test::{Fleet, HOUR, numbers, put};
use super::outgoing::ShipOutcome;
use super::runtime::block_on;
use super::terms::collect::CollectStep;
use crate::error::Result;

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
    let mut collector = writer.collector(super::sleeper_test::AT_ONCE);
    let mut deleted = 0;
    loop {
        match writer.collect(&mut collector, HOUR).await?.unwrap() {
            CollectStep::Nothing | CollectStep::Over => break,
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
