//! A store and its log: given, tended, asked for.

use std::mem;

use super::beginning::news::LogNews;
use super::beginning::recover;
use super::disk::bytes::is_lived_in;
use super::status::LogStatus;
use super::writing::log::Log;
use crate::engine::commit::reentrancy::Writing;
use crate::engine::store::{Inner, Store};
#[cfg(any(fuzzing, test, feature = "transfer"))]
use crate::error::Result;

impl Store {
    /// The write-ahead log; none where commits go into the file of the store, as with `Sharing::Shared`, and in a
    /// forked child. A process that only reads sees the log that others share.
    pub fn log_status(&self) -> Option<LogStatus> {
        // W12: a thread that a forked child does not have may hold any lock below.
        self.refuse_forked().ok()?;
        let log = self.inner.gate.log()?;
        let row = self.inner.slot.with(recover::row).ok().flatten();
        if log.only_follows() && !row.is_some_and(|row| row.in_use) && !self.shares_log() {
            return None;
        }
        Some(log.status(&self.inner.context, row))
    }

    /// Whether processes share the log of the store.
    pub(crate) fn shares_log(&self) -> bool {
        let is_lived_in = || is_lived_in(&self.inner.path).unwrap_or(false);
        self.inner.gate.log().is_some_and(|log| log.is_shared() || log.only_follows() && is_lived_in())
    }

    /// Moves the log into the file, as after a moment of rest with much to move.
    #[cfg(any(fuzzing, test))]
    pub(crate) fn rest_log(&self) -> Result<()> {
        let log = self.inner.gate.log();
        self.inner.slot.with(|handle| log.map_or(Ok(()), |log| log.rest(handle, &self.inner.context)))
    }

    /// Moves the log into the file, and leaves it, as after a long rest.
    #[cfg(any(fuzzing, test))]
    pub(crate) fn lay_log_down(&self) -> Result<()> {
        let log = self.inner.gate.log();
        self.inner.slot.with(|handle| log.map_or(Ok(()), |log| log.lay_down(handle, &self.inner.context)))
    }

    /// Moves a shared log into the file, and runs work before any process writes again.
    #[cfg(feature = "transfer")]
    pub(crate) fn without_log<R>(&self, work: impl FnOnce() -> Result<R>) -> Result<R> {
        let log = self.inner.gate.log();
        self.inner.slot.with(|handle| match log {
            Some(log) => log.without(handle, &self.inner.context, work),
            None => work(),
        })
    }

    /// The log that the opening took up or set aside; asked once.
    pub(crate) fn take_log_news(&self) -> LogNews {
        mem::take(&mut *self.inner.context.log_news.lock())
    }

    /// Adds the news of a log that another handle on the file has taken up.
    #[cfg(feature = "transfer")]
    pub(crate) fn add_log_news(&self, news: LogNews) {
        self.inner.context.log_news.lock().add(news);
    }

    /// Whether the file could not take the log when the store was opened.
    pub(crate) fn log_waits(&self) -> bool {
        self.inner.gate.log().is_some_and(|log| log.waits_for_redb())
    }
}

impl Inner {
    /// Gives the file that was just opened its log.
    pub(crate) fn set_log(&self, log: Option<Log>) {
        let tends = self.tends_log && !self.context.only_looks;
        self.gate.commits().forget_newest();
        self.gate.log_slot().set(log, tends.then_some(&self.mover));
    }

    /// Moves sections that are full into the file where no thread does.
    pub(in crate::engine) fn tend_log(&self) {
        // First of all: in a forked child a thread that it does not have may hold any lock.
        if self.slot.refuse_forked().is_err() {
            return;
        }
        // Also not in a closure of this thread, which may have redb's transaction.
        let Ok(_writing) = Writing::enter(self.context()) else { return };
        if let Some(log) = self.gate.log().filter(|log| log.bell.take_full_without_thread())
            && let Err(error) = self.mover.move_full(&log)
        {
            tracing::debug!(%error, "the log could not be moved into the file of the store");
        }
    }
}
