//! The algorithms of points against a plain model: a full copy of the state per point, compared after every step.
//!
//! `HIVEKEEP_TEST_SCALE=N cargo test --release --lib model` runs N times as many cases.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::engine::commit::Outcome;
use crate::engine::digest::Stats;
use crate::engine::epoch::Epoch;
use crate::engine::point::{NewPoint, Origin, PointId};
use crate::engine::records::{KeyRange, Records};
use crate::engine::schema::CollectionId;
use crate::engine::store::Store;

type State = BTreeMap<(CollectionId, Vec<u8>), Vec<u8>>;

const COLLECTIONS: [CollectionId; 2] = [CollectionId::CONFIG, CollectionId::CHAT];

#[derive(Clone, Debug)]
enum Op {
    Put {
        collection: usize,
        key: u8,
        value: u8,
    },
    Remove {
        collection: usize,
        key: u8,
    },
    /// A closure that writes and then fails, beside one that does not.
    Fail {
        key: u8,
    },
    Seal,
    SealCommit,
    /// Marks the points picked by these bits as forgotten, and merges nothing yet.
    Mark {
        bits: u32,
    },
    /// So many merges of so many rows.
    Merge {
        steps: u8,
        rows: u8,
    },
    Reopen,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        10 => (0..2usize, 0..5u8, any::<u8>()).prop_map(|(collection, key, value)| Op::Put { collection, key, value }),
        6 => (0..2usize, 0..5u8).prop_map(|(collection, key)| Op::Remove { collection, key }),
        1 => (0..5u8).prop_map(|key| Op::Fail { key }),
        3 => Just(Op::Seal),
        1 => Just(Op::SealCommit),
        3 => any::<u32>().prop_map(|bits| Op::Mark { bits: bits & bits.rotate_left(7) }),
        3 => (1..4u8, 1..4u8).prop_map(|(steps, rows)| Op::Merge { steps, rows }),
        1 => Just(Op::Reopen),
    ]
}

struct Model {
    folder: tempfile::TempDir,
    store: Store,
    now: State,
    points: BTreeMap<Epoch, State>,
}

impl Model {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Self::open(&folder);
        Self { folder, store, now: State::new(), points: BTreeMap::new() }
    }

    fn open(folder: &tempfile::TempDir) -> Store {
        Store::options().open_with(&folder.path().join("h.redb"), &[]).unwrap()
    }

    fn step(&mut self, op: &Op) {
        match *op {
            Op::Put { collection, key, value } => {
                let (collection, key) = (COLLECTIONS[collection], vec![key]);
                // The longest are kept in pieces.
                let value = vec![value; if value == 255 { (1 << 20) + 9 } else { usize::from(value) }];
                self.store.write(|tx| tx.put(collection, &key, &value)).unwrap();
                self.now.insert((collection, key), value);
            }
            Op::Remove { collection, key } => {
                let (collection, key) = (COLLECTIONS[collection], vec![key]);
                let existed = self.store.write(|tx| tx.remove(collection, &key)).unwrap();
                assert_eq!(existed, self.now.remove(&(collection, key)).is_some());
            }
            Op::Fail { key } => {
                let failed: crate::Result<()> = self.store.write(|tx| {
                    tx.put(COLLECTIONS[0], &[key], b"never seen")?;
                    tx.remove(COLLECTIONS[1], &[key])?;
                    tx.next("never seen")?;
                    Err(crate::Error::invalid("on purpose"))
                });
                assert_eq!(failed.unwrap_err().to_string(), "on purpose");
            }
            Op::Seal => {
                let (epoch, _) = self.store.alone(|tx| Ok(Outcome::Commit(tx.seal(point(tx.now()))?))).unwrap();
                self.points.insert(epoch, self.now.clone());
            }
            Op::SealCommit => {
                let epoch = self.store.alone(|tx| Ok(Outcome::Commit(tx.seal_commit()?))).unwrap();
                self.points.insert(epoch, self.now.clone());
            }
            Op::Mark { bits } => {
                let chosen: Vec<_> = self
                    .points
                    .keys()
                    .enumerate()
                    .filter(|(i, _)| bits >> (i % 32) & 1 == 1)
                    .map(|(_, e)| *e)
                    .collect();
                for epoch in chosen {
                    self.store.alone(|tx| tx.mark_forgotten(epoch).map(Outcome::Commit)).unwrap();
                    self.points.remove(&epoch);
                    assert_eq!(self.store.view_at(epoch).unwrap_err().kind(), crate::ErrorKind::Gone);
                }
            }
            Op::Merge { steps, rows } => {
                for _ in 0..steps {
                    let rows = usize::from(rows);
                    self.store.alone(|tx| Ok(Outcome::Commit(tx.drop_some(rows)? || tx.merge_some(rows)?))).unwrap();
                }
            }
            Op::Reopen => {
                self.store.close_file().unwrap();
                self.store = Self::open(&self.folder);
            }
        }
        self.compare();
    }

    fn compare(&self) {
        let report = crate::engine::check::check(&self.store.view().unwrap(), &|_, _| ()).unwrap();
        assert!(report.is_sound(), "{:?}", report.findings);
        assert_eq!(report.points, self.points.len() as u64);
        compare(&self.store.view().unwrap(), &self.now);
        for (epoch, state) in &self.points {
            compare(&self.store.view_at(*epoch).unwrap(), state);
        }
    }

    /// Once nothing is left to merge, as many rows are kept as the retained points need, and no more.
    fn finish(&self) {
        self.store.finish_merging().unwrap();
        self.compare();
        let view = self.store.view().unwrap();
        assert_eq!((view.epochs().merging, view.epochs().dropping), (0, Epoch(0)));
        if self.points.is_empty() {
            for table in [crate::engine::schema::Table::Undo, crate::engine::schema::Table::Tombstones] {
                assert_eq!(view.raw_page(table, &KeyRange::all(), 9).unwrap(), []);
            }
        }
    }
}

fn compare<R: Records>(view: &R, expected: &State) {
    for collection in COLLECTIONS {
        let expected: Vec<_> = expected
            .iter()
            .filter(|((of, _), _)| *of == collection)
            .map(|((_, key), value)| (key.clone(), value.clone()))
            .collect();
        assert!(view.page(collection, &KeyRange::all(), 100).unwrap() == expected, "a scan differs");
        let backward: Vec<_> = expected.iter().rev().take(2).cloned().collect();
        assert!(view.page(collection, &KeyRange::all().backward(), 2).unwrap() == backward, "a backward page differs");
        for key in 0..5u8 {
            let value = expected.iter().find(|(of, _)| *of == [key]).map(|(_, value)| value.clone());
            assert!(view.get(collection, &[key]).unwrap() == value, "a record differs");
        }
        if expected.iter().all(|(_, value)| value.len() < 1 << 20) {
            let mut stats = Stats::default();
            expected.iter().for_each(|(key, value)| stats.add(key, value));
            assert_eq!(view.stats(collection).unwrap(), stats);
        }
    }
}

fn point(at: jiff::Timestamp) -> NewPoint {
    NewPoint {
        id: PointId::new(),
        at,
        origin: Origin::Live,
        manual: true,
        backups: Vec::new(),
        description: String::new(),
        tags: BTreeMap::new(),
        undoes: None,
    }
}

#[test]
fn every_retained_point_reads_as_it_was_whatever_is_written_forgotten_and_half_merged() {
    let scale: u32 = std::env::var("HIVEKEEP_TEST_SCALE").ok().and_then(|scale| scale.parse().ok()).unwrap_or(1);
    let mut runner = TestRunner::new(Config { cases: 40 * scale, failure_persistence: None, ..Config::default() });
    runner
        .run(&prop::collection::vec(op(), 1..70), |ops| {
            let mut model = Model::new();
            ops.iter().for_each(|op| model.step(op));
            model.finish();
            Ok(())
        })
        .unwrap();
}
