//! The log after failed syncs and crashes.

use std::sync::Arc;
use std::time::Duration;

use crate::engine::meta;
use crate::engine::records::Records;
use crate::engine::wal::test::{C, Hold, SHORT, get_of, logging, open, open_with, options, sections};
use crate::error::{Error, ErrorKind};
use crate::testkit::proof::choices::Choices;
use crate::testkit::proof::disk::{Disk, EIO, Fault, Operation, Request};

#[test]
fn no_caller_is_answered_before_the_state_that_it_saw_is_on_the_disk_not_even_with_an_error() {
    let hold = Arc::<Hold>::default();
    let hive = open_with(&Disk::default(), options().tends_log(false), Some(&hold)).unwrap();
    (1..4).for_each(|number| hive.put("a", number).unwrap());
    hold.set(true);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| hive.put("a", 9));
        hold.wait_for_a_sync();
        assert_eq!(hive.get("a"), Some(3), "a reader saw what a power cut could take");
        let seen = |_: &str| get_of(&hive.store, "a");
        assert!(seen("a").is_some());
        let failing = scope.spawn(|| {
            hive.store.write(|tx| {
                let seen = tx.get(C, b"a")?.unwrap();
                Err::<(), _>(Error::conflict(format!("{}", meta::number(&seen)?)))
            })
        });
        let reading = scope.spawn(|| hive.store.write(|tx| meta::number(&tx.get(C, b"a")?.unwrap())));
        std::thread::sleep(Duration::from_millis(100));
        assert!(!writer.is_finished() && !failing.is_finished() && !reading.is_finished());
        hold.set(false);
        writer.join().unwrap().unwrap();
        assert_eq!(failing.join().unwrap().unwrap_err().to_string(), "9");
        assert_eq!(reading.join().unwrap().unwrap(), 9);
    });
}

#[test]
fn after_a_failed_sync_everybody_is_told_to_open_the_store_again() {
    let hive = logging();
    hive.disk.fail(Fault { kind: Operation::Sync, nth: 1, for_ever: false, errno: EIO, short: false, forgets: true });
    assert_eq!(hive.put("a", 1).unwrap_err().kind(), ErrorKind::Uncertain);
    assert_eq!(hive.put("a", 2).unwrap_err().kind(), ErrorKind::Reopen);
    let nothing = hive.store.write(|_| Ok(())).unwrap_err();
    assert_eq!(nothing.kind(), ErrorKind::Reopen);
    assert_eq!(hive.get("second"), Some(2));
    assert!(hive.store.is_spent());
    hive.store.reopen().unwrap();
    assert_eq!(hive.get("second"), Some(2));
    (0..5).for_each(|number| hive.put("a", number).unwrap());
    assert_eq!(open(&hive.kill()).get("a"), Some(4));
}

#[test]
fn a_store_closed_after_a_failed_sync_leaves_its_log_for_the_next_opening() {
    let hive = logging();
    hive.put("a", 1).unwrap();
    hive.disk.fail(Fault { kind: Operation::Sync, nth: 1, for_ever: false, errno: EIO, short: false, forgets: false });
    assert_eq!(hive.put("b", 1).unwrap_err().kind(), ErrorKind::Uncertain);
    hive.store.close_file().unwrap();
    assert!(!sections(&hive.disk.seen()).is_empty());
    let hive = open(&hive.disk);
    assert_eq!(hive.get("a"), Some(1));
    assert!(sections(&hive.disk.seen()).is_empty());
}

#[test]
fn a_commit_that_was_gone_after_a_crash_does_not_come_back_behind_a_retry() {
    for lost in [false, true] {
        let hive = logging();
        hive.disk.record();
        hive.put("eleven", 11).unwrap();
        hive.put("twelve", 12).unwrap();
        let content = hive.disk.seen();
        // The power has gone in the middle: the first of the two is torn, or lost, and the second whole.
        let trace = hive.disk.take_trace();
        let writes: Vec<_> = trace.iter().filter(|request| matches!(request, Request::Write(..))).collect();
        let [Request::Write(file, offset, data), Request::Write(..)] = &writes[..] else { panic!("{trace:?}") };
        let mut torn = content.clone();
        let from = if lost { 0 } else { 20 };
        torn.apply(&Request::Write(*file, offset + from, vec![0; data.len() - from].into()));
        drop(hive.kill());
        // The second says that the first was synced, so that is damage. As long as it does not, it is only a torn end.
        let refused = open_with(&Disk::of(torn.clone()), options(), None).map(drop).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Damaged, "{refused}");
    }
}

#[test]
fn two_entries_of_one_sync_may_be_torn_in_any_way_and_never_come_back() {
    let hold = Arc::<Hold>::default();
    let hive = open_with(&Disk::default(), options().tends_log(false).first_section(SHORT), Some(&hold)).unwrap();
    (1..4).for_each(|number| hive.put("a", number).unwrap());
    hold.set(true);
    hive.disk.record();
    let (disk, eleven) = (
        hive.disk.clone(),
        std::thread::scope(|scope| {
            let first = scope.spawn(|| hive.put("eleven", 11));
            hold.wait_for_a_sync();
            let second = scope.spawn(|| hive.put("twelve", 12));
            while hive.disk.recorded() < 2 {
                std::thread::yield_now();
            }
            let torn = hive.disk.seen();
            let trace = hive.disk.take_trace();
            hold.set(false);
            first.join().unwrap().unwrap();
            second.join().unwrap().unwrap();
            let Request::Write(file, offset, data) = trace[0].clone() else { panic!("{trace:?}") };
            let mut torn = torn;
            torn.apply(&Request::Write(file, offset + 20, vec![0; data.len() - 20].into()));
            torn
        }),
    );
    drop((disk, hive.kill()));
    let again = open(&Disk::of(eleven));
    assert_eq!((again.get("a"), again.get("eleven"), again.get("twelve")), (Some(3), None, None));
    again.put("eleven", 1).unwrap();
    again.put("eleven", 11).unwrap();
    let again = open(&again.kill());
    assert_eq!((again.get("eleven"), again.get("twelve")), (Some(11), None));
}

#[test]
fn what_a_killed_close_left_is_removed_by_the_next_opening() {
    let hive = logging();
    let left = hive.disk.seen();
    hive.store.close_file().unwrap();
    let mut content = hive.disk.seen();
    let number = left.number_of(1).unwrap();
    let (_, image) = left.sections().next().unwrap();
    let mut bytes = vec![0; image.len()];
    image.read(0, &mut bytes).unwrap();
    content.apply(&Request::Write(number, 0, bytes.into()));
    content.apply(&Request::Name(1, Some(number)));
    let hive = open(&Disk::of(content));
    assert!(sections(&hive.disk.seen()).is_empty());
    assert_eq!(hive.get("second"), Some(2));
}

#[test]
fn after_a_move_whose_sync_failed_no_section_is_removed_before_the_file_has_its_commits() {
    let mut struck = 0;
    for nth in 1..12 {
        let hive = logging();
        let log = hive.store.inner.gate.log().unwrap();
        // Only this test moves it.
        log.bell.note_thread();
        let mut number = 0;
        while log.head.lock().maps.len() < 3 {
            number += 1;
            hive.put("a", number).unwrap();
        }
        hive.disk.fail(Fault { kind: Operation::Sync, nth, for_ever: false, errno: EIO, short: false, forgets: true });
        let moved = (0..2).map(|_| hive.store.inner.mover.move_full(&log)).collect::<Vec<_>>();
        struck += usize::from(hive.disk.mend());
        assert!(moved[1].is_ok() || log.has_failed(), "{moved:?}");
        drop(log);
        for seed in 0..8 {
            let cut = Disk::of(hive.disk.cut(&mut Choices::seeded(seed)));
            let again = open(&cut);
            assert_eq!(again.get("a"), Some(number), "{nth} {seed} {moved:?}");
            assert!(again.is_sound());
        }
    }
    assert!(struck >= 4, "{struck}");
}
