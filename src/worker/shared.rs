//! The parts of a worker that do not depend on how its function runs: claims, leases, and the ends of tasks.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use serde_json::Value;

use crate::engine::store::Store;
use crate::error::{Error, ErrorKind, Result};
use crate::limits;
use crate::state::ids::{BotId, TaskId};
use crate::state::queue::{Claim, ClaimOptions, ClaimWait, Task, TaskState};
use crate::worker::events::{WorkerCounts, WorkerEvent};
use crate::worker::job::{Job, JobFailure};

/// Gets the events.
pub(crate) type Listener = Arc<dyn Fn(&WorkerEvent<'_>) + Send + Sync>;

/// The pause after a failed call of the store.
pub(crate) const PAUSE: Duration = Duration::from_secs(1);
/// The time between two looks for crashed processes, whose tasks are ready then. A look costs a write only if there is
/// one.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The parts that the threads or tasks of a worker share.
pub(crate) struct Shared {
    pub(crate) store: Store,
    pub(crate) bot: BotId,
    options: ClaimOptions,
    listener: Option<Listener>,
    /// Set once; jobs see it too.
    stopping: Arc<AtomicBool>,
    counts: Mutex<WorkerCounts>,
    /// The jobs in progress, whose leases are extended.
    running: Mutex<BTreeMap<TaskId, Arc<Job>>>,
    /// The threads and tasks that have not ended.
    at_work: Mutex<usize>,
    /// Told when one of them ends, and when the worker is to stop.
    told: Condvar,
}

impl Shared {
    pub(crate) fn new(store: Store, bot: BotId, options: ClaimOptions, listener: Option<Listener>) -> Self {
        Self {
            store,
            bot,
            options,
            listener,
            stopping: Arc::default(),
            counts: Mutex::default(),
            running: Mutex::default(),
            at_work: Mutex::default(),
            told: Condvar::new(),
        }
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// Asks all to stop, and wakes those who wait.
    pub(crate) fn ask_to_stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.store.commits().look_again();
        // With the lock, so that nobody who is about to wait misses it.
        let _at_work = self.at_work.lock();
        self.told.notify_all();
    }

    /// Notes that one more is at work.
    pub(crate) fn begins_work(&self) {
        *self.at_work.lock() += 1;
    }

    /// Notes that one has ended.
    pub(crate) fn ends_work(&self) {
        let mut at_work = self.at_work.lock();
        *at_work = at_work.saturating_sub(1);
        self.told.notify_all();
    }

    /// Waits until nobody is at work, at most for that long; says whether nobody is.
    pub(crate) fn wait_for_the_end(&self, limit: Duration) -> bool {
        let until = Instant::now().checked_add(limit);
        let mut at_work = self.at_work.lock();
        while *at_work > 0 {
            match until {
                None => self.told.wait(&mut at_work),
                Some(until) if self.told.wait_until(&mut at_work, until).timed_out() => return *at_work == 0,
                Some(_) => {}
            }
        }
        true
    }

    /// Waits for that long, or until the worker is to stop or nobody is at work.
    pub(crate) fn pause(&self, time: Duration) {
        let mut at_work = self.at_work.lock();
        if !self.is_stopping() {
            let _timed_out = self.told.wait_for(&mut at_work, time);
        }
    }

    pub(crate) fn counts(&self) -> WorkerCounts {
        WorkerCounts { running: self.running.lock().len() as u64, ..*self.counts.lock() }
    }

    fn count(&self, change: impl FnOnce(&mut WorkerCounts)) {
        change(&mut self.counts.lock());
    }

    fn tell(&self, event: &WorkerEvent<'_>) {
        if let Some(listener) = &self.listener {
            listener(event);
        }
    }

    /// A wait for the next task, without an end.
    pub(crate) fn wait(&self) -> ClaimWait {
        ClaimWait::new(&self.bot, &self.options, Duration::MAX)
    }

    /// Notes a failed call of the store.
    pub(crate) fn trouble(&self, error: &Error) {
        tracing::warn!(bot = %self.bot, %error, "a worker could not use the store, and goes on");
        self.count(|counts| counts.errors += 1);
        self.tell(&WorkerEvent::Trouble { error });
    }

    /// Takes a claimed task in hand; none when the worker stops, which releases the task.
    pub(crate) fn begin(&self, claim: Claim) -> Option<Arc<Job>> {
        self.count(|counts| counts.claimed += 1);
        let job = Arc::new(Job { claim, stopping: self.stopping.clone(), lost: AtomicBool::new(false) });
        if self.is_stopping() {
            self.release(&job);
            return None;
        }
        self.running.lock().insert(job.id().clone(), job.clone());
        tracing::debug!(bot = %self.bot, task = %job.id(), attempt = job.attempt(), "a task begins");
        self.tell(&WorkerEvent::Begun { job: &job });
        Some(job)
    }

    fn release(&self, job: &Job) {
        match self.store.give_back(std::slice::from_ref(&job.claim)) {
            Ok(_) => {
                self.count(|counts| counts.released += 1);
                self.tell(&WorkerEvent::Released { job });
            }
            Err(error) => self.trouble(&error),
        }
    }

    /// Ends a task by the result of the function, and claims the next one in the same commit, unless the worker stops.
    pub(crate) fn end(&self, job: &Job, result: Result<Value, Ended>, took: Duration) -> Option<Claim> {
        if matches!(result, Err(Ended::Panicked(_))) {
            self.count(|counts| counts.panicked += 1);
        }
        let ended = self.end_in_the_store(job, result.map_err(Ended::into_failure));
        self.running.lock().remove(job.id());
        let Some((task, mut claims)) = ended else {
            self.lose(job);
            return None;
        };
        if task.state == TaskState::Done {
            tracing::debug!(bot = %self.bot, task = %task.id, ?took, "a task is done");
            self.count(|counts| counts.done += 1);
        } else {
            let error = task.last_error.as_deref().unwrap_or_default();
            tracing::warn!(bot = %self.bot, task = %task.id, state = %task.state, error, ?took, "a task has failed");
            self.count(|counts| counts.failed += 1);
        }
        self.tell(&WorkerEvent::Ended { job, task: &task, took });
        claims.pop()
    }

    /// Writes the end of a task; none when its claim has ended. Calls that fail are repeated while the lease may last.
    fn end_in_the_store(&self, job: &Job, mut result: Result<Value, JobFailure>) -> Option<(Task, Vec<Claim>)> {
        let until = Instant::now() + self.options.lease;
        loop {
            let next = (!self.is_stopping()).then_some(&self.options);
            let error = match self.write_end(job, &result, next) {
                Ok(ended) => return Some(ended),
                Err(error) => error,
            };
            match (error.kind(), &result) {
                (ErrorKind::Conflict | ErrorKind::NotFound, _) => return None,
                // The result is longer than a result may be.
                (ErrorKind::Invalid, Ok(_)) => result = Err(error.into()),
                _ => {
                    self.trouble(&error);
                    if Instant::now() >= until || error.kind() == ErrorKind::Forked {
                        return None;
                    }
                    std::thread::sleep(PAUSE.min(self.options.lease / 4));
                }
            }
        }
    }

    fn write_end(
        &self,
        job: &Job,
        result: &Result<Value, JobFailure>,
        next: Option<&ClaimOptions>,
    ) -> Result<(Task, Vec<Claim>)> {
        let Claim { id, token, .. } = &job.claim;
        self.store.write(|tx| {
            tx.queue().end_and_claim(&self.bot, next, |queue| match result {
                Ok(value) => queue.complete(id, *token, value.clone()),
                Err(JobFailure { reason, retry }) => queue.fail(id, *token, reason.clone(), *retry),
            })
        })
    }

    fn lose(&self, job: &Job) {
        tracing::warn!(bot = %self.bot, task = %job.id(), "the claim of a task has ended, so its result is dropped");
        self.count(|counts| counts.lost += 1);
        self.tell(&WorkerEvent::Lost { job });
    }

    /// Extends the leases of the jobs in progress, and takes tasks back from crashed processes, until the
    /// worker stops and no job is left.
    pub(crate) fn keep_leases(&self) {
        // A third of the lease, so that two extensions may fail.
        let (mut extend, mut look) = (Every::new(self.options.lease / 3), Every::new(LOOK_EVERY));
        loop {
            self.pause_until(extend.next.min(look.next));
            let jobs: Vec<_> = self.running.lock().values().filter(|job| !job.is_lost()).cloned().collect();
            if jobs.is_empty() && self.is_stopping() && *self.at_work.lock() == 0 {
                return;
            }
            let extended = if extend.is_due() { self.extend(&jobs) } else { Ok(()) };
            let looked = if look.is_due() { self.store.notice_crashes().map(drop) } else { Ok(()) };
            for error in [extended, looked].into_iter().filter_map(Result::err) {
                self.trouble(&error);
                if error.kind() == ErrorKind::Forked {
                    return;
                }
            }
        }
    }

    /// Waits until that time. The end of the work ends the wait.
    fn pause_until(&self, until: Instant) {
        let mut at_work = self.at_work.lock();
        while (*at_work > 0 || !self.is_stopping()) && !self.told.wait_until(&mut at_work, until).timed_out() {}
    }

    /// Extends the leases of jobs in one commit. A job whose claim has ended learns of it.
    fn extend(&self, jobs: &[Arc<Job>]) -> Result<()> {
        if jobs.is_empty() {
            return Ok(());
        }
        let lost = self.store.write(|tx| {
            let mut lost = Vec::new();
            for job in jobs {
                let extended = tx.queue().extend(job.id(), job.claim.token, self.options.lease);
                match extended {
                    Err(error) if matches!(error.kind(), ErrorKind::Conflict | ErrorKind::NotFound) => lost.push(job),
                    other => drop(other?),
                }
            }
            Ok(lost)
        })?;
        let running = self.running.lock();
        // A job that has ended in the meantime is not lost.
        lost.into_iter()
            .filter(|job| running.contains_key(job.id()))
            .for_each(|job| job.lost.store(true, Ordering::SeqCst));
        Ok(())
    }
}

/// Work that is due again and again.
struct Every {
    period: Duration,
    next: Instant,
}

impl Every {
    fn new(period: Duration) -> Self {
        Self { period, next: Instant::now() + period }
    }

    /// Whether the work is due; then it is due again a period later.
    fn is_due(&mut self) -> bool {
        let now = Instant::now();
        let is_due = self.next <= now;
        if is_due {
            self.next = now + self.period;
        }
        is_due
    }
}

/// The end of a function without a result.
#[derive(Debug)]
pub(crate) enum Ended {
    Failed(JobFailure),
    /// With the text of the panic.
    Panicked(String),
}

impl Ended {
    /// A panic, with its text where it has one.
    pub(crate) fn by_panic(panic: &(dyn std::any::Any + Send)) -> Self {
        let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        Self::Panicked(text.unwrap_or("no reason was given").to_owned())
    }

    /// The failure of the attempt, with a reason that can be stored.
    fn into_failure(self) -> JobFailure {
        let mut failure = match self {
            Self::Failed(failure) => failure,
            Self::Panicked(text) => JobFailure::new(format!("the function panicked: {text}")),
        };
        limits::shorten(&mut failure.reason, limits::REASON_BYTES);
        failure
    }
}
