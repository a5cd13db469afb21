//! Restores, undo and sizes against a simple model: a full copy of the state per point, compared after every step.
//!
//! `HIVEKEEP_TEST_SCALE=N HIVEKEEP_TEST_SEED=S cargo test --release --lib recovery::restore::model` runs N times as
//! many cases.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::clock::ManualClock;
use crate::engine::commit::Outcome;
use crate::engine::digest::Stats;
use crate::engine::epoch::Epoch;
use crate::engine::point::Origin;
use crate::engine::records::{KeyRange, Records};
use crate::engine::schema::{CollectionId, Table};
use crate::engine::store::Store;
use crate::engine::value;
use crate::error::ErrorKind;
use crate::recovery::diff::{Counts, kind};
use crate::recovery::points::selector::Selector;
use crate::recovery::restore::options::RestoreOptions;
use crate::recovery::restore::plan::RestoreReport;
use crate::state::INDEXES;
use crate::testkit::checked_store::time;

/// A collection and a key.
type Key = (usize, u8);
type State = BTreeMap<Key, u8>;

const NAMES: [&str; 2] = ["config", "own"];
/// Values from here on are stored in pieces.
const LONG: u8 = 252;

#[derive(Clone, Debug)]
enum Op {
    Put {
        key: Key,
        value: u8,
    },
    Remove {
        key: Key,
    },
    Seal,
    SealCommit,
    /// Marks the points that these bits choose as forgotten, and merges nothing yet.
    Mark {
        bits: u32,
    },
    /// This many merges of this many rows.
    Merge {
        steps: u8,
        rows: u8,
    },
    /// Forgets one point completely, and compares the freed space with the size that was reported.
    Forget {
        point: usize,
    },
    Restore {
        point: usize,
        scope: Scope,
    },
    Undo {
        discard: bool,
    },
    Reopen,
}

#[derive(Clone, Copy, Debug)]
enum Scope {
    Whole,
    Collection(usize),
    Key(Key),
}

fn op() -> impl Strategy<Value = Op> {
    let key = || (0..2usize, 0..4u8);
    // Few values, so that a later change often restores an earlier value.
    let value = prop_oneof![30 => 0..3u8, 1 => LONG..];
    let scope = prop_oneof![
        2 => Just(Scope::Whole),
        1 => (0..2usize).prop_map(Scope::Collection),
        1 => key().prop_map(Scope::Key),
    ];
    prop_oneof![
        10 => (key(), value).prop_map(|(key, value)| Op::Put { key, value }),
        6 => key().prop_map(|key| Op::Remove { key }),
        3 => Just(Op::Seal),
        1 => Just(Op::SealCommit),
        2 => any::<u32>().prop_map(|bits| Op::Mark { bits: bits & bits.rotate_left(7) }),
        2 => (1..4u8, 1..4u8).prop_map(|(steps, rows)| Op::Merge { steps, rows }),
        1 => any::<usize>().prop_map(|point| Op::Forget { point }),
        5 => (any::<usize>(), scope).prop_map(|(point, scope)| Op::Restore { point, scope }),
        3 => any::<bool>().prop_map(|discard| Op::Undo { discard }),
        1 => Just(Op::Reopen),
    ]
}

struct Point {
    state: State,
    selector: Selector,
    /// For a safety point: the scope of the restore, its step, and the state after it.
    undoes: Option<(Scope, usize, State)>,
}

struct Model {
    folder: tempfile::TempDir,
    store: Store,
    clock: ManualClock,
    own: CollectionId,
    step: usize,
    now: State,
    /// The step of each key's last change.
    changed: BTreeMap<Key, usize>,
    points: BTreeMap<Epoch, Point>,
}

/// The expected result of an undo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    Refused,
    Done,
    /// A record was created and removed again. This may leave no trace.
    Either,
}

impl Model {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = ManualClock::new(time(0));
        let store = Self::open(&folder, &clock);
        let own = store.write(|tx| tx.user_collection(NAMES[1])).unwrap();
        let (now, changed, points) = (State::new(), BTreeMap::new(), BTreeMap::new());
        Self { folder, store, clock, own, step: 0, now, changed, points }
    }

    fn open(folder: &tempfile::TempDir, clock: &ManualClock) -> Store {
        let options = Store::options().clock(clock.clone());
        options.open_with(&folder.path().join("h.redb"), INDEXES).unwrap()
    }

    fn id(&self, collection: usize) -> CollectionId {
        [CollectionId::CONFIG, self.own][collection]
    }

    fn step(&mut self, op: &Op) {
        self.step += 1;
        self.clock.advance(Duration::from_secs(1));
        match *op {
            Op::Put { key, value } => {
                let (id, name) = (self.id(key.0), [key.1]);
                self.store.write(|tx| tx.put(id, &name, &payload(value))).unwrap();
                self.now.insert(key, value);
                self.changed.insert(key, self.step);
            }
            Op::Remove { key } => {
                let (id, name) = (self.id(key.0), [key.1]);
                let existed = self.store.write(|tx| tx.remove(id, &name)).unwrap();
                assert_eq!(existed, self.now.remove(&key).is_some());
                if existed {
                    self.changed.insert(key, self.step);
                }
            }
            Op::Seal => {
                let point = self.store.restore_point("").unwrap();
                self.add(point.epoch, Selector::from(&point), self.now.clone(), None);
            }
            Op::SealCommit => {
                let epoch = self.store.alone(|tx| tx.seal_commit().map(Outcome::Commit)).unwrap();
                self.add(epoch, Selector::At(time(self.step as i64)), self.now.clone(), None);
            }
            Op::Mark { bits } => {
                let chosen = self.points.keys().enumerate().filter(|(at, _)| bits >> (at % 32) & 1 == 1);
                for epoch in chosen.map(|(_, epoch)| *epoch).collect::<Vec<_>>() {
                    self.store.alone(|tx| tx.mark_forgotten(epoch).map(Outcome::Commit)).unwrap();
                    self.points.remove(&epoch);
                    assert_eq!(self.store.view_at(epoch).unwrap_err().kind(), ErrorKind::Gone);
                }
            }
            Op::Merge { steps, rows } => {
                let rows = usize::from(rows);
                for _ in 0..steps {
                    self.store.alone(|tx| Ok(Outcome::Commit(tx.drop_some(rows)? || tx.merge_some(rows)?))).unwrap();
                }
            }
            Op::Forget { point } => {
                if let Some(epoch) = self.pick(point) {
                    self.forget(epoch);
                }
            }
            Op::Restore { point, scope } => {
                if let Some(epoch) = self.pick(point) {
                    self.restore(epoch, scope);
                }
            }
            Op::Undo { discard } => self.undo(discard),
            Op::Reopen => {
                self.store.close_file().unwrap();
                self.store = Self::open(&self.folder, &self.clock);
            }
        }
        self.compare();
    }

    fn pick(&self, number: usize) -> Option<Epoch> {
        let count = self.points.len();
        (count > 0).then(|| self.points.keys().nth(number % count).copied()).flatten()
    }

    fn add(&mut self, epoch: Epoch, selector: Selector, state: State, undoes: Option<(Scope, usize, State)>) {
        assert!(self.points.last_key_value().is_none_or(|(last, _)| *last < epoch), "epochs never go back");
        self.points.insert(epoch, Point { state, selector, undoes });
    }

    fn forget(&mut self, epoch: Epoch) {
        self.store.finish_merging().unwrap();
        self.compare();
        let said = self.store.view().unwrap().freed_by_forgetting(epoch).unwrap();
        let before = self.weight();
        self.store.forget_epochs(&[epoch]).unwrap();
        self.points.remove(&epoch);
        let after = self.weight();
        assert_eq!((said.rows, said.bytes), (before.0 - after.0, before.1 - after.1), "what forgetting frees");
    }

    /// The rows and bytes of everything that a point can need.
    fn weight(&self) -> (u64, u64) {
        let view = self.store.view().unwrap();
        let tables = [Table::Live, Table::PreImages, Table::Tombstones, Table::Points, Table::Commits, Table::PointIds];
        let rows = tables.into_iter().chain([Table::Backups]).flat_map(|table| {
            let rows = view.stored().page(table, &KeyRange::all(), usize::MAX).unwrap();
            rows.into_iter().map(|(key, value)| (key.len() + value.len()) as u64)
        });
        rows.fold((0, 0), |(rows, bytes), row| (rows + 1, bytes + row))
    }

    fn restore(&mut self, epoch: Epoch, scope: Scope) {
        let Point { state, selector, .. } = &self.points[&epoch];
        let (target, selector) = (state.clone(), selector.clone());
        let options = match scope {
            Scope::Whole => RestoreOptions::new(),
            Scope::Collection(collection) => RestoreOptions::new().only([NAMES[collection]]),
            Scope::Key((collection, key)) => RestoreOptions::new().only([NAMES[collection]]).key(char::from(key)),
        };
        if let Scope::Key(key) = scope
            && !target.contains_key(&key)
            && !self.now.contains_key(&key)
        {
            let refused = self.store.plan_restore(selector, options).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::NotFound);
            return;
        }
        let plan = self.store.plan_restore(selector, options).unwrap();
        assert_eq!(plan.point.epoch, epoch);
        let report = self.store.apply(&plan).unwrap();
        assert_eq!(plan.collections, report.collections, "a dry run counts what the restore then touches");
        self.restored(scope, &target, &report);
    }

    /// Follows a restore or an undo in the model.
    fn restored(&mut self, scope: Scope, target: &State, report: &RestoreReport) {
        let before = self.now.clone();
        let mut counts: BTreeMap<String, Counts> = BTreeMap::new();
        for key in keys().filter(|key| scope.contains(*key)) {
            let (was, is) = (before.get(&key), target.get(&key));
            if was != is {
                counts.entry(NAMES[key.0].to_owned()).or_default().count(kind(was.is_some(), is.is_some()));
                self.changed.insert(key, self.step);
                match is {
                    Some(value) => self.now.insert(key, *value),
                    None => self.now.remove(&key),
                };
            }
        }
        assert_eq!(report.collections, counts);
        // A restore without changes makes no point, so that the restore before it can still be undone.
        let Some(undo) = &report.undo else {
            assert_eq!(self.now, before);
            return;
        };
        assert_ne!(self.now, before);
        let safety = self.store.find_point(undo).unwrap().unwrap();
        assert_eq!(safety.origin, Some(Origin::Safety));
        let undoes = (scope, self.step, self.now.clone());
        self.add(safety.epoch, Selector::from(undo), before, Some(undoes));
    }

    fn undo(&mut self, discard: bool) {
        let undo = |store: &Store| if discard { store.undo_discarding() } else { store.undo() };
        let last = self.points.values().rev().find_map(|point| Some((point.state.clone(), point.undoes.clone()?)));
        let Some((target, (scope, step, restored))) = last else {
            assert_eq!(undo(&self.store).unwrap_err().kind(), ErrorKind::NotFound);
            return;
        };
        let expected = if discard { Expected::Done } else { self.expected(&target, scope, step, &restored) };
        match undo(&self.store) {
            Ok(report) => {
                assert_ne!(expected, Expected::Refused, "later work was overwritten");
                self.restored(scope, &target, &report);
            }
            Err(error) => {
                assert_ne!(expected, Expected::Done, "{error}");
                assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
            }
        }
    }

    fn expected(&self, target: &State, scope: Scope, step: usize, restored: &State) -> Expected {
        let mut expected = Expected::Done;
        for key in keys().filter(|key| scope.contains(*key)) {
            let now = self.now.get(&key);
            let later = self.changed.get(&key).is_some_and(|changed| *changed > step);
            if later && now != target.get(&key) {
                if now.is_some() || restored.contains_key(&key) {
                    return Expected::Refused;
                }
                expected = Expected::Either;
            }
        }
        expected
    }

    fn compare(&self) {
        let report = self.store.check().unwrap();
        assert!(report.is_sound(), "{:?}", report.findings);
        assert_eq!(report.points, self.points.len() as u64);
        self.compare_view(Epoch::NOW, &self.now);
        for (epoch, point) in &self.points {
            self.compare_view(*epoch, &point.state);
        }
        let listed: Vec<_> = self.store.all_points().unwrap().iter().rev().map(|point| point.epoch).collect();
        assert_eq!(listed, self.points.keys().copied().collect::<Vec<_>>());
    }

    fn compare_view(&self, at: Epoch, state: &State) {
        let view = self.store.view_at(at).unwrap();
        for (collection, name) in NAMES.iter().enumerate() {
            let of = state.iter().filter(|((of, _), _)| *of == collection);
            let expected: Vec<_> = of.map(|((_, key), value)| (vec![*key], payload(*value))).collect();
            let found = view.page(self.id(collection), &KeyRange::all(), 100).unwrap();
            assert!(found == expected, "the content of {name} differs at {at}");
            let mut stats = Stats::default();
            expected.iter().for_each(|(key, value)| stats.add(key, &value::in_frame(value)));
            assert_eq!(view.stats(self.id(collection)).unwrap(), stats, "count, bytes and digest at {at}");
        }
    }
}

impl Scope {
    fn contains(self, key: Key) -> bool {
        match self {
            Self::Whole => true,
            Self::Collection(collection) => key.0 == collection,
            Self::Key(own) => own == key,
        }
    }
}

fn keys() -> impl Iterator<Item = Key> {
    (0..2).flat_map(|collection| (0..4).map(move |key| (collection, key)))
}

/// JSON, like the records of both collections.
fn payload(value: u8) -> Vec<u8> {
    if value < LONG {
        return value.to_string().into_bytes();
    }
    let mut text = vec![b'0' + (value - LONG); (1 << 20) + usize::from(value)];
    // Two long values share some pieces.
    text[300_000..900_000].fill(b'x');
    [&b"\""[..], &text, b"\""].concat()
}

#[test]
fn every_restore_undo_and_size_agrees_with_a_full_copy_per_point() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let scale = u32::try_from(number("HIVEKEEP_TEST_SCALE").unwrap_or(1)).unwrap();
    let config = Config { cases: 24 * scale, failure_persistence: None, ..Config::default() };
    let mut runner = match number("HIVEKEEP_TEST_SEED") {
        None => TestRunner::new(config),
        Some(seed) => {
            let seed = *blake3::hash(&seed.to_le_bytes()).as_bytes();
            TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed))
        }
    };
    runner
        .run(&prop::collection::vec(op(), 1..60), |ops| {
            let mut model = Model::new();
            ops.iter().for_each(|op| model.step(op));
            model.store.finish_merging().unwrap();
            model.compare();
            while let Some(epoch) = model.pick(0) {
                model.forget(epoch);
            }
            model.compare();
            Ok(())
        })
        .unwrap();
}
