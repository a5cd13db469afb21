//! The engine's own parts, one by one, so that a regression can be found: `cargo bench --bench parts --features parts`.
//! Reading as of a point, forgetting and the group commit are in `benches/engine.rs`.
//!
//! Names are `part/operation/variant`. Sizes are the constants below.
#![expect(clippy::unwrap_used, reason = "a benchmark stops at what it does not expect")]

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput};
use hivekeep::{NewTask, Store, parts};
use serde_json::json;

/// A payload, in bytes.
const PAYLOAD: usize = 256;
const KEY: &[u8] = b"\0\0\0\x40task-0000000001";
const RECORDS: u32 = 10_000;
/// Rows of one transaction.
const ROWS: u32 = 1000;
const NAME: &str = "bench";

fn frame(c: &mut Criterion) {
    let mut group = c.benchmark_group("frame");
    group.throughput(Throughput::Bytes(PAYLOAD as u64));
    let (payload, mut out) = ([7; PAYLOAD], Vec::new());
    group.bench_function("encode", |b| b.iter(|| parts::encode_frame(&mut out, KEY, black_box(&payload))));
    assert_eq!(parts::decode_frame(KEY, &out).unwrap(), payload);
    group.bench_function("decode", |b| b.iter(|| parts::decode_frame(KEY, black_box(&out)).unwrap().len()));
}

fn codec(c: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("h.redb")).unwrap();
    let task = store.write(|tx| tx.queue().enqueue(NewTask::new(json!("x".repeat(PAYLOAD))))).unwrap();
    let bytes = parts::encode_task(&task).unwrap();
    assert_eq!(parts::decode_task(&bytes).unwrap().payload, task.payload);
    let mut group = c.benchmark_group("codec");
    group.bench_function("encode/task", |b| b.iter(|| parts::encode_task(black_box(&task)).unwrap()));
    group.bench_function("decode/task", |b| b.iter(|| parts::decode_task(black_box(&bytes)).unwrap()));
}

fn digest(c: &mut Criterion) {
    let payload = [7; PAYLOAD];
    assert_ne!(parts::digest(KEY, &payload), parts::digest(KEY, &payload[1..]));
    let mut group = c.benchmark_group("digest");
    group.throughput(Throughput::Bytes(PAYLOAD as u64));
    group.bench_function("record", |b| b.iter(|| parts::digest(KEY, black_box(&payload))));
}

fn key(number: u32) -> String {
    format!("task-{number:010}")
}

fn store() -> (Store, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("h.redb")).unwrap();
    write_rows(&store, 0..RECORDS, "loaded");
    (store, folder)
}

fn write_rows(store: &Store, numbers: impl Iterator<Item = u32>, text: &str) {
    let mut value = "0".repeat(PAYLOAD - 2 - text.len());
    value.push_str(text);
    store
        .write(|tx| {
            let mut records = tx.collection(NAME)?;
            numbers.into_iter().try_for_each(|number| records.put(&key(number), &value))
        })
        .unwrap();
}

/// A transaction of many rows, with its commit: they are all over the collection.
fn write(c: &mut Criterion) {
    let mut group = c.benchmark_group("write/1000-rows");
    group.throughput(Throughput::Elements(u64::from(ROWS))).sample_size(30);
    let (store, _folder) = store();
    let numbers = || (0..ROWS).map(|row| row * 7919 % RECORDS);
    group.bench_function("no-point", |b| b.iter(|| write_rows(&store, numbers(), "no point")));
    group.bench_function("pre-images", |b| {
        b.iter_batched(
            || {
                let points: Vec<_> = store.points().unwrap().iter().map(Into::into).collect();
                store.forget(&points).unwrap();
                store.restore_point("bench").unwrap();
            },
            |()| write_rows(&store, numbers(), "after a point"),
            BatchSize::PerIteration,
        );
    });
}

/// Everything, now, and as of a point after which a tenth has changed.
fn view(c: &mut Criterion) {
    let mut group = c.benchmark_group("view/scan");
    group.throughput(Throughput::Elements(u64::from(RECORDS)));
    let (store, _folder) = store();
    let point = store.restore_point("bench").unwrap();
    write_rows(&store, (0..RECORDS).step_by(10), "after the point");
    for (name, view) in [("now", store.view().unwrap()), ("as-of-a-point", store.at(&point).unwrap())] {
        let records = view.collection::<String>(NAME).unwrap();
        group.bench_function(name, |b| {
            b.iter(|| assert_eq!(records.list().map(Result::unwrap).count(), RECORDS as usize));
        });
    }
}

fn main() {
    let mut c = Criterion::default().configure_from_args();
    frame(&mut c);
    codec(&mut c);
    digest(&mut c);
    write(&mut c);
    view(&mut c);
    c.final_summary();
}
