//! Looking on behalf of all who wait on an open store, so that a thousand of them cost what one does.
//!
//! A thread lives for as long as somebody waits. Ten times a second it reads the header of the file, which every commit of
//! any process changes, and the clock. It reads no row; those who wait do that, and only once there is news.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::clock::Clock;
use crate::engine::notice::Commits;
use crate::engine::process::Process;
use crate::engine::redb_file::OwnFile;
use crate::engine::redb_file::pages::Pages;
use crate::engine::store::Store;
use crate::error::Result;

/// Between two looks: what other processes commit and what comes due is noticed this late at the latest.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// So many looks are for nobody before the thread ends, as bots that wait come back.
const LOOKS_FOR_NOBODY: u32 = 10;

/// What is looked at.
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

/// Somebody waits, until this is dropped.
pub(crate) struct Waiting {
    commits: Arc<Commits>,
    process: Process,
}

impl Store {
    /// Somebody is about to wait for [`Store::commits`]: from now on these tell also of other processes, and of what
    /// comes due. What was before has to be looked for after this.
    ///
    /// # Errors
    ///
    /// `Io` when no thread can be started, `Forked` in a forked child.
    pub(crate) fn waiting(&self) -> Result<Waiting> {
        self.refuse_forked()?;
        let commits = self.commits().clone();
        commits.come(|| self.watch())?;
        Ok(Waiting { commits, process: Process::current() })
    }

    fn watch(&self) -> Result<Arc<Watch>> {
        let file = || OwnFile::read(self.path()).ok();
        let others = if self.is_shared() { Others::In(file()) } else { Others::None };
        let watch = Arc::new(Watch { clock: self.clock().clone(), others });
        let (own, commits, now) = (watch.clone(), self.commits().clone(), self.clock().now());
        std::thread::Builder::new().name("hivekeep-watch".into()).spawn(move || own.run(&commits, now))?;
        Ok(watch)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        // In a forked child nobody waits, and nobody lets go of a lock that a thread of the parent had.
        if !self.process.has_forked() {
            self.commits.leave();
        }
    }
}

impl Watch {
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

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::clock::ManualClock;
    use crate::engine::schema::CollectionId;
    use crate::engine::store::{Options, Sharing};

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
        /// What the count of news is once somebody who waits was woken by `work`.
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
    fn what_comes_due_and_a_clock_that_is_set_back_wake_who_waits() {
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
    fn who_waits_is_told_that_the_store_is_closed() {
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
}
