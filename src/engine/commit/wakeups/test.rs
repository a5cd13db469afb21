//! Commits, times and other processes wake waiting callers.

use super::*;
use crate::clock::ManualClock;
use crate::engine::format::schema::CollectionId;
use crate::engine::options::Sharing;
use crate::engine::store::{Options, Store};
use crate::error::Error;

/// Something for a number of callers, whichever they are.
fn of(anybody: u64) -> Wakes {
    Wakes { anybody, ..Wakes::default() }
}

/// Callers that wait, each with the number of times that it was woken.
struct Crowd {
    hive: Fixture,
    waiting: Vec<(Waiter, Arc<Counter>)>,
}

#[derive(Default)]
struct Counter(std::sync::atomic::AtomicU64);

impl std::task::Wake for Counter {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    }
}

impl Crowd {
    fn new(count: usize) -> Self {
        let hive = fixture(Store::options());
        let wait = |number| (hive.store.waiting(format!("b{number}").as_bytes()).unwrap(), Arc::default());
        let crowd = Self { waiting: (0..count).map(wait).collect(), hive };
        (0..count).for_each(|number| crowd.sleep(number));
        crowd
    }

    /// Looks, finds nothing, and sleeps.
    fn sleep(&self, number: usize) {
        let (waiter, counter) = &self.waiting[number];
        waiter.looks();
        let sleeper = Sleeper::Task(counter.clone().into());
        assert!(self.hive.store.commits().state.lock().waiters.sleep(waiter.number, sleeper));
    }

    /// Tells of a commit that is the only one.
    fn wake(&self, wakes: &Wakes) {
        let commits = self.hive.store.commits();
        commits.wake(wakes, commits.newest_notified());
    }

    /// The callers that were woken since the last call.
    fn woken(&self) -> Vec<usize> {
        let swap = |counter: &Counter| counter.0.swap(0, std::sync::atomic::Ordering::SeqCst);
        (0..self.waiting.len()).filter(|number| swap(&self.waiting[*number].1) > 0).collect()
    }
}

#[test]
fn a_commit_wakes_as_many_as_it_has_something_for_and_the_longest_waiting_first() {
    let crowd = Crowd::new(5);
    let tell = |wakes: Wakes| {
        crowd.wake(&wakes);
        crowd.woken()
    };
    assert_eq!(tell(of(0)), [0; 0]);
    assert_eq!(tell(of(2)), [0, 1]);
    assert_eq!(tell(Wakes { named: [(b"b4".to_vec(), 1), (b"nobody".to_vec(), 9)].into(), ..of(0) }), [4]);
    assert_eq!(tell(Wakes::everybody()), [2, 3], "the others are awake");
}

#[test]
fn a_turn_that_is_not_used_passes_to_the_next_that_has_not_looked_since() {
    let mut crowd = Crowd::new(4);
    crowd.wake(&of(1));
    assert_eq!(crowd.woken(), [0]);
    // There was something, but not for it.
    crowd.waiting[0].0.looks();
    crowd.waiting[0].0.pass_on();
    assert_eq!(crowd.woken(), [1]);
    // It is gone before it has looked.
    drop(crowd.waiting.remove(1));
    assert_eq!(crowd.woken(), [1], "who was the third");
    crowd.waiting[1].0.consume_notification();
    crowd.waiting[1].0.pass_on();
    assert_eq!(crowd.woken(), [0; 0], "it took what there was");
}

#[test]
fn a_caller_that_looks_while_a_commit_is_announced_looks_again() {
    let crowd = Crowd::new(1);
    let (waiter, _) = &crowd.waiting[0];
    waiter.looks();
    crowd.wake(&of(1));
    // It would wait for ever.
    waiter.sleep(None);
    waiter.looks();
    let started = Instant::now();
    waiter.sleep(Some(started + Duration::from_millis(20)));
    assert!(started.elapsed() >= Duration::from_millis(20));
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
        let waiter = self.store.waiting(b"").unwrap();
        waiter.looks();
        work();
        waiter.sleep(Some(began + LONGEST));
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
        let _waiting = hive.store.waiting(b"").unwrap();
        assert_eq!(hive.news_of_a_while(), 0);
    }
}

#[test]
fn a_commit_of_another_wakes_who_waits_and_no_commit_does_so_for_long() {
    let hive = fixture(Store::options());
    let other = open(&hive.folder, Store::options());
    let _waiting = hive.store.waiting(b"").unwrap();
    for value in 0..3 {
        assert_eq!(hive.news_of(|| put(&other, value)), 1);
        assert_eq!(hive.news_of_a_while(), 0);
        // A look that comes between the commit and its being told sees it too.
        assert!(hive.news_of(|| hive.store.load(|tx| tx.put(CollectionId::CONFIG, b"k", &[value])).unwrap()) <= 2);
        assert_eq!(hive.news_of_a_while(), 0);
    }
}

#[test]
fn a_commit_of_another_process_is_announced_although_this_process_commits_for_nobody_before_it_is_seen() {
    let hive = fixture(Store::options());
    let other = open(&hive.folder, Store::options());
    let _waiting = hive.store.waiting(b"").unwrap();
    for value in 0..3 {
        hive.news_of(|| {
            put(&other, value);
            put(&hive.store, value);
        });
    }
}

#[test]
fn a_commit_that_concerns_nobody_wakes_nobody_unless_another_process_has_committed_too() {
    let crowd = Crowd::new(2);
    let (store, other) = (&crowd.hive.store, open(&crowd.hive.folder, Store::options()));
    let slept_through = |value: u8| {
        // Commits need not have numbers in a row: a transaction that is taken back has one.
        store.write(|_| Err::<(), _>(Error::conflict("on purpose"))).unwrap_err();
        put(store, value);
        let woken = crowd.woken();
        woken.iter().for_each(|number| crowd.sleep(*number));
        woken.is_empty()
    };
    // The watch may look between a commit and its being told, and wakes them then.
    assert!((0..20).any(slept_through));
    let notified = store.commits().newest_notified();
    put(store, 1);
    put(&other, 2);
    store.commits().wake(&of(0), notified);
    assert_eq!(crowd.woken(), [0], "the other commit may concern somebody");
    assert!(crowd.waiting[0].0.looks() && !crowd.waiting[0].0.looks(), "one looks for all others");
    store.commits().wake_more(1);
    assert_eq!(crowd.woken(), [1]);
}

#[test]
fn a_due_time_and_a_clock_that_is_set_back_wake_waiting_callers() {
    let hive = fixture(Store::options());
    let _waiting = hive.store.waiting(b"").unwrap();
    hive.store.commits().wake_at(time(1020));
    hive.store.commits().wake_at(time(1010));
    hive.clock.set(time(1009));
    assert_eq!(hive.news_of_a_while(), 0);
    assert_eq!(hive.news_of(|| hive.clock.set(time(1010))), 1);
    assert_eq!(hive.news_of_a_while(), 0, "who was woken says anew what is due");
    assert_eq!(hive.news_of(|| hive.clock.set(time(1005))), 1);
}

#[test]
fn a_caller_that_waits_is_told_that_the_store_is_closed() {
    let hive = fixture(Store::options().sharing(Sharing::Exclusive));
    let _waiting = hive.store.waiting(b"").unwrap();
    assert_eq!(hive.news_of(|| hive.store.close_file().unwrap()), 1);
}

#[test]
fn nobody_looks_where_nobody_waits() {
    let hive = fixture(Store::options());
    let watch = || hive.store.commits().watch();
    assert!(watch().is_none());
    let waiting = [hive.store.waiting(b"").unwrap(), hive.store.waiting(b"").unwrap()];
    let looks = Arc::downgrade(&watch().unwrap());
    drop(waiting);
    let began = Instant::now();
    while looks.upgrade().is_some() && began.elapsed() < LONGEST {
        std::thread::sleep(LOOK_EVERY);
    }
    assert!(looks.upgrade().is_none() && watch().is_none());
    let _waiting = hive.store.waiting(b"").unwrap();
    hive.news_of(|| hive.clock.set(time(0)));
}
