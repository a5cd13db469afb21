//! Telling those who wait that something was committed in this process.

use std::task::Waker;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

/// How many commits this process has made that changed something, and who waits for the next.
#[derive(Default)]
pub(crate) struct Commits {
    state: Mutex<State>,
    told: Condvar,
}

#[derive(Default)]
struct State {
    count: u64,
    wakers: Vec<Waker>,
}

impl Commits {
    /// The number so far: asked for before looking, so that a commit in between is not missed.
    pub(crate) fn count(&self) -> u64 {
        self.state.lock().count
    }

    /// Wakes everybody who waits.
    pub(crate) fn tell(&self) {
        let mut state = self.state.lock();
        state.count += 1;
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        self.told.notify_all();
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Waits until there are more than `seen`, or until then.
    pub(crate) fn wait(&self, seen: u64, until: Instant) {
        let mut state = self.state.lock();
        while state.count == seen && !self.told.wait_until(&mut state, until).timed_out() {}
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
    }

    impl Commits {
        pub(crate) fn more_than(&self, seen: u64) -> MoreThan<'_> {
            MoreThan { commits: self, seen }
        }
    }

    impl Future for MoreThan<'_> {
        type Output = ();

        fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
            let mut state = self.commits.state.lock();
            if state.count != self.seen {
                return Poll::Ready(());
            }
            if !state.wakers.iter().any(|waker| waker.will_wake(context.waker())) {
                state.wakers.push(context.waker().clone());
            }
            Poll::Pending
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
        commits.wait(seen, started + Duration::from_millis(20));
        assert!(started.elapsed() >= Duration::from_millis(20));

        std::thread::scope(|scope| {
            let waits = scope.spawn(|| commits.wait(seen, Instant::now() + Duration::from_secs(60)));
            commits.tell();
            waits.join().unwrap();
        });
        assert!(started.elapsed() < Duration::from_secs(60));
        commits.wait(seen, Instant::now() + Duration::from_secs(60));
    }

    #[cfg(feature = "tokio")]
    #[test]
    fn a_task_that_waits_is_woken() {
        use std::task::Context;

        let commits = Commits::default();
        let mut context = Context::from_waker(Waker::noop());
        let mut waits = std::pin::pin!(commits.more_than(commits.count()));
        assert!(waits.as_mut().poll(&mut context).is_pending());
        commits.tell();
        assert!(waits.poll(&mut context).is_ready());
    }
}
