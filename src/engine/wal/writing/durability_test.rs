//! Writes that are answered before they are on the disk.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::engine::options::Durability;
use crate::engine::records::Records;
use crate::engine::store::Store;
use crate::engine::wal::test::{C, Hive, Hold, logging, open, open_with, options};
use crate::error::{Error, ErrorKind, Result};
use crate::testkit::proof::choices::Choices;
use crate::testkit::proof::disk::{Disk, EIO, Fault, Operation, Request, Synced, survivor};

/// Writes a row of its own for each number.
fn put(store: &Store, number: u64) -> Result<()> {
    store.write(|tx| tx.put(C, &number.to_be_bytes(), b"x"))
}

fn soft(hive: &Hive) -> Store {
    hive.store.with_durability(Durability::System)
}

/// The numbers that are there must be those up to one.
fn newest(hive: &Hive, numbers: u64) -> Option<u64> {
    let view = hive.store.view().unwrap();
    let there: Vec<_> = (0..numbers).filter(|number| view.get(C, &number.to_be_bytes()).unwrap().is_some()).collect();
    assert!(there.iter().copied().eq(0..there.len() as u64), "the order was not kept: {there:?}");
    there.last().copied()
}

#[test]
fn a_write_for_the_system_is_one_write_and_no_sync_and_survives_a_kill() {
    let hive = logging();
    hive.disk.record();
    (0..5).for_each(|number| put(&soft(&hive), number).unwrap());
    let trace = hive.disk.take_trace();
    assert!(trace.len() == 5 && trace.iter().all(|request| matches!(request, Request::Write(..))), "{trace:?}");
    assert_eq!(newest(&hive, 9), Some(4));
    assert_eq!(newest(&open(&hive.kill()), 9), Some(4));
}

#[test]
fn a_write_that_must_not_be_taken_back_waits_for_the_disk() {
    let hive = logging();
    hive.disk.record();
    let wait = |tx: &mut crate::engine::write::WriteTx<'_>| {
        tx.wait_for_disk();
        tx.put(C, b"token", b"1")
    };
    soft(&hive).write(wait).unwrap();
    assert!(hive.disk.take_trace().iter().any(Request::is_sync));
}

#[test]
fn a_write_for_the_system_is_on_the_disk_a_moment_later() {
    let hive = open_with(&Disk::default(), options(), None).unwrap();
    (0..3).for_each(|number| put(&hive.store, number).unwrap());
    hive.disk.record();
    put(&soft(&hive), 3).unwrap();
    let begun = Instant::now();
    let log = hive.store.inner.gate.log().unwrap();
    while !log.is_durable(log.lock().number()) {
        assert!(begun.elapsed() < Duration::from_secs(20), "nobody synced it");
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(hive.disk.take_trace().iter().any(Request::is_sync));
}

#[test]
fn a_write_for_the_system_is_not_answered_once_a_sync_behind_it_has_failed() {
    let hive = open_with(&Disk::default(), options().tends_log(false), None).unwrap();
    (0..3).for_each(|number| put(&hive.store, number).unwrap());
    let log = hive.store.inner.gate.log().unwrap();
    let number = log.lock().number() + 1;
    // The sync of another thread, between the entry of a writer and its answer.
    log.give_up(&Error::new(ErrorKind::Io, "on purpose"));
    assert_eq!(log.answer(number).unwrap_err().kind(), ErrorKind::Uncertain);
    assert!(log.answer(number - 1).is_ok());
}

#[test]
fn a_write_for_the_disk_waits_for_the_sync_of_what_it_saw_and_one_for_the_system_does_not() {
    let hold = Arc::<Hold>::default();
    let hive = open_with(&Disk::default(), options().tends_log(false), Some(&hold)).unwrap();
    (0..3).for_each(|number| put(&hive.store, number).unwrap());
    hold.set(true);
    put(&soft(&hive), 3).unwrap();
    let refused = soft(&hive).write(|_| Err::<(), _>(Error::conflict("on purpose")));
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Conflict);
    soft(&hive).write(|_| Ok(())).unwrap();
    assert_eq!(newest(&hive, 9), Some(3));
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| hive.store.write(|tx| tx.get(C, &3_u64.to_be_bytes())));
        hold.wait_for_a_sync();
        assert!(!reading.is_finished());
        hold.set(false);
        assert!(reading.join().unwrap().unwrap().is_some());
    });
}

#[test]
fn after_a_power_cut_writes_for_the_system_are_a_prefix_and_none_for_the_disk_is_lost() {
    let (mut cuts, mut lost) = (0, 0);
    for seed in 0..6 {
        let mut choices = Choices::seeded(seed);
        let hive = logging();
        let base = hive.disk.seen();
        hive.disk.record();
        let (mut answered, mut begun) = (Vec::new(), Vec::new());
        for number in 0..90_u64 {
            begun.push(hive.disk.recorded());
            let is_hard = match choices.below(12) {
                0..=6 => put(&soft(&hive), number).map(|()| false),
                7..=10 => put(&hive.store, number).map(|()| true),
                _ => hive.store.load(|tx| tx.put(C, &number.to_be_bytes(), b"x")).map(|()| true),
            };
            answered.push((hive.disk.recorded(), is_hard.unwrap()));
            match choices.below(24) {
                0 => hive.store.rest_log().unwrap(),
                1 => hive.store.lay_log_down().unwrap(),
                _ => {}
            }
        }
        let trace = hive.disk.take_trace();
        drop(hive.kill());
        let mut synced = Synced::of(base);
        for at in 0..=trace.len() {
            let found = open(&Disk::of(survivor(&synced, &mut choices)));
            let newest = newest(&found, 90).map_or(0, |number| number + 1);
            let told = |is_so: fn(bool) -> bool| {
                answered.iter().rposition(|(told, hard)| *told <= at && is_so(*hard)).map_or(0, |last| last as u64 + 1)
            };
            let (least, any) = (told(|hard| hard), told(|_| true));
            let most = begun.partition_point(|began| *began <= at) as u64;
            assert!(newest >= least && newest <= most, "seed={seed} at={at} newest={newest} least={least} most={most}");
            lost += u64::from(newest < any);
            cuts += 1;
            trace.get(at).into_iter().for_each(|request| synced.take(request.clone()));
        }
    }
    assert!(cuts > 600 && lost > 20, "cuts={cuts} lost={lost}");
}

#[test]
fn after_a_failed_sync_nobody_is_told_that_a_write_for_the_system_succeeded() {
    let hive = logging();
    put(&soft(&hive), 0).unwrap();
    hive.disk.fail(Fault { kind: Operation::Sync, nth: 1, for_ever: false, errno: EIO, short: false, forgets: false });
    assert_eq!(put(&hive.store, 1).unwrap_err().kind(), ErrorKind::Uncertain);
    assert_eq!(put(&soft(&hive), 2).unwrap_err().kind(), ErrorKind::Reopen);
}
