//! A worker before it runs: its options, and its beginning.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::engine::store::Store;
use crate::error::Result;
use crate::limits;
use crate::state::ids::BotId;
use crate::state::queue::ClaimOptions;
use crate::worker::events::WorkerEvent;
use crate::worker::job::{Job, JobFailure};
use crate::worker::running::Working;
use crate::worker::shared::{Listener, Shared};

/// The maximum number of tasks that a worker does at once.
const CONCURRENCY: usize = 1_000;

/// A worker that is about to start: the options of how it claims.
///
/// It claims tasks for a bot, extends their leases while the function works on them, and completes each in the commit
/// that claims the next one. A function that returns an error or panics fails the task, which is retried by the rules
/// of the queue, and is dead after its last attempt.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use hivekeep::{BotId, NewTask, Store};
/// use serde::Deserialize;
///
/// #[derive(Deserialize)]
/// struct Build { commit: String }
///
/// # let dir = tempfile::tempdir().unwrap();
/// # let store = Store::open(dir.path().join("hive.redb"))?;
/// let worker = store.worker(&BotId::new("BOT-1")?).concurrency(4).start(|job| {
///     let build: Build = job.payload_as()?;
///     Ok(format!("built {}", build.commit))
/// })?;
/// store.write(|tx| tx.queue().enqueue(NewTask::new(serde_json::json!({"commit": "4f2a"}))))?;
/// # while store.view()?.queue().counts()?.done == 0 { std::thread::sleep(Duration::from_millis(5)); }
/// let counts = worker.stop(Duration::from_secs(10));
/// assert_eq!((counts.done, counts.running), (1, 0));
/// # Ok::<(), hivekeep::Error>(())
/// ```
#[must_use = "a worker does nothing before it is started"]
pub struct Worker {
    pub(super) store: Store,
    pub(super) bot: BotId,
    pub(super) concurrency: usize,
    pub(super) options: ClaimOptions,
    pub(super) listener: Option<Listener>,
}

impl Store {
    /// A worker that does the tasks of `bot`, one at a time unless [`concurrency`](Worker::concurrency) says more.
    pub fn worker(&self, bot: &BotId) -> Worker {
        let options = ClaimOptions { max: 1, max_concurrent: None, ..ClaimOptions::default() };
        Worker { store: self.clone(), bot: bot.clone(), concurrency: 1, options, listener: None }
    }
}

impl Worker {
    /// Sets how many tasks it does at once; one by default, at most 1,000. If the registration of the bot has a
    /// [`max_concurrent`](crate::Bot::max_concurrent), the smaller number counts.
    pub fn concurrency(mut self, tasks: usize) -> Self {
        self.concurrency = tasks;
        self
    }

    /// Sets the lease of a claim; 30 seconds by default. The worker extends it when a third of it has passed, as
    /// long as the function works. If the process dies, another worker takes its tasks over within seconds, and at
    /// the end of the lease at the latest.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.options.lease = lease;
        self
    }

    /// Raises the priority of a task by one for each full period that it has been ready; off by default.
    pub fn aging(mut self, period: Duration) -> Self {
        self.options.aging = Some(period);
        self
    }

    /// Calls `listener` with everything that happens, on the threads that do the work. The same is logged with
    /// `tracing`.
    pub fn on_event(mut self, listener: impl Fn(&WorkerEvent<'_>) + Send + Sync + 'static) -> Self {
        self.listener = Some(Arc::new(listener));
        self
    }

    /// Starts the worker: as many threads as it does tasks at once, and one that extends leases.
    ///
    /// # Errors
    ///
    /// `Invalid` when the concurrency is zero or above 1,000, or the lease or the period of aging has no length or is
    /// too long. `Io` when no thread can be started.
    pub fn start<R: Into<Value>>(
        self,
        function: impl Fn(&Job) -> Result<R, JobFailure> + Send + Sync + 'static,
    ) -> Result<Working> {
        let (concurrency, shared) = self.shared()?;
        Working::start(shared, concurrency, Arc::new(move |job: &Job| function(job).map(Into::into)))
    }

    /// The parts that its threads or tasks share.
    pub(crate) fn shared(mut self) -> Result<(usize, Arc<Shared>)> {
        limits::not_zero("a worker does at least one task at a time", "concurrency", self.concurrency)?;
        limits::count("the tasks of a worker at a time", self.concurrency, CONCURRENCY)?;
        self.options.max_concurrent = u32::try_from(self.concurrency).ok();
        self.options.check()?;
        Ok((self.concurrency, Arc::new(Shared::new(self.store, self.bot, self.options, self.listener))))
    }
}
