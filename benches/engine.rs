//! Benchmarks of the engine's promises: `cargo bench --bench engine`. Every figure stands beside what it is compared
//! with in the same run, mostly plain redb that does the same; `docs/PERFORMANCE.md` has the ratios.
//!
//! Names are `area/operation/variant`. The sizes and the seed are the constants below. A benchmark's store is made when
//! it is the first to need it, so that a filter on names saves that time too.
#![expect(clippy::unwrap_used, reason = "a benchmark stops at what it does not expect")]

use std::cell::LazyCell;
use std::hint::black_box;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use criterion::{BatchSize, Bencher, Criterion};
use hivekeep::{Point, RestoreOptions, Selector, Store, View, WriteTx};
use redb::{ConcurrencyMode, Database, TableDefinition};
use tempfile::TempDir;

const SMALL: usize = 10_000;
const LARGE: usize = 1_000_000;
const MEDIUM: usize = 100_000;
/// A payload, in bytes.
const PAYLOAD: usize = 256;
const SEED: u64 = 0x9E37_79B9_7F4A_7C15;
const CACHE: usize = 64 << 20;
const NAME: &str = "bench";
const PLAIN: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("plain");

fn key(number: usize) -> String {
    format!("task-{number:010}")
}

/// As JSON it has [`PAYLOAD`] bytes.
fn value(number: usize) -> String {
    let digits = number.to_string();
    let mut text = "0".repeat(PAYLOAD - 2 - digits.len());
    text.push_str(&digits);
    text
}

/// The numbers below `count`, each once, in an order that is always the same.
fn shuffled(count: usize) -> Vec<usize> {
    let mut numbers: Vec<_> = (0..count).collect();
    let mut state = SEED;
    for at in (1..count).rev() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        numbers.swap(at, (state % (at as u64 + 1)) as usize);
    }
    numbers
}

struct Fixture {
    store: Store,
    _folder: TempDir,
}

/// A store with a number of records.
fn store(records: usize) -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("h.redb")).unwrap();
    load(&store, &shuffled(records));
    Fixture { store, _folder: folder }
}

fn load(store: &Store, numbers: &[usize]) {
    store
        .load(|tx| {
            let mut records = tx.collection(NAME)?;
            numbers.iter().try_for_each(|number| records.put(&key(*number), &value(*number)))
        })
        .unwrap();
}

fn put(store: &Store, number: usize, text: &str) {
    store.write(|tx| tx.collection(NAME)?.put(&key(number), &text.to_owned())).unwrap();
}

/// Changes records and makes a point, a number of times. The records are different ones each time.
fn points(store: &Store, records: usize, points: usize, changes: usize) -> Vec<Point> {
    let order = shuffled(records);
    let mut order = order.iter().cycle();
    let mut made = Vec::new();
    for round in 0..points {
        store
            .write(|tx| {
                let mut of = tx.collection(NAME)?;
                order.by_ref().take(changes).try_for_each(|number| of.put(&key(*number), &value(records + round)))
            })
            .unwrap();
        made.push(store.restore_point("bench").unwrap());
    }
    made
}

/// A store that is made at its first use and removed with its files at the end.
type Lazy<'a, T> = LazyCell<T, Box<dyn FnOnce() -> T + 'a>>;

fn lazy<'a, T>(make: impl FnOnce() -> T + 'a) -> Lazy<'a, T> {
    LazyCell::new(Box::new(make))
}

/// Plain redb in the mode that the store commits in: two phases, allocator state saved.
struct Plain {
    database: Database,
    _folder: TempDir,
}

fn plain(records: usize, mode: ConcurrencyMode) -> Plain {
    let folder = tempfile::tempdir().unwrap();
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE).set_concurrency_mode(mode);
    let plain = Plain { database: builder.create(folder.path().join("plain.redb")).unwrap(), _folder: folder };
    plain.write(&shuffled(records));
    plain
}

impl Plain {
    fn write(&self, numbers: &[usize]) {
        let mut transaction = self.database.begin_write().unwrap();
        transaction.set_quick_repair(true);
        let mut table = transaction.open_table(PLAIN).unwrap();
        for number in numbers {
            // As JSON, like the store's values.
            let value = serde_json::to_vec(&value(*number)).unwrap();
            table.insert(key(*number).as_bytes(), value.as_slice()).unwrap();
        }
        drop(table);
        transaction.commit().unwrap();
    }
}

fn point_create(c: &mut Criterion, large: &Lazy<'_, Fixture>) {
    let mut group = c.benchmark_group("point/create");
    let plain = lazy(|| plain(SMALL, ConcurrencyMode::MultiWriter));
    group.bench_function("empty-commit", |b| {
        b.iter(|| {
            let mut transaction = plain.database.begin_write().unwrap();
            transaction.set_quick_repair(true);
            transaction.commit().unwrap();
        });
    });
    let small = lazy(|| store(SMALL));
    for (name, fixture) in [("records-10000", &small), ("records-1000000", large)] {
        group.bench_function(name, |b| {
            b.iter(|| fixture.store.restore_point("bench").unwrap());
            forget_all(&fixture.store);
        });
    }
}

fn forget_all(store: &Store) {
    let points: Vec<_> = store.points().unwrap().iter().map(Selector::from).collect();
    store.forget(&points).unwrap();
}

/// A point, and a record that has changed before each of the twenty points after it.
fn points_back(store: &Store) -> Point {
    const POINTS: usize = 20;
    let first = store.restore_point("first").unwrap();
    for round in 0..POINTS {
        put(store, SMALL, &value(round));
        store.restore_point("bench").unwrap();
    }
    let past = store.at(&first).unwrap();
    assert_eq!(past.collection(NAME).unwrap().get(&key(SMALL)).unwrap(), Some(value(SMALL)));
    first
}

fn point_read(c: &mut Criterion, large: &Lazy<'_, Fixture>) {
    let mut group = c.benchmark_group("point/get");
    let (changed, unchanged) = (key(SMALL), key(SMALL + 1));
    let views = lazy(|| {
        let first = points_back(&large.store);
        (large.store.view().unwrap(), large.store.at(&first).unwrap())
    });
    let get = |b: &mut Bencher<'_>, view: &View, key: &str| {
        let records = view.collection::<String>(NAME).unwrap();
        b.iter(|| records.get(black_box(key)).unwrap());
    };
    group.bench_function("live", |b| get(b, &views.0, &unchanged));
    group.bench_function("20-points-back-unchanged", |b| get(b, &views.1, &unchanged));
    group.bench_function("20-points-back-changed-at-each", |b| get(b, &views.1, &changed));
}

fn load_many(c: &mut Criterion) {
    for (name, numbers) in [("shuffled", lazy(|| shuffled(LARGE))), ("sorted", lazy(|| (0..LARGE).collect()))] {
        let mut group = c.benchmark_group(format!("load/1000000-{name}"));
        group.sample_size(10);
        group.bench_function("plain-redb", |b| {
            b.iter_batched_ref(
                || plain(0, ConcurrencyMode::MultiWriter),
                |plain| plain.write(&numbers),
                BatchSize::PerIteration,
            );
        });
        group.bench_function("store", |b| {
            b.iter_batched_ref(|| store(0), |fixture| load(&fixture.store, &numbers), BatchSize::PerIteration);
        });
    }
}

/// Runs `writes` one-row writes on a number of threads, and returns the time that they took together.
fn write_from(threads: usize, writes: u64, write: impl Fn(u64) + Sync) -> Duration {
    let next = AtomicU64::new(0);
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= writes {
                        break;
                    }
                    write(number);
                }
            });
        }
    });
    started.elapsed()
}

fn write_rows(c: &mut Criterion) {
    let order = shuffled(MEDIUM);
    let at = |position: &AtomicUsize| order[position.fetch_add(1, Ordering::Relaxed) % MEDIUM];
    for threads in [1, 8] {
        let mut group = c.benchmark_group(format!("write/one-row-{threads}-threads"));
        group.measurement_time(Duration::from_secs(8));
        for (name, mode) in
            [("plain-redb", ConcurrencyMode::ExclusiveWriter), ("plain-redb-shared", ConcurrencyMode::MultiWriter)]
        {
            let plain = lazy(|| plain(MEDIUM, mode));
            let position = AtomicUsize::new(0);
            group.bench_function(name, |b| {
                let plain = &*plain;
                b.iter_custom(|writes| write_from(threads, writes, |_| plain.write(&[at(&position)])));
            });
        }
        let fixture = lazy(|| store(MEDIUM));
        let position = AtomicUsize::new(0);
        group.bench_function("store-no-point", |b| {
            let store = &fixture.store;
            b.iter_custom(|writes| {
                write_from(threads, writes, |_| {
                    let number = at(&position);
                    put(store, number, &value(number));
                })
            });
        });
        group.bench_function("store-pre-image", |b| {
            let store = &fixture.store;
            b.iter_custom(|writes| {
                // A key is written once between two points, so that every put writes a pre-image. The points from
                // before are forgotten, so that the figure does not depend on how many there were.
                forget_all(store);
                store.restore_point("bench").unwrap();
                assert!(writes < MEDIUM as u64);
                write_from(threads, writes, |_| {
                    let number = at(&position);
                    put(store, number, &value(number));
                })
            });
            let view = store.view().unwrap();
            assert_eq!(view.collection::<String>(NAME).unwrap().count().unwrap(), MEDIUM as u64);
        });
    }
}

/// BLAKE3 over every record, as the digest takes it, on all cores, with the records in memory.
fn hash_alone(records: &[(Vec<u8>, Vec<u8>)]) {
    let threads = std::thread::available_parallelism().unwrap().get();
    std::thread::scope(|scope| {
        for part in records.chunks(records.len().div_ceil(threads)) {
            scope.spawn(move || {
                for (key, value) in part {
                    let mut hasher = blake3::Hasher::new();
                    hasher.update(&(key.len() as u32).to_le_bytes()).update(key).update(value);
                    black_box(hasher.finalize());
                }
            });
        }
    });
}

fn check_all(c: &mut Criterion, large: &Lazy<'_, Fixture>) {
    let mut group = c.benchmark_group("check/1000000-records");
    group.sample_size(10);
    group.bench_function("hash-alone", |b| {
        let record = |n| (key(n).into_bytes(), serde_json::to_vec(&value(n)).unwrap());
        let records: Vec<_> = (0..LARGE).map(record).collect();
        b.iter(|| hash_alone(&records));
    });
    group.bench_function("store", |b| {
        b.iter(|| {
            let report = large.store.check().unwrap();
            assert!(report.is_sound() && report.records >= LARGE as u64);
        });
    });
}

fn check_points(c: &mut Criterion) {
    const CHANGES: usize = 20;
    let mut group = c.benchmark_group("check/100000-records");
    group.sample_size(20);
    for count in [1, 1000] {
        let fixture = lazy(|| {
            let fixture = store(MEDIUM);
            points(&fixture.store, MEDIUM, count, CHANGES);
            fixture
        });
        group.bench_function(format!("points-{count}"), |b| {
            b.iter(|| {
                let report = fixture.store.check().unwrap();
                assert!(report.is_sound() && report.points >= count as u64);
            });
        });
    }
}

/// Not how long it takes, but the longest that one of four writing threads waits meanwhile, and, beside it, the longest
/// in as long a time when nothing is forgotten.
fn forget_while_writing(c: &mut Criterion) {
    const POINTS: usize = 2000;
    const THREADS: usize = 4;
    let mut group = c.benchmark_group("forget/2000-points-while-4-threads-write");
    group.sample_size(10).measurement_time(Duration::from_secs(20));
    let fixture = lazy(|| store(MEDIUM));
    let took = Mutex::new(Duration::ZERO);
    group.bench_function("longest-write", |b| {
        let store = &fixture.store;
        b.iter_custom(|rounds| {
            let one = |_| {
                let made: Vec<_> = points(store, MEDIUM, POINTS, 5).iter().map(Selector::from).collect();
                let (time, longest) = longest_write_during(store, THREADS, || store.forget(&made).unwrap());
                *took.lock().unwrap() = time;
                longest
            };
            (0..rounds).map(one).sum()
        });
    });
    group.bench_function("longest-write-without", |b| {
        let took = *took.lock().unwrap();
        let one = |_| longest_write_during(&fixture.store, THREADS, || std::thread::sleep(took)).1;
        b.iter_custom(|rounds| (0..rounds).map(one).sum());
    });
}

/// How long `work` took, and the longest that one write of other threads took meanwhile.
fn longest_write_during<R>(store: &Store, threads: usize, work: impl FnOnce() -> R) -> (Duration, Duration) {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..threads)
            .map(|thread| {
                let stop = &stop;
                scope.spawn(move || {
                    let mut longest = Duration::ZERO;
                    for number in (thread..MEDIUM).step_by(threads).cycle() {
                        if stop.load(Ordering::Relaxed) {
                            break;
                        }
                        let started = Instant::now();
                        put(store, number, &value(number));
                        longest = longest.max(started.elapsed());
                    }
                    longest
                })
            })
            .collect();
        std::thread::sleep(Duration::from_millis(100));
        let started = Instant::now();
        work();
        let took = started.elapsed();
        stop.store(true, Ordering::Relaxed);
        (took, writers.into_iter().map(|writer| writer.join().unwrap()).max().unwrap_or_default())
    })
}

fn forget_one(c: &mut Criterion) {
    const POINTS: usize = 100;
    const CHANGES: usize = 1000;
    let mut group = c.benchmark_group("forget/one-of-100");
    for (name, records) in [("records-10000", SMALL), ("records-1000000", LARGE)] {
        let fixture = lazy(|| {
            let fixture = store(records);
            let made = points(&fixture.store, records, POINTS, CHANGES);
            (fixture, Mutex::new((made, POINTS - 1)))
        });
        group.sample_size(20);
        group.bench_function(name, |b| {
            let (Fixture { store, .. }, made) = &*fixture;
            b.iter_custom(|rounds| {
                let (made, next) = &mut *made.lock().unwrap();
                let mut sum = Duration::ZERO;
                for _ in 0..rounds {
                    // Backwards, so that every forgotten segment still has as many rows as it was made with.
                    *next = if *next == 1 { POINTS - 2 } else { *next - 1 };
                    let one = Selector::from(&made.remove(*next));
                    let started = Instant::now();
                    store.forget(&[one]).unwrap();
                    sum += started.elapsed();
                    made.extend(points(store, records, 1, CHANGES));
                }
                sum
            });
        });
    }
}

fn restore_in_place(c: &mut Criterion, large: &Lazy<'_, Fixture>) {
    const CHANGES: usize = 1000;
    let mut group = c.benchmark_group("restore/1000-changes-in-1000000");
    group.sample_size(20);
    let order = shuffled(LARGE);
    let plain = lazy(|| plain(LARGE, ConcurrencyMode::MultiWriter));
    let mut rounds = order.chunks_exact(CHANGES).cycle();
    group.bench_function("plain-redb", |b| {
        b.iter_batched(|| rounds.next().unwrap(), |numbers| plain.write(numbers), BatchSize::PerIteration);
    });
    let mut rounds = order.chunks_exact(CHANGES).cycle();
    group.bench_function("store", |b| {
        let store = &large.store;
        b.iter_batched(
            || {
                let point = store.restore_point("bench").unwrap();
                let numbers = rounds.next().unwrap();
                let changed = |tx: &mut WriteTx<'_>| {
                    let mut records = tx.collection(NAME)?;
                    numbers.iter().try_for_each(|number| records.put(&key(*number), &"changed".to_owned()))
                };
                store.write(changed).unwrap();
                point
            },
            |point| assert_eq!(store.restore(&point, RestoreOptions::new()).unwrap().total(), CHANGES as u64),
            BatchSize::PerIteration,
        );
    });
}

fn main() {
    let mut c = Criterion::default().configure_from_args();
    let large = lazy(|| store(LARGE));
    point_create(&mut c, &large);
    point_read(&mut c, &large);
    restore_in_place(&mut c, &large);
    check_all(&mut c, &large);
    drop(large);
    write_rows(&mut c);
    check_points(&mut c);
    forget_one(&mut c);
    forget_while_writing(&mut c);
    load_many(&mut c);
    c.final_summary();
}
