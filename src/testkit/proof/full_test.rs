//! A disk that becomes full, at every page in turn: what was acknowledged stays, reading goes on, and once a little
//! room has been made, records can be removed.

use serde_json::{Value, json};

use super::choices::Choices;
use super::content::FleetContent;
use super::disk::Disk;
use super::fleet::{Fleet, Mode};
use super::power_cut::{Mark, Run, assert_sound};
use super::power_cut_test::{scale, seed};
use crate::engine::store::Store;
use crate::error::ErrorKind;
use crate::state::queue::TaskState;

/// The disk becomes full after each number of pages below this, times the scale.
const PAGES: usize = 40;
/// The pages of the reserve, which is given up so that records can be removed: 4 MiB.
const RESERVE: usize = 1024;
/// The disk is filled with records of about this length.
const LENGTH: usize = 2000;
const FILLING: &str = "filling";

#[test]
fn a_full_disk_loses_nothing_and_records_can_be_removed_once_a_reserve_is_given_up() {
    let seed = seed();
    let mut without_session = 0;
    for pages in 0..PAGES * usize::try_from(scale()).unwrap() {
        let folder = tempfile::tempdir().unwrap();
        let mut choices = Choices::seeded(seed + pages as u64 % 8);
        let mode = Mode { long: false, ..Mode::of(choices.below(8)) };
        let run = Run::record(folder.path(), mode, 6, &mut choices);
        let begun = fill_and_empty(folder.path(), mode, run.marks.last().unwrap(), pages);
        without_session += usize::from(begun == Begun::Later);
    }
    assert!(without_session > 0, "no disk was so full that a session had no room");
}

#[test]
fn a_full_disk_under_processes_that_share_a_log_loses_nothing_and_is_worked_on_once_there_is_room() {
    let seed = seed();
    for pages in 0..PAGES * usize::try_from(scale()).unwrap() {
        let folder = tempfile::tempdir().unwrap();
        let mut choices = Choices::seeded(seed + pages as u64 % 8);
        let mode = Mode { long: false, ..Mode::of_three(choices.below(8)) };
        let run = Run::record(folder.path(), mode, 6, &mut choices);
        let mark = run.marks.last().unwrap();
        let disk = Disk::of(mark.image.clone());
        let open = |disk: &Disk| Fleet::on(disk, folder.path(), mode, mark.known.clone()).unwrap();
        let fleet = open(&disk);
        disk.leave_room(pages);
        let written = fill(&fleet);
        fleet.stores().for_each(|store| assert_unchanged(store, mark));
        fleet.die();
        disk.leave_room(RESERVE);
        let fleet = open(&disk);
        assert_holds(&fleet, mark, written, Begun::Later);
        for (number, store) in (0..written).zip(fleet.stores().cycle()) {
            store.write(|tx| tx.collection::<Value>(FILLING)?.remove(&key(number))).unwrap();
        }
        fleet.stores().for_each(assert_sound);
        fleet.die();
        assert_sound(&open(&Disk::of(disk.cut(&mut choices))).store);
    }
}

/// When the session of a process began that opened the store on a full disk.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Begun {
    AtOnce,
    Later,
}

fn fill_and_empty(folder: &std::path::Path, mode: Mode, mark: &Mark, pages: usize) -> Begun {
    let disk = Disk::of(mark.image.clone());
    let open = || Fleet::on(&disk, folder, mode, mark.known.clone()).unwrap();
    let fleet = open();
    disk.leave_room(pages);
    let written = fill(&fleet);
    assert_unchanged(&fleet.store, mark);
    fleet.die();
    let fleet = open();
    let fleet = fleet.with_session().unwrap();
    let begun = if fleet.store.session().is_some() { Begun::AtOnce } else { Begun::Later };
    assert_eq!(fleet.store.notice_crashes().unwrap(), []);
    assert_holds(&fleet, mark, written, begun);
    disk.leave_room(RESERVE);
    if begun == Begun::Later {
        fleet.store.write(|tx| tx.collection(FILLING)?.put("room", &json!(0))).unwrap();
        fleet.store.notice_crashes().unwrap();
        assert!(fleet.store.session().is_some(), "there is room, and no session");
    }
    // A failure for want of space, even while the store was opened, is over once it is opened with space.
    fleet.die();
    let fleet = open();
    for number in 0..written {
        fleet.store.write(|tx| tx.collection::<Value>(FILLING)?.remove(&key(number))).unwrap();
    }
    assert_sound(&fleet.store);
    fleet.die();
    let fleet = Fleet::on(&Disk::of(disk.cut(&mut Choices::seeded(pages as u64))), folder, mode, mark.known.clone());
    assert_sound(&fleet.unwrap().store);
    begun
}

fn assert_unchanged(store: &Store, mark: &Mark) {
    match store.view().and_then(|view| FleetContent::read(&view)) {
        // Once a write has failed, pages that are not in memory are refused.
        Err(error) => assert_eq!(error.kind(), ErrorKind::Reopen),
        Ok(now) => assert!(now == mark.known.model.now, "something else changed"),
    }
}

fn key(number: usize) -> String {
    format!("record {number:06}")
}

/// Puts records, in each process in turn, until the disk is full; gives how many there are.
fn fill(fleet: &Fleet) -> usize {
    for (number, store) in fleet.stores().cycle().enumerate() {
        let value = json!("x".repeat(LENGTH));
        let put = store.write(|tx| tx.collection(FILLING)?.put(&key(number), &value));
        if let Err(error) = put {
            assert!(
                matches!(error.kind(), ErrorKind::Full | ErrorKind::NotCommitted | ErrorKind::Uncertain),
                "{error}"
            );
            assert!(error.to_string().contains("No space left on device"), "{error}");
            return number;
        }
    }
    0
}

/// All records that were acknowledged are there, with whatever was there before.
fn assert_holds(fleet: &Fleet, mark: &Mark, written: usize, begun: Begun) {
    let view = fleet.store.view().unwrap();
    let filling = view.collection::<Value>(FILLING).unwrap();
    let found = filling.list().map(Result::unwrap).count();
    assert!(found == written || found == written + 1, "found={found} acknowledged={written}");
    let now = FleetContent::read(&view).unwrap();
    let mut then = mark.known.model.now.clone();
    // A session that has begun has noticed the crash of the process before, whose claims are back then.
    if begun == Begun::AtOnce && now.tasks != then.tasks {
        let claims =
            then.tasks.values_mut().filter(|(state, session)| *state == TaskState::Claimed && session.is_some());
        claims.for_each(|claim| *claim = (TaskState::Ready, None));
    }
    assert_eq!(now, then, "something else changed");
    assert_sound(&fleet.store);
}
