//! The log of a store that one process has for itself, from outside.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::LogIs;
use super::folder::LogFolder;
use crate::engine::format::schema::{CollectionId, Table};
use crate::engine::meta;
use crate::engine::options::{Options, Sharing};
use crate::engine::records::{KeyRange, Records};
use crate::engine::redb_file::StorageBackend;
use crate::engine::store::Store;
use crate::error::{Error, ErrorKind, Result};
use crate::testkit::proof::choices::Choices;
use crate::testkit::proof::disk::{Disk, DiskContent, DiskFile, EIO, Fault, Operation, Request};

pub(super) const C: CollectionId = CollectionId::CONFIG;
/// A length that few commits fill.
pub(super) const SHORT: u64 = 16 << 10;

/// A store on a disk, as one process has it.
pub(super) struct Hive {
    pub(super) disk: Disk,
    file: DiskFile,
    pub(super) store: Store,
    _folder: tempfile::TempDir,
}

pub(super) fn options() -> Options {
    Store::options().sharing(Sharing::Exclusive).session(false).reserve(false)
}

pub(super) fn open_with(disk: &Disk, options: Options, held: Option<&Arc<Hold>>) -> Result<Hive> {
    let folder = tempfile::tempdir().unwrap();
    let file = disk.file();
    let (storage, beside, held) = (file.clone(), file.clone(), held.cloned());
    let log = move || -> Option<Box<dyn LogFolder>> {
        let folder: Box<dyn LogFolder> = Box::new(beside.folder());
        Some(match &held {
            Some(hold) => Box::new(HeldFolder { folder, hold: hold.clone() }),
            None => folder,
        })
    };
    let store = options.open_over(move || storage.clone(), log, &folder.path().join("h.redb"), &[])?;
    Ok(Hive { disk: disk.clone(), file, store, _folder: folder })
}

pub(super) fn open(disk: &Disk) -> Hive {
    open_with(disk, options().tends_log(false).first_section(SHORT), None).unwrap()
}

/// A new store whose log is in use.
pub(super) fn logging() -> Hive {
    let hive = open(&Disk::default());
    hive.put("first", 1).unwrap();
    hive.put("second", 2).unwrap();
    hive
}

impl Hive {
    pub(super) fn put(&self, key: &str, number: u64) -> Result<()> {
        self.store.write(|tx| tx.put(C, key.as_bytes(), &number.to_be_bytes()))
    }

    pub(super) fn get(&self, key: &str) -> Option<u64> {
        self.store.view().unwrap().get(C, key.as_bytes()).unwrap().map(|bytes| meta::number(&bytes).unwrap())
    }

    /// Kills the process; the disk is as it was left.
    pub(super) fn kill(self) -> Disk {
        self.file.cut_off();
        drop::<Result<()>>(self.store.close_file());
        self.disk
    }

    pub(super) fn is_sound(&self) -> bool {
        crate::engine::check::check(&self.store.view().unwrap(), &|_, _| ()).unwrap().is_sound()
    }

    /// The version of the file's format.
    pub(super) fn format(&self) -> u64 {
        let row = self.store.view().unwrap().row(Table::Meta, meta::FORMAT).unwrap();
        meta::number(&row.unwrap()).unwrap()
    }
}

pub(super) fn sections(content: &DiskContent) -> Vec<u64> {
    content.sections().map(|(section, _)| section).collect()
}

/// Writes what a disk holds into files.
pub(super) fn to_files(content: &DiskContent, path: &Path) {
    let write = |path: PathBuf, image: &crate::testkit::proof::image::Image| {
        let mut bytes = vec![0; image.len()];
        image.read(0, &mut bytes).unwrap();
        std::fs::write(path, bytes).unwrap();
    };
    write(path.to_path_buf(), content.store());
    for (section, image) in content.sections() {
        write(section_file(path, section), image);
    }
}

pub(super) fn section_file(path: &Path, section: u64) -> PathBuf {
    crate::files::beside(path, &format!(".wal.{section}"))
}

pub(super) fn get_of(store: &Store, key: &str) -> Option<Vec<u8>> {
    store.view().unwrap().get(C, key.as_bytes()).unwrap()
}

/// Holds syncs of sections until it is told not to.
#[derive(Debug, Default)]
pub(super) struct Hold {
    state: Mutex<Held>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Held {
    holds: bool,
    waiting: usize,
}

impl Hold {
    fn set(&self, holds: bool) {
        self.state.lock().holds = holds;
        self.changed.notify_all();
    }

    fn wait_for_a_sync(&self) {
        let mut state = self.state.lock();
        while state.waiting == 0 {
            self.changed.wait(&mut state);
        }
    }

    fn sync(&self) {
        let mut state = self.state.lock();
        state.waiting += 1;
        self.changed.notify_all();
        while state.holds {
            self.changed.wait(&mut state);
        }
        state.waiting -= 1;
    }
}

#[derive(Debug)]
struct HeldFolder {
    folder: Box<dyn LogFolder>,
    hold: Arc<Hold>,
}

#[derive(Debug)]
struct HeldFile {
    file: Box<dyn StorageBackend>,
    hold: Arc<Hold>,
}

impl StorageBackend for HeldFile {
    fn len(&self) -> std::io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> std::io::Result<()> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> std::io::Result<()> {
        self.hold.sync();
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        self.file.write(offset, data)
    }
}

impl LogFolder for HeldFolder {
    fn sections(&self) -> Result<Vec<u64>> {
        self.folder.sections()
    }

    fn open(&self, section: u64) -> Result<Option<Box<dyn StorageBackend>>> {
        self.folder.open(section)
    }

    fn make(&self, section: u64, head: &[u8], length: u64) -> Result<Box<dyn StorageBackend>> {
        let file = self.folder.make(section, head, length)?;
        Ok(Box::new(HeldFile { file, hold: self.hold.clone() }))
    }

    fn clear_unfinished(&self) -> Result<()> {
        self.folder.clear_unfinished()
    }

    fn remove(&self, section: u64) -> Result<()> {
        self.folder.remove(section)
    }

    fn set_aside(&self, section: u64) -> Result<String> {
        self.folder.set_aside(section)
    }

    fn sync(&self) -> Result<()> {
        self.folder.sync()
    }

    fn name(&self, section: u64) -> String {
        self.folder.name(section)
    }
}

#[test]
fn the_second_commit_begins_a_log_and_a_close_leaves_the_file_alone() {
    let hive = open(&Disk::default());
    hive.put("a", 1).unwrap();
    assert!(sections(&hive.disk.seen()).is_empty());
    assert_eq!(hive.format(), 1);
    hive.put("a", 2).unwrap();
    assert_eq!(sections(&hive.disk.seen()), [1]);
    assert_eq!(hive.format(), 2);
    hive.disk.record();
    hive.put("a", 3).unwrap();
    let trace = hive.disk.take_trace();
    assert!(
        matches!(&trace[..], [Request::Write(written, ..), Request::Sync(synced)] if written == synced),
        "{trace:?}"
    );
    assert_eq!(hive.get("a"), Some(3));
    hive.store.close_file().unwrap();
    assert!(sections(&hive.disk.seen()).is_empty());
    let hive = open(&hive.disk);
    assert_eq!((hive.get("a"), hive.format()), (Some(3), 2));
}

#[test]
fn a_log_goes_on_over_many_sections_and_those_that_redb_has_are_removed() {
    let hive = logging();
    for number in 0..600 {
        hive.put(&format!("key {}", number % 50), number).unwrap();
    }
    let left = sections(&hive.disk.seen());
    assert!(left.len() <= 3 && left[0] > 3, "{left:?}");
    for number in 550..600 {
        assert_eq!(hive.get(&format!("key {}", number % 50)), Some(number));
    }
    let hive = open(&hive.kill());
    for number in 550..600 {
        assert_eq!(hive.get(&format!("key {}", number % 50)), Some(number));
    }
    assert!(hive.is_sound());
}

#[test]
fn a_closure_may_look_at_the_store_that_it_writes_to() {
    let hive = logging();
    let seen = hive.store.write(|tx| {
        tx.put(C, b"own", &7_u64.to_be_bytes())?;
        Ok((hive.get("own"), hive.get("second")))
    });
    assert_eq!(seen.unwrap(), (None, Some(2)));
    assert_eq!(hive.get("own"), Some(7));
}

#[test]
fn a_closure_that_fails_or_panics_leaves_nothing_and_concerns_nobody_else() {
    let hive = logging();
    std::thread::scope(|scope| {
        for thread in 0..3_u64 {
            let hive = &hive;
            scope.spawn(move || (0..50).for_each(|number| hive.put(&format!("thread {thread}"), number).unwrap()));
        }
        for number in 0..50 {
            let failed = hive.store.write(|tx| {
                tx.put(C, b"failed", b"x")?;
                Err::<(), _>(Error::conflict("on purpose"))
            });
            assert_eq!(failed.unwrap_err().kind(), ErrorKind::Conflict);
            let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                hive.store.write(|tx| {
                    tx.put(C, b"failed", b"x")?;
                    if number < 1000 { panic!("on purpose") } else { Ok(()) }
                })
            }));
            assert!(panicked.is_err());
        }
    });
    let look = |hive: &Hive| {
        assert_eq!(get_of(&hive.store, "failed"), None);
        (0..3).for_each(|thread| assert_eq!(hive.get(&format!("thread {thread}")), Some(49)));
        assert!(hive.is_sound());
    };
    look(&hive);
    look(&open(&hive.kill()));
}

#[test]
fn nobody_is_answered_before_what_he_saw_is_on_the_disk_not_even_with_an_error() {
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
fn large_work_goes_past_the_log_and_what_comes_after_it_goes_on() {
    let hive = logging();
    hive.put("before", 1).unwrap();
    hive.store.load(|tx| (0..500_u64).try_for_each(|i| tx.put(C, &i.to_be_bytes(), &[7; 300]))).unwrap();
    hive.put("between", 2).unwrap();
    // Nobody says that this one is large.
    let value = vec![8; 300];
    hive.store.write(|tx| (500..1000_u64).try_for_each(|i| tx.put(C, &i.to_be_bytes(), &value))).unwrap();
    hive.put("after", 3).unwrap();
    let aborted = hive.store.load(|tx| {
        tx.put(C, b"before", b"gone")?;
        Err::<(), _>(Error::conflict("on purpose"))
    });
    aborted.unwrap_err();
    hive.put("last", 4).unwrap();
    let look = |hive: &Hive| {
        let view = hive.store.view().unwrap();
        assert_eq!(view.stats(C).unwrap().count, 1006);
        assert_eq!(view.part(C, &KeyRange::all(), 2000).unwrap().len(), 1006);
        assert_eq!(["before", "between", "after", "last"].map(|key| hive.get(key)), [1, 2, 3, 4].map(Some));
        assert!(hive.is_sound());
    };
    look(&hive);
    look(&open(&hive.kill()));
}

#[test]
fn a_view_reads_the_same_whatever_is_written_loaded_and_moved_meanwhile() {
    let hive = logging();
    (0..40).for_each(|number| hive.put(&format!("key {number:02}"), number).unwrap());
    let before = hive.store.view().unwrap();
    let rows = |view: &crate::engine::view::View| view.part(C, &KeyRange::all(), 1000).unwrap();
    let then = rows(&before);
    hive.store.write(|tx| tx.remove(C, b"key 07").map(drop)).unwrap();
    let removed = hive.store.view().unwrap();
    hive.store.rest_log().unwrap();
    hive.store.load(|tx| tx.put(C, b"key 08", b"loaded")).unwrap();
    (0..400).for_each(|number| hive.put(&format!("key {:02}", number % 40), number).unwrap());
    assert_eq!(rows(&before), then);
    assert_eq!(before.get(C, b"key 08").unwrap(), Some(8_u64.to_be_bytes().to_vec()));
    assert_eq!(rows(&removed).len(), then.len() - 1);
    assert_eq!(removed.count_rows(Table::Live).unwrap() + 1, before.count_rows(Table::Live).unwrap());
}

#[test]
fn rows_of_the_log_and_of_the_file_are_read_as_one_in_both_directions() {
    for seed in 0..12 {
        let mut choices = Choices::seeded(seed);
        let hive = logging();
        let mut model: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
        hive.store.write(|tx| tx.remove(C, b"first").and(tx.remove(C, b"second")).map(drop)).unwrap();
        for step in 0..120_u64 {
            let key = |choices: &mut Choices| (choices.below(60) as u16).to_be_bytes().to_vec();
            let many = 1 + choices.below(6);
            let changes: Vec<_> = (0..many).map(|_| (key(&mut choices), !choices.once_in(3))).collect();
            let written = hive.store.write(|tx| {
                for (key, puts) in &changes {
                    match puts {
                        true => tx.put(C, key, &step.to_be_bytes())?,
                        false => drop(tx.remove(C, key)?),
                    }
                }
                let mut after = model.clone();
                after.extend(changes.iter().map(|(key, _)| (key.clone(), step.to_be_bytes().to_vec())));
                apply(&mut after, &changes);
                assert_reads(tx, &after, &mut choices);
                Ok(())
            });
            written.unwrap();
            model.extend(changes.iter().map(|(key, _)| (key.clone(), step.to_be_bytes().to_vec())));
            apply(&mut model, &changes);
            if choices.once_in(10) {
                hive.store.rest_log().unwrap();
            }
            assert_reads(&hive.store.view().unwrap(), &model, &mut choices);
            assert_eq!(hive.store.view().unwrap().count_rows(Table::Live).unwrap(), model.len() as u64);
        }
        assert!(hive.is_sound());
    }
}

/// Takes away what the last change of each key removes.
fn apply(model: &mut BTreeMap<Vec<u8>, Vec<u8>>, changes: &[(Vec<u8>, bool)]) {
    for (key, _) in changes {
        if changes.iter().rev().find(|(other, _)| other == key).is_some_and(|(_, puts)| !puts) {
            model.remove(key);
        }
    }
}

fn assert_reads(records: &dyn Records, model: &BTreeMap<Vec<u8>, Vec<u8>>, choices: &mut Choices) {
    let from = (choices.below(60) as u16).to_be_bytes();
    let until = (choices.below(60) as u16).to_be_bytes();
    for range in [KeyRange::all(), KeyRange::all().from(&from), KeyRange::all().until(&until)] {
        for range in [range.clone(), range.backward()] {
            let bounds = (range.start.as_ref().map(Vec::as_slice), range.end.as_ref().map(Vec::as_slice));
            let mut all: Vec<_> =
                model.range::<[u8], _>(bounds).map(|(key, value)| (key.clone(), value.clone())).collect();
            if range.backward {
                all.reverse();
            }
            let limit = 1 + choices.below(80);
            let mut each = Vec::new();
            records
                .each(C, range.clone(), &mut |key, value| {
                    each.push((key.to_vec(), value.to_vec()));
                    Ok(())
                })
                .unwrap();
            assert!(each == all, "{range:?}");
            all.truncate(limit);
            assert!(records.part(C, &range, limit).unwrap() == all, "limit={limit} {range:?}");
        }
    }
    assert_eq!(records.stats(C).unwrap().count, model.len() as u64);
}

#[test]
fn rows_in_memory_stay_within_their_bound_while_nothing_is_moved() {
    let hive = open_with(&Disk::default(), options().first_section(super::section::MOST), None).unwrap();
    (0..3).for_each(|number| hive.put("a", number).unwrap());
    let log = hive.store.inner.gate.log().unwrap();
    // As if the thread that moves sections stood still.
    log.bell.stop();
    let value = vec![7; 200 << 10];
    let mut most = 0;
    for number in 0..200_u64 {
        hive.store.write(|tx| tx.put(C, &number.to_be_bytes(), &value)).unwrap();
        most = most.max(log.bytes_in_memory());
    }
    let bound = super::log::MOST_IN_MEMORY + 2 * super::section::MOST as usize;
    assert!(most > super::log::MOST_IN_MEMORY && most < bound, "most={most}");
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

/// A store in files, whose process was killed with its log in use.
pub(super) fn killed(folder: &Path) -> PathBuf {
    let hive = logging();
    hive.put("third", 3).unwrap();
    let content = hive.disk.seen();
    drop(hive.kill());
    let path = std::fs::canonicalize(folder).unwrap().join("h.redb");
    to_files(&content, &path);
    path
}

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
fn the_rest_of_a_log_is_moved_after_a_moment_without_commits() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h.redb");
    let store = options().open_with(&path, &[]).unwrap();
    (0..5_u64).for_each(|number| store.write(|tx| tx.put(C, b"a", &number.to_be_bytes())).unwrap());
    let log = store.inner.gate.log().unwrap();
    assert!(log.bytes_in_memory() > 0);
    let begun = Instant::now();
    while log.bytes_in_memory() > 0 {
        assert!(begun.elapsed() < Duration::from_secs(30), "it is not moved");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(begun.elapsed() > Duration::from_millis(500));
    assert_eq!(get_of(&store, "a"), Some(4_u64.to_be_bytes().to_vec()));
    drop((log, store));
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|found| found.unwrap().file_name()).collect();
    assert_eq!(left, ["h.redb"]);
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
    let report = crate::engine::repair::repair(&path, &into, LogIs::Used).unwrap();
    assert!(report.lost.is_empty() && report.notes.is_empty(), "{report}");
    let number = |key: &str| get_of(&into, key).map(|bytes| meta::number(&bytes).unwrap());
    assert_eq!(["key 04", "key 05", "key 06", "new"].map(number), [Some(4), Some(500), None, Some(7)]);
    assert!(crate::engine::check::check(&into.view().unwrap(), &|_, _| ()).unwrap().is_sound());
    into.close_file().unwrap();
    // Without its log it goes back, and says so.
    for (section, _) in content.sections() {
        std::fs::remove_file(section_file(&path, section)).unwrap();
    }
    let into = Store::options().session(false).reserve(false).open_with(&folder.path().join("old.redb"), &[]).unwrap();
    let report = crate::engine::repair::repair(&path, &into, LogIs::Used).unwrap();
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
fn sections_do_not_pile_up_beside_large_work() {
    let hive = logging();
    for number in 0..20 {
        hive.put("small", number).unwrap();
        hive.store.load(|tx| tx.put(C, b"large", &[7; 5000])).unwrap();
    }
    let left = sections(&hive.disk.seen());
    assert!(left.len() <= 3, "{left:?}");
    assert_eq!(open(&hive.kill()).get("small"), Some(19));
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
