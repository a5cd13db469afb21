//! The group commit under many interleavings of its callers, chosen by a scheduler.
//!
//! `RUSTFLAGS="--cfg shuttle" cargo test --no-default-features --lib interleaving`, with `HIVEKEEP_TEST_SCALE=N` for N
//! times as many.

use std::sync::Arc;

use shuttle::scheduler::{PctScheduler, RandomScheduler};

use crate::engine::commit::Outcome;
use crate::engine::format::schema::CollectionId;
use crate::engine::options::Sharing;
use crate::engine::records::Records;
use crate::engine::store::{Options, Store};
use crate::engine::wal::LogFolder;
use crate::error::{Error, Result};
use crate::testkit::proof::disk::Disk;

const C: CollectionId = CollectionId::CONFIG;
/// So many schedules, times the scale.
const SCHEDULES: usize = 300;
const WRITERS: u64 = 3;

fn schedules() -> usize {
    let scale = std::env::var("HIVEKEEP_TEST_SCALE").ok().and_then(|scale| scale.parse().ok());
    SCHEDULES * scale.unwrap_or(1)
}

fn number(records: &impl Records, key: &[u8]) -> Result<u64> {
    let bytes = records.get(C, key)?.unwrap_or_default();
    Ok(bytes.try_into().map(u64::from_be_bytes).unwrap_or_default())
}

/// Adds one to the sum and to the writer's own number; gives the sum.
fn add(store: &Store, writer: u64, fails: bool) -> Result<u64> {
    store.write(|tx| {
        let sum = number(&*tx, b"sum")? + 1;
        tx.put(C, b"sum", &sum.to_be_bytes())?;
        let own = number(&*tx, &[writer as u8])? + 1;
        tx.put(C, &[writer as u8], &own.to_be_bytes())?;
        if fails { Err(Error::conflict((sum - 1).to_string())) } else { Ok(sum) }
    })
}

fn without_log() {
    let options = Options::default().sharing(Sharing::Exclusive);
    let store = options.open_over(redb::backends::InMemoryBackend::new, || None, "in memory".as_ref(), &[]).unwrap();
    write_together(store);
}

/// Commits go into a log whose sections are short, so that some of them are ended and moved meanwhile.
fn with_log() {
    let file = Disk::default().file();
    let beside = file.clone();
    let folder = move || -> Option<Box<dyn LogFolder>> { Some(Box::new(beside.folder())) };
    let options = Options::default().sharing(Sharing::Exclusive).tends_log(false).first_section(2048);
    let store = options.open_over(move || file.clone(), folder, "in memory".as_ref(), &[]).unwrap();
    // The second begins the log.
    (0..2).for_each(|_| store.write(|tx| tx.put(C, b"before", b"")).unwrap());
    write_together(store);
}

/// Three writers, one of which fails once, and one who works alone.
fn write_together(store: Store) {
    let store = Arc::new(store);
    let mut threads = Vec::new();
    for writer in 0..WRITERS {
        let store = store.clone();
        threads.push(shuttle::thread::spawn(move || {
            let first = add(&store, writer, writer == 0);
            assert_eq!(first.is_err(), writer == 0, "somebody else's failure was told: {first:?}");
            if let Err(error) = first {
                let (seen, now) = (error.to_string().parse().unwrap(), number(&store.view().unwrap(), b"sum").unwrap());
                assert!(now >= seen, "an error told of a state before it was committed");
            }
            let sum = add(&store, writer, false).unwrap();
            let view = store.view().unwrap();
            assert!(number(&view, b"sum").unwrap() >= sum, "acknowledged before it was committed");
            assert_eq!(number(&view, &[writer as u8]).unwrap(), if writer == 0 { 1 } else { 2 });
        }));
    }
    let alone = store.clone();
    threads.push(shuttle::thread::spawn(move || {
        let seen = alone.alone(|tx| {
            let sum = number(&*tx, b"sum")?;
            tx.put(C, b"alone", &sum.to_be_bytes()).map(|()| Outcome::Commit(sum))
        });
        assert_eq!(number(&alone.view().unwrap(), b"alone").unwrap(), seen.unwrap());
    }));
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(number(&store.view().unwrap(), b"sum").unwrap(), 2 * WRITERS - 1);
}

/// redb needs a larger stack than the scheduler's threads have by default.
fn with_room() -> shuttle::Config {
    let mut config = shuttle::Config::new();
    config.stack_size = 1 << 20;
    config
}

#[test]
fn every_interleaving_ends_with_everybody_told_and_everything_acknowledged_there() {
    for together in [without_log, with_log] {
        let scheduler = RandomScheduler::new(schedules());
        shuttle::Runner::new(scheduler, with_room()).run(together);
    }
}

#[test]
fn the_same_holds_when_few_callers_are_overtaken_in_unlucky_places() {
    for together in [without_log, with_log] {
        let scheduler = PctScheduler::new(3, schedules());
        shuttle::Runner::new(scheduler, with_room()).run(together);
    }
}
