//! Sixteen clones of a standby are promoted at once while the source still writes, and each dies before a random
//! request: there is one history, it has every commit that was acknowledged, and the next one can go on.
//!
//! `HIVEKEEP_TEST_SCALE=500 HIVEKEEP_TEST_SEED=S` takes 1,000 rounds, from the seed S on.

use std::cell::{Cell, RefCell};
use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::Poll;

use futures_util::poll;

use super::follower::Follower;
use super::take_over::TakeOverOptions;
use crate::engine::store::Store;
use crate::error::{ErrorKind, Result};
use crate::replica::bench_test::rows;
use crate::replica::checks::verify::verify;
use crate::replica::connection::runtime::block_on;
use crate::replica::gated_test::{Door, Fleet, numbers, put, setting};
use crate::replica::restoring::moment::ReplicaMoment;
use crate::replica::shipping::outgoing::ShipOutcome;
use crate::testkit::proof::choices::Choices;

const MACHINES: usize = 16;
/// Rounds, times the scale.
const ROUNDS: u64 = 2;

/// The fates of the machines of all rounds.
#[derive(Debug, Default)]
struct Fates {
    promoted: u64,
    refused: u64,
    died: u64,
    acknowledged: u64,
}

#[test]
fn sixteen_that_are_promoted_at_once_leave_one_history_with_every_acknowledged_commit() {
    let (scale, seed) = (setting("HIVEKEEP_TEST_SCALE", 1), setting("HIVEKEEP_TEST_SEED", 1));
    let mut fates = Fates::default();
    for number in seed..seed + ROUNDS * scale {
        block_on(round(number, &mut fates)).unwrap_or_else(|error| panic!("HIVEKEEP_TEST_SEED={number}: {error}"));
    }
    println!("{} rounds: {fates:?}", ROUNDS * scale);
    assert!(fates.promoted > 0 && fates.died > 0 && fates.acknowledged > ROUNDS, "{fates:?}");
}

async fn round(seed: u64, fates: &mut Fates) -> Result<()> {
    let mut choices = Choices::seeded(seed);
    let (fleet, store) = Fleet::begin().await?;
    let door = fleet.world.door();
    let mut writer = fleet.shipper(&door, &store).await?;
    put(&store, 0)?;
    let _shipped = writer.step().await?;
    let (acknowledged, is_alone) = (RefCell::new(vec![0]), Cell::new(false));
    let first = fleet.path("standby.redb");
    Follower::open(fleet.copier(&door).await?, &first, fleet.options()).await?.close()?;

    let turns = door.clone().taking_turns(None);
    let mut machines = vec![(turns, writes(&mut writer, &store, &acknowledged, &is_alone))];
    for number in 0..MACHINES {
        let left = (!choices.once_in(4)).then(|| choices.below(40) as u64);
        let door = fleet.world.door().taking_turns(left);
        let path = clone_of(&first, number);
        machines.push((door.clone(), promotes(&fleet, door, path)));
    }
    let mut fate = |done: Poll<Result<()>>| match done {
        Poll::Ready(Ok(())) => fates.promoted += 1,
        Poll::Ready(Err(error)) if error.kind() == ErrorKind::Conflict => fates.refused += 1,
        Poll::Ready(Err(error)) => panic!("HIVEKEEP_TEST_SEED={seed}: {error}"),
        Poll::Pending => fates.died += 1,
    };
    while !machines.is_empty() {
        is_alone.set(machines.len() == 1);
        let at = choices.below(machines.len());
        let (door, work) = &mut machines[at];
        let done = poll!(work);
        if done.is_ready() || door.is_dead() {
            drop(machines.swap_remove(at));
            fate(done);
        }
        // The pauses between tries are over after a while.
        tokio::task::yield_now().await;
    }

    // The next one goes on, whatever they left behind.
    let (door, path) = (fleet.world.door(), fleet.path("last.redb"));
    fleet.copier(&door).await?.restore(&path, &ReplicaMoment::Newest).await?;
    promotes(&fleet, door.clone(), path.clone()).await?;
    let last = fleet.open(&path)?;
    let mut shipper = fleet.shipper(&door, &last).await?;
    put(&last, 1_000)?;
    assert_eq!(shipper.step().await?, ShipOutcome::Done);
    let copier = fleet.copier(&door).await?;
    let found = verify(&copier.remote).await?;
    assert!(found.is_sound(), "HIVEKEEP_TEST_SEED={seed}: {found:?}");
    let restored = fleet.path("restored.redb");
    copier.restore(&restored, &ReplicaMoment::Newest).await?;
    let restored = fleet.open(&restored)?;
    assert!(rows(&restored) == rows(&last), "HIVEKEEP_TEST_SEED={seed}");
    let has = numbers(&restored);
    let acknowledged = acknowledged.borrow().clone();
    assert!(
        acknowledged.iter().all(|number| has.contains(number)),
        "HIVEKEEP_TEST_SEED={seed}: {acknowledged:?} {has:?}"
    );
    fates.acknowledged += acknowledged.len() as u64;
    Ok(())
}

type Work<'a> = Pin<Box<dyn Future<Output = Result<()>> + 'a>>;

/// The source writes until it is fenced, or nobody is left who could fence it.
fn writes<'a>(
    writer: &'a mut crate::replica::shipping::ship::Shipper,
    store: &'a Store,
    acknowledged: &'a RefCell<Vec<u64>>,
    is_alone: &'a Cell<bool>,
) -> Work<'a> {
    Box::pin(async move {
        for number in 1.. {
            put(store, number)?;
            if writer.step().await? == ShipOutcome::Fenced {
                break;
            }
            acknowledged.borrow_mut().push(number);
            if is_alone.get() {
                break;
            }
        }
        Ok(())
    })
}

fn promotes(fleet: &Fleet, door: Door, path: PathBuf) -> Work<'_> {
    Box::pin(async move {
        let copy = Follower::open(fleet.copier(&door).await?, &path, fleet.options()).await?;
        copy.promote(&TakeOverOptions::default()).await.map(|_| ())
    })
}

fn clone_of(first: &Path, number: usize) -> PathBuf {
    let path = first.with_file_name(format!("clone-{number}.redb"));
    fs::copy(first, &path).unwrap();
    path
}
