//! Commits, times and other processes wake waiting callers.

use super::*;
use crate::clock::ManualClock;
use crate::engine::format::schema::CollectionId;
use crate::engine::store::{Options, Sharing, Store};

#[test]
fn a_caller_that_waits_is_woken_by_a_commit_and_not_by_an_older_one() {
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

/// Nothing below takes a tenth of it; what is never told takes for ever.
const LONGEST: Duration = Duration::from_secs(60);

struct Fixture {
    folder: tempfile::TempDir,
    clock: ManualClock,
    store: Store,
}

fn time(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn open(folder: &tempfile::TempDir, options: Options) -> Store {
    options.open_with(&folder.path().join("h.redb"), &[]).unwrap()
}

fn fixture(options: Options) -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let clock = ManualClock::new(time(1000));
    let store = open(&folder, options.clock(clock.clone()));
    Fixture { folder, clock, store }
}

fn put(store: &Store, value: u8) {
    store.write(|tx| tx.put(CollectionId::CONFIG, b"k", &[value])).unwrap();
}

impl Fixture {
    /// How much the count of news grows until `work` wakes a waiting caller.
    fn news_of(&self, work: impl FnOnce()) -> u64 {
        let (commits, seen, began) = (self.store.commits(), self.store.commits().count(), Instant::now());
        work();
        commits.wait(seen, Some(began + LONGEST));
        assert!(began.elapsed() < LONGEST, "nobody was woken");
        commits.count() - seen
    }

    /// The news of some looks.
    fn news_of_a_while(&self) -> u64 {
        let seen = self.store.commits().count();
        std::thread::sleep(4 * LOOK_EVERY);
        self.store.commits().count() - seen
    }
}

#[test]
fn nobody_is_woken_while_nothing_happens() {
    for sharing in [Sharing::Shared, Sharing::Exclusive] {
        let hive = fixture(Store::options().sharing(sharing));
        put(&hive.store, 1);
        let _waiting = hive.store.waiting().unwrap();
        assert_eq!(hive.news_of_a_while(), 0);
    }
}

#[test]
fn a_commit_of_another_wakes_who_waits_and_no_commit_does_so_for_long() {
    let hive = fixture(Store::options());
    let other = open(&hive.folder, Store::options());
    let _waiting = hive.store.waiting().unwrap();
    for value in 0..3 {
        assert_eq!(hive.news_of(|| put(&other, value)), 1);
        assert_eq!(hive.news_of_a_while(), 0);
        // A look that comes between the commit and its being told sees it too.
        assert!(hive.news_of(|| put(&hive.store, value)) <= 2);
        assert_eq!(hive.news_of_a_while(), 0);
    }
}

#[test]
fn a_due_time_and_a_clock_that_is_set_back_wake_waiting_callers() {
    let hive = fixture(Store::options());
    let _waiting = hive.store.waiting().unwrap();
    hive.store.commits().tell_at(time(1020));
    hive.store.commits().tell_at(time(1010));
    hive.clock.set(time(1009));
    assert_eq!(hive.news_of_a_while(), 0);
    assert_eq!(hive.news_of(|| hive.clock.set(time(1010))), 1);
    assert_eq!(hive.news_of_a_while(), 0, "who was woken says anew what is due");
    assert_eq!(hive.news_of(|| hive.clock.set(time(1005))), 1);
}

#[test]
fn a_caller_that_waits_is_told_that_the_store_is_closed() {
    let hive = fixture(Store::options().sharing(Sharing::Exclusive));
    let _waiting = hive.store.waiting().unwrap();
    assert_eq!(hive.news_of(|| hive.store.close_file().unwrap()), 1);
}

#[test]
fn nobody_looks_where_nobody_waits() {
    let hive = fixture(Store::options());
    let watch = || hive.store.commits().watch();
    assert!(watch().is_none());
    let waiting = [hive.store.waiting().unwrap(), hive.store.waiting().unwrap()];
    let looks = Arc::downgrade(&watch().unwrap());
    drop(waiting);
    let began = Instant::now();
    while looks.upgrade().is_some() && began.elapsed() < LONGEST {
        std::thread::sleep(LOOK_EVERY);
    }
    assert!(looks.upgrade().is_none() && watch().is_none());
    let _waiting = hive.store.waiting().unwrap();
    hive.news_of(|| hive.clock.set(time(0)));
}
