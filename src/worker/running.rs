//! The threads of a worker, and the handle that stops them.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::engine::process::Process;
use crate::error::{ErrorKind, Result};
use crate::state::queue::Claim;
use crate::worker::events::WorkerCounts;
use crate::worker::job::{Job, JobFailure};
use crate::worker::shared::{Ended, PAUSE, Shared};

/// A worker's function.
type Function = Arc<dyn Fn(&Job) -> Result<Value, JobFailure> + Send + Sync>;

/// A worker at work. Dropping it stops it, and waits for the tasks in progress.
#[must_use = "a worker stops when it is dropped"]
pub struct Working {
    shared: Arc<Shared>,
    process: Process,
    threads: Vec<JoinHandle<()>>,
    /// How long its drop waits for the tasks in progress.
    limit: Duration,
}

impl Working {
    /// Starts the threads of a worker.
    pub(super) fn start(shared: Arc<Shared>, concurrency: usize, function: Function) -> Result<Self> {
        // From here on a failure stops the threads that have begun.
        let mut working = Self::of(shared)?;
        for number in 1..=concurrency {
            let (shared, function) = (working.shared.clone(), function.clone());
            working.spawn(&format!("hivekeep-work-{number}"), move || work(&shared, &function))?;
        }
        Ok(working)
    }

    /// The handle of a worker, whose leases are extended from now on.
    pub(crate) fn of(shared: Arc<Shared>) -> Result<Self> {
        let own = shared.clone();
        let leases = std::thread::Builder::new().name("hivekeep-leases".into()).spawn(move || own.keep_leases())?;
        Ok(Self { shared, process: Process::current(), threads: vec![leases], limit: Duration::MAX })
    }

    /// Starts a thread that counts as at work until it ends.
    fn spawn(&mut self, name: &str, work: impl FnOnce() + Send + 'static) -> Result<()> {
        let shared = self.shared.clone();
        shared.begins_work();
        let own = shared.clone();
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            let _ends = Ends(own);
            work();
        });
        match thread {
            Ok(thread) => self.threads.push(thread),
            Err(error) => {
                shared.ends_work();
                return Err(error.into());
            }
        }
        Ok(())
    }

    /// The counts so far.
    pub fn counts(&self) -> WorkerCounts {
        self.shared.counts()
    }

    /// Asks the worker to stop, and returns at once. It claims nothing more; what it had claimed and not begun is
    /// released. [`Job::should_stop`] tells the function.
    pub fn ask_to_stop(&self) {
        if !self.process.has_forked() {
            self.shared.ask_to_stop();
        }
    }

    /// Stops the worker and waits for the tasks in progress, at most for `limit`. Returns the counts; if `running` is
    /// not zero, these tasks go on, and their leases are extended until they end.
    pub fn stop(mut self, limit: Duration) -> WorkerCounts {
        self.limit = limit;
        let shared = self.shared.clone();
        drop(self);
        shared.counts()
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.ask_to_stop();
        let threads = std::mem::take(&mut self.threads);
        if self.process.has_forked() {
            // The threads belong to the parent. A wait for them in the child would never end.
            std::mem::forget(threads);
        } else if self.shared.wait_for_the_end(self.limit) {
            // They end now, and have nothing of the store in hand then.
            threads.into_iter().for_each(|thread| drop(thread.join()));
        }
    }
}

impl fmt::Debug for Working {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Working").field("bot", &self.shared.bot).field("counts", &self.counts()).finish_non_exhaustive()
    }
}

/// Ends the work of a thread, also when it unwinds.
pub(crate) struct Ends(pub(crate) Arc<Shared>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.ends_work();
    }
}

/// Does one task after the other.
fn work(shared: &Shared, function: &Function) {
    let mut next = None;
    while let Some(claim) = next.take().or_else(|| claim(shared)) {
        let Some(job) = shared.begin(claim) else { return };
        let began = Instant::now();
        let result = match catch_unwind(AssertUnwindSafe(|| function(&job))) {
            Ok(result) => result.map_err(Ended::Failed),
            Err(panic) => Err(Ended::by_panic(&*panic)),
        };
        next = shared.end(&job, result, began.elapsed());
    }
}

/// Waits for the next task; none when the worker stops.
fn claim(shared: &Shared) -> Option<Claim> {
    let mut wait = shared.wait();
    while !shared.is_stopping() {
        match wait.look(&shared.store) {
            Ok(Some(mut claims)) => match claims.pop() {
                Some(claim) => return Some(claim),
                None => wait = shared.wait(),
            },
            // Asked behind the look: a stop that comes later ends the sleep.
            Ok(None) if shared.is_stopping() => return None,
            Ok(None) => drop(wait.sleep(Duration::MAX)),
            Err(error) => {
                shared.trouble(&error);
                if error.kind() == ErrorKind::Forked {
                    return None;
                }
                wait = shared.wait();
                shared.pause(PAUSE);
            }
        }
    }
    None
}
