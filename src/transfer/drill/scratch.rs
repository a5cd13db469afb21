//! The folder of a drill, beside the store by default. It is removed in any case; the next drill removes the folder of
//! one that was killed.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use crate::engine::copy::{Copied, copy};
use crate::engine::reserve::free_space;
use crate::error::{Error, ErrorKind, Hint, Result};
use crate::files::{self, Rights, folder_of};
use crate::transfer::drill::options::{DrillWatch, stop_if_asked};

/// The number of files of the store's size: the copy, its earlier state, its rebuilt form, and an archive.
const COPIES: u64 = 4;
/// The space for other files.
const MORE: u64 = 64 << 20;
/// The prefix of the folder's name, before an id.
const PREFIX: &str = ".hivekeep-drill-";
/// The file in it that is locked while the drill runs.
const LOCK: &str = "lock";

/// A folder that is removed when it is dropped.
#[derive(Debug)]
pub(crate) struct Scratch {
    folder: PathBuf,
    _lock: File,
}

impl Scratch {
    /// Creates the folder for files of a store, which need not exist.
    pub(crate) fn empty(store: &Path, within: &Path) -> Result<Self> {
        remove_left(within);
        let folder = within.join(format!("{PREFIX}{}", crate::clock::new_id().simple()));
        files::refuse_without_folder(&folder)?;
        let cannot = |error| Error::from(error).context(folder.display());
        let rights = Rights::of_content(store);
        files::create_folder(&folder, rights).map_err(cannot)?;
        let lock = lock(&folder, rights).map_err(cannot)?;
        Ok(Self { folder, _lock: lock })
    }

    /// Creates the folder if there is space for the copies of a store.
    pub(super) fn make(store: &Path, within: Option<&Path>) -> Result<Self> {
        let bytes = fs::metadata(store).map_err(|error| no_store(store, &error))?.len();
        let within = within.unwrap_or_else(|| folder_of(store));
        remove_left(within);
        let needed = bytes.saturating_mul(COPIES).saturating_add(MORE);
        if let Some(free) = free_space(within).filter(|free| *free < needed) {
            let message = "not enough disk space for a drill; name a folder on another disk";
            let error = Error::new(ErrorKind::Full, format!("{message}: free_bytes={free} needed_bytes={needed}"));
            return Err(error.with_hint(Hint::NameScratchFolder));
        }
        Self::empty(store, within)
    }

    /// The copy of the store.
    pub(crate) fn store(&self) -> PathBuf {
        self.file("drill.redb")
    }

    /// Another file of the folder.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Copies the store into it.
    pub(super) fn copy(&self, store: &Path, watch: &dyn DrillWatch) -> Result<Copied> {
        copy(store, &self.store(), &|done, of| {
            watch.progress(done, of);
            stop_if_asked(watch)
        })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.folder) {
            tracing::warn!(%error, folder = %self.folder.display(), "the folder of a drill could not be removed");
        }
    }
}

/// Creates the file that shows that the drill runs. It gets its name only once it is locked.
fn lock(folder: &Path, rights: Rights) -> io::Result<File> {
    let unnamed = folder.join("lock.new");
    let file = files::create_new(&unnamed, rights)?;
    file.lock()?;
    files::rename(&unnamed, &folder.join(LOCK))?;
    Ok(file)
}

/// Removes a folder. The locked file goes last, so that the next drill still finds the rest if this one is killed.
fn remove(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name() == LOCK {
            continue;
        }
        if entry.file_type()?.is_dir() {
            files::remove_folder(&entry.path())?;
        } else {
            files::remove(&entry.path())?;
        }
    }
    files::remove_folder(folder)
}

/// Removes the folders of killed drills.
pub(crate) fn remove_left(within: &Path) {
    let Ok(entries) = fs::read_dir(within) else { return };
    for entry in entries.flatten() {
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let name = entry.file_name();
        let id = name.to_str().and_then(|name| name.strip_prefix(PREFIX)).unwrap_or_default();
        if !is_folder || id.len() != 32 || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            continue;
        }
        // A folder without the file is being created at this moment.
        let lock = files::open(&entry.path().join(LOCK)).map(|file| file.try_lock());
        if matches!(lock, Err(_) | Ok(Err(TryLockError::WouldBlock))) {
            continue;
        }
        if let Err(error) = remove(&entry.path()) {
            tracing::warn!(%error, folder = %entry.path().display(), "the files of a killed drill could not be removed");
        }
    }
}

/// The error for a store whose file cannot be found.
pub(in crate::transfer) fn no_store(path: &Path, error: &io::Error) -> Error {
    let kind = if error.kind() == io::ErrorKind::NotFound { ErrorKind::NoStore } else { ErrorKind::Io };
    Error::new(kind, format!("no store at {}", path.display())).with_hint(Hint::NameStore)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_drill_removes_the_folders_of_killed_ones_and_nothing_else() {
        let within = tempfile::tempdir().unwrap();
        let store = within.path().join("h.redb");
        fs::write(&store, "a store").unwrap();
        let left = within.path().join(format!("{PREFIX}0123456789abcdef0123456789abcdef"));
        fs::create_dir(&left).unwrap();
        fs::write(left.join(LOCK), "").unwrap();
        fs::write(left.join("drill.redb"), "a copy").unwrap();
        let others = [format!("{PREFIX}mine"), format!("{PREFIX}fedcba9876543210fedcba9876543210")];
        let others = others.map(|name| within.path().join(name));
        others.iter().for_each(|folder| fs::create_dir(folder).unwrap());

        let running = Scratch::make(&store, None).unwrap();
        assert!(!left.exists());
        let next = Scratch::make(&store, None).unwrap();
        assert!(running.folder.exists() && others.iter().all(|folder| folder.exists()));
        drop((running, next));
        assert_eq!(fs::read_dir(within.path()).unwrap().count(), 3);
    }
}
