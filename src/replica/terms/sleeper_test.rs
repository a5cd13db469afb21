//! The sleeper: a machine stops while the bucket has its object and has not stored it. Meanwhile another one takes
//! over, writes, makes bases, collects what is old, and a third process goes on. The object lands at any moment of that
//! night, and then the sleeper wakes up.
//!
//! A plain run lets it land before each sixteenth request; `HIVEKEEP_TEST_SCALE=16` before each one.

use std::time::Duration;

use futures_util::poll;

use crate::error::Result;
use crate::replica::bench_test::rows;
use crate::replica::checks::verify::verify;
use crate::replica::connection::runtime::block_on;
use crate::replica::following::follower::Follower;
use crate::replica::following::take_over::TakeOverOptions;
use crate::replica::gated_test::{Fleet, YEAR, numbers, put, setting};
use crate::replica::restoring::moment::ReplicaMoment;
use crate::replica::shipping::collect::{CollectStep, Retention};
use crate::replica::shipping::outgoing::ShipOutcome;

/// Nothing is kept, and nobody waits.
pub(in crate::replica) const AT_ONCE: Retention =
    Retention { window: Duration::ZERO, grace: Duration::ZERO, hold_age: Duration::ZERO };

/// One night, in which the object lands before that request, or after all of them. Gives how many there were, and
/// whether the object became history.
async fn night(lands_before: Option<u64>) -> Result<(u64, bool)> {
    let (fleet, store) = Fleet::begin().await?;
    let (slow, quick) = (fleet.world.door(), fleet.world.door().counting());
    let mut first = fleet.shipper(&slow, &store).await?;
    put(&store, 1)?;
    assert_eq!(first.step().await?, ShipOutcome::Done);
    let path = fleet.path("copy.redb");
    let copy = Follower::open(fleet.copier(&quick).await?, &path, fleet.options()).await?;
    put(&store, 2)?;
    slow.hold();
    let mut asleep = Box::pin(first.step());
    while !slow.is_asleep() {
        assert!(poll!(&mut asleep).is_pending());
        tokio::task::yield_now().await;
    }

    fleet.world.count(lands_before);
    copy.promote(&TakeOverOptions::default()).await?;
    let taken = fleet.open(&path)?;
    put(&taken, 3)?;
    let mut second = fleet.shipper(&quick, &taken).await?;
    for number in 4..7 {
        put(&taken, number)?;
        assert_eq!(second.step().await?, ShipOutcome::Done);
        let _made = second.base().await?;
        fleet.clock.advance(YEAR);
    }
    let mut collector = second.collector(AT_ONCE);
    let mut deleted = 0;
    loop {
        match second.collect(&mut collector, YEAR).await?.unwrap() {
            CollectStep::Nothing | CollectStep::Over | CollectStep::Blocked => break,
            CollectStep::Deleted(count) => deleted += count,
            CollectStep::Announced | CollectStep::Decided => {}
        }
    }
    assert!(deleted > 0, "nothing was collected");
    second.release().await?;
    put(&taken, 7)?;
    let mut third = fleet.shipper(&quick, &taken).await?;
    put(&taken, 8)?;
    assert_eq!(third.step().await?, ShipOutcome::Done);

    let requests = fleet.world.requests();
    fleet.world.let_go().await;
    slow.wake();
    let woken = asleep.await?;
    // Once it knows, it takes nothing any more.
    assert_eq!(put(&store, 9).is_err(), woken == ShipOutcome::Fenced);
    let again = first.step().await;
    assert!(!matches!(again, Ok(ShipOutcome::Done)), "the sleeper goes on writing");
    put(&taken, 10)?;
    assert_eq!(third.step().await?, ShipOutcome::Done, "the one that took over is fenced");
    let copier = fleet.copier(&quick).await?;
    let found = verify(&copier.remote).await?;
    assert!(found.is_sound(), "before request {lands_before:?}: {found:?}");
    let restored = fleet.path("restored.redb");
    copier.restore(&restored, &ReplicaMoment::Newest).await?;
    let restored = fleet.open(&restored)?;
    let has_it = numbers(&restored).contains(&2);
    assert!(rows(&restored) == rows(&taken), "{:?} {:?}", numbers(&restored), numbers(&taken));
    // Acknowledged is history. The other way round it may not have been told.
    assert!(has_it || woken == ShipOutcome::Fenced, "a commit that was acknowledged is lost");
    let others = numbers(&restored).into_iter().filter(|number| *number != 2).collect::<Vec<_>>();
    assert_eq!(others, [1, 3, 4, 5, 6, 7, 8, 10]);
    Ok((requests, has_it))
}

#[test]
fn an_object_that_lands_at_any_later_moment_is_history_or_nothing() {
    let (requests, has_it) = block_on(night(None)).unwrap();
    assert!(!has_it && requests > 40, "{requests}");
    let every = usize::try_from((16 / setting("HIVEKEEP_TEST_SCALE", 1)).max(1)).unwrap();
    let (mut history, mut nothing) = (0, 0);
    for at in (1..=requests).step_by(every) {
        let (_, has_it) = block_on(night(Some(at))).unwrap_or_else(|error| panic!("before request {at}: {error}"));
        *(if has_it { &mut history } else { &mut nothing }) += 1;
    }
    println!("landed before each of {} requests: history {history}, nothing {nothing}", history + nothing);
    assert!(history > 0 && nothing > 0, "{history} {nothing}");
}
