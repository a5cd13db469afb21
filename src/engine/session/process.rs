//! The process that opened a store. A forked child has a copy of its parent's memory and shares its locks: they belong
//! to the open files, and both processes have descriptors of these. Each use by the child affects the parent.
//!
//! So every owner of such a file asks here first. A handler counts forks of the C library in the child, so asking costs
//! a read of memory. Calls that enter the system anyway also compare the pid, because there are other ways to fork.

use std::mem;
use std::ops::{Deref, DerefMut};

use crate::error::{Error, ErrorKind, Result};

/// A process, as it was when this was made.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    id: u32,
    /// Counts the forks that led to this process; none where no handler could be set.
    #[cfg(unix)]
    forks: Option<forkguard::Guard>,
}

impl Process {
    /// This one.
    pub(crate) fn current() -> Self {
        Self {
            id: std::process::id(),
            #[cfg(unix)]
            forks: forkguard::Guard::try_new().ok(),
        }
    }

    /// Whether this is asked in a forked child of that process.
    pub(crate) fn has_forked(&self) -> bool {
        #[cfg(unix)]
        if let Some(forks) = &self.forks {
            return forks.clone().detected_fork();
        }
        self.id != std::process::id()
    }

    /// Whether this is another process, by any kind of fork; for calls that enter the system anyway.
    pub(crate) fn is_another(&self) -> bool {
        self.has_forked() || self.id != std::process::id()
    }

    /// Refuses a forked child.
    ///
    /// # Errors
    ///
    /// `Forked` in one.
    pub(crate) fn refuse_forked(&self) -> Result<()> {
        if self.has_forked() { Err(forked()) } else { Ok(()) }
    }
}

/// The error for a forked child.
pub(crate) fn forked() -> Error {
    Error::new(ErrorKind::Forked, "the store was opened before a fork; open the store again in this process")
}

/// A value whose drop reaches the file, and may wait for other threads. A forked child does not have these threads,
/// so it forgets the value instead.
#[derive(Debug)]
pub(crate) struct Owned<T> {
    /// None only while it is dropped.
    value: Option<T>,
    process: Process,
}

impl<T> Owned<T> {
    pub(crate) fn new(value: T, process: &Process) -> Self {
        Self { value: Some(value), process: process.clone() }
    }

    /// The value, to be ended by the caller behind a
    /// [`RedbGuard`](crate::engine::redb_file::RedbGuard), which refuses a forked child.
    #[expect(clippy::expect_used, reason = "it is taken out only where nobody has it any more")]
    pub(crate) fn into_inner(mut self) -> T {
        self.value.take().expect("a value until it is dropped")
    }
}

impl<T> Deref for Owned<T> {
    type Target = T;

    #[expect(clippy::expect_used, reason = "it is taken out only where nobody has it any more")]
    fn deref(&self) -> &T {
        self.value.as_ref().expect("a value until it is dropped")
    }
}

impl<T> DerefMut for Owned<T> {
    #[expect(clippy::expect_used, reason = "it is taken out only where nobody has it any more")]
    fn deref_mut(&mut self) -> &mut T {
        self.value.as_mut().expect("a value until it is dropped")
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        if self.process.has_forked() {
            mem::forget(self.value.take());
        }
    }
}
