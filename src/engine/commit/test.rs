//! Group commit under many threads: what was acknowledged is there, what failed is not, and nobody waits for ever.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use parking_lot::Mutex;

use crate::clock::Clock;
use crate::engine::check::check;
use crate::engine::commit::Outcome;
use crate::engine::format::epoch::Epoch;
use crate::engine::format::point::{NewPoint, Origin, PointId};
use crate::engine::format::schema::{CollectionId, Table};
use crate::engine::options::Sharing;
use crate::engine::records::{KeyRange, Records, Row, scan};
use crate::engine::store::{Options, Store};
use crate::error::{Error, ErrorKind, Result};

const C: CollectionId = CollectionId::CONFIG;
const WRITERS: u8 = 6;
/// Nothing below takes a tenth of it; a lost wake-up takes for ever.
const LONGEST: Duration = Duration::from_secs(120);

type Content = BTreeMap<Vec<u8>, Vec<u8>>;

struct Fixture {
    folder: tempfile::TempDir,
    store: Store,
}

fn fixture(options: Options) -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let store = options.open_with(&folder.path().join("h.redb"), &[]).unwrap();
    Fixture { folder, store }
}

/// Runs a test on a thread of its own, and fails when it does not end.
fn in_bounded_time(test: impl FnOnce() + Send + 'static) {
    let (done, ended) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        let result = catch_unwind(AssertUnwindSafe(test));
        let _ = done.send(());
        result
    });
    assert!(ended.recv_timeout(LONGEST).is_ok(), "it did not end: somebody waits for ever");
    if let Err(panic) = thread.join().unwrap() {
        std::panic::resume_unwind(panic);
    }
}

/// A xorshift generator: the same numbers for the same seed.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}

fn scale() -> u64 {
    std::env::var("HIVEKEEP_TEST_SCALE").ok().and_then(|scale| scale.parse().ok()).unwrap_or(1)
}

fn seal(store: &Store) -> (Epoch, Vec<Row>) {
    let sealed = store.alone(|tx| {
        let (id, at) = (PointId::new(), tx.now());
        let content = scan(&*tx, C, KeyRange::all()).collect::<Result<Vec<_>>>()?;
        let (origin, manual, backups) = (Origin::Live, true, Vec::new());
        let (description, tags, undoes) = (String::new(), BTreeMap::new(), None);
        let (epoch, _) = tx.seal(NewPoint { id, at, origin, manual, backups, description, tags, undoes })?;
        Ok(Outcome::Commit((epoch, content)))
    });
    sealed.unwrap()
}

/// One caller: closures that succeed, fail and panic. Gives what was acknowledged of its own keys, and how many were.
fn write_at_random(store: &Store, writer: u8, rounds: u64) -> (Content, u64) {
    let mut numbers = Numbers(0x9E37_79B9_7F4A_7C15 ^ u64::from(writer) << 32);
    let (mut acknowledged, mut successes) = (Content::new(), 0);
    for _ in 0..rounds {
        let mut after = acknowledged.clone();
        let fate = numbers.next(8);
        let done = catch_unwind(AssertUnwindSafe(|| {
            store.write(|tx| {
                for _ in 0..=numbers.next(4) {
                    let key = vec![writer, numbers.next(12) as u8];
                    if numbers.next(3) == 0 {
                        tx.remove(C, &key)?;
                        after.remove(&key);
                    } else {
                        let value = vec![numbers.next(256) as u8; numbers.next(40) as usize];
                        tx.put(C, &key, &value)?;
                        after.insert(key, value);
                    }
                }
                let sum = tx.get(C, b"sum")?.map_or(0, |sum| u64::from_be_bytes(sum.try_into().unwrap()));
                tx.put(C, b"sum", &(sum + 1).to_be_bytes())?;
                assert_eq!(tx.next("sum")?, sum + 1, "somebody's failed change is seen");
                match fate {
                    0 => Err(Error::invalid("on purpose")),
                    1 => panic_any(u64::from(writer)),
                    _ => Ok(()),
                }
            })
        }));
        match done {
            Ok(Ok(())) => (acknowledged, successes) = (after, successes + 1),
            Ok(Err(error)) => assert_eq!((fate, error.to_string().as_str()), (0, "on purpose")),
            Err(panic) => assert_eq!((fate, *panic.downcast::<u64>().unwrap()), (1, u64::from(writer))),
        }
    }
    (acknowledged, successes)
}

/// One caller of work alone: seals, forgets, fails and panics, until told to stop.
fn work_alone(store: &Store, stop: &AtomicBool, points: &Mutex<BTreeMap<Epoch, Vec<Row>>>) {
    let mut numbers = Numbers(0xA5A5_1234);
    while !stop.load(Ordering::Relaxed) {
        match numbers.next(6) {
            0 => {
                let chosen: Vec<_> = points.lock().keys().copied().filter(|_| numbers.next(2) == 0).collect();
                store.forget_epochs(&chosen).unwrap();
                points.lock().retain(|epoch, _| !chosen.contains(epoch));
            }
            1 => {
                let failed: Result<()> = store.alone(|tx| {
                    tx.put(C, b"never seen", b"")?;
                    tx.next("sum")?;
                    Err(Error::invalid("alone"))
                });
                assert_eq!(failed.unwrap_err().to_string(), "alone");
            }
            2 => {
                let panicked = catch_unwind(AssertUnwindSafe(|| {
                    store.alone::<()>(|tx| {
                        tx.put(C, b"never seen", b"")?;
                        panic_any("alone")
                    })
                }));
                assert_eq!(*panicked.unwrap_err().downcast::<&str>().unwrap(), "alone");
            }
            _ => {
                let (epoch, content) = seal(store);
                points.lock().insert(epoch, content);
            }
        }
    }
}

fn acknowledged_is_there(options: Options) {
    let Fixture { folder, store } = fixture(options.clone());
    let points = Mutex::new(BTreeMap::new());
    let stop = AtomicBool::new(false);
    let (expected, successes) = std::thread::scope(|scope| {
        let alone = scope.spawn(|| work_alone(&store, &stop, &points));
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                scope.spawn({
                    let store = &store;
                    move || write_at_random(store, writer, 60 * scale())
                })
            })
            .collect();
        let done: Vec<_> = writers.into_iter().map(|writer| writer.join()).collect();
        stop.store(true, Ordering::Relaxed);
        alone.join().unwrap();
        let mut all = (Content::new(), 0);
        for (content, successes) in done.into_iter().map(std::result::Result::unwrap) {
            all.0.extend(content);
            all.1 += successes;
        }
        all
    });
    store.close_file().unwrap();
    let store = options.open_with(&folder.path().join("h.redb"), &[]).unwrap();
    let mut expected: Vec<Row> = expected.into_iter().collect();
    expected.push((b"sum".to_vec(), successes.to_be_bytes().to_vec()));
    let view = store.view().unwrap();
    assert_eq!(scan(&view, C, KeyRange::all()).collect::<Result<Vec<_>>>().unwrap(), expected);
    assert_eq!(store.write(|tx| tx.next("sum")).unwrap(), successes + 1);
    for (epoch, content) in points.into_inner() {
        let view = store.view_at(epoch).unwrap();
        assert_eq!(scan(&view, C, KeyRange::all()).collect::<Result<Vec<_>>>().unwrap(), content, "{epoch}");
    }
    let report = check(&view, &|_, _| Ok(())).unwrap();
    assert!(report.is_sound(), "{:?}", report.findings);
}

#[test]
fn acknowledged_writes_are_there_and_nothing_else_whatever_fails_and_panics_beside_them() {
    in_bounded_time(|| acknowledged_is_there(Store::options()));
}

#[test]
fn the_same_holds_when_every_commit_is_sealed() {
    in_bounded_time(|| acknowledged_is_there(Store::options().history(Duration::from_secs(3600))));
}

#[test]
fn a_panic_beside_the_others_leaks_no_pages() {
    in_bounded_time(|| {
        // Where several processes write, redb reads its allocator's state again after a panic; here it does not.
        let Fixture { folder, store } = fixture(Store::options().sharing(Sharing::Exclusive));
        let megabyte = vec![1; 1 << 20];
        for round in 0..40u8 {
            let panicked = catch_unwind(AssertUnwindSafe(|| {
                store.alone::<()>(|tx| {
                    tx.put(C, &[round], &megabyte)?;
                    panic_any(round)
                })
            }));
            assert!(panicked.is_err());
        }
        let length = std::fs::metadata(folder.path().join("h.redb")).unwrap().len();
        assert!(length < 10 << 20, "the pages of panicked transactions are lost: {length}");
    });
}

#[test]
fn an_error_that_a_closure_passes_over_does_not_commit_half_of_a_change() {
    let Fixture { folder: _folder, store } = fixture(Store::options());
    let long = vec![7; (1 << 20) + 1];
    store.write(|tx| tx.put(C, b"long", &long)).unwrap();
    // The second piece is lost, so that removing the value stops half-way.
    let lost = store.alone(|tx| {
        let pieces = tx.page(CollectionId::CHUNKS, &KeyRange::all(), 9)?;
        tx.delete(Table::Live, &CollectionId::CHUNKS.row_key(&pieces[1].0)).map(Outcome::Commit)
    });
    assert!(lost.unwrap());
    let rows = || store.view().unwrap().stored().page(Table::Live, &KeyRange::all(), 100).unwrap();
    let before = rows();
    let passed_over = |tx: &mut crate::engine::write::WriteTx<'_>| {
        assert_eq!(tx.remove(C, b"long").unwrap_err().kind(), ErrorKind::Damaged);
        tx.put(C, b"other", b"")
    };
    assert_eq!(store.write(passed_over).unwrap_err().kind(), ErrorKind::NotCommitted);
    let alone = store.alone(|tx| passed_over(tx).map(Outcome::Commit));
    assert_eq!(alone.unwrap_err().kind(), ErrorKind::NotCommitted);
    assert!(rows() == before);
}

#[test]
fn an_error_before_anything_changed_may_be_passed_over() {
    let Fixture { folder: _folder, store } = fixture(Store::options());
    store.write(|tx| tx.put(C, b"damaged", b"1")).unwrap();
    let row = C.row_key(b"damaged");
    store.alone(|tx| tx.insert(Table::Live, &row, b"no frame").map(Outcome::Commit)).unwrap();
    let done = store.write(|tx| {
        assert_eq!(tx.put(C, b"damaged", b"2").unwrap_err().kind(), ErrorKind::Damaged);
        assert_eq!(tx.remove(C, b"damaged").unwrap_err().kind(), ErrorKind::Damaged);
        tx.put(C, b"other", b"1")
    });
    done.unwrap();
    let view = store.view().unwrap();
    assert_eq!(view.get(C, b"other").unwrap(), Some(b"1".to_vec()));
    assert_eq!(view.stored().get(Table::Live, &row).unwrap(), Some(b"no frame".to_vec()));
}

/// A clock that panics when asked to.
#[derive(Clone, Debug, Default)]
struct FragileClock(Arc<AtomicBool>);

impl Clock for FragileClock {
    fn now(&self) -> Timestamp {
        assert!(!self.0.load(Ordering::SeqCst), "the clock broke");
        Timestamp::UNIX_EPOCH
    }

    fn sleep(&self, duration: Duration) {
        std::thread::sleep(duration);
    }
}

#[test]
fn when_the_committing_thread_panics_everybody_is_told_and_the_next_write_goes_on() {
    in_bounded_time(|| {
        let clock = FragileClock::default();
        let Fixture { folder: _folder, store } =
            fixture(Store::options().clock(clock.clone()).history(Duration::from_secs(9)));
        clock.0.store(true, Ordering::SeqCst);
        std::thread::scope(|scope| {
            for key in 0..4u8 {
                let store = &store;
                scope.spawn(move || {
                    let error = store.write(|tx| tx.put(C, &[key], b"")).unwrap_err();
                    assert_eq!(error.kind(), ErrorKind::NotCommitted);
                });
            }
        });
        clock.0.store(false, Ordering::SeqCst);
        store.write(|tx| tx.put(C, b"next", b"")).unwrap();
        assert_eq!(store.view().unwrap().stats(C).unwrap().count, 1);
    });
}

#[test]
fn a_write_inside_of_a_write_is_refused_and_a_view_inside_of_it_sees_the_state_before() {
    in_bounded_time(|| {
        let Fixture { folder: _folder, store } = fixture(Store::options());
        let refused = store.write(|tx| {
            tx.put(C, b"k", b"")?;
            assert_eq!(store.view()?.get(C, b"k")?, None);
            let alone: Result<()> = store.alone(|_| panic!("it ran"));
            assert_eq!(alone.unwrap_err().kind(), ErrorKind::Conflict);
            assert_eq!(store.close_file().unwrap_err().kind(), ErrorKind::Conflict);
            store.write(|_| Ok(()))
        });
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Conflict);
        assert_eq!(store.view().unwrap().get(C, b"k").unwrap(), None);
    });
}

#[test]
fn callers_who_wait_for_another_process_are_each_told_after_their_own_timeout() {
    in_bounded_time(|| {
        let timeout = Duration::from_secs(1);
        let Fixture { folder, store } = fixture(Store::options().lock_timeout(timeout));
        // A second handle locks as another process does.
        let other = Store::options().open_with(&folder.path().join("h.redb"), &[]).unwrap();
        let longest = other.alone(|_| {
            let waited = AtomicU64::new(0);
            std::thread::scope(|scope| {
                for caller in 0..8 {
                    let (store, waited) = (&store, &waited);
                    scope.spawn(move || {
                        let arrived = Instant::now();
                        let error = match caller % 2 {
                            0 => store.write(|tx| tx.put(C, b"k", b"")).unwrap_err(),
                            _ => store.load(|tx| tx.put(C, b"k", b"")).unwrap_err(),
                        };
                        assert_eq!(error.kind(), ErrorKind::Locked);
                        waited.fetch_max(arrived.elapsed().as_millis() as u64, Ordering::Relaxed);
                    });
                }
            });
            Ok(Outcome::Abort(waited.into_inner()))
        });
        let longest = longest.unwrap();
        assert!((1_000..4_000).contains(&longest), "the longest waited {longest} ms");
        store.write(|tx| tx.put(C, b"k", b"")).unwrap();
    });
}

#[test]
fn a_caller_that_waits_for_long_work_of_its_own_process_is_not_told_that_another_is_writing() {
    in_bounded_time(|| {
        let Fixture { folder, store } = fixture(Store::options().lock_timeout(Duration::from_millis(1500)));
        let other = Store::options().open_with(&folder.path().join("h.redb"), &[]).unwrap();
        let pause = |millis| {
            std::thread::sleep(Duration::from_millis(millis));
            Ok(())
        };
        std::thread::scope(|scope| {
            scope.spawn(|| other.load(|_| pause(100)).unwrap());
            pause(30).unwrap();
            // Waits for the other one first.
            scope.spawn(|| store.load(|_| pause(2500)).unwrap());
            pause(30).unwrap();
            store.write(|tx| tx.put(C, b"k", b"")).unwrap();
        });
    });
}

#[test]
fn a_committed_caller_is_told_although_the_next_one_waits_for_another_process() {
    const CALLERS: usize = 6;
    in_bounded_time(|| {
        let Fixture { folder, store } = fixture(Store::options());
        // A second handle locks as another process does.
        let other = Store::options().open_with(&folder.path().join("h.redb"), &[]).unwrap();
        let told: [AtomicU64; CALLERS] = Default::default();
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for caller in 0..CALLERS {
                let (store, told, stop) = (&store, &told, &stop);
                scope.spawn(move || {
                    for number in 1u64.. {
                        store.write(|tx| tx.put(C, &[caller as u8], &number.to_be_bytes())).unwrap();
                        told[caller].store(number, Ordering::SeqCst);
                        if stop.load(Ordering::SeqCst) {
                            return;
                        }
                    }
                });
            }
            for round in 0..40 {
                std::thread::sleep(Duration::from_millis(3 + round % 6));
                let late = other.alone(|tx| {
                    let committed = |caller: usize| -> u64 {
                        let bytes = tx.get(C, &[caller as u8]).unwrap();
                        bytes.map_or(0, |bytes| u64::from_be_bytes(bytes.try_into().unwrap()))
                    };
                    let is_told = |caller: usize| told[caller].load(Ordering::SeqCst) >= committed(caller);
                    let began = Instant::now();
                    while !(0..CALLERS).all(is_told) && began.elapsed() < Duration::from_secs(2) {
                        std::thread::yield_now();
                    }
                    Ok(Outcome::Abort((0..CALLERS).any(|caller| !is_told(caller))))
                });
                if !matches!(late, Ok(false)) {
                    stop.store(true, Ordering::SeqCst);
                    panic!("it was committed, and its caller was not told: {late:?}");
                }
            }
            stop.store(true, Ordering::SeqCst);
        });
    });
}

#[test]
fn closing_does_not_wait_for_writers_who_follow_one_another() {
    in_bounded_time(|| {
        let Fixture { folder: _folder, store } = fixture(Store::options());
        std::thread::scope(|scope| {
            let writers: Vec<_> = (0..8u8)
                .map(|key| {
                    let store = &store;
                    scope.spawn(move || {
                        loop {
                            if let Err(error) = store.write(|tx| tx.put(C, &[key], b"")) {
                                return error.kind();
                            }
                        }
                    })
                })
                .collect();
            std::thread::sleep(Duration::from_millis(50));
            store.close_file().unwrap();
            for writer in writers {
                assert_eq!(writer.join().unwrap(), ErrorKind::Reopen);
            }
        });
    });
}

#[test]
fn a_transaction_that_changed_nothing_is_not_committed() {
    let Fixture { folder, store } = fixture(Store::options());
    let bytes = || std::fs::read(folder.path().join("h.redb")).unwrap();
    store.write(|tx| tx.put(C, b"k", b"")).unwrap();
    let before = bytes();
    store.write(|tx| tx.get(C, b"k").map(drop)).unwrap();
    store.write(|tx| tx.remove(C, b"none").map(drop)).unwrap();
    store.alone(|tx| tx.put(C, b"k", b"2").map(Outcome::Abort)).unwrap();
    assert!(bytes() == before);
}
