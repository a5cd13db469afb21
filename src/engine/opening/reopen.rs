//! Opening the file anew in a store that stays, after a failure that has closed it.

use std::mem;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::engine::commit::reentrancy::Writing;
use crate::engine::opening::slot::Content;
use crate::engine::redb_file::End;
use crate::engine::redb_file::Handle;
use crate::engine::store::{Inner, Store};
use crate::error::{ErrorKind, Result};

/// Between two tries to open the file while another process is writing to it.
const LOOK: Duration = Duration::from_millis(20);

impl Store {
    /// Whether the store was closed, for every clone of it. It stays so.
    pub fn is_closed(&self) -> bool {
        self.inner.slot.peek(|content| matches!(content, Content::Closed)).unwrap_or(true)
    }

    /// Whether a failure keeps the file from being used until [`reopen`](Store::reopen) has opened it anew.
    pub(crate) fn is_spent(&self) -> bool {
        self.inner.slot.peek(|content| self.inner.is_spent(content)).unwrap_or_default()
    }

    /// The same without waiting for anybody: while the file is being opened, it cannot be used either.
    pub(crate) fn is_spent_now(&self) -> bool {
        self.inner.slot.try_peek(|content| self.inner.is_spent(content)).is_ok_and(|spent| spent.unwrap_or(true))
    }

    /// The same, once it was tried whether anything can be read at all: a file of which not even the beginning can be read is
    /// to be opened anew too, or to be given up.
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

    /// Opens the file anew after [`ErrorKind::Reopen`](crate::ErrorKind::Reopen) or
    /// [`ErrorKind::Uncertain`](crate::ErrorKind::Uncertain), for this store and all its clones. The session of this
    /// process goes on, with all that was claimed in it. Where nothing has failed, nothing is done, so that of several who
    /// call this after one failure only the first opens the file.
    ///
    /// Calls in progress are waited for, and other processes that are writing, no longer than the lock timeout; meanwhile
    /// calls fail with `Reopen` at once. Views that were begun before fail from then on with `Reopen`. Pages are not verified,
    /// so that after damage all is to be had that does not lie on a damaged page. On a full disk, too, the file is opened:
    /// one can read then, and remove what is not needed.
    ///
    /// # Errors
    ///
    /// As [`Store::open`] as long as the file cannot be opened: then every call fails with `Reopen`, and this can be called
    /// again. `Moved` while another file, or none, has its path. `Reopen` once the store was closed; `Conflict` inside of a write.
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
        self.inner.open_anew(&mut content)?;
        drop(content);
        self.commits().look_again();
        Ok(())
    }
}

impl Inner {
    /// Tries to open the file until no other process is writing to it, no longer than the lock timeout. Nobody is kept out
    /// between the tries. The lock of another process cannot be told from one that the old handle still has, so that one is
    /// given up before.
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

    /// Lets go of the file and opens it again.
    fn open_anew(&self, content: &mut Content) -> Result<()> {
        let place = &self.context().place;
        place.refuse_moved()?;
        // The old one first: a file that is not shared is opened once at a time.
        if let Content::Open(handle) = mem::replace(content, Content::Lost) {
            handle.give_up();
        }
        let handle = (self.opener)(&self.path)?;
        // Between the look and the opening it may have been replaced.
        place.refuse_moved()?;
        *content = Content::Open(handle);
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
