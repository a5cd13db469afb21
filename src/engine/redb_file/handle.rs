//! An open redb file.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use redb::{Database, ReadOnlyDatabase, ReadTransaction, ReadableDatabase, TransactionError};

use super::guard::abandon;
use super::{End, Failure, FileId, ReadTables, RedbGuard, Transaction};
use crate::engine::session::process::Owned;
use crate::engine::session::writer_line::Waiting;
use crate::error::{Error, ErrorKind, Result};

/// An open redb file.
pub(crate) struct Handle {
    /// None once it was closed.
    database: Option<Access>,
    guard: RedbGuard,
    /// Which file it is; none where it is not written to.
    id: Option<FileId>,
    /// Whether all pages were verified when it was opened, and nobody has written to the file since.
    pages_verified: bool,
}

pub(super) enum Access {
    Write(Database),
    Read(ReadOnlyDatabase),
    /// Over a shadow: nothing reaches the file, so nothing may be written.
    Look(Database),
}

impl Handle {
    pub(super) fn new(database: Access) -> Self {
        Self { database: Some(database), guard: RedbGuard::fresh(), id: None, pages_verified: false }
    }

    /// The same, of a file that is written to.
    pub(crate) fn of(mut self, id: Option<FileId>) -> Self {
        self.id = id;
        self
    }

    /// The same, of a file whose pages were verified, and to which nobody can write meanwhile.
    pub(super) fn with_pages_verified(mut self, verified: bool) -> Self {
        self.pages_verified = verified;
        self
    }

    /// Whether the pages of the file are known to be sound, as nobody has written to it since they were verified.
    pub(crate) fn has_verified_pages(&self) -> bool {
        self.pages_verified
    }

    /// Which file it is.
    pub(crate) fn id(&self) -> Option<FileId> {
        self.id
    }

    /// The tables of the newest commit of any process.
    pub(crate) fn begin_read(&self) -> Result<ReadTables> {
        self.read_transaction().map(|transaction| ReadTables::new(transaction, self.guard()))
    }

    pub(super) fn read_transaction(&self) -> Result<Owned<ReadTransaction>> {
        let begun = self.guard.run(|| match &self.database {
            Some(Access::Write(database) | Access::Look(database)) => Ok(database.begin_read()?),
            Some(Access::Read(database)) => Ok(database.begin_read()?),
            None => Err(End::Closed.error().into()),
        });
        begun.map(|begun| Owned::new(begun, self.guard.process()))
    }

    /// A write transaction, unless this or another process has not finished its own.
    pub(crate) fn try_begin_write(&self) -> Result<Option<Transaction>> {
        let Some(Access::Write(database)) = &self.database else { return Err(for_reading_only()) };
        match self.guard().run(|| Ok(database.try_begin_write()))? {
            Ok(transaction) => Ok(Some(Transaction::new(transaction, self.guard()))),
            Err(TransactionError::WouldBlock) => Ok(None),
            Err(error) => Err(Failure::from(error).into_error()),
        }
    }

    /// A write transaction while the store is being opened; its writes stay in memory where the file is only looked at.
    /// `Locked` when `timeout` has passed. `saves` as [`Transaction::save_allocator_state`].
    pub(crate) fn begin_alone(&self, timeout: Duration, saves: bool) -> Result<Transaction> {
        let arrived = Instant::now();
        let Some(Access::Write(database) | Access::Look(database)) = &self.database else {
            return Err(for_reading_only());
        };
        loop {
            match self.guard().run(|| Ok(database.try_begin_write()))? {
                Ok(transaction) => {
                    let mut transaction = Transaction::new(transaction, self.guard());
                    if saves {
                        transaction.save_allocator_state();
                    }
                    return Ok(transaction);
                }
                Err(TransactionError::WouldBlock) if arrived.elapsed() < timeout => {
                    std::thread::sleep(Duration::from_millis(1))
                }
                Err(TransactionError::WouldBlock) => return Err(locked(timeout)),
                Err(error) => return Err(Failure::from(error).into_error()),
            }
        }
    }

    /// Refuses a handle with which nothing can be written.
    pub(crate) fn refuse_unless_writable(&self) -> Result<()> {
        if matches!(self.database, Some(Access::Write(_))) { Ok(()) } else { Err(for_reading_only()) }
    }

    /// A write transaction, once this and every other process has finished its own; `Locked` when `timeout` has passed
    /// since the caller arrived. Says once when it has to wait.
    pub(crate) fn begin_write(
        &self,
        arrived: Instant,
        timeout: Duration,
        mut waiting: Waiting<'_>,
        has_to_wait: &dyn Fn(),
    ) -> Result<Transaction> {
        let mut has_to_wait = Some(has_to_wait);
        loop {
            let is_late = arrived.elapsed() >= timeout;
            if (is_late || waiting.is_next())
                && let Some(transaction) = self.try_begin_write()?
            {
                return Ok(transaction);
            }
            if is_late {
                return Err(locked(timeout));
            }
            if let Some(tell) = has_to_wait.take() {
                tell();
            }
            waiting.a_moment();
        }
    }

    /// Whether reads use the content of the file, and not of memory over it.
    pub(crate) fn reads_the_file(&self) -> bool {
        matches!(self.database, Some(Access::Write(_) | Access::Read(_)))
    }

    /// Makes the file as small as its content; says whether anything changed.
    ///
    /// # Errors
    ///
    /// `Conflict` while a view of any process is alive, and for a file that was opened for reading only.
    pub(crate) fn compact(&mut self) -> Result<bool> {
        let guard = self.guard();
        let database = self.database_mut().ok_or_else(for_reading_only)?;
        guard.run(|| Ok(database.compact()?))
    }

    /// For work on the database as a whole, which nobody else may be using.
    pub(super) fn database_mut(&mut self) -> Option<&mut Database> {
        match &mut self.database {
            Some(Access::Write(database)) => Some(database),
            Some(Access::Read(_) | Access::Look(_)) | None => None,
        }
    }

    /// Closes the file and returns its error, if there is one.
    pub(crate) fn close(mut self) -> Result<()> {
        let database = self.database.take();
        let closed = self.guard.run(|| match database {
            Some(Access::Write(database)) => Ok(database.close()?),
            Some(Access::Read(database)) => Ok(database.close()?),
            Some(Access::Look(database)) => {
                abandon(database);
                Ok(())
            }
            None => Ok(()),
        });
        self.guard.set_end(End::Closed);
        closed
    }

    /// Gives the file up after a failure, so that it can be reopened.
    pub(crate) fn give_up(self) {
        self.guard.set_end(End::Reopened);
    }

    /// Whether a failure keeps this from being written to.
    pub(crate) fn is_spent(&self) -> bool {
        self.guard.is_spent()
    }

    /// Calls into redb go through this guard.
    pub(crate) fn guard(&self) -> RedbGuard {
        self.guard.clone()
    }
}

impl Drop for Handle {
    /// Neither a file in which damage was found nor a forked child's file is written to.
    fn drop(&mut self) {
        if self.guard.has_forked() {
            mem::forget(self.database.take());
            return;
        }
        let is_damaged = self.guard.end() == Some(End::Damage);
        match self.database.take() {
            Some(Access::Write(database)) if !is_damaged => {
                if catch_unwind(AssertUnwindSafe(|| drop(database))).is_err() {
                    tracing::error!("the pages of the file are damaged; repair the store");
                }
            }
            Some(Access::Write(database) | Access::Look(database)) => abandon(database),
            Some(Access::Read(_)) | None => {}
        }
        self.guard.set_end(End::Closed);
    }
}

fn for_reading_only() -> Error {
    Error::conflict("the store was opened for reading only")
}

/// The error for a caller whose time has passed while another process was writing.
pub(crate) fn locked(timeout: Duration) -> Error {
    let waited_ms = timeout.as_millis();
    let message = "another process has been writing to the store all the time, is stopped, or has left a child that keeps \
                   its lock; try again later";
    Error::new(ErrorKind::Locked, format!("{message}: waited_ms={waited_ms}"))
}
