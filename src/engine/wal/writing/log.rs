//! The open log of a store that one process has for itself, or that several share: what readers see of it, and what
//! redb has of it.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::appended::Appended;
use super::kept::Kept;
use super::unsynced::Unsynced;
use crate::engine::commit::locks::{Condvar, Mutex, MutexGuard};
use crate::engine::format::schema::Table;
use crate::engine::meta;
use crate::engine::opening::options::Options;
use crate::engine::redb_file::Handle;
use crate::engine::rows::ReadRows;
use crate::engine::wal::disk::bounds::{OWN, SHARED};
use crate::engine::wal::disk::files::{Files, Lengths};
use crate::engine::wal::disk::folder::LogFolder;
use crate::engine::wal::disk::search::UnsavedRows;
use crate::engine::wal::disk::shared::Turns;
use crate::engine::wal::disk::writer::{Stage, Writer};
use crate::engine::wal::encoding::id::LogId;
use crate::engine::wal::encoding::row::{Wal, not_of_this_file};
use crate::engine::wal::overlay::bell::Bell;
use crate::engine::wal::overlay::maps::{Overlay, SectionMap};
use crate::error::{Error, ErrorKind, Hint, Result};

/// The log of an open store.
#[derive(Debug)]
pub(crate) struct Log {
    pub(in crate::engine::wal) folder: Box<dyn LogFolder>,
    /// The write lock: held from before a closure runs until its entry is appended, never for a sync.
    writer: Mutex<Writer>,
    /// Held for moments only.
    pub(in crate::engine::wal) head: Mutex<Head>,
    /// Held for moments only.
    pub(in crate::engine::wal) appended: Mutex<Appended>,
    pub(super) synced: Condvar,
    pub(in crate::engine::wal) files: Mutex<Files>,
    pub(in crate::engine::wal) lengths: Lengths,
    pub(crate) bell: Arc<Bell>,
    /// The damage in redb's pages that keeps the rows which an opening found in memory.
    pub(super) damage: Option<Arc<Error>>,
    /// Whether the rows which an opening found may be in the cache of the system only.
    #[cfg_attr(not(any(test, feature = "replica")), expect(dead_code, reason = "only a feed asks"))]
    pub(super) is_found_unsynced: bool,
    /// Whether entries stay in memory beside their rows, for the feed.
    pub(in crate::engine::wal) keeps_entries: AtomicBool,
    /// The number of commits before a log begins.
    pub(in crate::engine::wal) commits_before: u32,
    /// The file of redb may be only half on the disk, so that it must not be opened again by itself.
    pub(super) is_given_up: AtomicBool,
    pub(in crate::engine::wal) kept: Mutex<Kept>,
    /// Entries that were answered before they were on the disk.
    pub(crate) unsynced: Arc<Unsynced>,
    /// Where several processes share the log.
    pub(in crate::engine::wal) turns: Option<Turns>,
}

/// The rows that redb does not have, oldest section first, and up to which number readers may see them.
#[derive(Debug)]
pub(in crate::engine::wal) struct Head {
    pub(in crate::engine::wal) maps: Arc<[Arc<SectionMap>]>,
    pub(in crate::engine::wal) answered: u64,
    /// The log that is in use, and the newest section of it that has begun.
    pub(in crate::engine::wal) id: Option<LogId>,
    pub(in crate::engine::wal) newest_section: u64,
    /// Redb has the sections up to this one.
    pub(in crate::engine::wal) covered: u64,
}

/// The state in which an opening leaves the log.
#[derive(Debug)]
pub(in crate::engine::wal) enum OpenedLog {
    /// Redb has everything.
    Empty,
    /// Rows that redb could not take, and why, or was not to take.
    Unsaved {
        maps: Vec<Arc<SectionMap>>,
        number: u64,
        error: Option<Error>,
        /// Whether their sections are on the disk for certain, and not only in the cache of the system.
        is_durable: bool,
    },
}

impl OpenedLog {
    /// The same once `put` has brought the sections of unsaved rows onto the disk. Where that fails, they can be read,
    /// and no replica is told of them.
    pub(in crate::engine::wal) fn on_disk(self, put: impl FnOnce(&[Arc<SectionMap>]) -> Result<UnsavedRows>) -> Self {
        let Self::Unsaved { maps, number, error, .. } = self else { return self };
        match put(&maps) {
            Ok(UnsavedRows { maps, number }) => Self::Unsaved { maps, number, error, is_durable: true },
            Err(failed) => {
                tracing::warn!(error = %failed, "a log that stays in its files may not be on the disk as a whole");
                Self::Unsaved { maps, number, error, is_durable: false }
            }
        }
    }
}

impl Log {
    /// The log of a store that was just opened, and whose row is this. `is_fed`: the store has a feed.
    pub(in crate::engine::wal) fn new(
        folder: Box<dyn LogFolder>,
        wal: Option<Wal>,
        found: OpenedLog,
        is_fed: bool,
        options: &Options,
    ) -> Self {
        let known = wal.map_or(0, |wal| wal.number);
        let (maps, number, stage, id, damage, is_durable) = match (found, wal) {
            (OpenedLog::Unsaved { maps, number, error, is_durable }, Some(wal)) => {
                let damage = error.filter(|error| error.kind() == ErrorKind::Damaged).map(Arc::new);
                (maps, number, Stage::Recovered(wal), Some(wal.id), damage, is_durable)
            }
            _ => (Vec::new(), known, Stage::Empty, None, None, true),
        };
        Self {
            folder,
            writer: Mutex::new(Writer::new(number, stage)),
            head: Mutex::new(Head { maps: maps.into(), answered: number, id, newest_section: 0, covered: 0 }),
            appended: Mutex::new(Appended::new(number)),
            synced: Condvar::new(),
            files: Mutex::default(),
            lengths: Lengths::new(options.first_section, if options.shares_log() { SHARED } else { OWN }),
            bell: Arc::default(),
            damage,
            is_found_unsynced: !is_durable,
            keeps_entries: AtomicBool::new(is_fed),
            commits_before: options.commits_before_log,
            is_given_up: AtomicBool::new(false),
            kept: Mutex::default(),
            unsynced: Arc::new(Unsynced::new(options.tends_log)),
            turns: None,
        }
    }

    /// The same of a log that several processes share.
    pub(in crate::engine::wal) fn with_turns(self, turns: Turns) -> Self {
        Self { turns: Some(turns), ..self }
    }

    /// Takes the write lock if it is free.
    pub(in crate::engine::wal) fn try_lock(&self) -> Option<MutexGuard<'_, Writer>> {
        self.writer.try_lock()
    }

    /// Whether redb could not take the rows that an opening found.
    pub(crate) fn waits_for_redb(&self) -> bool {
        matches!(self.writer.lock().stage, Stage::Recovered(_))
    }

    /// Whether its rows are those that an opening found, could move neither into redb nor onto the disk, and reads.
    #[cfg(any(test, feature = "replica"))]
    pub(crate) fn may_lose_found(&self) -> bool {
        let head = self.head.lock();
        self.is_found_unsynced && head.newest_section == 0 && !head.maps.is_empty()
    }

    /// Whether the row of a file that was opened anew is the one that this log left there. While the file was closed,
    /// another process may have moved the log into it, and written behind it.
    ///
    /// # Errors
    ///
    /// As reading the row.
    pub(super) fn is_that_of(&self, handle: &Handle) -> Result<bool> {
        let rows = ReadRows::new(handle.begin_read()?, Overlay::none());
        let wal = Wal::read(rows.get(Table::Meta, meta::WAL)?.as_deref())?;
        let writer = self.lock();
        Ok(match (&writer.stage, wal) {
            (Stage::Empty, Some(wal)) => !wal.in_use && wal.number <= writer.number,
            (Stage::Empty, None) => true,
            (_, Some(wal)) => wal.in_use && self.head.lock().id == Some(wal.id),
            (_, None) => false,
        })
    }

    /// Takes the write lock.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock()
    }

    /// The rows of now. The base is taken before the number (W9), and both while no map can go. A process that only
    /// reads waits up to the timeout for those that share a log.
    pub(crate) fn rows(&self, handle: &Handle, timeout: Duration) -> Result<ReadRows> {
        match &self.turns {
            Some(turns) => self.rows_of_all(turns, handle, timeout),
            None => self.rows_up_to(handle, |head| head.answered),
        }
    }

    /// The rows that a closure sees: those of entries that were only appended, too.
    pub(crate) fn rows_of_writer(&self, handle: &Handle, writer: &Writer) -> Result<ReadRows> {
        self.rows_up_to(handle, |_| writer.number)
    }

    /// The same, from the tables that the beginning of a turn has found: W14, nobody writes to them without ending the
    /// log that they lead into.
    pub(crate) fn rows_of_closure(&self, handle: &Handle, writer: &mut Writer) -> Result<ReadRows> {
        match (writer.base.take(), &writer.stage) {
            (Some(base), Stage::Open(open)) if base.wal.id == open.id => {
                let head = self.head.lock();
                let overlay = Overlay::new(head.id, head.maps.clone(), writer.number);
                drop(head);
                Ok(base.rows.over(behind(Some(base.wal), &overlay)?))
            }
            _ => self.rows_of_writer(handle, writer),
        }
    }

    pub(in crate::engine::wal) fn rows_up_to(
        &self,
        handle: &Handle,
        number: impl FnOnce(&Head) -> u64,
    ) -> Result<ReadRows> {
        self.rows_with_row(handle, number).map(|(rows, _)| rows)
    }

    /// The same, with the row of a log that several processes share, as the tables have it.
    pub(in crate::engine::wal) fn rows_with_row(
        &self,
        handle: &Handle,
        number: impl FnOnce(&Head) -> u64,
    ) -> Result<(ReadRows, Option<Wal>)> {
        let head = self.head.lock();
        let base = handle.begin_read()?;
        let overlay = Overlay::new(head.id, head.maps.clone(), number(&head));
        drop(head);
        let rows = ReadRows::new(base, overlay.clone());
        if overlay.maps().is_empty() && self.turns.is_none() {
            return Ok((rows, None));
        }
        // W9: the base may be newer than the number. Then it has all that the sections up to its own have.
        let wal = Wal::read(rows.stored(Table::Meta, meta::WAL)?.as_deref())?;
        // W20: another process has moved all of it into redb, and begun the next log.
        if overlay.maps().is_empty() || self.turns.is_some() && wal.is_some_and(|wal| overlay.is_of_another(wal.id)) {
            return Ok((rows.over(Overlay::none()), wal));
        }
        Ok((rows.over(behind(wal, &overlay)?), wal))
    }

    pub(in crate::engine::wal) fn bytes_in_memory(&self) -> usize {
        let maps = self.head.lock().maps.clone();
        maps.iter().map(|map| map.bytes()).sum()
    }

    /// Refuses writes over a damaged page: redb would end all use of the file, also reading.
    pub(super) fn refuse_over_damage(&self) -> Result<()> {
        self.damage.as_ref().map_or(Ok(()), |damage| {
            let message = format!("the log cannot be moved into the file; repair the store: {damage}");
            Err(Error::damaged(message).with_source(damage.clone()).with_hint(Hint::RepairStore))
        })
    }

    /// Redb has the sections up to this one, and everything up to the number.
    pub(in crate::engine::wal) fn covered(&self, section: u64, in_use: bool, number: u64) {
        let mut head = self.head.lock();
        head.maps = head.maps.iter().filter(|map| in_use && map.section > section).cloned().collect();
        if in_use {
            head.covered = head.covered.max(section);
        } else {
            (head.id, head.covered, head.newest_section) = (None, 0, 0);
        }
        drop(head);
        self.publish(number);
    }
}

/// The rows that a base does not have, by its row of the log.
///
/// # Errors
///
/// `Damaged` for a base that is of another log, or does not know of entries of this one.
pub(in crate::engine::wal) fn behind(wal: Option<Wal>, overlay: &Overlay) -> Result<Overlay> {
    match wal {
        Some(wal) if overlay.is_of_another(wal.id) => Err(not_of_this_file("open the store again")),
        _ if overlay.maps().is_empty() => Ok(Overlay::none()),
        Some(wal) if wal.in_use => Ok(overlay.behind(wal.section)),
        // It was emptied behind all of them.
        Some(wal) if overlay.number() <= wal.number => Ok(Overlay::none()),
        _ => Err(not_of_this_file("open the store again")),
    }
}
