//! The requests of a store that is idle.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::collect::Retention;
use super::outgoing::ShipOutcome;
use super::tending::{Tended, Tending};
use crate::error::Result;
use crate::replica::connection::runtime::block_on;
use crate::replica::gated_test::{Fleet, HOUR, put, refused, shipper_with};

const MINUTE: Duration = Duration::from_secs(60);
const RETENTION: Retention = Retention {
    window: Duration::from_secs(24 * 60 * 60),
    grace: Duration::from_secs(6 * 60 * 60),
    hold_age: Duration::from_secs(24 * 60 * 60),
};

#[test]
fn the_last_object_is_read_back_each_hour_and_old_ones_are_looked_for_once_behind_each_base() {
    block_on(async {
        let (fleet, store) = Fleet::begin().await?;
        let mut shipper = fleet.shipper(&fleet.world.door().counting(), &store).await?;
        let begun = Instant::now();
        let mut tending = Tending::begin(&shipper, RETENTION, begun);
        put(&store, 1)?;
        assert_eq!(shipper.step().await?, ShipOutcome::Done);
        let mut requests = Vec::new();
        let mut reads = 0;
        // Old objects are first looked for after six hours.
        for minutes in [1, 2, 3, 5, 6, 365, 425, 485, 545] {
            if minutes == 485 {
                put(&store, 2)?;
                fleet.clock.advance(2 * HOUR);
                let _made = shipper.base().await?;
            }
            fleet.world.count(None);
            let now = begun + minutes * MINUTE;
            let tended = tending.step(&mut shipper, now, |_| (), |found| reads += u32::from(found.is_ok())).await;
            assert_eq!(tended, Tended::Done);
            requests.push(fleet.world.requests());
        }
        println!("requests={requests:?} reads={reads}");
        // A look for another machine each minute, and the object in the first one and each hour.
        assert_eq!((&requests[..3], requests[4], requests[6]), (&[2, 1, 1][..], 1, 2));
        assert!(requests[3] > 1 && requests[5] > 2 && requests[7] > 2 && requests[8] == 2, "{requests:?}");
        assert_eq!(reads, 5);
        shipper.release().await
    })
    .unwrap();
}

#[test]
fn a_bucket_that_went_away_is_told_of_within_a_minute_and_one_that_is_empty_within_an_hour() {
    block_on(async {
        let (fleet, store) = Fleet::begin().await?;
        let door = fleet.world.door();
        let objects = Arc::new(door.clone());
        let mut shipper = shipper_with(&store, objects, &fleet.clock, Duration::from_millis(10), None).await?;
        let begun = Instant::now();
        let mut tending = Tending::begin(&shipper, RETENTION, begun);
        let (mut looks, mut reads) = (Vec::new(), Vec::new());
        for seconds in [60, 120, 129, 130, 131, 191, 3_800] {
            match seconds {
                120 => door.away(Some(refused)),
                131 => door.away(None),
                3_800 => fleet.world.lose(shipper.last_object().unwrap()).await,
                _ => {}
            }
            let now = begun + Duration::from_secs(seconds);
            let looked = |looked: Result<()>| looks.push((seconds, looked.is_ok()));
            let read = |found: Result<()>| reads.push((seconds, found.is_ok()));
            assert_eq!(tending.step(&mut shipper, now, looked, read).await, Tended::Done);
        }
        assert_eq!(looks, [(60, true), (120, false), (130, false), (191, true), (3_800, true)]);
        assert_eq!(reads, [(60, true), (3_800, false)]);
        drop(shipper);
        store.close()
    })
    .unwrap();
}
