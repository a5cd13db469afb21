//! Two processes over one log, on a disk of their own.

use std::sync::Arc;
use std::time::Duration;

use crate::engine::options::{Durability, Options, Sharing};
use crate::engine::records::Records;
use crate::engine::store::Store;
use crate::engine::wal::disk::folder::{FindSharedPage, LogFolder};
use crate::engine::wal::test::{C, Hive, Hold, SHORT, open_with};
use crate::error::{Error, ErrorKind, Result};
use crate::testkit::proof::choices::Choices;
use crate::testkit::proof::disk::{Disk, EIO, Fault, Operation};

pub(super) fn options() -> Options {
    let options = Store::options().sharing(Sharing::SharedLog).session(false).reserve(false);
    options.tends_log(false).first_section(SHORT).lock_timeout(Duration::from_secs(1))
}

pub(super) fn open(disk: &Disk) -> Hive {
    open_with(disk, options(), None).unwrap()
}

/// Two processes over one log, which is in use.
pub(super) fn two() -> (Disk, Hive, Hive) {
    let disk = Disk::default();
    let (one, two) = (open(&disk), open(&disk));
    (0..3).for_each(|number| one.put("begun", number).unwrap());
    assert!(one.store.log_status().unwrap().in_use);
    (disk, one, two)
}

/// The disk after a power cut now, opened by one process.
pub(super) fn after_cut(disk: &Disk, seed: u64) -> Hive {
    open(&Disk::of(disk.cut(&mut Choices::seeded(seed))))
}

pub(super) fn sync_fails() -> Fault {
    Fault { kind: Operation::Sync, nth: 1, for_ever: false, errno: EIO, short: false, forgets: true }
}

/// Lets syncs go on when a test ends, also when it fails: a thread would wait for ever.
struct Release<'h>(&'h Hold);

impl Drop for Release<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

/// Lets a process die at each operation that changes the disk, in a run of its own, which says whether it was met.
/// Gives the number of deaths.
pub(super) fn every_death(mut run: impl FnMut(Fault) -> bool) -> usize {
    let of_kind = |kind| {
        let fault = |nth| Fault { kind, nth, for_ever: true, errno: EIO, short: false, forgets: false };
        (1..).map(fault).take_while(|fault| run(*fault)).count()
    };
    [Operation::Write, Operation::SetLen, Operation::Sync, Operation::WriteShared].map(of_kind).into_iter().sum()
}

#[test]
fn each_process_sees_at_once_what_any_was_told_is_done_over_many_logs() {
    let disk = Disk::default();
    let mut hives = [open(&disk), open(&disk), open(&disk)];
    let (mut choices, mut logs) = (Choices::seeded(7), std::collections::BTreeSet::new());
    for number in 0..1200 {
        let writer = choices.below(hives.len());
        match number % 97 {
            96 => {
                let load = |tx: &mut crate::engine::write::WriteTx<'_>| tx.put(C, b"a", &u64::to_be_bytes(number));
                hives[writer].store.load(load).unwrap();
            }
            50 => {
                hives[writer] = open(&disk);
                hives[writer].put("a", number).unwrap();
            }
            _ => hives[writer].put("a", number).unwrap(),
        }
        let log = hives[writer].store.inner.gate.log().unwrap();
        logs.extend(log.head.lock().id.map(|id| id.0));
        if choices.once_in(3) {
            hives.iter().for_each(|hive| assert_eq!(hive.get("a"), Some(number)));
        }
    }
    assert!(logs.len() >= 5, "the log never changed: {}", logs.len());
    assert!(hives.iter().all(Hive::is_sound));
    let [one, two, three] = hives;
    [one, two].into_iter().for_each(|hive| hive.store.close_file().unwrap());
    assert!(disk.seen().sections().next().is_some(), "one process still has the log");
    three.store.close_file().unwrap();
    assert!(disk.seen().sections().next().is_none(), "the last one leaves the file alone");
    assert!(disk.file().folder().shared_page(FindSharedPage::Existing).unwrap().is_none());
    assert_eq!(open(&disk).get("a"), Some(1199));
}

#[test]
fn no_view_of_another_process_shows_what_a_power_cut_takes() {
    let (disk, hold) = (Disk::default(), Arc::<Hold>::default());
    let one = open_with(&disk, options(), Some(&hold)).unwrap();
    let two = open(&disk);
    (0..3).for_each(|number| one.put("a", number).unwrap());
    hold.set(true);
    std::thread::scope(|scope| {
        let _release = Release(&hold);
        let writer = scope.spawn(|| one.put("a", 9));
        hold.wait_for_a_sync();
        assert_eq!(two.get("a"), Some(2));
        assert_eq!(two.put("b", 1).unwrap_err().kind(), ErrorKind::Locked, "the turn goes on until its sync");
        hold.set(false);
        writer.join().unwrap().unwrap();
    });
    assert_eq!(two.get("a"), Some(9));
    two.put("b", 1).unwrap();
    assert_eq!(one.get("b"), Some(1));
}

#[test]
fn a_write_that_was_answered_is_seen_by_the_other_process_while_the_turn_goes_on() {
    let (disk, hold) = (Disk::default(), Arc::<Hold>::default());
    let one = open_with(&disk, options(), Some(&hold)).unwrap();
    let two = open(&disk);
    (0..3).for_each(|number| one.put("a", number).unwrap());
    hold.set(true);
    let (inside, ends) = (std::sync::Barrier::new(2), std::sync::Barrier::new(2));
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| one.put("a", 9));
        hold.wait_for_a_sync();
        let next = scope.spawn(|| {
            one.store.write(|_| {
                inside.wait();
                ends.wait();
                Ok(())
            })
        });
        inside.wait();
        hold.set(false);
        writer.join().unwrap().unwrap();
        let seen = two.get("a");
        ends.wait();
        next.join().unwrap().unwrap();
        assert_eq!(seen, Some(9));
    });
}

#[test]
fn the_turn_of_a_process_that_died_in_it_is_ended_in_the_file_and_nothing_goes_on_behind_its_entries() {
    for seed in 0..16 {
        let (disk, hold) = (Disk::default(), Arc::<Hold>::default());
        let one = open_with(&disk, options(), Some(&hold)).unwrap();
        let two = open(&disk);
        (0..3).for_each(|number| one.put("a", number).unwrap());
        two.put("two", 1).unwrap();
        hold.set(true);
        std::thread::scope(|scope| {
            let _release = Release(&hold);
            let writer = scope.spawn(|| one.put("a", 9));
            hold.wait_for_a_sync();
            // It dies behind its entry and before its sync.
            one.cut_off();
            two.put("two", 2).unwrap();
            assert!(disk.seen().sections().next().is_none(), "it was appended behind what may not be on the disk");
            let cut = after_cut(&disk, seed);
            assert_eq!(cut.get("two"), Some(2), "an acknowledged write was lost: seed={seed}");
            assert_eq!(two.get("a"), cut.get("a"), "a view showed what a power cut takes");
            // The next one is in a log of its own.
            (3..6).for_each(|number| two.put("two", number).unwrap());
            let cut = after_cut(&disk, seed);
            assert_eq!((cut.get("two"), cut.get("a")), (Some(5), two.get("a")));
            assert!(cut.is_sound());
            hold.set(false);
            assert!(writer.join().unwrap().is_err());
        });
    }
}

#[test]
fn after_a_failed_sync_the_other_process_goes_on_and_this_one_joins_again() {
    for seed in 0..8 {
        let (disk, one, two) = two();
        disk.fail(sync_fails());
        assert_eq!(one.put("a", 1).unwrap_err().kind(), ErrorKind::Uncertain);
        assert_eq!(one.put("a", 2).unwrap_err().kind(), ErrorKind::Reopen);
        two.put("b", 1).unwrap();
        assert!(disk.seen().sections().next().is_none(), "it was appended behind what may not be on the disk");
        assert_eq!((one.get("b"), one.get("begun")), (Some(1), Some(2)), "it still reads");
        let cut = after_cut(&disk, seed);
        assert_eq!((cut.get("b"), cut.get("begun"), cut.get("a")), (Some(1), Some(2), two.get("a")));
        one.store.reopen().unwrap();
        one.put("a", 3).unwrap();
        two.put("b", 2).unwrap();
        let cut = after_cut(&disk, seed);
        assert_eq!((cut.get("a"), cut.get("b")), (Some(3), Some(2)));
        assert!(cut.is_sound());
    }
}

#[test]
fn a_closure_that_fails_or_changes_nothing_ends_its_turn() {
    let (_disk, one, two) = two();
    let failed: Result<()> = one.store.write(|tx| tx.put(C, b"a", b"gone").and(Err(Error::conflict("on purpose"))));
    assert_eq!(failed.unwrap_err().to_string(), "on purpose");
    two.put("b", 1).unwrap();
    one.store.write(|tx| tx.get(C, b"b").map(drop)).unwrap();
    let panics = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        one.store.write(|_| -> Result<()> { std::panic::resume_unwind(Box::new(())) })
    }));
    assert!(panics.is_err());
    two.put("b", 2).unwrap();
    assert_eq!((one.get("a"), one.get("b")), (None, Some(2)));
}

#[test]
fn a_view_within_a_closure_and_other_threads_wait_for_nobody() {
    let (_disk, one, two) = two();
    one.store
        .write(|tx| {
            tx.put(C, b"a", &7_u64.to_be_bytes())?;
            assert_eq!((one.get("a"), two.get("a")), (None, None));
            assert_eq!(two.put("b", 1).unwrap_err().kind(), ErrorKind::Locked);
            Ok(())
        })
        .unwrap();
    assert_eq!((one.get("a"), two.get("a")), (Some(7), Some(7)));
}

#[test]
fn the_first_process_takes_the_log_up_as_it_is_on_the_disk_whatever_a_shared_page_says() {
    let (disk, one, two) = two();
    one.put("a", 1).unwrap();
    [one, two].into_iter().for_each(|hive| drop(hive.kill()));
    let page = disk.file().folder().shared_page(FindSharedPage::Existing).unwrap().unwrap();
    let mut bytes = vec![0; 256];
    page.file.read(0, &mut bytes).unwrap();
    let again = open(&disk);
    assert_eq!((again.get("a"), again.get("begun")), (Some(1), Some(2)));
    assert!(disk.seen().sections().next().is_none(), "its rows are in the file");
    (2..9).for_each(|number| again.put("a", number).unwrap());
    assert_eq!(open(&disk).get("a"), Some(8));
}

#[test]
fn a_process_does_not_join_without_the_shared_page_of_those_that_live() {
    let (disk, one, two) = two();
    disk.file().folder().remove_shared_page().unwrap();
    let refused = open_with(&disk, options(), None).map(drop).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Locked, "{refused}");
    one.put("a", 1).unwrap();
    assert_eq!(two.get("a"), Some(1));
}

#[test]
fn a_log_that_was_moved_after_a_rest_is_followed_by_the_other_process() {
    let (disk, one, two) = two();
    for number in 0..20 {
        one.put("a", number).unwrap();
        match number % 3 {
            0 => one.store.lay_log_down().unwrap(),
            1 => two.store.rest_log().unwrap(),
            _ => {}
        }
        assert_eq!((one.get("a"), two.get("a")), (Some(number), Some(number)));
        two.put("b", number).unwrap();
        assert_eq!((one.get("b"), two.get("b")), (Some(number), Some(number)));
    }
    assert_eq!(one.format(), 4);
    let cut = after_cut(&disk, 1);
    assert_eq!((cut.get("a"), cut.get("b")), (Some(19), Some(19)));
}

#[test]
fn a_log_is_as_long_as_the_commits_of_all_processes_need_whoever_begins_it() {
    // A commit that is too long for a section of the first length, and one for which there is room in it. Behind a
    // load, little is in the log.
    for (length, loads) in [(9 << 10, false), (3 << 10, false), (9 << 10, true)] {
        let (_disk, one, two) = two();
        let value = vec![7; length];
        let mut ends = 0;
        for number in 0..30 {
            (0..3).for_each(|_| one.put("a", number).unwrap());
            two.store.write(|tx| tx.put(C, b"b", &value)).unwrap();
            ends += u32::from(!two.store.log_status().unwrap().in_use);
            if loads {
                one.store.load(|tx| tx.put(C, b"c", b"1")).unwrap();
            }
        }
        assert!(ends <= 2, "{length} {loads} {ends}");
    }
}

#[test]
fn a_view_whose_tables_are_of_the_next_log_shows_them() {
    let (_disk, one, two) = two();
    assert_eq!(two.get("begun"), Some(2));
    // Between its look at the shared page and its tables, another process moves the log and begins the next one.
    one.store.lay_log_down().unwrap();
    (3..6).for_each(|number| one.put("begun", number).unwrap());
    assert!(one.store.log_status().unwrap().in_use);
    let log = two.store.inner.gate.log().unwrap();
    let rows = two.store.inner.slot.with(|handle| log.rows_up_to(handle, |head| head.answered)).unwrap();
    assert!(!log.head.lock().maps.is_empty() && rows.overlay().is_empty());
    assert_eq!(two.get("begun"), Some(5));
}

#[test]
fn a_process_that_dies_at_any_operation_leaves_the_other_one_a_log_that_goes_on() {
    let deaths = every_death(|fault| {
        let disk = Disk::default();
        let (one, two) = (open(&disk), open(&disk));
        two.put("b", 0).unwrap();
        disk.fail(fault);
        let mut acknowledged = None;
        let mut steps = (0..9).map(|number| match number {
            5 => one.store.load(|tx| tx.put(C, b"a", &5_u64.to_be_bytes())).map(|()| number),
            7 => one.store.lay_log_down().and_then(|()| one.put("a", number)).map(|()| number),
            _ => one.put("a", number).map(|()| number),
        });
        steps.by_ref().map_while(Result::ok).for_each(|number| acknowledged = Some(number));
        one.cut_off();
        let has_struck = disk.mend();
        (1..5).for_each(|number| two.put("b", number).unwrap_or_else(|error| panic!("{error} {fault:?}")));
        let found = two.get("a");
        let next = acknowledged.map_or(0, |number| number + 1);
        assert!(found == acknowledged || found == Some(next), "{fault:?} {acknowledged:?} {found:?}");
        let cut = after_cut(&disk, fault.nth as u64);
        assert_eq!((cut.get("a"), cut.get("b")), (found, Some(4)), "{fault:?}");
        assert!(cut.is_sound() && two.is_sound());
        has_struck
    });
    assert!(deaths > 60, "{deaths}");
}

#[test]
fn a_write_for_the_system_waits_for_the_disk_and_so_does_a_look() {
    let (disk, hold) = (Disk::default(), Arc::<Hold>::default());
    let one = open_with(&disk, options(), Some(&hold)).unwrap();
    (0..3).for_each(|number| one.put("a", number).unwrap());
    let soft = one.store.with_durability(Durability::System);
    hold.set(true);
    std::thread::scope(|scope| {
        let _release = Release(&hold);
        let writer = scope.spawn(|| soft.write(|tx| tx.put(C, b"a", &9_u64.to_be_bytes())));
        hold.wait_for_a_sync();
        let looks = scope.spawn(|| soft.write(|tx| Ok(tx.get(C, b"a")?.map(|bytes| bytes[7]))));
        std::thread::sleep(Duration::from_millis(100));
        assert!(!writer.is_finished() && !looks.is_finished());
        hold.set(false);
        writer.join().unwrap().unwrap();
        assert_eq!(looks.join().unwrap().unwrap(), Some(9));
    });
}

#[test]
fn a_store_is_compacted_while_its_shared_log_is_in_use() {
    let (_disk, one, two) = two();
    for hive in [&one, &two] {
        hive.store.compact().unwrap();
        hive.put("behind", 7).unwrap();
    }
}
