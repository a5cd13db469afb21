//! A file or a copy whose place in the log was collected meanwhile: it ends nobody who writes, and a copy is made
//! anew.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::base::UnfinishedBase;
use super::collect_test::{ByHand, DAY, HOUR};
use super::outgoing::ShipOutcome;
use crate::engine::feed::Receiver;
use crate::engine::options::Sharing;
use crate::engine::store::{Options, Store};
use crate::error::{Error, ErrorKind, Result};
use crate::replica::connection::runtime::block_on;
use crate::replica::following::follower::{Follower, FollowerStep};
use crate::replica::following::take_over::TakeOverOptions;
use crate::replica::objects::name::{Folder, Term};
use crate::replica::reading::bases::has_base_for;
use crate::replica::reading::position::CopyPosition;
use crate::replica::restoring::fill::Filler;
use crate::replica::restoring::moment::ReplicaMoment;
use crate::replica::terms::chain::newest_term;
use crate::replica::terms::lease::Lease;
use crate::replica::terms::open::{BegunFrom, OpenedAs, open_term};
use crate::replica::terms::remote::Remote as _;
use crate::replica::terms::rules::{Rule, break_rule};
use crate::state::INDEXES;

fn options(fleet: &ByHand) -> Options {
    Store::options().reserve(false).clock(fleet.clock.clone())
}

async fn copy(fleet: &ByHand, name: &str) -> Result<PathBuf> {
    let path = fleet.folder.path().join(name);
    fleet.copier().await?.restore(&path, &ReplicaMoment::Newest).await?;
    Ok(path)
}

async fn follower(fleet: &ByHand, path: &Path) -> Result<Follower> {
    Follower::open(fleet.copier().await?, path, options(fleet)).await
}

/// The process that writes still does, and nobody has claimed a term since.
async fn goes_on(fleet: &mut ByHand) -> Result<bool> {
    fleet.store.write(|tx| tx.config().put("after", &serde_json::json!(1)))?;
    let is_writing = fleet.shipper.step().await? == ShipOutcome::Done;
    let newest = newest_term(&fleet.remote).await?.map(|term| u64::from(term.0));
    Ok(is_writing && newest == Some(fleet.shipper.term()))
}

#[test]
fn a_copy_that_was_away_beyond_the_retention_is_made_anew_by_its_first_step() {
    block_on(async {
        let mut fleet = ByHand::new().await?;
        let path = copy(&fleet, "copy.redb").await?;
        fleet.collected_days().await?;
        let newest = fleet.shipper.position().unwrap().sequence;
        let mut follower = follower(&fleet, &path).await?;
        let step = follower.step().await?;
        assert!(matches!(step, FollowerStep::Anew(_)), "{step:?}");
        assert_eq!(follower.position()?.sequence, newest);
        assert!(goes_on(&mut fleet).await?);
        fleet.shipper.release().await
    })
    .unwrap();
}

#[test]
fn a_promotion_of_a_copy_that_slept_beyond_the_retention_has_the_newest_state() {
    block_on(async {
        let mut fleet = ByHand::new().await?;
        let path = copy(&fleet, "copy.redb").await?;
        let mut follower = follower(&fleet, &path).await?;
        while follower.step().await? != FollowerStep::Nothing {}
        fleet.collected_days().await?;
        let newest = fleet.shipper.position().unwrap().sequence;
        let taken = follower.promote(&TakeOverOptions::default()).await?;
        assert_eq!(taken.sequence, newest);
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_state_whose_place_was_collected_claims_no_term() {
    block_on(async {
        let mut fleet = ByHand::new().await?;
        let path = copy(&fleet, "copy.redb").await?;
        fleet.collected_days().await?;
        let receiver = Receiver::open(&path, options(&fleet).session(false), INDEXES)?;
        let at = CopyPosition::of_bytes(&receiver.position()?)?;
        let mut filler = Filler::resume(receiver, &at)?;
        for from in [BegunFrom::Promotion, BegunFrom::Log] {
            assert_eq!(open_term(&fleet.remote, &mut filler, from).await?, OpenedAs::Apart);
        }
        let (receiver, done) = filler.end(Ok(()))?;
        done?;
        receiver.close()?;
        assert!(goes_on(&mut fleet).await?);
        fleet.shipper.release().await
    })
    .unwrap();
}

#[test]
fn the_lease_of_a_writer_is_not_over_where_its_objects_were_collected() {
    let length = Duration::from_secs(3);
    block_on(async {
        let mut fleet = ByHand::new().await?;
        fleet.shipper = fleet.shipper_of(&fleet.store, &fleet.location(), Lease::new(length)).await?;
        let path = copy(&fleet, "copy.redb").await?;
        let mut follower = follower(&fleet, &path).await?;
        for _ in 0..3 {
            while follower.step().await? != FollowerStep::Nothing {}
        }
        assert!(!follower.lease().await?.unwrap().1);
        fleet.collected_days().await?;
        tokio::time::sleep(length).await;
        assert!(!follower.lease().await?.unwrap().1, "the writer counts as silent");
        let how = TakeOverOptions { if_silent: true, ..TakeOverOptions::default() };
        assert!(matches!(follower.step().await?, FollowerStep::Anew(_)));
        assert_eq!(follower.promote(&how).await.unwrap_err().kind(), ErrorKind::Conflict);
        Ok(())
    })
    .unwrap();
}

#[test]
fn an_older_copy_of_the_file_whose_place_was_collected_stops_nobody() {
    block_on(async {
        let mut fleet = ByHand::new().await?;
        fleet.store.write_shipped()?;
        for entry in std::fs::read_dir(fleet.folder.path()).unwrap().map(|entry| entry.unwrap()) {
            let name = entry.file_name().into_string().unwrap();
            if let Some(end) = name.strip_prefix("h.redb").filter(|end| end.is_empty() || end.starts_with(".wal.")) {
                std::fs::copy(entry.path(), fleet.folder.path().join(format!("older.redb{end}"))).unwrap();
            }
        }
        fleet.collected_days().await?;
        let older = fleet.folder.path().join("older.redb");
        let store = options(&fleet).sharing(Sharing::Exclusive).open(&older)?;
        let refused = fleet.shipper_of(&store, &fleet.location(), None).await.map(drop).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Conflict, "{refused}");
        assert!(goes_on(&mut fleet).await?);
        fleet.shipper.release().await
    })
    .unwrap();
}

#[test]
fn a_copy_that_takes_over_holds_its_base_until_its_term_is_open() {
    for is_held in [true, false] {
        block_on(async {
            let mut fleet = ByHand::new().await?;
            fleet.day(0).await?;
            let early = fleet.shipper.position().unwrap().sequence;
            for number in 1..6 {
                fleet.day(number).await?;
            }
            let (path, at) = (fleet.folder.path().join("copy.redb"), ReplicaMoment::Sequence(early));
            let copier = fleet.copier().await?;
            let copy = match is_held {
                true => Follower::restore(copier, &path, &at, options(&fleet)).await?.0,
                false => {
                    copier.restore(&path, &at).await?;
                    follower(&fleet, &path).await?
                }
            };
            fleet.collect_old().await?;
            let term = Term(u32::try_from(fleet.shipper.term()).unwrap());
            assert_eq!(has_base_for(&fleet.remote, term, early).await?, is_held);
            assert_eq!(fleet.remote.list(Folder::Holds).await?.len(), usize::from(is_held));
            assert_eq!(copy.take_over(&TakeOverOptions::default()).await?.sequence, early);
            assert_eq!(fleet.remote.list(Folder::Holds).await?.len(), 0);
            // The new machine is lost before its first base.
            let (copier, path) = (fleet.copier().await?, fleet.folder.path().join("again.redb"));
            let again = copier.restore(&path, &ReplicaMoment::Newest).await;
            match again {
                Ok(again) => assert!(is_held && again.position.sequence == early, "{again:?}"),
                Err(error) => assert!(!is_held && error.kind() == ErrorKind::NotFound, "{error}"),
            }
            Ok(())
        })
        .unwrap();
    }
}

#[test]
fn a_base_is_as_old_as_its_end_so_commits_of_a_clock_that_was_behind_stay() {
    for is_broken in [false, true] {
        break_rule(is_broken.then_some(Rule::AgeOfABaseIsItsLastCommit));
        let done = block_on(async {
            let mut fleet = ByHand::new().await?;
            let commit = async |fleet: &mut ByHand| {
                fleet.store.write(|tx| tx.config().put("n", &serde_json::json!(1)))?;
                fleet.shipper.step().await?;
                Ok::<_, Error>(fleet.shipper.position().unwrap())
            };
            let early = commit(&mut fleet).await?.sequence;
            let at = commit(&mut fleet).await?;
            // The clock is set while a base is made, and was ten days behind.
            let mut base = UnfinishedBase::begin(&fleet.remote, fleet.store.dump()?, at).await?;
            fleet.clock.advance(10 * DAY);
            while base.step(&fleet.remote).await?.is_none() {}
            fleet.clock.advance(HOUR);
            commit(&mut fleet).await?;
            fleet.shipper.base().await?;
            fleet.collect_old().await?;
            let (path, at) = (fleet.folder.path().join("copy.redb"), ReplicaMoment::Sequence(early));
            let copied = fleet.copier().await?.restore(&path, &at).await;
            let reached = copied.as_ref().map(|copied| copied.position.sequence).map_err(|error| error.kind());
            assert_eq!(reached, if is_broken { Err(ErrorKind::NotFound) } else { Ok(early) }, "{copied:?}");
            fleet.shipper.release().await
        });
        break_rule(None);
        done.unwrap();
    }
}
