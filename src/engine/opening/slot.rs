//! The place in which a store keeps its open file. Every call comes through here, so none forgets to ask whether this
//! is still the process that opened it, before it waits for anything.

use std::mem;

use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::engine::redb_file::End;
use crate::engine::redb_file::Handle;
use crate::engine::session::process::Process;
use crate::error::{Error, ErrorKind, Result};

pub(crate) struct Slot {
    process: Process,
    content: RwLock<Content>,
}

/// The open file, if there is one.
pub(crate) enum Content {
    Open(Handle),
    /// A failure has closed it, and it could not be reopened yet.
    Lost,
    Closed,
}

impl Slot {
    pub(crate) fn new(handle: Handle) -> Self {
        Self { process: Process::current(), content: RwLock::new(Content::Open(handle)) }
    }

    /// Runs a call on the open file, which stays open until the call ends. It does not wait behind a waiting closer,
    /// because a closure may look at the store that it writes to.
    ///
    /// # Errors
    ///
    /// `Forked` in a forked child, `Reopen` if no file is open, and every error of the call.
    pub(crate) fn with<R>(&self, call: impl FnOnce(&Handle) -> Result<R>) -> Result<R> {
        self.run(RwLock::read_recursive, call)
    }

    /// The same behind a waiting closer, so that writers in a row do not keep it waiting forever.
    pub(crate) fn with_in_turn<R>(&self, call: impl FnOnce(&Handle) -> Result<R>) -> Result<R> {
        self.run(RwLock::read, call)
    }

    fn run<R>(
        &self,
        lock: impl FnOnce(&RwLock<Content>) -> RwLockReadGuard<'_, Content>,
        call: impl FnOnce(&Handle) -> Result<R>,
    ) -> Result<R> {
        self.refuse_forked()?;
        let content = lock(&self.content);
        let done = content.handle().and_then(call);
        if self.has_forked() {
            // The call has forked, and this is the child: no thread is left that would take the lock.
            mem::forget(content);
        }
        done
    }

    /// Looks at the content of the slot.
    ///
    /// # Errors
    ///
    /// `Forked` in a forked child.
    pub(crate) fn peek<R>(&self, look: impl FnOnce(&Content) -> R) -> Result<R> {
        self.refuse_forked()?;
        Ok(look(&self.content.read_recursive()))
    }

    /// The same without waiting; none while somebody works on the file as a whole.
    ///
    /// # Errors
    ///
    /// `Forked` in a forked child.
    pub(crate) fn try_peek<R>(&self, look: impl FnOnce(&Content) -> R) -> Result<Option<R>> {
        self.refuse_forked()?;
        Ok(self.content.try_read_recursive().map(|content| look(&content)))
    }

    /// For work on the file as a whole, once the calls in progress have ended.
    ///
    /// # Errors
    ///
    /// `Forked` in a forked child.
    pub(crate) fn exclusively(&self) -> Result<RwLockWriteGuard<'_, Content>> {
        self.refuse_forked()?;
        Ok(self.content.write())
    }

    /// Whether the file is open; also no in a forked child.
    pub(crate) fn is_open(&self) -> bool {
        !self.has_forked() && matches!(*self.content.read_recursive(), Content::Open(_))
    }

    /// Refuses a forked child.
    ///
    /// # Errors
    ///
    /// `Forked` in one.
    pub(crate) fn refuse_forked(&self) -> Result<()> {
        self.process.refuse_forked()
    }

    fn has_forked(&self) -> bool {
        self.process.has_forked()
    }
}

impl Content {
    fn handle(&self) -> Result<&Handle> {
        match self {
            Self::Open(handle) => Ok(handle),
            Self::Lost => Err(lost()),
            Self::Closed => Err(End::Closed.error()),
        }
    }

    pub(crate) fn handle_mut(&mut self) -> Result<&mut Handle> {
        match self {
            Self::Open(handle) => Ok(handle),
            Self::Lost => Err(lost()),
            Self::Closed => Err(End::Closed.error()),
        }
    }
}

fn lost() -> Error {
    Error::new(ErrorKind::Reopen, "an earlier failure closed the file, and it could not be opened again yet")
}
