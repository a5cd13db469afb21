//! A store that several processes write to: one of them ships it, and an overtaken file is locked for all of them.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::json;

use super::init::InitReplicaOptions;
use super::ship_test::{put, replicate, wait_for};
use crate::engine::options::Sharing;
use crate::engine::schema::Table;
use crate::engine::store::Store;
use crate::error::{ErrorKind, Hint};
use crate::recovery::points::make::PointRequest;
use crate::replica::bench_test::rows;
use crate::replica::bucket::location::{Location, ReplicaLocation};
use crate::replica::following::standby::ReplicaStandby;
use crate::replica::following::take_over::TakeOverOptions;
use crate::replica::restoring::moment::ReplicaMoment;
use crate::replica::restoring::restored::RestoreReplicaOptions;
use crate::state::ids::BotId;
use crate::state::queue::{ClaimOptions, NewTask};

/// A store that several processes have open, and the place of its replica.
struct Shared {
    folder: tempfile::TempDir,
    at: ReplicaLocation,
    sharing: Sharing,
}

/// The ways in which several processes have a store.
const BOTH: [Sharing; 2] = [Sharing::Shared, Sharing::SharedLog];

impl Shared {
    fn new() -> Self {
        Self::by(Sharing::Shared)
    }

    fn by(sharing: Sharing) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = ReplicaLocation(Location::Directory(folder.path().join("replica")));
        let shared = Self { folder, at, sharing };
        let store = shared.open();
        put(&store, 1).unwrap();
        store.init_replica(&shared.at, &InitReplicaOptions::default()).unwrap();
        store.close().unwrap();
        shared
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// One more process, as far as the file is concerned.
    fn open(&self) -> Store {
        Store::options().sharing(self.sharing).reserve(false).open(self.path("h.redb")).unwrap()
    }

    /// A copy of the newest moment in the replica.
    fn restored(&self, name: &str) -> PathBuf {
        let options = RestoreReplicaOptions { at: ReplicaMoment::Newest, identity: None };
        Store::restore_replica(&self.at, self.path(name), &options).unwrap();
        self.path(name)
    }

    /// The replica is the store now.
    fn is_in_the_replica(&self, store: &Store, name: &str) {
        let restored = Store::options().open(self.restored(name)).unwrap();
        let (copy, source) = (rows(&restored), rows(store));
        for table in Table::ALL {
            let of = |rows: &crate::replica::bench_test::Rows| {
                rows.iter()
                    .filter(|((of, _), _)| *of == table)
                    .map(|(key, row)| (key.1.clone(), row.clone()))
                    .collect::<Vec<_>>()
            };
            assert!(of(&copy) == of(&source), "they differ in {}: {name}", table.name());
        }
        restored.close().unwrap();
    }

    /// Another machine takes the replica over, and writes.
    fn is_overtaken(&self, name: &str) -> Store {
        let copy = self.restored(name);
        ReplicaStandby::open(&self.at, &copy, None).unwrap().promote(&TakeOverOptions::default()).unwrap();
        let store = open(&copy);
        put(&store, 1000).unwrap();
        store
    }
}

fn open(path: &Path) -> Store {
    Store::options().sharing(Sharing::Shared).reserve(false).open(path).unwrap()
}

/// Waits until a store refuses to be written to, and says how.
fn wait_for_refusal(store: &Store) -> crate::Error {
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        match put(store, 7) {
            Err(error) => return error,
            Ok(()) => assert!(Instant::now() < until, "it is still written to"),
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn whatever_another_process_commits_is_shipped_by_the_one_that_ships() {
    BOTH.into_iter().for_each(what_another_commits_is_shipped);
}

fn what_another_commits_is_shipped(sharing: Sharing) {
    let shared = Shared::by(sharing);
    let store = shared.open();
    let replicator = replicate(&store, &shared.at).unwrap();
    let (bot, value) = (BotId::new("ant").unwrap(), json!("x".repeat(3 << 20)));
    let other = shared.open();
    let mut steps = 0;
    let mut shipped = |what: &str| {
        steps += 1;
        wait_for(&replicator, &store);
        shared.is_in_the_replica(&store, &format!("{steps} {what}.redb"));
    };
    shipped("the session of another process");
    put(&other, 2).unwrap();
    shipped("a record");
    other.write(|tx| tx.config().put("long", &value)).unwrap();
    shipped("a long value");
    other.load(|tx| (0..500).try_for_each(|key| tx.config().put(&format!("k{key}"), &json!(key)))).unwrap();
    shipped("a load");
    // More than is kept of one commit.
    other.load(|tx| (0..8).try_for_each(|key| tx.config().put(&format!("l{key}"), &value))).unwrap();
    shipped("a gap");
    let point = other.make_point(PointRequest::new("a point")).unwrap();
    put(&other, 3).unwrap();
    other.write(|tx| tx.config().remove("long").map(drop)).unwrap();
    shipped("a point");
    other.restore(&point.id, crate::RestoreOptions::default()).unwrap();
    shipped("a restore");
    other.write(|tx| tx.queue().enqueue(NewTask::new(json!("work")))).unwrap();
    other.write(|tx| tx.queue().claim(&bot, &ClaimOptions::default())).unwrap();
    other.write(|tx| tx.registry().put(&crate::Bot::new(bot.clone()))).unwrap();
    other.heartbeat(&bot).unwrap();
    other.write_heartbeats().unwrap();
    shipped("a heartbeat");
    other.forget(&[(&point.id).into()]).unwrap();
    other.upkeep().unwrap();
    shipped("upkeep");
    other.close().unwrap();
    shipped("the end of a session");
    // Shipped commits are not kept any more, although the process that ships wrote nothing itself.
    let beside = shared.open();
    let status = beside.feed_status().unwrap().unwrap();
    assert!(status.kept_bytes < 100_000, "{}", status.kept_bytes);
    assert_eq!(replicator.status().error, None);
}

#[test]
fn one_process_ships_a_store_and_the_next_one_begins_a_term_once_it_has_ended() {
    BOTH.into_iter().for_each(the_next_one_begins_a_term);
}

fn the_next_one_begins_a_term(sharing: Sharing) {
    let shared = Shared::by(sharing);
    let (one, two) = (shared.open(), shared.open());
    let first = replicate(&one, &shared.at).unwrap();
    let refused = two.replicate(&shared.at, super::options::ReplicateOptions::default(), Duration::ZERO).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Locked, "{refused}");
    let elsewhere = ReplicaLocation(Location::Directory(shared.path("elsewhere")));
    let refused = two.init_replica(&elsewhere, &InitReplicaOptions::default()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Locked, "{refused}");
    assert!(two.is_shipped().unwrap());
    put(&two, 2).unwrap();
    wait_for(&first, &one);
    let term = first.status().term.unwrap();
    drop(first);
    assert!(!two.is_shipped().unwrap());
    put(&one, 3).unwrap();
    let second = replicate(&two, &shared.at).unwrap();
    wait_for(&second, &two);
    assert!(second.status().term.unwrap() > term);
    shared.is_in_the_replica(&two, "copy.redb");
    for store in [one, two] {
        put(&store, 4).unwrap();
    }
}

#[test]
fn one_process_ships_a_store_also_when_the_file_of_sessions_was_removed_or_replaced() {
    let shared = Shared::new();
    let (one, two) = (shared.open(), shared.open());
    let first = replicate(&one, &shared.at).unwrap();
    for is_replaced in [false, true] {
        let _gone = std::fs::remove_file(shared.path("h.redb.sessions"));
        if is_replaced {
            std::fs::write(shared.path("h.redb.sessions"), "").unwrap();
        }
        let refused = two.replicate(&shared.at, super::options::ReplicateOptions::default(), Duration::ZERO);
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Locked, "{is_replaced}");
        assert!(one.is_shipped().unwrap() && two.is_shipped().unwrap(), "{is_replaced}");
    }
    put(&two, 2).unwrap();
    wait_for(&first, &one);
    assert_eq!((first.status().error, first.status().fenced), (None, false));
    drop(first);
    assert!(!one.is_shipped().unwrap() && !two.is_shipped().unwrap());
    let second = replicate(&two, &shared.at).unwrap();
    put(&one, 3).unwrap();
    wait_for(&second, &two);
}

#[test]
fn a_killed_process_whose_store_went_on_and_kept_nothing_for_it_is_followed_by_another_one() {
    let shared = Shared::new();
    let store = shared.open();
    let replicator = replicate(&store, &shared.at).unwrap();
    for number in 2..20 {
        put(&store, number).unwrap();
        wait_for(&replicator, &store);
    }
    // The file as a kill leaves it. Others go on, and nothing of theirs is kept, nor of what was before.
    std::fs::copy(shared.path("h.redb"), shared.path("killed.redb")).unwrap();
    let other = open(&shared.path("killed.redb"));
    let value = json!("x".repeat(1 << 20));
    other.load(|tx| (0..20).try_for_each(|key| tx.config().put(&format!("k{key}"), &value))).unwrap();
    let next = replicate(&other, &shared.at).unwrap();
    wait_for(&next, &other);
    assert_eq!((next.status().error, next.status().fenced), (None, false));
    shared.is_in_the_replica(&other, "copy.redb");
}

#[test]
fn an_overtaken_file_is_locked_for_every_process_and_for_every_later_one() {
    BOTH.into_iter().for_each(an_overtaken_file_is_locked);
}

fn an_overtaken_file_is_locked(sharing: Sharing) {
    let shared = Shared::by(sharing);
    let (store, other) = (shared.open(), shared.open());
    let replicator = replicate(&store, &shared.at).unwrap();
    put(&other, 2).unwrap();
    wait_for(&replicator, &store);
    let elsewhere = shared.is_overtaken("there.redb");
    // The other process is not told, and finds the row.
    let refused = wait_for_refusal(&other);
    assert_eq!((refused.kind(), refused.hint()), (ErrorKind::Conflict, Some(&Hint::TakeBack)), "{refused}");
    assert!(refused.to_string().contains("by_term=3"), "{refused}");
    assert!(other.view().unwrap().config().get("number").unwrap().is_some());
    assert!(other.make_point(PointRequest::new("late")).is_err());
    let until = Instant::now() + Duration::from_secs(30);
    while !replicator.status().fenced {
        assert!(Instant::now() < until, "{:?}", replicator.status());
        std::thread::sleep(Duration::from_millis(5));
    }
    drop(replicator);
    store.close().unwrap();
    other.close().unwrap();
    for sharing in [Sharing::Shared, Sharing::SharedLog, Sharing::Exclusive] {
        let later = Store::options().sharing(sharing).reserve(false).open(shared.path("h.redb")).unwrap();
        assert_eq!(put(&later, 8).unwrap_err().kind(), ErrorKind::Conflict);
        assert_eq!(replicate(&later, &shared.at).unwrap_err().kind(), ErrorKind::Conflict);
        assert!(later.session().is_none() && later.check().unwrap().is_sound());
        later.close().unwrap();
    }
    put(&elsewhere, 1001).unwrap();
}

#[test]
fn an_end_that_finds_the_replica_taken_over_locks_the_file_too() {
    let shared = Shared::by(Sharing::SharedLog);
    let store = shared.open();
    let options = super::options::ReplicateOptions { interval: Duration::from_secs(3600), ..Default::default() };
    let replicator = store.replicate(&shared.at, options, Duration::from_secs(20)).unwrap();
    let _elsewhere = shared.is_overtaken("there.redb");
    put(&store, 2).unwrap();
    drop(replicator);
    store.close().unwrap();
    assert_eq!(put(&shared.open(), 3).unwrap_err().kind(), ErrorKind::Conflict);
}

#[test]
fn a_locked_file_becomes_the_source_of_the_replica_again_or_a_store_of_its_own() {
    for as_other_store in [false, true] {
        let shared = Shared::new();
        let store = shared.open();
        let replicator = replicate(&store, &shared.at).unwrap();
        let elsewhere = shared.is_overtaken("there.redb");
        let there = replicate(&elsewhere, &shared.at).unwrap();
        wait_for(&there, &elsewhere);
        store.write(|tx| tx.config().put("tail", &json!(1))).unwrap();
        wait_for_refusal(&store);
        drop(replicator);
        let path = shared.path("h.redb");
        let options = TakeOverOptions { as_other_store, ..TakeOverOptions::default() };
        // Not while a process works that knows it as locked.
        let refused = Store::take_over_replica(&path, &options).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Locked, "{refused}");
        let before = store.view().unwrap().config().get("number").unwrap();
        store.close().unwrap();
        Store::take_over_replica(&path, &options).unwrap();
        assert_eq!(Store::take_over_replica(&path, &options).unwrap_err().kind(), ErrorKind::Conflict);
        let store = shared.open();
        assert_eq!(store.view().unwrap().config().get("number").unwrap(), before, "its last commits are in it");
        put(&store, 9).unwrap();
        if as_other_store {
            assert_eq!(replicate(&store, &shared.at).unwrap_err().kind(), ErrorKind::Conflict);
            put(&store, 10).unwrap();
            put(&elsewhere, 11).unwrap();
            wait_for(&there, &elsewhere);
            continue;
        }
        let replicator = replicate(&store, &shared.at).unwrap();
        wait_for(&replicator, &store);
        shared.is_in_the_replica(&store, "copy.redb");
        // Now the other one is overtaken.
        assert!(wait_for_refusal(&elsewhere).to_string().contains("another "));
        put(&store, 12).unwrap();
        wait_for(&replicator, &store);
        shared.is_in_the_replica(&store, "again.redb");
    }
}

#[test]
fn a_file_that_cannot_be_the_source_again_does_not_stop_the_machine_that_is() {
    let shared = Shared::new();
    let earlier = shared.restored("earlier.redb");
    let store = shared.open();
    let replicator = replicate(&store, &shared.at).unwrap();
    put(&store, 2).unwrap();
    wait_for(&replicator, &store);
    // The other machine goes on from before the newest commit, so the history has that commit no more.
    Store::take_over_replica(&earlier, &TakeOverOptions::default()).unwrap();
    let elsewhere = open(&earlier);
    let there = replicate(&elsewhere, &shared.at).unwrap();
    wait_for_refusal(&store);
    drop(replicator);
    store.close().unwrap();
    let path = shared.path("h.redb");
    Store::take_over_replica(&path, &TakeOverOptions::default()).unwrap();
    let refused = replicate(&shared.open(), &shared.at).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict, "{refused}");
    for number in 20..25 {
        put(&elsewhere, number).unwrap();
        wait_for(&there, &elsewhere);
    }
    assert_eq!((there.status().fenced, there.status().error), (false, None));
}

#[test]
fn a_file_that_nobody_writes_to_begins_no_replica_and_leaves_nothing_behind() {
    let shared = Shared::new();
    let copy = Store::options().reserve(false).open(shared.restored("copy.redb")).unwrap();
    let new = shared.path("new");
    let at = ReplicaLocation(Location::Directory(new.clone()));
    let refused = copy.init_replica(&at, &InitReplicaOptions::default()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict, "{refused}");
    assert_eq!(std::fs::read_dir(&new).unwrap().count(), 0);
    copy.close().unwrap();
    // Nor does a copy that took the replica over begin it once more.
    let taken = shared.is_overtaken("there.redb");
    let again = taken.init_replica(&shared.at, &InitReplicaOptions::default()).unwrap_err();
    assert!(again.to_string().starts_with("there is a replica already"), "{again}");
}
