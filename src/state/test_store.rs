//! A store of its own for a test, with a clock that the test moves.

use std::time::Duration;

use crate::clock::ManualClock;
use crate::engine::epoch::Epoch;
use crate::engine::index::IndexRule;
use crate::engine::store::Store;
use crate::engine::view::View;
use crate::engine::write::WriteTx;
use crate::error::Result;

pub(crate) struct TestStore {
    pub(crate) store: Store,
    pub(crate) clock: ManualClock,
    _folder: tempfile::TempDir,
}

impl TestStore {
    /// An empty store; its clock shows the first second of 2026.
    pub(crate) fn new(rules: &'static [IndexRule]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = ManualClock::new("2026-01-01T00:00:00Z".parse().unwrap());
        let store = Store::options().clock(clock.clone()).open_with(&folder.path().join("h.redb"), rules).unwrap();
        Self { store, clock, _folder: folder }
    }

    /// Commits what the closure does, which must succeed.
    pub(crate) fn write<R>(&self, closure: impl FnOnce(&mut WriteTx<'_>) -> Result<R>) -> R {
        self.store.write(closure).unwrap()
    }

    /// A view of now.
    pub(crate) fn view(&self) -> View {
        self.store.view().unwrap()
    }

    /// Makes a point and gives its epoch.
    pub(crate) fn seal(&self) -> Epoch {
        self.write(|tx| tx.seal_commit())
    }

    /// A view as of a point.
    pub(crate) fn at(&self, point: Epoch) -> View {
        self.store.view_at(point).unwrap()
    }

    /// Lets so many seconds pass.
    pub(crate) fn wait(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }
}
