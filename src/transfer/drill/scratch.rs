//! The folder of a drill: beside the store unless somebody says otherwise, and removed whatever happens.

use std::fs;
use std::path::{Path, PathBuf};

use crate::engine::copy::{Copied, copy};
use crate::engine::open::folder_of;
use crate::engine::reserve::free_space;
use crate::error::{Error, ErrorKind, Result};
use crate::transfer::drill::{DrillWatch, stop_if_asked};

/// The copy, what it was before a disaster, what it is rebuilt as, and an archive of it.
const COPIES: u64 = 4;
/// Beside those.
const MORE: u64 = 64 << 20;

/// A folder that is removed when it is dropped.
#[derive(Debug)]
pub(super) struct Scratch {
    folder: PathBuf,
}

impl Scratch {
    /// Makes the folder where there is room for the copies of a store.
    pub(super) fn make(store: &Path, within: Option<&Path>) -> Result<Self> {
        let bytes = fs::metadata(store).map_err(|error| no_store(store, &error))?.len();
        let within = within.unwrap_or_else(|| folder_of(store));
        let needed = bytes.saturating_mul(COPIES).saturating_add(MORE);
        if let Some(free) = free_space(within).filter(|free| *free < needed) {
            let message = "there is no room for a drill; name a folder on another disk with --scratch";
            return Err(Error::new(ErrorKind::Full, format!("{message}: free_bytes={free} needed_bytes={needed}")));
        }
        let folder = within.join(format!(".hivekeep-drill-{}", uuid::Uuid::now_v7().simple()));
        fs::create_dir(&folder).map_err(|error| Error::from(error).context(folder.display()))?;
        Ok(Self { folder })
    }

    /// The copy of the store.
    pub(super) fn store(&self) -> PathBuf {
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
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            tracing::warn!(%error, folder = %self.folder.display(), "the folder of a drill could not be removed");
        }
    }
}

fn no_store(path: &Path, error: &std::io::Error) -> Error {
    let kind = if error.kind() == std::io::ErrorKind::NotFound { ErrorKind::NoStore } else { ErrorKind::Io };
    Error::new(kind, format!("no store at {}; pass --store", path.display()))
}
