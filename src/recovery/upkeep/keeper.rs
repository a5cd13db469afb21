//! Keeps a store open in a long-running program. When a failure, such as a full disk or a damaged page, has closed its
//! file, the keeper reopens it, with increasing delays, until it gives up and reports that.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use serde_json::json;

use crate::duration;
use crate::engine::reserve::free_space;
use crate::engine::store::Store;
use crate::error::{Error, ErrorKind, Result};
use crate::recovery::events::event::EventKind;
use crate::recovery::upkeep::background::{Background, Stop};
use crate::recovery::upkeep::work::{Attendant, Work};

/// The interval at which it looks whether the file must be reopened, unless it is woken.
const LOOK: Duration = Duration::from_millis(100);
/// The first delay before a retry. Each delay is twice the one before.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// The longest delay after a failed attempt.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// The longest delay after a successful attempt. With a disk that stays full, or a damaged page that is read
/// repeatedly, everything else must go on.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// After this long without a failure, the next one is handled at once.
const CALM: Duration = Duration::from_secs(10);
/// A failure like the last one is reported again after this long.
const REPORT_AGAIN: Duration = Duration::from_secs(10 * 60);
/// With less free space than this, nothing optional is written.
const ROOM: u64 = 1 << 20;

/// A running thread that reopens the store's file whenever a failure has closed it. It stops when it is dropped, when
/// the store is closed, when it gives up, and when another program has promoted the copy that the file was, or has put
/// a new one in its place.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
/// use hivekeep::Keeper;
///
/// # let dir = tempfile::tempdir().unwrap();
/// # let store = hivekeep::Store::open(dir.path().join("h.redb")).unwrap();
/// let keeper = Keeper::start(store.clone(), Some(Duration::from_secs(300)), Arc::new(()))?;
/// assert!(keeper.state().closed_for.is_none());
/// # Ok::<(), hivekeep::Error>(())
/// ```
#[derive(Debug)]
pub struct Keeper {
    shared: Arc<Shared>,
    thread: Background,
}

/// The state of a keeper.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// The number of times that the file was reopened.
    pub reopens: u64,
    /// The time for which a failure has kept the file closed; none while it is open.
    pub closed_for: Option<Duration>,
    /// The error of the last attempt to open it, while it is closed.
    pub error: Option<String>,
    /// Whether the keeper has given up, because the file was closed for too long.
    pub has_given_up: bool,
}

/// Written by the thread, read by callers.
#[derive(Debug, Default)]
struct Shared {
    known: Mutex<Known>,
    /// Notified when the file was opened, and when the keeper gives up.
    settled: Condvar,
}

#[derive(Debug, Default)]
struct Known {
    reopens: u64,
    closed_since: Option<Instant>,
    error: Option<String>,
    has_given_up: bool,
    /// The error of the caller that met the failure, and the time.
    cause: Option<(String, Instant)>,
}

impl Keeper {
    /// Starts the thread. When the file has been closed for `give_up_after`, the thread tells the attendant and gives
    /// up; with none it never does.
    ///
    /// # Errors
    ///
    /// `Io` when no thread can be started.
    pub fn start(store: Store, give_up_after: Option<Duration>, attendant: Arc<dyn Attendant>) -> Result<Self> {
        let shared = Arc::<Shared>::default();
        let mut work = Opening {
            store,
            give_up_after,
            attendant,
            shared: shared.clone(),
            pace: Pace::default(),
            last_report: None,
        };
        let thread = Background::start("hivekeep-keeper", move |stop| work.run(stop))?;
        Ok(Self { shared, thread })
    }

    /// The present state.
    pub fn state(&self) -> Kept {
        let known = self.shared.known.lock();
        Kept {
            reopens: known.reopens,
            closed_for: known.closed_since.map(|since| since.elapsed()),
            error: known.error.clone(),
            has_given_up: known.has_given_up,
        }
    }

    /// Wakes the thread, because a call has just failed with this error. Otherwise it looks ten times a second.
    pub fn tell(&self, error: &Error) {
        let may_close = matches!(
            error.kind(),
            ErrorKind::Reopen | ErrorKind::Uncertain | ErrorKind::Damaged | ErrorKind::Full | ErrorKind::Io
        );
        if may_close {
            if error.kind() != ErrorKind::Reopen {
                self.shared.known.lock().cause = Some((error.to_string(), Instant::now()));
            }
            self.thread.wake();
        }
    }

    /// Waits until the store's file is open, up to this long.
    ///
    /// # Errors
    ///
    /// `Reopen` with the duration, when it is still closed.
    pub fn wait(&self, store: &Store, within: Duration) -> Result<()> {
        let until = Instant::now() + within;
        // The store is not asked while the state is locked: a caller that only reads the state must not wait.
        while store.is_spent_now() {
            self.thread.wake();
            let mut known = self.shared.known.lock();
            let now = Instant::now();
            if !known.has_given_up && now < until {
                self.shared.settled.wait_until(&mut known, until.min(now + LOOK));
            } else {
                let closed = known.closed_since.map_or(Duration::ZERO, |since| since.elapsed());
                let message = "a failure has closed the store's file, and it is being opened again; try again later";
                return Err(Error::new(ErrorKind::Reopen, format!("{message}: closed_s={}", closed.as_secs())));
            }
        }
        Ok(())
    }
}

/// The state of the thread.
struct Opening {
    store: Store,
    give_up_after: Option<Duration>,
    attendant: Arc<dyn Attendant>,
    shared: Arc<Shared>,
    pace: Pace,
    /// The last report, and its time.
    last_report: Option<(String, Instant)>,
}

impl Opening {
    fn run(&mut self, stop: &Stop) {
        while !self.store.is_closed() && !stop.within(LOOK) {
            if self.store.is_found_spent() && !self.open(stop) {
                return;
            }
            if self.store.was_promoted_since() {
                self.shared.known.lock().has_given_up = true;
                return self.attendant.copy_promoted();
            }
            if self.store.was_replaced() {
                self.shared.known.lock().has_given_up = true;
                return self.attendant.copy_replaced();
            }
        }
    }

    /// Reopens the file. Returns whether to go on.
    fn open(&mut self, stop: &Stop) -> bool {
        let cause = {
            let mut known = self.shared.known.lock();
            known.closed_since = Some(Instant::now());
            let just_told = known.cause.take().filter(|(_, at)| at.elapsed() < CALM);
            just_told.map_or_else(|| "a failure has closed the store's file".to_owned(), |(cause, _)| cause)
        };
        self.report_once(&cause);
        loop {
            if stop.pause(self.pace.before_the_next()) || self.store.is_closed() {
                return false;
            }
            let opened = self.store.reopen();
            self.pace.tried(opened.is_ok());
            let Err(error) = opened else { break };
            if self.note(&error) {
                return false;
            }
        }
        self.opened(&cause);
        true
    }

    /// Records a failed attempt. Returns whether it was the last.
    fn note(&self, error: &Error) -> bool {
        let mut known = self.shared.known.lock();
        let closed = known.closed_since.map_or(Duration::ZERO, |since| since.elapsed());
        known.error = Some(error.to_string());
        let is_over = self.give_up_after.is_some_and(|most| closed >= most);
        known.has_given_up = is_over;
        drop(known);
        tracing::error!(%error, closed_s = closed.as_secs(), "the store could not be opened again");
        if is_over {
            self.shared.settled.notify_all();
            self.attendant
                .gave_up(&format!("the store could not be opened again within {}: {error}", duration::show(closed)));
        }
        is_over
    }

    fn opened(&self, cause: &str) {
        let closed = {
            let mut known = self.shared.known.lock();
            known.reopens += 1;
            known.error = None;
            known.closed_since.take().map_or(Duration::ZERO, |since| since.elapsed())
        };
        self.shared.settled.notify_all();
        tracing::warn!(
            closed_ms = closed.as_millis(),
            "the store was opened again; nothing that was acknowledged is lost"
        );
        // An event at the start of the failure could not have been written.
        let is_new = self.last_report.as_ref().is_some_and(|(last, at)| last == cause && at.elapsed() <= closed + LOOK);
        if !is_new || free_space(self.store.path()).is_some_and(|free| free < ROOM) {
            return;
        }
        let details = json!({"error": cause, "closed_ms": u64::try_from(closed.as_millis()).unwrap_or(u64::MAX)});
        self.store.append_events([(EventKind::StoreReopened, details)]);
    }

    /// Reports the failure, unless the same one was reported recently.
    fn report_once(&mut self, cause: &str) {
        if self.last_report.as_ref().is_some_and(|(last, at)| last == cause && at.elapsed() < REPORT_AGAIN) {
            return;
        }
        self.last_report = Some((cause.to_owned(), Instant::now()));
        self.store.append_failure(Work::Reopen, cause);
        self.attendant.failed(Work::Reopen, cause);
    }
}

/// The delays between attempts.
#[derive(Debug, Default)]
struct Pace {
    last: Option<Instant>,
    wait: Duration,
}

impl Pace {
    fn before_the_next(&mut self) -> Duration {
        if self.last.is_none_or(|last| last.elapsed() > CALM.max(self.wait)) {
            self.wait = Duration::ZERO;
        }
        self.wait
    }

    fn tried(&mut self, went_well: bool) {
        let longest = if went_well { LONGEST_PAUSE } else { LONGEST_WAIT };
        self.wait = (self.wait * 2).clamp(FIRST_WAIT, longest);
        self.last = Some(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_attempt_comes_at_once_and_each_delay_is_twice_the_one_before() {
        let mut pace = Pace::default();
        let mut waits = |went_well: bool, tries: usize| {
            let wait = |_| {
                let wait = pace.before_the_next();
                pace.tried(went_well);
                wait.as_millis()
            };
            (0..tries).map(wait).collect::<Vec<_>>()
        };
        assert_eq!(waits(false, 9), [0, 100, 200, 400, 800, 1600, 3200, 6400, 10_000]);
        assert_eq!(waits(true, 3), [10_000, 1000, 1000]);
    }

    #[test]
    fn a_store_whose_file_was_closed_by_a_failure_opens_again_without_a_call() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("h.redb")).unwrap();
        let keeper = Keeper::start(store.clone(), None, Arc::new(())).unwrap();
        for round in 1..=3 {
            store.write(|tx| tx.config().put("round", &json!(round))).unwrap();
            store.fail_for_test();
            assert_eq!(store.write(|tx| tx.config().put("lost", &json!(1))).unwrap_err().kind(), ErrorKind::Reopen);
            keeper.wait(&store, Duration::from_secs(30)).unwrap();
            assert_eq!(keeper.state().reopens, round);
            assert_eq!(store.view().unwrap().config().get("round").unwrap(), Some(json!(round)));
        }
        assert!(store.session().is_some());
        store.close().unwrap();
        assert!(store.is_closed());
    }

    #[test]
    fn no_caller_waits_for_another_process_that_writes_while_the_file_is_reopened() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("h.redb");
        let (store, other) = (Store::open(&path).unwrap(), Store::open(&path).unwrap());
        let keeper = Keeper::start(store.clone(), None, Arc::new(())).unwrap();
        store.write(|tx| tx.config().put("kept", &json!(1))).unwrap();
        let (begun, has_begun) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            let write = |tx: &mut crate::engine::write::WriteTx<'_>| {
                begun.send(()).unwrap();
                std::thread::sleep(Duration::from_secs(3));
                tx.config().put("other", &json!(2))
            };
            scope.spawn(move || other.load(write).unwrap());
            has_begun.recv().unwrap();
            store.fail_for_test();
            let asked = Instant::now();
            let waits = scope.spawn(|| keeper.wait(&store, Duration::from_millis(500)).unwrap_err().kind());
            std::thread::sleep(Duration::from_millis(300));
            assert!(keeper.state().closed_for.is_some() && store.view().is_err());
            assert!(asked.elapsed() < Duration::from_millis(2_500), "it took {:?}", asked.elapsed());
            assert_eq!(waits.join().unwrap(), ErrorKind::Reopen);
            assert!(asked.elapsed() < Duration::from_millis(2_500), "it took {:?}", asked.elapsed());
        });
        keeper.wait(&store, Duration::from_secs(30)).unwrap();
        let view = store.view().unwrap();
        assert_eq!(view.config().get("kept").unwrap(), Some(json!(1)));
        assert_eq!(view.config().get("other").unwrap(), Some(json!(2)));
        assert_eq!(keeper.state().reopens, 1);
    }

    /// Keeps the reports.
    #[derive(Default)]
    struct Told(Mutex<Vec<String>>);

    impl Attendant for Told {
        fn failed(&self, work: Work, error: &str) {
            self.0.lock().push(format!("{}: {error}", work.as_str()));
        }

        fn gave_up(&self, error: &str) {
            self.0.lock().push(format!("gave up: {error}"));
        }
    }

    #[test]
    fn a_store_whose_file_is_gone_is_given_up_after_a_while_and_this_is_reported() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("h.redb");
        let store = Store::open(&path).unwrap();
        let told = Arc::new(Told::default());
        let keeper = Keeper::start(store.clone(), Some(Duration::from_millis(200)), told.clone()).unwrap();
        std::fs::remove_file(&path).unwrap();
        store.fail_for_test();
        let begun = Instant::now();
        while !keeper.state().has_given_up {
            assert!(begun.elapsed() < Duration::from_secs(30));
            std::thread::sleep(LOOK);
        }
        let refused = keeper.wait(&store, Duration::from_secs(30)).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Reopen);
        let told = told.0.lock();
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(
            told[0].starts_with("reopen: ")
                && told[1].starts_with("gave up: the store could not be opened again within")
        );
    }
}
