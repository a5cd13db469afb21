//! Moving a shared log into redb, in a turn: when its section is full, and when nothing was appended for a while.

use std::time::Instant;

use super::super::disk::writer::{Stage, Writer};
use super::super::overlay::bell::Rung;
use super::super::writing::checkpoint::{MUCH, refuse_full};
use super::super::writing::log::Log;
use crate::engine::opening::context::Context;
use crate::engine::redb_file::Handle;
use crate::error::{ErrorKind, Result};

impl Log {
    /// Moves a log whose section is full, so that the next write begins another one.
    pub(in crate::engine::wal) fn rotate(
        &self,
        writer: &mut Writer,
        handle: &Handle,
        context: &Context,
        arrived: Instant,
    ) -> Result<()> {
        let Stage::Open(open) = &writer.stage else { return Ok(()) };
        self.lengths.follow(open);
        self.move_all(writer, handle, context, arrived)?;
        (writer.commits, writer.last_past) = (self.commits_before, None);
        Ok(())
    }

    /// Moves everything after a rest, if there is enough of it, unless another process is at work.
    pub(in crate::engine::wal) fn rest_shared(&self, handle: &Handle, context: &Context, rung: Rung) -> Result<()> {
        if rung == Rung::Full || rung == Rung::Rest && self.bytes_in_memory() < MUCH || self.has_failed() {
            return Ok(());
        }
        let _visit = self.visit();
        let mut writer = self.lock();
        // Once, without waiting.
        let now = Instant::now();
        let arrived = now.checked_sub(context.lock_timeout).unwrap_or(now);
        match self.take_turn(&mut writer, handle, context, arrived) {
            Err(error) if error.kind() == ErrorKind::Locked => Ok(()),
            taken => taken.and_then(|()| self.move_all(&mut writer, handle, context, now)),
        }
    }

    /// Runs work while redb has everything, and no process writes.
    ///
    /// # Errors
    ///
    /// As moving the log, and every error of the work.
    #[cfg(feature = "transfer")]
    pub(in crate::engine::wal) fn without<R>(
        &self,
        handle: &Handle,
        context: &Context,
        work: impl FnOnce() -> Result<R>,
    ) -> Result<R> {
        let _visit = self.visit();
        let (mut writer, arrived) = (self.lock(), Instant::now());
        self.take_turn(&mut writer, handle, context, arrived)?;
        self.move_all(&mut writer, handle, context, arrived)?;
        work()
    }

    fn move_all(&self, writer: &mut Writer, handle: &Handle, context: &Context, arrived: Instant) -> Result<()> {
        if !matches!(writer.stage, Stage::Open(_)) {
            return Ok(());
        }
        let begun = Instant::now();
        refuse_full(context.place.path(), self.rows_of_writer(handle, writer)?.overlay())?;
        self.empty(writer, handle, context, arrived)?;
        self.note_checkpoint(context.clock.now(), begun.elapsed());
        Ok(())
    }
}
