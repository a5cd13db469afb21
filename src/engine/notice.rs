//! Telling those who wait that something was committed, or that something came due.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use jiff::Timestamp;
use parking_lot::{Condvar, Mutex};

use crate::engine::watch::Watch;

/// How often there was news, which is a commit or something that came due, and who waits for the next.
///
/// What this process commits is told at once. Of other processes and of the time a [`Watch`] tells, while somebody waits.
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
    /// Those who wait are woken when the clock shows this.
    due: Option<Timestamp>,
    /// How many wait.
    waiting: usize,
    /// What looks meanwhile.
    watch: Option<Arc<Watch>>,
    /// The newest commit that those who wait were told of; none when its number could not be read.
    newest: Option<u64>,
}

impl Commits {
    /// The number so far: asked for before looking, so that a commit in between is not missed.
    pub(crate) fn count(&self) -> u64 {
        self.state.lock().count
    }

    /// Whether this process has committed.
    pub(crate) fn has_committed(&self) -> bool {
        self.state.lock().has_committed
    }

    /// Wakes everybody who waits, as this process has committed.
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

    /// Wakes everybody who waits, as what they wait for may have changed without a commit.
    pub(crate) fn look_again(&self) {
        self.wake(|_| true);
    }

    /// Has everybody who waits woken once the clock shows that time, unless they are woken before.
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

    /// One more waits; `start` is for when nobody looks meanwhile.
    ///
    /// # Errors
    ///
    /// What `start` gives; then this one does not wait.
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

    /// One less waits.
    pub(crate) fn leave(&self) {
        self.state.lock().waiting -= 1;
    }

    /// Whether anybody waits.
    pub(crate) fn are_waited_for(&self) -> bool {
        self.state.lock().waiting > 0
    }

    /// What looks, while somebody waits.
    pub(crate) fn watch(&self) -> Option<Arc<Watch>> {
        self.state.lock().watch.clone()
    }

    /// Lets go of the watch if nobody waits any more; says whether nobody does.
    pub(crate) fn end_watch(&self) -> bool {
        let mut state = self.state.lock();
        let ends = state.waiting == 0;
        if ends {
            state.watch = None;
        }
        ends
    }

    /// Wakes those who wait if what the watch has seen is news: the newest commit, the time, or that the clock was set
    /// back.
    pub(crate) fn seen(&self, newest: Option<u64>, now: Timestamp, went_back: bool) {
        self.wake(|state| {
            // A number that could not be read says nothing, so they have to look themselves.
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
        // They look again, and say again what is due next.
        state.due = None;
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        self.told.notify_all();
        wakers.into_values().for_each(Waker::wake);
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
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn who_waits_is_woken_by_a_commit_and_not_by_an_older_one() {
        let commits = Commits::default();
        commits.tell();
        let seen = commits.count();
        let started = Instant::now();
        commits.wait(seen, Some(started + Duration::from_millis(20)));
        assert!(started.elapsed() >= Duration::from_millis(20));

        std::thread::scope(|scope| {
            let waits = scope.spawn(|| commits.wait(seen, None));
            commits.tell();
            waits.join().unwrap();
        });
        commits.wait(seen, None);
    }

    #[cfg(feature = "tokio")]
    #[test]
    fn a_task_that_waits_is_woken_and_one_that_does_not_any_more_is_forgotten() {
        use std::task::Context;

        let commits = Commits::default();
        let mut context = Context::from_waker(Waker::noop());
        let mut gone = Box::pin(commits.more_than(commits.count()));
        let mut waits = Box::pin(commits.more_than(commits.count()));
        for _ in 0..2 {
            assert!(gone.as_mut().poll(&mut context).is_pending());
            assert!(waits.as_mut().poll(&mut context).is_pending());
        }
        assert_eq!(commits.state.lock().wakers.len(), 2);
        drop(gone);
        assert_eq!(commits.state.lock().wakers.len(), 1);
        commits.tell();
        assert!(waits.as_mut().poll(&mut context).is_ready());
    }
}
