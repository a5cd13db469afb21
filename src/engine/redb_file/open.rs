//! Opening an existing file.

use std::fs;
use std::ops::Bound;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use redb::{Builder, ConcurrencyMode, ReadableDatabase, StorageBackend};

use super::create::{host, note_host, probe_handle, probe_store};
use super::handle::Access;
use super::pages::Pages;
use super::{Handle, OwnFile, RedbGuard, Shadow, WRITER};
use crate::engine::opening::options::{Options, Sharing, VerifyOnOpen};
use crate::error::{Error, ErrorKind, Hint, Result};

/// Up to this length, verifying every page at open costs about 0.1 s.
const SMALL: u64 = 64 << 20;
/// How long is waited between two looks at a lock that another process has.
pub(crate) const LOOK: Duration = Duration::from_millis(1);
/// A process may open, write and close a file between two looks at it, but not several times in turn.
pub(crate) const ATTEMPTS: usize = 3;

/// Opens an existing file as the options and its other users require.
pub(crate) fn open_existing(path: &Path, options: &Options, begun: Instant) -> Result<Handle> {
    let verify = |host_differs, in_use: bool| {
        Ok::<_, Error>(match options.verify {
            VerifyOnOpen::Always => true,
            VerifyOnOpen::Never => false,
            VerifyOnOpen::Auto => !in_use && (host_differs || fs::metadata(path)?.len() <= SMALL),
        })
    };
    if options.untouched && !in_use(path)? {
        return look(path, options.cache_bytes, options.verify != VerifyOnOpen::Never);
    }
    let guard = RedbGuard::fresh();
    let mut builder = builder(options);
    let join = || {
        guard.run(|| {
            let file = OwnFile::read(path)?;
            let id = file.id();
            Ok((builder.open_read_only_with_backend(file)?, id))
        })
    };
    let reading = |(database, id)| Handle::new(Access::Read(database)).of(id);
    let (host_differs, in_use) = if let Ok((database, id)) = join() {
        // Make sure that it is a store before anything could write to it.
        let host_differs = guard.run(|| probe_store(path, &database.begin_read()?))? != host();
        if options.read_only && !verify(host_differs, in_use(path)?)? {
            return Ok(reading((database, id)));
        }
        guard.run(|| Ok(database.close()?))?;
        // Only now: the handle that was just closed has locks of its own where files are not shared.
        (host_differs, in_use(path)?)
    } else if in_use(path)? {
        // Another process has finished recovering the file meanwhile.
        if options.read_only {
            return join().map(reading);
        }
        (false, true)
    } else if options.read_only {
        // It was not closed: redb's repair happens in memory.
        return look(path, options.cache_bytes, verify(false, false)?);
    } else {
        // The same, so that a file of another program is not repaired before it is known to be one.
        let looked = look(path, options.cache_bytes, false)?;
        let host_differs = probe_handle(path, &looked)? != host();
        looked.close()?;
        (host_differs, false)
    };
    let verify = verify(host_differs, in_use)?;
    if options.read_only {
        verify_pages(path, options.cache_bytes, in_use)?;
        return join().map(reading);
    }
    if verify {
        refuse_maze(path)?;
    }
    builder.set_check_integrity_on_open(verify);
    wait_for_writers(path, options, begun)?;
    let file = OwnFile::write(path)?;
    let id = file.id();
    let database = RedbGuard::fresh().run(|| Ok(builder.create_with_backend(file)?))?;
    let mut handle = Handle::new(Access::Write(database)).of(id);
    probe_handle(path, &handle)?;
    if verify && host_differs {
        let guard = handle.guard();
        handle.database_mut().map_or(Ok(()), |database| guard.run(|| note_host(database)))?;
    }
    Ok(handle)
}

/// Waits until no process that shares the store is writing, up to the lock timeout. redb itself would wait without a
/// limit, also for a stopped process.
fn wait_for_writers(path: &Path, options: &Options, begun: Instant) -> Result<()> {
    let byte = Bound::Included(WRITER);
    let file = OwnFile::read(path)?;
    while options.sharing != Sharing::Exclusive
        && !held_whole(&file)
        && file.query_lock_range(byte, byte).unwrap_or(false)
    {
        if begun.elapsed() >= options.lock_timeout {
            return Err(Error::new(ErrorKind::Locked, "a process has been writing to the store all the time"));
        }
        sleep(LOOK);
    }
    Ok(())
}

/// Whether a process has the file to itself: then it holds the byte before the writers' too, which nobody locks who
/// shares it. They do lock the header, at the beginning.
pub(crate) fn held_whole(file: &OwnFile) -> bool {
    let before = Bound::Included(WRITER - 1);
    file.query_lock_range(before, before).unwrap_or(false)
}

/// Whether a process has the file open for writing: redb's writers hold this byte, shared, from open to close.
pub(crate) fn in_use(path: &Path) -> Result<bool> {
    let consistent = Bound::Included(WRITER + 4);
    let file = OwnFile::read(path)?;
    // Where ranges cannot be locked, only one process can have the file open anyway.
    Ok(file.query_lock_range(consistent, consistent).unwrap_or(false))
}

/// Compares every page, so that nothing in the file changes.
fn verify_pages(path: &Path, cache_bytes: usize, in_use: bool) -> Result<()> {
    if in_use { check_pages(path) } else { look(path, cache_bytes, true)?.close() }
}

/// Verifies the pages of a store that others may be using: through a handle of its own, which holds the writers' lock
/// meanwhile, 1 to 2 s per GB.
pub(crate) fn check_pages(path: &Path) -> Result<()> {
    refuse_maze(path)?;
    let mut builder = Builder::new();
    builder.set_cache_size(16 << 20).set_concurrency_mode(ConcurrencyMode::MultiWriter);
    let file = OwnFile::write(path).map_err(|error| error.context(path.display()))?;
    RedbGuard::fresh().run(|| {
        let sound = builder.create_with_backend(file)?.check_integrity()?;
        let repaired = || Error::damaged("the pages of the file were damaged; redb has repaired them");
        if sound { Ok(()) } else { Err(repaired().into()) }
    })
}

/// Opens a file that nobody has open, so that nothing in it changes.
pub(crate) fn look(path: &Path, cache_bytes: usize, verify: bool) -> Result<Handle> {
    if verify {
        refuse_maze(path)?;
    }
    let mut builder = Builder::new();
    builder.set_cache_size(cache_bytes).set_check_integrity_on_open(verify);
    let shadow = Shadow::open(path)?;
    let database = RedbGuard::fresh().run(|| Ok(builder.create_with_backend(shadow)?))?;
    let handle = Handle::new(Access::Look(database)).with_pages_verified(verify);
    probe_handle(path, &handle)?;
    Ok(handle)
}

/// Opens a store over any storage, or creates one in an empty storage. Tests put a failing disk below a store with it.
#[cfg(any(fuzzing, test))]
pub(crate) fn open_over(storage: impl StorageBackend, options: &Options) -> Result<Handle> {
    let mut builder = builder(options);
    let is_empty = storage.len()? == 0;
    if !is_empty && !Pages::new(&storage)?.newest_commit_is_sound()? {
        return Err(earlier_commit());
    }
    builder.set_check_integrity_on_open(!is_empty && options.verify != VerifyOnOpen::Never);
    let handle = Handle::new(Access::Write(RedbGuard::fresh().run(|| {
        let database = builder.create_with_backend(storage)?;
        if is_empty {
            super::create::fill(&database)?;
        }
        Ok(database)
    })?));
    probe_handle(Path::new("the storage"), &handle)?;
    Ok(handle)
}

fn builder(options: &Options) -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(options.cache_bytes);
    builder.set_concurrency_mode(match options.sharing {
        Sharing::Shared | Sharing::SharedLog => ConcurrencyMode::MultiWriter,
        Sharing::Exclusive => ConcurrencyMode::ExclusiveWriter,
    });
    builder
}

/// Refuses a file whose trees lead to the same pages again and again. redb's own verification would never end.
fn refuse_maze(path: &Path) -> Result<()> {
    let file = OwnFile::read(path)?;
    for _ in 0..ATTEMPTS {
        // While others write, a page may be gone before it is read.
        if Pages::new(&file)?.trees_end()? {
            return Ok(());
        }
    }
    let message = "pages of the file are damaged, so that they lead back to one another; repair the store";
    Err(Error::damaged(message).with_hint(Hint::RepairStore))
}

/// The error for a file whose newest commit is not whole.
pub(crate) fn earlier_commit() -> Error {
    Error::damaged("pages of the newest commit are damaged; repair the store").with_hint(Hint::RepairStore)
}
