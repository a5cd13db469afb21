//! The open log of a store that one process has for itself: its stages, and which way a write goes.
//!
//! The log is lazy. The first commits go straight into redb; the third begins the log, so that a process which begins its
//! session, writes once and ends needs none. Large work goes past the log: the
//! section is ended, and one transaction of redb has the rows of memory and those of the work. So does every commit while
//! there is no room for a section.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use super::appended::Appended;
use super::files::{Files, Lengths};
use super::folder::LogFolder;
use super::id::LogId;
use super::leftovers::{clear, clear_or_say};
use super::maps::{Overlay, SectionMap};
use super::row::{Wal, not_of_this_file, raise_format};
use super::{bell::Bell, entry, section};
use crate::engine::commit::Size;
use crate::engine::commit::locks::{Condvar, Mutex, MutexGuard};
use crate::engine::format::schema::Table;
use crate::engine::meta;
use crate::engine::opening::context::Context;
use crate::engine::opening::options::Options;
use crate::engine::redb_file::{Handle, StorageBackend, Transaction};
use crate::engine::rows::{ReadRows, WriteRows};
use crate::engine::session::writer_line::Streak;
use crate::error::{Error, ErrorKind, Result};

/// Rows of entries take about so much memory at most; then a writer moves them into redb by itself.
pub(super) const MOST_IN_MEMORY: usize = 16 << 20;
/// A section that was filled in less time is followed by one of twice its length.
const SOON: Duration = Duration::from_secs(1);
/// A closure that finds no section keeps so many bytes of rows in memory at most.
const UNLOGGED: usize = 128 << 10;
/// A section that cannot be made is tried again after a second, then after twice as long, and so on.
const LONGEST_WITHOUT: Duration = Duration::from_secs(64);
/// Between two tries to begin a transaction.
const A_MOMENT: Duration = Duration::from_millis(1);
/// At least so much of a section is free when a closure begins: one part of this many. A longer entry may find no room.
const ROOM: u64 = 8;

/// The log of an open store.
#[derive(Debug)]
pub(crate) struct Log {
    pub(super) folder: Box<dyn LogFolder>,
    /// The write lock: held from before a closure runs until its entry is appended, never for a sync.
    writer: Mutex<Writer>,
    /// Held for moments only.
    pub(super) head: Mutex<Head>,
    /// Held for moments only.
    pub(super) appended: Mutex<Appended>,
    pub(super) synced: Condvar,
    pub(super) files: Mutex<Files>,
    pub(super) lengths: Lengths,
    pub(crate) bell: Arc<Bell>,
    /// The damage in redb's pages that keeps the rows which an opening found in memory.
    damage: Option<Arc<Error>>,
    /// So many commits are made without a log.
    commits_before: u32,
    /// The file of redb may be only half on the disk, so that it must not be opened again by itself.
    pub(super) is_given_up: AtomicBool,
}

/// The rows that redb does not have, oldest section first, and up to which number readers may see them.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) maps: Arc<[Arc<SectionMap>]>,
    pub(super) answered: u64,
    /// The log that is in use, and the newest section of it that has begun.
    pub(super) id: Option<LogId>,
    pub(super) newest_section: u64,
    /// Redb has the sections up to this one.
    pub(super) covered: u64,
}

/// The end of the log.
#[derive(Debug)]
pub(crate) struct Writer {
    /// The newest number.
    pub(super) number: u64,
    pub(super) stage: Stage,
    /// How many commits went past the log.
    commits: u32,
    /// No section could be made; until then nobody tries again.
    without_room_until: Option<Instant>,
    /// So long it was waited for.
    waited_for_room: Duration,
}

#[derive(Debug)]
pub(super) enum Stage {
    /// Redb has everything.
    Empty,
    /// An opening found rows that redb could not take.
    Recovered(Wal),
    Open(OpenSection),
    /// A section has ended, and none begun.
    Ended(Ended),
}

/// The section that is appended to.
#[derive(Debug)]
pub(super) struct OpenSection {
    pub(super) id: LogId,
    pub(super) section: u64,
    pub(super) file: Arc<dyn StorageBackend>,
    pub(super) length: u64,
    pub(super) place: u64,
    /// The CRC of the entry before.
    pub(super) crc: u32,
    pub(super) map: Arc<SectionMap>,
    begun: Instant,
}

/// The end of a section behind which none has begun.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ended {
    pub(super) id: LogId,
    pub(super) section: u64,
    pub(super) number: u64,
    pub(super) crc: u32,
}

/// Which way a write goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Road {
    /// Into an entry, unless it becomes larger than this many bytes of memory.
    Entry(usize),
    /// Into redb.
    Redb,
}

impl OpenSection {
    /// The bytes that an entry may have, if the section is still to be ended.
    pub(super) fn room(&self) -> u64 {
        self.length.saturating_sub(self.place).saturating_sub(entry::len_with(0))
    }
}

/// The state in which an opening leaves the log.
#[derive(Debug)]
pub(super) enum Found {
    /// Redb has everything.
    Empty,
    /// Rows that redb could not take, and why, or was not to take.
    Unsaved { maps: Vec<Arc<SectionMap>>, number: u64, error: Option<Error> },
}

impl Log {
    /// The log of a store that was just opened, and whose row is this.
    pub(super) fn new(folder: Box<dyn LogFolder>, wal: Option<Wal>, found: Found, options: &Options) -> Self {
        let known = wal.map_or(0, |wal| wal.number);
        let (maps, number, stage, id, damage) = match (found, wal) {
            (Found::Unsaved { maps, number, error }, Some(wal)) => {
                let damage = error.filter(|error| error.kind() == ErrorKind::Damaged).map(Arc::new);
                (maps, number, Stage::Recovered(wal), Some(wal.id), damage)
            }
            _ => (Vec::new(), known, Stage::Empty, None, None),
        };
        Self {
            folder,
            writer: Mutex::new(Writer {
                number,
                stage,
                commits: 0,
                without_room_until: None,
                waited_for_room: Duration::ZERO,
            }),
            head: Mutex::new(Head { maps: maps.into(), answered: number, id, newest_section: 0, covered: 0 }),
            appended: Mutex::new(Appended::new(number)),
            synced: Condvar::new(),
            files: Mutex::default(),
            lengths: Lengths::new(options.first_section),
            bell: Arc::default(),
            damage,
            commits_before: options.commits_before_log,
            is_given_up: AtomicBool::new(false),
        }
    }

    /// Whether redb could not take what an opening found.
    pub(crate) fn waits_for_redb(&self) -> bool {
        matches!(self.writer.lock().stage, Stage::Recovered(_))
    }

    /// Takes the write lock.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock()
    }

    /// The rows of now. The base is taken before the number (W9), and both while no map can go.
    pub(crate) fn rows(&self, handle: &Handle) -> Result<ReadRows> {
        self.rows_up_to(handle, |head| head.answered)
    }

    /// The rows that a closure sees: those of entries that were only appended, too.
    pub(crate) fn rows_of_writer(&self, handle: &Handle, writer: &Writer) -> Result<ReadRows> {
        self.rows_up_to(handle, |_| writer.number)
    }

    fn rows_up_to(&self, handle: &Handle, number: impl FnOnce(&Head) -> u64) -> Result<ReadRows> {
        let head = self.head.lock();
        let base = handle.begin_read()?;
        let overlay = Overlay::new(head.id, head.maps.clone(), number(&head));
        drop(head);
        let rows = ReadRows::new(base, overlay.clone());
        if overlay.maps().is_empty() {
            return Ok(rows);
        }
        // W9: the base may be newer than the number. Then it has all that the sections up to its own have.
        let wal = Wal::read(rows.stored(Table::Meta, meta::WAL)?.as_deref())?;
        Ok(rows.over(behind(wal, &overlay)?))
    }

    /// Finds the way of the next write, and prepares it. `writer` is free meanwhile while a sync is waited for.
    ///
    /// # Errors
    ///
    /// `Reopen` after a failed sync, and every error of beginning a log.
    pub(crate) fn way(
        &self,
        writer: &mut MutexGuard<'_, Writer>,
        handle: &Handle,
        context: &Context,
        size: Size,
    ) -> Result<Road> {
        context.place.refuse_moved()?;
        self.refuse_over_damage()?;
        let mut has_tried = false;
        loop {
            self.refuse_failed()?;
            if size == Size::Large {
                return Ok(Road::Redb);
            }
            // With another root, a section would be made where no opening looks for it.
            let makes_none = writer.has_no_room() || context.place.leads_elsewhere();
            match &writer.stage {
                // A closure that changes nothing must not apply what is in memory.
                Stage::Recovered(_) => return Ok(Road::Entry(UNLOGGED)),
                Stage::Empty if makes_none || size == Size::Last || writer.commits < self.commits_before => {
                    return Ok(Road::Redb);
                }
                Stage::Empty => self.begin(writer, handle, context)?,
                Stage::Ended(_) if makes_none => return Ok(Road::Entry(UNLOGGED)),
                Stage::Open(open) if open.room() >= open.length / ROOM => {
                    return Ok(Road::Entry(usize::try_from(open.length / 2).unwrap_or(usize::MAX)));
                }
                Stage::Open(open) => {
                    let (id, next) = (open.id, open.section + 1);
                    let is_ahead = self.files.try_lock().is_some_and(|files| files.is_ahead(id, next));
                    // The end says whether the next section is named.
                    if !is_ahead && !makes_none && !has_tried {
                        has_tried = true;
                        if let Err(error) = MutexGuard::unlocked(writer, || self.make_next(id)) {
                            tracing::debug!(%error, "no section could be made ahead");
                        }
                        continue;
                    }
                    // Nothing of the caller's was written.
                    self.end_section(writer).or_else(|error| self.refuse_failed().and(Err(error)))?;
                }
                Stage::Ended(ended) => {
                    let ended = *ended;
                    // W8: a section begins only after the one before is synced to its end.
                    if !self.is_durable(ended.number) {
                        MutexGuard::unlocked(writer, || self.wait_for_seen(ended.number))?;
                        continue;
                    }
                    // Only now can it be moved.
                    self.bell.ring_full();
                    if self.bytes_in_memory() > MOST_IN_MEMORY {
                        return Ok(Road::Entry(UNLOGGED));
                    }
                    // No file is made under the write lock.
                    let next = ended.section + 1;
                    if !self.files.try_lock().is_some_and(|files| files.is_ahead(ended.id, next)) {
                        if let Err(error) = MutexGuard::unlocked(writer, || self.make_next(ended.id)) {
                            writer.note_no_room(&error);
                            continue;
                        }
                        // Another writer may have come first.
                        if !matches!(&writer.stage, Stage::Ended(now) if now.section == ended.section) {
                            continue;
                        }
                    }
                    self.begin_section(writer, ended);
                }
            }
        }
    }

    /// Refuses to write what leads to a damaged page: redb would end all use of the file, also reading.
    fn refuse_over_damage(&self) -> Result<()> {
        self.damage.as_ref().map_or(Ok(()), |damage| {
            let message = format!("the log cannot be moved into the file; run hivekeep repair: {damage}");
            Err(Error::damaged(message).with_source(damage.clone()))
        })
    }

    pub(super) fn bytes_in_memory(&self) -> usize {
        let maps = self.head.lock().maps.clone();
        maps.iter().map(|map| map.bytes()).sum()
    }

    /// Begins a log: the first section is made and named; then redb says that the log is in use; then come the entries.
    fn begin(&self, writer: &mut Writer, handle: &Handle, context: &Context) -> Result<()> {
        // Before any name changes: a commit that failed before may have made the row say that a log is in use.
        let transaction = begin_write(handle, context)?;
        let mut rows = WriteRows::of(&transaction);
        let made = self.make_first(writer, &mut rows, context);
        drop(rows);
        match made {
            Ok(Some(ended)) => {
                // W10: until the store is opened again it is unknown which log is in use.
                transaction.commit().map_err(|error| {
                    let message = format!("nothing was committed, and the store must be opened again: {error}");
                    drop(self.failed(error));
                    Error::new(ErrorKind::NotCommitted, message)
                })?;
                writer.stage = Stage::Ended(ended);
                self.begin_section(writer, ended);
                Ok(())
            }
            other => {
                transaction.abort()?;
                other.map(drop)
            }
        }
    }

    /// Makes the first section of a log, and writes the row that says it is in use; none when there is no room.
    fn make_first(&self, writer: &mut Writer, rows: &mut WriteRows<'_>, context: &Context) -> Result<Option<Ended>> {
        let before = Wal::read(rows.get(Table::Meta, meta::WAL)?.as_deref())?;
        if before.is_some_and(|before| before.in_use) {
            return Err(not_of_this_file("another log is in use; open the store again"));
        }
        // Before any name changes: what is at the path may be another's.
        context.place.refuse_moved()?;
        let id = LogId::fresh();
        *self.files.lock() = Files::default();
        self.lengths.begin();
        let made = clear(&*self.folder, before.map(|wal| wal.id))
            .and_then(|()| self.files.lock().make(&*self.folder, id, 1, self.lengths.next()));
        if let Err(error) = made {
            writer.note_no_room(&error);
            return Ok(None);
        }
        let chain = id.first_chain();
        Wal::in_use(id, 0, writer.number, chain, context.clock.now()).write(rows)?;
        raise_format(rows)?;
        Ok(Some(Ended { id, section: 0, number: writer.number, crc: chain }))
    }

    /// Makes the section behind the newest, unless it is there.
    ///
    /// # Errors
    ///
    /// `Full` and `Io`: there is no room for it.
    pub(super) fn make_next(&self, id: LogId) -> Result<()> {
        let mut files = self.files.lock();
        let head = self.head.lock();
        let next = (head.id == Some(id)).then_some(head.newest_section + 1);
        drop(head);
        next.map_or(Ok(()), |next| files.make(&*self.folder, id, next, self.lengths.next()))
    }

    /// Begins the section behind one that has ended, if there is room for it.
    fn begin_section(&self, writer: &mut Writer, ended: Ended) {
        let section = ended.section + 1;
        let mut files = self.files.lock();
        let (file, length) = match files.take(&*self.folder, ended.id, section, self.lengths.next()) {
            Ok(made) => made,
            Err(error) => return writer.note_no_room(&error),
        };
        writer.waited_for_room = Duration::ZERO;
        let map = Arc::new(SectionMap::new(section));
        // Under the lock of the files, or the next one would be made ahead twice.
        let mut head = self.head.lock();
        head.maps = head.maps.iter().cloned().chain([map.clone()]).collect();
        (head.id, head.newest_section) = (Some(ended.id), section);
        drop((head, files));
        let place = section::HEAD;
        let (id, crc) = (ended.id, ended.crc);
        writer.stage = Stage::Open(OpenSection { id, section, file, length, place, crc, map, begun: Instant::now() });
    }

    /// A transaction of redb that has the rows of memory, for work that goes past the log.
    pub(crate) fn begin_past(&self, handle: &Handle, context: &Context, overlay: &Overlay) -> Result<Transaction> {
        let transaction = begin_write(handle, context)?;
        let mut rows = WriteRows::of(&transaction);
        let applied = apply(&mut rows, overlay);
        drop(rows);
        match applied {
            Ok(()) => Ok(transaction),
            Err(error) => {
                drop(transaction.abort());
                Err(error)
            }
        }
    }

    /// Commits such a transaction (W7). From here on the only answers are success and `Uncertain`.
    pub(crate) fn commit_past(&self, writer: &mut Writer, transaction: Transaction, context: &Context) -> Result<()> {
        if let Err(error) = self.refuse_failed().and_then(|()| self.end_section(writer)) {
            drop(transaction.abort());
            return Err(error);
        }
        let now = context.clock.now();
        let wal = match &writer.stage {
            Stage::Empty | Stage::Open(_) => None,
            Stage::Recovered(wal) => Some(wal.emptied(writer.number + 1, now)),
            Stage::Ended(ended) => Some(Wal::in_use(ended.id, ended.section, writer.number + 1, ended.crc, now)),
        };
        let mut rows = WriteRows::of(&transaction);
        let raised = wal.map_or(Ok(()), |wal| wal.write(&mut rows));
        drop(rows);
        if let Err(error) = raised {
            drop(transaction.abort());
            return Err(error);
        }
        transaction.commit().map_err(|error| self.failed(error))?;
        writer.commits = writer.commits.saturating_add(1);
        if let Some(wal) = wal {
            writer.number = wal.number;
            self.covered(wal.section, wal.in_use, wal.number);
            if let Stage::Recovered(before) = writer.stage {
                writer.stage = Stage::Empty;
                if !context.place.leads_elsewhere() {
                    clear_or_say(&*self.folder, Some(before.id));
                }
            }
            // Redb has the rows of these sections, so that their files can go.
            self.bell.ring_full();
        }
        Ok(())
    }

    /// Moves everything into redb, and leaves redb's file alone. After a failed sync the log stays, for the next opening.
    ///
    /// # Errors
    ///
    /// As redb has them: then the log stays as well.
    pub(crate) fn close(&self, handle: &Handle, context: &Context) -> Result<()> {
        let mut writer = self.lock();
        let wal = match &writer.stage {
            _ if self.has_failed() || context.only_looks => return Ok(()),
            Stage::Empty => return Ok(()),
            // A page under it is damaged: it stays, for a repair.
            Stage::Recovered(_) if self.damage.is_some() => return Ok(()),
            Stage::Recovered(wal) => *wal,
            Stage::Open(OpenSection { id, section, crc, .. }) | Stage::Ended(Ended { id, section, crc, .. }) => {
                Wal::in_use(*id, *section, writer.number, *crc, context.clock.now())
            }
        };
        let overlay = self.rows_of_writer(handle, &writer)?.overlay().clone();
        let transaction = self.begin_past(handle, context, &overlay)?;
        let emptied = wal.emptied(writer.number, context.clock.now());
        emptied.write(&mut WriteRows::of(&transaction))?;
        transaction.commit().map_err(|error| self.failed(error))?;
        writer.stage = Stage::Empty;
        self.covered(u64::MAX, false, emptied.number);
        *self.files.lock() = Files::default();
        // The file has everything, whatever its name is; the names beside the path may be those of another.
        if !context.place.leads_elsewhere() && context.place.refuse_moved().is_ok() {
            clear_or_say(&*self.folder, Some(emptied.id));
        }
        Ok(())
    }

    /// Redb has the sections up to this one, and everything up to the number.
    pub(super) fn covered(&self, section: u64, in_use: bool, number: u64) {
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

impl Writer {
    /// The newest number.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    fn has_no_room(&self) -> bool {
        self.without_room_until.is_some_and(|until| Instant::now() < until)
    }

    /// For a while commits go straight into redb.
    fn note_no_room(&mut self, error: &Error) {
        if error.kind() != ErrorKind::Full {
            tracing::warn!(%error, "no section of the log can be made; commits go into the file of the store meanwhile");
        }
        self.waited_for_room = self.waited_for_room.saturating_mul(2).clamp(SOON, LONGEST_WITHOUT);
        self.without_room_until = Some(Instant::now() + self.waited_for_room);
    }
}

impl OpenSection {
    /// Whether the next section is to be longer.
    pub(super) fn was_filled_soon(&self) -> bool {
        self.begun.elapsed() < SOON
    }
}

/// A write transaction of redb, once another thread of this process has ended its own. Nobody else can have one, so there is
/// no limit to the wait.
pub(super) fn begin_write(handle: &Handle, context: &Context) -> Result<Transaction> {
    loop {
        match context.begin_write(handle, Instant::now(), Streak::default(), &|| ()) {
            Err(error) if error.kind() == ErrorKind::Locked => std::thread::sleep(A_MOMENT),
            begun => return begun,
        }
    }
}

/// The rows that a base does not have, by its row of the log.
///
/// # Errors
///
/// `Damaged` for a base that is of another log, or does not know of entries of this one.
fn behind(wal: Option<Wal>, overlay: &Overlay) -> Result<Overlay> {
    match wal {
        Some(wal) if overlay.is_of_another(wal.id) => Err(not_of_this_file("open the store again")),
        _ if overlay.maps().is_empty() => Ok(Overlay::none()),
        Some(wal) if wal.in_use => Ok(overlay.behind(wal.section)),
        // It was emptied behind all of them.
        Some(wal) if overlay.number() <= wal.number => Ok(Overlay::none()),
        _ => Err(not_of_this_file("open the store again")),
    }
}

/// Writes the rows that a transaction of redb does not have yet, in the order of their keys.
pub(super) fn apply(rows: &mut WriteRows<'_>, overlay: &Overlay) -> Result<()> {
    let wal = Wal::read(rows.get(Table::Meta, meta::WAL)?.as_deref())?;
    let overlay = behind(wal, overlay)?;
    let mut old = Vec::new();
    for table in Table::ALL {
        for (key, value) in overlay.all(table) {
            rows.replace(table, &key, value.as_deref(), &mut old)?;
        }
    }
    Ok(())
}
