//! Opening a file, or creating one. Two processes that create a store at the same moment open the same file.

use std::fs;
use std::io::{self, ErrorKind as IoKind, Read};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Instant;

use crate::engine::opening::options::{Options, Sharing, VerifyOnOpen};
use crate::engine::opening::reserve;
use crate::engine::redb_file::open::{ATTEMPTS, LOOK, earlier_commit, held_whole, look, open_existing};
pub(crate) use crate::engine::redb_file::open::{check_pages, in_use};
use crate::engine::redb_file::pages::Pages;
use crate::engine::redb_file::{FileId, Handle, OwnFile, create_empty, not_a_store, unreadable};
use crate::engine::session::session_locks::living;
use crate::engine::session::writer_line::WriterLine;
#[cfg(feature = "transfer")]
use crate::engine::wal::LogFolder;
use crate::engine::wal::beginning::recover;
use crate::engine::wal::{FolderOfStore, Joining, TakenUp, is_lived_in};
use crate::error::{Error, ErrorKind, Hint, Result};
use crate::files::{self, Replace, Rights, folder_of};

/// The beginning of every redb file.
const MAGIC: &[u8] = b"redb\x1A\x0A\xA9\x0D\x0A";

/// Opens the file at `path`, or creates it if the options allow that. Also returns the file's own name with links
/// resolved: all processes must look for the files beside it in the same place.
pub(crate) fn open(path: &Path, options: &Options) -> Result<(TakenUp, PathBuf)> {
    match files::open(path) {
        Ok(_) => {}
        Err(error) if error.kind() == IoKind::NotFound && path.is_symlink() => {
            let message = format!("{} is a symbolic link to nothing; remove it or name its target", path.display());
            return Err(Error::new(ErrorKind::NoStore, message));
        }
        Err(error) if error.kind() == IoKind::NotFound && options.create && !options.read_only => create(path)?,
        Err(error) if error.kind() == IoKind::NotFound => return Err(no_store(path)),
        Err(error) => return Err(cannot_open(path, error)),
    }
    let own_name = fs::canonicalize(path).map_err(|error| Error::from(error).context(path.display()))?;
    let path = own_name.as_path();
    probe_magic(path)?;
    refuse_earlier_commit(path).map_err(|error| error.context(path.display()))?;
    let opened = open_with_log(path, options)?;
    Ok((opened, own_name))
}

/// Reopens a file that this process had open until a failure. Its pages are not verified, so that everything outside of
/// a damaged page can still be read.
pub(crate) fn open_again(path: &Path, options: &Options) -> Result<TakenUp> {
    match fs::metadata(path) {
        Err(error) if error.kind() == IoKind::NotFound => return Err(no_store(path)),
        found => found.map_err(|error| Error::from(error).context(path.display()))?,
    };
    probe_magic(path)?;
    refuse_earlier_commit(path).map_err(|error| error.context(path.display()))?;
    open_with_log(path, &options.clone().verify_on_open(VerifyOnOpen::Never))
}

/// Verifies the pages of a file that nobody has open for writing.
pub(crate) fn look_at_pages(path: &Path) -> Result<()> {
    look(path, 16 << 20, true)?.close()
}

/// Whether entries of a log may have to be moved into a file that nobody has open.
#[cfg(feature = "transfer")]
pub(crate) fn has_log_in_use(path: &Path) -> Result<bool> {
    if in_use(path)? {
        return Ok(false);
    }
    let path = fs::canonicalize(path).map_err(|error| Error::from(error).context(path.display()))?;
    if FolderOfStore::new(&path).sections()?.is_empty() {
        return Ok(false);
    }
    let looked = look(&path, 1 << 20, false)?;
    let in_use = recover::is_in_use(&looked)?;
    looked.close()?;
    Ok(in_use)
}

/// The files of a store's log, as far as they can be listed.
#[cfg(feature = "transfer")]
pub(crate) fn files_of_log(store: &Path) -> Vec<PathBuf> {
    let own_name = fs::canonicalize(store).unwrap_or_else(|_| store.to_path_buf());
    FolderOfStore::new(&own_name).files()
}

/// The same without its log, which is open.
pub(crate) fn open_without_log(path: &Path, options: &Options) -> Result<Handle> {
    open_named(path, &options.clone().verify_on_open(VerifyOnOpen::Never))
}

/// Opens the file with this resolved name, and takes up its log. A log in use moves into the file, or, where that is
/// only looked at, into the memory over it.
fn open_with_log(path: &Path, options: &Options) -> Result<TakenUp> {
    let mut options = options.clone();
    options.has_folder = options.has_log() && !is_mounted_alone(path);
    let options = &options;
    let begun = Instant::now();
    let folder = FolderOfStore::new(path);
    let joining = match options.shares_log() {
        true if !options.has_folder => {
            let message = "the file of the store is mounted without its folder, so that processes cannot share a log";
            return Err(Error::invalid(message));
        }
        true => Some(
            Joining::begin(&folder, &WriterLine::new(path), options.lock_timeout, || in_use(path))
                .map_err(|error| not_joined(path, error))?,
        ),
        false => None,
    };
    let mut handle = open_named(path, options)?;
    if options.sharing == Sharing::Shared && !options.read_only && is_lived_in(path)? {
        handle.close()?;
        let message = format!("{} is shared by processes with a log; open it again to join them", path.display());
        return Err(Error::new(ErrorKind::Locked, message));
    }
    while options.read_only && !is_lived_in(path)? && handle.reads_the_file() && recover::is_in_use(&handle)? {
        handle.close()?;
        if in_use(path)? {
            if begun.elapsed() >= options.lock_timeout {
                return Err(locked(path, Error::new(ErrorKind::Locked, "another process is recovering it")));
            }
            sleep(LOOK);
            handle = open_named(path, options)?;
        } else {
            handle = look(path, options.cache_bytes, false)?;
        }
    }
    // Processes that share a log may come later, too.
    let options = &Options { follows_log: options.read_only && handle.reads_the_file(), ..options.clone() };
    let is_in_place = |handle: &Handle| handle.id().is_none() || FileId::at(path).is_ok_and(|at| at == handle.id());
    let taken_up =
        recover::take_up(handle, Box::new(folder), options, joining, is_in_place, || open_without_log(path, options));
    taken_up.map_err(|error| reserve::give_up_when_full(path, error).context(path.display()))
}

/// Whether the file is in another file system than its folder, as one that was mounted into a container by itself. The
/// files beside it go with the container, so they must hold nothing.
fn is_mounted_alone(path: &Path) -> bool {
    let alone = is_mount(path).unwrap_or_else(|| FileId::is_on_another_disk(path, folder_of(path)));
    if alone {
        let path = path.display();
        tracing::info!(%path, "the file is mounted without its folder; its commits go into it and not into a log");
    }
    alone
}

/// Whether something is mounted at a path; none where the system does not tell.
#[cfg(target_os = "linux")]
fn is_mount(path: &Path) -> Option<bool> {
    use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};

    let found = statx(CWD, path, AtFlags::empty(), StatxFlags::BASIC_STATS).ok()?;
    let tells = found.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT);
    tells.then(|| found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

#[cfg(not(target_os = "linux"))]
fn is_mount(_path: &Path) -> Option<bool> {
    None
}

/// Opens the file with this resolved name.
fn open_named(path: &Path, options: &Options) -> Result<Handle> {
    let handle = open_in_time(path, options).map_err(|error| match error.kind() {
        ErrorKind::Locked if may_be_shared(path, options).unwrap_or(false) => writing(path, error),
        ErrorKind::Locked => locked(path, error),
        ErrorKind::Io | ErrorKind::Damaged => error.context(path.display()),
        _ => error,
    })?;
    if !options.read_only {
        // Another process may have created the file and not have synced its name yet.
        files::sync_name(path).map_err(|error| files::failed(folder_of(path), error))?;
        if options.reserve {
            reserve::keep(path);
        }
    }
    Ok(handle)
}

/// Names the processes that have the file, and says what to do.
fn locked(path: &Path, source: Error) -> Error {
    let message = format!("{} is locked by {}; close it, or open both in shared mode", path.display(), living(path));
    Error::new(ErrorKind::Locked, message).with_source(source).with_hint(Hint::AskService)
}

/// The same for a process that shares the store and has been writing all the time.
fn writing(path: &Path, source: Error) -> Error {
    let message = format!("{} is being written to all the time by {}; try again later", path.display(), living(path));
    Error::new(ErrorKind::Locked, message).with_source(source)
}

/// The error of a process that could not join those that share a log.
fn not_joined(path: &Path, error: Error) -> Error {
    match OwnFile::read(path) {
        Ok(file) if error.kind() == ErrorKind::Locked && held_whole(&file) => locked(path, error),
        _ => error.context(path.display()),
    }
}

fn no_store(path: &Path) -> Error {
    let path = path.display();
    Error::new(ErrorKind::NoStore, format!("no store at {path}")).with_hint(Hint::NameStore)
}

/// Why a file cannot be opened as a store, with its path in any case.
fn cannot_open(path: &Path, error: io::Error) -> Error {
    let error = unreadable(path, error);
    if error.kind() == ErrorKind::NotAStore { error } else { error.context(path.display()) }
}

/// Refuses other files before redb sees them: redb would make a new database of an empty file.
fn probe_magic(path: &Path) -> Result<()> {
    let mut start = [0; MAGIC.len()];
    let read = files::open(path).and_then(|mut file| file.read_exact(&mut start));
    match read {
        Ok(()) if start == MAGIC => Ok(()),
        Ok(()) => Err(not_a_store(path, "it does not begin like one")),
        Err(error) if error.kind() == IoKind::UnexpectedEof => Err(not_a_store(path, "it is too short")),
        Err(error) => Err(cannot_open(path, error)),
    }
}

/// Refuses a file that would open as of an earlier commit. Such a file is sound in itself, so no other check finds it.
/// A file that a process is writing is not looked at.
fn refuse_earlier_commit(path: &Path) -> Result<()> {
    let file = OwnFile::read(path)?;
    let mut refused = earlier_commit();
    for _ in 0..ATTEMPTS {
        if in_use(path)? {
            return Ok(());
        }
        match Pages::new(&file)?.newest_commit_is_sound() {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            // A process that opened and closed the file meanwhile may have made it shorter.
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

/// Opens the file, and retries while another process is recovering it, or has just begun to.
fn open_in_time(path: &Path, options: &Options) -> Result<Handle> {
    let begun = Instant::now();
    loop {
        match open_existing(path, options, begun) {
            Err(error)
                if error.kind() == ErrorKind::Locked
                    && may_be_shared(path, options)?
                    && begun.elapsed() < options.lock_timeout =>
            {
                sleep(LOOK);
            }
            opened => return opened,
        }
    }
}

/// Whether the lock may belong to a process that shares the store.
fn may_be_shared(path: &Path, options: &Options) -> Result<bool> {
    let shares = options.sharing != Sharing::Exclusive || options.read_only;
    Ok(shares && !held_whole(&OwnFile::read(path)?))
}

/// Refuses a file that a process has open for writing.
pub(crate) fn refuse_in_use(path: &Path) -> Result<()> {
    if in_use(path)? { Err(locked(path, Error::new(ErrorKind::Locked, "it is in use"))) } else { Ok(()) }
}

/// Creates a store under a temporary name and links it to its own name. If that exists, the existing file is used. A
/// rename would unlink a store that another process has just begun to use.
fn create(path: &Path) -> Result<()> {
    files::refuse_without_folder(path)?;
    let temporary = temporary_name(path);
    let made = create_empty(&temporary, Rights::new_at(path))
        .map_err(Error::from)
        .and_then(|()| files::publish(&temporary, path, Replace::No).map_err(Error::from));
    match made {
        Ok(()) => Ok(()),
        Err(error) => {
            let _gone = files::remove(&temporary);
            // Another process was faster.
            let is_there = fs::symlink_metadata(path).is_ok();
            if is_there { Ok(()) } else { Err(error.context(format_args!("cannot create {}", path.display()))) }
        }
    }
}

pub(crate) fn temporary_name(path: &Path) -> PathBuf {
    files::beside(path, &format!(".{}.new", crate::clock::new_id().simple()))
}
