//! Waking waiting callers when something was committed or came due. The submodule `waiters` chooses the callers.
//!
//! One thread watches on behalf of all waiting callers of an open store, so that a thousand cost as much as one. It
//! lives as long as somebody waits. Fifty times a second it reads the clock and the header of the file, which every
//! commit of any process changes, or their count beside a shared log. It reads no row; the woken callers do that.

mod waiters;

#[cfg(feature = "cli")]
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use parking_lot::{Condvar, Mutex};

use self::waiters::{Sleeper, Waiters};
use crate::clock::Clock;
use crate::engine::format::wakes::Wakes;
use crate::engine::redb_file::OwnFile;
use crate::engine::redb_file::pages::Pages;
use crate::engine::session::process::Process;
use crate::error::Result;

/// Knows the callers that wait, and wakes them after commits and at due times.
///
/// Commits of this process wake them at once. While somebody waits, a [`Watch`] notices other processes and due times.
#[derive(Default)]
pub(crate) struct Commits {
    state: Mutex<Wakeups>,
}

#[derive(Default)]
struct Wakeups {
    /// Counts commits and due times.
    count: u64,
    has_committed: bool,
    waiters: Waiters,
    /// A waiting caller is woken at this time.
    due: Option<Timestamp>,
    /// The thread that watches while somebody waits.
    watch: Option<Arc<Watch>>,
    /// The newest commit of which waiting callers were notified; none when its number could not be read.
    newest: Option<u64>,
}

/// The commits that the header of the file names.
struct Published {
    /// The number of the newest commit; none when it cannot be read.
    newest: Option<u64>,
    /// The number of the one before.
    before: Option<u64>,
}

impl Published {
    /// Whether there is at most one commit since that one.
    fn is_next_to(&self, notified: Option<u64>) -> bool {
        self.newest.is_some() && notified.is_some() && (notified == self.newest || notified == self.before)
    }
}

impl Wakeups {
    fn wake_at(&mut self, time: Timestamp) {
        self.due = self.due.into_iter().chain([time]).min();
    }
}

impl Commits {
    /// The count so far.
    #[cfg(test)]
    pub(crate) fn count(&self) -> u64 {
        self.state.lock().count
    }

    /// How many waiting callers sleep.
    #[cfg(test)]
    pub(crate) fn asleep(&self) -> usize {
        self.state.lock().waiters.asleep()
    }

    /// The names under which callers of this process wait.
    #[cfg(feature = "cli")]
    pub(crate) fn waiting_names(&self) -> BTreeSet<Vec<u8>> {
        self.state.lock().waiters.names().map(<[u8]>::to_vec).collect()
    }

    /// Whether this process has committed.
    pub(crate) fn has_committed(&self) -> bool {
        self.state.lock().has_committed
    }

    /// Wakes all waiting callers after a commit of this process.
    pub(crate) fn wake_all(&self) {
        self.wake(&Wakes::everybody(), None);
    }

    /// The newest commit of which waiting callers were notified, as [`wake`](Self::wake) needs it for the next one.
    pub(crate) fn newest_notified(&self) -> Option<u64> {
        self.state.lock().newest
    }

    /// Wakes the callers that a commit of this process concerns. If it is not the only one since `notified`,
    /// which was asked for before it was made, another process may have made the others, and one caller
    /// looks for what they have left.
    pub(crate) fn wake(&self, wakes: &Wakes, notified: Option<u64>) {
        let watch = self.watch();
        // Read before they are woken, so they see every commit up to this one, whoever made it.
        let published = watch.map(|watch| watch.published());
        self.wake_by(|state| {
            state.has_committed = true;
            wakes.due.into_iter().for_each(|time| state.wake_at(time));
            let Some(published) = published else { return Some(wakes.clone()) };
            state.newest = published.newest;
            Some(if published.is_next_to(notified) { wakes.clone() } else { wakes.clone().or_of_others() })
        });
    }

    /// Forgets which commit is the newest, as their count may begin anew.
    pub(crate) fn forget_newest(&self) {
        self.state.lock().newest = None;
    }

    /// Wakes all waiting callers after a change that is no commit.
    pub(crate) fn look_again(&self) {
        self.wake_by(|_| Some(Wakes::everybody()));
    }

    /// Wakes a waiting caller at that time.
    pub(crate) fn wake_at(&self, time: Timestamp) {
        self.state.lock().wake_at(time);
    }

    /// Wakes more callers, as many as there is something for.
    pub(crate) fn wake_more(&self, anybody: u64) {
        self.wake_by(|_| Some(Wakes { anybody, ..Wakes::default() }));
    }

    /// Registers one more waiting caller. `start` starts the thread if it does not run.
    ///
    /// # Errors
    ///
    /// Every error of `start`; then this one does not wait.
    fn come<E>(&self, name: &[u8], start: impl FnOnce() -> Result<Arc<Watch>, E>) -> Result<u64, E> {
        let mut state = self.state.lock();
        if state.watch.is_none() {
            let watch = start()?;
            state.newest = watch.newest();
            state.watch = Some(watch);
        }
        Ok(state.waiters.come(name))
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        self.state.lock().waiters.len()
    }

    /// Whether anybody waits.
    fn are_waited_for(&self) -> bool {
        !self.state.lock().waiters.is_empty()
    }

    /// The thread that watches while somebody waits.
    fn watch(&self) -> Option<Arc<Watch>> {
        self.state.lock().watch.clone()
    }

    /// Ends the watch if nobody waits any more; says whether it did.
    fn end_watch(&self) -> bool {
        let mut state = self.state.lock();
        let ends = state.waiters.is_empty();
        if ends {
            state.watch = None;
        }
        ends
    }

    /// Wakes waiting callers if the watch has seen news. For a clock that was set back, these are all of them. For
    /// another newest commit it is one, which looks for how many there is something. For a due time it is one, whose
    /// look makes ready what is due, and whose commit wakes the others.
    fn seen(&self, newest: Option<u64>, now: Timestamp, went_back: bool) {
        self.wake_by(|state| {
            // Without a number the callers have to look themselves.
            let committed = newest.is_none() || newest > state.newest;
            // An older one was read before a commit of this process was notified.
            state.newest = newest.max(state.newest);
            if went_back {
                return Some(Wakes::everybody());
            }
            if committed {
                return Some(Wakes::default().or_of_others());
            }
            let is_due = state.due.is_some_and(|due| due <= now);
            is_due.then(|| {
                // The woken caller says again what is due.
                state.due = None;
                Wakes { anybody: 1, ..Wakes::default() }
            })
        });
    }

    fn wake_by(&self, news: impl FnOnce(&mut Wakeups) -> Option<Wakes>) {
        let mut state = self.state.lock();
        let Some(wakes) = news(&mut state) else { return };
        state.count += 1;
        let woken = state.waiters.woken_by(&wakes);
        drop(state);
        woken.into_iter().for_each(Sleeper::wake);
    }
}

/// The interval of the watch: commits of other processes and due times are noticed after this time at the latest.
/// A look takes some microseconds.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// The thread ends after this many looks without a waiting bot, because waiting bots come back.
const LOOKS_FOR_NOBODY: u32 = 50;

/// The clock and the file that the thread watches.
pub(crate) struct Watch {
    clock: Arc<dyn Clock>,
    others: Others,
}

/// Whether there are other processes, and where their commits can be seen.
pub(crate) enum Others {
    None,
    /// In the header of the file. None when it cannot be opened.
    In(Option<OwnFile>),
    /// By a count of the commits of all processes.
    Counted(Box<dyn Fn() -> Option<u64> + Send + Sync>),
}

impl Others {
    /// They commit to the file at a path.
    pub(crate) fn in_file(path: &Path) -> Self {
        Self::In(OwnFile::read(path).ok())
    }

    /// They count their commits.
    pub(crate) fn counted(count: impl Fn() -> Option<u64> + Send + Sync + 'static) -> Self {
        Self::Counted(Box::new(count))
    }
}

/// A caller that waits until this is dropped.
pub(crate) struct Waiter {
    commits: Arc<Commits>,
    process: Process,
    number: u64,
    woken: Arc<Condvar>,
}

impl Waiter {
    /// Begins to wait under that name, by which commits may ask for it.
    ///
    /// # Errors
    ///
    /// `Io` when no thread can be started.
    pub(crate) fn begin(commits: &Arc<Commits>, name: &[u8], clock: &Arc<dyn Clock>, others: Others) -> Result<Self> {
        let number = commits.come(name, || Watch::start(commits, clock, others))?;
        Ok(Self { commits: commits.clone(), process: Process::current(), number, woken: Arc::default() })
    }

    /// Notes that the caller looks now. Later notifications make it look again. Says whether it is to look for how many
    /// there is something, and to [wake](Commits::wake_more) them.
    pub(crate) fn looks(&self) -> bool {
        self.commits.state.lock().waiters.looks(self.number)
    }

    /// Consumes the notification of the caller, because it took something or there was nothing for anybody.
    pub(crate) fn consume_notification(&self) {
        self.commits.state.lock().waiters.consume_notification(self.number);
    }

    /// Passes the notification on, because there was something, but not for this caller.
    pub(crate) fn pass_on(&self) {
        let next = self.commits.state.lock().waiters.pass_on(self.number);
        next.into_iter().for_each(Sleeper::wake);
    }

    /// Sleeps until there is something to look at, or until then. Says whether there is something to look at.
    pub(crate) fn sleep(&self, until: Option<Instant>) -> bool {
        let mut state = self.commits.state.lock();
        if !state.waiters.sleep(self.number, Sleeper::Thread(self.woken.clone())) {
            return true;
        }
        let mut is_over = false;
        while state.waiters.is_asleep(self.number) && !is_over {
            match until {
                None => self.woken.wait(&mut state),
                Some(until) => is_over = self.woken.wait_until(&mut state, until).timed_out(),
            }
        }
        let is_woken = !state.waiters.is_asleep(self.number);
        state.waiters.is_awake(self.number);
        is_woken
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        // In a forked child nobody waits, and nobody releases a lock that a thread of the parent had.
        if !self.process.has_forked() {
            let next = self.commits.state.lock().waiters.leave(self.number);
            next.into_iter().for_each(Sleeper::wake);
        }
    }
}

impl Watch {
    fn start(commits: &Arc<Commits>, clock: &Arc<dyn Clock>, others: Others) -> Result<Arc<Self>> {
        let watch = Arc::new(Self { clock: clock.clone(), others });
        let (own, commits, now) = (watch.clone(), commits.clone(), clock.now());
        std::thread::Builder::new().name("hivekeep-watch".into()).spawn(move || own.run(&commits, now))?;
        Ok(watch)
    }

    /// The numbers of the newest commits. Where there are no others they are always the same.
    fn published(&self) -> Published {
        let [newest, before] = match &self.others {
            Others::None => [Some(0); 2],
            Others::Counted(count) => {
                let newest = count();
                [newest, newest.map(|newest| newest.saturating_sub(1))]
            }
            Others::In(file) => {
                let read = |file| Pages::new(file)?.newest_transactions();
                file.as_ref().and_then(|file| read(file).ok()).unwrap_or_default()
            }
        };
        Published { newest, before }
    }

    /// The number of the newest commit; none when it cannot be read.
    fn newest(&self) -> Option<u64> {
        self.published().newest
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

    use super::{Sleeper, Waiter};

    /// Ready once there is something for the waiting caller to look at.
    pub(crate) struct News<'a>(&'a Waiter);

    impl Waiter {
        pub(crate) fn news(&self) -> News<'_> {
            News(self)
        }
    }

    impl Future for News<'_> {
        type Output = ();

        fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
            let mut state = self.0.commits.state.lock();
            let sleeps = state.waiters.sleep(self.0.number, Sleeper::Task(context.waker().clone()));
            if sleeps { Poll::Pending } else { Poll::Ready(()) }
        }
    }

    impl Drop for News<'_> {
        /// A task that does not wait any more is not held on to.
        fn drop(&mut self) {
            self.0.commits.state.lock().waiters.is_awake(self.0.number);
        }
    }
}

#[cfg(test)]
mod test;
