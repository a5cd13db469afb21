//! Processes that read a log that others share: also beside one that died, and without one of the files.

use std::ops::Bound;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use super::test::{every_death, open, options, sync_fails, two};
use crate::engine::options::Durability;
use crate::engine::records::Records;
use crate::engine::redb_file::{StorageBackend, WRITER};
use crate::engine::session::writer_line::WriterLine;
use crate::engine::wal::beginning::join::Joining;
use crate::engine::wal::disk::folder::{FindSharedPage, LogFolder};
use crate::engine::wal::disk::shared::ONLY;
use crate::engine::wal::test::{C, Hive, Hold, SHORT, open_with};
use crate::error::{ErrorKind, Result};
use crate::testkit::proof::choices::Choices;
use crate::testkit::proof::disk::{Disk, DiskFile};

/// A process that only reads.
pub(super) fn reader(disk: &Disk) -> Hive {
    patient_reader(disk, Duration::from_secs(1))
}

/// The same with a lock timeout of its own.
fn patient_reader(disk: &Disk, lock_timeout: Duration) -> Hive {
    let mut options = options().read_only(true).lock_timeout(lock_timeout);
    options.follows_log = true;
    open_with(disk, options, None).unwrap()
}

#[test]
fn a_reader_shows_at_once_what_was_answered_wherever_a_process_died() {
    let deaths = every_death(|fault| {
        let disk = Disk::default();
        let one = open(&disk);
        one.put("a", 0).unwrap();
        let reader = reader(&disk);
        disk.fail(fault);
        let mut steps = (1..9).map(|number| match number {
            4 | 6 => one.store.lay_log_down().and_then(|()| one.put("a", number)).map(|()| number),
            _ => one.put("a", number).map(|()| number),
        });
        let answered = steps.by_ref().map_while(Result::ok).last().unwrap_or_default();
        one.cut_off();
        let has_struck = disk.mend();
        let begun = Instant::now();
        let found = reader.get("a").unwrap();
        assert!(begun.elapsed() < Duration::from_millis(500), "{fault:?}");
        assert!(found == answered || found == answered + 1, "{fault:?} {answered} {found}");
        has_struck
    });
    assert!(deaths > 30, "{deaths}");
}

#[test]
fn a_reader_goes_on_beside_processes_that_write() {
    let (disk, one, two) = two();
    let reader = reader(&disk);
    for number in 0..200 {
        let writer = if number % 3 == 0 { &one } else { &two };
        writer.put("a", number).unwrap();
        if number % 50 == 49 {
            writer.store.lay_log_down().unwrap();
        }
        assert_eq!(reader.get("a"), Some(number));
    }
}

#[test]
fn a_log_that_was_removed_is_locked_while_processes_share_it_and_goes_into_the_file_in_whatever_order_they_close() {
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let (disk, one, two) = two();
        assert_eq!(two.get("begun"), Some(2));
        let (reader, three) = (reader(&disk), open(&disk));
        one.put("a", 1).unwrap();
        assert_eq!(two.get("a"), Some(1));
        disk.file().folder().remove(ONLY).unwrap();
        for hive in [&three, &reader] {
            let refused = hive.store.view().map(drop).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Locked, "{refused}");
            assert!(refused.to_string().contains("was removed"), "{refused}");
            assert!(!refused.to_string().contains("repair"), "{refused}");
        }
        let hives = [one, two, three];
        order.into_iter().for_each(|at| hives[at].store.close_file().unwrap());
        assert_eq!(reader.get("a"), Some(1), "{order:?}");
        assert_eq!(open(&disk).get("a"), Some(1), "{order:?}");
    }
}

/// The bytes of the shared page.
fn page_of(disk: &Disk) -> Vec<u8> {
    let page = disk.file().folder().shared_page(FindSharedPage::Existing).unwrap().unwrap();
    let mut bytes = vec![0; 256];
    page.file.read(0, &mut bytes).unwrap();
    bytes
}

/// A process that has begun to open the store, and stands still in its turn. It dies with its file.
fn opening(disk: &Disk) -> (Joining, DiskFile) {
    let (file, folder) = (disk.file(), tempfile::tempdir().unwrap());
    let line = WriterLine::new(&folder.path().join("h.redb"));
    let joining = Joining::begin(&file.folder(), &line, Duration::from_secs(1), || Ok(false)).unwrap();
    assert!(joining.is_first());
    (joining, file)
}

#[test]
fn a_reader_shows_nothing_by_a_shared_page_of_an_earlier_time_while_the_first_process_opens_the_store() {
    let (disk, one, _two) = two();
    one.put("a", 1).unwrap();
    let earlier = page_of(&disk);
    one.put("a", 2).unwrap();
    let cut = Disk::of(disk.cut(&mut Choices::seeded(1)));
    let page = cut.file().folder().shared_page(FindSharedPage::Make).unwrap().unwrap();
    page.file.set_len(256).unwrap();
    page.file.write(0, &earlier).unwrap();
    let (joining, _file) = opening(&cut);
    let reader = patient_reader(&cut, Duration::from_secs(2));
    let begun = Instant::now();
    let shown: Result<Vec<u8>> = reader.store.view().map(|view| view.get(C, b"a").unwrap().unwrap());
    let refused = shown.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Locked, "{refused}");
    assert!(begun.elapsed() > Duration::from_millis(1900), "it did not wait for the opening");
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| reader.get("a"));
        std::thread::sleep(Duration::from_millis(100));
        drop(joining);
        let _first = open(&cut);
        assert_eq!(waits.join().unwrap(), Some(2));
    });
}

#[test]
fn a_turn_behind_a_process_that_died_does_not_move_a_log_that_lacks_what_was_told() {
    let (disk, one, two) = two();
    one.put("a", 1).unwrap();
    assert_eq!(two.get("a"), Some(1));
    let end = two.store.inner.gate.log().unwrap().turns.as_ref().unwrap().followed.lock().end;
    let died = one.store.write(|tx| {
        one.cut_off();
        let section = disk.file().folder().open(ONLY).unwrap().unwrap();
        let mut byte = [0];
        section.read(end.place - 1, &mut byte).unwrap();
        section.write(end.place - 1, &[byte[0] ^ 1]).unwrap();
        for _ in 0..2 {
            let refused = two.put("b", 1).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Damaged, "{refused}");
            assert!(refused.to_string().contains("repair the store"), "{refused}");
        }
        section.write(end.place - 1, &byte).unwrap();
        tx.put(C, b"a", b"lost")
    });
    assert!(died.is_err() && disk.file().folder().open(ONLY).unwrap().is_some(), "the file of the log is gone");
    // It is as it was.
    two.put("b", 2).unwrap();
    assert_eq!((two.get("a"), two.get("b")), (Some(1), Some(2)));
    assert!(two.is_sound());
}

#[test]
fn a_turn_behind_a_process_that_died_without_its_log_ends_nothing() {
    let (disk, hold) = (Disk::default(), Arc::<Hold>::default());
    let one = open_with(&disk, options(), Some(&hold)).unwrap();
    let two = open(&disk);
    (0..3).for_each(|number| one.put("a", number).unwrap());
    hold.set(true);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| one.put("a", 9));
        hold.wait_for_a_sync();
        one.cut_off();
        hold.set(false);
        assert!(writer.join().unwrap().is_err());
    });
    let section = disk.file().folder().open(ONLY).unwrap().unwrap();
    let mut bytes = vec![0; usize::try_from(section.len().unwrap()).unwrap()];
    section.read(0, &mut bytes).unwrap();
    disk.file().folder().remove(ONLY).unwrap();
    let refused = two.put("b", 1).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Locked, "{refused}");
    drop(disk.file().folder().make(ONLY, &bytes, bytes.len() as u64).unwrap());
    two.put("b", 2).unwrap();
    assert!(two.get("a").is_some_and(|number| number == 2 || number == 9) && two.is_sound());
}

#[test]
fn a_log_whose_process_died_in_its_turn_is_news_for_the_next_one_and_for_one_that_opens_the_file_again() {
    let (disk, one, two) = two();
    assert!(two.store.take_log_news().is_empty());
    disk.fail(sync_fails());
    assert_eq!(one.put("a", 1).unwrap_err().kind(), ErrorKind::Uncertain);
    two.put("b", 1).unwrap();
    let news = two.store.take_log_news();
    assert_eq!(news.taken.map(|log| log.sections), Some(1));
    assert!(two.store.take_log_news().is_empty());
    one.store.reopen().unwrap();
    assert!(one.store.take_log_news().is_empty(), "the other one has taken it up");
    drop(two.kill());
    (0..3).for_each(|number| one.put("a", number).unwrap());
    disk.fail(sync_fails());
    assert_eq!(one.put("a", 4).unwrap_err().kind(), ErrorKind::Uncertain);
    one.store.reopen().unwrap();
    assert!(one.store.take_log_news().taken.is_some());
}

#[test]
fn a_caller_waits_no_longer_than_its_timeout_for_the_turn_and_the_file_together() {
    let timeout = Duration::from_millis(500);
    let disk = Disk::default();
    let [one, two] = [(), ()].map(|()| open_with(&disk, options().lock_timeout(timeout), None).unwrap());
    (0..3).for_each(|number| two.put("a", number).unwrap());
    // As a copy keeps writers out.
    let copies = disk.file();
    let byte = Bound::Included(WRITER);
    assert!(copies.try_lock_shared_range(byte, byte).unwrap());
    let inside = Barrier::new(2);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            two.store.write(|tx| {
                inside.wait();
                std::thread::sleep(timeout - Duration::from_millis(100));
                tx.put(C, b"a", b"7")
            })
        });
        inside.wait();
        let begun = Instant::now();
        let refused = one.store.load(|tx| tx.put(C, b"b", b"1")).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Locked, "{refused}");
        assert!(begun.elapsed() < timeout + Duration::from_millis(250), "{:?}", begun.elapsed());
        writer.join().unwrap().unwrap();
    });
    copies.unlock_range(byte, byte).unwrap();
    one.store.load(|tx| tx.put(C, b"b", b"2")).unwrap();
}

#[test]
fn a_reader_and_a_writer_tell_of_the_shared_log_and_that_no_answer_comes_before_the_disk() {
    let (disk, one, _two) = two();
    let (reader, soft) = (reader(&disk), open_with(&disk, options().durability(Durability::System), None).unwrap());
    for hive in [&one, &reader, &soft] {
        let log = hive.store.log_status().unwrap();
        assert!(log.in_use && log.since.is_some());
        assert_eq!((log.sections, log.bytes, log.durability), (1, SHORT, Durability::Disk));
    }
    one.store.lay_log_down().unwrap();
    assert_eq!(reader.store.log_status().map(|log| log.in_use), None, "only the path says that others share it");
    assert_eq!(one.store.log_status().map(|log| (log.in_use, log.since)), Some((false, None)));
}
