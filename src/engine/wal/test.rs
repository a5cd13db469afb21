//! The log of a store that one process has for itself, from outside; and the stores of the other tests.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::disk::folder::{FindSharedPage, LogFolder};
use super::disk::shared_page::SharedPageFile;
use crate::engine::format::schema::{CollectionId, Table};
use crate::engine::meta;
use crate::engine::options::{Options, Sharing};
use crate::engine::records::{KeyRange, Records};
use crate::engine::redb_file::{FileId, StorageBackend};
use crate::engine::store::Store;
use crate::error::{Error, ErrorKind, Result};
use crate::testkit::proof::choices::Choices;
use crate::testkit::proof::disk::{Disk, DiskContent, DiskFile, Request, Synced, survivor};

pub(in crate::engine) const C: CollectionId = CollectionId::CONFIG;
/// A length that few commits fill.
pub(in crate::engine) const SHORT: u64 = 16 << 10;

/// A store on a disk, as one process has it.
pub(in crate::engine) struct Hive {
    pub(in crate::engine) disk: Disk,
    file: DiskFile,
    pub(in crate::engine) store: Store,
    _folder: tempfile::TempDir,
}

pub(in crate::engine) fn options() -> Options {
    Store::options().sharing(Sharing::Exclusive).session(false).reserve(false)
}

pub(in crate::engine) fn open_with(disk: &Disk, options: Options, held: Option<&Arc<Hold>>) -> Result<Hive> {
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

pub(in crate::engine) fn open(disk: &Disk) -> Hive {
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
    pub(in crate::engine) fn put(&self, key: &str, number: u64) -> Result<()> {
        self.store.write(|tx| tx.put(C, key.as_bytes(), &number.to_be_bytes()))
    }

    pub(in crate::engine) fn get(&self, key: &str) -> Option<u64> {
        self.store.view().unwrap().get(C, key.as_bytes()).unwrap().map(|bytes| meta::number(&bytes).unwrap())
    }

    /// Kills the process while its threads still run.
    pub(in crate::engine) fn cut_off(&self) {
        self.file.cut_off();
    }

    /// Kills the process; the disk is as it was left.
    pub(in crate::engine) fn kill(self) -> Disk {
        self.file.cut_off();
        drop::<Result<()>>(self.store.close_file());
        self.disk
    }

    pub(in crate::engine) fn is_sound(&self) -> bool {
        crate::engine::check::check(&self.store.view().unwrap(), &|_, _| Ok(())).unwrap().is_sound()
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

/// Holds syncs of sections, or refuses to change the files beside a store, until it is told not to.
#[derive(Debug, Default)]
pub(in crate::engine) struct Hold {
    state: Mutex<Held>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Held {
    holds: bool,
    waiting: usize,
    refuses: bool,
}

impl Hold {
    pub(super) fn set(&self, holds: bool) {
        self.state.lock().holds = holds;
        self.changed.notify_all();
    }

    pub(super) fn wait_for_a_sync(&self) {
        let mut state = self.state.lock();
        while state.waiting == 0 {
            self.changed.wait(&mut state);
        }
    }

    pub(super) fn refuse(&self, refuses: bool) {
        self.state.lock().refuses = refuses;
    }

    fn refused(&self) -> Result<()> {
        match self.state.lock().refuses {
            true => Err(Error::new(ErrorKind::Io, "on purpose")),
            false => Ok(()),
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

    fn open_to_write(&self, section: u64) -> Result<Option<Box<dyn StorageBackend>>> {
        self.hold.refused()?;
        self.folder.open_to_write(section)
    }

    fn locks(&self) -> Result<(Box<dyn StorageBackend>, Option<FileId>)> {
        self.folder.locks()
    }

    fn shared_page(&self, find: FindSharedPage) -> Result<Option<SharedPageFile>> {
        self.folder.shared_page(find)
    }

    fn remove_shared_page(&self) -> Result<()> {
        self.folder.remove_shared_page()
    }

    fn make(&self, section: u64, head: &[u8], length: u64) -> Result<Box<dyn StorageBackend>> {
        self.hold.refused()?;
        let file = self.folder.make(section, head, length)?;
        Ok(Box::new(HeldFile { file, hold: self.hold.clone() }))
    }

    fn clear_unfinished(&self) -> Result<()> {
        self.folder.clear_unfinished()
    }

    fn remove(&self, section: u64) -> Result<()> {
        self.hold.refused()?;
        self.folder.remove(section)
    }

    fn set_aside(&self, section: u64) -> Result<String> {
        self.folder.set_aside(section)
    }

    fn sync(&self) -> Result<()> {
        self.hold.refused()?;
        self.folder.sync()
    }

    fn name(&self, section: u64) -> String {
        self.folder.name(section)
    }
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
fn the_rest_of_a_log_is_moved_after_a_moment_without_commits() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h.redb");
    // One section has room for all.
    let store = options().first_section(1 << 20).open_with(&path, &[]).unwrap();
    (0..5_u64).for_each(|number| store.write(|tx| tx.put(C, b"a", &number.to_be_bytes())).unwrap());
    let log = store.inner.gate.log().unwrap();
    let begun = Instant::now();
    let large = vec![7; 60 << 10];
    (0..5_u64).for_each(|number| store.write(|tx| tx.put(C, &number.to_be_bytes(), &large)).unwrap());
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
fn a_writer_who_comes_once_in_a_while_pays_one_sync_for_a_commit() {
    let hive = logging();
    let log = hive.store.inner.gate.log().unwrap();
    for number in 0..20 {
        hive.disk.record();
        hive.put("a", number).unwrap();
        hive.store.inner.mover.move_log(&log, super::overlay::bell::Rung::Rest).unwrap();
        let trace = hive.disk.take_trace();
        assert!(matches!(&trace[..], [Request::Write(..), Request::Sync(_)]), "{trace:?}");
    }
    assert_eq!(open(&hive.kill()).get("a"), Some(19));
}

#[test]
fn a_log_is_laid_down_after_a_long_rest_and_another_begins_once_there_are_commits_again() {
    let hive = logging();
    let log = hive.store.inner.gate.log().unwrap();
    let before = log.head.lock().id;
    hive.store.inner.mover.move_log(&log, super::overlay::bell::Rung::LongRest).unwrap();
    assert!(sections(&hive.disk.seen()).is_empty() && log.bytes_in_memory() == 0);
    assert!(!hive.store.log_status().unwrap().in_use);
    hive.disk.record();
    hive.put("a", 3).unwrap();
    assert!(sections(&hive.disk.seen()).is_empty(), "one commit needs no log");
    (4..30).for_each(|number| hive.put("a", number).unwrap());
    assert!(hive.store.log_status().unwrap().in_use && log.head.lock().id != before);
    assert_eq!(hive.get("a"), Some(29));
    let hive = open(&hive.kill());
    assert_eq!((hive.get("first"), hive.get("second"), hive.get("a")), (Some(1), Some(2), Some(29)));
    assert!(hive.is_sound());
}

#[test]
fn a_power_cut_while_a_log_is_laid_down_takes_nothing_that_was_answered() {
    let hive = logging();
    let base = hive.disk.seen();
    hive.disk.record();
    let mut answered = Vec::new();
    for round in 0..6_u64 {
        for number in 0..4 {
            hive.put("a", round * 4 + number).unwrap();
            answered.push((hive.disk.recorded(), round * 4 + number));
        }
        hive.store.lay_log_down().unwrap();
    }
    let trace = hive.disk.take_trace();
    drop(hive.kill());
    let (mut choices, mut synced, mut cuts) = (Choices::seeded(1), Synced::of(base), 0);
    for at in 0..=trace.len() {
        for _ in 0..3 {
            let found = open(&Disk::of(survivor(&synced, &mut choices)));
            let least = answered.iter().filter(|(told, _)| *told <= at).map(|(_, number)| *number).max();
            let most = answered.iter().find(|(told, _)| *told > at).map_or(u64::MAX, |(_, number)| *number);
            let number = found.get("a");
            assert!(number >= least && number.is_none_or(|number| number <= most), "at={at} {number:?} {least:?}");
            assert!(found.is_sound());
            cuts += 1;
        }
        trace.get(at).into_iter().for_each(|request| synced.take(request.clone()));
    }
    assert!(cuts > 300, "cuts={cuts}");
}

#[test]
fn the_status_of_a_log_tells_its_files_its_rows_and_its_last_checkpoint() {
    let store = open(&Disk::default());
    assert!(!store.store.log_status().unwrap().in_use);
    let hive = logging();
    (0..5).for_each(|number| hive.put("a", number).unwrap());
    let view = hive.store.view().unwrap();
    let status = hive.store.log_status().unwrap();
    assert_eq!((status.in_use, status.format, status.sections, status.bytes), (true, 1, 1, SHORT));
    assert_eq!((status.views, status.last_checkpoint, status.failing), (1, None, None));
    assert!(status.oldest_view.is_some() && status.memory_bytes > 0);
    drop(view);
    hive.store.rest_log().unwrap();
    let status = hive.store.log_status().unwrap();
    assert_eq!((status.memory_bytes, status.views), (0, 0));
    assert!(status.last_checkpoint.is_some());
    // A closure may ask too.
    let in_use = hive.store.write(|tx| tx.put(C, b"b", b"1").map(|()| hive.store.log_status().unwrap().in_use));
    assert!(in_use.unwrap());
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
