//! The tasks of a worker in a program that runs on tokio: its function is async, and no thread waits for work.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::runtime::Handle;
use tokio::task::{spawn, spawn_blocking};

use crate::error::{Error, ErrorKind, Result};
use crate::state::queue::{Claim, ClaimWait, Undelivered};
use crate::worker::builder::Worker;
use crate::worker::events::WorkerCounts;
use crate::worker::job::{Job, JobFailure};
use crate::worker::running::{Ends, Working};
use crate::worker::shared::{Ended, PAUSE, Shared};

impl Worker {
    /// Starts the worker in the runtime of the caller: as many tokio tasks as it does tasks of the queue at once, and
    /// one thread that extends leases. Calls of the store run on threads for blocking work.
    ///
    /// A panic of the function is a failure of the task, as on threads. When the runtime ends, so does the worker; stop
    /// it before with [`Working::stopped`].
    ///
    /// # Errors
    ///
    /// As [`start`](Worker::start); `Invalid` outside of a runtime.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::Arc;
    /// use std::time::Duration;
    /// use hivekeep::{AsyncStore, BotId, Job, NewTask};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> hivekeep::Result<()> {
    /// # let dir = tempfile::tempdir().unwrap();
    /// let store = AsyncStore::open(dir.path().join("h.redb")).await?;
    /// let worker = store.worker(&BotId::new("BOT-1")?).concurrency(4).start_async(|job: Arc<Job>| async move {
    ///     tokio::time::sleep(Duration::from_millis(1)).await;
    ///     Ok(format!("built {}", job.payload()))
    /// })?;
    /// store.enqueue_all((0..8).map(NewTask::new).collect()).await?;
    /// # while store.read(|view| Ok(view.queue().counts()?.done)).await? < 8 {
    /// #     tokio::time::sleep(Duration::from_millis(5)).await;
    /// # }
    /// let counts = worker.stopped(Duration::from_secs(10)).await?;
    /// assert_eq!((counts.done, counts.running), (8, 0));
    /// store.close().await
    /// # }
    /// ```
    pub fn start_async<R, F>(self, function: impl Fn(Arc<Job>) -> F + Send + Sync + 'static) -> Result<Working>
    where
        R: Into<Value>,
        F: Future<Output = Result<R, JobFailure>> + Send + 'static,
    {
        let runtime = Handle::try_current().map_err(|source| {
            Error::invalid("an async worker is started inside of a tokio runtime").with_source(source)
        })?;
        let (concurrency, shared) = self.shared()?;
        let working = Working::of(shared.clone())?;
        let function = Arc::new(move |job| {
            let result = function(job);
            async move { result.await.map(Into::into) }
        });
        for _ in 0..concurrency {
            shared.begins_work();
            let ends = Ends(shared.clone());
            let function = function.clone();
            runtime.spawn(async move { work(&ends.0, &*function).await });
        }
        Ok(working)
    }
}

impl Working {
    /// Stops the worker as [`stop`](Self::stop) does, and blocks no thread of the runtime meanwhile.
    ///
    /// # Errors
    ///
    /// `Reopen` when the runtime is shutting down.
    pub async fn stopped(self, limit: Duration) -> Result<WorkerCounts> {
        on_a_thread(move || self.stop(limit)).await
    }
}

/// Does one task after the other.
async fn work<F>(shared: &Arc<Shared>, function: &(impl Fn(Arc<Job>) -> F + Send + Sync))
where
    F: Future<Output = Result<Value, JobFailure>> + Send + 'static,
{
    let mut next = None;
    loop {
        let claim = match next.take() {
            Some(claim) => Some(claim),
            None => claim(shared).await,
        };
        let Some(claim) = claim else { return };
        let own = shared.clone();
        let Ok(Some(job)) = on_a_thread(move || own.begin(claim)).await else { return };
        let began = Instant::now();
        // A task of its own, so that its panic ends nothing else.
        let result = match spawn(function(job.clone())).await {
            Ok(result) => result.map_err(Ended::Failed),
            Err(ended) => match ended.try_into_panic() {
                Ok(panic) => Err(Ended::by_panic(&*panic)),
                // The runtime is shutting down. The lease or the session ends the claim.
                Err(_) => return,
            },
        };
        let own = shared.clone();
        next = on_a_thread(move || own.end(&job, result, began.elapsed())).await.ok().flatten();
    }
}

/// Waits for the next task; none when the worker stops.
async fn claim(shared: &Arc<Shared>) -> Option<Claim> {
    let mut wait = shared.wait();
    while !shared.is_stopping() {
        let (looked, found) = look(shared.clone(), wait).await.ok()?;
        wait = looked;
        match found {
            Ok(Some(taken)) => match taken.delivered().pop() {
                Some(claim) => return Some(claim),
                None => wait = shared.wait(),
            },
            // Asked behind the look: a stop that comes later ends the sleep.
            Ok(None) if shared.is_stopping() => return None,
            Ok(None) => wait.news().await,
            Err(error) => {
                shared.trouble(&error);
                if error.kind() == ErrorKind::Forked {
                    return None;
                }
                wait = shared.wait();
                let own = shared.clone();
                on_a_thread(move || own.pause(PAUSE)).await.ok()?;
            }
        }
    }
    None
}

type Looked = (ClaimWait, Result<Option<Undelivered>>);

/// Looks once. Claims that nobody receives, because the runtime ends, are given back.
async fn look(shared: Arc<Shared>, mut wait: ClaimWait) -> Result<Looked> {
    on_a_thread(move || {
        let found = wait.look(&shared.store);
        let found = found.map(|claims| claims.map(|claims| Undelivered::new(&shared.store, claims)));
        (wait, found)
    })
    .await
}

/// Runs work on a thread for blocking work. A panic in it goes on here.
async fn on_a_thread<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> Result<R> {
    match spawn_blocking(work).await {
        Ok(done) => Ok(done),
        Err(failed) => match failed.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(cancelled) => Err(Error::new(ErrorKind::Reopen, "the runtime is shutting down").with_source(cancelled)),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::engine::store::Store;
    use crate::state::ids::BotId;
    use crate::state::queue::NewTask;

    #[test]
    fn an_async_worker_does_every_task_and_a_panic_is_a_failure() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::options().open_with(&folder.path().join("h.redb"), crate::state::INDEXES).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
            let at_once = most.clone();
            let worker = store.worker(&BotId::new("ant").unwrap()).concurrency(3);
            let worker = worker.start_async(move |job| {
                let (now, most) = (now.clone(), most.clone());
                async move {
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    now.fetch_sub(1, Ordering::SeqCst);
                    assert!(job.payload() != "panics", "on purpose");
                    Ok(1)
                }
            });
            let worker = worker.unwrap();
            let mut tasks: Vec<_> = (0..20).map(NewTask::new).collect();
            tasks.push(NewTask::new("panics").max_attempts(1));
            store.enqueue_all(tasks).unwrap();
            let counts = || store.view().unwrap().queue().counts().unwrap();
            while counts().done < 20 || counts().dead < 1 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            let counts = worker.stopped(Duration::from_secs(60)).await.unwrap();
            assert_eq!((counts.done, counts.panicked, counts.running), (20, 1, 0));
            assert_eq!(at_once.load(Ordering::SeqCst), 3);
        });
        assert_eq!(Arc::strong_count(&store.inner), 1);
    }

    #[test]
    fn an_idle_async_worker_stops_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::options().open_with(&folder.path().join("h.redb"), crate::state::INDEXES).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let worker = store.worker(&BotId::new("ant").unwrap()).concurrency(50);
            let worker = worker.start_async(|_| async { Ok(1) }).unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
            let began = Instant::now();
            worker.stopped(Duration::from_secs(60)).await.unwrap();
            assert!(began.elapsed() < Duration::from_secs(10));
        });
    }
}
