//! `check` against damage that no checksum shows: one row at a time is lost, altered or moved, with a sound frame.
//! Whenever a point or now then reads otherwise than it was, `check` must have a finding.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use crate::engine::check::whole::check;
use crate::engine::commit::Outcome;
use crate::engine::format::codec;
use crate::engine::format::digest::Stats;
use crate::engine::format::epoch::{Epoch, Epochs};
use crate::engine::format::frame::{self, State};
use crate::engine::format::point::Manifest;
use crate::engine::format::schema::{CollectionId, Table};
use crate::engine::history::model_test::{Model, Op, op, reads_as, runner};
use crate::engine::meta;
use crate::engine::records::{KeyRange, Row};
use crate::engine::store::Store;
use crate::engine::write::WriteTx;
use crate::error::{ErrorKind, Result};

/// A row that is replaced by others, or by none.
struct Fault {
    table: Table,
    key: Vec<u8>,
    instead: Vec<Row>,
    name: &'static str,
}

/// Every single fault of a row of records, tombstones or pre-images.
fn faults_of_record(table: Table, (key, bytes): &Row) -> Vec<Fault> {
    let place = table.place(key);
    let frame = frame::decode(place, bytes).unwrap();
    let mut faults = Vec::new();
    let mut fault = |name, instead| faults.push(Fault { table, key: key.clone(), instead, name });
    let framed = |key: &[u8], birth: u64, state| {
        let mut bytes = Vec::new();
        frame::encode(&mut bytes, table.place(key), Epoch(birth), state);
        (key.to_vec(), bytes)
    };
    fault("lost", Vec::new());
    for birth in [-2, -1, 1, 2].map(|by| frame.birth.0.saturating_add_signed(by)).into_iter().filter(|b| *b > 0) {
        if birth != frame.birth.0 {
            fault("birth", vec![framed(key, birth, frame.state)]);
        }
    }
    let altered = frame.payload().map(|payload| [payload, b"!"].concat()).unwrap_or_default();
    fault("payload", vec![framed(key, frame.birth.0, State::Present(&altered))]);
    if frame.state != State::Absent {
        fault("absent", vec![framed(key, frame.birth.0, State::Absent)]);
    }
    let mut other = key.clone();
    *other.last_mut().unwrap() ^= 1;
    fault("moved to another key", vec![framed(&other, frame.birth.0, frame.state)]);
    fault("copied to another key", vec![(key.clone(), bytes.clone()), framed(&other, frame.birth.0, frame.state)]);
    if let (Table::PreImages, Some((epoch, row))) = (table, Epoch::split_key(key)) {
        for by in [-1, 1] {
            let other = [&Epoch(epoch.0.saturating_add_signed(by)).to_key()[..], row].concat();
            fault("moved to another segment", vec![framed(&other, frame.birth.0, frame.state)]);
        }
    }
    faults
}

/// Faults of the rows about points and statistics.
fn faults_of_row(table: Table, (key, bytes): &Row) -> Vec<Fault> {
    let payload = meta::payload(table, key, bytes).unwrap();
    let lost = Fault { table, key: key.clone(), instead: Vec::new(), name: "lost" };
    let altered: Vec<Vec<u8>> = match table {
        Table::Points => altered_manifests(&payload),
        Table::PointIds => vec![(meta::number(&payload).unwrap() + 1).to_be_bytes().to_vec()],
        Table::Meta if key.starts_with(b"stats/") => altered_stats(codec::decode(&payload).unwrap())
            .into_iter()
            .map(|stats| codec::encode(&stats).unwrap())
            .collect(),
        Table::Index => vec![b"!".to_vec()],
        _ => Vec::new(),
    };
    let framed = |payload: Vec<u8>| {
        let mut bytes = Vec::new();
        frame::encode(&mut bytes, table.place(key), Epoch(0), State::Present(&payload));
        Fault { table, key: key.clone(), instead: vec![(key.clone(), bytes)], name: "altered" }
    };
    std::iter::once(lost).chain(altered.into_iter().map(framed)).collect()
}

fn altered_stats(stats: Stats) -> Vec<Stats> {
    let mut digest = stats;
    digest.digest.add(crate::engine::format::digest::Digest::of(b"k", b"v"));
    vec![
        Stats { count: stats.count.wrapping_add(1), ..stats },
        Stats { bytes: stats.bytes.wrapping_sub(1), ..stats },
        digest,
    ]
}

fn altered_manifests(payload: &[u8]) -> Vec<Vec<u8>> {
    let manifest: Manifest = codec::decode(payload).unwrap();
    let mut altered = Vec::new();
    for (at, (_, stats)) in manifest.collections.iter().enumerate() {
        for stats in altered_stats(*stats) {
            let mut manifest = manifest.clone();
            manifest.collections[at].1 = stats;
            altered.push(codec::encode(&manifest).unwrap());
        }
    }
    let mut more = manifest.clone();
    more.collections.push((CollectionId::FIRST_USER, Stats { count: 1, ..Stats::default() }));
    altered.push(codec::encode(&more).unwrap());
    altered
}

/// Whether now, and every point that there was, still reads as it was.
fn content_is_right(model: &Model) -> bool {
    let now = model.store.view().and_then(|view| reads_as(&view, &model.now));
    let mut points = model.points.iter();
    now.is_ok_and(|same| same)
        && points.all(|(epoch, state)| {
            model.store.view_at(*epoch).and_then(|view| reads_as(&view, state)).is_ok_and(|same| same)
        })
}

fn finds(store: &Store) -> bool {
    // The one error that ends a check is damage of what it needs to begin.
    match check(&store.view().unwrap(), &|_, _| Ok(())) {
        Ok(report) => !report.is_sound(),
        Err(error) => error.kind() == ErrorKind::Damaged,
    }
}

fn rows(model: &Model, table: Table) -> Vec<Row> {
    model.store.view().unwrap().stored().page(table, &KeyRange::all(), 10_000).unwrap()
}

/// Replaces rows without telling anything else of it, and gives what puts them back.
fn replace(store: &Store, table: Table, key: &[u8], instead: &[Row]) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
    let swap = |tx: &mut WriteTx<'_>| -> Result<_> {
        let keys = std::iter::once(key).chain(instead.iter().map(|(key, _)| key.as_slice()));
        let before = keys.map(|key| Ok((key.to_vec(), tx.stored().get(table, key)?))).collect::<Result<Vec<_>>>()?;
        tx.delete(table, key)?;
        instead.iter().try_for_each(|(key, bytes)| tx.insert(table, key, bytes))?;
        Ok(Outcome::Commit(before))
    };
    store.alone(swap).unwrap()
}

fn put_back(store: &Store, table: Table, before: &[(Vec<u8>, Option<Vec<u8>>)]) {
    let swap = |tx: &mut WriteTx<'_>| -> Result<_> {
        for (key, bytes) in before {
            match bytes {
                Some(bytes) => tx.insert(table, key, bytes)?,
                None => drop(tx.delete(table, key)?),
            }
        }
        Ok(Outcome::Commit(()))
    };
    store.alone(swap).unwrap();
}

/// A state in which all points are named: nothing but its neighbours vouches for the point of a single commit.
fn named_points_only(op: &Op) -> bool {
    !matches!(op, Op::SealCommit | Op::Reopen | Op::Keep { .. })
}

#[test]
fn no_single_fault_that_changes_content_is_passed_over_and_none_is_seen_where_there_is_none() {
    let mut runner: TestRunner = runner(12);
    let (mut wrong, mut harmless) = (0, 0);
    for _ in 0..runner.config().cases {
        let ops = prop::collection::vec(op(0..=251), 10..40).new_tree(&mut runner).unwrap().current();
        let mut model = Model::new();
        ops.iter().filter(|op| named_points_only(op)).for_each(|op| model.step(op));
        model.compare();
        for fault in faults(&model) {
            let before = replace(&model.store, fault.table, &fault.key, &fault.instead);
            let right = content_is_right(&model);
            let found = finds(&model.store);
            let Fault { table, key, name, .. } = &fault;
            assert!(right || found, "passed over: {name} in {table:?} at {} after {ops:?}", key.escape_ascii());
            put_back(&model.store, *table, &before);
            if right { harmless += 1 } else { wrong += 1 }
        }
        model.compare();
    }
    println!("faults that changed content: {wrong}, all found; others: {harmless}");
    assert!(wrong > harmless, "too few faults were tried: {wrong} of {}", wrong + harmless);
}

fn faults(model: &Model) -> Vec<Fault> {
    let mut faults = Vec::new();
    for table in [Table::Live, Table::PreImages, Table::Tombstones] {
        faults.extend(rows(model, table).iter().flat_map(|row| faults_of_record(table, row)));
    }
    for table in [Table::Points, Table::PointIds, Table::Index, Table::Meta] {
        let rows = rows(model, table).into_iter().filter(|(key, _)| key != meta::EPOCHS && key != meta::FORMAT);
        faults.extend(rows.flat_map(|row| faults_of_row(table, &row)));
    }
    faults
}

#[test]
fn a_row_of_epochs_that_disagrees_with_the_points_is_found() {
    let mut model = Model::new();
    for _ in 0..4 {
        model.step(&Op::Seal);
    }
    model.step(&Op::Mark { bits: 0b100 });
    let good = model.store.view().unwrap().epochs();
    assert_eq!(good, Epochs { open: Epoch(5), first: Epoch(1), last: Epoch(4), merging: 1, dropping: Epoch(0) });
    let wrong = [
        Epochs { open: Epoch(4), ..good },
        Epochs { first: Epoch(2), ..good },
        Epochs { first: Epoch(0), ..good },
        Epochs { last: Epoch(3), ..good },
        Epochs { last: Epoch(0), ..good },
        Epochs { merging: 0, ..good },
        Epochs { merging: 2, ..good },
        Epochs { dropping: Epoch(2), ..good },
    ];
    for epochs in wrong {
        put_epochs(&model.store, epochs);
        assert!(finds(&model.store), "{epochs:?}");
    }
    put_epochs(&model.store, good);
    model.compare();
}

fn put_epochs(store: &Store, epochs: Epochs) {
    let mut bytes = Vec::new();
    let payload = codec::encode(&epochs).unwrap();
    frame::encode(&mut bytes, Table::Meta.place(meta::EPOCHS), Epoch(0), State::Present(&payload));
    replace(store, Table::Meta, meta::EPOCHS, &[(meta::EPOCHS.to_vec(), bytes)]);
}

#[test]
fn a_piece_without_its_value_and_a_number_given_twice_are_found() {
    let model = Model::new();
    let long = vec![7; (1 << 20) + 1];
    model.store.write(|tx| tx.put(CollectionId::CONFIG, b"long", &long)).unwrap();
    let ids = ["a", "b"].map(|name| model.store.write(|tx| tx.user_collection(name)).unwrap());
    assert_eq!(ids, [CollectionId(64), CollectionId(65)]);
    let live = rows(&model, Table::Live);
    let head = live.iter().find(|(key, _)| key.starts_with(&CollectionId::CONFIG.0.to_be_bytes())).unwrap();
    let before = replace(&model.store, Table::Live, &head.0, &[]);
    let report = check(&model.store.view().unwrap(), &|_, _| Ok(())).unwrap();
    let orphans = report.findings.iter().filter(|finding| finding.what == "a piece belongs to no long value").count();
    assert_eq!(orphans, 5, "{:?}", report.findings);
    put_back(&model.store, Table::Live, &before);
    let twice = |tx: &mut WriteTx<'_>| {
        tx.put_row(Table::Collections, b"b", &64u32.to_be_bytes())?;
        Ok(Outcome::Commit(()))
    };
    model.store.alone(twice).unwrap();
    let report = check(&model.store.view().unwrap(), &|_, _| Ok(())).unwrap();
    assert_eq!(report.findings.len(), 1, "{:?}", report.findings);
    assert_eq!(report.findings[0].what, "a collection has a number that was not given to it: number=64");
}

#[test]
fn a_row_that_is_no_record_and_was_born_in_an_epoch_is_found() {
    let model = Model::new();
    let mut bytes = Vec::new();
    frame::encode(&mut bytes, Table::Liveness.place(b"ant"), Epoch(1), State::Present(b"when"));
    replace(&model.store, Table::Liveness, b"ant", &[(b"ant".to_vec(), bytes)]);
    let report = check(&model.store.view().unwrap(), &|_, _| Ok(())).unwrap();
    let what: Vec<_> = report.findings.iter().map(|finding| finding.what.as_str()).collect();
    assert_eq!(what, ["a row outside of the records has a birth epoch"]);
}
