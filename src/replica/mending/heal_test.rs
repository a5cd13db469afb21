//! Damaged rows of a living store get their bytes back, and nobody sees another value.

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;

use super::heal::HealOptions;
use super::history::History;
use super::repair_test::{Fleet, key_pair, options, put};
use crate::engine::heal::{HealReport, Remedies};
use crate::engine::meta;
use crate::engine::options::VerifyOnOpen;
use crate::engine::repair::Elsewhere;
use crate::engine::schema::{CollectionId, Table};
use crate::engine::store::Store;
use crate::error::{Error, ErrorKind, Hint};
use crate::recovery::events::event::EventKind;
use crate::replica::bench_test::{Rows, rows};
use crate::replica::connection::runtime::block_on;
use crate::replica::restoring::restore::Copier;
use crate::replica::restoring::restored::RestoreReplicaOptions;
use crate::replica::shipping::options::ReplicateOptions;
use crate::state::page::Page;

type Place = (Table, Vec<u8>);

/// A xorshift generator: the same numbers for the same seed.
struct Rng(u64);

impl Rng {
    fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// The copies of a row that are damaged.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Copies {
    OfTable,
    /// Also those that are kept for the replica.
    All,
}

/// Where a text of bytes is.
fn find_all(bytes: &[u8], part: &[u8]) -> Vec<usize> {
    (0..bytes.len()).filter(|at| bytes[*at..].starts_with(part)).collect()
}

impl Fleet {
    /// Flips a bit of the stored bytes of rows, and opens the file.
    fn open_damaged(&self, rows: &[(&Place, &Vec<u8>)], copies: Copies, rng: &mut Rng) -> Store {
        let mut bytes = fs::read(self.path()).unwrap();
        for ((_, key), frame) in rows {
            let bit = rng.below(frame.len() as u64 * 8) as usize;
            // A commit that is kept for the replica has the row as a change, or an earlier one with the same frame.
            let is_kept = |at: usize| {
                [key.len(), key.len() + 8, key.len().saturating_sub(8)].into_iter().any(|key_len| {
                    let lengths = [&(key_len as u16).to_le_bytes()[..], &(frame.len() as u32).to_le_bytes()].concat();
                    bytes[..at.saturating_sub(key_len)].ends_with(&lengths)
                })
            };
            let spots = find_all(&bytes, frame).into_iter();
            let spots: Vec<_> = spots.filter(|at| copies == Copies::All || !is_kept(*at)).collect();
            assert!(!spots.is_empty(), "a row is not in the file");
            spots.iter().for_each(|at| bytes[at + bit / 8] ^= 1 << (bit % 8));
        }
        fs::write(self.path(), bytes).unwrap();
        options().verify_on_open(VerifyOnOpen::Never).open(self.path()).unwrap()
    }

    fn heal(&self, store: &Store) -> crate::Result<HealReport> {
        store.heal_from_replica(&self.replica, &HealOptions { identity: self.identity.clone() })
    }
}

fn live(key: &str) -> Place {
    (Table::Live, CollectionId::CONFIG.row_key(key.as_bytes()))
}

/// The rows but for what the event of a heal changes.
fn others(store: &Store) -> Rows {
    let counter = meta::counter_key("events");
    rows(store).into_iter().filter(|((table, key), _)| *table != Table::Events && *key != counter).collect()
}

fn scale() -> usize {
    std::env::var("HIVEKEEP_TEST_SCALE").ok().and_then(|scale| scale.parse().ok()).unwrap_or(1)
}

#[test]
fn any_row_of_any_table_gets_its_bytes_back_and_nothing_else_changes() {
    let (fleet, mut rng) = (Fleet::new(), Rng::new(7));
    let store = fleet.open();
    put(&store, 30..60, 3);
    fleet.ship(&store);
    put(&store, 50..70, 4);
    let mut before = others(&store);
    store.close().unwrap();
    let mut of_table: BTreeMap<Table, Vec<Place>> = BTreeMap::new();
    for place in before.keys().filter(|(_, key)| key != meta::EPOCHS) {
        of_table.entry(place.0).or_default().push(place.clone());
    }
    assert!(of_table.len() >= 10, "{:?}", of_table.keys());
    for round in 0..3 * scale() {
        for (table, places) in &of_table {
            let place = &places[rng.below(places.len() as u64) as usize];
            let store = fleet.open_damaged(&[(place, &before[place])], Copies::OfTable, &mut rng);
            let report = fleet.heal(&store).unwrap();
            assert_eq!(
                (report.healed, report.refused),
                (1, 0),
                "{round} {table:?} {}: {report:?}",
                place.1.escape_ascii()
            );
            assert_eq!(report.rows[0].table, table.name());
            assert!(others(&store) == before, "{table:?}");
            let events = store.view().unwrap().events().list(Page::newest(1)).unwrap();
            assert_eq!((&events[0].kind, &events[0].details["rows"]), (&EventKind::RowsHealed, &json!(1)));
            let checked = store.check().unwrap();
            assert!(checked.is_sound(), "{table:?}: {:?}", checked.findings);
            assert_eq!(fleet.heal(&store).unwrap(), HealReport::default());
            before = others(&store);
            store.close().unwrap();
        }
    }
}

#[test]
fn rows_are_healed_while_others_write_and_the_replica_lags_and_it_gets_the_same_bytes() {
    let (fleet, mut rng) = (Fleet::new(), Rng::new(11));
    for round in 0..25 * scale() as u32 {
        let store = fleet.open();
        put(&store, (round..250).step_by(11), 10 + round);
        if round % 3 == 0 {
            fleet.ship(&store);
        }
        let keys: Vec<_> = (0..4).map(|n| format!("k{:03}", (round * 4 + n) % 240 + 1)).collect();
        let all = rows(&store);
        let damaged: Vec<_> = keys.iter().filter_map(|key| all.get_key_value(&live(key))).collect();
        let values: Vec<_> = keys.iter().map(|key| store.view().unwrap().config().get(key).unwrap()).collect();
        store.close().unwrap();
        let store = fleet.open_damaged(&damaged, Copies::OfTable, &mut rng);
        // In the other rounds the replica lags, or is shipped to while its objects are read.
        let often = ReplicateOptions { interval: Duration::from_millis(1), ..ReplicateOptions::default() };
        let replicator =
            (round % 3 == 1).then(|| store.replicate(&fleet.replica, often, Duration::from_secs(9)).unwrap());
        let stops = AtomicBool::new(false);
        let report = std::thread::scope(|scope| {
            scope.spawn(|| {
                for n in 0_u32.. {
                    if stops.load(Ordering::Relaxed) {
                        return;
                    }
                    store.write(|tx| tx.config().put(&format!("w{}", n % 50), &json!(n))).unwrap();
                }
            });
            let report = fleet.heal(&store);
            stops.store(true, Ordering::Relaxed);
            report.unwrap()
        });
        assert_eq!((report.healed, report.refused), (damaged.len() as u64, 0), "{round}: {report:?}");
        for (key, value) in keys.iter().zip(values) {
            assert_eq!(store.view().unwrap().config().get(key).unwrap(), value, "{round} {key}");
        }
        assert!(store.check().unwrap().is_sound(), "{round}");
        drop(replicator);
        store.close().unwrap();
    }
    let store = fleet.open();
    fleet.ship(&store);
    let copy = fleet.folder.path().join("copy.redb");
    Store::restore_replica(&fleet.replica, &copy, &RestoreReplicaOptions::default()).unwrap();
    assert!(rows(&options().open(&copy).unwrap()) == rows(&store));
}

#[test]
fn a_change_that_is_not_shipped_comes_from_what_the_store_keeps_and_is_refused_where_it_keeps_nothing() {
    let (fleet, mut rng) = (Fleet::new(), Rng::new(3));
    let store = fleet.open();
    put(&store, 0..1, 5);
    fleet.ship(&store);
    put(&store, 0..1, 6);
    let all = rows(&store);
    let newest = store.view().unwrap().config().get("k000").unwrap();
    store.close().unwrap();
    let store = fleet.open_damaged(&[(&live("k000"), &all[&live("k000")])], Copies::OfTable, &mut rng);
    assert_eq!(fleet.heal(&store).unwrap().healed, 1);
    assert_eq!(store.view().unwrap().config().get("k000").unwrap(), newest);
    store.close().unwrap();

    // Nobody has the newest change any more.
    let store = fleet.open_damaged(&[(&live("k000"), &all[&live("k000")])], Copies::All, &mut rng);
    assert_refused(&fleet, &store);
    // A shipped value must not take its place, nor may one that was not shipped be guessed.
    fs::remove_file(fleet.path()).unwrap();
    drop(store);

    let fleet = Fleet::new();
    let store = fleet.open();
    fleet.ship(&store);
    put(&store, 0..1, 7);
    // So many bytes are not kept for the replica.
    let large = "x".repeat(1 << 20);
    store.write(|tx| (0..17).try_for_each(|n| tx.config().put(&format!("large{n}"), &json!(large)))).unwrap();
    let all = rows(&store);
    store.close().unwrap();
    let store = fleet.open_damaged(&[(&live("k000"), &all[&live("k000")])], Copies::All, &mut rng);
    assert_refused(&fleet, &store);
}

fn assert_refused(fleet: &Fleet, store: &Store) {
    let before = rows(store);
    let report = fleet.heal(store).unwrap();
    assert_eq!(report.healed, 0, "{report:?}");
    let record = report.refusals.iter().find(|row| row.table == "live" && row.key.ends_with("k000")).unwrap();
    assert!(record.why.contains("does not keep them"), "{report:?}");
    assert!(rows(store) == before);
    assert_eq!(store.view().unwrap().config().get("k000").unwrap_err().kind(), ErrorKind::Damaged);
}

#[test]
fn rows_of_a_collection_that_does_not_add_up_are_refused_and_those_of_another_are_healed() {
    let (fleet, mut rng) = (Fleet::new(), Rng::new(5));
    let store = fleet.open();
    fleet.ship(&store);
    let all = rows(&store);
    let task = all.keys().find(|(table, key)| *table == Table::Live && key.starts_with(&[0, 0, 0, 2])).unwrap().clone();
    let record = live("k001");
    store.close().unwrap();
    // The last key becomes another one, behind the others.
    let mut bytes = fs::read(fleet.path()).unwrap();
    let key = CollectionId::CONFIG.row_key(b"k249");
    let spots = find_all(&bytes, &key);
    spots.iter().for_each(|at| bytes[at + key.len() - 1] = b':');
    fs::write(fleet.path(), bytes).unwrap();
    let damaged = [(&record, &all[&record]), (&task, &all[&task])];
    let store = fleet.open_damaged(&damaged, Copies::OfTable, &mut rng);
    let report = fleet.heal(&store).unwrap();
    let healed: Vec<_> = report.rows.iter().map(|row| row.key.clone()).collect();
    assert_eq!(healed, [task.1.escape_ascii().to_string()], "{report:?}");
    let refused = |key: &str| report.refusals.iter().find(|row| row.key.ends_with(key)).map(|row| row.why.clone());
    assert!(refused("k001").unwrap().contains("do not add up"), "{report:?}");
    assert!(refused("k24:").unwrap().contains("no such row"), "{report:?}");
    assert_eq!(store.view().unwrap().config().get("k001").unwrap_err().kind(), ErrorKind::Damaged);
}

#[test]
fn a_heal_that_was_interrupted_is_done_again_and_leaves_no_hold() {
    let (fleet, mut rng) = (Fleet::new(), Rng::new(9));
    let store = fleet.open();
    fleet.ship(&store);
    let before = others(&store);
    let keys = ["k001", "k002"].map(live);
    store.close().unwrap();
    let damaged = keys.each_ref().map(|key| (key, &before[key]));
    let store = fleet.open_damaged(&damaged, Copies::OfTable, &mut rng);
    let copier = block_on(Copier::open(&fleet.replica, None)).unwrap();
    let damage = store.find_damage().unwrap();
    let position = store.feed_status().unwrap().unwrap().position;
    let mut remedies = Remedies::of(&damage);
    History(&copier).each_change(Some(&position), &mut remedies).unwrap();
    let failed = store.put_remedies(damage.judge(remedies).unwrap(), |_, _| Err(Error::invalid("on purpose")));
    assert_eq!(failed.unwrap_err().to_string(), "on purpose");
    // Without what the replica has, nothing is healed.
    let damage = store.find_damage().unwrap();
    let nothing = Remedies::of(&damage);
    let report = store.put_remedies(damage.judge(nothing).unwrap(), |_, _| Ok(())).unwrap();
    assert_eq!((report.healed, report.refused), (0, 2));
    assert_eq!(store.heal_from(&copier).unwrap().healed, 2);
    assert!(others(&store) == before);
    let holds = fleet.folder.path().join("replica/hold");
    assert_eq!(fs::read_dir(holds).map_or(0, Iterator::count), 0);
}

#[test]
fn a_wrong_replica_and_an_identity_that_is_missing_are_refused_and_nothing_is_changed() {
    let (fleet, other, mut rng) = (Fleet::with(Some(key_pair())), Fleet::new(), Rng::new(2));
    let store = fleet.open();
    fleet.ship(&store);
    let all = rows(&store);
    store.close().unwrap();
    let store = fleet.open_damaged(&[(&live("k001"), &all[&live("k001")])], Copies::OfTable, &mut rng);
    let refused = store.heal_from_replica(&other.replica, &HealOptions::default()).unwrap_err();
    assert!(refused.kind() == ErrorKind::Conflict && refused.to_string().contains("of another store"), "{refused}");
    let refused = store.heal_from_replica(&fleet.replica, &HealOptions::default()).unwrap_err();
    assert_eq!((refused.kind(), refused.hint()), (ErrorKind::Invalid, Some(&Hint::GiveIdentity)));
    assert_eq!(store.view().unwrap().config().get("k001").unwrap_err().kind(), ErrorKind::Damaged);
    assert_eq!(fleet.heal(&store).unwrap().healed, 1);
    store.view().unwrap().config().get("k001").unwrap().unwrap();
}
