//! Waking waiting callers when something was committed or came due.
//!
//! One thread watches on behalf of all waiting callers of an open store, so that a thousand cost as much as one. It lives
//! as long as somebody waits. Ten times a second it reads the clock and the header of the file, which every commit of any
//! process changes. It reads no row; the woken callers do that.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use parking_lot::{Condvar, Mutex};

use crate::clock::Clock;
use crate::engine::redb_file::OwnFile;
use crate::engine::redb_file::pages::Pages;
use crate::engine::session::process::Process;
use crate::error::Result;

/// Counts news, which is a commit or a due time, and knows the callers that wait for more.
///
/// Commits of this process are told at once. While somebody waits, a [`Watch`] tells of other processes and of the time.
#[derive(Default)]
pub(crate) struct Commits {
    state: Mutex<State>,
    told: Condvar,
}

#[derive(Default)]
struct State {
    count: u64,
    has_committed: bool,
    /// Tasks of async programs that wait, each by a number of its own.
    wakers: BTreeMap<u64, Waker>,
    #[cfg(feature = "tokio")]
    next_waker: u64,
    /// Waiting callers are woken at this time.
    due: Option<Timestamp>,
    /// How many callers wait.
    waiting: usize,
    /// The thread that watches meanwhile.
    watch: Option<Arc<Watch>>,
    /// The newest commit that waiting callers were told of; none when its number could not be read.
    newest: Option<u64>,
}

impl Commits {
    /// The count so far. Callers ask for it before they look, so that they miss no commit in between.
    pub(crate) fn count(&self) -> u64 {
        self.state.lock().count
    }

    /// Whether this process has committed.
    pub(crate) fn has_committed(&self) -> bool {
        self.state.lock().has_committed
    }

    /// Wakes all waiting callers after a commit of this process.
    pub(crate) fn tell(&self) {
        let watch = self.watch();
        // Read before they are woken, so they see every commit up to this one, whoever made it.
        let newest = watch.map(|watch| watch.newest());
        self.wake(|state| {
            state.has_committed = true;
            if let Some(newest) = newest {
                state.newest = newest;
            }
            true
        });
    }

    /// Wakes all waiting callers after a change that is no commit.
    pub(crate) fn look_again(&self) {
        self.wake(|_| true);
    }

    /// Wakes all waiting callers at that time, unless they are woken before.
    pub(crate) fn tell_at(&self, time: Timestamp) {
        let mut state = self.state.lock();
        state.due = state.due.into_iter().chain([time]).min();
    }

    /// Waits until there are more than `seen`, or until then.
    pub(crate) fn wait(&self, seen: u64, until: Option<Instant>) {
        let mut state = self.state.lock();
        while state.count == seen {
            match until {
                None => self.told.wait(&mut state),
                Some(until) if self.told.wait_until(&mut state, until).timed_out() => return,
                Some(_) => {}
            }
        }
    }

    /// Registers one more waiting caller. `start` starts the thread if it does not run.
    ///
    /// # Errors
    ///
    /// Every error of `start`; then this one does not wait.
    pub(crate) fn come<E>(&self, start: impl FnOnce() -> Result<Arc<Watch>, E>) -> Result<(), E> {
        let mut state = self.state.lock();
        if state.watch.is_none() {
            let watch = start()?;
            state.newest = watch.newest();
            state.watch = Some(watch);
        }
        state.waiting += 1;
        Ok(())
    }

    /// Removes one waiting caller.
    pub(crate) fn leave(&self) {
        self.state.lock().waiting -= 1;
    }

    /// Whether anybody waits.
    pub(crate) fn are_waited_for(&self) -> bool {
        self.state.lock().waiting > 0
    }

    /// The thread that watches while somebody waits.
    pub(crate) fn watch(&self) -> Option<Arc<Watch>> {
        self.state.lock().watch.clone()
    }

    /// Ends the watch if nobody waits any more; says whether it did.
    pub(crate) fn end_watch(&self) -> bool {
        let mut state = self.state.lock();
        let ends = state.waiting == 0;
        if ends {
            state.watch = None;
        }
        ends
    }

    /// Wakes waiting callers if the watch has seen news: another newest commit, a due time, or a clock that was set back.
    pub(crate) fn seen(&self, newest: Option<u64>, now: Timestamp, went_back: bool) {
        self.wake(|state| {
            // Without a number the callers have to look themselves.
            let committed = newest.is_none() || newest != state.newest;
            state.newest = newest;
            committed || went_back || state.due.is_some_and(|due| due <= now)
        });
    }

    fn wake(&self, is_news: impl FnOnce(&mut State) -> bool) {
        let mut state = self.state.lock();
        if !is_news(&mut state) {
            return;
        }
        state.count += 1;
        // The callers look again and register the next due time again.
        state.due = None;
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        self.told.notify_all();
        wakers.into_values().for_each(Waker::wake);
    }
}

/// The interval of the watch: commits of other processes and due times are noticed after this time at the latest.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// The thread ends after so many looks for nobody, because waiting bots come back.
const LOOKS_FOR_NOBODY: u32 = 10;

/// The clock and the file that the thread watches.
pub(crate) struct Watch {
    clock: Arc<dyn Clock>,
    others: Others,
}

/// Whether there are other processes, and where their commits can be seen.
enum Others {
    None,
    /// None when the file cannot be opened.
    In(Option<OwnFile>),
}

/// A caller that waits until this is dropped.
pub(crate) struct Waiter {
    commits: Arc<Commits>,
    process: Process,
}

impl Waiter {
    /// Begins to wait. Other processes may commit to the file at `shared`, if there is one.
    ///
    /// # Errors
    ///
    /// `Io` when no thread can be started.
    pub(crate) fn begin(commits: &Arc<Commits>, clock: &Arc<dyn Clock>, shared: Option<&Path>) -> Result<Self> {
        commits.come(|| Watch::start(commits, clock, shared))?;
        Ok(Self { commits: commits.clone(), process: Process::current() })
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        // In a forked child nobody waits, and nobody releases a lock that a thread of the parent had.
        if !self.process.has_forked() {
            self.commits.leave();
        }
    }
}

impl Watch {
    fn start(commits: &Arc<Commits>, clock: &Arc<dyn Clock>, shared: Option<&Path>) -> Result<Arc<Self>> {
        let others = shared.map_or(Others::None, |path| Others::In(OwnFile::read(path).ok()));
        let watch = Arc::new(Self { clock: clock.clone(), others });
        let (own, commits, now) = (watch.clone(), commits.clone(), clock.now());
        std::thread::Builder::new().name("hivekeep-watch".into()).spawn(move || own.run(&commits, now))?;
        Ok(watch)
    }

    /// The number of the newest commit; none when it cannot be read. Where there are no others it is always the same.
    pub(crate) fn newest(&self) -> Option<u64> {
        match &self.others {
            Others::None => Some(0),
            Others::In(file) => Pages::new(file.as_ref()?).ok()?.newest_transaction().ok()?,
        }
    }

    fn run(&self, commits: &Commits, mut before: Timestamp) {
        let mut for_nobody = 0;
        while for_nobody < LOOKS_FOR_NOBODY || !commits.end_watch() {
            std::thread::sleep(LOOK_EVERY);
            let now = self.clock.now();
            commits.seen(self.newest(), now, now < before);
            for_nobody = if commits.are_waited_for() { 0 } else { for_nobody + 1 };
            before = now;
        }
    }
}

/// The same for a task of an async runtime, without an end.
#[cfg(feature = "tokio")]
mod of_async {
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use super::Commits;

    /// Ready once there are more commits than were seen.
    pub(crate) struct MoreThan<'a> {
        commits: &'a Commits,
        seen: u64,
        /// The number of its waker, once there is one.
        waker: Option<u64>,
    }

    impl Commits {
        pub(crate) fn more_than(&self, seen: u64) -> MoreThan<'_> {
            MoreThan { commits: self, seen, waker: None }
        }
    }

    impl Future for MoreThan<'_> {
        type Output = ();

        fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
            let mut state = self.commits.state.lock();
            if state.count != self.seen {
                return Poll::Ready(());
            }
            let number = self.waker.unwrap_or(state.next_waker);
            state.next_waker = state.next_waker.max(number + 1);
            state.wakers.insert(number, context.waker().clone());
            drop(state);
            self.waker = Some(number);
            Poll::Pending
        }
    }

    impl Drop for MoreThan<'_> {
        /// A task that does not wait any more is not held on to.
        fn drop(&mut self) {
            let waker = self.waker.and_then(|number| self.commits.state.lock().wakers.remove(&number));
            drop(waker);
        }
    }
}

#[cfg(test)]
mod test;
