//! Group commit: closures of several threads run one after another in one redb transaction, and all of their callers
//! return after its one sync.
//!
//! redb has one write transaction at a time, until its commit has synced. Callers queue meanwhile; the last of a batch
//! lingers for as many as the batch before had, so that threads which write back to back meet in one commit.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use redb::WriteTransaction;

use crate::engine::database::Handle;
use crate::engine::notice::Commits;
use crate::engine::store::Context;
use crate::engine::sync::{Condvar, Mutex, MutexGuard, thread_local, yield_now};
use crate::engine::turn::Waiting;
use crate::engine::write::{Batch, WriteTx};
use crate::error::{Error, ErrorKind, Result};

/// How long the last of a batch waits for more. Measured: batches of 4.9 without, 6.9 to 7.9 with, at 8 threads.
const LINGER: Duration = Duration::from_micros(150);
/// A batch this large is committed although more are waiting.
const MOST_IN_BATCH: usize = 256;
/// A process that has held redb's lock between processes back to back for so long goes behind those who wait.
const TURN: Duration = Duration::from_millis(5);

/// The queue of writers of one open store.
pub(crate) struct Gate {
    state: Mutex<State>,
    turn: Condvar,
    commits: Commits,
}

/// Who may do what. Every field is read and written by whoever holds the mutex.
#[derive(Default)]
struct State {
    /// The transaction that closures are running in now.
    open: Option<OpenBatch>,
    /// The number of the newest batch.
    batch: u64,
    /// The newest batch whose commit has ended, well or badly.
    ended: u64,
    /// Batches that ended badly and whose members have not all been told yet.
    failures: Vec<Failure>,
    /// A commit is being synced.
    committing: bool,
    /// Somebody works alone.
    alone: bool,
    /// How many wait to work alone; no new batch begins before them.
    alone_waiting: usize,
    /// Work alone waits until this batch has ended, so that it does not starve the others.
    alone_after: u64,
    /// Callers that have come and whose closures have not run yet.
    waiting: usize,
    /// How many to linger for: as many as the last batch had.
    expected: usize,
    /// Set once a commit has failed: what is on the disk is unknown, so writes are refused until the store is reopened.
    poisoned: bool,
    /// Since when this process has held redb's lock back to back, and when it last let go of it.
    streak: Option<(Instant, Instant)>,
}

struct OpenBatch {
    transaction: WriteTransaction,
    begun: Instant,
    shared: Batch,
    members: usize,
}

struct Failure {
    batch: u64,
    error: Arc<Error>,
    untold: usize,
}

/// What work alone does with its transaction.
pub(crate) enum Outcome<R> {
    /// Commit what changed.
    Commit(R),
    /// Drop every change.
    Abort(R),
}

impl Gate {
    pub(crate) fn new() -> Self {
        Self { state: Mutex::default(), turn: Condvar::new(), commits: Commits::default() }
    }

    /// What has been committed through this gate.
    pub(crate) fn commits(&self) -> &Commits {
        &self.commits
    }

    /// Runs a closure in a batch and returns once the batch is on the disk.
    pub(crate) fn write<R>(
        &self,
        handle: &Handle,
        context: &Context,
        closure: impl FnOnce(&mut WriteTx<'_>) -> Result<R>,
    ) -> Result<R> {
        let nested = Nested::enter(context)?;
        let arrived = Instant::now();
        let mut state = self.state.lock();
        state.waiting += 1;
        while state.committing
            || state.alone
            || (state.open.is_none() && state.alone_waiting > 0 && !state.others_first())
        {
            self.turn.wait(&mut state);
        }
        if let Err(error) = begin(&mut state, handle, context, arrived) {
            state.waiting -= 1;
            self.turn.notify_all();
            return Err(error);
        }
        let batch = state.batch;
        let ran = run(&mut state, handle, context, closure);
        drop(nested);
        state.waiting -= 1;
        let joined = ran.is_ok();
        match state.open.as_mut() {
            Some(open) if joined => open.members += 1,
            Some(_) => {}
            None => drop(self.turn.notify_all()),
        }
        let ended = self.finish(state, handle, context, batch, joined);
        match ran {
            Ok(result) => ended.map(|()| result),
            Err(Failed::Returned(error)) => Err(error),
            Err(Failed::Panicked(panic)) => resume_unwind(panic),
        }
    }

    /// Commits the batch, or waits until another caller has.
    fn finish(
        &self,
        mut state: MutexGuard<'_, State>,
        handle: &Handle,
        context: &Context,
        batch: u64,
        joined: bool,
    ) -> Result<()> {
        if self.leads(&mut state, batch) {
            self.commit(&mut state, handle, context);
        }
        if !joined {
            return Ok(());
        }
        while state.ended < batch {
            self.turn.wait(&mut state);
        }
        state.told(batch)
    }

    /// Whether this caller is the one that commits: the last that came, once it has lingered and nobody else is about to
    /// add to the batch.
    fn leads(&self, state: &mut MutexGuard<'_, State>, batch: u64) -> bool {
        let Some(came) = state.members_of(batch) else { return false };
        if came >= MOST_IN_BATCH || state.alone_waiting > 0 && state.waiting == 0 {
            return true;
        }
        let until = Instant::now() + LINGER;
        while state.waiting == 0 && came < state.expected && Instant::now() < until {
            MutexGuard::unlocked(state, yield_now);
            if state.members_of(batch) != Some(came) {
                return false;
            }
        }
        state.waiting == 0
    }

    /// Ends the open batch: syncs it when it changed anything.
    fn commit(&self, state: &mut MutexGuard<'_, State>, handle: &Handle, context: &Context) {
        let Some(open) = state.open.take() else { return };
        let (batch, begun, members, changed) = (state.batch, open.begun, open.members, open.shared.changed);
        state.expected = members.max(state.expected.saturating_sub(1)).max(1);
        state.committing = true;
        let ended = MutexGuard::unlocked(state, || catch_unwind(AssertUnwindSafe(|| commit(open, handle, context))));
        // Whoever waits for this batch must be told, even if committing it panicked.
        let ended = ended.unwrap_or_else(|_| Err(uncertain(Error::damaged("committing panicked"))));
        state.committing = false;
        state.let_go(begun);
        if changed && ended.is_ok() {
            self.commits.tell();
        }
        state.end(batch, members, ended);
        self.turn.notify_all();
    }

    /// Runs work in a transaction of its own, without undo log: it is committed or aborted as a whole.
    pub(crate) fn alone<R>(
        &self,
        handle: &Handle,
        context: &Context,
        work: impl FnOnce(&mut WriteTx<'_>) -> Result<Outcome<R>>,
    ) -> Result<R> {
        let _nested = Nested::enter(context)?;
        let arrived = Instant::now();
        let mut state = self.state.lock();
        state.alone_waiting += 1;
        while state.committing || state.alone || state.open.is_some() || state.others_first() {
            self.turn.wait(&mut state);
        }
        state.alone_waiting -= 1;
        if state.poisoned {
            self.turn.notify_all();
            return Err(poisoned());
        }
        let waiting = state.wait(context);
        state.alone = true;
        let mut begun = Instant::now();
        let work = || catch_unwind(AssertUnwindSafe(|| alone(handle, context, arrived, waiting, &mut begun, work)));
        let done = MutexGuard::unlocked(&mut state, work);
        state.alone = false;
        state.let_go(begun);
        match &done {
            Ok(Ok(_)) => self.commits.tell(),
            Ok(Err(error)) => state.poisoned |= error.kind() == ErrorKind::Uncertain,
            Err(_) => {}
        }
        state.alone_after = state.batch + u64::from(state.waiting > 0);
        self.turn.notify_all();
        drop(state);
        done.unwrap_or_else(|panic| resume_unwind(panic))
    }
}

impl State {
    /// Whether work alone has to let a batch go first, so that it does not starve the others.
    fn others_first(&self) -> bool {
        self.waiting > 0 && self.ended < self.alone_after
    }

    /// How many have joined a batch that is still open.
    fn members_of(&self, batch: u64) -> Option<usize> {
        self.open.as_ref().filter(|_| self.batch == batch).map(|open| open.members)
    }

    /// Notes how a batch ended.
    fn end(&mut self, batch: u64, members: usize, ended: Result<()>) {
        self.ended = batch;
        if let Err(error) = ended {
            self.poisoned |= error.kind() != ErrorKind::NotCommitted;
            if members > 0 {
                self.failures.push(Failure { batch, error: Arc::new(error), untold: members });
            }
        }
    }

    /// Waits for redb's lock between processes: as long as this process has its turn, before all others; otherwise behind
    /// those who are in line.
    fn wait<'c>(&mut self, context: &'c Context) -> Waiting<'c> {
        if !context.shared || self.has_turn() {
            return context.turn.wait();
        }
        let after_a_turn = self.streak.take().is_some_and(|(began, last)| last - began >= TURN);
        if context.turn.somebody_waits(after_a_turn) { context.turn.wait_in_line() } else { context.turn.wait() }
    }

    /// Whether this process has its turn: it has written back to back, and not for too long.
    fn has_turn(&self) -> bool {
        self.streak.is_some_and(|(began, last)| last.elapsed() < TURN && last - began < TURN)
    }

    /// Notes that the lock between processes was held from `begun` until now.
    fn let_go(&mut self, begun: Instant) {
        let streak = self.streak.filter(|(_, last)| begun.saturating_duration_since(*last) < TURN);
        self.streak = Some((streak.map_or(begun, |(began, _)| began), Instant::now()));
    }

    /// Tells one member how its batch ended.
    fn told(&mut self, batch: u64) -> Result<()> {
        let Some(at) = self.failures.iter().position(|failure| failure.batch == batch) else { return Ok(()) };
        let Some(failure) = self.failures.get_mut(at) else { return Ok(()) };
        failure.untold = failure.untold.saturating_sub(1);
        let error = Error::new(failure.error.kind(), failure.error.to_string()).with_source(failure.error.clone());
        if failure.untold == 0 {
            self.failures.swap_remove(at);
        }
        Err(error)
    }
}

/// Opens a transaction for a new batch when none is open.
fn begin(state: &mut State, handle: &Handle, context: &Context, arrived: Instant) -> Result<()> {
    if state.poisoned {
        return Err(poisoned());
    }
    if state.open.is_some() {
        return Ok(());
    }
    let waiting = state.wait(context);
    let (transaction, shared) = begin_batch(handle, context, arrived, waiting)?;
    state.batch += 1;
    state.open = Some(OpenBatch { transaction, begun: Instant::now(), shared, members: 0 });
    Ok(())
}

/// A transaction and the state that it begins with.
fn begin_batch(
    handle: &Handle,
    context: &Context,
    arrived: Instant,
    waiting: Waiting<'_>,
) -> Result<(WriteTransaction, Batch)> {
    let transaction = context.begin_write(handle, arrived, waiting)?;
    match Batch::begin(&transaction, &handle.guard()) {
        Ok(batch) => Ok((transaction, batch)),
        Err(error) => {
            discard(transaction, handle);
            Err(error)
        }
    }
}

/// Aborts a transaction. When that fails too, the handle refuses all further work by itself.
fn discard(transaction: WriteTransaction, handle: &Handle) {
    let aborted = handle.guard().run(|| Ok(transaction.abort()?));
    if let Err(error) = aborted {
        tracing::warn!(%error, "a transaction could not be aborted");
    }
}

enum Failed {
    Returned(Error),
    Panicked(Box<dyn std::any::Any + Send>),
}

/// Runs one closure in the open batch; when it fails, its changes are taken back. If that fails too, the batch is
/// aborted and every member is told that nothing was committed.
fn run<R>(
    state: &mut MutexGuard<'_, State>,
    handle: &Handle,
    context: &Context,
    closure: impl FnOnce(&mut WriteTx<'_>) -> Result<R>,
) -> Result<R, Failed> {
    let Some(open) = state.open.as_mut() else { return Err(Failed::Returned(poisoned())) };
    let before = open.shared.clone();
    let mut tx = WriteTx::new(&open.transaction, &mut open.shared, context, handle.guard(), true);
    let ran = catch_unwind(AssertUnwindSafe(|| closure(&mut tx)));
    let failed = match ran.map(|result| result.and_then(|result| tx.refuse_half_done().map(|()| result))) {
        Ok(Ok(result)) => return Ok(result),
        Ok(Err(error)) => Failed::Returned(error),
        Err(panic) => Failed::Panicked(panic),
    };
    let taken_back = tx.take_back();
    drop(tx);
    open.shared = before;
    if let Err(error) = taken_back
        && let Some(open) = state.open.take()
    {
        discard(open.transaction, handle);
        let batch = state.batch;
        let message = format!("not committed: another caller's changes could not be taken back: {error}");
        state.end(batch, open.members, Err(Error::new(ErrorKind::NotCommitted, message)));
    }
    Err(failed)
}

/// Syncs a batch, or aborts it when it changed nothing.
fn commit(mut open: OpenBatch, handle: &Handle, context: &Context) -> Result<()> {
    let guard = handle.guard();
    if !open.shared.changed || open.members == 0 {
        return guard.run(|| Ok(open.transaction.abort()?));
    }
    let flushed = catch_unwind(AssertUnwindSafe(|| {
        let mut tx = WriteTx::new(&open.transaction, &mut open.shared, context, guard.clone(), false);
        if context.history.is_some() {
            tx.seal_commit()?;
        }
        tx.flush()
    }));
    match flushed.unwrap_or_else(|_| Err(Error::new(ErrorKind::NotCommitted, "preparing the commit panicked"))) {
        Ok(()) => sync(open.transaction, handle),
        Err(error) => {
            discard(open.transaction, handle);
            Err(Error::new(ErrorKind::NotCommitted, format!("nothing was committed: {error}")).with_source(error))
        }
    }
}

/// Commits a transaction. From here on, a failure leaves it unknown whether it was.
fn sync(transaction: WriteTransaction, handle: &Handle) -> Result<()> {
    handle.guard().run(|| Ok(()))?;
    handle.guard().run(|| Ok(transaction.commit()?)).map_err(uncertain)
}

fn alone<R>(
    handle: &Handle,
    context: &Context,
    arrived: Instant,
    waiting: Waiting<'_>,
    begun: &mut Instant,
    work: impl FnOnce(&mut WriteTx<'_>) -> Result<Outcome<R>>,
) -> Result<R> {
    let (transaction, mut batch) = begin_batch(handle, context, arrived, waiting)?;
    *begun = Instant::now();
    // The panic is caught before the transaction goes: redb aborts none while a thread unwinds, and its pages would leak.
    let worked = catch_unwind(AssertUnwindSafe(|| {
        let mut tx = WriteTx::new(&transaction, &mut batch, context, handle.guard(), false);
        let outcome = work(&mut tx)?;
        tx.refuse_half_done()?;
        match outcome {
            Outcome::Commit(result) if tx.batch.changed => tx.flush().map(|()| (result, true)),
            Outcome::Commit(result) | Outcome::Abort(result) => Ok((result, false)),
        }
    }));
    match worked {
        Ok(Ok((result, true))) => sync(transaction, handle).map(|()| result),
        Ok(ended) => {
            discard(transaction, handle);
            ended.map(|(result, _)| result)
        }
        Err(panic) => {
            discard(transaction, handle);
            resume_unwind(panic)
        }
    }
}

/// A commit that failed may have reached the disk all the same: 3.8% of those measured had.
fn uncertain(error: Error) -> Error {
    let message = format!(
        "the commit failed, and it is not known whether it reached the disk; open the store again and look: {error}"
    );
    Error::new(ErrorKind::Uncertain, message).with_source(error)
}

fn poisoned() -> Error {
    Error::new(ErrorKind::Reopen, "an earlier commit failed, so writes are refused until the store is opened again")
}

thread_local! {
    /// The stores that this thread is writing to, by address.
    static WRITING: RefCell<Vec<usize>> = RefCell::default();
}

/// Refuses a write inside of a write on one thread, which would wait for itself.
pub(crate) struct Nested(usize);

impl Nested {
    /// Whether this thread is writing to the store.
    pub(crate) fn is_inside(context: &Context) -> bool {
        let address = std::ptr::from_ref(context).addr();
        WRITING.with(|writing| writing.borrow().contains(&address))
    }

    pub(crate) fn enter(context: &Context) -> Result<Self> {
        let address = std::ptr::from_ref(context).addr();
        WRITING.with(|writing| {
            let mut writing = writing.borrow_mut();
            if writing.contains(&address) {
                return Err(Error::conflict(
                    "a write inside of a write would wait for itself; use the transaction given",
                ));
            }
            writing.push(address);
            Ok(Self(address))
        })
    }
}

impl Drop for Nested {
    fn drop(&mut self) {
        WRITING.with(|writing| writing.borrow_mut().retain(|address| *address != self.0));
    }
}
