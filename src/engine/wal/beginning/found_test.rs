//! Logs that an opening, a repair and a copy find.

use crate::engine::meta;
use crate::engine::store::Store;
use crate::engine::wal::LogIs;
use crate::engine::wal::test::{C, get_of, killed, logging, open_with, options, section_file, sections, to_files};
use crate::error::ErrorKind;
use crate::testkit::proof::disk::{Disk, DiskContent, Request};

#[test]
fn every_way_to_open_a_store_finds_what_is_in_its_log() {
    let folder = tempfile::tempdir().unwrap();
    let third = Some(3_u64.to_be_bytes().to_vec());
    for (name, way, is_read_only) in [
        ("look", Store::options().untouched(), true),
        ("read only", Store::options().read_only(true), true),
        ("shared", Store::options(), false),
        ("alone", options(), false),
    ] {
        let path = killed(folder.path());
        let before = std::fs::read(&path).unwrap();
        let store = way.session(false).reserve(false).open_with(&path, &[]).unwrap();
        assert_eq!(get_of(&store, "third"), third, "{name}");
        store.close_file().unwrap();
        assert_eq!(section_file(&path, 1).exists(), is_read_only, "{name}");
        assert_eq!(std::fs::read(&path).unwrap() == before, is_read_only, "{name}");
        let again = Store::options().session(false).reserve(false).open_with(&path, &[]).unwrap();
        assert_eq!(get_of(&again, "third"), third, "{name}");
        again.close_file().unwrap();
    }
}

#[test]
fn a_store_whose_log_is_missing_is_refused_and_one_of_another_file_is_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let path = killed(folder.path());
    let section = std::fs::read(section_file(&path, 1)).unwrap();
    std::fs::remove_file(section_file(&path, 1)).unwrap();
    for way in [options(), Store::options(), Store::options().untouched()] {
        let refused = way.open_with(&path, &[]).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Damaged);
        assert!(refused.to_string().contains("acknowledged writes after"), "{refused}");
        assert!(refused.to_string().contains("h.redb.wal.1, which is missing"), "{refused}");
    }
    std::fs::write(section_file(&path, 1), &section).unwrap();
    options().open_with(&path, &[]).unwrap().close_file().unwrap();
    // Yesterday's log beside today's file.
    std::fs::write(section_file(&path, 1), &section).unwrap();
    let store = options().open_with(&path, &[]).unwrap();
    (0..3_u64).for_each(|number| store.write(|tx| tx.put(C, b"third", &number.to_be_bytes())).unwrap());
    assert_eq!(get_of(&store, "third"), Some(2_u64.to_be_bytes().to_vec()));
    store.close_file().unwrap();
    // That of another store.
    let other = tempfile::tempdir().unwrap();
    let foreign = std::fs::read(section_file(&killed(other.path()), 1)).unwrap();
    std::fs::write(section_file(&path, 1), &foreign).unwrap();
    let store = options().open_with(&path, &[]).unwrap();
    (0..3_u64).for_each(|number| store.write(|tx| tx.put(C, b"third", &number.to_be_bytes())).unwrap());
    store.close_file().unwrap();
    assert_eq!(std::fs::read(crate::files::beside(&path, ".wal.1.other-1")).unwrap(), foreign);
}

#[test]
fn yesterdays_file_with_todays_log_is_refused() {
    let hive = logging();
    (0..200).for_each(|number| hive.put("a", number).unwrap());
    let yesterday = hive.disk.seen();
    (0..600).for_each(|number| hive.put("a", number).unwrap());
    let today = hive.disk.seen();
    drop(hive.kill());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h.redb");
    to_files(&today, &path);
    let mut bytes = vec![0; yesterday.store().len()];
    yesterday.store().read(0, &mut bytes).unwrap();
    std::fs::write(&path, bytes).unwrap();
    let refused = options().open_with(&path, &[]).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Damaged);
    assert!(refused.to_string().contains("does not go on where the file ends"), "{refused}");
}

#[test]
fn a_log_with_any_byte_damaged_gives_no_wrong_data() {
    let hive = logging();
    (0..4).for_each(|number| hive.put(&format!("key {number}"), number).unwrap());
    let content = hive.disk.seen();
    drop(hive.kill());
    let (_, image) = content.sections().next().unwrap();
    let mut bytes = vec![0; image.len()];
    image.read(0, &mut bytes).unwrap();
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    let (mut refused, mut shorter) = (0, 0);
    for (at, byte) in bytes.iter().enumerate().take(used + 8) {
        let file = hive_file(&content);
        let mut damaged = content.clone();
        damaged.apply(&Request::Write(file, at, [byte ^ 0x10].into()));
        match open_with(&Disk::of(damaged), options(), None) {
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
                refused += 1;
            }
            Ok(hive) => {
                // Only the last entry, which nobody vouches for, looks like one that was never finished.
                assert_eq!(
                    (0..3).map(|number| hive.get(&format!("key {number}"))).collect::<Vec<_>>(),
                    [0, 1, 2].map(Some)
                );
                shorter += usize::from(hive.get("key 3").is_none());
                assert!(hive.is_sound());
            }
        }
    }
    assert!(refused > used / 2 && shorter > 50, "refused={refused} shorter={shorter}");
}

fn hive_file(content: &DiskContent) -> usize {
    content.number_of(1).unwrap()
}

#[test]
fn a_repair_puts_the_rows_of_the_log_over_those_of_the_file() {
    let hive = logging();
    (0..20).for_each(|number| hive.put(&format!("key {number:02}"), number).unwrap());
    hive.store.rest_log().unwrap();
    hive.put("key 05", 500).unwrap();
    hive.store.write(|tx| tx.remove(C, b"key 06").map(drop)).unwrap();
    hive.put("new", 7).unwrap();
    let content = hive.disk.seen();
    drop(hive.kill());
    let folder = tempfile::tempdir().unwrap();
    let path = std::fs::canonicalize(folder.path()).unwrap().join("h.redb");
    to_files(&content, &path);
    let into = Store::options().session(false).reserve(false).open_with(&folder.path().join("new.redb"), &[]).unwrap();
    let report = crate::engine::repair::repair(&path, &into, LogIs::Used, None).unwrap();
    assert!(report.lost.is_empty() && report.notes.is_empty(), "{report}");
    let number = |key: &str| get_of(&into, key).map(|bytes| meta::number(&bytes).unwrap());
    assert_eq!(["key 04", "key 05", "key 06", "new"].map(number), [Some(4), Some(500), None, Some(7)]);
    assert!(crate::engine::check::check(&into.view().unwrap(), &|_, _| Ok(())).unwrap().is_sound());
    into.close_file().unwrap();
    // Without its log it goes back, and says so.
    for (section, _) in content.sections() {
        std::fs::remove_file(section_file(&path, section)).unwrap();
    }
    let into = Store::options().session(false).reserve(false).open_with(&folder.path().join("old.redb"), &[]).unwrap();
    let report = crate::engine::repair::repair(&path, &into, LogIs::Used, None).unwrap();
    assert!(report.notes[0].starts_with("acknowledged writes after"), "{report}");
    assert_eq!(get_of(&into, "key 05"), Some(5_u64.to_be_bytes().to_vec()));
}

#[cfg(feature = "transfer")]
#[test]
fn a_copy_of_a_store_whose_process_was_killed_has_what_was_in_its_log() {
    let folder = tempfile::tempdir().unwrap();
    let (path, to) = (killed(folder.path()), folder.path().join("copy.redb"));
    crate::engine::copy::copy(&path, &to, &|_, _| Ok(())).unwrap();
    let copy = Store::options().session(false).reserve(false).open_with(&to, &[]).unwrap();
    assert_eq!(get_of(&copy, "third"), Some(3_u64.to_be_bytes().to_vec()));
    copy.close_file().unwrap();
}

#[test]
fn todays_file_with_an_older_section_of_its_log_is_refused_and_so_is_a_section_that_was_cut_short() {
    let hive = logging();
    hive.put("a", 0).unwrap();
    let old = hive.disk.seen();
    (0..300).for_each(|number| hive.put("a", number).unwrap());
    let now = hive.disk.seen();
    drop(hive.kill());
    let folder = tempfile::tempdir().unwrap();
    let path = std::fs::canonicalize(folder.path()).unwrap().join("h.redb");
    to_files(&now, &path);
    let newest = *sections(&now).last().unwrap();
    let written = sections(&now)
        .into_iter()
        .rfind(|section| std::fs::read(section_file(&path, *section)).unwrap()[64..].iter().any(|byte| *byte != 0));
    let whole = std::fs::read(section_file(&path, written.unwrap())).unwrap();
    std::fs::write(section_file(&path, written.unwrap()), &whole[..whole.len() / 4]).unwrap();
    let refused = options().open_with(&path, &[]).unwrap_err();
    assert!(refused.to_string().contains("cut short"), "{refused}");
    for section in 1..=newest {
        let _gone = std::fs::remove_file(section_file(&path, section));
    }
    let (section, image) = old.sections().next().unwrap();
    let mut bytes = vec![0; image.len()];
    image.read(0, &mut bytes).unwrap();
    std::fs::write(section_file(&path, section), bytes).unwrap();
    let refused = options().open_with(&path, &[]).unwrap_err();
    assert!(refused.to_string().contains("acknowledged writes after"), "{refused}");
}

#[cfg(unix)]
#[test]
fn a_store_that_was_replaced_leaves_the_log_at_its_path_to_the_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = std::fs::canonicalize(folder.path()).unwrap().join("h.redb");
    let store = options().open_with(&path, &[]).unwrap();
    (0..4_u64).for_each(|number| store.write(|tx| tx.put(C, b"a", &number.to_be_bytes())).unwrap());
    let copy = folder.path().join("copy");
    std::fs::copy(&path, &copy).unwrap();
    std::fs::rename(&copy, &path).unwrap();
    assert_eq!(store.close_file().unwrap_err().kind(), ErrorKind::Moved);
    let store = options().open_with(&path, &[]).unwrap();
    assert_eq!(get_of(&store, "a"), Some(3_u64.to_be_bytes().to_vec()));
    store.close_file().unwrap();
}

#[cfg(target_os = "linux")]
#[test]
fn a_store_whose_name_is_no_text_has_a_log_like_every_other() {
    use std::os::unix::ffi::OsStrExt;

    let folder = tempfile::tempdir().unwrap();
    let name = std::ffi::OsStr::from_bytes(b"h\xff.redb");
    let path = std::fs::canonicalize(folder.path()).unwrap().join(name);
    for round in 0..2_u64 {
        let store = options().open_with(&path, &[]).unwrap();
        (0..4).for_each(|number: u64| store.write(|tx| tx.put(C, b"a", &(round + number).to_be_bytes())).unwrap());
        store.close_file().unwrap();
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}
