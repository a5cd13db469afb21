//! The log within its bound of memory, and on a disk that is full.

use std::time::{Duration, Instant};

use crate::engine::options::{Options, Sharing};
use crate::engine::records::Records;
use crate::engine::wal::test::{C, Hive, SHORT, open, open_with, options, sections};
use crate::testkit::proof::disk::Disk;

/// A store whose log is in use, and nothing of it is moved unless a writer does it.
fn not_tended(options: Options) -> Hive {
    let hive = open_with(&Disk::default(), options, None).unwrap();
    (0..3).for_each(|number| hive.put("a", number).unwrap());
    // As if the thread that moves sections stood still.
    hive.store.inner.gate.log().unwrap().bell.stop();
    hive
}

/// Puts `rows` records of a length in one commit.
fn put_rows(hive: &Hive, rows: u64, length: usize) {
    let value = vec![7; length];
    hive.store.write(|tx| (0..rows).try_for_each(|row| tx.put(C, &row.to_be_bytes(), &value))).unwrap();
}

#[test]
fn rows_in_memory_stay_within_their_bound_while_nothing_is_moved() {
    let bound = super::way::MOST_IN_MEMORY + 2 * crate::engine::wal::encoding::section::MOST as usize;
    for (commits, rows, length) in [(200, 1, 200 << 10), (130, 2_000, 1), (60, 4, 300 << 10)] {
        let hive = not_tended(options().first_section(crate::engine::wal::encoding::section::MOST));
        let log = hive.store.inner.gate.log().unwrap();
        let mut most = 0;
        for _ in 0..commits {
            put_rows(&hive, rows, length);
            most = most.max(log.bytes_in_memory());
        }
        assert!(most > super::way::MOST_IN_MEMORY && most < bound, "most={most} rows={rows} length={length}");
    }
}

#[test]
fn commits_of_a_thousand_rows_go_into_the_log_after_the_first_ones() {
    for (rows, length) in [(1000, 240), (2, 700 << 10)] {
        let hive = not_tended(options());
        (0..3).for_each(|_| put_rows(&hive, rows, length));
        let log = hive.store.inner.gate.log().unwrap();
        for commit in 0..8 {
            let before = log.bytes_in_memory();
            put_rows(&hive, rows, length);
            assert!(log.bytes_in_memory() > before, "commit={commit} rows={rows}");
        }
        let hive = open(&hive.kill());
        assert_eq!(hive.store.view().unwrap().stats(C).unwrap().count, rows + 1);
        assert!(hive.is_sound());
    }
}

#[test]
fn commits_of_a_thousand_rows_go_into_a_log_that_several_processes_share() {
    for (rows, length) in [(1000, 240), (2, 350 << 10)] {
        let hive = not_tended(options().sharing(Sharing::SharedLog).reserve(false));
        (0..3).for_each(|_| put_rows(&hive, rows, length));
        for commit in 0..20 {
            put_rows(&hive, rows, length);
            assert!(hive.store.log_status().unwrap().in_use, "commit={commit} rows={rows}");
        }
        let hive = open(&hive.kill());
        assert_eq!(hive.store.view().unwrap().stats(C).unwrap().count, rows + 1);
        assert!(hive.is_sound());
    }
}

#[test]
fn a_section_with_one_long_commit_is_followed_by_one_that_has_room_for_its_like() {
    let hive = not_tended(options());
    (0..3).for_each(|_| put_rows(&hive, 1000, 240));
    for _ in 0..3 {
        hive.put("b", 1).unwrap();
        put_rows(&hive, 1000, 240);
        hive.store.rest_log().unwrap();
    }
    let log = hive.store.inner.gate.log().unwrap();
    put_rows(&hive, 1000, 240);
    assert!(log.bytes_in_memory() > 240_000);
}

#[test]
fn commits_go_straight_into_the_file_while_there_is_no_room_for_a_section() {
    let hive = open_with(&Disk::default(), options().tends_log(false).first_section(1 << 20), None).unwrap();
    hive.put("a", 1).unwrap();
    hive.disk.leave_room(100);
    (2..5).for_each(|number| hive.put("a", number).unwrap());
    assert!(sections(&hive.disk.seen()).is_empty());
    let hive = open(&hive.kill());
    assert_eq!(hive.get("a"), Some(4));
}

#[test]
fn on_a_disk_that_is_full_reads_and_commits_go_on_and_the_rest_is_moved_once_there_is_room() {
    let disk = Disk::default();
    let hive = open_with(&disk, options().first_section(SHORT), None).unwrap();
    let value = vec![7; 300];
    let put = |number: u64| hive.store.write(|tx| tx.put(C, &number.to_be_bytes(), &value));
    (0..2_000).for_each(|number| put(number % 1_000).unwrap());
    hive.store.rest_log().unwrap();
    (0..3).for_each(|number| put(number).unwrap());
    disk.leave_room(0);
    // Nothing can be moved: after a second of rest that is found.
    std::thread::sleep(Duration::from_millis(1300));
    let begun = Instant::now();
    let mut number = 1_000;
    while number <= 1_020 {
        assert!(begun.elapsed() < Duration::from_secs(60), "commits did not go on: {number}");
        // A call may fall into the moment in which the file is opened anew.
        match put(number) {
            Ok(()) => number += 1,
            Err(_) => std::thread::sleep(Duration::from_millis(10)),
        }
    }
    assert!(!sections(&disk.seen()).is_empty());
    let count = || loop {
        let counted = hive.store.view().and_then(|view| view.stats(C));
        assert!(begun.elapsed() < Duration::from_secs(60), "it cannot be read: {counted:?}");
        if let Ok(stats) = counted {
            return stats.count;
        }
    };
    assert_eq!(count(), number);
    disk.leave_room(10_000);
    let begun = Instant::now();
    while hive.store.rest_log().is_err() {
        assert!(begun.elapsed() < Duration::from_secs(60), "it is not moved");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(count(), number);
    assert!(hive.is_sound());
    hive.store.close_file().unwrap();
    assert!(sections(&disk.seen()).is_empty());
}

#[test]
fn a_log_for_which_there_is_no_room_is_read_where_it_lies_and_moved_by_the_next_write() {
    let hive = open_with(&Disk::default(), options().tends_log(false).first_section(1 << 20), None).unwrap();
    (0..20).for_each(|number| hive.put(&format!("key {number}"), number).unwrap());
    let value = vec![7; 9_000];
    (0..40_u64).for_each(|number| hive.store.write(|tx| tx.put(C, &number.to_be_bytes(), &value)).unwrap());
    let disk = hive.kill();
    disk.leave_room(0);
    let hive = open(&disk);
    assert_eq!(hive.get("key 19"), Some(19));
    assert!(!sections(&disk.seen()).is_empty());
    assert!(hive.put("key 19", 20).is_err());
    assert!(!sections(&disk.seen()).is_empty());
    disk.leave_room(5_000);
    hive.store.reopen().unwrap();
    hive.put("key 19", 21).unwrap();
    let hive = open(&hive.kill());
    assert_eq!((hive.get("key 18"), hive.get("key 19")), (Some(18), Some(21)));
}

#[test]
fn a_log_that_several_processes_share_fits_with_its_rows_into_the_reserve() {
    let few_and_long = [(60, 2, 200 << 10), (20, 3, 250 << 10), (3, 1, 3 << 20)];
    for (commits, rows, length) in [(200, 1, 200 << 10), (60, 1_500, 1)].into_iter().chain(few_and_long) {
        let hive = not_tended(
            options().sharing(Sharing::SharedLog).first_section(crate::engine::wal::encoding::section::MOST),
        );
        let log = hive.store.inner.gate.log().unwrap();
        let (mut most, mut longest) = (0, 0);
        for _ in 0..commits {
            put_rows(&hive, rows, length);
            most = most.max(log.bytes_in_memory());
            longest = longest.max(hive.store.log_status().unwrap().bytes);
        }
        assert!(most <= 2 << 20 && longest <= 2 << 20, "most={most} longest={longest} rows={rows} length={length}");
    }
}
