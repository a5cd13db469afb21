//! The shared page is emptied, torn, removed or replaced while processes live.

use std::time::{Duration, Instant};

use super::reading_test::reader;
use super::test::{after_cut, open, two};
use crate::engine::meta;
use crate::engine::records::Records;
use crate::engine::wal::disk::folder::{FindSharedPage, LogFolder};
use crate::engine::wal::disk::shared_page::SharedPageFile;
use crate::engine::wal::test::{C, Hive};
use crate::error::{ErrorKind, Result};
use crate::testkit::proof::disk::Disk;

/// The bytes of a shared page.
const BYTES: usize = 256;
/// No call takes longer.
const LONGEST: Duration = Duration::from_secs(10);

/// The ways in which a shared page comes to harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Harm {
    Emptied,
    /// Both copies.
    Garbled,
    /// The newer copy.
    Torn,
    Removed,
    /// By an older copy of the file.
    Replaced,
    /// Its content, by older content.
    Older,
}

const HARMS: [Harm; 6] = [Harm::Emptied, Harm::Garbled, Harm::Torn, Harm::Removed, Harm::Replaced, Harm::Older];

fn shared_page(disk: &Disk, find: FindSharedPage) -> SharedPageFile {
    disk.file().folder().shared_page(find).unwrap().unwrap()
}

fn content(disk: &Disk) -> Vec<u8> {
    let mut bytes = vec![0; BYTES];
    shared_page(disk, FindSharedPage::Existing).file.read(0, &mut bytes).unwrap();
    bytes
}

fn set_content(disk: &Disk, bytes: &[u8]) {
    shared_page(disk, FindSharedPage::Existing).file.write(0, bytes).unwrap();
}

fn do_harm(disk: &Disk, harm: Harm, older: &[u8]) {
    let page = shared_page(disk, FindSharedPage::Existing);
    match harm {
        Harm::Emptied => page.file.set_len(0).unwrap(),
        Harm::Garbled => set_content(disk, &[7; BYTES]),
        Harm::Torn => {
            let newer = (page.read().unwrap().sequence % 2) * (BYTES as u64 / 2);
            page.file.write(newer + 30, &[7; 40]).unwrap();
        }
        Harm::Removed => disk.file().folder().remove_shared_page().unwrap(),
        Harm::Replaced => {
            disk.file().folder().remove_shared_page().unwrap();
            shared_page(disk, FindSharedPage::Make).file.write(0, older).unwrap();
        }
        Harm::Older => set_content(disk, older),
    }
}

fn look(hive: &Hive) -> Result<Option<u64>> {
    let bytes = hive.store.view()?.get(C, b"a")?;
    bytes.map(|bytes| meta::number(&bytes)).transpose()
}

#[test]
fn older_content_in_the_place_of_the_shared_page_leads_nobody_to_write_over_what_was_answered() {
    for (steps, lays_down, reads) in (0..24).map(|run| (run % 6, run % 2 == 1, run % 3 == 2)) {
        let disk = Disk::default();
        let (one, two) = (open(&disk), open(&disk));
        let without_log = content(&disk);
        (0..3).for_each(|number| one.put("begun", number).unwrap());
        assert_eq!(two.get("begun"), Some(2));
        let older = if steps < 3 { content(&disk) } else { without_log };
        for number in 0..=steps {
            one.put("a", number).unwrap();
            // Behind the last one there is no log, as in the older content of the first shared page.
            if lays_down && (number == 1 || steps > 3 && number == steps) {
                one.store.lay_log_down().unwrap();
            }
        }
        if reads {
            assert_eq!(two.get("a"), Some(steps));
        }
        set_content(&disk, &older);
        two.put("b", 1).unwrap();
        assert_eq!((two.get("a"), one.get("a"), one.get("b")), (Some(steps), Some(steps), Some(1)), "{steps}");
        one.put("b", 2).unwrap();
        let cut = after_cut(&disk, steps);
        assert_eq!((cut.get("a"), cut.get("b")), (Some(steps), Some(2)), "{steps}");
        assert!(cut.is_sound() && two.is_sound());
    }
}

#[test]
fn a_process_that_finds_its_own_older_content_writes_over_nothing_that_another_one_has_answered() {
    for (commits, lays_down) in [(1, false), (3, false), (3, true)] {
        let disk = Disk::default();
        let (one, two) = (open(&disk), open(&disk));
        (0..commits).for_each(|number| one.put("a", number).unwrap());
        if lays_down {
            one.store.lay_log_down().unwrap();
        }
        let older = content(&disk);
        // Where there is no log yet, the other process begins one.
        (0..4).for_each(|number| two.put("b", number).unwrap());
        assert!(two.store.log_status().unwrap().in_use);
        set_content(&disk, &older);
        one.put("a", 9).unwrap();
        for hive in [&one, &two] {
            assert_eq!((hive.get("a"), hive.get("b")), (Some(9), Some(3)), "{commits}");
        }
        two.put("b", 10).unwrap();
        let cut = after_cut(&disk, commits);
        assert_eq!((cut.get("a"), cut.get("b")), (Some(9), Some(10)), "{commits}");
        assert!(cut.is_sound() && two.is_sound());
    }
}

#[test]
fn a_shared_page_that_comes_to_harm_is_an_error_that_says_so_and_loses_nothing() {
    for (harm, at, dies) in HARMS.iter().flat_map(|harm| (1..6).map(|at| (*harm, at, at % 2 == 0))) {
        let (disk, one, two) = two();
        let hives = [one, two, open(&disk)];
        let (reader, mut answered) = (reader(&disk), None);
        let mut older = content(&disk);
        for number in 0..9 {
            if number == at {
                do_harm(&disk, harm, &older);
            } else if number + 1 < at {
                older = content(&disk);
            }
            let begun = Instant::now();
            match hives[number as usize % 3].put("a", number) {
                Ok(()) => answered = Some(number),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Locked, "{harm:?} {error}");
                    assert!(error.to_string().contains("close the store in all of them"), "{error}");
                }
            }
            // It waits for a shared page, and so looks only once.
            let reader = Some(&reader).filter(|_| at == 1 && number == 8);
            for hive in hives.iter().chain(reader) {
                match look(hive) {
                    Ok(found) => assert_eq!(found, answered, "{harm:?} at={at} number={number}"),
                    Err(error) => assert_eq!(error.kind(), ErrorKind::Locked, "{error}"),
                }
            }
            assert!(begun.elapsed() < LONGEST, "{harm:?} {:?}", begun.elapsed());
        }
        assert!(answered == Some(8) || matches!(harm, Harm::Emptied | Harm::Garbled), "{harm:?} {answered:?}");
        for hive in hives {
            match dies {
                true => drop(hive.kill()),
                false => hive.store.close_file().unwrap(),
            }
        }
        drop(reader);
        let again = open(&disk);
        assert_eq!(again.get("a"), answered, "{harm:?} at={at} dies={dies}");
        again.put("a", 100).unwrap();
        assert!(again.is_sound());
    }
}
