//! All files that the engine opens. A forked child shares their locks with the process that opened them, so its calls
//! reach neither the file nor its locks.

use std::fs::{self, File, Metadata};
use std::io;
use std::ops::Bound;
use std::path::Path;

use redb::backends::FileBackend;
use redb::{BackendError, StorageBackend};

use super::Failure;
use crate::engine::session::process::{Process, forked};
use crate::error::{Error, ErrorKind, Result};
use crate::files::{self, Rights};

/// No page is longer.
const PAGE_MAX: usize = 16 << 20;

/// Identifies a file independent of its name. None where the system has no such id, as on Windows, where
/// an open file cannot be replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    /// The id of the file that has this name now.
    pub(crate) fn at(path: &Path) -> io::Result<Option<Self>> {
        Ok(Self::of(&fs::metadata(path)?))
    }

    /// Whether two files are certainly not in one file system.
    pub(crate) fn is_on_another_disk(path: &Path, other: &Path) -> bool {
        let device = |path| Self::at(path).ok().flatten().map(|id| id.device);
        device(path).zip(device(other)).is_some_and(|(one, other)| one != other)
    }

    /// Its number in its file system.
    pub(crate) fn number(self) -> u64 {
        self.inode
    }

    /// A text that no other file has while this machine runs, on this machine or another; none where that cannot be
    /// told.
    #[cfg(feature = "replica")]
    pub(crate) fn of_boot(self) -> Option<String> {
        let mut hasher = blake3::Hasher::new();
        hasher.update(crate::clock::boot_id()?.as_bytes());
        hasher.update(&self.device.to_le_bytes()).update(&self.inode.to_le_bytes());
        Some(hasher.finalize().to_hex().chars().take(16).collect())
    }

    /// The id of an open file.
    #[cfg(unix)]
    pub(crate) fn of(file: &Metadata) -> Option<Self> {
        use std::os::unix::fs::MetadataExt;
        Some(Self { device: file.dev(), inode: file.ino() })
    }

    /// The id of an open file.
    #[cfg(not(unix))]
    pub(crate) fn of(_file: &Metadata) -> Option<Self> {
        None
    }
}

/// An open file, of this process alone.
#[derive(Debug)]
pub(crate) struct OwnFile {
    file: FileBackend,
    id: Option<FileId>,
    process: Process,
    /// Those who read and write it have asked for the pid before.
    is_asked_for: bool,
}

impl OwnFile {
    /// Opens a file for reading.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        Self::of(files::open(path).map_err(|error| unreadable(path, error))?)
    }

    /// Opens a file for reading and writing.
    pub(crate) fn write(path: &Path) -> Result<Self> {
        Self::of(files::open_to_write(path).map_err(|error| unreadable(path, error))?)
    }

    /// Creates a temporary file.
    pub(crate) fn create(path: &Path) -> Result<Self> {
        Self::of(files::create_new(path, Rights::new_at(path)).map_err(|error| files::failed(path, error))?)
    }

    /// A file that was just opened.
    pub(crate) fn of(file: File) -> Result<Self> {
        let id = FileId::of(&file.metadata()?);
        let file = FileBackend::new(file).map_err(Failure::from)?;
        Ok(Self { file, id, process: Process::current(), is_asked_for: false })
    }

    /// The same of a file that is read and written in calls at whose beginning this process was asked for by its pid: a
    /// write does many of them. Its locks are no part of that.
    pub(crate) fn asked_for(self) -> Self {
        Self { is_asked_for: true, ..self }
    }

    /// Which file it is.
    pub(crate) fn id(&self) -> Option<FileId> {
        self.id
    }

    fn own(&self) -> io::Result<&FileBackend> {
        if self.is_asked_for && !self.process.has_forked() { Ok(&self.file) } else { self.own_locks() }
    }

    fn own_locks(&self) -> io::Result<&FileBackend> {
        if self.process.is_another() { Err(io::Error::other(forked())) } else { Ok(&self.file) }
    }
}

/// The part of a read that lies within a file of that length; the rest is filled with zeroes, like a page that was
/// never written. Only a damaged page leads behind the end. An error would make redb refuse all further work, while a
/// page of zeroes is refused alone.
///
/// # Errors
///
/// `UnexpectedEof` for more zeroes than any page has.
pub(crate) fn within(len: u64, offset: u64, out: &mut [u8]) -> io::Result<&mut [u8]> {
    let there = len.saturating_sub(offset).min(out.len() as u64);
    let (there, behind) = out.split_at_mut(usize::try_from(there).map_err(io::Error::other)?);
    if behind.len() > PAGE_MAX {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    behind.fill(0);
    Ok(there)
}

/// Refuses a file that is not a store.
pub(crate) fn not_a_store(path: &Path, why: &str) -> Error {
    Error::new(ErrorKind::NotAStore, format!("{} is not a store: {why}", path.display()))
}

/// Why a file cannot be opened as a store.
pub(crate) fn unreadable(path: &Path, error: io::Error) -> Error {
    match files::is_other(&error) {
        Some(why) => not_a_store(path, &why),
        None => error.into(),
    }
}

impl StorageBackend for OwnFile {
    fn len(&self) -> io::Result<u64> {
        self.own()?.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let file = self.own()?;
        match file.read(offset, out) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                let there = within(file.len()?, offset, out)?;
                if there.is_empty() { Ok(()) } else { file.read(offset, there) }
            }
            read => read,
        }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.own()?.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.own()?.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.own()?.write(offset, data)
    }

    /// A forked child releases no lock of its parent.
    fn close(&self) -> io::Result<()> {
        self.own_locks().map_or(Ok(()), FileBackend::close)
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.own_locks()?.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.own_locks()?.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.own_locks()?.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.own_locks()?.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.own_locks().map_or(Ok(()), |file| file.unlock_range(start, end))
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.own_locks()?.query_lock_range(start, end)
    }
}
