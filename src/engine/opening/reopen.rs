//! Reopening the file of a store after a failure has closed it.

use std::mem;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::engine::commit::reentrancy::Writing;
use crate::engine::opening::slot::Content;
use crate::engine::redb_file::End;
use crate::engine::redb_file::Handle;
use crate::engine::store::{Inner, Store};
use crate::engine::wal::TakenUp;
use crate::error::{Error, ErrorKind, Result};

/// Between two tries to open the file while another process is writing to it.
const LOOK: Duration = Duration::from_millis(20);

impl Store {
    /// Whether the store was closed, for every clone. A closed store stays closed.
    pub fn is_closed(&self) -> bool {
        self.inner.slot.peek(|content| matches!(content, Content::Closed)).unwrap_or(true)
    }

    /// Whether a failure prevents the use of the file until [`reopen`](Store::reopen).
    pub(crate) fn is_spent(&self) -> bool {
        self.inner.slot.peek(|content| self.inner.is_spent(content)).unwrap_or_default()
    }

    /// The same without waiting. While the file is being opened, it cannot be used either.
    pub(crate) fn is_spent_now(&self) -> bool {
        self.inner.slot.try_peek(|content| self.inner.is_spent(content)).is_ok_and(|spent| spent.unwrap_or(true))
    }

    /// The same after an attempt to read. A file whose beginning cannot be read must be reopened too, or given up.
    pub(crate) fn is_found_spent(&self) -> bool {
        if !self.is_spent() {
            let look = |handle: &Handle| {
                let begun = handle.begin_read();
                if begun.is_err_and(|error| matches!(error.kind(), ErrorKind::Damaged | ErrorKind::Io)) {
                    handle.guard().set_spent();
                }
                Ok(())
            };
            let _closed = self.inner.slot.with(look);
        }
        self.is_spent()
    }

    /// As a failure of a commit would leave it.
    #[cfg(test)]
    pub(crate) fn fail_for_test(&self) {
        self.inner.gate.poison();
    }

    /// Reopens the file after [`ErrorKind::Reopen`](crate::ErrorKind::Reopen) or
    /// [`ErrorKind::Uncertain`](crate::ErrorKind::Uncertain), for this store and all its clones. The session of this
    /// process continues, with its claimed tasks. If nothing has failed, this does nothing: of several callers after
    /// one failure only the first reopens the file.
    ///
    /// It waits for calls in progress, and for writes of other processes up to the lock timeout. Meanwhile other calls
    /// fail with `Reopen` at once. Earlier views fail with `Reopen` from then on. Pages are not verified, so that
    /// after damage everything outside of a damaged page can be read. The file is also reopened on a full disk: then
    /// you can read, and remove records.
    ///
    /// # Errors
    ///
    /// The errors of [`Store::open`] if the file cannot be opened; then every call fails with `Reopen`, and this
    /// can be called again. `Moved` while another file, or none, has the path. `Reopen` once the store was
    /// closed. `Conflict` inside a write.
    ///
    /// # Examples
    ///
    /// ```
    /// use hivekeep::ErrorKind;
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = hivekeep::Store::open(dir.path().join("h.redb")).unwrap();
    /// let put = || store.write(|tx| tx.config().put("a", &serde_json::json!(1)));
    /// match put() {
    ///     Err(error) if error.kind() == ErrorKind::Reopen => store.reopen().and_then(|()| put()),
    ///     done => done,
    /// }?;
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn reopen(&self) -> Result<()> {
        self.refuse_forked()?;
        let _writing = Writing::enter(self.inner.context())?;
        self.inner.behind_writers(|| self.try_reopen())
    }

    /// The same without waiting for another process.
    fn try_reopen(&self) -> Result<()> {
        let mut content = self.inner.slot.exclusively()?;
        match &*content {
            Content::Closed => return Err(End::Closed.error()),
            Content::Open(handle) if !handle.is_spent() && !self.inner.gate.is_poisoned() => return Ok(()),
            Content::Open(_) | Content::Lost => {}
        }
        self.inner.gate.log().map_or(Ok(()), |log| log.refuse_given_up())?;
        // A log that has not failed continues over a file that was opened again.
        let log = self.inner.gate.log().filter(|_| !self.inner.gate.is_poisoned());
        let is_open = log.map_or(Ok(false), |log| self.inner.mover.renew_content(&log, &mut content))?;
        if !is_open {
            self.inner.open_anew(&mut content)?;
        }
        drop(content);
        self.commits().look_again();
        Ok(())
    }
}

impl Inner {
    /// Retries while another process is writing, up to the lock timeout. Other callers can proceed between the
    /// attempts. The lock of another process looks like one of the old handle, so the old handle is given up first.
    fn behind_writers(&self, try_to_open: impl Fn() -> Result<()>) -> Result<()> {
        let (begun, context) = (Instant::now(), self.context());
        loop {
            match try_to_open() {
                Err(error)
                    if context.shared
                        && error.kind() == ErrorKind::Locked
                        && begun.elapsed() < context.lock_timeout =>
                {
                    sleep(LOOK);
                }
                opened => return opened,
            }
        }
    }

    /// Closes the file and opens it again.
    fn open_anew(&self, content: &mut Content) -> Result<()> {
        let place = &self.context().place;
        place.refuse_moved()?;
        // The old one first: a file that is not shared is opened once at a time.
        if let Content::Open(handle) = mem::replace(content, Content::Lost) {
            handle.give_up();
        }
        // An opening that fails behind its own commit must not bring the earlier log back to life.
        if let Some(log) = self.gate.log() {
            log.give_up(&Error::new(ErrorKind::Reopen, "the store is being opened again"));
        }
        let TakenUp { handle, log, news } = (self.opener)(&self.path)?;
        self.context().log_news.lock().add(news);
        // Between the look and the opening it may have been replaced.
        place.refuse_moved()?;
        *content = Content::Open(handle);
        self.set_log(log);
        self.gate.renew();
        Ok(())
    }

    fn is_spent(&self, content: &Content) -> bool {
        match content {
            Content::Open(handle) => handle.is_spent() || self.gate.seems_poisoned(),
            Content::Lost => true,
            Content::Closed => false,
        }
    }
}
