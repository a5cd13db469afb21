//! The write-ahead log of an open store, in a store that one process has for itself, or whose processes share one.

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;

use crate::engine::opening::context::Context;
use crate::engine::redb_file::Handle;
use crate::engine::rows::ReadRows;
use crate::engine::wal::{Checkpointer, Log, Mover, Overlay};
use crate::error::Result;

/// The log, if the store has one.
#[derive(Default)]
pub(crate) struct LogSlot(RwLock<Option<Tended>>);

/// A log, and the thread that moves its sections.
struct Tended {
    log: Arc<Log>,
    checkpointer: Option<Checkpointer>,
}

impl LogSlot {
    /// The log, if the store has one.
    pub(crate) fn get(&self) -> Option<Arc<Log>> {
        self.0.read().as_ref().map(|tended| tended.log.clone())
    }

    /// Gives the store that was just opened its log, and, with a mover, a thread that moves it.
    pub(crate) fn set(&self, log: Option<Log>, mover: Option<&Mover>) {
        let new = log.map(|log| {
            let log = Arc::new(log);
            let checkpointer = mover.map(|mover| Checkpointer::begin(&log, mover));
            Tended { log, checkpointer }
        });
        let old = mem::replace(&mut *self.0.write(), new);
        old.iter().for_each(|old| old.log.unsynced.stop());
        if let Some(checkpointer) = old.and_then(|old| old.checkpointer) {
            checkpointer.stop();
        }
    }

    /// Ends the thread of the log.
    pub(crate) fn end(&self) {
        let ended = self.0.write().as_mut().and_then(|tended| {
            tended.log.unsynced.stop();
            tended.checkpointer.take()
        });
        if let Some(checkpointer) = ended {
            checkpointer.join();
        }
    }

    /// Forgets the log in a forked child, which does not have its thread.
    pub(crate) fn forget(&self) {
        if let Some(mut log) = self.0.try_write() {
            mem::forget(log.take());
        }
    }

    /// The rows of now. A process that only reads waits up to the timeout for those that share a log.
    pub(crate) fn rows(&self, handle: &Handle, timeout: Duration) -> Result<ReadRows> {
        match self.get() {
            Some(log) => log.rows(handle, timeout),
            None => Ok(ReadRows::new(handle.begin_read()?, Overlay::none())),
        }
    }

    /// Leaves a log that other processes share.
    pub(crate) fn depart(&self) {
        if let Some(log) = self.get() {
            log.depart();
        }
    }

    /// Moves the log into redb before the file is closed.
    pub(crate) fn close(&self, handle: &Handle, context: &Context) -> Result<()> {
        match self.get() {
            Some(log) if handle.is_spent() => {
                log.depart();
                Ok(())
            }
            Some(log) => log.close(handle, context),
            None => Ok(()),
        }
    }
}
