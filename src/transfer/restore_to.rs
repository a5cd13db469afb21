//! The state at a restore point in a new file. The pages of the store are copied as they are, and then only that which
//! has changed since the point is put back: this depends on the changes, not on the number of records.

use std::path::Path;

use crate::engine::copy::copy;
use crate::engine::options::VerifyOnOpen;
use crate::engine::reserve::free_space;
use crate::engine::store::Store;
use crate::error::{Error, ErrorKind, Result};
use crate::files::folder_of;
use crate::recovery::points::selector::Selector;
use crate::recovery::restore::options::RestoreOptions;
use crate::recovery::restore::plan::RestoreReport;
use crate::transfer::drill::scratch::no_store;
use crate::transfer::unnamed::{Unnamed, refuse_existing};

impl Store {
    /// Restores a point of the store at `from` in a new file at `to`, and leaves the store as it is. Other processes
    /// may use it meanwhile, unless one of them has it for itself. The new store has all points and the whole history,
    /// and [`Store::undo`] brings it to the state of the copy. Every page of the copy is verified.
    ///
    /// # Errors
    ///
    /// `Conflict` when there is a file at `to`, and as [`Store::restore`]; `NoStore`; `Locked` while another process
    /// has the store for itself; `Full` when the disk has no room for a copy; `Damaged` when a page of the store is.
    /// Then there is no file at `to`.
    ///
    /// # Examples
    ///
    /// ```
    /// use hivekeep::{RestoreOptions, Store};
    ///
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let (path, new) = (dir.path().join("h.redb"), dir.path().join("yesterday.redb"));
    /// let store = Store::open(&path)?;
    /// store.restore_point("before the night")?;
    /// store.write(|tx| tx.config().put("limit", &serde_json::json!(5)))?;
    /// Store::restore_to(&path, &new, "latest".parse::<hivekeep::Selector>()?, RestoreOptions::new())?;
    /// assert_eq!(Store::open(&new)?.view()?.config().get("limit")?, None);
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn restore_to(
        from: impl AsRef<Path>,
        to: impl AsRef<Path>,
        selector: impl Into<Selector>,
        options: RestoreOptions,
    ) -> Result<RestoreReport> {
        let (from, to) = (from.as_ref(), to.as_ref());
        refuse_existing(to)?;
        refuse_full(from, to)?;
        let made = Unnamed::beside(to)?;
        let copied = copy(from, made.path(), &|_, _| Ok(()))?;
        Self::append_log_news_of_copy(from, copied.news)?;
        // The copy was verified a moment ago.
        let open = Self::options().create(false).session(false).reserve(false).verify_on_open(VerifyOnOpen::Never);
        let store = open.open(made.path())?;
        // A replica has the commits of the store, and none of the copy.
        #[cfg(feature = "replica")]
        store.end_feed()?;
        store.write(|tx| tx.end_sessions_elsewhere())?;
        let report = store.restore(selector, options)?;
        store.close()?;
        made.name(to)?;
        Ok(report)
    }
}

fn refuse_full(from: &Path, to: &Path) -> Result<()> {
    let needed = std::fs::metadata(from).map_err(|error| no_store(from, &error))?.len();
    match free_space(folder_of(to)) {
        Some(free) if free < needed => {
            let message = "the disk has no room for a copy of the store";
            Err(Error::new(ErrorKind::Full, format!("{message}: free_bytes={free} needed_bytes={needed}")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testkit::checked_store::Fixture;

    fn limit(store: &Store) -> Option<Value> {
        store.view().unwrap().config().get("limit").unwrap()
    }

    fn set(store: &Store, number: u64) {
        store.write(|tx| tx.config().put("limit", &json!(number))).unwrap();
    }

    #[test]
    fn a_point_is_restored_in_a_new_file_while_the_store_is_written_to() {
        let hive = Fixture::new();
        set(&hive.store, 1);
        let point = hive.store.restore_point("one").unwrap();
        set(&hive.store, 2);
        let new = hive.store.path().with_file_name("new.redb");
        let restore = || Store::restore_to(hive.store.path(), &new, &point, RestoreOptions::new());
        assert_eq!(restore().unwrap().total(), 1);
        assert_eq!(limit(&hive.store), Some(json!(2)));
        set(&hive.store, 3);
        let copy = Store::open(&new).unwrap();
        assert_eq!(limit(&copy), Some(json!(1)));
        assert!(copy.check().unwrap().is_sound());
        assert!(copy.crash().unwrap().is_none(), "a process of the store crashed in the copy");
        copy.undo().unwrap();
        assert_eq!(limit(&copy), Some(json!(2)));
        assert_eq!(limit(&hive.store), Some(json!(3)));
        let refused = restore().unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Conflict, "{refused}");
        assert_eq!(limit(&copy), Some(json!(2)));
    }

    #[test]
    fn after_an_error_there_is_no_file() {
        let hive = Fixture::new();
        let new = hive.store.path().with_file_name("new.redb");
        let latest = || "latest".parse::<Selector>().unwrap();
        let error = Store::restore_to(hive.store.path(), &new, latest(), RestoreOptions::new()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
        let nowhere = new.with_file_name("none.redb");
        let error = Store::restore_to(&nowhere, &new, latest(), RestoreOptions::new()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoStore, "{error}");
        let left: Vec<_> =
            std::fs::read_dir(new.parent().unwrap()).unwrap().map(|file| file.unwrap().file_name()).collect();
        assert!(left.iter().all(|name| !name.to_string_lossy().starts_with("new.redb")), "{left:?}");
    }

    #[cfg(feature = "replica")]
    #[test]
    fn a_copy_of_a_store_that_has_a_replica_has_none() {
        let hive = Fixture::new();
        hive.store.begin_feed(1).unwrap();
        let point = hive.store.restore_point("one").unwrap();
        let new = hive.store.path().with_file_name("new.redb");
        Store::restore_to(hive.store.path(), &new, &point, RestoreOptions::new()).unwrap();
        assert!(Store::open(&new).unwrap().feed_status().unwrap().is_none());
        assert!(hive.store.feed_status().unwrap().is_some());
    }
}
