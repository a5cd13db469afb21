//! The history of every commit. Commits older than its window are merged away, by retention and by a thread of each
//! store that keeps a history.

use std::sync::{Arc, Weak};
use std::time::Duration;

use jiff::Timestamp;

use crate::clock;
use crate::engine::codec;
use crate::engine::epoch::Epoch;
use crate::engine::meta;
use crate::engine::point::Commit;
use crate::engine::records::{KeyRange, Records};
use crate::engine::schema::Table;
use crate::engine::store::{Inner, Store};
use crate::engine::view::View;
use crate::error::{ErrorKind, Result};
use crate::recovery::points::point::epoch_of;
use crate::recovery::upkeep::background::Background;

/// The interval of the thread. It is small against any useful window.
const PERIOD: Duration = Duration::from_millis(500);
/// The most points of single commits that are kept.
const MOST: u64 = 100_000;
/// The window for points that another process left, when no process has stored a window.
const WINDOW: Duration = Duration::from_secs(3600);
/// The number of rows that one read fetches.
const COMMITS_PER_READ: usize = 256;

/// Starts the thread. It ends with the last clone of the store, or when the store is closed.
pub(crate) fn keep(store: &Store, window: Duration) -> Result<()> {
    store.remember_window(window)?;
    let inner = Arc::downgrade(&store.inner);
    // The thread itself may drop the last clone of the store, so no owner can wait for its end.
    Background::start("hivekeep-history", move |_| run(&inner))?.detach();
    Ok(())
}

fn run(inner: &Weak<Inner>) {
    loop {
        std::thread::sleep(PERIOD);
        let Some(inner) = inner.upgrade() else { return };
        let store = Store::of(inner).locally();
        match store.trim_history() {
            Ok(()) => {}
            Err(_) if store.is_closed() => return,
            // The file may be opened again.
            Err(error) if error.kind() == ErrorKind::Reopen => {}
            Err(error) => tracing::error!(%error, "the history of commits could not be trimmed"),
        }
    }
}

impl Store {
    /// Stores the window, for every process that trims. The last one that was requested counts.
    fn remember_window(&self, window: Duration) -> Result<()> {
        let millis = u64::try_from(window.as_millis()).unwrap_or(u64::MAX).to_be_bytes();
        if self.view()?.row(Table::Meta, meta::HISTORY)?.as_deref() == Some(&millis) {
            return Ok(());
        }
        self.write(|tx| tx.put_row(Table::Meta, meta::HISTORY, &millis))
    }

    /// Merges away the points of single commits from before the window, and the oldest over the limit.
    pub(crate) fn trim_history(&self) -> Result<()> {
        let view = self.view()?;
        let stored = view.row(Table::Meta, meta::HISTORY)?.map(|bytes| meta::number(&bytes)).transpose()?;
        let window = stored.map_or(WINDOW, Duration::from_millis);
        let epochs = view.old_commits(clock::before(view.now(), window), MOST)?;
        drop(view);
        self.forget_epochs(&epochs)
    }
}

impl View {
    /// The points of single commits from before `cutoff`, and the oldest over `most`. It reads only those and the next
    /// few: a clock that went back leaves times out of order, but not far.
    pub(crate) fn old_commits(&self, cutoff: Timestamp, most: u64) -> Result<Vec<Epoch>> {
        let mut over = self.stored().count(Table::Commits)?.saturating_sub(most);
        let mut old = Vec::new();
        let mut range = KeyRange::all();
        loop {
            let page = self.rows(Table::Commits, &range, COMMITS_PER_READ)?;
            let before = old.len();
            for (key, bytes) in &page {
                if over > 0 || codec::decode::<Commit>(bytes)?.at < cutoff {
                    old.push(epoch_of(key)?);
                }
                over = over.saturating_sub(1);
            }
            let Some((last, _)) = page.last().filter(|_| old.len() > before) else { return Ok(old) };
            range = range.after(last);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::engine::commit::Outcome;
    use crate::engine::schema::CollectionId;
    use crate::testkit::checked_store::{Fixture, time};

    /// Seals `count` commits, one each second.
    fn commit(hive: &Fixture, count: u64) {
        hive.store
            .alone(|tx| {
                for number in 0..count {
                    hive.pass(1);
                    tx.put(CollectionId::CONFIG, &[(number % 7) as u8], b"1")?;
                    tx.seal_commit()?;
                }
                Ok(Outcome::Commit(()))
            })
            .unwrap();
    }

    fn commits(hive: &Fixture) -> u64 {
        hive.view().stored().count(Table::Commits).unwrap()
    }

    #[test]
    fn the_oldest_over_the_limit_go_first_and_then_those_from_before_the_window() {
        let hive = Fixture::new();
        commit(&hive, 1000);
        let old = |cutoff, most| hive.view().old_commits(time(cutoff), most).unwrap();
        assert_eq!(old(0, 1000), []);
        assert_eq!(old(0, 990), (1..=10).map(Epoch).collect::<Vec<_>>());
        assert_eq!(old(601, 990), (1..=600).map(Epoch).collect::<Vec<_>>());
        assert_eq!(old(5000, 990).len(), 1000);
    }

    #[test]
    fn a_clock_that_went_back_does_not_keep_the_commits_around_it() {
        let hive = Fixture::new();
        commit(&hive, 10);
        hive.clock.set(time(100_000));
        commit(&hive, 1);
        hive.clock.set(time(20));
        commit(&hive, 10);
        let old: Vec<_> = hive.view().old_commits(time(50), 1000).unwrap();
        assert_eq!(old.len(), 20, "all but the one in the future");
        assert!(!old.contains(&Epoch(11)));
    }

    #[test]
    fn after_the_window_has_passed_nothing_of_its_commits_is_left() {
        let hive = Fixture::new();
        commit(&hive, 600);
        hive.store.trim_history().unwrap();
        assert_eq!(commits(&hive), 600);
        hive.pass(WINDOW.as_secs() - 300);
        hive.store.trim_history().unwrap();
        assert_eq!(commits(&hive), 301);
        hive.store.remember_window(Duration::from_secs(60)).unwrap();
        hive.store.trim_history().unwrap();
        assert_eq!(commits(&hive), 0);
        for table in [Table::PreImages, Table::Tombstones] {
            assert_eq!(hive.view().stored().page(table, &KeyRange::all(), 1).unwrap(), []);
        }
        assert!(hive.store.check().unwrap().is_sound());
    }

    #[test]
    fn writers_get_their_turn_while_a_long_history_is_trimmed() {
        let hive = Fixture::new();
        commit(&hive, 3000);
        hive.pass(2 * WINDOW.as_secs());
        let trimmed = AtomicBool::new(false);
        let written = std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                let mut written = 0;
                while !trimmed.load(Ordering::Relaxed) {
                    hive.store.write(|tx| tx.put(CollectionId::CONFIG, b"k", b"1")).unwrap();
                    written += 1;
                }
                written
            });
            hive.store.trim_history().unwrap();
            trimmed.store(true, Ordering::Relaxed);
            writer.join().unwrap()
        });
        assert_eq!(commits(&hive), 0);
        assert!(written >= 5, "writes while 3,000 points were forgotten: {written}");
    }
}
