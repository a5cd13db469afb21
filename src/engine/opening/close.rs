//! Closing the file of a store, for every clone, with the last writes.

use std::time::{Duration, Instant};

use crate::engine::commit::reentrancy::Writing;
use crate::engine::commit::{Outcome, Size};
use crate::engine::opening::slot::Content;
use crate::engine::redb_file::Handle;
use crate::engine::store::{Inner, Store};
use crate::engine::write::WriteTx;
use crate::error::{Error, ErrorKind, Result};

/// How long a dropped store waits for another process's write, unless the lock timeout is longer. Nobody can try
/// again later, and a session without an end counts as a crash.
const LAST_WAIT: Duration = Duration::from_secs(60);
/// Between two tries.
const A_MOMENT: Duration = Duration::from_millis(10);

impl Store {
    /// Closes the file for every clone, once the calls in progress have ended. Views that are still alive fail from now
    /// on. While another process keeps writing, it stays open.
    pub(crate) fn close_file(&self) -> Result<()> {
        self.refuse_forked()?;
        // Refused before the last writes are tried.
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
        // Without a last write, nobody has looked yet.
        let moved = matches!(*slot, Content::Open(_)).then(|| self.refuse_moved());
        let content = std::mem::replace(&mut *slot, Content::Closed);
        drop(slot);
        let closed = closed.and(moved.unwrap_or(Ok(()))).and(match content {
            Content::Open(handle) => {
                let emptied = self.inner.gate.log_slot().close(&handle, self.inner.context());
                emptied.and(handle.close())
            }
            Content::Lost => {
                self.inner.gate.log_slot().depart();
                Ok(())
            }
            Content::Closed => Ok(()),
        });
        self.inner.gate.log_slot().end();
        self.inner.closing.lock().clear();
        #[cfg(any(test, feature = "replica"))]
        self.inner.context().awaited.end(None);
        // Waiting callers find out that there is nothing to wait for.
        self.commits().wake_all();
        closed
    }

    /// Retries the last writes on the reopened file; without them a failure at the end would look like a crash. If the
    /// disk was full, the reserve has been given up by now.
    fn write_last_again(&self, failed: Error) -> Result<()> {
        // The caller got the earlier failure when it happened, so this one is only logged.
        let told = if failed.kind() == ErrorKind::Reopen { Ok(()) } else { Err(failed) };
        if self.inner.closing.lock().is_empty() {
            return told;
        }
        let again = self.reopen().and_then(|()| self.with_handle_in_turn(|handle| self.inner.write_last(handle)));
        again.or_else(|error| {
            tracing::warn!(%error, "the end of the store could not be written on the reopened file either");
            told
        })
    }
}

impl Inner {
    /// Writes the end of the store before the file is closed. A failed write stays, to be tried again.
    fn write_last(&self, handle: &Handle) -> Result<()> {
        // Locked meanwhile, so that a second closer does not close the file before these writes.
        let mut closing = self.closing.lock();
        // Another process has the history now.
        if self.context().told.is_fenced() {
            closing.clear();
        }
        if !closing.is_empty() {
            let write = |tx: &mut WriteTx<'_>| match tx.overtaken()? {
                Some(_) => Ok(Outcome::Abort(())),
                None => closing.iter().try_for_each(|write| write(tx)).map(Outcome::Commit),
            };
            match self.gate.alone(handle, self.context(), Size::Last, write) {
                // The processes have lost sight of one another, which only a close in all of them ends.
                Err(error) if error.kind() == ErrorKind::Locked && error.hint().is_some() => {
                    tracing::warn!(%error, "the end of the store could not be written");
                }
                written => written?,
            }
            closing.clear();
        }
        Ok(())
    }

    /// The same when nobody can try again.
    fn write_last_with_patience(&self, handle: &Handle) -> Result<()> {
        let began = Instant::now();
        loop {
            match self.write_last(handle) {
                Err(error) if error.kind() == ErrorKind::Locked && began.elapsed() < LAST_WAIT => {
                    std::thread::sleep(A_MOMENT);
                }
                written => return written,
            }
        }
    }
}

impl Drop for Inner {
    /// The last clone ends the session cleanly, except during a panic, in a forked child, or while
    /// another process writes for a minute.
    fn drop(&mut self) {
        if self.slot.refuse_forked().is_err() {
            return self.gate.log_slot().forget();
        }
        // Its thread first: it must make no section beside the close.
        self.gate.log_slot().end();
        if !std::thread::panicking() && self.slot.is_open() {
            let last = |handle: &Handle| {
                self.write_last_with_patience(handle).and(self.gate.log_slot().close(handle, self.context()))
            };
            if let Err(error) = self.slot.with(last) {
                tracing::warn!(%error, "the store was dropped, and its end could not be written");
            }
        }
    }
}

/// Whether the last writes may be retried on the reopened file after a failure.
fn may_be_written_again(error: &Error) -> bool {
    use ErrorKind::{Full, Io, NotCommitted, Reopen, Uncertain};
    matches!(error.kind(), Full | Io | NotCommitted | Reopen | Uncertain)
}
