//! A write of a store that has a log: its closure runs on a write set of its own, which becomes one entry.
//!
//! A closure that fails or panics leaves nothing behind, and concerns nobody else. Everything that it saw and that is
//! not on the disk yet is waited for before it is answered, also before its error is: a conflict with something that a
//! power cut takes back would be a lie.

use std::cell::OnceCell;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::time::Instant;

use super::batch::{Failed, Outcome, Size, discard, refuse_fenced};
use super::sink::SinkSlot;
use crate::engine::format::wakes::Wakes;
use crate::engine::opening::context::Context;
use crate::engine::options::Durability;
use crate::engine::redb_file::{Handle, Transaction};
use crate::engine::rows::{IntoRedb, ReadRows, WriteRows};
use crate::engine::session::process::forked;
use crate::engine::wal::{Log, Road, WriteSet, Writer};
use crate::engine::write::{Batch, WriteTx};
use crate::error::{Error, ErrorKind, Result};

/// How a write is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// One of many: with a point of its own where every commit is kept.
    Shared(Durability),
    /// Work alone.
    Alone(Size),
}

impl Manner {
    /// Whether it is answered before it is on the disk.
    fn is_soft(self) -> bool {
        self == Self::Shared(Durability::System)
    }
}

/// A store with a log, for one write.
pub(super) struct Logged<'s> {
    pub(super) log: &'s Arc<Log>,
    pub(super) handle: &'s Handle,
    pub(super) context: &'s Context,
    pub(super) sink: &'s SinkSlot,
}

/// The outcome of a closure: its result, and its rows to be committed.
struct Done<R> {
    result: R,
    /// None: the rows are in the transaction of redb.
    set: Option<WriteSet>,
    changed: bool,
    has_events: bool,
    is_for_disk: bool,
    is_fence: bool,
    wakes: Wakes,
}

/// The transaction of redb of a write that does not go into the log.
struct Past<'p> {
    logged: &'p Logged<'p>,
    rows: &'p ReadRows,
    transaction: &'p OnceCell<Transaction>,
    /// The caller has waited since then.
    arrived: Instant,
}

impl<'p> IntoRedb<'p> for Past<'p> {
    fn transaction(&self) -> Result<&'p Transaction> {
        if let Some(begun) = self.transaction.get() {
            return Ok(begun);
        }
        let Logged { log, handle, context, .. } = *self.logged;
        let begun = log.begin_past(handle, context, self.rows.overlay(), self.arrived)?;
        Ok(self.transaction.get_or_init(|| begun))
    }
}

impl Logged<'_> {
    /// Runs work, and returns once all that it wrote and saw is on the disk. Says whom its
    /// changes concern, if there are any.
    pub(super) fn write<R>(
        &self,
        manner: Manner,
        work: impl FnOnce(&mut WriteTx<'_>) -> Result<Outcome<R>>,
    ) -> Result<(R, Option<Wakes>)> {
        // W12: the files of the log do not ask again.
        if self.is_in_another_process() {
            return Err(forked());
        }
        let arrived = Instant::now();
        // W18: what is seen of a shared log is on the disk.
        let is_soft = manner.is_soft() && !self.log.is_shared();
        let visit = self.log.visit();
        let mut writer = self.log.lock();
        self.log.take_turn(&mut writer, self.handle, self.context, arrived)?;
        let size = if let Manner::Alone(size) = manner { size } else { Size::Small };
        let road = self.log.way(&mut writer, self.handle, self.context, size, arrived)?;
        let seen = writer.number();
        let rows = self.log.rows_of_closure(self.handle, &mut writer)?;
        let (transaction, mut batch) = (OnceCell::new(), None);
        let past = Past { logged: self, rows: &rows, transaction: &transaction, arrived };
        let ran = Failed::of(catch_unwind(AssertUnwindSafe(|| self.run(manner, road, &past, &mut batch, work))));
        if self.is_in_another_process() {
            // The closure has forked, and this is the child: the lock is the parent's.
            mem::forget((writer, visit));
            return match ran {
                Err(Failed::Panicked(panic)) => resume_unwind(panic),
                _ => Err(forked()),
            };
        }
        let transaction = transaction.into_inner();
        let committed = match ran {
            // W3: the entry is appended under the write lock, by the closure that has seen everything before it.
            Ok(done) if done.changed => self
                .commit(&mut writer, road, (&rows, arrived), transaction, &done)
                .map(|number| (done.result, Some((number, done.wakes, done.is_for_disk)), done.has_events)),
            // Nothing to make durable.
            Ok(done) => {
                transaction.into_iter().for_each(discard);
                Ok((done.result, None, false))
            }
            Err(failed) => {
                transaction.into_iter().for_each(discard);
                drop(writer);
                // W5: what was seen is durable before anybody is answered.
                let waited = self.wait_for_disk(None, is_soft, seen);
                return match failed {
                    Failed::Panicked(panic) => resume_unwind(panic),
                    Failed::Returned(error) => waited.and(Err(error)),
                };
            }
        };
        drop((writer, rows));
        let (result, written, has_events) = committed?;
        let entry = written.as_ref().map(|(number, _, is_for_disk)| (*number, *is_for_disk));
        self.wait_for_disk(entry, is_soft, seen)?;
        // The event log gets only events that are on the disk.
        if has_events {
            self.sink.notify();
        }
        Ok((result, written.map(|(_, wakes, _)| wakes)))
    }

    /// Whether this is a child of the process that opened the store, by any kind of fork.
    fn is_in_another_process(&self) -> bool {
        self.handle.guard().process().is_another()
    }

    /// Waits until the entry of a write, if it has one, and all that the write saw are on the disk, as far as the
    /// caller must not be answered before.
    fn wait_for_disk(&self, entry: Option<(u64, bool)>, is_soft: bool, seen: u64) -> Result<()> {
        match entry {
            // W5: the caller chose to be answered behind the entry, and nothing in it must wait for the disk.
            Some((number, false)) if is_soft => self.log.answer(number),
            // W5: the sync of its own entry covers everything that it saw, as entries are synced in order.
            Some((number, _)) => self.log.wait(number),
            None if is_soft => Ok(()),
            // W5: a result without changes contains what was seen, too.
            None => self.log.wait_for_seen(seen),
        }
    }

    fn run<'p, R>(
        &self,
        manner: Manner,
        road: Road,
        past: &'p Past<'p>,
        batch: &'p mut Option<Batch>,
        work: impl FnOnce(&mut WriteTx<'_>) -> Result<Outcome<R>>,
    ) -> Result<Done<R>> {
        let stored = match road {
            Road::Redb => WriteRows::of(past.transaction()?),
            Road::Entry(most_bytes) => WriteRows::over(past.rows, past, most_bytes),
        };
        let batch = batch.insert(Batch::begin(&stored)?);
        let mut tx = WriteTx::new(stored, batch, self.context, false);
        let outcome = work(&mut tx)?;
        tx.refuse_half_done()?;
        let (result, changed) = match outcome {
            Outcome::Commit(result) => (result, tx.batch.changed),
            Outcome::Abort(result) => (result, false),
        };
        if changed {
            let prepared = catch_unwind(AssertUnwindSafe(|| self.prepare(manner, &mut tx)));
            match (prepared.unwrap_or_else(|_| Err(not_committed("preparing the commit panicked"))), manner) {
                (Err(error), Manner::Shared(_)) => {
                    return Err(not_committed(format!("nothing was committed: {error}")).with_source(error));
                }
                (prepared, _) => prepared?,
            }
        }
        let (has_events, is_for_disk, is_fence) = (tx.batch.has_events, tx.batch.is_for_disk, tx.batch.is_fence);
        let wakes = mem::take(&mut tx.batch.wakes);
        Ok(Done { result, set: tx.into_rows().into_set(), changed, has_events, is_for_disk, is_fence, wakes })
    }

    /// Writes the rows that every commit has.
    fn prepare(&self, manner: Manner, tx: &mut WriteTx<'_>) -> Result<()> {
        if matches!(manner, Manner::Shared(_)) && self.context.history.is_some() {
            tx.seal_commit()?;
        }
        self.sink.prepare(tx)?;
        tx.flush()
    }

    /// Appends the entry, or commits the transaction of redb, for a caller who has waited since `arrived`. Returns the
    /// number that must become durable.
    fn commit<R>(
        &self,
        writer: &mut Writer,
        road: Road,
        (rows, arrived): (&ReadRows, Instant),
        transaction: Option<Transaction>,
        done: &Done<R>,
    ) -> Result<u64> {
        // The log lies beside the path, so a file that has lost its name would be without it.
        let refused = self.context.place.refuse_moved().and_then(|()| refuse_fenced(self.context, done.is_fence));
        if let Err(refused) = refused {
            transaction.into_iter().for_each(discard);
            return Err(refused);
        }
        let transaction = match (transaction, &done.set) {
            // The closure went into redb: from the beginning, or when it became too large for the section.
            (Some(transaction), None) => {
                if road != Road::Redb {
                    self.log.note_too_long(writer);
                }
                transaction
            }
            // Its rows are in both: moving them into redb has failed half-way.
            (Some(transaction), Some(_)) => {
                discard(transaction);
                return Err(not_committed("nothing was committed: a change failed half-way on its way into the file"));
            }
            (None, Some(set)) => {
                if let Some(number) = self.log.append(writer, set)? {
                    return Ok(number);
                }
                // The section has no room for it. W7: redb gets the rows before it and its own in one transaction.
                let begun = self.log.begin_past(self.handle, self.context, rows.overlay(), arrived)?;
                let put = WriteRows::of(&begun).put_all(set);
                if let Err(error) = put {
                    discard(begun);
                    return Err(error);
                }
                begun
            }
            (None, None) => return Ok(writer.number()),
        };
        self.log.commit_past(writer, transaction, self.context)?;
        Ok(writer.number())
    }
}

fn not_committed(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::NotCommitted, message)
}
