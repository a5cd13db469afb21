//! The files beside the store are removed or replaced while processes live, and one of them dies or closes.

use std::time::{Duration, Instant};

use super::Joining;
use super::shared::ONLY;
use super::test::{after_cut, open, sync_fails, two};
use crate::engine::session::writer_line::WriterLine;
use crate::engine::wal::folder::{FindSharedPage, LogFolder};
use crate::engine::wal::test::{C, Hive};
use crate::error::ErrorKind;
use crate::testkit::proof::disk::Disk;

/// A process dies in its turn.
fn die_in_its_turn(hive: &Hive) {
    let died = hive.store.write(|tx| {
        hive.cut_off();
        tx.put(C, b"lost", b"1")
    });
    assert!(died.is_err());
}

#[test]
fn a_store_is_closed_in_all_processes_whatever_came_to_its_shared_page_or_its_log() {
    for (harm, drops) in (0..3).flat_map(|harm| [(harm, false), (harm, true)]) {
        let disk = Disk::default();
        let hives = [(); 3].map(|()| open(&disk));
        hives.iter().for_each(|hive| hive.store.at_close(Box::new(|tx| tx.put(C, b"end", b"1"))));
        (0..4).for_each(|number| hives[0].put("a", number).unwrap());
        assert_eq!(hives[1].get("a"), Some(3));
        let page = disk.file().folder().shared_page(FindSharedPage::Existing).unwrap().unwrap();
        match harm {
            0 => page.file.set_len(0).unwrap(),
            1 => page.file.write(0, &[7; 256]).unwrap(),
            _ => disk.file().folder().remove(ONLY).unwrap(),
        }
        // The last one has not looked at the log.
        for hive in hives.into_iter().rev() {
            match drops {
                true => drop(hive),
                false => hive.store.close_file().unwrap_or_else(|error| panic!("{harm} {error}")),
            }
        }
        let again = open(&disk);
        assert_eq!(again.get("a"), Some(3), "{harm}");
        again.put("a", 4).unwrap();
        assert!(again.is_sound());
    }
}

#[test]
fn a_log_without_its_name_behind_a_process_that_died_goes_into_the_file_from_where_another_one_has_it_open() {
    for run in 0..3 {
        let (disk, one, two) = two();
        one.put("a", 1).unwrap();
        assert_eq!(two.get("a"), Some(1));
        disk.file().folder().remove(ONLY).unwrap();
        die_in_its_turn(&one);
        if run == 0 {
            two.store.close_file().unwrap();
            assert_eq!(open(&disk).get("a"), Some(1));
            continue;
        }
        if run == 1 {
            // It has the log open all the same when its first try fails.
            disk.fail(sync_fails());
            assert!(two.put("b", 1).is_err() && disk.mend());
            two.store.reopen().unwrap();
        }
        two.put("b", 2).unwrap();
        assert_eq!((two.get("a"), two.get("b")), (Some(1), Some(2)));
        let cut = after_cut(&disk, run);
        assert_eq!((cut.get("a"), cut.get("b")), (Some(1), Some(2)));
        assert!(cut.is_sound() && two.is_sound());
    }
}

#[test]
fn a_process_that_closes_the_store_slowly_is_waited_for_as_long_as_the_timeout_lasts() {
    let (disk, folder) = (Disk::default(), tempfile::tempdir().unwrap());
    let (line, file) = (WriterLine::new(&folder.path().join("h.redb")), disk.file());
    let begun = Instant::now();
    let closes = || Ok(begun.elapsed() < Duration::from_millis(2300));
    Joining::begin(&file.folder(), &line, Duration::from_secs(60), closes).unwrap();
    let (refused, begun) = (Joining::begin(&file.folder(), &line, Duration::ZERO, || Ok(true)), Instant::now());
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Locked);
    assert!(begun.elapsed() < Duration::from_secs(2));
}
