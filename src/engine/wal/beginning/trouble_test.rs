//! The log of a store beside damage, foreign names, and openings that fail half-way.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::engine::feed::Fed;
use crate::engine::options::{Sharing, VerifyOnOpen};
use crate::engine::records::Records;
use crate::engine::redb_file::Handle;
use crate::engine::repair::{RepairOutcome, repair};
use crate::engine::store::Store;
use crate::engine::wal::LogIs;
use crate::engine::wal::test::{
    C, Hive, Hold, SHORT, get_of, killed, logging, open, open_with, options, section_file, sections, to_files,
};
use crate::error::{ErrorKind, Result};
use crate::testkit::proof::disk::{Disk, EIO, Fault, Operation, Request};

fn put(store: &Store, key: &str, number: u64) -> Result<()> {
    store.write(|tx| tx.put(C, key.as_bytes(), &number.to_be_bytes()))
}

fn number(store: &Store, key: &str) -> Option<u64> {
    get_of(store, key).map(|bytes| u64::from_be_bytes(bytes.try_into().unwrap()))
}

fn new_store(folder: &Path, name: &str) -> Store {
    Store::options().session(false).reserve(false).open_with(&folder.join(name), &[]).unwrap()
}

#[test]
fn a_process_that_begins_its_session_writes_once_and_ends_needs_no_log() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h.redb");
    for round in 0..3 {
        let store = Store::options().sharing(Sharing::Exclusive).open(&path).unwrap();
        put(&store, "a", round).unwrap();
        store.close().unwrap();
    }
    let hive = Store::options().read_only(true).session(false).open(&path).unwrap();
    let row = |key: &[u8]| hive.view().unwrap().row(crate::engine::format::schema::Table::Meta, key).unwrap();
    assert_eq!(row(crate::engine::meta::WAL), None);
    assert_eq!(number(&hive, "a"), Some(2));
}

#[test]
fn the_third_commit_of_a_process_begins_a_log() {
    let folder = tempfile::tempdir().unwrap();
    let path = std::fs::canonicalize(folder.path()).unwrap().join("h.redb");
    let store = options().open_with(&path, &[]).unwrap();
    for (round, begun) in [false, false, true, true].into_iter().enumerate() {
        put(&store, "a", round as u64).unwrap();
        assert_eq!(section_file(&path, 1).exists(), begun, "round={round}");
    }
}

#[test]
fn a_rest_moves_the_newest_section_too_when_there_were_several() {
    let hive = logging();
    let log = hive.store.inner.gate.log().unwrap();
    // Two maps: nothing moves the first one while its bell is taken away.
    while log.head.lock().maps.len() < 2 {
        log.bell.note_thread();
        hive.put("a", 1).unwrap();
    }
    hive.put("b", 2).unwrap();
    hive.store.rest_log().unwrap();
    assert_eq!(log.bytes_in_memory(), 0);
    assert_eq!((hive.get("a"), hive.get("b")), (Some(1), Some(2)));
}

#[test]
fn what_an_opening_could_put_nowhere_is_read_and_no_replica_is_told_of_an_older_moment() {
    let hold = Arc::<Hold>::default();
    let options = options().tends_log(false).first_section(1 << 20);
    let hive = open_with(&Disk::default(), options.clone(), Some(&hold)).unwrap();
    let store = &hive.store;
    store.begin_feed(0).unwrap();
    (0..5).for_each(|round| put(store, "a", round).unwrap());
    let value = vec![7; 9_000];
    (0..40_u64).for_each(|key| store.write(|tx| tx.put(C, &key.to_be_bytes(), &value)).unwrap());
    let newest = store.feed_status().unwrap().unwrap().sequence;
    let disk = hive.kill();
    // Neither redb has room for the rows, nor can their sections be written again.
    disk.leave_room(0);
    hold.refuse(true);
    let hive = open_with(&disk, options, Some(&hold)).unwrap();
    let store = &hive.store;
    assert!(store.log_waits());
    assert_eq!(number(store, "a"), Some(4));
    assert_eq!(store.feed_after(newest, 1).unwrap_err().kind(), ErrorKind::Io);
    assert_eq!(store.dump().map(drop).unwrap_err().kind(), ErrorKind::Io);
    disk.leave_room(5_000);
    hold.refuse(false);
    store.reopen().unwrap();
    put(store, "a", 5).unwrap();
    assert!(matches!(store.feed_after(newest, 1).unwrap(), Fed::Commits(commits) if commits.len() == 1));
}

#[test]
fn a_store_goes_on_while_names_beside_it_cannot_be_changed() {
    let hold = Arc::<Hold>::default();
    let hive = open_with(&Disk::default(), options().tends_log(false).first_section(SHORT), Some(&hold)).unwrap();
    (0..5).for_each(|round| hive.put("a", round).unwrap());
    // The file is opened anew behind a failure, and nothing can be removed.
    hold.refuse(true);
    hive.store.fail_for_test();
    hive.store.reopen().unwrap();
    (5..9).for_each(|round| hive.put("a", round).unwrap());
    assert_eq!(hive.get("a"), Some(8));
    hold.refuse(false);
    hive.store.fail_for_test();
    hive.store.reopen().unwrap();
    (9..20).for_each(|round| hive.put("a", round).unwrap());
    let hive = open(&hive.kill());
    assert_eq!(hive.get("a"), Some(19));
    assert!(sections(&hive.disk.seen()).is_empty());
}

#[test]
fn an_opening_that_fails_behind_its_commit_leaves_no_earlier_log_alive() {
    let disk = Disk::default();
    let hive = open(&disk);
    (0..5).for_each(|round| hive.put("a", round).unwrap());
    let before = hive.store.inner.gate.log().unwrap();
    hive.store.fail_for_test();
    // The opening cannot read the file at all.
    disk.fail(Fault { kind: Operation::Read, nth: 1, for_ever: true, errno: EIO, short: false, forgets: false });
    hive.store.reopen().unwrap_err();
    disk.mend();
    assert!(before.has_failed());
    hive.store.reopen().unwrap();
    hive.put("a", 5).unwrap();
    assert_eq!(open(&hive.kill()).get("a"), Some(5));
}

#[test]
fn a_log_that_another_process_took_up_while_the_file_was_closed_does_not_go_on() {
    for has_log in [true, false] {
        let disk = Disk::default();
        let hive = if has_log { logging() } else { open(&disk) };
        hive.put("a", 1).unwrap();
        let spend = |handle: &Handle| {
            handle.guard().set_spent();
            Ok(())
        };
        hive.store.inner.slot.with(spend).unwrap();
        let unreadable =
            Fault { kind: Operation::Read, nth: 1, for_ever: true, errno: EIO, short: false, forgets: false };
        hive.disk.fail(unreadable);
        hive.store.reopen().unwrap_err();
        hive.disk.mend();
        // Nobody has the file now.
        let other = open(&hive.disk);
        assert_eq!(other.get("a"), Some(1));
        (2..6).for_each(|number| other.put("a", number).unwrap());
        other.store.close_file().unwrap();
        hive.store.reopen().unwrap();
        assert_eq!(hive.get("a"), Some(5), "has_log={has_log}");
        (6..9).for_each(|number| hive.put("b", number).unwrap());
        assert_eq!((hive.get("a"), hive.get("b")), (Some(5), Some(8)));
        let hive = open(&hive.kill());
        assert_eq!((hive.get("a"), hive.get("b")), (Some(5), Some(8)), "has_log={has_log}");
    }
}

#[test]
fn names_that_are_no_sections_do_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let path = std::fs::canonicalize(folder.path()).unwrap().join("h.redb");
    let beside = |end: &str| crate::files::beside(&path, end);
    std::fs::create_dir(beside(".wal.7")).unwrap();
    std::fs::write(beside(".wal.new"), b"hivew\0\0\0").unwrap();
    let store = options().open_with(&path, &[]).unwrap();
    assert!(!beside(".wal.new").exists());
    (0..5).for_each(|round| put(&store, "a", round).unwrap());
    store.close_file().unwrap();
    std::fs::remove_dir(beside(".wal.7")).unwrap();
    std::fs::write(beside(".wal.new"), b"redb and so on").unwrap();
    let store = options().open_with(&path, &[]).unwrap();
    (5..10).for_each(|round| put(&store, "a", round).unwrap());
    assert_eq!(number(&store, "a"), Some(9));
    store.close_file().unwrap();
    assert_eq!(std::fs::read(beside(".wal.new")).unwrap(), b"redb and so on");
}

#[cfg(unix)]
#[test]
fn a_store_that_was_moved_has_everything_once_it_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    let path = std::fs::canonicalize(folder.path()).unwrap().join("h.redb");
    let store = options().open_with(&path, &[]).unwrap();
    (0..5).for_each(|round| put(&store, "a", round).unwrap());
    let moved = path.with_file_name("k.redb");
    std::fs::rename(&path, &moved).unwrap();
    assert_eq!(put(&store, "a", 9).unwrap_err().kind(), ErrorKind::Moved);
    assert_eq!(store.close_file().unwrap_err().kind(), ErrorKind::Moved);
    let store = options().open_with(&moved, &[]).unwrap();
    assert_eq!(number(&store, "a"), Some(4));
}

#[test]
fn a_store_that_was_moved_keeps_its_shared_log_although_another_one_has_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let path = std::fs::canonicalize(folder.path()).unwrap().join("h.redb");
    let options = || options().sharing(Sharing::SharedLog).lock_timeout(Duration::from_secs(1));
    let store = options().open_with(&path, &[]).unwrap();
    (0..5).for_each(|round| put(&store, "a", round).unwrap());
    let reader = options().read_only(true).open_with(&path, &[]).unwrap();
    assert_eq!(number(&reader, "a"), Some(4));
    let moved = path.with_file_name("k.redb");
    std::fs::rename(&path, &moved).unwrap();
    let other = options().open_with(&path, &[]).unwrap();
    for puts in [0, 20] {
        (0..puts).for_each(|round| put(&other, "a", 100 + round).unwrap());
        // With the page of the other store it would show the tables without the log.
        let shown = reader.view().map(|_| number(&reader, "a"));
        assert!(shown.as_ref().is_err_and(|error| error.kind() == ErrorKind::Locked), "puts={puts} {shown:?}");
        assert_eq!(number(&store, "a"), Some(4), "puts={puts}");
    }
    drop(reader);
    assert_eq!(store.close_file().unwrap_err().kind(), ErrorKind::Moved);
    put(&other, "a", 200).unwrap();
    assert_eq!(number(&other, "a"), Some(200));
    other.close_file().unwrap();
    assert_eq!(number(&options().open_with(&moved, &[]).unwrap(), "a"), Some(4));
    assert_eq!(number(&options().open_with(&path, &[]).unwrap(), "a"), Some(200));
}

#[test]
fn a_process_does_not_join_by_the_shared_page_of_another_store() {
    let folder = tempfile::tempdir().unwrap();
    let folder = std::fs::canonicalize(folder.path()).unwrap();
    let options = || options().sharing(Sharing::SharedLog);
    let [one, two] = ["1", "2"].map(|name| options().open_with(&folder.join(name), &[]).unwrap());
    std::fs::rename(folder.join("1.turns"), folder.join("2.turns")).unwrap();
    let refused = options().open_with(&folder.join("2"), &[]).map(drop).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Locked, "{refused}");
    put(&two, "a", 1).unwrap();
    assert_eq!((number(&two, "a"), number(&one, "a")), (Some(1), None));
}

/// Many records, and a log in use over one of them, whose page is damaged.
fn damaged_below_its_log() -> Hive {
    let hive = logging();
    let value = |key: u64| [key.to_be_bytes().as_slice(), &[7; 600]].concat();
    hive.store.load(|tx| (0..200_u64).try_for_each(|key| tx.put(C, &key.to_be_bytes(), &value(key)))).unwrap();
    hive.put("a", 1).unwrap();
    hive.store.write(|tx| tx.put(C, &100_u64.to_be_bytes(), b"newest")).unwrap();
    let mut content = hive.disk.seen();
    drop(hive.kill());
    let mut bytes = vec![0; content.store().len()];
    content.store().read(0, &mut bytes).unwrap();
    let marked = value(100);
    let places: Vec<_> = bytes.windows(marked.len()).enumerate().filter(|(_, at)| *at == marked).collect();
    for (place, _) in places {
        // Its kind stays, as redb looks at it when it opens the file; its offsets lead out of the page.
        content.apply(&Request::Write(0, place / 4096 * 4096 + 4, [0xff; 400].into()));
    }
    open_with(&Disk::of(content), options().verify_on_open(VerifyOnOpen::Never), None).unwrap()
}

#[test]
fn over_a_damaged_page_the_log_is_read_from_memory_and_writes_are_refused_without_an_end_of_reading() {
    let hive = damaged_below_its_log();
    assert_eq!(get_of(&hive.store, "a").unwrap(), 1_u64.to_be_bytes());
    for _ in 0..3 {
        assert_eq!(hive.store.load(|tx| tx.put(C, b"a", b"2")).unwrap_err().kind(), ErrorKind::Damaged);
        let refused = hive.put("a", 2).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Damaged);
        assert!(refused.to_string().contains("repair the store"), "{refused}");
        let view = hive.store.view().unwrap();
        assert_eq!(view.get(C, &100_u64.to_be_bytes()).unwrap().as_deref(), Some(&b"newest"[..]));
        assert_eq!(view.get(C, &5_u64.to_be_bytes()).unwrap().unwrap().len(), 608);
    }
    hive.store.close_file().unwrap();
    assert!(!sections(&hive.disk.seen()).is_empty());
    // It can be looked at, and repaired with what the log has.
    let folder = tempfile::tempdir().unwrap();
    let path = std::fs::canonicalize(folder.path()).unwrap().join("h.redb");
    to_files(&hive.disk.seen(), &path);
    let look = Store::options().untouched().verify_on_open(VerifyOnOpen::Never).session(false);
    let look = look.open_with(&path, &[]).unwrap();
    assert_eq!(number(&look, "a"), Some(1));
    look.close_file().unwrap();
    let repaired = new_store(folder.path(), "repaired.redb");
    repair(&path, &repaired, LogIs::Used, None).unwrap();
    assert_eq!(number(&repaired, "a"), Some(1));
    assert_eq!(repaired.view().unwrap().get(C, &100_u64.to_be_bytes()).unwrap().as_deref(), Some(&b"newest"[..]));
}

#[test]
fn a_repair_keeps_the_entries_before_damage_in_the_log_and_reports_the_loss() {
    let hive = logging();
    (0..4).for_each(|round| hive.put(&format!("key {round}"), round).unwrap());
    let content = hive.disk.seen();
    drop(hive.kill());
    let folder = tempfile::tempdir().unwrap();
    let path = std::fs::canonicalize(folder.path()).unwrap().join("h.redb");
    to_files(&content, &path);
    let mut log = std::fs::read(section_file(&path, 1)).unwrap();
    let at = log.windows(5).position(|bytes| bytes == b"key 2").unwrap();
    log[at] ^= 1;
    std::fs::write(section_file(&path, 1), &log).unwrap();
    assert_eq!(options().open_with(&path, &[]).unwrap_err().kind(), ErrorKind::Damaged);
    let repaired = new_store(folder.path(), "repaired.redb");
    let report = repair(&path, &repaired, LogIs::Used, None).unwrap();
    assert_eq!([0, 1, 2, 3].map(|round| number(&repaired, &format!("key {round}"))), [Some(0), Some(1), None, None]);
    assert!(report.notes[0].contains("an entry of the log is damaged"), "{report}");
    assert!(report.notes[1].starts_with("acknowledged writes after number"), "{report}");
    assert!(!report.to_string().contains("the log is incomplete or damaged"), "{report}");
    // The entry behind it is whole. It is not applied, and is not passed over in silence either.
    assert!(report.notes[2].starts_with("behind the damage of the log, 1 whole entries were not applied"), "{report}");
    let lost: Vec<_> = report.lost.iter().map(|lost| (lost.key.as_str(), lost.outcome)).collect();
    assert_eq!(lost, [("key 3", RepairOutcome::NotApplied)]);
    // Every byte: it never fails, and never gives what was not written.
    for at in (0..log.len()).step_by(97).take(40) {
        let mut other = log.clone();
        other[at] ^= 0x20;
        std::fs::write(section_file(&path, 1), &other).unwrap();
        let repaired = new_store(folder.path(), &format!("repaired{at}.redb"));
        repair(&path, &repaired, LogIs::Used, None).unwrap();
        for round in 0..4 {
            assert!(number(&repaired, &format!("key {round}")).is_none_or(|number| number == round));
        }
    }
}

#[test]
fn a_repair_without_the_log_goes_back_to_the_file_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = killed(folder.path());
    let repaired = new_store(folder.path(), "repaired.redb");
    let report = repair(&path, &repaired, LogIs::LeftOut, None).unwrap();
    assert!(report.notes[0].contains("in a log that was left out"), "{report}");
    assert_eq!((number(&repaired, "first"), number(&repaired, "third")), (Some(1), None));
    // A log of an earlier life is never put over a store that has none.
    let section = std::fs::read(section_file(&path, 1)).unwrap();
    let rebuilt = std::fs::canonicalize(folder.path()).unwrap().join("repaired.redb");
    repaired.close_file().unwrap();
    std::fs::write(section_file(&rebuilt, 1), section).unwrap();
    let again = new_store(folder.path(), "again.redb");
    let report = repair(&rebuilt, &again, LogIs::Used, None).unwrap();
    assert!(report.notes[0].contains("it was not used"), "{report}");
    assert_eq!(number(&again, "third"), None);
}

#[test]
fn a_store_that_was_looked_at_closes_without_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = killed(folder.path());
    let before = std::fs::read(&path).unwrap();
    for options in [Store::options().untouched(), Store::options().read_only(true)] {
        let store = options.session(false).open_with(&path, &[]).unwrap();
        assert_eq!(number(&store, "third"), Some(3));
        assert!(put(&store, "third", 4).is_err());
        assert_eq!(number(&store, "third"), Some(3));
        store.close_file().unwrap();
    }
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn after_a_compaction_that_failed_the_file_is_not_opened_again_over_what_may_be_in_the_cache_only() {
    let hive = logging();
    hive.put("a", 1).unwrap();
    hive.disk.fail(Fault { kind: Operation::Sync, nth: 1, for_ever: true, errno: EIO, short: false, forgets: true });
    hive.store.compact().unwrap_err();
    hive.disk.mend();
    let refused = hive.store.reopen().unwrap_err();
    assert!(refused.to_string().contains("compacting the file failed half-way"), "{refused}");
    assert_eq!(open(&hive.kill()).get("a"), Some(1));
}

#[test]
fn a_log_whose_newest_section_is_missing_is_refused_although_the_one_before_has_ended() {
    let hive = logging();
    let log = hive.store.inner.gate.log().unwrap();
    // Nothing is moved from here on.
    log.bell.note_thread();
    let id = log.head.lock().id.unwrap();
    log.make_next(id).unwrap();
    let mut number = 0;
    while log.head.lock().maps.len() < 2 {
        number += 1;
        hive.put("a", number).unwrap();
    }
    drop(log);
    let content = hive.disk.seen();
    drop(hive.kill());
    assert_eq!(open(&Disk::of(content.clone())).get("a"), Some(number));
    let mut without = content;
    without.apply(&Request::Name(2, None));
    let refused = open_with(&Disk::of(without), options(), None).map(drop).unwrap_err();
    assert!(refused.to_string().contains("is missing"), "{refused}");
}
