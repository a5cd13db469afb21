//! How far the replica is, as the process that ships was told, and whether this process may go on writing.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::error::{Error, ErrorKind, Result};

/// How far the replica is, as this process was told.
#[derive(Debug, Default)]
pub(crate) struct Told(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    shipped: Option<Progress>,
    fence: Option<String>,
}

/// How far a replica is.
#[derive(Clone, Debug)]
pub(crate) struct Progress {
    /// The feed of which that is known.
    pub(super) feed: u64,
    /// The newest commit that the replica has.
    pub(super) sequence: u64,
    /// Its place there, in the replica's own form.
    pub(super) position: Arc<[u8]>,
}

impl Told {
    /// Notes how far the replica is.
    #[cfg(any(test, feature = "replica"))]
    pub(super) fn note(&self, progress: Progress) {
        self.0.lock().shipped = Some(progress);
    }

    /// How far the replica of this feed is beyond a commit; none when nothing of that was told.
    pub(super) fn beyond(&self, feed: u64, sequence: u64) -> Option<Progress> {
        let shipped = self.0.lock().shipped.clone();
        shipped.filter(|progress| progress.feed == feed && progress.sequence >= sequence)
    }

    /// Keeps this process from writing, for that reason; without one it may write again.
    #[cfg(any(test, feature = "replica"))]
    pub(super) fn fence(&self, reason: Option<String>) {
        self.0.lock().fence = reason;
    }

    /// Whether another process has the history now.
    pub(crate) fn is_fenced(&self) -> bool {
        self.0.lock().fence.is_some()
    }

    /// Refuses to commit when another process has the history now.
    ///
    /// # Errors
    ///
    /// `Conflict` then.
    pub(crate) fn refuse_fenced(&self) -> Result<()> {
        match &self.0.lock().fence {
            None => Ok(()),
            Some(reason) => Err(Error::new(ErrorKind::Conflict, reason.clone())),
        }
    }
}
