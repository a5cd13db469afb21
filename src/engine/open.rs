//! Opening a file, or creating one so that another process that does the same at that moment ends up in it too.

use std::fs;
use std::io::{self, ErrorKind as IoKind, Read};
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use redb::{
    Builder, ConcurrencyMode, Database, ReadTransaction, ReadableDatabase, StorageBackend, TransactionError,
    WriteTransaction,
};

use crate::engine::codec;
use crate::engine::epoch::{Epoch, Epochs};
use crate::engine::frame::{self, State};
use crate::engine::meta;
use crate::engine::presence::Presence;
use crate::engine::redb_file::Guard;
use crate::engine::redb_file::OwnFile;
use crate::engine::redb_file::pages::Pages;
use crate::engine::redb_file::{Access, Handle};
use crate::engine::redb_file::{Shadow, WRITER};
use crate::engine::reserve;
use crate::engine::schema::{FORMAT_VERSION, Table};
use crate::engine::store::{Options, Sharing, VerifyOnOpen};
use crate::error::{Error, ErrorKind, Result};
use crate::files::{self, Replace, Rights, folder_of};

/// What every redb file begins with.
const MAGIC: &[u8] = b"redb\x1A\x0A\xA9\x0D\x0A";
/// Up to this length, verifying every page at open costs about 0.1 s.
const SMALL: u64 = 64 << 20;

/// A process may open, write and close a file between two looks at it, but not several times in turn.
const ATTEMPTS: usize = 3;

/// How long is waited between two looks at a lock that another process has.
const LOOK: Duration = Duration::from_millis(1);

/// Opens the file at `path`, or creates it when the options allow that. Gives its own name, too, by whatever name it was
/// called: what lies beside it belongs to the file, so all who have it open must look in the same place.
pub(crate) fn open(path: &Path, options: &Options) -> Result<(Handle, PathBuf)> {
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
    let handle = open_named(path, options)?;
    Ok((handle, own_name))
}

/// Opens a file anew that this process had open until a failure. Its pages are not verified: where one of them is damaged,
/// all that does not lie on it is still to be had.
pub(crate) fn open_again(path: &Path, options: &Options) -> Result<Handle> {
    match fs::metadata(path) {
        Err(error) if error.kind() == IoKind::NotFound => return Err(no_store(path)),
        found => found.map_err(|error| Error::from(error).context(path.display()))?,
    };
    probe_magic(path)?;
    refuse_earlier_commit(path).map_err(|error| error.context(path.display()))?;
    open_named(path, &options.clone().verify_on_open(VerifyOnOpen::Never))
}

/// Opens the file that has this name of its own.
fn open_named(path: &Path, options: &Options) -> Result<Handle> {
    let handle = open_in_time(path, options).map_err(|error| match error.kind() {
        ErrorKind::Locked if may_be_shared(path, options).unwrap_or(false) => writing(path, error),
        ErrorKind::Locked => locked(path, error),
        ErrorKind::Io | ErrorKind::Damaged => error.context(path.display()),
        _ => error,
    })?;
    if !options.read_only {
        // Another process may have made the file and be about to sync its name.
        files::sync_name(path).map_err(|error| files::failed(folder_of(path), error))?;
        if options.reserve {
            reserve::keep(path);
        }
    }
    Ok(handle)
}

/// Says by whom, as far as they wrote it down, and what to do.
fn locked(path: &Path, source: Error) -> Error {
    let message = format!("{} is locked by {}; close it, or open both in shared mode", path.display(), living(path));
    Error::new(ErrorKind::Locked, message).with_source(source)
}

/// The same of a process that shares the store, and has been writing all the time.
fn writing(path: &Path, source: Error) -> Error {
    let message = format!("{} is being written to all the time by {}; try again later", path.display(), living(path));
    Error::new(ErrorKind::Locked, message).with_source(source)
}

/// Who has the store open, as far as they wrote it down.
fn living(path: &Path) -> String {
    let presence = Presence::look(path).ok().flatten();
    let living = presence.and_then(|presence| presence.living().ok()).unwrap_or_default();
    if living.is_empty() { "another process".to_owned() } else { living.join(", ") }
}

fn no_store(path: &Path) -> Error {
    let path = path.display();
    Error::new(ErrorKind::NoStore, format!("no store at {path}; start one with hivekeep serve, or pass --store"))
}

fn not_a_store(path: &Path, why: &str) -> Error {
    Error::new(ErrorKind::NotAStore, format!("{} is not a store: {why}", path.display()))
}

/// Why a file cannot be opened as a store.
pub(crate) fn unreadable(path: &Path, error: io::Error) -> Error {
    match files::is_other(&error) {
        Some(why) => not_a_store(path, &why),
        None => error.into(),
    }
}

/// The same, with the path in any case.
fn cannot_open(path: &Path, error: io::Error) -> Error {
    let error = unreadable(path, error);
    if error.kind() == ErrorKind::NotAStore { error } else { error.context(path.display()) }
}

/// Refuses what is no redb file before redb sees it: redb would make a new database of an empty file.
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

/// Refuses a file that would open as it was at an earlier commit, which is all right in itself, so that nothing else
/// tells. What a process is just writing is not looked at.
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
            // Somebody who opened the file and closed it meanwhile may have made it shorter.
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

/// Refuses a file whose trees lead to the same pages again and again, before redb verifies it, which it would do for ever.
fn refuse_maze(path: &Path) -> Result<()> {
    let file = OwnFile::read(path)?;
    for _ in 0..ATTEMPTS {
        // While others write, a page may be gone before it is read.
        if Pages::new(&file)?.trees_end()? {
            return Ok(());
        }
    }
    Err(Error::damaged("pages of the file are damaged, so that they lead back to one another; run hivekeep repair"))
}

fn earlier_commit() -> Error {
    Error::damaged("pages of the newest commit are damaged; run hivekeep repair")
}

fn builder(options: &Options) -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(options.cache_bytes);
    builder.set_concurrency_mode(match options.sharing {
        Sharing::Shared => ConcurrencyMode::MultiWriter,
        Sharing::Exclusive => ConcurrencyMode::ExclusiveWriter,
    });
    builder
}

/// Opens the file, and begins again while another process is recovering it, or has just begun to.
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

fn open_existing(path: &Path, options: &Options, begun: Instant) -> Result<Handle> {
    let verify = |host_differs| {
        Ok::<_, Error>(match options.verify {
            VerifyOnOpen::Always => true,
            VerifyOnOpen::Never => false,
            VerifyOnOpen::Auto => !in_use(path)? && (host_differs || fs::metadata(path)?.len() <= SMALL),
        })
    };
    if options.untouched && !in_use(path)? {
        return look(path, options.cache_bytes, options.verify != VerifyOnOpen::Never);
    }
    let guard = Guard::fresh();
    let mut builder = builder(options);
    let join = || guard.run(|| Ok(builder.open_read_only_with_backend(OwnFile::read(path)?)?));
    let host_differs = if let Ok(database) = join() {
        // Whether it is ours is asked before anything could write to it.
        let host_differs = guard.run(|| probe_store(path, &database.begin_read()?))? != host();
        if options.read_only && !verify(host_differs)? {
            return Ok(Handle::new(Access::Read(database)));
        }
        guard.run(|| Ok(database.close()?))?;
        host_differs
    } else if in_use(path)? {
        // Somebody who had been recovering the file has finished meanwhile.
        if options.read_only {
            return Ok(Handle::new(Access::Read(join()?)));
        }
        false
    } else if options.read_only {
        // It was not closed: what redb would repair in it is repaired in memory.
        return look(path, options.cache_bytes, verify(false)?);
    } else {
        // The same, so that a file of another program is not repaired before it is known to be one.
        let looked = look(path, options.cache_bytes, false)?;
        let host_differs = probe_handle(path, &looked)? != host();
        looked.close()?;
        host_differs
    };
    let verify = verify(host_differs)?;
    if options.read_only {
        verify_pages(path, options.cache_bytes)?;
        return Ok(Handle::new(Access::Read(join()?)));
    }
    if verify {
        refuse_maze(path)?;
    }
    builder.set_check_integrity_on_open(verify);
    wait_for_writers(path, options, begun)?;
    let file = OwnFile::write(path)?;
    let id = file.id();
    let database = Guard::fresh().run(|| Ok(builder.create_with_backend(file)?))?;
    let mut handle = Handle::new(Access::Write(database)).of(id);
    probe_handle(path, &handle)?;
    if verify && host_differs {
        let guard = handle.guard();
        handle.database_mut().map_or(Ok(()), |database| guard.run(|| note_host(database)))?;
    }
    Ok(handle)
}

/// Waits until no process that shares the store is writing to it, no longer than the lock timeout: redb would wait for
/// ever, as for a process that was stopped.
fn wait_for_writers(path: &Path, options: &Options, begun: Instant) -> Result<()> {
    let byte = Bound::Included(WRITER);
    let file = OwnFile::read(path)?;
    while options.sharing == Sharing::Shared && !held_whole(&file) && file.query_lock_range(byte, byte).unwrap_or(false)
    {
        if begun.elapsed() >= options.lock_timeout {
            return Err(Error::new(ErrorKind::Locked, "a process has been writing to the store all the time"));
        }
        sleep(LOOK);
    }
    Ok(())
}

/// Whether a lock that was met may have been that of a process which shares the store.
fn may_be_shared(path: &Path, options: &Options) -> Result<bool> {
    let shares = options.sharing == Sharing::Shared || options.read_only;
    Ok(shares && !held_whole(&OwnFile::read(path)?))
}

/// Whether a process has the file to itself: then it holds the byte before the writers' too, which nobody locks who
/// shares it. They do lock the header, at the beginning.
fn held_whole(file: &OwnFile) -> bool {
    let before = Bound::Included(WRITER - 1);
    file.query_lock_range(before, before).unwrap_or(false)
}

/// Compares every page, so that nothing in the file changes.
fn verify_pages(path: &Path, cache_bytes: usize) -> Result<()> {
    if in_use(path)? { check_pages(path) } else { look(path, cache_bytes, true)?.close() }
}

/// Opens a store over any storage, or makes one of an empty storage: how a disk that fails is put below it.
#[cfg(any(fuzzing, test))]
pub(crate) fn open_over(storage: impl StorageBackend, options: &Options) -> Result<Handle> {
    let mut builder = builder(options);
    let is_empty = storage.len()? == 0;
    if !is_empty && !Pages::new(&storage)?.newest_commit_is_sound()? {
        return Err(earlier_commit());
    }
    builder.set_check_integrity_on_open(!is_empty && options.verify != VerifyOnOpen::Never);
    let handle = Handle::new(Access::Write(Guard::fresh().run(|| {
        let database = builder.create_with_backend(storage)?;
        if is_empty {
            fill(&database)?;
        }
        Ok(database)
    })?));
    probe_handle(Path::new("the storage"), &handle)?;
    Ok(handle)
}

/// Opens a file that nobody has open, so that nothing in it changes.
fn look(path: &Path, cache_bytes: usize, verify: bool) -> Result<Handle> {
    if verify {
        refuse_maze(path)?;
    }
    let mut builder = Builder::new();
    builder.set_cache_size(cache_bytes).set_check_integrity_on_open(verify);
    let shadow = Shadow::open(path)?;
    let database = Guard::fresh().run(|| Ok(builder.create_with_backend(shadow)?))?;
    let handle = Handle::new(Access::Look(database));
    probe_handle(path, &handle)?;
    Ok(handle)
}

/// Looks whether an open file is a store, through its handle, which also contains what closing it may do. Gives the host
/// that wrote last.
fn probe_handle(path: &Path, handle: &Handle) -> Result<Vec<u8>> {
    let transaction = handle.begin_read()?;
    handle.guard().run(|| probe_store(path, &transaction))
}

/// Verifies the pages of a store that others may be using: through a handle of its own, which holds the writers' lock
/// meanwhile, 1 to 2 s per GB.
pub(crate) fn check_pages(path: &Path) -> Result<()> {
    refuse_maze(path)?;
    let mut builder = Builder::new();
    builder.set_cache_size(16 << 20).set_concurrency_mode(ConcurrencyMode::MultiWriter);
    Guard::fresh().run(|| {
        let sound = builder.create_with_backend(OwnFile::write(path)?)?.check_integrity()?;
        if sound { Ok(()) } else { Err(Error::damaged("the pages of the file were damaged; redb has repaired them")) }
    })
}

/// Notes that the store, just verified, is this machine's from now on; a process that writes already does without.
fn note_host(database: &Database) -> Result<()> {
    let mut transaction = match database.try_begin_write() {
        Err(TransactionError::WouldBlock) => return Ok(()),
        begun => begun?,
    };
    transaction.set_quick_repair(true);
    put_meta(&transaction, &[(meta::HOST, &host())])?;
    Ok(transaction.commit()?)
}

/// Whether a process has the file open for writing: redb's writers hold this byte, shared, from open to close.
pub(crate) fn in_use(path: &Path) -> Result<bool> {
    let consistent = Bound::Included(WRITER + 4);
    let file = OwnFile::read(path)?;
    // Where ranges cannot be locked, only one process can have the file open anyway.
    Ok(file.query_lock_range(consistent, consistent).unwrap_or(false))
}

/// Refuses a file that a process has open for writing.
pub(crate) fn refuse_in_use(path: &Path) -> Result<()> {
    if in_use(path)? { Err(locked(path, Error::new(ErrorKind::Locked, "it is in use"))) } else { Ok(()) }
}

/// Opens every table, compares the format version, and gives the host that wrote last.
fn probe_store(path: &Path, transaction: &ReadTransaction) -> Result<Vec<u8>> {
    let meta = match transaction.open_table(Table::Meta.definition()) {
        Ok(meta) => meta,
        Err(redb::TableError::Storage(error)) => return Err(error.into()),
        Err(_) => return Err(not_a_store(path, "it is a redb file of another program")),
    };
    let row = |key| match meta.get(key)? {
        Some(bytes) => meta::payload(Table::Meta, key, bytes.value()).map(Some),
        None => Ok(None),
    };
    let Some(format) = row(meta::FORMAT)? else {
        return Err(not_a_store(path, "it is a redb file of another program"));
    };
    let format = meta::number(&format)?;
    if format > FORMAT_VERSION {
        return Err(Error::new(
            ErrorKind::NewerFormat,
            format!(
                "{} was written by a newer version; use that version: format={format} known={FORMAT_VERSION}",
                path.display()
            ),
        ));
    }
    for table in Table::ALL {
        transaction.open_table(table.definition())?;
    }
    row(meta::HOST).map(Option::unwrap_or_default)
}

/// This machine, as far as it tells: a store that another machine wrote last is verified when it is opened.
fn host() -> Vec<u8> {
    let id = fs::read("/etc/machine-id").unwrap_or_default();
    blake3::hash(id.trim_ascii()).as_bytes().to_vec()
}

/// Creates a store under a temporary name and links it to its own, which fails if that exists: then the other is used.
/// A rename would unlink a store that another process has just begun to use.
fn create(path: &Path) -> Result<()> {
    let temporary = temporary_name(path);
    let made = make(&temporary, Rights::new_at(path))
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

/// Writes an empty store.
fn make(path: &Path, rights: Rights) -> Result<()> {
    files::create_new(path, rights)?;
    let mut builder = Builder::new();
    builder.set_concurrency_mode(ConcurrencyMode::ExclusiveWriter);
    let database = builder.create_with_backend(OwnFile::write(path)?)?;
    fill(&database)?;
    Ok(database.close()?)
}

fn fill(database: &Database) -> Result<()> {
    let mut transaction = database.begin_write()?;
    transaction.set_quick_repair(true);
    for table in Table::ALL {
        transaction.open_table(table.definition())?;
    }
    let epochs = codec::encode(&Epochs::NEW)?;
    let rows: [(&[u8], &[u8]); 3] =
        [(meta::FORMAT, &FORMAT_VERSION.to_be_bytes()), (meta::EPOCHS, &epochs), (meta::HOST, &host())];
    put_meta(&transaction, &rows)?;
    Ok(transaction.commit()?)
}

fn put_meta(transaction: &WriteTransaction, rows: &[(&[u8], &[u8])]) -> Result<()> {
    let mut meta = transaction.open_table(Table::Meta.definition())?;
    for (key, payload) in rows {
        let mut bytes = Vec::new();
        frame::encode(&mut bytes, Table::Meta.place(key), Epoch(0), State::Present(payload));
        meta.insert(*key, bytes.as_slice())?;
    }
    Ok(())
}
