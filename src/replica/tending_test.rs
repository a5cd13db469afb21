//! The requests of a store that is idle.

use std::time::{Duration, Instant};

use super::gated_test::{Fleet, HOUR, put};
use super::outgoing::ShipOutcome;
use super::runtime::block_on;
use super::tending::{Tended, Tending};
use super::terms::collect::Retention;

const MINUTE: Duration = Duration::from_secs(60);
const RETENTION: Retention = Retention {
    window: Duration::from_secs(24 * 60 * 60),
    grace: Duration::from_secs(6 * 60 * 60),
    hold_age: Duration::from_secs(24 * 60 * 60),
};

#[test]
fn an_object_is_read_back_once_and_old_ones_are_looked_for_once_behind_each_base() {
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
            let tended = tending.step(&mut shipper, now, |found| reads += u32::from(found.is_ok())).await;
            assert_eq!(tended, Tended::Done);
            requests.push(fleet.world.requests());
        }
        println!("requests={requests:?} reads={reads}");
        // A look for another machine each minute, and the object in the first one.
        assert_eq!((&requests[..3], requests[4], requests[6]), (&[2, 1, 1][..], 1, 1));
        assert!(requests[3] > 1 && requests[5] > 1 && requests[7] > 2 && requests[8] == 1, "{requests:?}");
        assert_eq!(reads, 2);
        shipper.release().await
    })
    .unwrap();
}
