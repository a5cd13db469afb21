//! The files beside the store are removed or replaced while processes live, and one of them dies or closes.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::test::{after_cut, open, options, sync_fails, two};
use crate::engine::meta;
use crate::engine::session::writer_line::WriterLine;
use crate::engine::store::Store;
use crate::engine::wal::Joining;
use crate::engine::wal::disk::folder::{FindSharedPage, LogFolder};
use crate::engine::wal::disk::shared::ONLY;
use crate::engine::wal::test::{C, Hive, get_of, section_file};
use crate::error::{ErrorKind, Result};
use crate::testkit::proof::disk::Disk;

fn put(store: &Store, key: &str, number: u64) -> Result<()> {
    store.write(|tx| tx.put(C, key.as_bytes(), &number.to_be_bytes()))
}

fn get(store: &Store, key: &str) -> Option<u64> {
    get_of(store, key).map(|bytes| meta::number(&bytes).unwrap())
}

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

/// A store in a file, as one more process has it.
fn open_at(path: &Path) -> Store {
    options().lock_timeout(Duration::from_secs(2)).open_with(path, &[]).unwrap()
}

fn in_folder(folder: &tempfile::TempDir) -> PathBuf {
    std::fs::canonicalize(folder.path()).unwrap().join("h.redb")
}

#[cfg(unix)]
#[test]
fn a_process_to_which_the_others_tell_nothing_shows_nothing_older_than_what_they_answered() {
    let folders = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let [a, b] = folders.each_ref().map(in_folder);
    // A process over the second name dies, and leaves its shared page.
    let (page, kept) = (crate::files::beside(&b, ".turns"), crate::files::beside(&b, ".kept"));
    let dies = open_at(&b);
    put(&dies, "a", 1).unwrap();
    std::fs::hard_link(&page, &kept).unwrap();
    drop(dies);
    std::fs::rename(&kept, &page).unwrap();
    std::fs::hard_link(&b, &a).unwrap();
    let (one, two) = (open_at(&a), open_at(&b));
    let reader = open_reading(&a);
    (2..6).for_each(|number| put(&two, "a", number).unwrap());
    assert!(two.log_status().unwrap().in_use);
    for store in [&one, &reader] {
        let refused = store.view().map(drop).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Locked, "{refused}");
    }
    // Under its name lies the log.
    [two, one, reader].into_iter().for_each(|store| store.close_file().unwrap());
    assert_eq!(get(&open_at(&b), "a"), Some(5));
}

#[cfg(unix)]
fn open_reading(path: &Path) -> Store {
    let mut options = options().read_only(true).lock_timeout(Duration::from_millis(1));
    options.follows_log = true;
    options.open_with(path, &[]).unwrap()
}

#[cfg(unix)]
#[test]
fn a_log_whose_name_leads_elsewhere_is_ended_by_the_next_turn_of_a_process_that_has_it_open() {
    for is_replaced in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let path = in_folder(&folder);
        let [one, two] = [(); 2].map(|()| open_at(&path));
        (0..4).for_each(|number| put(&one, "a", number).unwrap());
        assert_eq!(get(&two, "a"), Some(3));
        let (section, copy) = (section_file(&path, ONLY), folder.path().join("copy"));
        std::fs::copy(&section, &copy).unwrap();
        match is_replaced {
            true => std::fs::rename(&copy, &section).unwrap(),
            false => std::fs::remove_file(&section).unwrap(),
        }
        put(&one, "a", 9).unwrap();
        put(&two, "b", 7).unwrap();
        let three = open_at(&path);
        for store in [&one, &two, &three] {
            assert_eq!((get(store, "a"), get(store, "b")), (Some(9), Some(7)), "{is_replaced}");
        }
        put(&three, "a", 10).unwrap();
        for store in [&one, &two, &three] {
            assert_eq!(get(store, "a"), Some(10), "{is_replaced}");
        }
    }
}
