//! The algorithms of points against a plain model: a full copy of the state per point, compared after every step.
//!
//! `HIVEKEEP_TEST_SCALE=N HIVEKEEP_TEST_SEED=S cargo test --release --lib model` runs N times as many cases.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::engine::check::check;
use crate::engine::commit::Outcome;
use crate::engine::format::digest::Stats;
use crate::engine::format::epoch::Epoch;
use crate::engine::format::index::IndexRule;
use crate::engine::format::point::{NewPoint, Origin, PointId};
use crate::engine::format::schema::{CollectionId, Table};
use crate::engine::options::Sharing;
use crate::engine::records::{KeyRange, Records};
use crate::engine::store::Store;
use crate::engine::view::View;
use crate::engine::write::WriteTx;
use crate::error::{Error, ErrorKind, Result};

pub(in crate::engine) type State = BTreeMap<(CollectionId, Vec<u8>), Vec<u8>>;

const COLLECTIONS: [CollectionId; 2] = [CollectionId::CONFIG, CollectionId::CHAT];
/// Few, so that the same one is often put, removed, sealed and merged in every order.
const KEYS: u8 = 3;
/// The first section of a log is so short that a few steps fill it.
const SECTION: u64 = 8 << 10;
/// So many views stay open at most, whatever is written and forgotten meanwhile.
const KEPT_VIEWS: usize = 3;

/// The length of a value and whether it is odd: a rule that gives a record no row, one, or two.
pub(in crate::engine) const RULES: &[IndexRule] =
    &[IndexRule { collection: CollectionId::CONFIG, derive, wakes: |_, _, _| {} }];

fn derive(key: &[u8], payload: &[u8], emit: &mut dyn FnMut(&[u8])) -> Result<()> {
    let length = payload.len() as u64;
    if length > 2 {
        emit(&[b"length/", &length.to_be_bytes()[..], key].concat());
    }
    if length % 2 == 1 {
        emit(&[b"odd/", key].concat());
    }
    Ok(())
}

#[derive(Clone, Debug)]
pub(in crate::engine) enum Op {
    /// One closure; when it fails, nothing of it stays.
    Write {
        changes: Vec<Change>,
        fails: bool,
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
    /// Keeps a view of now, or of a point, open.
    Keep {
        point: Option<usize>,
    },
    Reopen,
}

#[derive(Clone, Debug)]
pub(in crate::engine) struct Change {
    collection: usize,
    key: u8,
    /// None to remove.
    value: Option<u8>,
}

/// Values up to 249 are short; the others are long, and slow.
fn change(values: RangeInclusive<u8>) -> impl Strategy<Value = Change> {
    let value = prop::option::weighted(0.6, values);
    (0..2usize, 0..KEYS, value).prop_map(|(collection, key, value)| Change { collection, key, value })
}

pub(in crate::engine) fn op(values: RangeInclusive<u8>) -> impl Strategy<Value = Op> {
    let change = || change(values.clone());
    let write = |changes, fails| Op::Write { changes, fails };
    prop_oneof![
        24 => change().prop_map(move |change| write(vec![change], false)),
        5 => prop::collection::vec(change(), 2..6).prop_map(move |changes| write(changes, false)),
        3 => prop::collection::vec(change(), 1..6).prop_map(move |changes| write(changes, true)),
        10 => Just(Op::Seal),
        2 => Just(Op::SealCommit),
        5 => (0..6u32).prop_map(|bit| Op::Mark { bits: 1 << bit }),
        3 => any::<u32>().prop_map(|bits| Op::Mark { bits: bits & bits.rotate_left(7) }),
        6 => (1..4u8, 1..4u8).prop_map(|(steps, rows)| Op::Merge { steps, rows }),
        2 => prop::option::of(0..8usize).prop_map(|point| Op::Keep { point }),
        1 => Just(Op::Reopen),
    ]
}

/// Most values are short. Some are as long as one frame holds, and some longer, with pieces that stay and that change.
fn value(number: u8) -> Vec<u8> {
    const WHOLE: usize = 1 << 20;
    match number {
        250 => vec![number; WHOLE],
        251 => vec![251; WHOLE + 1],
        252 => vec![251; WHOLE + 300_000],
        253 => [vec![251; WHOLE], vec![253; 400_000]].concat(),
        254 => vec![254; 2 * WHOLE],
        number => vec![number; usize::from(number % 19)],
    }
}

pub(in crate::engine) struct Model {
    folder: tempfile::TempDir,
    pub(in crate::engine) store: Store,
    pub(in crate::engine) now: State,
    pub(in crate::engine) points: BTreeMap<Epoch, State>,
    kept: Vec<(View, State)>,
    sharing: Sharing,
    steps: usize,
}

impl Model {
    pub(in crate::engine) fn new() -> Self {
        Self::with(Sharing::Shared)
    }

    pub(in crate::engine) fn with(sharing: Sharing) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Self::open(&folder, sharing);
        Self { folder, store, now: State::new(), points: BTreeMap::new(), kept: Vec::new(), sharing, steps: 0 }
    }

    fn open(folder: &tempfile::TempDir, sharing: Sharing) -> Store {
        let options = Store::options().sharing(sharing).first_section(SECTION);
        options.open_with(&folder.path().join("h.redb"), RULES).unwrap()
    }

    pub(in crate::engine) fn step(&mut self, op: &Op) {
        self.steps += 1;
        if self.steps.is_multiple_of(5) {
            self.store.rest_log().unwrap();
        }
        if self.steps.is_multiple_of(17) {
            self.store.lay_log_down().unwrap();
        }
        match op {
            Op::Write { changes, fails } => self.write(changes, *fails),
            Op::Seal => {
                let (epoch, _) = self.store.alone(|tx| Ok(Outcome::Commit(tx.seal(point(tx.now()))?))).unwrap();
                self.points.insert(epoch, self.now.clone());
            }
            Op::SealCommit => {
                let epoch = self.store.alone(|tx| Ok(Outcome::Commit(tx.seal_commit()?))).unwrap();
                self.points.insert(epoch, self.now.clone());
            }
            Op::Mark { bits } => self.mark(*bits),
            Op::Merge { steps, rows } => {
                for _ in 0..*steps {
                    let rows = usize::from(*rows);
                    self.store.alone(|tx| Ok(Outcome::Commit(tx.drop_some(rows)? || tx.merge_some(rows)?))).unwrap();
                }
            }
            Op::Keep { point } => self.keep(*point),
            Op::Reopen => {
                self.kept.clear();
                self.store.close_file().unwrap();
                self.store = Self::open(&self.folder, self.sharing);
            }
        }
    }

    fn write(&mut self, changes: &[Change], fails: bool) {
        let mut after = self.now.clone();
        let done = self.store.write(|tx| {
            changes.iter().try_for_each(|change| apply(tx, &mut after, change))?;
            compare(tx, &after);
            tx.next("never seen when it fails")?;
            if fails { Err(Error::invalid("on purpose")) } else { Ok(()) }
        });
        match done {
            Ok(()) => self.now = after,
            Err(error) => assert_eq!((fails, error.to_string().as_str()), (true, "on purpose")),
        }
    }

    fn mark(&mut self, bits: u32) {
        let picked = |(i, _): &(usize, &Epoch)| bits >> (i % 32) & 1 == 1;
        let picked: Vec<_> = self.points.keys().enumerate().filter(picked).map(|(_, epoch)| *epoch).collect();
        for epoch in picked {
            self.store.alone(|tx| tx.mark_forgotten(epoch).map(Outcome::Commit)).unwrap();
            self.points.remove(&epoch);
            assert_eq!(self.store.view_at(epoch).unwrap_err().kind(), ErrorKind::Gone);
        }
    }

    fn keep(&mut self, point: Option<usize>) {
        if self.kept.len() == KEPT_VIEWS {
            self.kept.remove(0);
        }
        let kept = match point.and_then(|point| self.points.iter().nth(point)) {
            Some((epoch, state)) => (self.store.view_at(*epoch).unwrap(), state.clone()),
            None => (self.store.view().unwrap(), self.now.clone()),
        };
        self.kept.push(kept);
    }

    /// Everything reads as the model says, in views of now, of every point, and in those kept since long.
    pub(in crate::engine) fn compare(&self) {
        let view = self.store.view().unwrap();
        let report = check(&view, &|_, _| Ok(())).unwrap();
        assert!(report.is_sound(), "{:?}", report.findings);
        assert_eq!(report.points, self.points.len() as u64);
        compare(&view, &self.now);
        compare_index(&view, &self.now);
        for (epoch, state) in &self.points {
            compare(&self.store.view_at(*epoch).unwrap(), state);
        }
        self.kept.iter().for_each(|(view, state)| compare(view, state));
    }

    /// Once nothing is left to merge, as many rows are kept as the retained points need, and no more.
    fn finish(&self) {
        self.store.finish_merging().unwrap();
        self.compare();
        let view = self.store.view().unwrap();
        assert_eq!((view.epochs().merging, view.epochs().dropping), (0, Epoch(0)));
        if self.points.is_empty() {
            for table in [Table::PreImages, Table::Tombstones] {
                assert_eq!(view.stored().page(table, &KeyRange::all(), 9).unwrap(), []);
            }
        }
    }
}

fn apply(tx: &mut WriteTx<'_>, state: &mut State, change: &Change) -> Result<()> {
    let (collection, key) = (COLLECTIONS[change.collection], vec![change.key]);
    match change.value {
        Some(number) => {
            tx.put(collection, &key, &value(number))?;
            state.insert((collection, key), value(number));
        }
        None => {
            let existed = tx.remove(collection, &key)?;
            assert_eq!(existed, state.remove(&(collection, key)).is_some());
        }
    }
    Ok(())
}

fn compare<R: Records>(records: &R, expected: &State) {
    assert!(reads_as(records, expected).unwrap(), "what is read differs from the model");
}

/// Whether every way of reading gives what is expected: scans in both directions, single records, statistics.
pub(in crate::engine) fn reads_as<R: Records>(records: &R, expected: &State) -> Result<bool> {
    let mut same = true;
    for collection in COLLECTIONS {
        let of = |((of, key), value): (&(CollectionId, Vec<u8>), &Vec<u8>)| {
            (*of == collection).then(|| (key.clone(), value.clone()))
        };
        let expected: Vec<_> = expected.iter().filter_map(of).collect();
        same &= records.page(collection, &KeyRange::all(), 100)? == expected;
        let backward: Vec<_> = expected.iter().rev().take(2).cloned().collect();
        same &= records.page(collection, &KeyRange::all().backward(), 2)? == backward;
        for key in 0..KEYS {
            let value = expected.iter().find(|(of, _)| *of == [key]).map(|(_, value)| value.clone());
            same &= records.get(collection, &[key])? == value;
        }
        let stats = records.stats(collection)?;
        same &= stats.count == expected.len() as u64;
        if expected.iter().all(|(_, value)| value.len() <= 1 << 20) {
            let mut counted = Stats::default();
            expected.iter().for_each(|(key, value)| counted.add(key, value));
            same &= stats == counted;
        }
    }
    Ok(same)
}

/// The index has the rows that its rule derives from the records afresh, and no others.
fn compare_index(view: &View, state: &State) {
    let mut expected = Vec::new();
    for ((_, key), value) in state.iter().filter(|((collection, _), _)| *collection == CollectionId::CONFIG) {
        derive(key, value, &mut |row| expected.push((row.to_vec(), Vec::new()))).unwrap();
    }
    expected.sort();
    assert_eq!(view.rows(Table::Index, &KeyRange::all(), 100).unwrap(), expected);
}

pub(in crate::engine) fn point(at: jiff::Timestamp) -> NewPoint {
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

/// So many cases, times `HIVEKEEP_TEST_SCALE`; the same ones each time when `HIVEKEEP_TEST_SEED` is set.
pub(in crate::engine) fn runner(cases: u32) -> TestRunner {
    let number = |name| std::env::var(name).ok().and_then(|number| number.parse::<u32>().ok());
    let cases = cases * number("HIVEKEEP_TEST_SCALE").unwrap_or(1);
    let config = Config { cases, failure_persistence: None, max_shrink_time: 30_000, ..Config::default() };
    match number("HIVEKEEP_TEST_SEED") {
        None => TestRunner::new(config),
        Some(seed) => {
            let seed = [seed.to_le_bytes(); 8].concat();
            TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed))
        }
    }
}

#[test]
fn every_retained_point_reads_as_it_was_whatever_is_written_forgotten_and_half_merged() {
    follow_the_model(60, 0..=249, 80, Sharing::Shared);
}

#[test]
fn the_same_holds_over_a_log_that_is_moved_into_the_file_now_and_then() {
    follow_the_model(40, 0..=249, 80, Sharing::Exclusive);
    follow_the_model(4, 240..=255, 25, Sharing::Exclusive);
}

#[test]
fn the_same_holds_of_values_that_are_kept_in_pieces() {
    follow_the_model(8, 240..=255, 25, Sharing::Shared);
}

fn follow_the_model(cases: u32, values: RangeInclusive<u8>, steps: usize, sharing: Sharing) {
    runner(cases)
        .run(&prop::collection::vec(op(values), 1..steps), |ops| {
            let mut model = Model::with(sharing);
            for op in &ops {
                model.step(op);
                model.compare();
            }
            model.finish();
            Ok(())
        })
        .unwrap();
}

#[test]
fn a_failed_closure_leaves_no_trace_not_even_of_its_counter() {
    let mut model = Model::new();
    let change = |value| Change { collection: 0, key: 1, value };
    model.step(&Op::Write { changes: vec![change(Some(254))], fails: false });
    model.step(&Op::Seal);
    let rows = |model: &Model| {
        let view = model.store.view().unwrap();
        Table::ALL.map(|table| view.stored().page(table, &KeyRange::all(), 1000).unwrap())
    };
    let before = rows(&model);
    let changes = vec![change(Some(253)), change(None), change(Some(3)), change(Some(252)), change(None)];
    model.step(&Op::Write { changes, fails: true });
    assert!(rows(&model) == before);
}

#[test]
fn a_tombstone_that_no_point_needs_any_more_does_not_come_back() {
    let mut model = Model::new();
    let write = |value| Op::Write { changes: vec![Change { collection: 0, key: 1, value }], fails: false };
    let forget_first = Op::Mark { bits: 1 };
    let drop_all = Op::Merge { steps: 3, rows: 9 };
    let ops = [
        write(Some(1)),
        Op::Seal,
        write(None),
        Op::Seal,
        write(Some(2)),
        forget_first,
        drop_all,
        write(None),
        Op::Seal,
    ];
    for op in ops {
        model.step(&op);
        model.compare();
    }
}

#[test]
fn a_long_value_grows_and_shrinks_from_every_length_to_every_other_across_points() {
    let mut model = Model::new();
    let lengths = [None, Some(1), Some(250), Some(251), Some(252), Some(253), Some(254)];
    for before in lengths {
        for after in lengths {
            for value in [before, after] {
                model.step(&Op::Write { changes: vec![Change { collection: 0, key: 1, value }], fails: false });
                model.step(&Op::Seal);
            }
            model.compare();
            model.step(&Op::Mark { bits: 0b1010 });
            model.step(&Op::Merge { steps: 2, rows: 3 });
        }
        model.step(&Op::Mark { bits: !0 });
    }
    model.finish();
}
