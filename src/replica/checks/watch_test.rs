//! The watch sees what is missing or damaged, remembers it, and goes on after a restart.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::inspect::PARTS;
use super::watch::Watch;
use crate::engine::store::Store;
use crate::error::ErrorKind;
use crate::recovery::check::last_replica::ReplicaWatch;
use crate::recovery::events::event::EventKind;
use crate::replica::bucket::location::{Location, ReplicaLocation};
use crate::replica::connection::cipher::{Identities, key_pair};
use crate::replica::connection::opened::OpenReplica;
use crate::replica::connection::runtime::block_on;
use crate::replica::following::take_over::TakeOverOptions;
use crate::replica::restoring::moment::ReplicaMoment;
use crate::replica::restoring::restored::RestoreReplicaOptions;
use crate::replica::shipping::init::InitReplicaOptions;
use crate::replica::shipping::options::ReplicateOptions;
use crate::replica::shipping::replicator::Replicator;
use crate::replica::shipping::ship::Shipper;
use crate::replica::shipping::ship_test::{open, put, replicate, wait_for};
use crate::replica::shipping::source::Source;
use crate::replica::terms::remote::Remote as _;
use crate::state::page::Page;

struct Fleet {
    folder: tempfile::TempDir,
    replica: ReplicaLocation,
    store: Store,
}

impl Fleet {
    fn new(recipients: Vec<String>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let replica = ReplicaLocation(Location::Directory(folder.path().join("replica")));
        let store = open(&folder.path().join("h.redb"));
        put(&store, 1).unwrap();
        store.init_replica(&replica, &InitReplicaOptions { recipients }).unwrap();
        Self { folder, replica, store }
    }

    /// One that is shipped now, with some objects in its log.
    fn shipped(&self) -> Replicator {
        let replicator = replicate(&self.store, &self.replica).unwrap();
        for number in 2..6 {
            put(&self.store, number).unwrap();
            wait_for(&replicator, &self.store);
        }
        replicator
    }

    fn watch(&self) -> Watch {
        let every = Some(Duration::from_secs(24 * 60 * 60));
        Watch::new(&self.store, &self.replica, Identities::default(), every).unwrap()
    }

    fn stored(&self) -> ReplicaWatch {
        self.store.view().unwrap().replica_watch().unwrap().unwrap()
    }

    fn event(&self) -> EventKind {
        self.store.view().unwrap().events().list(Page::newest(1)).unwrap()[0].kind.clone()
    }

    fn objects(&self) -> Vec<PathBuf> {
        let mut objects = Vec::new();
        gather(&self.folder.path().join("replica"), &mut objects);
        objects.sort();
        objects
    }
}

fn gather(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { gather(&path, found) } else { found.push(path) }
    }
}

fn inspect(watch: &Watch) -> bool {
    block_on(watch.inspect()).unwrap()
}

#[test]
fn each_turn_reads_another_thirtieth_and_a_restart_goes_on_with_the_next() {
    let fleet = Fleet::new(Vec::new());
    let replicator = fleet.shipped();
    let watch = fleet.watch();
    assert!(inspect(&watch));
    let first = fleet.stored();
    let verified = first.verified.clone().unwrap();
    assert_eq!((first.next_part, first.finding.clone()), (1, None));
    assert!(verified.objects >= 8 && verified.read < verified.objects, "{verified:?}");
    assert!(inspect(&fleet.watch()));
    assert_eq!(fleet.stored().next_part, 2);
    drop(replicator);
}

#[test]
fn every_object_that_is_missing_is_found_by_name_also_the_last_one_of_a_term_that_goes_on() {
    let fleet = Fleet::new(Vec::new());
    let replicator = fleet.shipped();
    // Shipping stands still, so that nothing comes behind the last object, and the term is not over.
    fleet.store.refuse_writes("a test".into());
    drop(replicator);
    let seals: Vec<_> = fleet
        .objects()
        .into_iter()
        .filter(|path| path.starts_with(fleet.folder.path().join("replica/log/00000002")))
        .collect();
    let (seal, last) = (seals.last().unwrap().clone(), seals[seals.len() - 2].clone());
    fs::remove_file(&seal).unwrap();
    let mut missed = BTreeSet::new();
    for object in fleet.objects() {
        let name = object.strip_prefix(fleet.folder.path().join("replica")).unwrap().to_str().unwrap().to_owned();
        // A claim is only needed by those who open a term, and by those who read what is encrypted.
        if name.starts_with("term/") || name == "log/00000001/000000000000" {
            continue;
        }
        let bytes = fs::read(&object).unwrap();
        fs::remove_file(&object).unwrap();
        let watch = fleet.watch();
        assert!(!inspect(&watch), "{name} is gone");
        let finding = watch.known().lock().finding.clone().unwrap();
        let is_named = finding.contains(&name) || name == "store" || name.contains("manifest");
        assert!(is_named, "{name}: {finding}");
        missed.insert(name);
        fs::write(&object, bytes).unwrap();
        assert!(inspect(&watch) && watch.known().lock().finding.is_none());
    }
    let last = last.strip_prefix(fleet.folder.path().join("replica")).unwrap().to_str().unwrap();
    assert!(missed.contains(last) && missed.len() >= 7, "{missed:?}");
}

#[test]
fn a_base_behind_a_gap_that_is_gone_is_found_within_a_month() {
    let fleet = Fleet::new(Vec::new());
    let replicator = fleet.shipped();
    let manifests = || fleet.objects().into_iter().filter(|path| path.ends_with("manifest")).collect::<Vec<_>>();
    let before = manifests().len();
    // A commit that is too large to be kept leaves a gap, with a base behind it.
    let value = serde_json::json!("x".repeat(1 << 20));
    fleet.store.load(|tx| (0..20).try_for_each(|key| tx.config().put(&format!("k{key}"), &value))).unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    while manifests().len() == before {
        assert!(Instant::now() < until, "{:?}", replicator.status());
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(replicator);
    assert!((0..30).all(|_| inspect(&fleet.watch())));
    fs::remove_file(manifests().last().unwrap()).unwrap();
    assert!((0..30).any(|_| !inspect(&fleet.watch())));
    assert!(fleet.stored().finding.unwrap().starts_with("the base behind a gap of the log is not whole"));
}

#[test]
fn a_gap_that_a_restore_has_given_up_needs_no_base() {
    let mut fleet = Fleet::new(Vec::new());
    let replicator = fleet.shipped();
    let before = fleet.store.feed_status().unwrap().unwrap().sequence;
    let value = serde_json::json!("x".repeat(1 << 20));
    fleet.store.load(|tx| (0..20).try_for_each(|key| tx.config().put(&format!("k{key}"), &value))).unwrap();
    wait_for(&replicator, &fleet.store);
    drop(replicator);
    let copy = fleet.folder.path().join("copy.redb");
    let options = RestoreReplicaOptions { at: ReplicaMoment::Sequence(before), ..RestoreReplicaOptions::default() };
    Store::restore_replica(&fleet.replica, &copy, &options).unwrap();
    Store::take_over_replica(&copy, &TakeOverOptions::default()).unwrap();
    fleet.store = open(&copy);
    let _replicator = fleet.shipped();
    for _ in 0..30 {
        assert!(inspect(&fleet.watch()), "{:?}", fleet.stored().finding);
    }
}

#[test]
fn a_changed_byte_is_found_within_a_month_and_is_an_event_once() {
    let fleet = Fleet::new(Vec::new());
    let replicator = fleet.shipped();
    let part = fleet.objects().into_iter().find(|path| path.ends_with("part-00000")).unwrap();
    let sound = fs::read(&part).unwrap();
    let mut bytes = sound.clone();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&part, bytes).unwrap();
    let watch = fleet.watch();
    let turns = (0..PARTS).take_while(|_| inspect(&watch)).count();
    assert!(turns < usize::try_from(PARTS).unwrap(), "the byte was never read");
    assert_eq!(fleet.event(), EventKind::ReplicaFailed);
    let finding = fleet.stored().finding.unwrap();
    assert!(finding.contains("part-00000"), "{finding}");
    let events = || fleet.store.view().unwrap().events().list(Page::newest(99)).unwrap().len();
    let before = events();
    let again = fleet.watch();
    assert!(!inspect(&again), "it stays until it is right");
    assert_eq!(events(), before);
    fs::write(&part, sound).unwrap();
    assert!(inspect(&again));
    assert_eq!(fleet.stored().finding, None);
    drop(replicator);
}

#[test]
fn a_drill_is_remembered_with_its_time_and_one_that_fails_is_an_event() {
    let fleet = Fleet::new(Vec::new());
    let replicator = fleet.shipped();
    let watch = fleet.watch();
    assert!(block_on(watch.drill()).unwrap());
    let drill = fleet.stored().drill.unwrap();
    assert!(drill.records > 0 && drill.bytes > 0);
    assert_eq!(fleet.event(), EventKind::ReplicaDrilled);
    for object in fleet.objects().iter().filter(|path| path.ends_with("part-00000")) {
        fs::write(object, "x").unwrap();
    }
    assert!(!block_on(watch.drill()).unwrap());
    let stored = fleet.stored();
    assert!(stored.drill_error.unwrap().contains("part-00000") && stored.drill == Some(drill));
    assert_eq!(fleet.event(), EventKind::ReplicaFailed);
    let left = fs::read_dir(fleet.folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(!left.into_iter().any(|name| name.to_str().unwrap().contains("drill")));
    drop(replicator);
}

#[test]
fn without_the_key_an_encrypted_replica_is_inspected_and_its_drill_is_left_out_with_the_reason() {
    let (recipients, _identities) = key_pair();
    let fleet = Fleet::new(recipients.texts());
    let replicator = fleet.shipped();
    let watch = fleet.watch();
    assert!(inspect(&watch));
    assert!(!block_on(watch.drill()).unwrap());
    let known = fleet.stored();
    assert!(known.drill_skipped.is_some() && known.drill_error.is_none() && known.trouble().is_none(), "{known:?}");
    let part = fleet.objects().into_iter().find(|path| path.ends_with("part-00000")).unwrap();
    let bytes = fs::read(&part).unwrap();
    // Nobody without the key knows the length of a part; the store knows that of its newest base.
    for short in [0, bytes.len() / 2] {
        fs::write(&part, &bytes[..short]).unwrap();
        assert!(!inspect(&watch), "{short} of {} bytes", bytes.len());
        fs::write(&part, &bytes).unwrap();
        assert!(inspect(&watch));
    }
    fs::remove_file(part).unwrap();
    assert!(!inspect(&watch));
    drop(replicator);
}

#[test]
fn a_base_that_a_drill_could_not_use_is_found_and_stays_found_until_it_is_right() {
    let fleet = Fleet::new(Vec::new());
    let base = async {
        let remote = OpenReplica::open(&fleet.replica.0, Identities::default(), fleet.store.clock().clone()).await?;
        let source = Source::open(fleet.store.clone(), remote.store(), remote.description())?;
        let mut shipper = Shipper::open(remote, source).await?;
        let _made = shipper.base().await?;
        shipper.release().await
    };
    block_on(base).unwrap();
    std::thread::sleep(Duration::from_millis(500));
    let replicator = fleet.shipped();
    let part = fleet.objects().into_iter().rfind(|path| path.ends_with("part-00000")).unwrap();
    let sound = fs::read(&part).unwrap();
    let mut bytes = sound.clone();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&part, bytes).unwrap();
    let watch = fleet.watch();
    // A drill of an early moment does not come to the newer base.
    let is_found = (0..30).any(|_| !block_on(watch.drill()).unwrap());
    assert!(is_found, "no drill was of a moment behind the newer base");
    let stored = fleet.stored();
    assert!(stored.drill.is_some() && stored.drill_error.is_none(), "{stored:?}");
    let name = part.strip_prefix(fleet.folder.path().join("replica")).unwrap().to_str().unwrap();
    assert!(stored.finding.clone().unwrap().contains(name), "{stored:?}");
    assert_eq!(fleet.event(), EventKind::ReplicaFailed);
    assert!(!inspect(&watch) && !inspect(&watch));
    fs::write(&part, sound).unwrap();
    assert!(inspect(&watch));
    drop(replicator);
}

#[test]
fn a_start_at_another_location_without_a_replica_is_refused_and_one_at_the_own_location_waits_for_it() {
    let fleet = Fleet::new(Vec::new());
    drop(fleet.shipped());
    let elsewhere = ReplicaLocation(Location::Directory(fleet.folder.path().join("replika")));
    let refused = replicate(&fleet.store, &elsewhere).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NotFound);
    assert!(refused.to_string().contains("replika") && refused.to_string().contains("before="), "{refused}");
    assert!(!fleet.folder.path().join("replika").exists());
    // Its disk is not mounted.
    let away = fleet.folder.path().join("away");
    fs::rename(fleet.folder.path().join("replica"), &away).unwrap();
    let options = ReplicateOptions { interval: Duration::from_millis(5), ..ReplicateOptions::default() };
    let waiting = fleet.store.replicate(&fleet.replica, options, Duration::from_millis(20)).unwrap();
    put(&fleet.store, 7).unwrap();
    fs::rename(&away, fleet.folder.path().join("replica")).unwrap();
    wait_for(&waiting, &fleet.store);
}

#[test]
fn times_that_make_no_sense_are_refused_with_their_bounds() {
    let fleet = Fleet::new(Vec::new());
    for options in [
        ReplicateOptions { keep: Duration::from_secs(59), ..ReplicateOptions::default() },
        ReplicateOptions { keep: Duration::MAX, ..ReplicateOptions::default() },
        ReplicateOptions { drill_every: Some(Duration::ZERO), ..ReplicateOptions::default() },
    ] {
        let refused = fleet.store.replicate(&fleet.replica, options, Duration::ZERO).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Invalid);
        assert!(refused.to_string().contains("shortest=1h longest=3650d"), "{refused}");
    }
    let none = ReplicateOptions { drill_every: None, ..ReplicateOptions::default() };
    fleet.store.replicate(&fleet.replica, none, Duration::from_secs(5)).unwrap();
}

#[test]
fn a_drill_that_is_stopped_half_way_leaves_no_hold() {
    let fleet = Fleet::new(Vec::new());
    let replicator = fleet.shipped();
    let watch = fleet.watch();
    let holds = || fleet.objects().iter().filter(|path| path.parent().unwrap().ends_with("hold")).count();
    block_on(async {
        let mut drill = Box::pin(watch.drill());
        while holds() == 0 {
            assert!(futures_util::poll!(&mut drill).is_pending(), "the drill has ended");
            tokio::task::yield_now().await;
        }
        drop(drill);
        // A request that was on its way may land.
        tokio::time::sleep(Duration::from_millis(50)).await;
        watch.let_go().await;
        Ok(())
    })
    .unwrap();
    assert_eq!(holds(), 0);
    drop(replicator);
}

#[test]
fn a_folder_that_was_away_is_looked_at_again_in_a_minute_and_is_no_finding_then() {
    let fleet = Fleet::new(Vec::new());
    let _replicator = fleet.shipped();
    let watch = fleet.watch();
    let (folder, away) = (fleet.folder.path().join("replica"), fleet.folder.path().join("away"));
    fs::rename(&folder, &away).unwrap();
    assert!(!inspect(&watch) && fleet.stored().finding.is_some());
    assert_eq!(watch.inspect_again_in(Ok(Some(false))), Duration::from_secs(60));
    fs::rename(&away, &folder).unwrap();
    assert!(inspect(&watch) && fleet.stored().finding.is_none());
    assert!(watch.inspect_again_in(Ok(Some(true))) > Duration::from_secs(60 * 60));
}
