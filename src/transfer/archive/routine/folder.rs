//! The folder of automatic archives: created if permitted, and tested before it is needed.

use std::io::Write;
use std::path::PathBuf;

use super::automatic::ArchiveSchedule;
use crate::clock::new_id;
use crate::engine::store::Store;
use crate::error::{Error, ErrorKind, Hint, Result};
use crate::files::{self, Rights};

/// The prefix of the test file.
const TRIAL: &str = ".hivekeep-trial-";

impl ArchiveSchedule {
    /// The full path of the folder, which is created if it is missing and may be created.
    ///
    /// # Errors
    ///
    /// `Io`, also when it must exist and does not.
    pub(in crate::transfer::archive) fn folder(&self, store: &Store) -> Result<PathBuf> {
        let folder = std::path::absolute(&self.folder)?;
        if self.must_exist && !folder.is_dir() {
            let message = "the folder of archives does not exist; is its disk mounted? create it yourself, once";
            return Err(Error::new(ErrorKind::Io, format!("{message}: folder={}", folder.display())));
        }
        files::create_folders(&folder, Rights::of_content(store.path()))?;
        Ok(folder)
    }

    /// Writes a file into the folder and removes it, so that errors of the first archive are known before.
    ///
    /// # Errors
    ///
    /// As [`Store::auto_archive`] would fail, with advice.
    pub fn try_folder(&self, store: &Store) -> Result<()> {
        let tried = self.folder(store).and_then(|folder| {
            let trial = folder.join(format!("{TRIAL}{}", new_id().simple()));
            let mut file = files::create_new(&trial, Rights::of_content(store.path()))?;
            let written = file.write_all(b"archives can be written here\n");
            let removed = files::remove(&trial);
            Ok(written.and(removed)?)
        });
        tried.map_err(|error| {
            let how = "choose another folder, or let the service write there (under systemd: ReadWritePaths=)";
            let what = format!("no archive could be written; {how}: folder={}", self.folder.display());
            error.context(what).with_hint(Hint::NameArchiveFolder)
        })
    }
}
