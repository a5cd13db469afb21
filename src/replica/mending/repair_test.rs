//! A damaged file gets from its replica what it has lost, as it was, or the loss is named.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use age::secrecy::ExposeSecret;
use serde_json::{Value, json};

use crate::clock::{Clock, SystemClock};
use crate::engine::options::Sharing;
use crate::engine::repair::RepairReport;
use crate::engine::schema::Table;
use crate::engine::store::{Options, Store};
use crate::error::{ErrorKind, Hint, Result};
use crate::recovery::events::event::EventKind;
use crate::replica::bench_test::{Rows, rows};
use crate::replica::bucket::location::{Location, ReplicaLocation};
use crate::replica::connection::cipher::Identities;
use crate::replica::connection::opened::OpenReplica;
use crate::replica::connection::runtime::block_on;
use crate::replica::shipping::init::InitReplicaOptions;
use crate::replica::shipping::ship::Shipper;
use crate::replica::shipping::source::Source;
use crate::replica::terms::remote::Remote;
use crate::state::page::Page;
use crate::state::queue::NewTask;

/// A recipient and its identity.
pub(in crate::replica) fn key_pair() -> (String, String) {
    let identity = age::x25519::Identity::generate();
    (identity.to_public().to_string(), identity.to_string().expose_secret().to_owned())
}

const PAGE: usize = 4096;

/// A store with a replica in a folder, shipped by hand.
pub(in crate::replica) struct Fleet {
    pub(in crate::replica) folder: tempfile::TempDir,
    pub(in crate::replica) replica: ReplicaLocation,
    pub(super) identity: Option<String>,
}

pub(in crate::replica) fn options() -> Options {
    Store::options().sharing(Sharing::Exclusive).session(false).reserve(false)
}

impl Fleet {
    pub(in crate::replica) fn new() -> Self {
        Self::with(None)
    }

    /// An encrypted replica, or a plain one.
    pub(in crate::replica) fn with(key: Option<(String, String)>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let replica = ReplicaLocation(Location::Directory(folder.path().join("replica")));
        let (recipient, identity) = key.unzip();
        let fleet = Self { folder, replica, identity };
        let store = fleet.open();
        fill(&store);
        let recipients = recipient.into_iter().collect();
        store.init_replica(&fleet.replica, &InitReplicaOptions { recipients }).unwrap();
        store.close().unwrap();
        fleet
    }

    pub(in crate::replica) fn path(&self) -> PathBuf {
        self.folder.path().join("h.redb")
    }

    pub(in crate::replica) fn open(&self) -> Store {
        options().open(self.path()).unwrap()
    }

    /// Ships everything in a term of its own.
    pub(in crate::replica) fn ship(&self, store: &Store) {
        let ship = async {
            let identities = self.identity.as_deref().map_or(Ok(Identities::default()), Identities::parse)?;
            let clock: Arc<dyn Clock> = Arc::new(SystemClock);
            let remote = OpenReplica::open(&self.replica.0, identities, clock).await?;
            let source = Source::open(store.clone(), remote.store(), remote.description())?;
            Shipper::open(remote, source).await?.release().await
        };
        block_on(ship).unwrap();
    }

    pub(super) fn identity(&self) -> Option<&str> {
        self.identity.as_deref()
    }

    /// Repairs a copy of the store that was damaged, with the replica or without.
    fn repair(&self, damaged: &Path, with: bool) -> Result<(RepairReport, Store)> {
        let to = self.folder.path().join("repaired.redb");
        let _gone = fs::remove_file(&to);
        let plan = match with {
            true => Store::plan_repair_from_replica(damaged, &to, &self.replica, self.identity())?,
            false => Store::plan_repair(damaged, &to)?,
        };
        let report = plan.apply()?;
        Ok((report, options().open(&to)?))
    }

    /// A copy of the store's file with other bytes.
    fn damaged(&self, edit: impl FnOnce(&mut [u8])) -> PathBuf {
        let mut bytes = fs::read(self.path()).unwrap();
        edit(&mut bytes);
        let path = self.folder.path().join("damaged.redb");
        fs::write(&path, bytes).unwrap();
        path
    }
}

fn record(key: u32, version: u32) -> Value {
    json!(format!("{key}-{version}-").repeat(12))
}

pub(in crate::replica) fn put(store: &Store, mut keys: impl Iterator<Item = u32>, version: u32) {
    store.write(|tx| keys.try_for_each(|key| tx.config().put(&format!("k{key:03}"), &record(key, version)))).unwrap();
}

/// Records of several kinds, with points before and after their changes.
fn fill(store: &Store) {
    put(store, 0..250, 1);
    store.restore_point("first").unwrap();
    put(store, (0..250).step_by(3), 2);
    store.write(|tx| (0..40).try_for_each(|n| tx.queue().enqueue(NewTask::new(json!(n))).map(drop))).unwrap();
    store.restore_point("second").unwrap();
    store.write(|tx| (0..250).step_by(7).try_for_each(|n| tx.config().remove(&format!("k{n:03}")).map(drop))).unwrap();
    store.acting_as("cli:1").write(|tx| tx.collection::<Value>("notes")?.put("a", &json!("b"))).unwrap();
}

/// The rows whose content a repair keeps as they were.
fn kept(rows: Rows) -> Rows {
    let written_anew = [Table::Events, Table::Meta, Table::Sessions, Table::Liveness];
    rows.into_iter().filter(|((table, _), _)| !written_anew.contains(table)).collect()
}

fn scramble(page: &mut [u8]) {
    page.iter_mut().enumerate().for_each(|(at, byte)| *byte = (at as u8).wrapping_mul(7) ^ 0x5A);
}

/// A record has its value, or it is named as lost.
fn assert_never_another_value(report: &RepairReport, store: &Store, before: &Rows) {
    let named: BTreeSet<_> = report.lost.iter().map(|lost| lost.row.clone()).collect();
    let live = |(table, key): &(Table, Vec<u8>)| *table == Table::Live && !named.contains(key);
    for (place, value) in rows(store).iter().filter(|(place, _)| live(place)) {
        let is_same = before.get(place) == Some(value) || !report.collections.is_empty();
        assert!(is_same, "{}\n{report}", place.1.escape_ascii());
    }
}

#[test]
fn each_damaged_page_in_turn_loses_nothing_that_the_replica_can_prove() {
    let fleet = Fleet::new();
    let store = fleet.open();
    put(&store, 30..60, 3);
    fleet.ship(&store);
    // The replica lags: the store keeps these commits itself.
    put(&store, 50..90, 4);
    store.write(|tx| tx.config().remove("k100").map(drop)).unwrap();
    let before = rows(&store);
    store.close().unwrap();
    let pages = fs::metadata(fleet.path()).unwrap().len() as usize / PAGE;
    let (mut whole, mut healed) = (0, 0);
    for page in 1..pages {
        let damaged = fleet.damaged(|bytes| scramble(&mut bytes[page * PAGE..(page + 1) * PAGE]));
        let Ok((plain, store)) = fleet.repair(&damaged, false) else { continue };
        store.close().unwrap();
        // Unused pages are of no interest.
        if plain.is_whole() && plain.pages.is_empty() {
            continue;
        }
        let (report, store) = fleet.repair(&damaged, true).unwrap();
        if report.is_whole() {
            whole += 1;
            assert!(kept(rows(&store)) == kept(before.clone()), "page {page}:\n{report}");
        } else {
            assert_never_another_value(&report, &store, &before);
        }
        if !report.healed.is_empty() {
            healed += 1;
            let events = store.view().unwrap().events().list(Page::newest(1)).unwrap();
            assert_eq!(events[0].kind, EventKind::Repaired);
        }
        assert!(store.check().unwrap().is_sound());
        store.close().unwrap();
    }
    eprintln!("pages {pages}, whole {whole}, healed {healed}");
    assert!(whole >= 15 && healed >= 10, "whole {whole}, healed {healed}");
}

/// The pages that hold these bytes.
fn pages_with(bytes: &[u8], text: &str) -> Vec<usize> {
    let has = |page: &[u8]| page.windows(text.len()).any(|part| part == text.as_bytes());
    bytes.chunks(PAGE).enumerate().filter(|(_, page)| has(page)).map(|(number, _)| number).collect()
}

/// Damages all copies of a text that are in the file.
fn scrambled(fleet: &Fleet, text: &str) -> PathBuf {
    fleet.damaged(|bytes| {
        for page in pages_with(bytes, text) {
            scramble(&mut bytes[page * PAGE..(page + 1) * PAGE]);
        }
    })
}

#[test]
fn a_change_that_was_not_shipped_and_not_kept_is_lost_and_never_an_older_value_comes_back() {
    let fleet = Fleet::new();
    let store = fleet.open();
    put(&store, 0..1, 5);
    fleet.ship(&store);
    // So many bytes are not kept for the replica.
    let large = "x".repeat(1 << 20);
    store
        .write(|tx| {
            tx.config().put("k000", &record(0, 6))?;
            (0..17).try_for_each(|n| tx.config().put(&format!("large{n}"), &json!(large)))
        })
        .unwrap();
    let before = rows(&store);
    let task = store.view().unwrap().queue().list().nth(7).unwrap().unwrap().id.to_string();
    store.close().unwrap();
    let damaged = scrambled(&fleet, "0-6-0-6-");
    let (report, store) = fleet.repair(&damaged, true).unwrap();
    assert!(!report.is_whole());
    // It is named, whatever is left of it.
    assert!(report.lost.iter().any(|lost| lost.key == "k000"), "{report}");
    assert!(!report.healed.contains_key("live"), "{report}");
    assert!(report.notes.iter().any(|note| note.contains("not kept")), "{report}");
    store.close().unwrap();
    // The tasks did not change meanwhile, which their digest proves.
    let damaged = scrambled(&fleet, &task);
    let (report, store) = fleet.repair(&damaged, true).unwrap();
    let tasks = |rows: &Rows| {
        rows.iter().filter(|((table, key), _)| *table == Table::Live && key.starts_with(&[0, 0, 0, 2])).count()
    };
    assert_eq!(tasks(&rows(&store)), tasks(&before), "{report}");
    assert!(report.healed.contains_key("live"), "{report}");
}

#[test]
fn an_older_page_at_the_place_of_another_neither_brings_records_back_nor_hinders_the_proof() {
    let fleet = Fleet::new();
    let older = fs::read(fleet.path()).unwrap();
    let older = &older[pages_with(&older, "201-2-201-2-")[0] * PAGE..][..PAGE];
    let store = fleet.open();
    store.write(|tx| tx.config().remove("k201").map(drop)).unwrap();
    fleet.ship(&store);
    let before = rows(&store);
    store.close().unwrap();
    let damaged = fleet.damaged(|bytes| {
        let pages = pages_with(bytes, "11-1-11-1-");
        pages.into_iter().for_each(|page| bytes[page * PAGE..(page + 1) * PAGE].copy_from_slice(older));
    });
    let (report, store) = fleet.repair(&damaged, true).unwrap();
    assert!(report.is_whole() && report.healed.contains_key("live"), "{report}");
    assert!(kept(rows(&store)) == kept(before));
}

#[test]
fn the_replica_of_another_store_is_refused() {
    let (fleet, other) = (Fleet::new(), Fleet::new());
    let damaged = fleet.damaged(|bytes| {
        for page in pages_with(bytes, "11-1-11-1-") {
            scramble(&mut bytes[page * PAGE..(page + 1) * PAGE]);
        }
    });
    let to = fleet.folder.path().join("to.redb");
    let refused = Store::plan_repair_from_replica(&damaged, &to, &other.replica, None).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    assert!(refused.to_string().contains("of another store"), "{refused}");
    assert!(!to.exists());
}

#[test]
fn a_store_that_the_replica_went_behind_is_refused() {
    let fleet = Fleet::new();
    let earlier = fs::read_dir(fleet.folder.path().join("replica")).unwrap().count();
    assert!(earlier > 0);
    let before = fleet.folder.path().join("before");
    copy_all(&fleet.folder.path().join("replica"), &before);
    let store = fleet.open();
    put(&store, 1..3, 8);
    fleet.ship(&store);
    store.close().unwrap();
    // The bucket went back to an earlier state.
    fs::remove_dir_all(fleet.folder.path().join("replica")).unwrap();
    copy_all(&before, &fleet.folder.path().join("replica"));
    let damaged = scrambled(&fleet, "11-1-11-1-");
    let refused = fleet.repair(&damaged, true).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict, "{refused}");
    assert!(refused.to_string().contains("does not have the history"), "{refused}");
}

#[test]
fn an_older_copy_of_the_file_gets_what_it_had_and_nothing_newer() {
    let fleet = Fleet::new();
    let store = fleet.open();
    put(&store, 0..20, 5);
    fleet.ship(&store);
    let before = rows(&store);
    store.close().unwrap();
    let damaged = scrambled(&fleet, "11-5-11-5-");
    let store = fleet.open();
    put(&store, 0..20, 6);
    fleet.ship(&store);
    store.close().unwrap();
    let (report, store) = fleet.repair(&damaged, true).unwrap();
    assert!(report.is_whole() && report.healed.contains_key("live"), "{report}");
    assert!(kept(rows(&store)) == kept(before));
}

pub(in crate::replica) fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() { copy_all(&from, &to) } else { fs::copy(from, to).map(drop).unwrap() }
    }
}

#[test]
fn an_encrypted_replica_is_read_with_the_identity_alone() {
    let mut fleet = Fleet::with(Some(key_pair()));
    let damaged = scrambled(&fleet, "11-1-11-1-");
    let (report, store) = fleet.repair(&damaged, true).unwrap();
    assert!(report.is_whole() && report.healed.contains_key("live"), "{report}");
    store.close().unwrap();
    fleet.identity = None;
    let refused = fleet.repair(&damaged, true).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid, "{refused}");
    assert!(refused.hint().is_some_and(|hint| matches!(hint, Hint::GiveIdentity)), "{refused:?}");
}
