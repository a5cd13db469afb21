//! A real store whose old objects are collected from a folder.

use std::sync::Arc;
use std::time::Duration;

use super::collect::{CollectStep, Collector, Retention};
use super::init::InitReplicaOptions;
use super::ship::Shipper;
use super::source::Source;
use crate::clock::{Clock as _, ManualClock};
use crate::engine::options::Sharing;
use crate::engine::store::Store;
use crate::error::Result;
use crate::replica::bucket::Bucket;
use crate::replica::bucket::location::{Location, ReplicaLocation};
use crate::replica::checks::drill::drill;
use crate::replica::checks::inspect::{Inspected, inspect};
use crate::replica::checks::status::status;
use crate::replica::connection::cipher::Identities;
use crate::replica::connection::opened::OpenReplica;
use crate::replica::connection::runtime::block_on;
use crate::replica::gated_test::Fleet;
use crate::replica::objects::kinds::{GcFloor, TermClaim};
use crate::replica::objects::name::{Folder, ObjectName, ReplicaSlot, Term};
use crate::replica::objects::object::Object;
use crate::replica::restoring::restore::Copier;
use crate::replica::terms::chain::floors;
use crate::replica::terms::end::near_end;
use crate::replica::terms::hold::{place_hold, prepare_hold, take_away};
use crate::replica::terms::lease::Lease;
use crate::replica::terms::remote::{Deletes, Remote};
use crate::replica::terms::rules::{Rule, break_rule};
use crate::replica::terms::settle::{Settled, settle};

pub(super) const DAY: Duration = Duration::from_secs(24 * 60 * 60);
pub(super) const HOUR: Duration = Duration::from_secs(60 * 60);
const RETENTION: Retention =
    Retention { window: Duration::from_secs(2 * 24 * 60 * 60), grace: Duration::from_secs(6 * 60 * 60), hold_age: DAY };

/// A store that ships by hand.
pub(super) struct ByHand {
    pub(super) folder: tempfile::TempDir,
    pub(super) store: Store,
    pub(super) clock: ManualClock,
    pub(super) shipper: Shipper,
    /// The same replica, as another process sees it.
    pub(super) remote: OpenReplica,
}

impl ByHand {
    pub(super) async fn new() -> Result<Self> {
        Self::listed(None).await
    }

    /// One whose bucket lists so many names at once.
    async fn listed(at_once: Option<usize>) -> Result<Self> {
        let folder = tempfile::tempdir().unwrap();
        let clock = ManualClock::new("2026-01-02T03:04:05Z".parse().unwrap());
        let options = Store::options().sharing(Sharing::Exclusive).reserve(false).clock(clock.clone());
        let store = options.open(folder.path().join("h.redb"))?;
        let location = Location::Directory(folder.path().join("replica"));
        let (of_store, at) = (store.clone(), ReplicaLocation(location.clone()));
        std::thread::spawn(move || of_store.init_replica(&at, &InitReplicaOptions::default())).join().unwrap()?;
        let open = async || {
            let bucket = Bucket::open(&location)?;
            let bucket = if let Some(most) = at_once { bucket.with_names_max(most) } else { bucket };
            OpenReplica::of(Arc::new(bucket), Identities::default(), Arc::new(clock.clone())).await
        };
        let (own, remote) = (open().await?, open().await?);
        let source = Source::open(store.clone(), own.store(), own.description())?;
        let shipper = Shipper::open(own, source).await?;
        Ok(Self { folder, store, clock, shipper, remote })
    }

    /// A day with two commits, and a base of it.
    pub(super) async fn day(&mut self, number: u64) -> Result<()> {
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

    /// The process ends, and the next one begins a term.
    pub(super) async fn restart(&mut self, location: &Location) -> Result<()> {
        self.shipper = self.shipper_of(&self.store, location, None).await?;
        Ok(())
    }

    /// A process that begins a term for a file.
    pub(super) async fn shipper_of(&self, store: &Store, location: &Location, lease: Option<Lease>) -> Result<Shipper> {
        let remote = OpenReplica::open(location, Identities::default(), Arc::new(self.clock.clone())).await?;
        let source = Source::open(store.clone(), remote.store(), remote.description())?;
        Shipper::open_with(remote, source, lease).await
    }

    pub(super) async fn copier(&self) -> Result<Copier> {
        let clock = Arc::new(self.clock.clone());
        let remote = OpenReplica::open(&self.location(), Identities::default(), clock.clone()).await?;
        Ok(Copier { remote: Arc::new(remote), from: "here".into(), clock })
    }

    pub(super) fn location(&self) -> Location {
        Location::Directory(self.folder.path().join("replica"))
    }

    /// Days until the first ones are collected.
    pub(super) async fn collected_days(&mut self) -> Result<()> {
        for number in 0..6 {
            self.day(number).await?;
        }
        self.collect_old().await
    }

    /// Objects that are old enough go.
    pub(super) async fn collect_old(&mut self) -> Result<()> {
        let mut collector = self.shipper.collector(RETENTION);
        self.collect_all(&mut collector, Duration::ZERO).await?;
        self.collect_all(&mut collector, 6 * HOUR).await
    }

    /// Steps until nothing is left to do.
    pub(super) async fn collect_all(&mut self, collector: &mut Collector, waited: Duration) -> Result<()> {
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

/// Puts an object there as another process does.
async fn create(remote: &OpenReplica, name: ObjectName, object: Object) -> Result<()> {
    let object = remote.prepare(name, object, b"")?;
    assert!(matches!(settle(remote, &object).await?, Settled::Own));
    Ok(())
}

#[test]
fn a_term_with_more_objects_than_one_list_has_is_collected_inspected_drilled_and_begun_behind() {
    block_on(async {
        let mut fleet = ByHand::listed(Some(17)).await?;
        for number in 0..5 {
            for part in 0..20 {
                fleet.store.write(|tx| tx.config().put("part", &serde_json::json!(part)))?;
                fleet.shipper.step().await?;
            }
            fleet.day(number).await?;
        }
        let (log, term) = (fleet.log().await.unwrap_err(), fleet.shipper.position().unwrap().slot.term);
        assert!(log.to_string().contains("more than 17 objects"), "{log}");
        let mut collector = fleet.shipper.collector(RETENTION);
        assert_eq!(fleet.collect(&mut collector, Duration::ZERO).await?, CollectStep::Announced);
        let (mut decided, mut deleted) = (0, 0);
        loop {
            match fleet.collect(&mut collector, 6 * HOUR).await? {
                CollectStep::Decided => decided += 1,
                CollectStep::Deleted(count) => deleted += count,
                _ => break,
            }
        }
        assert!(decided >= 2 && deleted > 3 * 17, "{decided} {deleted}");
        let floor = floors(&fleet.remote).await?.decided.unwrap();
        let reader = OpenReplica::open(&fleet.location(), Identities::default(), Arc::new(fleet.clock.clone())).await?;
        let left: Vec<_> = reader
            .list(Folder::Log(term))
            .await?
            .into_iter()
            .filter(|name| matches!(name, ObjectName::Log(slot) if slot.index > 0))
            .collect();
        let end = fleet.shipper.position().unwrap().slot;
        let wanted: Vec<_> =
            (floor.index..end.index).map(|index| ObjectName::Log(ReplicaSlot { term, index })).collect();
        assert!(left == wanted && wanted.len() > 17, "{left:?}");

        let found = inspect(&fleet.remote, fleet.shipper.position().unwrap(), 0).await?;
        assert_eq!((found.findings.len(), found.restorable_from.is_some()), (0, true), "{:?}", found.findings);
        assert!(found.objects > wanted.len() as u64);
        let newest = status(&fleet.remote).await?.newest.unwrap();
        assert_eq!(newest.sequence, fleet.shipper.position().unwrap().sequence);
        let near = near_end(&fleet.remote, floor).await?;
        assert_eq!((near.slot.index, near.is_listed), (end.index - 1, false));
        // An object in the middle that is gone is missed on each page.
        for index in [floor.index + 1, floor.index + 20, end.index - 1] {
            let bytes = fleet.remote.bucket().get(&ObjectName::Log(ReplicaSlot { term, index })).await?.unwrap();
            fleet.remote.delete(ObjectName::Log(ReplicaSlot { term, index })).await?;
            let found = inspect(&fleet.remote, fleet.shipper.position().unwrap(), 0).await?;
            assert!(found.findings[0].contains(&format!("{index:012}")), "{:?}", found.findings);
            fleet.remote.bucket().create(&ObjectName::Log(ReplicaSlot { term, index }), bytes).await?;
        }
        let copier = Copier {
            remote: Arc::new(
                OpenReplica::of(
                    Arc::new(Bucket::open(&fleet.location())?.with_names_max(17)),
                    Identities::default(),
                    Arc::new(fleet.clock.clone()),
                )
                .await?,
            ),
            from: "here".into(),
            clock: Arc::new(fleet.clock.clone()),
        };
        drill(&copier, fleet.folder.path(), None).await?;
        fleet.restart(&fleet.location()).await?;
        assert_eq!(fleet.shipper.term(), u64::from(term.0) + 1);
        fleet.shipper.release().await
    })
    .unwrap();
}

#[test]
fn a_list_that_is_refused_is_a_finding() {
    block_on(async {
        let mut fleet = ByHand::listed(Some(2)).await?;
        fleet.day(0).await?;
        let Inspected { findings, restorable_from, .. } =
            inspect(&fleet.remote, fleet.shipper.position().unwrap(), 0).await?;
        assert!(findings[0].contains("more than 2 objects"), "{findings:?}");
        assert_eq!(restorable_from, None);
        fleet.shipper.release().await
    })
    .unwrap();
}

#[test]
fn a_clock_that_was_ahead_for_an_hour_deletes_nothing() {
    block_on(async {
        let mut fleet = ByHand::new().await?;
        fleet.day(0).await?;
        let before = fleet.clock.now();
        fleet.clock.advance(20 * DAY);
        fleet.day(1).await?;
        let (bases, log) = (fleet.bases().await?, fleet.log().await?);
        let mut collector = fleet.shipper.collector(RETENTION);
        assert_eq!(fleet.collect(&mut collector, Duration::ZERO).await?, CollectStep::Announced);
        fleet.clock.set(before + HOUR);
        for hours in 6..20 {
            assert_eq!(fleet.collect(&mut collector, hours * HOUR).await?, CollectStep::Nothing);
        }
        assert_eq!((fleet.bases().await?, fleet.log().await?), (bases.clone(), log));
        // Once the time has come, it goes on.
        fleet.clock.advance(22 * DAY);
        assert_eq!(fleet.collect(&mut collector, 600 * HOUR).await?, CollectStep::Announced);
        assert_eq!(fleet.collect(&mut collector, 606 * HOUR).await?, CollectStep::Decided);
        fleet.collect_all(&mut collector, 606 * HOUR).await?;
        assert!(fleet.bases().await?.len() < bases.len());
        fleet.shipper.release().await
    })
    .unwrap();
}

#[test]
fn a_collector_that_was_overtaken_leaves_the_seal_of_its_own_term() {
    for is_broken in [false, true] {
        break_rule(is_broken.then_some(Rule::OvertakenCollectorsGoOn));
        let done = block_on(async {
            let mut fleet = ByHand::new().await?;
            fleet.day(0).await?;
            let (mut overtaken, end) = (fleet.shipper.collector(RETENTION), fleet.shipper.position().unwrap().slot);
            let location = fleet.location();
            fleet.restart(&location).await?;
            for number in 1..6 {
                fleet.day(number).await?;
            }
            let mut collector = fleet.shipper.collector(RETENTION);
            assert_eq!(fleet.collect(&mut collector, Duration::ZERO).await?, CollectStep::Announced);
            assert_eq!(fleet.collect(&mut collector, 6 * HOUR).await?, CollectStep::Decided);
            let mut steps = 0;
            while overtaken.step(&fleet.remote, HOUR).await? != CollectStep::Over && steps < 9 {
                steps += 1;
            }
            let seal = fleet.remote.get(ObjectName::Log(end)).await?;
            assert_eq!((seal.is_some(), steps > 0), (!is_broken, is_broken));
            Ok(())
        });
        break_rule(None);
        done.unwrap();
    }
}

#[test]
fn a_hold_that_was_left_ends_although_no_process_lives_for_a_day_and_one_of_today_does_not() {
    block_on(async {
        let mut fleet = ByHand::new().await?;
        for number in 0..3 {
            fleet.day(number).await?;
        }
        let all = fleet.bases().await?;
        let ObjectName::Manifest(oldest) = all[0] else { panic!() };
        let left = prepare_hold(&fleet.remote, oldest.slot)?;
        assert!(place_hold(&fleet.remote, &left, oldest.slot).await?);
        for number in 3..6 {
            fleet.day(number).await?;
        }
        let of_today = prepare_hold(&fleet.remote, oldest.slot)?;
        assert!(place_hold(&fleet.remote, &of_today, oldest.slot).await?);
        let mut collector = fleet.shipper.collector(RETENTION);
        assert_eq!(fleet.collect(&mut collector, Duration::ZERO).await?, CollectStep::Announced);
        assert_eq!(fleet.collect(&mut collector, 5 * HOUR).await?, CollectStep::Nothing);
        let holds = async |fleet: &ByHand| fleet.remote.list(Folder::Holds).await;
        assert_eq!(holds(&fleet).await?.len(), 2);
        fleet.collect_all(&mut collector, 6 * HOUR).await?;
        assert_eq!((fleet.bases().await?.len(), holds(&fleet).await?), (all.len() + 3, vec![of_today.name]));
        take_away(&fleet.remote, &of_today).await?;
        // The next process has as little time.
        let location = fleet.location();
        fleet.restart(&location).await?;
        let mut collector = fleet.shipper.collector(RETENTION);
        fleet.collect_all(&mut collector, Duration::ZERO).await?;
        fleet.collect_all(&mut collector, 6 * HOUR).await?;
        assert_eq!(fleet.bases().await?.len(), 3);
        fleet.shipper.release().await
    })
    .unwrap();
}

#[test]
fn a_claim_that_was_given_up_is_told_and_a_new_term_collects() {
    block_on(async {
        let mut fleet = ByHand::new().await?;
        for number in 0..5 {
            fleet.day(number).await?;
        }
        let mut collector = fleet.shipper.collector(RETENTION);
        assert_eq!(fleet.collect(&mut collector, Duration::ZERO).await?, CollectStep::Announced);
        let (remote, next) = (&fleet.remote, Term(u32::try_from(fleet.shipper.term()).unwrap() + 1));
        let (store, time, machine) = (remote.store(), remote.now(), "another".to_owned());
        let claim = TermClaim { store, term: next, nonce: remote.nonce(), time, machine, key: None };
        create(remote, ObjectName::Term(next), Object::Claim(claim)).await?;
        for hours in [6, 7, 11] {
            assert_eq!(fleet.collect(&mut collector, hours * HOUR).await?, CollectStep::Over);
        }
        assert_eq!(fleet.collect(&mut collector, 12 * HOUR).await?, CollectStep::Blocked);
        let (location, bases) = (fleet.location(), fleet.bases().await?);
        fleet.restart(&location).await?;
        let mut collector = fleet.shipper.collector(RETENTION);
        fleet.collect_all(&mut collector, Duration::ZERO).await?;
        fleet.collect_all(&mut collector, 6 * HOUR).await?;
        assert!(fleet.bases().await?.len() < bases.len());
        fleet.shipper.release().await
    })
    .unwrap();
}

#[test]
fn the_floors_of_many_collections_are_found_with_few_requests() {
    block_on(async {
        let (fleet, store) = Fleet::begin().await?;
        let (all, few) = (fleet.copier(&fleet.world.door()).await?, fleet.world.door().counting());
        let few = fleet.copier(&few).await?;
        let slot = |index: u64| Some(ReplicaSlot { term: Term(1), index });
        let floor = |number: u32, floor| GcFloor {
            store: all.remote.store(),
            number,
            nonce: all.remote.nonce(),
            time: all.remote.now(),
            floor,
        };
        for number in 0..300 {
            let announced = floor(number, slot(u64::from(number) + 1000));
            create(&all.remote, ObjectName::GcList(number), Object::GcList(announced)).await?;
            // Those of a night were held, and some decided nothing.
            let decided = match number {
                290..297 => slot(7),
                297..299 => None,
                299 => break,
                _ => slot(u64::from(number) + 1000),
            };
            create(&all.remote, ObjectName::GcGo(number), Object::GcGo(floor(number, decided))).await?;
        }
        fleet.world.count(None);
        let found = floors(&*few.remote).await?;
        assert_eq!((found.next, found.decided, found.undecided), (300, slot(1289), vec![(299, slot(1299).unwrap())]));
        let of_list = 1;
        assert_eq!(fleet.world.requests(), of_list + 2 * 11 + 1);
        drop(store);
        Ok::<_, crate::error::Error>(())
    })
    .unwrap();
}

#[test]
fn objects_that_were_old_enough_a_week_ago_are_told_until_a_process_lives_long_enough() {
    block_on(async {
        let mut fleet = ByHand::new().await?;
        for number in 0..4 {
            fleet.day(number).await?;
        }
        let location = fleet.location();
        for number in 4..15 {
            // Each day another process, for an hour.
            let mut collector = fleet.shipper.collector(RETENTION);
            fleet.collect_all(&mut collector, Duration::ZERO).await?;
            fleet.collect_all(&mut collector, HOUR).await?;
            collector.note_overdue(&fleet.remote).await?;
            assert_eq!(collector.is_overdue(), number > 9, "day {number}");
            fleet.restart(&location).await?;
            fleet.day(number).await?;
        }
        let mut collector = fleet.shipper.collector(RETENTION);
        fleet.collect_all(&mut collector, Duration::ZERO).await?;
        collector.note_overdue(&fleet.remote).await?;
        assert!(collector.is_overdue());
        fleet.collect_all(&mut collector, 6 * HOUR).await?;
        assert!(!collector.is_overdue());
        fleet.shipper.release().await
    })
    .unwrap();
}
