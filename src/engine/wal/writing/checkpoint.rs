//! Moving whole sections into redb, on a thread of its own. Commits go on in the log meanwhile.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::log::Log;
use super::past::{apply, begin_write};
use crate::engine::feed::Told;
use crate::engine::format::schema::Table;
use crate::engine::meta;
use crate::engine::opening::context::Context;
use crate::engine::opening::reserve;
use crate::engine::opening::slot::{Content, Slot};
use crate::engine::redb_file::Handle;
use crate::engine::rows::WriteRows;
use crate::engine::wal::disk::writer::Stage;
use crate::engine::wal::encoding::id::LogId;
use crate::engine::wal::encoding::row::Wal;
use crate::engine::wal::overlay::bell::{Bell, Rung};
use crate::engine::wal::overlay::maps::Overlay;
use crate::error::{Error, ErrorKind, Result};

/// After a failure the next try comes this much later, then twice as much, and so on.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// About how many bytes of pages a transaction of redb writes besides those of its rows.
const ROOM_OF_REDB: u64 = 1 << 20;
/// Fewer bytes of rows wait for a long rest.
pub(in crate::engine::wal) const MUCH: usize = 256 << 10;

impl Log {
    /// Moves everything into redb when nothing was appended for a while, if there is enough of it: the end of a
    /// section, a new one and a commit of redb cost a writer who comes once in a while more than his commits do.
    ///
    /// # Errors
    ///
    /// As [`Log::checkpoint`].
    fn rest_if_much(&self, handle: &Handle, context: &Context) -> Result<()> {
        let has_ended = self.head.lock().maps.iter().any(|map| map.ended().is_some());
        match self.bytes_in_memory() < MUCH {
            true if has_ended => self.checkpoint(handle, context),
            true => Ok(()),
            false => self.rest(handle, context),
        }
    }

    /// Moves everything into redb when nothing was appended for long, and leaves redb's file alone, as a close does:
    /// the next commits go into redb until there are several of them.
    ///
    /// # Errors
    ///
    /// As redb has them. After a commit that failed nobody knows whether the log is in use, so the log has failed too.
    pub(crate) fn lay_down(&self, handle: &Handle, context: &Context) -> Result<()> {
        if self.turns.is_some() {
            return self.rest_shared(handle, context, Rung::LongRest);
        }
        if context.place.leads_elsewhere() {
            return Ok(());
        }
        context.place.refuse_moved()?;
        let begun = Instant::now();
        let mut writer = self.lock();
        if matches!(writer.stage, Stage::Empty | Stage::Recovered(_)) || self.has_failed() {
            return Ok(());
        }
        refuse_full(context.place.path(), self.rows_of_writer(handle, &writer)?.overlay())?;
        self.empty(&mut writer, handle, context, begun)?;
        self.note_checkpoint(context.clock.now(), begun.elapsed());
        Ok(())
    }

    /// Ends the section that is open, and moves everything into redb.
    ///
    /// # Errors
    ///
    /// As [`Log::checkpoint`].
    pub(crate) fn rest(&self, handle: &Handle, context: &Context) -> Result<()> {
        if self.turns.is_some() {
            return self.rest_shared(handle, context, Rung::LongRest);
        }
        // The section that is open is ended once redb has those before it, or a try that fails again and again would
        // end one section after another.
        for _ in 0..2 {
            self.make_next_before_an_end(context);
            let mut writer = self.lock();
            if self.has_failed() {
                return Ok(());
            }
            let maps = self.head.lock().maps.len();
            if matches!(&writer.stage, Stage::Open(open) if open.map.bytes() > 0) && maps == 1 {
                self.end_section(&mut writer)?;
            }
            let number = writer.number;
            drop(writer);
            self.wait(number)?;
            self.checkpoint(handle, context)?;
            if maps <= 1 {
                break;
            }
        }
        Ok(())
    }

    /// A section that has ended before the next one was named cannot tell that the next one is missing.
    fn make_next_before_an_end(&self, context: &Context) {
        let id = self.head.lock().id;
        if let Some(id) = id.filter(|_| context.place.is_in_place())
            && let Err(error) = self.make_next(id)
        {
            tracing::debug!(%error, "no section could be made ahead");
        }
    }

    /// W7: moves the sections that have ended, and are synced to their ends, in one transaction with `wal`.
    ///
    /// # Errors
    ///
    /// As redb has them; then the sections stay where they are.
    pub(crate) fn checkpoint(&self, handle: &Handle, context: &Context) -> Result<()> {
        if self.has_failed() {
            return Ok(());
        }
        let maps = self.head.lock().maps.clone();
        let mut last = None;
        let whole: Arc<[_]> = maps
            .iter()
            // W7: only sections that have ended and are synced to their ends, up to the first one that is not.
            .map_while(|map| {
                let (number, crc) = map.ended().filter(|(number, _)| self.is_durable(*number))?;
                last = Some((map.section, number, crc));
                Some(map.clone())
            })
            .collect();
        let Some(id) = self.head.lock().id else { return Ok(()) };
        context.place.refuse_moved()?;
        if let Some((section, number, crc)) = last {
            let overlay = Overlay::new(Some(id), whole, number);
            let wal = Wal::in_use(id, section, number, crc, context.clock.now());
            if let Err(error) = refuse_full(context.place.path(), &overlay) {
                // Sections that redb has go in any case.
                self.tidy(id, context)?;
                return Err(error);
            }
            self.move_whole(handle, context, &overlay, &wal)?;
        }
        self.tidy(id, context)
    }

    /// Moves sections, unless redb has them already.
    fn move_whole(&self, handle: &Handle, context: &Context, overlay: &Overlay, wal: &Wal) -> Result<()> {
        let begun = Instant::now();
        let transaction = begin_write(handle, context, begun)?;
        let mut rows = WriteRows::of(&transaction);
        let moved = move_sections(&mut rows, overlay, wal, &context.told);
        drop(rows);
        match moved {
            Ok(true) => transaction.commit()?,
            // There was nothing to move, or moving failed: the sections stay either way.
            done => {
                drop(transaction.abort());
                done?;
            }
        }
        self.covered(wal.section, true, wal.number);
        self.note_checkpoint(context.clock.now(), begun.elapsed());
        Ok(())
    }

    /// Makes the next section ahead, and removes those that redb has. The next one first: the newest is never removed.
    fn tidy(&self, id: LogId, context: &Context) -> Result<()> {
        if context.place.leads_elsewhere() {
            return Ok(());
        }
        if let Err(error) = self.make_next(id) {
            tracing::debug!(%error, "no section could be made ahead");
        }
        let mut files = self.files.lock();
        let covered = Some(&*self.head.lock()).filter(|head| head.id == Some(id)).map_or(0, |head| head.covered);
        files.remove(&*self.folder, covered)
    }
}

/// Refuses to begin work for which the disk has no room: after a failed write, redb refuses all further work, also
/// reading.
///
/// # Errors
///
/// `Full` then.
pub(in crate::engine::wal) fn refuse_full(path: &Path, overlay: &Overlay) -> Result<()> {
    refuse_less(path, overlay.maps().iter().map(|map| map.bytes() as u64).sum())
}

/// The same for so many bytes of rows.
///
/// # Errors
///
/// `Full` then.
pub(in crate::engine::wal) fn refuse_less(path: &Path, bytes: u64) -> Result<()> {
    let needed = bytes.saturating_add(ROOM_OF_REDB);
    match reserve::free_space(path) {
        Some(free) if free < needed => {
            let message = format!("the disk has no room for moving the log into the file: free={free} needed={needed}");
            Err(Error::new(ErrorKind::Full, message))
        }
        _ => Ok(()),
    }
}

/// Writes the rows and the row of the log, unless redb has them already; says whether it has not.
fn move_sections(rows: &mut WriteRows<'_>, overlay: &Overlay, wal: &Wal, told: &Told) -> Result<bool> {
    let before = Wal::read(rows.get(Table::Meta, meta::WAL)?.as_deref())?;
    let Some(before) = before.filter(|before| before.in_use && before.id == wal.id) else {
        return Err(Error::damaged("the file says that another log is in use; open the store again"));
    };
    // Work that went past the log has moved them.
    if before.section >= wal.section {
        return Ok(false);
    }
    // W7: without gaps.
    if overlay.behind(before.section).maps().first().map(|map| map.section) != Some(before.section + 1) {
        return Err(Error::damaged("a section of the log is no longer in memory"));
    }
    apply(rows, overlay, Some(told))?;
    wal.write(rows)?;
    Ok(true)
}

/// Moves a log into the open file, which it can open again while the log stays as it is.
#[derive(Clone)]
pub(crate) struct Mover {
    pub(crate) slot: Arc<Slot>,
    pub(crate) context: Arc<Context>,
    pub(crate) anew: Arc<dyn Fn() -> Result<Handle> + Send + Sync>,
}

impl Mover {
    /// Moves the sections of a log that have ended, or, after a rest, everything that is worth it.
    ///
    /// # Errors
    ///
    /// As [`Log::checkpoint`]. Then the file is open again, if it can be.
    pub(in crate::engine::wal) fn move_log(&self, log: &Log, rung: Rung) -> Result<()> {
        let moved = self.slot.with(|handle| match rung {
            _ if log.bell.is_stopped() => Ok(()),
            _ if log.turns.is_some() => log.rest_shared(handle, &self.context, rung),
            Rung::LongRest => log.lay_down(handle, &self.context),
            Rung::Rest => log.rest_if_much(handle, &self.context),
            Rung::Full | Rung::Stopped => log.checkpoint(handle, &self.context),
        });
        // The reserve is not given up here: it is for a caller who learns that the disk is full.
        moved.or_else(|error| self.renew(log).and(Err(error)))
    }

    /// The same of the sections that have ended, where there is no thread.
    ///
    /// # Errors
    ///
    /// As [`Log::checkpoint`].
    pub(crate) fn move_full(&self, log: &Log) -> Result<()> {
        self.move_log(log, Rung::Full)
    }

    /// Opens the file again after redb has failed to write: redb then refuses all further work by this handle, also
    /// reading. The log is as good as before.
    fn renew(&self, log: &Log) -> Result<()> {
        let mut content = self.slot.exclusively()?;
        if log.bell.is_stopped() {
            return Ok(());
        }
        self.renew_content(log, &mut content).map(drop)
    }

    /// The same for a caller who works on the file as a whole. Says whether the file is open under its log.
    ///
    /// # Errors
    ///
    /// As opening the file.
    pub(crate) fn renew_content(&self, log: &Log, content: &mut Content) -> Result<bool> {
        let is_needed = match content {
            Content::Open(handle) => handle.is_spent() && handle.guard().end().is_none(),
            Content::Lost => true,
            Content::Closed => false,
        };
        if log.has_failed() || !is_needed {
            return Ok(false);
        }
        self.context.place.refuse_moved()?;
        if let Content::Open(handle) = std::mem::replace(content, Content::Lost) {
            handle.give_up();
        }
        let handle = (self.anew)()?;
        // Between the look and the opening it may have been replaced.
        self.context.place.refuse_moved()?;
        // A shared log is that of the others, too.
        let is_same = if log.is_shared() { Ok(true) } else { log.is_that_of(&handle) };
        *content = Content::Open(handle);
        if !is_same? {
            log.give_up(&Error::new(ErrorKind::Reopen, "another process has taken up the log of the store"));
            return Ok(false);
        }
        Ok(true)
    }
}

/// The thread that moves sections, until it is dropped.
#[derive(Debug)]
pub(crate) struct Checkpointer {
    bell: Arc<Bell>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpointer {
    /// Begins to move the sections of a log. Without a thread, as when the system has no more, writers do it.
    pub(crate) fn begin(log: &Arc<Log>, mover: &Mover) -> Self {
        let (bell, weak, mover) = (log.bell.clone(), Arc::downgrade(log), mover.clone());
        let ringing = bell.clone();
        let thread = std::thread::Builder::new().name("hivekeep-log".into());
        let spawned = thread.spawn(move || tend(&ringing, &weak, &mover));
        let thread = spawned.inspect_err(|error| tracing::warn!(%error, "the log has no thread of its own")).ok();
        if thread.is_some() {
            bell.note_thread();
        }
        Self { bell, thread }
    }

    /// Ends it without waiting, for a log that is used no more.
    pub(crate) fn stop(&self) {
        self.bell.stop();
    }

    /// Waits until it has ended.
    pub(crate) fn join(mut self) {
        self.bell.stop();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn tend(bell: &Bell, log: &Weak<Log>, mover: &Mover) {
    let (mut pause, mut left) = (Duration::ZERO, Rung::Full);
    loop {
        let rung = bell.wait(pause);
        let (Some(log), false) = (log.upgrade(), rung == Rung::Stopped) else { return };
        // A rest whose work has failed is tried again, unless there is a longer one by now.
        if rung != Rung::Full {
            left = rung;
        }
        let moved = catch_unwind(AssertUnwindSafe(|| mover.move_log(&log, left)));
        let done = moved.unwrap_or_else(|_| Err(Error::damaged("moving the log panicked")));
        match done {
            Ok(()) => {
                (pause, left) = (Duration::ZERO, Rung::Full);
                log.note_failing(None);
            }
            Err(error) => {
                log.note_failing(Some(&error));
                if !matches!(error.kind(), ErrorKind::Reopen | ErrorKind::Forked) {
                    tracing::warn!(%error, "the log could not be moved into the file of the store; it is tried again");
                }
                pause = pause.saturating_mul(2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
                bell.ring_full();
            }
        }
    }
}
