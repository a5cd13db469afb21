//! A consistent copy of a store's file, while others write to it.
//!
//! Under the writers' lock, the header is read and a read transaction begins. Then writers go on. The transaction pins
//! the pages of its commit, so that they can be copied meanwhile; the header is written last. The copy is verified page
//! by page. If that fails, it is made once more while the writers wait.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::ops::Bound;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::engine::format::schema::Table;
use crate::engine::meta;
use crate::engine::opening::open;
use crate::engine::opening::options::{Options, Sharing, VerifyOnOpen};
use crate::engine::records::Records;
use crate::engine::redb_file::WRITER;
use crate::engine::redb_file::{BackendError, OwnFile, StorageBackend};
use crate::engine::session::writer_line::WriterLine;
use crate::engine::store::Store;
use crate::engine::view::View;
use crate::engine::wal::{LogNews, is_lived_in, log_is_in_use};
use crate::error::{Error, ErrorKind, Result};
use crate::files::{self, Rights};

/// The header's page.
const HEADER: usize = 4096;
/// Copied at a time.
const STRETCH: usize = 1 << 20;
/// How long a writer may keep the lock.
const PATIENCE: Duration = Duration::from_secs(10);

/// The result of a copy.
#[derive(Debug)]
pub(crate) struct Copied {
    /// The length of the file.
    pub(crate) bytes: u64,
    /// How long writers waited.
    pub(crate) held: Duration,
    /// The log of a process that died, which was moved into the store to be copied.
    pub(crate) news: LogNews,
}

/// Whether writers wait while the pages are copied.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Writers {
    GoOn,
    Wait,
}

/// Copies the store at `from` into a new file at `to`. `progress` is told how many of how many bytes are done, and may
/// stop it with an error.
pub(crate) fn copy(from: &Path, to: &Path, progress: &dyn Fn(u64, u64) -> Result<()>) -> Result<Copied> {
    let copied = copy_once(from, to, Writers::GoOn, progress)?;
    match verify(to) {
        Err(error) if error.kind() == ErrorKind::Damaged => {
            tracing::debug!(%error, "a copy beside writers did not verify; they wait for the next one");
            files::remove(to)?;
            let mut again = copy_once(from, to, Writers::Wait, progress)?;
            again.news.add(copied.news);
            verify(to).map(|()| again)
        }
        verified => verified.map(|()| copied),
    }
}

fn copy_once(from: &Path, to: &Path, writers: Writers, progress: &dyn Fn(u64, u64) -> Result<()>) -> Result<Copied> {
    let mut target = files::create_new(to, Rights::of_content(from)).map_err(|error| files::failed(to, error))?;
    let (arrived, mut news) = (Instant::now(), LogNews::default());
    while arrived.elapsed() < PATIENCE {
        news.add(empty_log(from)?);
        let store = Store::options().create(false).read_only(true).session(false).open_with(from, &[])?;
        let file = OwnFile::read(from)?;
        let mut pinned = || {
            pin(&store, &file, from, |bytes| match writers {
                Writers::Wait => copy_pages(&file, &mut target, bytes, progress),
                Writers::GoOn => Ok(()),
            })
        };
        // Processes that share a log have commits in it that are in no page.
        let pinned = match is_lived_in(from)? {
            true => {
                let options = Store::options().create(false).session(false).reserve(false).sharing(Sharing::SharedLog);
                let sharing = options.open_with(from, &[])?;
                let pinned = sharing.without_log(pinned)?;
                news.add(sharing.take_log_news());
                sharing.close_file()?;
                pinned
            }
            false => pinned()?,
        };
        if let Some(Pinned { header, bytes, view, held }) = pinned {
            if writers == Writers::GoOn {
                copy_pages(&file, &mut target, bytes, progress)?;
            }
            target.seek(SeekFrom::Start(0))?;
            target.write_all(&header)?;
            drop(view);
            tracing::debug!(took_us = arrived.elapsed().as_micros(), held_us = held.as_micros(), "copied");
            store.close_file()?;
            return Ok(Copied { bytes, held, news });
        }
        store.close_file()?;
    }
    let message = format!("{} is opened by one process after another; try again", from.display());
    Err(Error::new(ErrorKind::Locked, message))
}

/// A commit whose pages stay as they are.
struct Pinned {
    header: [u8; HEADER],
    /// The length of the file.
    bytes: u64,
    view: View,
    /// How long writers waited.
    held: Duration,
}

/// Pins the newest commit while writers are kept out, and does something meanwhile. None where a process has come and
/// begun a log since somebody looked: then there are commits that are in no page.
fn pin(
    store: &Store,
    file: &OwnFile,
    path: &Path,
    meanwhile: impl FnOnce(u64) -> Result<()>,
) -> Result<Option<Pinned>> {
    lock(file, path)?;
    let (held_from, mut header) = (Instant::now(), [0; HEADER]);
    file.read(0, &mut header)?;
    let (bytes, view) = (file.len()?, store.view()?);
    let is_whole = !log_is_in_use(view.row(Table::Meta, meta::WAL)?.as_deref())?;
    if is_whole {
        meanwhile(bytes)?;
    }
    unlock(file)?;
    Ok(is_whole.then(|| Pinned { header, bytes, view, held: held_from.elapsed() }))
}

/// Moves the log of a store that nobody has open into its file, so that only pages must be copied.
fn empty_log(from: &Path) -> Result<LogNews> {
    if !open::has_log_in_use(from)? {
        return Ok(LogNews::default());
    }
    let options = Store::options().create(false).session(false).reserve(false);
    let store = options.verify_on_open(VerifyOnOpen::Never).open_with(from, &[])?;
    store.close_file()?;
    Ok(store.take_log_news())
}

fn copy_pages(file: &OwnFile, target: &mut File, bytes: u64, progress: &dyn Fn(u64, u64) -> Result<()>) -> Result<()> {
    target.set_len(bytes)?;
    let mut stretch = vec![0; STRETCH];
    let mut done = 0;
    while done < bytes {
        let len = usize::try_from(bytes - done).unwrap_or(STRETCH).min(STRETCH);
        let Some(part) = stretch.get_mut(..len) else { break };
        file.read(done, part)?;
        // The file grows in large steps; its unwritten parts stay holes.
        if part.iter().any(|byte| *byte != 0) {
            target.seek(SeekFrom::Start(done))?;
            target.write_all(part)?;
        }
        done += len as u64;
        progress(done, bytes)?;
    }
    Ok(())
}

/// Opens the copy as after a crash, and compares the checksum of every page.
fn verify(copy: &Path) -> Result<()> {
    let options = Options::default().create(false).session(false).reserve(false);
    options.verify_on_open(VerifyOnOpen::Always).open_with(copy, &[])?.close_file()
}

/// Keeps writers out. Where ranges cannot be locked, only one process can have the file open anyway.
fn lock(file: &OwnFile, path: &Path) -> Result<()> {
    let byte = Bound::Included(WRITER);
    let (begun, line) = (Instant::now(), WriterLine::new(path));
    let mut waiting = line.wait();
    while let Ok(false) = file.try_lock_shared_range(byte, byte) {
        if begun.elapsed() > PATIENCE {
            return Err(Error::new(ErrorKind::Locked, format!("{} is being written to; try again", path.display())));
        }
        waiting.a_moment();
    }
    Ok(())
}

fn unlock(file: &OwnFile) -> Result<()> {
    let byte = Bound::Included(WRITER);
    match file.unlock_range(byte, byte) {
        Ok(()) | Err(BackendError::Unsupported) => Ok(()),
        Err(error) => Err(Error::new(ErrorKind::Io, error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::engine::check;
    use crate::engine::format::schema::CollectionId;

    /// Stops the writers when it is dropped.
    struct Stop<'a>(&'a AtomicBool);

    impl Drop for Stop<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    /// Two rows in one transaction: half of one would show.
    fn write(store: &Store, number: u64) {
        let value = vec![number as u8; 300];
        let rows = |tx: &mut crate::engine::write::WriteTx<'_>| {
            tx.put(CollectionId::CONFIG, &number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes(), &value)?;
            tx.put(CollectionId::CONFIG, b"last", &number.to_be_bytes())
        };
        store.write(rows).unwrap();
    }

    #[test]
    fn copies_made_beside_writers_are_sound_and_of_one_moment() {
        [Sharing::Shared, Sharing::SharedLog].into_iter().for_each(copies_are_of_one_moment);
    }

    fn copies_are_of_one_moment(sharing: Sharing) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("h.redb");
        let store = Store::options().sharing(sharing).open_with(&path, &[]).unwrap();
        store
            .load(|tx| (0..4_000u64).try_for_each(|i| tx.put(CollectionId::CONFIG, &i.to_be_bytes(), &[7; 300])))
            .unwrap();
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            // Also when a copy does not verify.
            let _stopping = Stop(&stop);
            for thread in 0..2u64 {
                let (store, stop) = (&store, &stop);
                scope.spawn(move || {
                    let mut number = 1_000_000 * (thread + 1);
                    while !stop.load(Ordering::Relaxed) {
                        write(store, number);
                        number += 1;
                    }
                });
            }
            for round in 0..4 {
                let to = folder.path().join(format!("copy{round}.redb"));
                let slow = |_, _| {
                    std::thread::sleep(Duration::from_millis(5));
                    Ok(())
                };
                copy_once(&path, &to, Writers::GoOn, &slow).unwrap();
                verify(&to).unwrap();
                let copy = Store::options().open_with(&to, &[]).unwrap();
                let report = check::check(&copy.view().unwrap(), &|_, _| Ok(())).unwrap();
                assert!(report.is_sound(), "{:?}", report.findings);
                assert!(report.records >= 4_000);
                copy.close_file().unwrap();
                std::fs::remove_file(to).unwrap();
            }
        });
    }

    #[test]
    fn a_log_that_has_begun_while_a_copy_waited_for_writers_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("h.redb");
        let shared = Store::options().sharing(Sharing::SharedLog).session(false).tends_log(false);
        shared.clone().open_with(&path, &[]).unwrap().close_file().unwrap();
        let (looks, file) = (Store::options().read_only(true).session(false), OwnFile::read(&path).unwrap());
        let store = looks.open_with(&path, &[]).unwrap();
        let pinned = || pin(&store, &file, &path, |_| Ok(())).unwrap().is_some();
        assert!(pinned());
        let other = shared.open_with(&path, &[]).unwrap();
        (0..4).for_each(|number| write(&other, number));
        assert!(other.log_status().unwrap().in_use && !pinned());
        other.close_file().unwrap();
        assert!(pinned());
    }

    #[test]
    fn a_copy_that_is_stopped_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("h.redb");
        Store::options().open_with(&path, &[]).unwrap().close_file().unwrap();
        let stop = |_, _| Err(Error::conflict("enough"));
        let error = copy(&path, &folder.path().join("copy.redb"), &stop).unwrap_err();
        assert_eq!(error.to_string(), "enough");
    }
}
