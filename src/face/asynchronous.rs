//! The store for programs that run on tokio: the same verbs, on threads where waiting for the disk blocks nobody.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;

use crate::face::parcel::Parcel;
use crate::{
    BotId, Claim, ClaimOptions, ClaimWait, Completed, Enqueued, Error, ErrorKind, NewTask, Result, Store, TaskId,
    Token, View, Worker, WriteTx,
};

/// A [`Store`] for async programs: every call runs on tokio's threads for blocking work, so that none holds up the
/// runtime.
///
/// A call whose future is dropped is not taken back: a closure that has begun runs to its end. Only
/// [`claim_wait`](Self::claim_wait) gives back claims that nobody received.
///
/// Closing waits for the disk too, and for other processes that write. Await [`close`](Self::close) to hear of what
/// goes wrong. When the last clone is dropped in a runtime, the store is closed beside it, and the runtime waits for
/// that only when it ends; one that is ended in the background may leave a session that is taken for a crash.
///
/// # Examples
///
/// ```
/// use hivekeep::AsyncStore;
/// use serde_json::json;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> hivekeep::Result<()> {
/// # let dir = tempfile::tempdir().unwrap();
/// let store = AsyncStore::open(dir.path().join("h.redb")).await?;
/// store.write(|tx| tx.config().put("limit", &json!(3))).await?;
/// assert_eq!(store.read(|view| view.config().get("limit")).await?, Some(json!(3)));
/// store.call(|store| store.restore_point("before the night")).await?;
/// store.close().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct AsyncStore {
    // One for all clones, so that the last of them can be told.
    store: Arc<Shared>,
}

/// The store of all clones; none only while the last of them is dropped.
#[derive(Debug)]
struct Shared(Option<Store>);

impl From<Store> for AsyncStore {
    fn from(store: Store) -> Self {
        Self { store: Arc::new(Shared(Some(store))) }
    }
}

impl Drop for Shared {
    /// Closing may wait for a minute. A runtime that ends drops what it does not run any more, so then it is closed
    /// here.
    fn drop(&mut self) {
        // A panic that is on its way leaves the session open, and that is known only on this thread.
        if let Ok(runtime) = Handle::try_current()
            && !std::thread::panicking()
            && self.0.as_ref().is_some_and(|store| store.refuse_forked().is_ok())
        {
            let store = self.0.take();
            drop(runtime.spawn_blocking(move || drop(store)));
        }
    }
}

impl AsyncStore {
    /// Opens the store at `path`, or creates one. For other ways, open a [`Store`] and turn it into this.
    ///
    /// # Errors
    ///
    /// As [`Store::open`].
    pub async fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref().to_path_buf();
        blocking(move || Store::open(path)).await.map(Self::from)
    }

    /// The store itself. Its calls block.
    #[expect(clippy::expect_used, reason = "it is taken out only where nobody has it any more")]
    pub fn store(&self) -> &Store {
        self.store.0.as_ref().expect("the store of a clone")
    }

    /// Closes the store for every clone, once the calls in progress have ended.
    ///
    /// # Errors
    ///
    /// As [`Store::close`]; after `Locked` it is still open, and can be closed again.
    pub async fn close(&self) -> Result<()> {
        self.call(Store::close).await
    }

    /// Runs any calls of the store.
    ///
    /// # Errors
    ///
    /// The errors of `work`; `Reopen` when the runtime is shutting down.
    pub async fn call<R: Send + 'static>(&self, work: impl FnOnce(&Store) -> Result<R> + Send + 'static) -> Result<R> {
        // A runtime's threads are not there in a forked child.
        self.store().refuse_forked()?;
        let store = self.store().clone();
        blocking(move || work(&store)).await
    }

    /// Runs a closure in a transaction and returns once its changes are on the disk.
    ///
    /// # Errors
    ///
    /// As [`Store::write`].
    pub async fn write<R: Send + 'static>(
        &self,
        closure: impl FnOnce(&mut WriteTx<'_>) -> Result<R> + Send + 'static,
    ) -> Result<R> {
        self.call(|store| store.write(closure)).await
    }

    /// Reads from one view of now.
    ///
    /// # Errors
    ///
    /// As [`Store::view`], and what `closure` returns.
    pub async fn read<R: Send + 'static>(
        &self,
        closure: impl FnOnce(&View) -> Result<R> + Send + 'static,
    ) -> Result<R> {
        self.call(|store| closure(&store.view()?)).await
    }

    /// Notes that a bot was heard of now, as [`Store::heartbeat`].
    ///
    /// # Errors
    ///
    /// As [`Store::heartbeat`].
    pub async fn heartbeat(&self, bot: &BotId) -> Result<Timestamp> {
        let bot = bot.clone();
        self.call(move |store| store.heartbeat(&bot)).await
    }

    /// Claims tasks for `bot`, and waits up to `timeout` for the first one, as [`Store::claim_wait`]. No thread waits
    /// meanwhile, so thousands of bots may.
    ///
    /// The future may be dropped at any time: what was claimed for it goes back at once, and no attempt is counted.
    ///
    /// # Errors
    ///
    /// As [`Store::claim_wait`].
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use hivekeep::{AsyncStore, BotId, ClaimOptions, NewTask};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> hivekeep::Result<()> {
    /// # let dir = tempfile::tempdir().unwrap();
    /// let store = AsyncStore::open(dir.path().join("h.redb")).await?;
    /// let (bot, options) = (BotId::new("BOT-1")?, ClaimOptions::default());
    /// store.enqueue_all(vec![NewTask::new("build"), NewTask::new("test")]).await?;
    /// let mut claims = store.claim_wait(&bot, &options, Duration::from_secs(30)).await?;
    /// while let Some(claim) = claims.pop() {
    ///     claims = store.complete_and_claim(&claim.id, claim.token, "ok", &options, Duration::ZERO).await?.claims;
    /// }
    /// # store.close().await
    /// # }
    /// ```
    pub async fn claim_wait(&self, bot: &BotId, options: &ClaimOptions, timeout: Duration) -> Result<Vec<Claim>> {
        let mut wait = ClaimWait::new(bot, options, timeout);
        loop {
            let (looked, ended) = self
                .call(move |store| {
                    let ended = wait.look(store)?.map(|claims| Parcel::new(store, claims));
                    Ok((wait, ended))
                })
                .await?;
            wait = looked;
            if let Some(parcel) = ended {
                return Ok(parcel.delivered());
            }
            wait.news().await;
        }
    }
}

impl AsyncStore {
    /// A worker for a bot; start it with [`start_async`](Worker::start_async), whose function is async, or with
    /// [`start`](Worker::start), which has threads.
    pub fn worker(&self, bot: &BotId) -> Worker {
        self.store().worker(bot)
    }

    /// Enqueues many tasks in one commit, as [`Store::enqueue_all`].
    ///
    /// # Errors
    ///
    /// As [`Store::enqueue_all`].
    pub async fn enqueue_all(&self, tasks: Vec<NewTask>) -> Result<Vec<Enqueued>> {
        self.call(move |store| store.enqueue_all(tasks)).await
    }

    /// Completes a task and claims the next one for the same bot in one commit, as [`Store::complete_and_claim`], and
    /// waits up to `timeout` for the first one. No thread waits meanwhile.
    ///
    /// The future may be dropped at any time: the task stays completed if it was, and what was claimed goes back at
    /// once.
    ///
    /// # Errors
    ///
    /// As [`Store::complete_and_claim`].
    pub async fn complete_and_claim(
        &self,
        id: &TaskId,
        token: Token,
        result: impl Into<Value>,
        options: &ClaimOptions,
        timeout: Duration,
    ) -> Result<Completed> {
        let (id, result, first) = (id.clone(), result.into(), options.clone());
        let (completed, parcel) = self
            .call(move |store| {
                let ended = store.complete_and_claim(&id, token, result, &first, Duration::ZERO)?;
                Ok((ended.completed, Parcel::new(store, ended.claims)))
            })
            .await?;
        let mut claims = parcel.delivered();
        if let Some(bot) = Completed::waiting_bot(&completed, &claims, timeout) {
            claims = Completed::claims_of(self.claim_wait(bot, options, timeout).await);
        }
        Ok(Completed { completed, claims })
    }
}

/// Runs work on a thread for blocking work. A panic in it goes on here.
async fn blocking<R: Send + 'static>(work: impl FnOnce() -> Result<R> + Send + 'static) -> Result<R> {
    match spawn_blocking(work).await {
        Ok(done) => done,
        Err(failed) => match failed.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(cancelled) => {
                let message = "the runtime is shutting down, so nothing was done; open the store again";
                Err(Error::new(ErrorKind::Reopen, message).with_source(cancelled))
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Instant;

    use serde_json::json;

    use super::*;
    use crate::{Bot, SessionState};

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
    }

    #[test]
    fn a_thousand_bots_wait_on_one_thread_and_one_of_them_gets_the_task() {
        let folder = tempfile::tempdir().unwrap();
        runtime().block_on(async {
            let store = AsyncStore::open(folder.path().join("h.redb")).await.unwrap();
            let waiting: Vec<_> = (0..1000)
                .map(|number| {
                    let store = store.clone();
                    tokio::spawn(async move {
                        let bot = BotId::new(format!("bot-{number}")).unwrap();
                        store.claim_wait(&bot, &ClaimOptions::default(), Duration::from_secs(3)).await.unwrap().len()
                    })
                })
                .collect();
            store.write(|tx| tx.queue().enqueue(NewTask::new(json!(1)))).await.unwrap();
            let mut got = 0;
            for waits in waiting {
                got += waits.await.unwrap();
            }
            assert_eq!(got, 1);
        });
    }

    #[test]
    fn a_bot_completes_its_task_and_waits_for_the_next_one_in_one_call() {
        let folder = tempfile::tempdir().unwrap();
        runtime().block_on(async {
            let store = AsyncStore::open(folder.path().join("h.redb")).await.unwrap();
            let (bot, options) = (BotId::new("ant").unwrap(), ClaimOptions::default());
            store.enqueue_all(vec![NewTask::new("first")]).await.unwrap();
            let first = store.claim_wait(&bot, &options, Duration::ZERO).await.unwrap().remove(0);
            let waits = tokio::spawn({
                let store = store.clone();
                async move {
                    let long = Duration::from_secs(60);
                    store.complete_and_claim(&first.id, first.token, 1, &options, long).await.unwrap()
                }
            });
            while store.read(|view| Ok(view.queue().counts()?.done)).await.unwrap() == 0 {
                tokio::task::yield_now().await;
            }
            store.enqueue_all(vec![NewTask::new("second")]).await.unwrap();
            let ended = waits.await.unwrap();
            assert_eq!((ended.completed.payload, ended.claims[0].payload.clone()), ("first".into(), "second".into()));
        });
    }

    #[test]
    fn a_wait_that_is_dropped_at_any_moment_leaves_nothing_claimed_and_counts_no_attempt() {
        let folder = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
        runtime.block_on(async {
            let store = AsyncStore::open(folder.path().join("h.redb")).await.unwrap();
            let mut dropped = 0;
            for round in 0..200u64 {
                let waits = tokio::spawn({
                    let store = store.clone();
                    // Scattered over the time that a claim takes, from the enqueueing on.
                    let soon = Duration::from_micros(500 + round * 7_919 % 9_000);
                    // Some are dropped after the claim, however slow the disk is.
                    let until = if round % 10 == 9 { Duration::from_secs(5) } else { soon };
                    async move {
                        let bot = BotId::new("ant").unwrap();
                        let options = ClaimOptions::default();
                        let wait = store.claim_wait(&bot, &options, Duration::from_secs(60));
                        tokio::time::timeout(until, wait).await.map(Result::unwrap)
                    }
                });
                tokio::time::sleep(Duration::from_micros(round * 104_729 % 3_000)).await;
                let task = store.write(|tx| tx.queue().enqueue(NewTask::new(json!(1)))).await.unwrap();
                let delivered = waits.await.unwrap();
                dropped += u32::from(delivered.is_err());
                let begun = Instant::now();
                let left = loop {
                    let id = task.id.clone();
                    let task = store.read(move |view| view.queue().get(&id)).await.unwrap().unwrap();
                    if delivered.is_ok() || task.holder.is_none() {
                        break task;
                    }
                    assert!(
                        begun.elapsed() < Duration::from_secs(5),
                        "round {round}: nobody received it, and it stays"
                    );
                };
                assert_eq!(left.attempts, u32::from(delivered.is_ok()), "round {round}");
                // A claim that began before the drop may still be on its way.
                store.write(move |tx| tx.queue().cancel(&task.id)).await.unwrap();
            }
            assert!((20..200).contains(&dropped), "{dropped} of 200 were dropped");
        });
    }

    /// A store that will be dropped, another that looks at it, and how the first one's session goes.
    fn two() -> (tempfile::TempDir, AsyncStore, Store, impl Fn() -> SessionState) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("h.redb");
        let store = Store::open(&path).unwrap();
        let own = store.session().unwrap();
        let other = Store::open(&path).unwrap();
        let sees = other.clone();
        let state = move || sees.sessions().unwrap().into_iter().find(|session| session.id == own).unwrap().state;
        (folder, store.into(), other, state)
    }

    #[test]
    fn a_store_that_is_dropped_does_not_hold_up_the_runtime_which_ends_once_it_is_closed() {
        let (_folder, store, other, state) = two();
        let runtime = runtime();
        let (go, wait) = mpsc::channel::<()>();
        std::thread::scope(|scope| {
            let (began, begins) = mpsc::channel();
            scope.spawn(move || {
                other.write(|_| {
                    began.send(()).unwrap();
                    wait.recv().unwrap();
                    Ok(())
                })
            });
            begins.recv().unwrap();
            // The store cannot be closed before this thread says so.
            runtime.block_on(async { drop(store) });
            assert_eq!(state(), SessionState::Open);
            go.send(()).unwrap();
        });
        drop(runtime);
        assert_eq!(state(), SessionState::Closed);
    }

    #[test]
    fn a_store_that_goes_with_its_runtime_is_closed() {
        let (_folder, store, _other, state) = two();
        let runtime = runtime();
        runtime.spawn(async move {
            std::future::pending::<()>().await;
            drop(store);
        });
        runtime.block_on(tokio::task::yield_now());
        drop(runtime);
        assert_eq!(state(), SessionState::Closed);
    }

    #[test]
    fn a_store_that_a_panic_drops_is_not_closed() {
        let (_folder, store, _other, state) = two();
        let task = async move {
            let _dropped = store;
            panic!("on purpose");
        };
        let runtime = runtime();
        assert!(runtime.block_on(async { tokio::spawn(task).await.unwrap_err() }).is_panic());
        drop(runtime);
        assert_eq!(state(), SessionState::Open);
    }

    #[test]
    fn heartbeats_are_written_when_the_last_clone_is_dropped() {
        let (_folder, store, other, _state) = two();
        let bot = BotId::new("BOT-1").unwrap();
        other.write(|tx| tx.registry().put(&Bot::new(bot.clone()))).unwrap();
        let heard = || other.view().unwrap().registry().get(&bot).unwrap().unwrap().last_heartbeat;
        let at = runtime().block_on(async {
            let at = store.heartbeat(&bot).await.unwrap();
            assert_eq!(heard(), None);
            drop(store);
            at
        });
        assert_eq!(heard(), Some(at));
    }

    #[test]
    fn closing_says_what_goes_wrong_and_ends_every_clone() {
        let (_folder, store, _other, state) = two();
        runtime().block_on(async {
            let clone = store.clone();
            store.close().await.unwrap();
            assert_eq!(clone.read(|_| Ok(())).await.unwrap_err().kind(), ErrorKind::Reopen);
        });
        assert_eq!(state(), SessionState::Closed);
    }

    #[test]
    fn a_call_does_not_hold_up_the_runtime() {
        let folder = tempfile::tempdir().unwrap();
        runtime().block_on(async {
            let store = AsyncStore::open(folder.path().join("h.redb")).await.unwrap();
            let (go, wait) = mpsc::channel();
            let writes = tokio::spawn({
                let store = store.clone();
                async move { store.write(move |_| Ok(wait.recv().unwrap())).await }
            });
            // The write cannot end before this thread says so.
            tokio::time::sleep(Duration::from_millis(20)).await;
            go.send(7).unwrap();
            assert_eq!(writes.await.unwrap().unwrap(), 7);
        });
    }

    #[test]
    fn a_panic_of_a_closure_reaches_its_caller_and_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        runtime().block_on(async {
            let store = AsyncStore::open(folder.path().join("h.redb")).await.unwrap();
            let writes = tokio::spawn({
                let store = store.clone();
                async move {
                    store
                        .write(|tx| {
                            tx.config().put("a", &json!(1))?;
                            assert!(tx.config().get("b")?.is_some(), "on purpose");
                            Ok(())
                        })
                        .await
                }
            });
            assert!(writes.await.unwrap_err().is_panic());
            assert_eq!(store.read(|view| view.config().get("a")).await.unwrap(), None);
        });
    }
}
