//! How far the replica is, as the process that ships was told, and whether this process may go on writing.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::error::{Error, ErrorKind, Result};

/// How far the replica is, as this process was told.
#[derive(Debug, Default)]
pub(crate) struct Told(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    shipped: Option<(u64, Arc<[u8]>)>,
    fence: Option<String>,
}

impl Told {
    /// The replica has everything up to a commit, at that position.
    #[cfg(any(test, feature = "replica"))]
    pub(crate) fn note_shipped(&self, sequence: u64, position: Vec<u8>) {
        self.0.lock().shipped = Some((sequence, position.into()));
    }

    /// The newest commit that the replica has, and its position; none when nothing was told yet.
    pub(crate) fn shipped(&self) -> Option<(u64, Arc<[u8]>)> {
        self.0.lock().shipped.clone()
    }

    /// Keeps this process from writing, for that reason; without one it may write again.
    #[cfg(any(test, feature = "replica"))]
    pub(crate) fn fence(&self, reason: Option<String>) {
        self.0.lock().fence = reason;
    }

    /// Refuses to write when another process has the history now.
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
