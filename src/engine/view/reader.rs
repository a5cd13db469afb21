//! The view, and the read transaction that it holds.

use std::sync::atomic::AtomicU32;
use std::sync::{Arc, OnceLock};

use crate::engine::format::epoch::{Epoch, Epochs};
use crate::engine::format::point::Manifest;
use crate::engine::format::schema::Table;
use crate::engine::history::members::Members;
use crate::engine::meta;
use crate::engine::opening::context::Context;
use crate::engine::records::Records;
use crate::engine::redb_file::pages::Snapshot;
use crate::engine::rows::ReadRows;
use crate::engine::session::process::Owned;
use crate::engine::session::views::{Ticket, Views};
use crate::error::{Error, ErrorKind, Hint, Result};

/// A consistent view of the store: now, or as of a restore point.
///
/// It has one read transaction and never renews it. So it does not change when data is written, restored or forgotten
/// meanwhile. The file cannot reuse pages that a view still sees, so drop it when you are done.
pub struct View {
    pub(super) context: Arc<Context>,
    pub(super) stored: ReadRows,
    /// Says that it is open.
    _ticket: Owned<Ticket>,
    /// The pages of the same commit, if they can be read past redb.
    snapshot: Option<Snapshot>,
    pub(super) at: Epoch,
    pub(super) epochs: Epochs,
    pub(super) manifest: Option<Manifest>,
    /// Retained points and points still being merged, once loaded.
    pub(super) members: OnceLock<Members>,
    pub(super) steps: AtomicU32,
}

impl View {
    /// A view of now, for `at` [`Epoch::NOW`], or as of a point.
    ///
    /// # Errors
    ///
    /// `Gone` when the point is not retained.
    pub(crate) fn new(context: Arc<Context>, stored: ReadRows, at: Epoch) -> Result<Self> {
        let ticket = Owned::new(Views::begin(&context.views, context.clock.now()), stored.guard().process());
        let mut view = Self {
            context,
            stored,
            _ticket: ticket,
            snapshot: None,
            at,
            epochs: Epochs::NEW,
            manifest: None,
            members: OnceLock::new(),
            steps: AtomicU32::new(0),
        };
        view.epochs = meta::epochs(view.stored().get(Table::Meta, meta::EPOCHS)?.as_deref())?;
        if at != Epoch::NOW {
            view.manifest = view.manifest(at)?;
            if view.manifest.is_none() && view.stored().get(Table::Commits, &at.to_key())?.is_none() {
                return Err(gone(at));
            }
        }
        Ok(view)
    }

    /// The epoch that this view is as of; none for a view of the present.
    ///
    /// # Examples
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = hivekeep::Store::open(dir.path().join("h.redb")).unwrap();
    /// assert_eq!(store.view()?.epoch(), None);
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn epoch(&self) -> Option<Epoch> {
        (self.at != Epoch::NOW).then_some(self.at)
    }

    /// The point that is seen, or [`Epoch::NOW`].
    pub(crate) fn at(&self) -> Epoch {
        self.at
    }

    /// The open epoch, and the earliest and newest point.
    pub(crate) fn epochs(&self) -> Epochs {
        self.epochs
    }

    /// The manifest of a retained point.
    pub(crate) fn manifest(&self, epoch: Epoch) -> Result<Option<Manifest>> {
        self.row(Table::Points, &epoch.to_key())?.map(|bytes| crate::engine::format::codec::decode(&bytes)).transpose()
    }

    /// The bytes of the pages that the rows of now are on, with what is unused on them. Reads every page.
    #[cfg(feature = "transfer")]
    pub(crate) fn used_bytes(&self) -> Result<u64> {
        Table::ALL.iter().try_fold(0_u64, |sum, table| Ok(sum.saturating_add(self.stored.used_bytes(*table)?)))
    }

    /// The stored rows that this view reads.
    pub(crate) fn stored(&self) -> &ReadRows {
        &self.stored
    }

    /// The same view, with the pages that it reads.
    pub(crate) fn with_snapshot(self, snapshot: Option<Snapshot>) -> Self {
        Self { snapshot, ..self }
    }

    pub(crate) fn snapshot(&self) -> Option<&Snapshot> {
        self.snapshot.as_ref()
    }

    pub(crate) fn context(&self) -> &Context {
        &self.context
    }
}

impl std::fmt::Debug for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("View").field("at", &self.at).finish_non_exhaustive()
    }
}

/// The error for a point that retention has removed.
pub(crate) fn gone(epoch: Epoch) -> Error {
    let message = format!("the point is no longer retained; choose another: epoch={epoch}");
    Error::new(ErrorKind::Gone, message).with_hint(Hint::ListPoints)
}
