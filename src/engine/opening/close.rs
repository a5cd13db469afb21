//! Closing the file of a store, for every clone of it, and what is written last.

use std::time::{Duration, Instant};

use crate::engine::commit::Outcome;
use crate::engine::commit::reentrancy::Writing;
use crate::engine::opening::slot::Content;
use crate::engine::redb_file::Handle;
use crate::engine::store::{Inner, Store};
use crate::engine::write::WriteTx;
use crate::error::{Error, ErrorKind, Result};

/// A store that is dropped waits for another process's write for so long, or for the lock timeout where that is longer:
/// nobody is there to try again, and a session that does not end is taken for a crash.
const LAST_WAIT: Duration = Duration::from_secs(60);

impl Store {
    /// Closes the file for every clone, once the calls in progress have ended. Views that are still alive fail from now
    /// on. While another process keeps writing, it stays open.
    pub(crate) fn close_file(&self) -> Result<()> {
        self.refuse_forked()?;
        // Refused before what is to be written last is tried.
        drop(Writing::enter(self.inner.context())?);
        let closed = match self.with_handle_in_turn(|handle| self.inner.write_last(handle)) {
            Err(error) if may_be_written_again(&error) => self.write_last_again(error),
            Err(error) if error.kind() == ErrorKind::Locked => {
                return Err(error.context("the store could not be closed and is still open"));
            }
            closed => closed,
        };
        let _writing = Writing::enter(self.inner.context())?;
        let mut slot = self.inner.slot.exclusively()?;
        // Where nothing was left to be written, nobody has looked yet.
        let moved = matches!(*slot, Content::Open(_)).then(|| self.refuse_moved());
        let content = std::mem::replace(&mut *slot, Content::Closed);
        drop(slot);
        let closed = closed.and(moved.unwrap_or(Ok(()))).and(match content {
            Content::Open(handle) => handle.close(),
            Content::Lost | Content::Closed => Ok(()),
        });
        self.inner.closing.lock().clear();
        // Waiting callers find out that there is nothing to wait for.
        self.commits().tell();
        closed
    }

    /// Writes the end once more on the file opened anew: otherwise a failure at the end would look like a crash. A disk that
    /// was full has room by now, where the reserve was given up.
    fn write_last_again(&self, failed: Error) -> Result<()> {
        // The caller was told of an earlier failure when it came, so this one is only logged.
        let told = if failed.kind() == ErrorKind::Reopen { Ok(()) } else { Err(failed) };
        if self.inner.closing.lock().is_empty() {
            return told;
        }
        let again = self.reopen().and_then(|()| self.with_handle_in_turn(|handle| self.inner.write_last(handle)));
        again.or_else(|error| {
            tracing::warn!(%error, "the end of the store could not be written on the file opened anew either");
            told
        })
    }
}

impl Inner {
    /// Writes the end of the store before the file is closed. A failed write stays, to be tried again.
    fn write_last(&self, handle: &Handle) -> Result<()> {
        // Held meanwhile, so that of two that close at once neither closes the file before this is written.
        let mut closing = self.closing.lock();
        if !closing.is_empty() {
            let write = |tx: &mut WriteTx<'_>| closing.iter().try_for_each(|write| write(tx)).map(Outcome::Commit);
            self.gate.alone(handle, self.context(), write)?;
            closing.clear();
        }
        Ok(())
    }

    /// The same where nobody can try again.
    fn write_last_with_patience(&self, handle: &Handle) -> Result<()> {
        let began = Instant::now();
        loop {
            match self.write_last(handle) {
                Err(error) if error.kind() == ErrorKind::Locked && began.elapsed() < LAST_WAIT => {}
                written => return written,
            }
        }
    }
}

impl Drop for Inner {
    /// The last clone is gone: a clean end, unless a panic is on its way, or another process writes for a minute. In a forked
    /// child nothing ends.
    fn drop(&mut self) {
        if std::thread::panicking() || !self.slot.is_open() {
            return;
        }
        if let Err(error) = self.slot.with(|handle| self.write_last_with_patience(handle)) {
            tracing::warn!(%error, "the store was dropped, and its end could not be written");
        }
    }
}

/// Whether the end of a store may be written once more, on the file opened anew, after a failure.
fn may_be_written_again(error: &Error) -> bool {
    use ErrorKind::{Full, Io, NotCommitted, Reopen, Uncertain};
    matches!(error.kind(), Full | Io | NotCommitted | Reopen | Uncertain)
}
