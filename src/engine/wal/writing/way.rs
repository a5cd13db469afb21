//! Which way a write goes, and the sections that begin on that way.
//!
//! The log is lazy. The first two commits go straight into redb; a third one soon after them begins the log. So a
//! process that begins its session, writes once and ends needs none. After half a minute without a commit, the log
//! is moved into redb and its files are removed. Large work goes past the log, and so does every commit while
//! there is no room for a section.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::log::Log;
use super::past::begin_write;
use crate::engine::commit::Size;
use crate::engine::commit::locks::MutexGuard;
use crate::engine::feed::sending::outbox;
use crate::engine::format::schema::Table;
use crate::engine::meta;
use crate::engine::opening::context::Context;
use crate::engine::redb_file::Handle;
use crate::engine::rows::WriteRows;
use crate::engine::wal::disk::files::Files;
use crate::engine::wal::disk::leftovers::clear;
use crate::engine::wal::disk::writer::{Ended, OpenSection, Stage, Writer};
use crate::engine::wal::encoding::id::LogId;
use crate::engine::wal::encoding::row::{Wal, not_of_this_file, raise_format};
use crate::engine::wal::encoding::section;
use crate::engine::wal::overlay::maps::SectionMap;
use crate::error::{Error, ErrorKind, Result};

/// The most memory that rows of entries take, about. Beyond it a writer moves them into redb by itself.
pub(super) const MOST_IN_MEMORY: usize = 16 << 20;
/// The most memory for the rows of a closure that finds no section.
const UNLOGGED: usize = 128 << 10;

/// Which way a write goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Road {
    /// Into an entry, unless it becomes larger than this many bytes of memory.
    Entry(usize),
    /// Into redb.
    Redb,
}

impl Log {
    /// Finds the way of the next write, of a caller who has waited since `arrived`, and prepares it. `writer` is free
    /// meanwhile while a sync is waited for.
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
        arrived: Instant,
    ) -> Result<Road> {
        // Behind the beginning of a turn somebody has just looked. Each commit looks again.
        if writer.turn.is_none_or(|begun| begun < arrived) {
            context.place.refuse_moved()?;
        }
        self.refuse_over_damage()?;
        let mut has_tried = false;
        loop {
            // W10: after a failed sync nothing is written.
            self.refuse_failed()?;
            // Large work would fill section after section, and redb would get its rows anyway.
            if size == Size::Large {
                return Ok(Road::Redb);
            }
            // With another root, a section would be made where no opening looks for it.
            let makes_none = |writer: &Writer| writer.has_no_room() || context.place.leads_elsewhere();
            match &writer.stage {
                // A closure that changes nothing must not apply what is in memory.
                Stage::Recovered(_) => return Ok(Road::Entry(UNLOGGED)),
                // One commit after a long rest costs less than beginning a log and moving it into redb.
                Stage::Empty if writer.is_sparse() => {
                    writer.commits = 0;
                    return Ok(Road::Redb);
                }
                Stage::Empty if size == Size::Last || writer.commits < self.commits_before || makes_none(writer) => {
                    return Ok(Road::Redb);
                }
                Stage::Empty => self.begin(writer, handle, context, arrived)?,
                // The rows are gathered in memory first: a closure that changes nothing needs no transaction of redb.
                Stage::Ended(_) if makes_none(writer) => return Ok(Road::Entry(UNLOGGED)),
                Stage::Open(open) if open.has_room(self.lengths.bounds) => {
                    return Ok(Road::Entry(open.most_rows(self.lengths.bounds)));
                }
                Stage::Open(_) if self.is_shared() => self.rotate(writer, handle, context, arrived)?,
                Stage::Open(open) => {
                    let (id, next) = (open.id, open.section + 1);
                    let is_ahead = self.files.try_lock().is_some_and(|files| files.is_ahead(id, next));
                    // The end says whether the next section is named.
                    if !is_ahead && !has_tried && !makes_none(writer) {
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
                    if let Some(road) = self.begin_behind(writer, ended)? {
                        return Ok(road);
                    }
                }
            }
        }
    }

    /// Begins the section behind one that has ended. Gives the way of a write for which there can be none
    /// now; otherwise it looks again.
    fn begin_behind(&self, writer: &mut MutexGuard<'_, Writer>, ended: Ended) -> Result<Option<Road>> {
        // W8: a section begins only after the one before is synced to its end.
        if !self.is_durable(ended.number) {
            MutexGuard::unlocked(writer, || self.wait_for_seen(ended.number))?;
            return Ok(None);
        }
        // Only now can it be moved.
        self.bell.ring_full();
        if self.bytes_in_memory() > MOST_IN_MEMORY {
            return Ok(Some(Road::Entry(UNLOGGED)));
        }
        // No file is made under the write lock.
        let next = ended.section + 1;
        if !self.files.try_lock().is_some_and(|files| files.is_ahead(ended.id, next)) {
            if let Err(error) = MutexGuard::unlocked(writer, || self.make_next(ended.id)) {
                writer.note_no_room(&error);
                return Ok(None);
            }
            // Another writer may have come first.
            if !matches!(&writer.stage, Stage::Ended(now) if now.section == ended.section) {
                return Ok(None);
            }
        }
        self.begin_section(writer, ended);
        Ok(None)
    }

    /// Begins a log: the first section is made and named; then redb says that the log is in use; then come the entries.
    fn begin(&self, writer: &mut Writer, handle: &Handle, context: &Context, arrived: Instant) -> Result<()> {
        // Before any name changes: a commit that failed before may have made the row say that a log is in use.
        let transaction = begin_write(handle, context, arrived)?;
        let mut rows = WriteRows::of(&transaction);
        let made = self.make_first(writer, &mut rows, context);
        drop(rows);
        match made {
            Ok(Some(ended)) => {
                // W10: until the store is opened again it is unknown which log is in use.
                let not_committed = |error: Error| {
                    let message = format!("nothing was committed, and the store must be opened again: {error}");
                    drop(self.failed(error));
                    Error::new(ErrorKind::NotCommitted, message)
                };
                transaction.commit().map_err(not_committed)?;
                writer.stage = Stage::Ended(ended);
                self.begin_section(writer, ended);
                self.keep_open(writer);
                // W20: a reader whose base leads into the log waits until it is told of it.
                self.tell(writer.end(), self.counted()).map_err(not_committed)
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
        // Before any name changes: another store may have the path.
        context.place.refuse_moved()?;
        let id = LogId::fresh();
        *self.files.lock() = Files::default();
        if self.is_shared() {
            self.keeps_entries.store(outbox::is_on(rows)?, Ordering::Relaxed);
        } else {
            self.lengths.begin();
        }
        let made = clear(&*self.folder, before.map(|wal| wal.id))
            .and_then(|_| self.files.lock().make(&*self.folder, id, 1, self.lengths.next()));
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
    pub(in crate::engine::wal) fn make_next(&self, id: LogId) -> Result<()> {
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
        let map = Arc::new(SectionMap::new(section, self.keeps_entries.load(Ordering::Relaxed)));
        // Under the lock of the files, or the next one would be made ahead twice.
        let mut head = self.head.lock();
        head.maps = head.maps.iter().cloned().chain([map.clone()]).collect();
        (head.id, head.newest_section) = (Some(ended.id), section);
        drop((head, files));
        let place = section::HEAD;
        let (id, crc) = (ended.id, ended.crc);
        let (longest, begun) = (0, Instant::now());
        writer.stage = Stage::Open(OpenSection { id, section, file, length, place, crc, map, longest, begun });
    }
}
