//! Opening a store whose log several processes share, and closing it. Both happen in a turn, so that two processes
//! never do it at once.

use std::time::{Duration, Instant};

use crate::engine::commit::locks::Mutex;
use crate::engine::opening::context::Context;
use crate::engine::redb_file::{FileId, Handle};
use crate::engine::rows::WriteRows;
use crate::engine::session::writer_line::WriterLine;
use crate::engine::wal::disk::bytes::{TurnBytes, turn_is_kept};
use crate::engine::wal::disk::folder::{FindSharedPage, LogFolder};
use crate::engine::wal::disk::leftovers;
use crate::engine::wal::disk::shared::{ONLY, OwnTurns, Turns};
use crate::engine::wal::disk::shared_page::{End, SharedPage, State, store_of, unreadable};
use crate::engine::wal::disk::writer::{Stage, Writer};
use crate::engine::wal::encoding::row::raise_shared_format;
use crate::engine::wal::writing::log::Log;
use crate::error::{Error, ErrorKind, Hint, Result};

/// A process that opens the store, in its turn.
#[derive(Debug)]
pub(crate) struct Joining {
    /// None once it has joined.
    bytes: Option<TurnBytes>,
    /// The file whose bytes are locked.
    id: Option<FileId>,
    is_first: bool,
}

impl Joining {
    /// Takes the turn, and becomes one of the processes that write to the log. `is_otherwise_used` says whether
    /// another process has the store open without it; one that is just closing the store has.
    ///
    /// # Errors
    ///
    /// `Locked` while another process has the turn, or uses the store otherwise.
    pub(crate) fn begin(
        folder: &dyn LogFolder,
        line: &WriterLine,
        timeout: Duration,
        is_otherwise_used: impl Fn() -> Result<bool>,
    ) -> Result<Self> {
        let (file, id) = folder.locks()?;
        let (bytes, begun) = (TurnBytes::over(file), Instant::now());
        // In line: processes that write back to back leave the turn to nobody else.
        let mut waiting = line.wait();
        loop {
            if bytes.try_take()? {
                let joining = Self::in_turn(&bytes, id, folder, line, &is_otherwise_used);
                match joining {
                    Ok(Some(is_first)) => return Ok(Self { bytes: Some(bytes), id, is_first }),
                    done => {
                        bytes.give_up();
                        done?;
                    }
                }
                // One that closes the store has its file open for a while after it has left the log.
                if begun.elapsed() >= timeout {
                    let message = "which has it open without a shared log; close it there, or open it in the same way";
                    return Err(locked_by(line, message));
                }
            } else if begun.elapsed() >= timeout {
                return Err(turn_is_kept(line, timeout));
            }
            waiting.a_moment();
        }
    }

    /// Comes to the log, and says whether this process is the first; none while another one uses the store otherwise.
    fn in_turn(
        bytes: &TurnBytes,
        id: Option<FileId>,
        folder: &dyn LogFolder,
        line: &WriterLine,
        is_otherwise_used: &impl Fn() -> Result<bool>,
    ) -> Result<Option<bool>> {
        let is_first = !bytes.has_others()?;
        // W20: a reader believes a shared page while anybody has the byte, so one that a power cut, a killed group or
        // another store has left goes before. Nobody else comes meanwhile: that needs the turn.
        if is_first {
            // While this process waited, the path may have come to lead to another store, whose page this is then.
            if folder.locks()?.1 != id {
                let message = "the path of the store has come to lead to another file meanwhile; open it again";
                return Err(Error::new(ErrorKind::Locked, message));
            }
            folder.remove_shared_page()?;
        }
        // Before the look: a process that opens the store otherwise looks for this byte behind its own lock, so of two
        // that come at once at least one sees the other.
        if !bytes.come()? {
            return Err(locked_by(line, "which has it for itself; close it there, or open both with a shared log"));
        }
        let is_otherwise_used = if is_first { is_otherwise_used() } else { Ok(false) };
        if !matches!(is_otherwise_used, Ok(false)) {
            bytes.leave();
        }
        Ok((!is_otherwise_used?).then_some(is_first))
    }

    /// Whether the path has come to lead to another file since its bytes were locked.
    pub(in crate::engine::wal) fn is_of_another_file(&self, handle: &Handle) -> bool {
        self.id.zip(handle.id()).is_some_and(|(locked, opened)| locked != opened)
    }

    /// W20: whether no other process has the log. Then the shared page says nothing, and the log is taken up as it is
    /// on the disk.
    pub(in crate::engine::wal) fn is_first(&self) -> bool {
        self.is_first
    }

    /// Ends the opening. The first one makes the shared page, at a number that redb has reached without a log.
    pub(in crate::engine::wal) fn end(mut self, folder: &dyn LogFolder, handle: &Handle, number: u64) -> Result<Turns> {
        let store = store_of(handle);
        let page = match self.is_first {
            true => {
                raise_format(handle)?;
                let file = folder.shared_page(FindSharedPage::Make)?.ok_or_else(unreadable)?;
                file.empty()?;
                let (end, number) = (End::without_log(number), file.number);
                let (state, sequence, commits, next_length) = (State::Free, 1, 0, 0);
                file.write(&SharedPage { state, sequence, file: number, store, commits, end, next_length })?;
                file
            }
            false => folder.shared_page(FindSharedPage::Existing)?.ok_or_else(unreadable)?,
        };
        if page.read()?.store != store {
            return Err(unreadable());
        }
        let bytes = self.bytes.take().ok_or_else(unreadable)?;
        bytes.give_up();
        Ok(Turns::new(Some(OwnTurns { bytes, page, store, written: Mutex::new((0, 0)) })))
    }
}

impl Drop for Joining {
    fn drop(&mut self) {
        if let Some(bytes) = self.bytes.take() {
            // The next one in the turn must not find this one still there, and look for a shared page of it.
            bytes.leave();
            bytes.give_up();
        }
    }
}

/// Names the processes that have the file, and says what to do.
fn locked_by(line: &WriterLine, what: &str) -> Error {
    let message = format!("the store is locked by {}, {what}", line.living());
    Error::new(ErrorKind::Locked, message).with_hint(Hint::AskService)
}

/// Makes the file one that only programs which know of shared logs open.
fn raise_format(handle: &Handle) -> Result<()> {
    let transaction = handle.begin_alone(Duration::from_secs(10), false)?;
    let mut rows = WriteRows::of(&transaction);
    let raised = raise_shared_format(&mut rows);
    drop(rows);
    match raised {
        Ok(true) => transaction.commit(),
        Ok(false) => transaction.abort(),
        Err(error) => {
            drop(transaction.abort());
            Err(error)
        }
    }
}

impl Log {
    /// Leaves the log. The last process moves everything into redb, and leaves redb's file alone. A log that has lost
    /// its name moves in any case: the others may not have it open.
    ///
    /// # Errors
    ///
    /// As redb has them: then the log stays, for the next opening.
    pub(in crate::engine::wal) fn close_shared(&self, handle: &Handle, context: &Context) -> Result<()> {
        let Some(own) = self.own_turns() else { return Ok(()) };
        let visit = self.visit();
        let (mut writer, arrived) = (self.lock(), Instant::now());
        let closed = match self.take_turn_anywhere(&mut writer, handle, context, arrived) {
            Ok(()) => {
                own.bytes.leave();
                match own.bytes.has_others() {
                    Ok(false) => self.empty(&mut writer, handle, context, arrived).and_then(|()| {
                        // The names beside the path may be those of another store.
                        if context.place.is_in_place() { self.folder.remove_shared_page() } else { Ok(()) }
                    }),
                    Ok(true) => self.empty_without_name(&mut writer, handle, context, arrived),
                    Err(error) => Err(error),
                }
            }
            // Another process is at work, and closes the log after this one. After a failed sync the log stays.
            Err(error) if matches!(error.kind(), ErrorKind::Locked | ErrorKind::Reopen) => Ok(()),
            Err(error) => Err(error),
        };
        drop(writer);
        drop(visit);
        self.depart();
        closed
    }

    /// Moves a log that nobody can open by its name any more into redb.
    fn empty_without_name(
        &self,
        writer: &mut Writer,
        handle: &Handle,
        context: &Context,
        arrived: Instant,
    ) -> Result<()> {
        let Stage::Open(open) = &writer.stage else { return Ok(()) };
        match leftovers::head(&*self.folder, ONLY) {
            Ok(head) if head.is_none_or(|head| head.id != open.id) => self.empty(writer, handle, context, arrived),
            // A process that may not look any more leaves it to the others.
            _ => Ok(()),
        }
    }
}
