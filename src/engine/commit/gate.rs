//! Group commit: closures of several threads run one after another in one redb transaction. All of their callers return
//! after its one sync.
//!
//! redb allows one write transaction at a time, until its commit has synced. Callers queue meanwhile. The
//! last caller of a batch waits for as many callers as the batch before had, so that threads which write
//! back to back share one commit.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::batch::{Failed, OpenBatch, Outcome, Size, alone, batch_of, commit};
use super::callers::Callers;
use super::failures::{poisoned, uncertain};
use super::log_slot::LogSlot;
use super::logged::{Logged, Manner};
use super::reentrancy::Writing;
use crate::engine::commit::locks::{Condvar, Mutex, MutexGuard, yield_now};
use crate::engine::commit::sink::SinkSlot;
use crate::engine::commit::wakeups::Commits;
use crate::engine::opening::context::Context;
use crate::engine::options::Durability;
use crate::engine::redb_file::{Handle, Transaction, locked};
use crate::engine::session::process::forked;
use crate::engine::session::writer_line::Streak;
use crate::engine::wal::Log;
use crate::engine::write::WriteTx;
use crate::error::{Error, ErrorKind, Result};

/// How long the last caller of a batch waits for more. Measured: batches of 4.9 without, 6.9 to 7.9 with, at 8 threads.
const LINGER: Duration = Duration::from_micros(150);
/// The most callers of a batch; the rest wait for the next one.
const MOST_IN_BATCH: usize = 256;

/// The queue of writers of one open store.
pub(crate) struct Gate {
    state: Mutex<Callers>,
    /// Notified when the state has changed in a way that may let a waiting caller go on.
    changed: Condvar,
    commits: Arc<Commits>,
    sink: SinkSlot,
    log: LogSlot,
}

impl Gate {
    pub(crate) fn new() -> Self {
        Self {
            state: Mutex::default(),
            changed: Condvar::new(),
            commits: Arc::default(),
            sink: SinkSlot::default(),
            log: LogSlot::default(),
        }
    }

    /// The commits that went through this gate.
    pub(crate) fn commits(&self) -> &Arc<Commits> {
        &self.commits
    }

    /// Notified of committed events.
    pub(crate) fn sink(&self) -> &SinkSlot {
        &self.sink
    }

    /// Whether a failed commit keeps everybody from writing.
    pub(crate) fn is_poisoned(&self) -> bool {
        self.log().is_some_and(|log| log.has_failed()) || self.state.lock().poisoned
    }

    /// The same without waiting. While somebody writes, the answer is no.
    pub(crate) fn seems_poisoned(&self) -> bool {
        self.log().is_some_and(|log| log.has_failed()) || self.state.try_lock().is_some_and(|state| state.poisoned)
    }

    /// Keeps everybody from writing, as a commit that failed does.
    #[cfg(test)]
    pub(crate) fn poison(&self) {
        self.state.lock().poisoned = true;
    }

    /// The log, if the store has one.
    pub(crate) fn log(&self) -> Option<Arc<Log>> {
        self.log.get()
    }

    /// The place of the log, and its thread.
    pub(crate) fn log_slot(&self) -> &LogSlot {
        &self.log
    }

    /// A write of a store that has a log.
    fn write_logged<R>(
        &self,
        log: &Arc<Log>,
        handle: &Handle,
        context: &Context,
        manner: Manner,
        work: impl FnOnce(&mut WriteTx<'_>) -> Result<Outcome<R>>,
    ) -> Result<R> {
        let _writing = Writing::enter(context)?;
        if self.state.lock().poisoned {
            return Err(poisoned());
        }
        handle.refuse_unless_writable()?;
        let notified = self.commits.newest_notified();
        let (result, wakes) = Logged { log, handle, context, sink: &self.sink }.write(manner, work)?;
        match (wakes, manner) {
            (None, _) => {}
            (Some(wakes), Manner::Shared(_)) => self.commits.wake(&wakes, notified),
            (Some(_), Manner::Alone(_)) => self.commits.wake_all(),
        }
        Ok(result)
    }

    /// Admits writers again after the file was reopened.
    pub(crate) fn renew(&self) {
        let mut state = self.state.lock();
        state.poisoned = false;
        state.streak = Streak::default();
    }

    /// Runs a closure in a batch and returns once the batch is on the disk.
    pub(crate) fn write<R>(
        &self,
        handle: &Handle,
        context: &Context,
        durability: Durability,
        closure: impl FnOnce(&mut WriteTx<'_>) -> Result<R>,
    ) -> Result<R> {
        if let Some(log) = self.log() {
            let work = |tx: &mut WriteTx<'_>| closure(tx).map(Outcome::Commit);
            return self.write_logged(&log, handle, context, Manner::Shared(durability), work);
        }
        let writing = Writing::enter(context)?;
        let arrived = Instant::now();
        let mut state = self.state.lock();
        state.waiting += 1;
        let begun = catch_unwind(AssertUnwindSafe(|| self.begin(&mut state, handle, context, arrived)));
        if let Err(failed) = Failed::of(begun) {
            // The leader of a batch may be waiting for this caller, who will not join.
            state.waiting -= 1;
            self.changed.notify_all();
            return failed.resume();
        }
        let batch = state.batch;
        let ran = match state.open.as_mut() {
            Some(open) => open.run(context, closure),
            None => Err(Failed::Returned(poisoned())),
        };
        // A closure whose changes could not be taken back ends the batch: nobody's changes are committed.
        if let Some(open) = state.open.take_if(|open| open.spoiled.is_some()) {
            state.end_spoiled(open);
        }
        if handle.guard().has_forked() {
            // The closure has forked, and this is the child. Unlocking the mutex could wait for a thread of the parent.
            mem::forget(state);
            return ran.map_or_else(Failed::resume, |_| Err(forked()));
        }
        drop(writing);
        state.waiting -= 1;
        let joined = match state.open.as_mut() {
            // W5: a closure that failed has no changes in the batch, and its error may tell of those of others.
            Some(open) => ran.is_ok() || open.shared.changed,
            // The batch was ended because of this closure: its members learn that.
            None => {
                self.changed.notify_all();
                ran.is_ok()
            }
        };
        if let Some(open) = state.open.as_mut().filter(|_| joined) {
            open.members += 1;
        }
        let ended = self.finish(state, context, batch, joined);
        match (ran, ended) {
            (Ok(result), ended) => ended.map(|()| result),
            (Err(Failed::Returned(_)), Err(error)) => {
                let message = "nothing was changed, and the state that was seen was not committed";
                Err(Error::new(ErrorKind::NotCommitted, format!("{message}: {error}")).with_source(error))
            }
            (Err(failed), _) => failed.resume(),
        }
    }

    /// Opens a transaction for a new batch when none is open, once nobody keeps this caller from it.
    fn begin(
        &self,
        state: &mut MutexGuard<'_, Callers>,
        handle: &Handle,
        context: &Context,
        arrived: Instant,
    ) -> Result<()> {
        // One caller at a time uses the transaction. Work alone goes before a new batch, unless it has just gone.
        while state.busy || (state.open.is_none() && state.alone_waiting > 0 && !state.others_first()) {
            self.wait(state, context, arrived)?;
        }
        // After a failed commit nobody knows what is on the disk, so nothing is written over it.
        if state.poisoned {
            return Err(poisoned());
        }
        if state.open.is_some() {
            return Ok(());
        }
        // While this process has its turn, it need not look whether others wait.
        let transaction = match state.streak.is_on() {
            true => context.try_begin_write(handle)?,
            false => None,
        };
        let transaction = match transaction {
            Some(transaction) => transaction,
            None => {
                let streak = state.streak.at_the_next_write();
                self.apart(state, || self.begin_in_turn(handle, context, arrived, streak))?
            }
        };
        let (transaction, shared) = batch_of(transaction)?;
        state.batch += 1;
        state.open = Some(OpenBatch { transaction, begun: Instant::now(), shared, members: 0, spoiled: None });
        Ok(())
    }

    /// A transaction, once no other process has one or goes first. It may wait for long, so the mutex must be free.
    fn begin_in_turn(
        &self,
        handle: &Handle,
        context: &Context,
        arrived: Instant,
        streak: Streak,
    ) -> Result<Transaction> {
        let begun = context.begin_write(handle, arrived, streak, &|| {
            self.state.lock().shut_out = true;
            self.changed.notify_all();
        });
        // From here on this process does its own work, however long it takes.
        self.state.lock().shut_out = false;
        begun
    }

    /// Waits until something has changed. While another process keeps this one from writing, no caller waits for longer
    /// than it would alone.
    fn wait(&self, state: &mut MutexGuard<'_, Callers>, context: &Context, arrived: Instant) -> Result<()> {
        match arrived.checked_add(context.lock_timeout) {
            Some(until) if state.shut_out => {
                if self.changed.wait_until(state, until).timed_out() && state.shut_out {
                    return Err(locked(context.lock_timeout));
                }
            }
            _ => self.changed.wait(state),
        }
        Ok(())
    }

    /// Does work without the mutex. The other callers wait until it has ended, even by a panic.
    fn apart<R>(&self, state: &mut MutexGuard<'_, Callers>, work: impl FnOnce() -> R) -> R {
        state.busy = true;
        let done = MutexGuard::unlocked(state, || catch_unwind(AssertUnwindSafe(work)));
        state.busy = false;
        self.changed.notify_all();
        done.unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// Commits the batch, or waits until another caller has.
    fn finish(&self, mut state: MutexGuard<'_, Callers>, context: &Context, batch: u64, joined: bool) -> Result<()> {
        if self.leads(&mut state, batch) {
            self.commit(&mut state, context);
        }
        // A closure that failed where nobody else has changed anything waits for nobody.
        if !joined {
            return Ok(());
        }
        // Nobody is answered before the sync that makes the batch durable.
        while state.ended < batch {
            self.changed.wait(&mut state);
        }
        state.result_of(batch)
    }

    /// Whether this caller commits the batch: the last one that arrived, once it has waited and nobody else is about to
    /// join.
    fn leads(&self, state: &mut MutexGuard<'_, Callers>, batch: u64) -> bool {
        let Some(came) = state.members_of(batch) else { return false };
        // A full batch is not kept waiting, and work alone is not kept out by callers that are not there yet.
        if came >= MOST_IN_BATCH || state.alone_waiting > 0 && state.waiting == 0 {
            return true;
        }
        let until = Instant::now() + LINGER;
        while state.waiting == 0 && came < state.expected && Instant::now() < until {
            MutexGuard::unlocked(state, yield_now);
            // Somebody has joined, or committed: who joined last lingers.
            if state.members_of(batch) != Some(came) {
                return false;
            }
        }
        state.waiting == 0
    }

    /// Ends the open batch: syncs it when it changed anything.
    fn commit(&self, state: &mut MutexGuard<'_, Callers>, context: &Context) {
        let Some(open) = state.open.take() else { return };
        let (batch, begun, members, changed) = (state.batch, open.begun, open.members, open.shared.changed);
        let (wakes, notified) = (open.shared.wakes.clone(), self.commits.newest_notified());
        state.expected = members.max(state.expected.saturating_sub(1)).max(1);
        let ended = self.apart(state, || catch_unwind(AssertUnwindSafe(|| commit(open, context, &self.sink))));
        // The members of this batch must be answered, even if committing it panicked.
        let ended = ended.unwrap_or_else(|_| Err(uncertain(Error::damaged("committing panicked"))));
        state.streak.wrote_since(begun);
        if changed && ended.is_ok() {
            self.commits.wake(&wakes, notified);
        }
        state.end(batch, members, ended);
    }

    /// Runs work in a transaction of its own, without a list of what was overwritten: it is
    /// committed or aborted as a whole.
    pub(crate) fn alone<R>(
        &self,
        handle: &Handle,
        context: &Context,
        size: Size,
        work: impl FnOnce(&mut WriteTx<'_>) -> Result<Outcome<R>>,
    ) -> Result<R> {
        if let Some(log) = self.log() {
            return self.write_logged(&log, handle, context, Manner::Alone(size), work);
        }
        let _writing = Writing::enter(context)?;
        let arrived = Instant::now();
        let mut state = self.state.lock();
        state.alone_waiting += 1;
        let mut waited = Ok(());
        while waited.is_ok() && (state.busy || state.open.is_some() || state.others_first()) {
            waited = self.wait(&mut state, context, arrived);
        }
        state.alone_waiting -= 1;
        if state.poisoned || waited.is_err() {
            self.changed.notify_all();
            return waited.and_then(|()| Err(poisoned()));
        }
        let streak = state.streak.at_the_next_write();
        let mut begun = Instant::now();
        state.busy = true;
        drop(state);
        let done = catch_unwind(AssertUnwindSafe(|| {
            let transaction = self.begin_in_turn(handle, context, arrived, streak)?;
            begun = Instant::now();
            alone(transaction, context, &self.sink, work)
        }));
        if handle.guard().has_forked() {
            // The work has forked, and this is the child, where a thread that it does not have may hold the mutex.
            return done.map_or_else(|panic| resume_unwind(panic), |_| Err(forked()));
        }
        let mut state = self.state.lock();
        state.busy = false;
        state.streak.wrote_since(begun);
        match &done {
            Ok(Ok(_)) => self.commits.wake_all(),
            // Nobody knows what is on the disk, so nobody writes over it.
            Ok(Err(error)) => state.poisoned |= error.kind() == ErrorKind::Uncertain,
            // The work panicked, and its transaction was aborted.
            Err(_) => {}
        }
        state.alone_after = state.batch + u64::from(state.waiting > 0);
        self.changed.notify_all();
        drop(state);
        done.unwrap_or_else(|panic| resume_unwind(panic))
    }
}
