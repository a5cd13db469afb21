//! Archives, measured: `cargo bench --bench archive`. Importing stands beside the load of the same records in the same
//! run.
#![expect(clippy::unwrap_used, reason = "a benchmark stops at what it does not expect")]

use std::path::Path;
use std::time::{Duration, Instant};

use criterion::{Bencher, Criterion, Throughput};
use hivekeep::{ExportOptions, ImportOptions, Sharing, Store};
use tempfile::TempDir;

const RECORDS: usize = 1_000_000;
/// A payload, in bytes.
const PAYLOAD: usize = 256;

/// As JSON it has [`PAYLOAD`] bytes, half of which differ from record to record.
fn value(number: usize) -> String {
    let mut state = number as u64 ^ 0x9E37_79B9_7F4A_7C15;
    let mut text = String::with_capacity(PAYLOAD);
    while text.len() < PAYLOAD / 2 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        text.push_str(&format!("{state:016x}"));
    }
    text.push_str(&"status: ready; ".repeat(PAYLOAD));
    text.truncate(PAYLOAD - 2);
    text
}

fn loaded(path: &Path) -> Store {
    let store = Store::options().session(false).sharing(Sharing::Exclusive).open(path).unwrap();
    store
        .load(|tx| {
            let mut tasks = tx.collection("bench")?;
            (0..RECORDS).try_for_each(|number| tasks.put(&format!("task-{number:010}"), &value(number)))
        })
        .unwrap();
    store
}

fn timed(b: &mut Bencher<'_>, mut run: impl FnMut(&TempDir) -> Duration) {
    b.iter_custom(|times| {
        (0..times)
            .map(|_| {
                let folder = tempfile::tempdir().unwrap();
                run(&folder)
            })
            .sum()
    });
}

fn main() {
    let mut criterion =
        Criterion::default().sample_size(10).warm_up_time(Duration::from_millis(1)).configure_from_args();
    let folder = tempfile::tempdir().unwrap();
    let store = loaded(&folder.path().join("h.redb"));
    let mut group = criterion.benchmark_group("archive");
    group.throughput(Throughput::Bytes((RECORDS * PAYLOAD) as u64));
    for packing in ["tar.zst", "tar.gz"] {
        let file = folder.path().join(format!("a.{packing}"));
        store.export(&file, &ExportOptions::new()).unwrap();
        group.bench_function(format!("export/{packing}"), |b| {
            timed(b, |folder| {
                let started = Instant::now();
                let file = folder.path().join(format!("a.{packing}"));
                let report = store.export(file, &ExportOptions::new()).unwrap();
                assert_eq!(report.records, RECORDS as u64);
                started.elapsed()
            });
        });
        group.bench_function(format!("import/{packing}"), |b| {
            timed(b, |folder| {
                let started = Instant::now();
                let to = folder.path().join("new.redb");
                let report = Store::import_new(&file, to, &ImportOptions::new()).unwrap();
                assert_eq!(report.collections["bench"].added, RECORDS as u64);
                started.elapsed()
            });
        });
    }
    group.bench_function("load", |b| {
        timed(b, |folder| {
            let started = Instant::now();
            loaded(&folder.path().join("h.redb")).close().unwrap();
            started.elapsed()
        });
    });
}
