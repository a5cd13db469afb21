//! Moving whole sections into redb, on a thread of its own. Commits go on in the log meanwhile.

use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use super::bell::{Bell, Rung};
use super::id::LogId;
use super::log::{Log, Stage, apply, begin_write};
use super::maps::Overlay;
use super::row::Wal;
use crate::engine::format::schema::Table;
use crate::engine::meta;
use crate::engine::opening::context::Context;
use crate::engine::opening::reserve;
use crate::engine::opening::slot::{Content, Slot};
use crate::engine::redb_file::Handle;
use crate::engine::rows::WriteRows;
use crate::error::{Error, ErrorKind, Result};

/// After a failure the next try comes this much later, then twice as much, and so on.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

impl Log {
    /// Ends the section that is open, and moves everything into redb.
    ///
    /// # Errors
    ///
    /// As [`Log::checkpoint`].
    pub(crate) fn rest(&self, handle: &Handle, context: &Context) -> Result<()> {
        let mut writer = self.lock();
        if self.has_failed() {
            return Ok(());
        }
        if matches!(&writer.stage, Stage::Open(open) if open.map.bytes() > 0) {
            self.end_section(&mut writer)?;
        }
        let number = writer.number;
        drop(writer);
        self.wait(number)?;
        self.checkpoint(handle, context)
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
            .map_while(|map| {
                let (number, crc) = map.ended().filter(|(number, _)| self.is_durable(*number))?;
                last = Some((map.section, number, crc));
                Some(map.clone())
            })
            .collect();
        let (Some((section, number, crc)), Some(id)) = (last, self.id()) else { return Ok(()) };
        context.place.refuse_moved()?;
        let transaction = begin_write(handle, context)?;
        let mut rows = WriteRows::of(&transaction);
        let moved = move_sections(&mut rows, &Overlay::new(whole, number), id, section, |_| {
            Wal::in_use(id, section, number, crc, context.clock.now())
        });
        drop(rows);
        match moved {
            Ok(true) => transaction.commit()?,
            done => {
                drop(transaction.abort());
                done?;
            }
        }
        self.covered(section, true, number);
        let mut files = self.files.lock();
        // The next one first: the newest is never removed.
        if let Err(error) = self.make_ahead(&mut files, id) {
            tracing::debug!(%error, "no section could be made ahead");
        }
        files.remove(&*self.folder, section)
    }

    /// The log that is in use.
    fn id(&self) -> Option<LogId> {
        self.head.lock().id
    }

    fn make_ahead(&self, files: &mut super::files::Files, id: LogId) -> Result<()> {
        let next = self.head.lock().newest_section + 1;
        files.make(&*self.folder, id, next)
    }
}

/// Writes the rows and the row of the log, unless redb has them already; says whether it has not.
fn move_sections(
    rows: &mut WriteRows<'_>,
    overlay: &Overlay,
    id: LogId,
    section: u64,
    wal: impl FnOnce(Wal) -> Wal,
) -> Result<bool> {
    let before = Wal::read(rows.get(Table::Meta, meta::WAL)?.as_deref())?;
    let Some(before) = before.filter(|before| before.in_use && before.id == id) else {
        return Err(Error::damaged("the file says that another log is in use; open the store again"));
    };
    if before.section >= section {
        return Ok(false);
    }
    // Without gaps.
    if overlay.behind(before.section).maps().first().map(|map| map.section) != Some(before.section + 1) {
        return Err(Error::damaged("a section of the log is not in memory any more"));
    }
    apply(rows, overlay)?;
    wal(before).write(rows)?;
    Ok(true)
}

/// Moves a log into the open file, which it can open anew while the log stays as it is.
#[derive(Clone)]
pub(crate) struct Mover {
    pub(crate) path: PathBuf,
    pub(crate) slot: Arc<Slot>,
    pub(crate) context: Arc<Context>,
    pub(crate) anew: Arc<dyn Fn() -> Result<Handle> + Send + Sync>,
}

impl Mover {
    /// Moves the sections of a log that have ended, or, after a rest, everything.
    ///
    /// # Errors
    ///
    /// As [`Log::checkpoint`]. Then the file is open again, if it can be.
    pub(crate) fn move_log(&self, log: &Log, rests: bool) -> Result<()> {
        let moved = self.slot.with(|handle| match log.bell.is_stopped() {
            true => Ok(()),
            false if rests => log.rest(handle, &self.context),
            false => log.checkpoint(handle, &self.context),
        });
        // On a full disk the reserve makes room for the next try.
        moved.or_else(|error| self.renew(log).and(Err(reserve::give_up_when_full(&self.path, error))))
    }

    /// Opens the file anew after redb has failed to write: it then refuses all further work by this handle, also reading.
    /// The log is as good as before.
    fn renew(&self, log: &Log) -> Result<()> {
        let mut content = self.slot.exclusively()?;
        let is_spent = |handle: &Handle| handle.is_spent() && handle.guard().end().is_none();
        if log.bell.is_stopped() || log.has_failed() || !matches!(&*content, Content::Open(handle) if is_spent(handle))
        {
            return Ok(());
        }
        self.context.place.refuse_moved()?;
        if let Content::Open(handle) = std::mem::replace(&mut *content, Content::Lost) {
            handle.give_up();
        }
        *content = Content::Open((self.anew)()?);
        Ok(())
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
    let (mut pause, mut rests) = (Duration::ZERO, false);
    loop {
        let rung = bell.wait(pause);
        let (Some(log), false) = (log.upgrade(), rung == Rung::Stopped) else { return };
        rests |= rung == Rung::Rest;
        let done = mover.move_log(&log, rests);
        drop(log);
        match done {
            Ok(()) => (pause, rests) = (Duration::ZERO, false),
            Err(error) => {
                if !matches!(error.kind(), ErrorKind::Reopen | ErrorKind::Forked) {
                    tracing::warn!(%error, "the log could not be moved into the file of the store; it is tried again");
                }
                pause = pause.saturating_mul(2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
                bell.ring_full();
            }
        }
    }
}
