//! The history of every commit: what is older than its window is merged away, by a thread of a store that keeps one and
//! by retention.

use std::sync::{Arc, Weak};
use std::time::Duration;

use jiff::Timestamp;
use redb::ReadableTableMetadata;

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
use crate::recovery::points::epoch_of;

/// How often the thread looks; small against any window worth having.
const PERIOD: Duration = Duration::from_millis(500);
/// At most so many points of single commits are kept.
const MOST: u64 = 100_000;
/// Of points that another program left, when none has said how long it wants them.
const WINDOW: Duration = Duration::from_secs(3600);
/// Rows read at a time.
const PAGE: usize = 256;

/// Starts the thread. It ends with the last clone of the store, or when the store is closed.
pub(crate) fn keep(store: &Store, window: Duration) -> Result<()> {
    store.remember_window(window)?;
    let inner = Arc::downgrade(&store.inner);
    let thread = std::thread::Builder::new().name("hivekeep-history".into());
    thread.spawn(move || run(&inner))?;
    Ok(())
}

fn run(inner: &Weak<Inner>) {
    loop {
        std::thread::sleep(PERIOD);
        let Some(inner) = inner.upgrade() else { return };
        let store = Store { inner };
        match store.trim_history() {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::Reopen => return,
            Err(error) => tracing::error!(%error, "the history of commits could not be trimmed"),
        }
    }
}

impl Store {
    /// Notes the window in the store, for every process that trims. The last one that was asked for counts.
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
        let mut over = self.table(Table::Commits)?.len()?.saturating_sub(most);
        let mut old = Vec::new();
        let mut range = KeyRange::all();
        loop {
            let page = self.rows(Table::Commits, &range, PAGE)?;
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
