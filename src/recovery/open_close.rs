//! Opening and closing a store, with its session and its events.

use std::path::Path;

use crate::engine::store::{Options, Store};
use crate::error::Result;
use crate::recovery::points::history;
use crate::state::INDEXES;

impl Store {
    /// Opens the store at `path`, and creates it if there is none. A store on a full disk opens without a session;
    /// [`Store::upkeep`] begins the session once a write succeeds.
    ///
    /// # Errors
    ///
    /// `Locked` when another process has it open exclusively; `NotAStore` when the file is something else;
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

    /// Closes the file for every clone, once the calls in progress have ended. Views that still exist fail from then
    /// on. Dropping the last clone closes the file too. It waits up to a minute for another process's write, and
    /// reports errors only in the log.
    ///
    /// # Errors
    ///
    /// `Locked` when another process writes for longer than the lock timeout. The store is still open then, and can be
    /// closed again. `Io` and `Full` when buffered data could not be written; `Conflict` inside of a write.
    pub fn close(&self) -> Result<()> {
        self.refuse_forked()?;
        // On a full disk a failed write would end reading.
        if !self.is_session_put_off() {
            self.append_log_news();
        }
        self.close_file()
    }
}

impl Options {
    /// Opens the store at `path` with these options.
    ///
    /// # Errors
    ///
    /// As [`Store::open`], and `NoStore` when there is none and the options forbid to create one.
    pub fn open(self, path: impl AsRef<Path>) -> Result<Store> {
        // A session begins before anybody can ship the store.
        let open = || self.clone().open_with(path.as_ref(), INDEXES).map(|store| store.locally());
        let mut store = open()?;
        let is_written_to = !store.is_only_read();
        let (history, session) = (self.history.filter(|_| is_written_to), self.session && is_written_to);
        if session {
            store = store.begin_session_or_later(open)?;
        }
        if let Some(window) = history {
            history::keep(&store, window)?;
        }
        if let Some(log) = self.event_log.as_deref().filter(|_| is_written_to) {
            store.log_events(log)?;
        }
        store.append_log_news();
        Ok(store.answered_as_opened())
    }
}
