//! A file has one follower, which puts no copy in the place of a store, and tells how long its writer is silent.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::follower::{Follower, FollowerStep};
use super::take_over::{ReplicaThen, TakeOverOptions, take_over, take_over_open};
use crate::engine::feed::Receiver;
use crate::error::{ErrorKind, Hint, Result};
use crate::recovery::upkeep::keeper::Keeper;
use crate::recovery::upkeep::work::Attendant;
use crate::replica::bucket::location::ReplicaLocation;
use crate::replica::connection::runtime::block_on;
use crate::replica::gated_test::{Door, Fleet, LONG, numbers, put, shipper_with};
use crate::replica::objects::name::{ObjectName, ReplicaSlot};
use crate::replica::restoring::moment::ReplicaMoment;
use crate::replica::shipping::options::ReplicateOptions;
use crate::replica::shipping::outgoing::ShipOutcome;
use crate::replica::terms::lease::Lease;
use crate::state::INDEXES;

async fn follower(fleet: &Fleet, door: &Door) -> Result<Follower> {
    Follower::open(fleet.copier(door).await?, &fleet.path("copy.redb"), fleet.options()).await
}

#[test]
fn while_a_standby_follows_nobody_else_follows_promotes_or_takes_over_the_copy() {
    block_on(async {
        let (fleet, _store) = Fleet::begin().await?;
        let (door, path) = (fleet.world.door(), fleet.path("copy.redb"));
        let mut first = follower(&fleet, &door).await?;
        let second = follower(&fleet, &door).await.map(drop).unwrap_err();
        let taken = take_over(&path, fleet.options(), &TakeOverOptions::default()).unwrap_err();
        for refused in [second, taken] {
            assert_eq!(refused.kind(), ErrorKind::Locked, "{refused}");
            assert!(refused.to_string().contains("stop that one first"), "{refused}");
        }
        assert_eq!(first.step().await?, FollowerStep::Nothing);
        first.close()?;
        follower(&fleet, &door).await?.promote(&TakeOverOptions::default()).await?;
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_copy_that_somebody_promoted_meanwhile_or_replaced_is_not_made_anew() {
    block_on(async {
        let (fleet, _store) = Fleet::begin().await?;
        let (door, path) = (fleet.world.door(), fleet.path("copy.redb"));
        let mut copy = follower(&fleet, &door).await?;
        let draft = fleet.copier(&door).await?.draft(&path, &ReplicaMoment::Newest).await?;
        // A program that does not know of the lock.
        let receiver = Receiver::open(&path, fleet.options(), INDEXES)?;
        take_over_open(receiver, &TakeOverOptions::default(), ReplicaThen::Stays)?;
        put(&fleet.options().open(&path)?, 7)?;
        let refused = copy.become_anew(draft.file).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Conflict, "{refused}");
        assert_eq!(numbers(&fleet.options().open(&path)?), [7], "the store is gone");
        drop(copy);

        std::fs::remove_file(&path).unwrap();
        let mut copy = follower(&fleet, &door).await?;
        let draft = fleet.copier(&door).await?.draft(&path, &ReplicaMoment::Newest).await?;
        std::fs::rename(&path, fleet.path("kept.redb")).unwrap();
        std::fs::write(&path, b"another").unwrap();
        assert_eq!(copy.become_anew(draft.file).unwrap_err().kind(), ErrorKind::Moved);
        assert_eq!(std::fs::read(&path).unwrap(), b"another");
        Ok(())
    })
    .unwrap();
}

/// Keeps what it was told.
#[derive(Default)]
struct Told(Mutex<Vec<&'static str>>);

impl Attendant for Told {
    fn copy_promoted(&self) {
        self.0.lock().push("promoted");
    }

    fn copy_replaced(&self) {
        self.0.lock().push("replaced");
    }
}

#[test]
fn whoever_reads_a_copy_that_is_made_anew_is_told() {
    block_on(async {
        let (fleet, _store) = Fleet::begin().await?;
        let (door, path) = (fleet.world.door(), fleet.path("copy.redb"));
        let mut copy = follower(&fleet, &door).await?;
        let (served, told) = (fleet.options().open(&path)?, Arc::new(Told::default()));
        assert!(served.is_shipped()?);
        let keeper = Keeper::start(served.clone(), None, told.clone())?;
        let draft = fleet.copier(&door).await?.draft(&path, &ReplicaMoment::Newest).await?;
        assert!(matches!(copy.become_anew(draft.file)?, FollowerStep::Anew(_)));
        assert!(!served.is_shipped()?, "nobody keeps it up to date");
        let until = Instant::now() + Duration::from_secs(30);
        while told.0.lock().is_empty() {
            assert!(Instant::now() < until);
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(*told.0.lock(), ["replaced"]);
        assert!(keeper.state().has_given_up);
        // The new one is followed.
        assert!(fleet.options().open(&path)?.is_shipped()?);
        assert_eq!(copy.step().await?, FollowerStep::Nothing);
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_list_that_takes_long_is_no_sign_of_the_writer() {
    block_on(async {
        let (fleet, store) = Fleet::begin().await?;
        let (slow, door, length) = (fleet.world.door(), fleet.world.door(), Duration::from_secs(1));
        let objects = Arc::new(door.clone());
        let mut writer = shipper_with(&store, objects, &fleet.clock, LONG, Lease::new(length)).await?;
        put(&store, 1)?;
        assert_eq!(writer.step().await?, ShipOutcome::Done);
        let mut copy = follower(&fleet, &slow).await?;
        while copy.step().await? != FollowerStep::Nothing {}
        // Longer than a third of the lease. A copy lists now and then.
        slow.list_for(length / 2);
        let mut steps = 0;
        while !copy.lease().await?.expect("the writer has a lease").1 {
            assert!(steps < 600, "it waits for ever");
            assert_eq!(copy.step().await?, FollowerStep::Nothing);
            steps += 1;
        }
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_take_over_tells_what_the_replica_gives_up_up_to_the_end_of_the_term_before() {
    block_on(async {
        let (fleet, store) = Fleet::begin().await?;
        let door = fleet.world.door();
        let mut writer = fleet.shipper(&door, &store).await?;
        put(&store, 1)?;
        assert_eq!(writer.step().await?, ShipOutcome::Done);
        let copy = follower(&fleet, &door).await?;
        put(&store, 2)?;
        assert_eq!(writer.step().await?, ShipOutcome::Done);
        let newest = store.feed_status()?.unwrap().sequence;
        let taken = copy.take_over(&TakeOverOptions::default()).await?;
        assert_eq!(taken.given_up.map(|given_up| given_up.sequence), Some(newest));
        std::fs::remove_file(fleet.path("copy.redb")).unwrap();
        let copy = follower(&fleet, &door).await?;
        let taken = copy.take_over(&TakeOverOptions::default()).await?;
        assert_eq!(taken.given_up, None);
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_standby_behind_the_end_of_a_term_tells_that_the_opening_of_the_next_one_is_gone() {
    block_on(async {
        let (fleet, store) = Fleet::begin().await?;
        let door = fleet.world.door();
        let mut copy = follower(&fleet, &door).await?;
        let mut writer = fleet.shipper(&door, &store).await?;
        put(&store, 1)?;
        assert_eq!(writer.step().await?, ShipOutcome::Done);
        while copy.step().await? != FollowerStep::Nothing {}
        writer.release().await?;
        let mut writer = fleet.shipper(&door, &store).await?;
        put(&store, 2)?;
        assert_eq!(writer.step().await?, ShipOutcome::Done);
        let opening = ObjectName::Log(ReplicaSlot::opening(writer.position().unwrap().slot.term));
        fleet.world.lose(opening).await;
        let refused = async {
            for _ in 0..100 {
                copy.step().await?;
            }
            Ok::<_, crate::error::Error>(())
        };
        let refused = refused.await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Damaged);
        assert!(refused.to_string().contains(&opening.to_string()), "{refused}");
        writer.release().await
    })
    .unwrap();
}

#[test]
fn a_copy_is_not_shipped_before_it_takes_over() {
    block_on(async {
        let (fleet, _store) = Fleet::begin().await?;
        follower(&fleet, &fleet.world.door()).await?.close()?;
        let copy = fleet.options().open(fleet.path("copy.redb"))?;
        let to: ReplicaLocation = fleet.path("replica").to_str().unwrap().parse()?;
        let refused = copy.replicate(&to, ReplicateOptions::default(), Duration::ZERO).unwrap_err();
        assert_eq!((refused.kind(), refused.hint()), (ErrorKind::Conflict, Some(&Hint::TakeOver)), "{refused}");
        Ok::<_, crate::error::Error>(())
    })
    .unwrap();
}
