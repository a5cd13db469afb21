//! The dry run of an adoption: it adopts into a copy.

use std::path::Path;

use super::find::find;
use super::options::AdoptOptions;
use super::report::AdoptReport;
use crate::engine::copy::copy;
use crate::engine::store::Store;
use crate::error::Result;
use crate::files::folder_of;
use crate::transfer::drill::scratch::Scratch;

impl Store {
    /// Reports the parts that [`Store::adopt`] would adopt into the store at `store`, which need not exist. It changes
    /// and creates nothing there. The files are adopted into a copy beside the store, which is removed again, so the
    /// report is exact.
    ///
    /// # Errors
    ///
    /// As [`Store::adopt`]; `Full` when there is no space for the copy.
    ///
    /// # Examples
    ///
    /// ```
    /// use hivekeep::{AdoptOptions, Store};
    ///
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let left = dir.path().join("hive");
    /// # std::fs::create_dir(&left).unwrap();
    /// # std::fs::write(left.join("registry.json"), r#"{"bots": {"BOT-1": {"port": 8001}}}"#).unwrap();
    /// let store = dir.path().join("hive.redb");
    /// let report = Store::rehearse_adopt(&store, &[&left], &AdoptOptions::default())?;
    /// assert!(report.rehearsed && report.to_string().ends_with("would adopt 1 bot"));
    /// assert!(!store.exists());
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn rehearse_adopt<P: AsRef<Path>>(
        store: impl AsRef<Path>,
        paths: &[P],
        options: &AdoptOptions,
    ) -> Result<AdoptReport> {
        let store = store.as_ref();
        // Before anything is created for missing files.
        find(paths)?;
        let scratch = Scratch::empty(store, folder_of(store))?;
        if store.try_exists()? {
            copy(store, &scratch.store(), &|_, _| Ok(()))?;
        }
        let copied = Self::options().session(false).reserve(false).open(scratch.store())?;
        let report = copied.adopt(paths, options)?;
        copied.close()?;
        Ok(AdoptReport { rehearsed: true, ..report })
    }
}
