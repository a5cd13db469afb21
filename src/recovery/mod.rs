//! Staying recoverable.
//!
//! * `points`: restore points; `backups`: one kind of state of a point; `diff`: what differs between two
//! * `inventory`: points and backups, counted
//! * `restore`: going back, and taking that back
//! * `retention`: which points stay
//! * `upkeep`: what is due from time to time
//! * `check`: verifying; `repair`: a damaged store
//! * `sessions`: who has the store open, and crashes; `events`: what happened
//! * `guard`: work between a restore point and its success

pub(crate) mod backups;
pub(crate) mod check;
pub(crate) mod diff;
pub(crate) mod events;
pub(crate) mod guard;
pub(crate) mod inventory;
pub(crate) mod points;
pub(crate) mod repair;
pub(crate) mod restore;
pub(crate) mod retention;
pub(crate) mod sessions;
pub(crate) mod upkeep;

#[cfg(test)]
mod backups_test;

use std::path::Path;

use crate::engine::store::{Options, Store};
use crate::error::Result;
use crate::recovery::points::history;
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
