//! Writing the rows of the log into redb: before work that goes past the log, and when the store is closed.
//!
//! Large work goes past the log: the section is ended, and one transaction of redb has the rows
//! of memory and those of the work.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::log::{Log, behind};
use crate::engine::feed::Told;
use crate::engine::feed::sending::outbox;
use crate::engine::format::schema::Table;
use crate::engine::meta;
use crate::engine::opening::context::Context;
use crate::engine::redb_file::{Handle, Transaction, locked};
use crate::engine::rows::WriteRows;
use crate::engine::session::writer_line::Streak;
use crate::engine::wal::disk::files::Files;
use crate::engine::wal::disk::leftovers::clear_or_say;
use crate::engine::wal::disk::writer::{Ended, OpenSection, Stage, Writer};
use crate::engine::wal::encoding::row::Wal;
use crate::engine::wal::overlay::maps::Overlay;
use crate::error::{ErrorKind, Result};

/// Between two tries to begin a transaction.
const A_MOMENT: Duration = Duration::from_millis(1);

impl Log {
    /// A transaction of redb that has the rows of memory, for work that goes past the log, and a caller who has waited
    /// since `arrived`.
    pub(crate) fn begin_past(
        &self,
        handle: &Handle,
        context: &Context,
        overlay: &Overlay,
        arrived: Instant,
    ) -> Result<Transaction> {
        let transaction = begin_write(handle, context, arrived)?;
        let mut rows = WriteRows::of(&transaction);
        let applied = apply(&mut rows, overlay, Some(&context.told)).and_then(|()| outbox::is_on(&rows));
        drop(rows);
        match applied {
            Ok(is_fed) => {
                if is_fed {
                    transaction.watch();
                }
                Ok(transaction)
            }
            Err(error) => {
                drop(transaction.abort());
                Err(error)
            }
        }
    }

    /// Commits such a transaction (W7). From here on the only answers are success and `Uncertain`.
    pub(crate) fn commit_past(&self, writer: &mut Writer, transaction: Transaction, context: &Context) -> Result<()> {
        // A shared log ends with each such commit, once what it has told is no more ahead of redb.
        let ended = self.refuse_failed().and_then(|()| match self.is_shared() {
            true => self.wait_for_seen(writer.number),
            false => self.end_section(writer),
        });
        if let Err(error) = ended {
            drop(transaction.abort());
            return Err(error);
        }
        let now = context.clock.now();
        // W7: the row of the log moves ahead in the transaction that has the rows of the
        // sections. W4: the number grows too.
        let wal = match &writer.stage {
            Stage::Open(open) if self.is_shared() => {
                let wal = Wal::in_use(open.id, open.section, writer.number, open.crc, now);
                Some(wal.emptied(writer.number + 1, now))
            }
            Stage::Empty | Stage::Open(_) => None,
            Stage::Recovered(wal) => Some(wal.emptied(writer.number + 1, now)),
            Stage::Ended(ended) => Some(Wal::in_use(ended.id, ended.section, writer.number + 1, ended.crc, now)),
        };
        let mut rows = WriteRows::of(&transaction);
        let raised = wal.map_or(Ok(()), |wal| wal.write(&mut rows));
        drop(rows);
        let number = wal.map_or(writer.number, |wal| wal.number);
        let is_fed = match raised.and_then(|()| outbox::keep_commit(&transaction, Some(number), &context.told)) {
            Ok(is_fed) => is_fed,
            Err(error) => {
                drop(transaction.abort());
                return Err(error);
            }
        };
        transaction.commit().map_err(|error| self.failed(error))?;
        self.keeps_entries.store(is_fed, Ordering::Relaxed);
        (writer.commits, writer.last_past) = (writer.commits.saturating_add(1), Some(Instant::now()));
        if let Some(wal) = wal {
            writer.number = wal.number;
            self.covered(wal.section, wal.in_use, wal.number);
            // Redb has everything: the rows that an opening could not move, or those of a shared log. So the files go.
            if !wal.in_use {
                // The next log has room for a commit that this one had none for.
                if let Stage::Open(open) = &writer.stage {
                    self.lengths.follow(open);
                }
                writer.stage = Stage::Empty;
                *self.files.lock() = Files::default();
                if !context.place.leads_elsewhere() {
                    drop(clear_or_say(&*self.folder, Some(wal.id)));
                }
            }
            // Redb has the rows of these sections, so that their files can go.
            self.bell.ring_full();
        }
        self.count_commit();
        self.tell(writer.end(), self.counted()).map_err(|error| self.failed(error))
    }

    /// Moves everything into redb, and leaves redb's file alone. After a failed sync the log stays, for the next
    /// opening.
    ///
    /// # Errors
    ///
    /// As redb has them: then the log stays as well.
    pub(crate) fn close(&self, handle: &Handle, context: &Context) -> Result<()> {
        if self.turns.is_some() {
            return self.close_shared(handle, context);
        }
        let mut writer = self.lock();
        // A page that would have to take the rows of the log is damaged: the log stays, for a repair.
        let stays = self.damage.is_some() && matches!(writer.stage, Stage::Recovered(_));
        match stays || self.has_failed() || context.only_looks {
            true => Ok(()),
            false => self.empty(&mut writer, handle, context, Instant::now()),
        }
    }

    /// Moves everything into redb, and says there that no log is in use. The numbers of the
    /// next log go on from here (W4).
    pub(in crate::engine::wal) fn empty(
        &self,
        writer: &mut Writer,
        handle: &Handle,
        context: &Context,
        arrived: Instant,
    ) -> Result<()> {
        let wal = match &writer.stage {
            Stage::Empty => return Ok(()),
            Stage::Recovered(wal) => *wal,
            Stage::Open(OpenSection { id, section, crc, .. }) | Stage::Ended(Ended { id, section, crc, .. }) => {
                Wal::in_use(*id, *section, writer.number, *crc, context.clock.now())
            }
        };
        if self.is_shared() {
            self.wait_for_seen(writer.number)?;
        }
        let overlay = self.rows_of_writer(handle, writer)?.overlay().clone();
        let transaction = self.begin_past(handle, context, &overlay, arrived)?;
        let emptied = wal.emptied(writer.number, context.clock.now());
        emptied.write(&mut WriteRows::of(&transaction))?;
        transaction.commit().map_err(|error| self.failed(error))?;
        (writer.stage, writer.commits) = (Stage::Empty, 0);
        self.covered(u64::MAX, false, emptied.number);
        *self.files.lock() = Files::default();
        // The file has everything, whatever its name is; the names beside the path may be those of another.
        if context.place.is_in_place() {
            drop(clear_or_say(&*self.folder, Some(emptied.id)));
        }
        self.tell(writer.end(), self.counted()).map_err(|error| self.failed(error))
    }
}

/// A write transaction of redb, once another thread of this process has ended its own. Where one process has the store
/// for itself, nobody else can have one, so there is no limit to the wait; otherwise a caller who arrived then waits up
/// to the lock timeout.
pub(in crate::engine::wal) fn begin_write(handle: &Handle, context: &Context, arrived: Instant) -> Result<Transaction> {
    loop {
        // W14: who has the turn goes before those who wait for it.
        if context.shared {
            match context.try_begin_write(handle)? {
                Some(transaction) => return Ok(transaction),
                // A copy or a check has redb's lock without the turn.
                None if arrived.elapsed() >= context.lock_timeout => return Err(locked(context.lock_timeout)),
                None => std::thread::sleep(A_MOMENT),
            }
            continue;
        }
        match context.begin_write(handle, Instant::now(), Streak::default(), &|| ()) {
            Err(error) if error.kind() == ErrorKind::Locked => std::thread::sleep(A_MOMENT),
            begun => return begun,
        }
    }
}

/// Writes the rows that a transaction of redb does not have yet, in the order of their keys, and keeps their entries
/// for a replica that does not have them.
pub(in crate::engine::wal) fn apply(rows: &mut WriteRows<'_>, overlay: &Overlay, told: Option<&Told>) -> Result<()> {
    let wal = Wal::read(rows.get(Table::Meta, meta::WAL)?.as_deref())?;
    let overlay = behind(wal, overlay)?;
    for table in Table::ALL {
        let newest = overlay.all(table);
        let mut changes = newest.iter().filter_map(|(key, newest)| newest.change(table, key));
        changes.try_for_each(|row| rows.put_change(&row))?;
    }
    if overlay.is_empty() { Ok(()) } else { outbox::keep_entries(rows, &overlay, told) }
}
