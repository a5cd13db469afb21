//! A real store whose old objects are collected from a folder.

use std::sync::Arc;
use std::time::Duration;

use super::cipher::Identities;
use super::init::InitReplicaOptions;
use super::inspect::inspect;
use super::location::{Location, ReplicaLocation};
use super::objects::name::{Folder, ObjectName, ReplicaSlot, Term};
use super::opened::OpenReplica;
use super::runtime::block_on;
use super::ship::Shipper;
use super::source::Source;
use super::terms::collect::{CollectStep, Collector, Retention};
use super::terms::hold::{place_hold, prepare_hold, take_away};
use super::terms::remote::{Deletes, Remote};
use crate::clock::ManualClock;
use crate::engine::options::Sharing;
use crate::engine::store::Store;
use crate::error::Result;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const RETENTION: Retention =
    Retention { window: Duration::from_secs(2 * 24 * 60 * 60), grace: Duration::from_secs(6 * 60 * 60), hold_age: DAY };

/// A store that ships by hand.
struct ByHand {
    _folder: tempfile::TempDir,
    store: Store,
    clock: ManualClock,
    shipper: Shipper,
    /// The same replica, as another process sees it.
    remote: OpenReplica,
}

impl ByHand {
    async fn new() -> Result<Self> {
        let folder = tempfile::tempdir().unwrap();
        let clock = ManualClock::new("2026-01-02T03:04:05Z".parse().unwrap());
        let options = Store::options().sharing(Sharing::Exclusive).reserve(false).clock(clock.clone());
        let store = options.open(folder.path().join("h.redb"))?;
        let location = Location::Directory(folder.path().join("replica"));
        let (of_store, at) = (store.clone(), ReplicaLocation(location.clone()));
        std::thread::spawn(move || of_store.init_replica(&at, &InitReplicaOptions::default())).join().unwrap()?;
        let open = async || OpenReplica::open(&location, Identities::default(), Arc::new(clock.clone())).await;
        let (own, remote) = (open().await?, open().await?);
        let source = Source::open(store.clone(), own.store(), own.description())?;
        let shipper = Shipper::open(own, source).await?;
        Ok(Self { _folder: folder, store, clock, shipper, remote })
    }

    /// A day with two commits, and a base of it.
    async fn day(&mut self, number: u64) -> Result<()> {
        for part in 0..2 {
            self.store.write(|tx| tx.config().put("number", &serde_json::json!([number, part])))?;
            self.shipper.step().await?;
        }
        self.shipper.base().await?;
        self.clock.advance(DAY);
        Ok(())
    }

    async fn bases(&self) -> Result<Vec<ObjectName>> {
        let names = self.remote.list(Folder::Bases).await?;
        Ok(names.into_iter().filter(|name| matches!(name, ObjectName::Manifest(_))).collect())
    }

    /// The indexes of the objects in the log of the writer.
    async fn log(&self) -> Result<Vec<u64>> {
        let term = u32::try_from(self.shipper.term()).unwrap();
        let names = self.remote.list(Folder::Log(Term(term))).await?;
        let index = |name| if let ObjectName::Log(slot) = name { slot.index } else { panic!("{name}") };
        Ok(names.into_iter().map(index).collect())
    }

    async fn collect(&mut self, collector: &mut Collector, waited: Duration) -> Result<CollectStep> {
        self.shipper.collect(collector, waited).await.map(Option::unwrap)
    }

    /// Steps until nothing is left to do.
    async fn collect_all(&mut self, collector: &mut Collector, waited: Duration) -> Result<()> {
        while self.collect(collector, waited).await? != CollectStep::Nothing {}
        Ok(())
    }
}

#[test]
fn the_newest_base_before_the_window_and_all_behind_it_stay_and_nothing_goes_at_the_first_look() {
    let left = block_on(async {
        let mut fleet = ByHand::new().await?;
        for number in 0..5 {
            fleet.day(number).await?;
        }
        let (before, log) = (fleet.bases().await?, fleet.log().await?);
        let mut collector = fleet.shipper.collector(RETENTION);
        assert_eq!(fleet.collect(&mut collector, Duration::ZERO).await?, CollectStep::Announced);
        assert_eq!(fleet.collect(&mut collector, HOUR).await?, CollectStep::Nothing);
        assert_eq!((fleet.bases().await?, fleet.log().await?), (before.clone(), log.clone()));
        fleet.collect_all(&mut collector, 6 * HOUR).await?;
        let bases = fleet.bases().await?;
        // The newest one is of the last day, and the window ends two days before that.
        assert_eq!(bases, before[before.len() - 3..]);
        let ObjectName::Manifest(first) = bases[0] else { panic!() };
        let expected: Vec<_> = log.into_iter().filter(|index| *index == 0 || *index >= first.slot.index).collect();
        assert_eq!(fleet.log().await?, expected);
        assert_eq!(fleet.remote.list(Folder::Log(Term(1))).await?.len(), 2, "an opening and a seal stay for ever");
        fleet.collect_all(&mut collector, 7 * HOUR).await?;
        fleet.shipper.release().await?;
        Ok(bases.len())
    });
    assert_eq!(left.unwrap(), 3);
}

#[test]
fn a_restore_that_reads_keeps_its_objects_and_one_that_died_does_so_for_a_day() {
    block_on(async {
        let mut fleet = ByHand::new().await?;
        for number in 0..5 {
            fleet.day(number).await?;
        }
        let all = fleet.bases().await?;
        let ObjectName::Manifest(second) = all[1] else { panic!() };
        let mut collector = fleet.shipper.collector(RETENTION);
        let hold = prepare_hold(&fleet.remote, second.slot)?;
        assert!(place_hold(&fleet.remote, &hold, second.slot).await?);
        assert_eq!(fleet.collect(&mut collector, Duration::ZERO).await?, CollectStep::Announced);
        // A restore that begins now sees the announcement.
        let late = prepare_hold(&fleet.remote, second.slot)?;
        assert!(!place_hold(&fleet.remote, &late, second.slot).await?);
        take_away(&fleet.remote, &late).await?;
        fleet.collect_all(&mut collector, 6 * HOUR).await?;
        assert_eq!(fleet.bases().await?, all[1..], "the hold counts");
        // The next collection goes further, once the hold is a day old by its own waiting.
        fleet.collect_all(&mut collector, 7 * HOUR).await?;
        fleet.collect_all(&mut collector, 13 * HOUR).await?;
        assert_eq!(fleet.bases().await?, all[1..]);
        for hours in [14, 31, 38, 39] {
            fleet.collect_all(&mut collector, hours * HOUR).await?;
        }
        assert_eq!(fleet.bases().await?, all[all.len() - 3..]);
        assert_eq!(fleet.remote.get(hold.name).await?.map(|hold| hold.name), None);
        Ok::<_, crate::error::Error>(())
    })
    .unwrap();
}

#[test]
fn a_claim_of_a_later_term_ends_a_collection() {
    block_on(async {
        let mut fleet = ByHand::new().await?;
        for number in 0..5 {
            fleet.day(number).await?;
        }
        let all = fleet.bases().await?;
        let mut collector = fleet.shipper.collector(RETENTION);
        assert_eq!(fleet.collect(&mut collector, Duration::ZERO).await?, CollectStep::Announced);
        let source = Source::open(fleet.store.clone(), fleet.remote.store(), fleet.remote.description())?;
        let mut next = Shipper::open(fleet.remote, source).await?;
        assert_eq!(fleet.shipper.collect(&mut collector, 6 * HOUR).await?, Some(CollectStep::Over));
        assert_eq!(fleet.shipper.collect(&mut collector, 60 * HOUR).await?, Some(CollectStep::Over));
        // The successor makes the announcement void, and begins anew.
        let mut other = next.collector(RETENTION);
        assert_eq!(next.collect(&mut other, Duration::ZERO).await?, Some(CollectStep::Announced));
        next.release().await?;
        assert!(all.len() >= 5);
        Ok::<_, crate::error::Error>(())
    })
    .unwrap();
}

#[test]
fn an_inspection_during_a_collection_finds_nothing_missing_and_behind_the_floor_it_does() {
    block_on(async {
        let mut fleet = ByHand::new().await?;
        for number in 0..5 {
            fleet.day(number).await?;
        }
        let bases = fleet.bases().await?;
        let mut collector = fleet.shipper.collector(RETENTION);
        assert_eq!(fleet.collect(&mut collector, Duration::ZERO).await?, CollectStep::Announced);
        assert_eq!(fleet.collect(&mut collector, 6 * HOUR).await?, CollectStep::Decided);
        // The log goes before the bases that it is behind of, and many objects take a while.
        let ObjectName::Manifest(floor) = bases[bases.len() - 3] else { panic!() };
        let term = floor.slot.term;
        let log = |index| ObjectName::Log(ReplicaSlot { term, index });
        for index in 1..floor.slot.index {
            fleet.remote.delete(log(index)).await?;
        }
        let own = fleet.shipper.position().unwrap();
        let found = inspect(&fleet.remote, own, 0).await?;
        assert_eq!(found.findings, [""; 0]);
        assert!(found.restorable_from.is_some() && found.objects < own.slot.index + 9);
        fleet.remote.delete(log(floor.slot.index)).await?;
        let found = inspect(&fleet.remote, own, 0).await?;
        assert_eq!(found.findings.len(), 1, "{:?}", found.findings);
        Ok::<_, crate::error::Error>(())
    })
    .unwrap();
}
