//! The one way into redb: every call goes through a guard. It knows whether this process opened the file and whether
//! the handle can still be used, and it contains the panics that damaged pages can cause.

use std::cell::Cell;
use std::mem;
use std::panic::{self, AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use super::end::damaged_pages;
use super::{End, Failure};
use crate::engine::session::process::{Process, forked};
use crate::error::{Error, ErrorKind, Result};

/// Runs calls into redb and contains their panics.
#[derive(Clone, Debug)]
pub(crate) struct RedbGuard {
    life: Arc<Life>,
}

/// Whether an open file can still be used, by the handle and by all views that were begun with it.
#[derive(Debug)]
struct Life {
    process: Process,
    end: AtomicU8,
    /// Whether redb has reported a failure after which it refuses further work.
    has_failed: AtomicBool,
}

impl RedbGuard {
    /// A guard for a file that is just being opened.
    pub(crate) fn fresh() -> Self {
        let life = Life { process: Process::current(), end: AtomicU8::new(0), has_failed: AtomicBool::new(false) };
        Self { life: Arc::new(life) }
    }

    /// Runs a call that changes redb's memory. After a panic in it, that memory cannot be trusted any more.
    ///
    /// # Errors
    ///
    /// `Forked` in a forked child; `Reopen` once such a call has panicked or the file was closed; `Damaged` when this
    /// call panics; and every error that it returns.
    pub(crate) fn run<R>(&self, call: impl FnOnce() -> Result<R, Failure>) -> Result<R> {
        self.contained(call, || self.set_end(End::Damage))
    }

    /// Runs a call that only reads rows. A panic over a damaged page leaves nothing half changed: everything outside of
    /// that page can still be read and written.
    ///
    /// # Errors
    ///
    /// As [`RedbGuard::run`].
    pub(crate) fn read<R>(&self, call: impl FnOnce() -> Result<R, Failure>) -> Result<R> {
        self.contained(call, || ())
    }

    fn contained<R>(&self, call: impl FnOnce() -> Result<R, Failure>, panicked: impl FnOnce()) -> Result<R> {
        if self.has_forked() {
            // It may hold a transaction, whose end would be the parent's business, and may wait for a thread of the
            // parent.
            mem::forget(call);
            return Err(forked());
        }
        if let Some(end) = self.end() {
            // It may hold a transaction, which must not be aborted as usual after a panic.
            match end {
                End::Damage => abandon(call),
                End::Closed | End::Reopened => drop(call),
            }
            return Err(end.error());
        }
        let done = quietly(|| catch_unwind(AssertUnwindSafe(call))).unwrap_or_else(|_| {
            panicked();
            Err(damaged_pages().into())
        });
        done.map_err(|failure| self.noted(failure.into_error()))
    }

    /// The process that opened the file.
    pub(crate) fn process(&self) -> &Process {
        &self.life.process
    }

    /// Whether this is a forked child of that.
    pub(crate) fn has_forked(&self) -> bool {
        self.life.process.has_forked()
    }

    /// Notes a failure after which redb refuses further work, and gives the reason where that is the file's end.
    fn noted(&self, error: Error) -> Error {
        if matches!(error.kind(), ErrorKind::Io | ErrorKind::Full | ErrorKind::Reopen) {
            self.life.has_failed.store(true, Ordering::Relaxed);
        }
        match self.end() {
            // It was closed in the middle of the call.
            Some(end) if error.kind() == ErrorKind::Reopen => end.error().with_source(error),
            _ => error,
        }
    }

    /// Notes that the file must be reopened before it can be used.
    pub(crate) fn set_spent(&self) {
        self.life.has_failed.store(true, Ordering::Relaxed);
    }

    /// Ends the use of the file by everybody who has this guard; the first reason stays.
    pub(crate) fn set_end(&self, end: End) {
        let _first = self.life.end.compare_exchange(0, end as u8, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Why the file is used no more, if it is not.
    pub(crate) fn end(&self) -> Option<End> {
        End::of(self.life.end.load(Ordering::Relaxed))
    }

    /// Whether the file must be reopened before it can be written to again.
    pub(crate) fn is_spent(&self) -> bool {
        self.end().is_some() || self.life.has_failed.load(Ordering::Relaxed)
    }
}

thread_local! {
    /// Whether a panic of this thread is contained and need not be printed.
    static IS_CONTAINED: Cell<bool> = const { Cell::new(false) };
}

/// Runs a call whose panics are contained.
fn quietly<R>(call: impl FnOnce() -> R) -> R {
    let before = IS_CONTAINED.replace(true);
    let done = call();
    IS_CONTAINED.set(before);
    done
}

/// Keeps contained panics from printing to standard error: each becomes an error, which says what to do. Other panics
/// print as before. Only a program may call this, not a library, because a process has one panic hook.
///
/// # Examples
///
/// ```
/// # fn main() {
/// hivekeep::hush_contained_panics();
/// // .. whatever the program does with its stores
/// # }
/// ```
pub fn hush_contained_panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |told| match IS_CONTAINED.get() {
            true => tracing::debug!(panic = %told, "a panic over damaged pages was contained"),
            false => usual(told),
        }));
    });
}

/// Drops a value of redb without redb's work at its end, such as the last commit of a file or the
/// abort of a transaction. Over damaged pages that work can panic twice, which aborts the process.
/// redb skips it while a panic unwinds.
pub(crate) fn abandon<T>(of_redb: T) {
    let unwound = catch_unwind(AssertUnwindSafe(move || {
        let _dropped_by_unwinding = of_redb;
        resume_unwind(Box::new(()))
    }));
    drop::<Result<(), _>>(unwound);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn panicking() -> Result<(), Failure> {
        resume_unwind(Box::new(()))
    }

    #[test]
    fn a_read_that_panics_costs_only_itself() {
        let guard = RedbGuard::fresh();
        assert_eq!(guard.read(panicking).unwrap_err().kind(), ErrorKind::Damaged);
        guard.read(|| Ok(())).unwrap();
        guard.run(|| Ok(())).unwrap();
        assert!(!guard.is_spent());
    }

    #[test]
    fn after_a_change_that_panics_the_file_must_be_opened_again_and_the_damage_is_the_reason() {
        let guard = RedbGuard::fresh();
        let damaged = guard.run(panicking).unwrap_err();
        assert_eq!(damaged.kind(), ErrorKind::Damaged);
        for later in [guard.run(|| Ok(())), guard.clone().read(|| Ok(()))] {
            let later = later.unwrap_err();
            assert_eq!(later.kind(), ErrorKind::Reopen);
            assert!(later.to_string().ends_with("and repair it"), "{later}");
            let reason = std::error::Error::source(&later).unwrap().downcast_ref::<Error>().unwrap();
            assert_eq!(reason.kind(), ErrorKind::Damaged);
        }
        guard.set_end(End::Reopened);
        assert_eq!(guard.end(), Some(End::Damage), "the first reason stays");
    }

    #[test]
    fn a_failure_of_the_disk_leaves_a_file_that_must_be_opened_again() {
        for kind in [ErrorKind::Io, ErrorKind::Full, ErrorKind::Reopen] {
            let guard = RedbGuard::fresh();
            assert_eq!(guard.run(|| Err::<(), _>(Error::new(kind, "on purpose").into())).unwrap_err().kind(), kind);
            assert!(guard.is_spent());
        }
        let guard = RedbGuard::fresh();
        assert!(guard.read(|| Err::<(), _>(Error::invalid("on purpose").into())).is_err() && !guard.is_spent());
    }
}
