//! One transaction of the group commit, or of work alone: its closures, and its end.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Instant;

use super::failures::uncertain;
use super::sink::SinkSlot;
use crate::engine::feed::sending::outbox;
use crate::engine::opening::context::Context;
use crate::engine::redb_file::Transaction;
use crate::engine::rows::WriteRows;
use crate::engine::write::{Batch, WriteTx};
use crate::error::{Error, ErrorKind, Result};

/// The end of a transaction of work alone.
pub(crate) enum Outcome<R> {
    /// Commit what changed.
    Commit(R),
    /// Drop every change.
    Abort(R),
}

/// How much work alone is about to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Size {
    Small,
    Large,
    /// The end of the store, before it is closed.
    Last,
}

/// A transaction in which closures of several callers run.
pub(super) struct OpenBatch {
    pub(super) transaction: Transaction,
    pub(super) begun: Instant,
    pub(super) shared: Batch,
    pub(super) members: usize,
    /// Why the changes of a closure could not be taken back: then nothing of the batch may be committed.
    pub(super) spoiled: Option<Error>,
}

/// A transaction and the state that it begins with.
pub(super) fn batch_of(transaction: Transaction) -> Result<(Transaction, Batch)> {
    let rows = WriteRows::of(&transaction);
    let begun = Batch::begin(&rows).and_then(|batch| Ok((batch, outbox::is_on(&rows)?)));
    drop(rows);
    match begun {
        Ok((batch, is_fed)) => {
            if is_fed {
                transaction.watch();
            }
            Ok((transaction, batch))
        }
        Err(error) => {
            discard(transaction);
            Err(error)
        }
    }
}

/// Aborts a transaction. If that fails too, the handle refuses all further work.
pub(super) fn discard(transaction: Transaction) {
    if let Err(error) = transaction.abort()
        && error.kind() != ErrorKind::Forked
    {
        tracing::warn!(%error, "a transaction could not be aborted");
    }
}

pub(super) enum Failed {
    Returned(Error),
    Panicked(Box<dyn std::any::Any + Send>),
}

impl Failed {
    /// Separates a returned error from a panic.
    pub(super) fn of<R>(ended: std::thread::Result<Result<R>>) -> Result<R, Self> {
        ended.map_err(Self::Panicked)?.map_err(Self::Returned)
    }

    /// Returns the error, or continues the panic, to the caller.
    pub(super) fn resume<R>(self) -> Result<R> {
        match self {
            Self::Returned(error) => Err(error),
            Self::Panicked(panic) => resume_unwind(panic),
        }
    }
}

impl OpenBatch {
    /// Runs one closure. When it fails, its changes are taken back; if that fails too, the error is noted.
    pub(super) fn run<R>(
        &mut self,
        context: &Context,
        closure: impl FnOnce(&mut WriteTx<'_>) -> Result<R>,
    ) -> Result<R, Failed> {
        // Statistics and counters are kept beside the rows, so that a failed closure does not count in them.
        let before = self.shared.clone();
        let mut tx = WriteTx::new(WriteRows::of(&self.transaction), &mut self.shared, context, true);
        let ran = catch_unwind(AssertUnwindSafe(|| closure(&mut tx)));
        let ran = ran.map(|result| result.and_then(|result| tx.refuse_half_done().map(|()| result)));
        let failed = match Failed::of(ran) {
            Ok(result) => return Ok(result),
            Err(failed) => failed,
        };
        // The other closures of the batch go on, without the rows of this one.
        let taken_back = tx.take_back();
        drop(tx);
        self.shared = before;
        // If its rows could not be taken back, committing the batch would commit half of this closure.
        self.spoiled = taken_back.err();
        Err(failed)
    }
}

/// Syncs a batch, or aborts it when it changed nothing.
pub(super) fn commit(mut open: OpenBatch, context: &Context, sink: &SinkSlot) -> Result<()> {
    // Nothing to make durable.
    if !open.shared.changed || open.members == 0 {
        return open.transaction.abort();
    }
    let flushed = catch_unwind(AssertUnwindSafe(|| {
        let mut tx = WriteTx::new(WriteRows::of(&open.transaction), &mut open.shared, context, false);
        // Where every commit is kept, each batch is a point.
        if context.history.is_some() {
            tx.seal_commit()?;
        }
        // The event log stores its progress in the same transaction as the events.
        sink.prepare(&mut tx)?;
        // D1 and S6: statistics, counters and epochs are written once for all closures.
        tx.flush()
    }));
    // Until here nothing has reached the disk, so a failure takes back the whole batch.
    match flushed.unwrap_or_else(|_| Err(Error::new(ErrorKind::NotCommitted, "preparing the commit panicked"))) {
        Ok(()) => sync(open.transaction, &open.shared, context, sink),
        Err(error) => {
            discard(open.transaction);
            Err(not_committed(error))
        }
    }
}

fn not_committed(error: Error) -> Error {
    Error::new(ErrorKind::NotCommitted, format!("nothing was committed: {error}")).with_source(error)
}

/// Commits a transaction and syncs it (fsync), if the file still has its name. If the commit itself fails, nobody knows
/// whether it reached the disk.
fn sync(transaction: Transaction, batch: &Batch, context: &Context, sink: &SinkSlot) -> Result<()> {
    // A commit into a file that has lost its name would be acknowledged and gone.
    if let Err(refused) = context.place.refuse_moved().and_then(|()| refuse_fenced(context, batch.is_fence)) {
        discard(transaction);
        return Err(refused);
    }
    // A handle that is closed or belongs to a parent process refuses here, before anything is uncertain.
    transaction.guard().run(|| Ok(()))?;
    if let Err(error) = outbox::keep_commit(&transaction, None, &context.told) {
        discard(transaction);
        return Err(not_committed(error));
    }
    transaction.commit().map_err(uncertain)?;
    // The event log gets only events that are on the disk.
    if batch.has_events {
        sink.notify();
    }
    Ok(())
}

/// R9: refuses to commit anything but the row of the fence once another process has the history.
pub(super) fn refuse_fenced(context: &Context, is_fence: bool) -> Result<()> {
    if is_fence { Ok(()) } else { context.told.refuse_fenced() }
}

pub(super) fn alone<R>(
    transaction: Transaction,
    context: &Context,
    sink: &SinkSlot,
    work: impl FnOnce(&mut WriteTx<'_>) -> Result<Outcome<R>>,
) -> Result<R> {
    let (transaction, mut batch) = batch_of(transaction)?;
    // The panic is caught before the transaction goes: redb aborts none while a thread unwinds, and its pages would
    // leak.
    let worked = catch_unwind(AssertUnwindSafe(|| {
        let mut tx = WriteTx::new(WriteRows::of(&transaction), &mut batch, context, false);
        let outcome = work(&mut tx)?;
        tx.refuse_half_done()?;
        match outcome {
            Outcome::Commit(result) if tx.batch.changed => {
                sink.prepare(&mut tx)?;
                tx.flush().map(|()| (result, true))
            }
            // Nothing to make durable.
            Outcome::Commit(result) | Outcome::Abort(result) => Ok((result, false)),
        }
    }));
    match worked {
        Ok(Ok((result, true))) => sync(transaction, &batch, context, sink).map(|()| result),
        Ok(ended) => {
            discard(transaction);
            ended.map(|(result, _)| result)
        }
        Err(panic) => {
            discard(transaction);
            resume_unwind(panic)
        }
    }
}
