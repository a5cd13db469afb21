//! A store that gets its name once it is finished.

use std::fs;
use std::io::ErrorKind as IoKind;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::files::{self, Replace, folder_of, refuse_without_folder, remove_unfinished, unfinished_name};

/// A store without a name. To drop it removes it.
pub(crate) struct Unnamed {
    path: PathBuf,
}

impl Unnamed {
    /// Finds a name, and removes files of killed processes. redb locks files in progress.
    ///
    /// # Errors
    ///
    /// `Invalid` for what names no file, `Io` when its folder is not there.
    pub(crate) fn beside(to: &Path) -> Result<Self> {
        let name = to.file_name().ok_or_else(|| Error::invalid("a store needs the name of a file"))?;
        refuse_without_folder(to)?;
        let prefix = format!("{}.", name.to_string_lossy());
        remove_unfinished(folder_of(to), |name| name.starts_with(&prefix));
        Ok(Self { path: unfinished_name(to) })
    }

    /// Where it is until it has its name.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives it its name, unless a file has it.
    pub(crate) fn name(self, to: &Path) -> Result<()> {
        self.publish(to, Replace::No)
    }

    /// Gives it its name, in place of the file that has it.
    #[cfg(feature = "replica")]
    pub(crate) fn replace(self, to: &Path) -> Result<()> {
        self.publish(to, Replace::Yes)
    }

    fn publish(&self, to: &Path, replace: Replace) -> Result<()> {
        files::publish(&self.path, to, replace).map_err(|error| match error.kind() {
            IoKind::AlreadyExists => exists(to),
            _ => files::failed(to, error),
        })
    }
}

impl Drop for Unnamed {
    fn drop(&mut self) {
        let _gone = files::remove(&self.path);
    }
}

/// Refuses a name that a file has.
///
/// # Errors
///
/// `Conflict` then.
pub(crate) fn refuse_existing(to: &Path) -> Result<()> {
    if fs::symlink_metadata(to).is_ok() { Err(exists(to)) } else { Ok(()) }
}

fn exists(to: &Path) -> Error {
    Error::conflict(format!("the file exists already; a new store needs a new name: store={}", to.display()))
}
