//! Staying recoverable.

pub(crate) mod age;
mod apply;
pub(crate) mod auto_backup;
pub(crate) mod background;
pub(crate) mod backups;
pub(crate) mod checked;
pub(crate) mod crash;
pub(crate) mod diff;
pub(crate) mod drills;
pub(crate) mod earlier;
pub(crate) mod event_log;
pub(crate) mod events;
pub(crate) mod finished;
pub(crate) mod guard;
pub(crate) mod history;
pub(crate) mod keeper;
mod made;
pub(crate) mod pins;
pub(crate) mod points;
pub(crate) mod policy;
pub(crate) mod repair;
pub(crate) mod resolve;
pub(crate) mod restore;
pub(crate) mod retain;
pub(crate) mod retention;
pub(crate) mod revert;
pub(crate) mod scheduler;
pub(crate) mod scope;
pub(crate) mod selector;
pub(crate) mod sessions;
pub(crate) mod size;
mod told;
pub(crate) mod touched;
pub(crate) mod undo;
pub(crate) mod verify;
pub(crate) mod versions;

#[cfg(test)]
mod backups_test;
#[cfg(test)]
mod finished_model_test;
#[cfg(test)]
mod finished_test;
#[cfg(test)]
mod model_test;
#[cfg(test)]
mod partial_test;
#[cfg(test)]
mod sessions_test;
#[cfg(test)]
mod told_test;
#[cfg(test)]
mod verify_test;
#[cfg(test)]
mod versions_test;

use std::path::Path;

use crate::engine::store::{Options, Store};
use crate::error::Result;
use crate::state::INDEXES;

impl Store {
    /// Opens the store at `path`, and creates it when there is none. One on a full disk is opened too: without a session,
    /// which [`Store::upkeep`] begins once something could be written.
    ///
    /// # Errors
    ///
    /// `Locked` when another process has it open for itself; `NotAStore` when the file is something else;
    /// `NewerFormat`, `Damaged`, `Full` and `Io` as their names say.
    ///
    /// # Examples
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// let store = hivekeep::Store::open(dir.path().join("hive.redb"))?;
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::options().open(path)
    }

    /// Closes the file for every clone, once the calls in progress have ended. Views that are still alive fail from
    /// then on. Dropping the last clone closes the file too, and waits for up to a minute for another process's write,
    /// but says of what goes wrong in the log only.
    ///
    /// # Errors
    ///
    /// `Locked` when another process writes for longer than the lock timeout: the store is still open then, and can be
    /// closed again; `Io` and `Full` when what was buffered could not be written; `Conflict` inside of a write.
    pub fn close(&self) -> Result<()> {
        self.close_file()
    }
}

impl Options {
    /// Opens the store at `path` in this way.
    ///
    /// # Errors
    ///
    /// As [`Store::open`], and `NoStore` when there is none and none is to be created.
    pub fn open(self, path: impl AsRef<Path>) -> Result<Store> {
        let (history, session) = (self.history.filter(|_| !self.read_only), self.session && !self.read_only);
        let open = || self.clone().open_with(path.as_ref(), INDEXES);
        let mut store = open()?;
        if session {
            store = store.begin_session_or_later(open)?;
        }
        if let Some(window) = history {
            history::keep(&store, window)?;
        }
        if let Some(log) = self.event_log.as_deref().filter(|_| !self.read_only) {
            store.log_events(log)?;
        }
        Ok(store)
    }
}
