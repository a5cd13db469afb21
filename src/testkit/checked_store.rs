//! A store for tests, which after every write checks what must hold.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use crate::clock::ManualClock;
use crate::engine::commit::Outcome;
use crate::engine::epoch::Epoch;
use crate::engine::point::{NewPoint, Origin, PointId};
use crate::engine::records::{KeyRange, Records, scan, scan_rows};
use crate::engine::schema::Table;
use crate::engine::store::Store;
use crate::engine::view::View;
use crate::engine::write::WriteTx;
use crate::error::{Error, Result};
use crate::state::INDEXES;
use crate::state::assignments::check_assignments;
use crate::state::queue::check_queue;

/// A store in a folder of its own, with a clock that stands still.
pub(crate) struct Fixture {
    pub(crate) store: Store,
    pub(crate) clock: ManualClock,
    _folder: tempfile::TempDir,
}

/// So many seconds after the time that the clock begins with.
pub(crate) fn time(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = ManualClock::new(time(0));
        let options = Store::options().clock(clock.clone());
        let store = options.open_with(&folder.path().join("hive.redb"), INDEXES).unwrap();
        Self { store, clock, _folder: folder }
    }

    /// A write that must succeed, and leave everything in order.
    pub(crate) fn write<R>(&self, closure: impl FnOnce(&mut WriteTx<'_>) -> Result<R>) -> R {
        let result = self.store.write(closure).unwrap();
        self.check();
        result
    }

    /// A write that must be refused, and change nothing.
    pub(crate) fn refused<R>(&self, closure: impl FnOnce(&mut WriteTx<'_>) -> Result<R>) -> Error {
        let Err(error) = self.store.write(closure) else { panic!("it was not refused") };
        self.check();
        error
    }

    pub(crate) fn view(&self) -> View {
        self.store.view().unwrap()
    }

    /// Makes a restore point.
    pub(crate) fn seal(&self) -> Epoch {
        let seal = |tx: &mut WriteTx<'_>| {
            let (id, at) = (PointId(format!("p{}", tx.epochs().open)), tx.now());
            let (description, tags) = (String::new(), BTreeMap::new());
            tx.seal(NewPoint {
                id,
                at,
                origin: Origin::Live,
                manual: true,
                backups: Vec::new(),
                description,
                tags,
                undoes: None,
            })
        };
        self.store.alone(|tx| Ok(Outcome::Commit(seal(tx)?))).unwrap().0
    }

    pub(crate) fn view_at(&self, epoch: Epoch) -> View {
        self.store.view_at(epoch).unwrap()
    }

    pub(crate) fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// Panics unless tasks, assignments, counts and index agree.
    pub(crate) fn check(&self) {
        let view = self.view();
        let mut found = Vec::new();
        check_queue(&view, &mut |finding| found.push(finding)).unwrap();
        check_assignments(&view, &mut |finding| found.push(finding)).unwrap();
        assert!(found.is_empty(), "{found:#?}");
        assert_eq!(stored_index(&view), derived_index(&view));
    }
}

fn stored_index(view: &View) -> BTreeSet<Vec<u8>> {
    scan_rows(view, Table::Index, KeyRange::all()).map(|row| row.unwrap().0).collect()
}

fn derived_index(view: &View) -> BTreeSet<Vec<u8>> {
    let mut rows = BTreeSet::new();
    for rule in INDEXES {
        for record in scan(view, rule.collection, KeyRange::all()) {
            let (key, payload) = record.unwrap();
            (rule.derive)(&key, &payload, &mut |row| {
                assert!(rows.insert(row.to_vec()), "two records have the same row");
            })
            .unwrap();
        }
    }
    rows
}
