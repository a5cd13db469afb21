//! The feed against a model: a replica that takes its rows is, at every moment, what the store is.

use std::collections::BTreeMap;

use super::marks::row::outbox_key;
use super::marks::states::States;
use super::sending::dump::Dump;
use super::sending::of_store::Fed;
use crate::engine::format::row_change::changes;
use crate::engine::format::schema::{CollectionId, Table};
use crate::engine::history::model_test::point;
use crate::engine::meta;
use crate::engine::options::{Durability, Sharing};
use crate::engine::records::Records;
use crate::engine::store::Store;
use crate::engine::wal::test::{C, Hive, SHORT, open_with, options};
use crate::error::{ErrorKind, Result};
use crate::testkit::proof::choices::Choices;
use crate::testkit::proof::disk::Disk;

const USER: CollectionId = CollectionId::FIRST_USER;

/// A replica in memory.
#[derive(Clone, Debug, Default, PartialEq)]
struct Replica {
    rows: BTreeMap<(Table, Vec<u8>), Vec<u8>>,
    states: States,
    sequence: u64,
    bases: usize,
}

impl Replica {
    fn base(&mut self, store: &Store) {
        *self = Self { bases: self.bases + 1, ..Self::of(store.dump().unwrap()) };
    }

    fn of(mut dump: Dump) -> Self {
        let mut replica = Self { sequence: dump.sequence(), states: dump.states().clone(), ..Self::default() };
        while let Some(part) = dump.next_part(1000).unwrap() {
            replica.take(&part);
        }
        replica
    }

    fn take(&mut self, rows: &[u8]) {
        for change in changes(rows) {
            let change = change.unwrap();
            let key = (change.table, change.key.to_vec());
            match change.value {
                Some(value) => drop(self.rows.insert(key, value.to_vec())),
                None => drop(self.rows.remove(&key)),
            }
        }
    }

    /// Takes what is new, a little at a time; a gap is filled by a new base. Says whether it came to the end.
    fn follow(&mut self, store: &Store, most: usize) -> bool {
        for _ in 0..most {
            match store.feed_after(self.sequence, 1).unwrap() {
                Fed::Gap => self.base(store),
                Fed::Commits(commits) if commits.is_empty() => return true,
                Fed::Commits(commits) => {
                    assert_eq!(commits.len(), 1);
                    assert!(commits[0].sequence > self.sequence);
                    self.take(&commits[0].rows);
                    self.states.apply(&commits[0].rows).unwrap();
                    self.sequence = commits[0].sequence;
                }
            }
        }
        false
    }

    fn is_the_store(&self, store: &Store) {
        let dump = Self::of(store.dump().unwrap());
        assert!(self.rows == dump.rows, "{} against {}", self.rows.len(), dump.rows.len());
        assert_eq!(self.states.iter().collect::<Vec<_>>(), dump.states.iter().collect::<Vec<_>>());
        assert_eq!(self.states.of(C), store.view().unwrap().stats(C).unwrap());
    }
}

/// Tells a store how far its replica is.
fn ship(store: &Store, sequence: u64) {
    let feed = store.feed_status().unwrap().unwrap().id;
    store.note_shipped(feed, sequence, b"there".to_vec());
}

pub(super) fn put(store: &Store, number: u64) {
    store.write(|tx| tx.put(C, b"a", &number.to_be_bytes())).unwrap();
}

pub(super) fn now(store: &Store) -> u64 {
    store.feed_status().unwrap().unwrap().sequence
}

/// A store with a log.
pub(super) fn alone(first_section: u64) -> Hive {
    open_with(&Disk::default(), options().tends_log(false).first_section(first_section), None).unwrap()
}

/// One random change of a store.
fn change(store: &Store, choices: &mut Choices, step: u64) -> Result<()> {
    let key = [b'a' + u8::try_from(choices.below(12)).unwrap()];
    match choices.below(20) {
        0 => store.write(|tx| tx.seal(point(tx.now())).map(drop)),
        1 => store.load(|tx| (0..200_u64).try_for_each(|n| tx.put(USER, &n.to_be_bytes(), &step.to_be_bytes()))),
        2 => store.write(|tx| tx.put(C, &key, &vec![7; 3000])),
        3..6 => store.write(|tx| tx.remove(C, &key).map(drop)),
        6 => store.write(|tx| tx.next("tasks").map(drop)),
        7 => {
            let failed = store.write(|tx| {
                tx.put(C, &key, b"never")?;
                Err::<(), _>(crate::error::Error::conflict("no"))
            });
            failed.unwrap_err();
            Ok(())
        }
        _ => store.write(|tx| tx.put(C, &key, &step.to_be_bytes())),
    }
}

#[test]
fn a_replica_that_takes_the_feed_is_the_store_whatever_way_commits_went_and_whatever_was_cut() {
    for seed in 0..12 {
        let mut choices = Choices::seeded(seed);
        let disk = Disk::default();
        let mut hive = open_with(&disk, options().tends_log(false).first_section(SHORT), None).unwrap();
        hive.store.begin_feed(0).unwrap();
        let (mut replica, mut cuts) = (Replica::default(), 0);
        replica.base(&hive.store);
        for step in 0..250 {
            match choices.below(25) {
                0 => hive.store.rest_log().unwrap(),
                1 => hive.store.lay_log_down().unwrap(),
                2..4 => {
                    if choices.once_in(2) {
                        hive.store.close_file().unwrap();
                    }
                    let content = if choices.once_in(2) { hive.disk.cut(&mut choices) } else { hive.disk.seen() };
                    drop(hive.kill());
                    hive =
                        open_with(&Disk::of(content), options().tends_log(false).first_section(SHORT), None).unwrap();
                    cuts += 1;
                }
                4..6 => ship(&hive.store, replica.sequence),
                6..12 => drop(replica.follow(&hive.store, choices.below(8))),
                _ => change(&hive.store, &mut choices, step).unwrap(),
            }
            if choices.once_in(10) {
                assert!(replica.follow(&hive.store, 1000));
                replica.is_the_store(&hive.store);
            }
        }
        assert!(replica.follow(&hive.store, 1000));
        replica.is_the_store(&hive.store);
        assert_eq!(replica.bases, 1, "nothing was lost on the way");
        assert!(hive.is_sound() && cuts > 2);
    }
}

#[test]
fn a_replica_that_takes_the_feed_of_two_processes_over_one_log_is_the_store() {
    for seed in 0..8 {
        let mut choices = Choices::seeded(seed);
        let disk = Disk::default();
        let options = || options().sharing(Sharing::SharedLog).tends_log(false).first_section(SHORT);
        let mut hives = [(); 2].map(|()| open_with(&disk, options(), None).unwrap());
        hives[0].store.begin_feed(0).unwrap();
        let mut replica = Replica::default();
        replica.base(&hives[1].store);
        let mut logged = 0;
        for step in 0..250 {
            let at = choices.below(2);
            let store = &hives[at].store;
            match choices.below(25) {
                0 => store.lay_log_down().unwrap(),
                // One dies, or closes the store, and comes again.
                1 => {
                    if choices.once_in(2) {
                        store.close_file().unwrap();
                    }
                    hives[at].cut_off();
                    hives[at] = open_with(&disk, options(), None).unwrap();
                }
                2..4 => ship(store, replica.sequence),
                4..10 => drop(replica.follow(store, choices.below(8))),
                _ => change(store, &mut choices, step).unwrap(),
            }
            logged += usize::from(hives[at].store.log_status().unwrap().in_use);
            if choices.once_in(10) {
                let store = &hives[choices.below(2)].store;
                assert!(replica.follow(store, 1000));
                replica.is_the_store(store);
            }
        }
        assert_eq!(replica.bases, 1, "nothing was lost on the way");
        assert!(hives.iter().all(Hive::is_sound) && logged > 100, "{logged}");
    }
}

pub(super) fn shared() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let options = Store::options().sharing(Sharing::Shared).session(false).reserve(false);
    let store = options.open_with(&folder.path().join("h.redb"), &[]).unwrap();
    (folder, store)
}

/// The same file, opened once more.
pub(super) fn again(store: &Store) -> Store {
    Store::options().session(false).reserve(false).open_with(store.path(), &[]).unwrap()
}

#[test]
fn a_store_without_a_log_has_the_same_feed() {
    let (_folder, store) = shared();
    let mut choices = Choices::seeded(5);
    store.begin_feed(41).unwrap();
    assert_eq!(store.feed_status().unwrap().unwrap().sequence, 42);
    let mut replica = Replica::default();
    replica.base(&store);
    for step in 0..60 {
        change(&store, &mut choices, step).unwrap();
        if choices.once_in(3) {
            ship(&store, replica.sequence);
            assert!(replica.follow(&store, 1000));
            replica.is_the_store(&store);
        }
    }
    assert_eq!(replica.bases, 1);
}

#[test]
fn what_the_replica_has_is_kept_no_longer_and_asking_for_it_is_a_gap() {
    let (_folder, store) = shared();
    store.begin_feed(0).unwrap();
    let begun = store.feed_status().unwrap().unwrap().sequence;
    let put = || store.write(|tx| tx.put(C, b"a", &[1; 100])).unwrap();
    (0..5).for_each(|_| put());
    let full = store.feed_status().unwrap().unwrap();
    ship(&store, full.sequence);
    put();
    let status = store.feed_status().unwrap().unwrap();
    assert_eq!((status.shipped, &status.position[..]), (full.sequence, &b"there"[..]));
    assert!(status.kept_bytes < full.kept_bytes);
    assert_eq!(store.feed_after(begun, 1 << 20).unwrap(), Fed::Gap);
    let Fed::Commits(commits) = store.feed_after(full.sequence, 1 << 20).unwrap() else { panic!("it is kept") };
    assert_eq!(commits.iter().map(|commit| commit.sequence).collect::<Vec<_>>(), [full.sequence + 1]);
    // A later process knows it too.
    store.close_file().unwrap();
    let store = again(&store);
    assert_eq!(store.feed_status().unwrap().unwrap().position, b"there");
    let feed = store.feed_status().unwrap().unwrap().id;
    store.note_shipped(feed, now(&store), b"further".to_vec());
    store.write_shipped().unwrap();
    store.close_file().unwrap();
    assert_eq!(again(&store).feed_status().unwrap().unwrap().position, b"further");
}

#[test]
fn a_commit_that_is_too_large_to_be_kept_is_a_gap_and_the_next_ones_are_kept_again() {
    let (_folder, store) = shared();
    store.begin_feed(0).unwrap();
    let before = store.feed_status().unwrap().unwrap().sequence;
    store.load(|tx| (0..20_u64).try_for_each(|n| tx.put(USER, &n.to_be_bytes(), &vec![3; 1 << 20]))).unwrap();
    assert_eq!(store.feed_after(before, 1).unwrap(), Fed::Gap);
    let mut replica = Replica::default();
    replica.base(&store);
    store.write(|tx| tx.put(C, b"a", b"1")).unwrap();
    assert!(replica.follow(&store, 10));
    assert_eq!(replica.bases, 1);
    replica.is_the_store(&store);
}

#[test]
fn a_feed_that_has_begun_goes_on_and_one_that_has_ended_keeps_nothing() {
    let (_folder, store) = shared();
    assert_eq!(store.feed_status().unwrap(), None);
    assert_eq!(store.feed_after(0, 1).unwrap_err().kind(), ErrorKind::Conflict);
    store.begin_feed(7).unwrap();
    store.write(|tx| tx.put(C, b"a", b"1")).unwrap();
    let status = store.feed_status().unwrap();
    store.begin_feed(100).unwrap();
    assert_eq!(store.feed_status().unwrap().unwrap().sequence, status.unwrap().sequence);
    store.end_feed().unwrap();
    assert_eq!(store.feed_status().unwrap(), None);
    let left = store.view().unwrap().stored().count(Table::Meta).unwrap();
    store.begin_feed(100).unwrap();
    assert_eq!(store.view().unwrap().stored().count(Table::Meta).unwrap(), left + 1, "the outbox was emptied");
}

#[test]
fn a_feed_that_begins_again_knows_nothing_of_the_one_before() {
    let (_folder, store) = shared();
    store.begin_feed(0).unwrap();
    (0..50).for_each(|number| put(&store, number));
    ship(&store, now(&store));
    store.end_feed().unwrap();
    store.begin_feed(0).unwrap();
    let status = store.feed_status().unwrap().unwrap();
    assert_eq!((status.shipped, &status.position[..]), (status.sequence, &b""[..]));
    let mut replica = Replica::default();
    replica.base(&store);
    (0..5).for_each(|number| put(&store, number));
    assert!(replica.follow(&store, 100));
    assert_eq!(replica.bases, 1);
}

#[test]
fn a_reader_that_is_ahead_of_the_store_is_not_told_that_nothing_is_new() {
    let (_folder, store) = shared();
    store.begin_feed(0).unwrap();
    put(&store, 1);
    assert_eq!(store.feed_after(now(&store), 1).unwrap(), Fed::Commits(Vec::new()));
    assert_eq!(store.feed_after(now(&store) + 1, 1).unwrap(), Fed::Gap);
    ship(&store, u64::MAX);
    let before = now(&store);
    put(&store, 2);
    assert!(matches!(store.feed_after(before, 1).unwrap(), Fed::Commits(commits) if commits.len() == 1));
}

#[test]
fn nothing_that_an_opening_could_not_move_is_given_before_it_is_on_the_disk() {
    let hive = alone(1 << 20);
    hive.store.begin_feed(0).unwrap();
    let begun = now(&hive.store);
    (0..3).for_each(|number| hive.put("a", number).unwrap());
    let soft = hive.store.with_durability(Durability::System);
    let value = vec![7; 9_000];
    (0..40_u64).for_each(|key| soft.write(|tx| tx.put(C, &key.to_be_bytes(), &value)).unwrap());
    drop(soft);
    let disk = hive.kill();
    disk.leave_room(0);
    let hive = open_with(&disk, options().tends_log(false), None).unwrap();
    assert!(hive.store.log_waits());
    let Fed::Commits(given) = hive.store.feed_after(begun, usize::MAX).unwrap() else { panic!("nothing is lost") };
    let newest = given.last().map_or(begun, |commit| commit.sequence).max(hive.store.dump().unwrap().sequence());
    // A replica may have all of them already, so it is not told of an older moment.
    assert!(given.len() >= 41, "given={}", given.len());
    assert_eq!(hive.store.feed_after(newest, 1).unwrap(), Fed::Commits(Vec::new()));
    let has =
        |store: &Store| (0..40_u64).all(|key| store.view().unwrap().get(C, &key.to_be_bytes()).unwrap().is_some());
    assert!(has(&hive.store));
    for seed in 0..30 {
        let cut = Disk::of(disk.cut(&mut Choices::seeded(seed)));
        let after = open_with(&cut, options().tends_log(false), None).unwrap();
        assert!(now(&after.store) >= newest, "a power cut took what was given");
        assert!(has(&after.store), "a power cut took what was read");
        let Fed::Commits(again) = after.store.feed_after(begun, usize::MAX).unwrap() else { panic!("it is kept") };
        assert!(again.starts_with(&given));
    }
}

#[test]
fn the_outbox_stays_small_while_the_replica_keeps_up_however_many_commits_there_are() {
    let hive = alone(4 << 20);
    hive.store.begin_feed(0).unwrap();
    let soft = hive.store.with_durability(Durability::System);
    let rows = || hive.store.view().unwrap().stored().count(Table::Meta).unwrap();
    for _ in 0..4 {
        (0..5_000).for_each(|number| put(&soft, number));
        hive.store.rest_log().unwrap();
        ship(&hive.store, now(&hive.store));
    }
    assert!(rows() < 7_000, "rows={}", rows());
}

#[test]
fn a_damaged_row_of_the_outbox_is_a_gap_and_keeps_nobody_from_writing() {
    let (_folder, store) = shared();
    store.begin_feed(0).unwrap();
    let begun = now(&store);
    put(&store, 1);
    let damaged = outbox_key(now(&store));
    store.write(|tx| tx.insert(Table::Meta, &damaged, b"rot")).unwrap();
    assert_eq!(store.feed_after(begun, 1 << 20).unwrap(), Fed::Gap);
    ship(&store, now(&store));
    put(&store, 2);
    put(&store, 3);
}

#[test]
fn the_row_of_the_host_does_not_travel() {
    let (_folder, store) = shared();
    store.begin_feed(0).unwrap();
    store.write(|tx| tx.put_row(Table::Meta, meta::HOST, b"another machine")).unwrap();
    let mut replica = Replica::default();
    replica.base(&store);
    store.close_file().unwrap();
    let store = again(&store);
    assert!(replica.follow(&store, 10));
    replica.is_the_store(&store);
}

#[test]
fn a_number_that_no_store_reaches_begins_no_feed() {
    let (_folder, store) = shared();
    assert_eq!(store.begin_feed(u64::MAX).unwrap_err().kind(), ErrorKind::Invalid);
}

#[test]
fn commits_keep_their_numbers_and_bytes_whatever_moves_them() {
    let hive = alone(SHORT);
    hive.store.begin_feed(0).unwrap();
    let begun = now(&hive.store);
    let all = |store: &Store| match store.feed_after(begun, usize::MAX).unwrap() {
        Fed::Commits(commits) => commits,
        Fed::Gap => panic!("everything is kept"),
    };
    let (mut choices, mut before) = (Choices::seeded(1), Vec::new());
    for step in 0..100 {
        change(&hive.store, &mut choices, step).unwrap();
        match choices.below(8) {
            0 => hive.store.rest_log().unwrap(),
            1 => hive.store.lay_log_down().unwrap(),
            _ => {}
        }
        let after = all(&hive.store);
        assert!(after.starts_with(&before), "step={step}");
        assert_eq!(hive.store.dump().unwrap().sequence(), now(&hive.store));
        before = after;
    }
    let hive = open_with(&hive.kill(), options().tends_log(false).first_section(SHORT), None).unwrap();
    assert!(all(&hive.store).starts_with(&before));
}

#[test]
fn a_store_that_is_shared_and_alone_in_turn_has_one_feed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h.redb");
    let (mut replica, mut choices) = (Replica::default(), Choices::seeded(3));
    for round in 0..10 {
        let sharing = if round % 2 == 0 { Sharing::Shared } else { Sharing::Exclusive };
        let store = Store::options().sharing(sharing).session(false).reserve(false).open_with(&path, &[]).unwrap();
        if round == 0 {
            store.begin_feed(0).unwrap();
            replica.base(&store);
        }
        (0..20).for_each(|step| change(&store, &mut choices, round * 100 + step).unwrap());
        assert!(round % 3 == 0 || replica.follow(&store, 1000));
        store.close_file().unwrap();
    }
    let store = Store::options().session(false).open_with(&path, &[]).unwrap();
    assert!(replica.follow(&store, 1000));
    replica.is_the_store(&store);
    assert_eq!(replica.bases, 1);
}

#[test]
fn a_transaction_with_too_many_keys_is_a_gap() {
    let (_folder, store) = shared();
    store.begin_feed(0).unwrap();
    let before = now(&store);
    store.load(|tx| (0..250_000_u64).try_for_each(|key| tx.put(USER, &key.to_be_bytes(), b""))).unwrap();
    assert!(matches!(store.feed_after(before, 1).unwrap(), Fed::Gap));
}
