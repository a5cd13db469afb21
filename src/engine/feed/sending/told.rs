//! How far the replica is, as the process that ships was told, and whether this process may go on writing.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::engine::feed::receiving::overtaken::Fence;
#[cfg(feature = "replica")]
use crate::error::Error;
use crate::error::Result;

/// How far the replica is, as this process was told.
#[derive(Debug, Default)]
pub(crate) struct Told(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    shipped: Option<Progress>,
    stop: Option<Stop>,
}

/// The reason why this process writes nothing any more.
#[derive(Debug)]
enum Stop {
    /// Another machine goes on with the history.
    #[cfg_attr(
        not(any(test, feature = "replica")),
        expect(dead_code, reason = "nothing is shipped without the feature")
    )]
    Overtaken(Fence),
    /// Anything else that the replica says of the store.
    #[cfg(feature = "replica")]
    Refused(String),
}

/// How far a replica is.
#[derive(Clone, Debug)]
pub(crate) struct Progress {
    /// The feed of which that is known.
    pub(in crate::engine::feed) feed: u64,
    /// The newest commit that the replica has.
    pub(in crate::engine::feed) sequence: u64,
    /// Its place there, in the replica's own form.
    pub(in crate::engine::feed) position: Arc<[u8]>,
}

impl Told {
    /// Notes how far the replica is.
    #[cfg(any(test, feature = "replica"))]
    pub(in crate::engine::feed) fn note(&self, progress: Progress) {
        self.0.lock().shipped = Some(progress);
    }

    /// Forgets how far the replica is.
    #[cfg(any(test, feature = "replica"))]
    pub(super) fn forget_shipped(&self) {
        self.0.lock().shipped = None;
    }

    /// How far the replica of this feed is beyond a commit; none when nothing of that was told.
    pub(super) fn beyond(&self, feed: u64, sequence: u64) -> Option<Progress> {
        let shipped = self.0.lock().shipped.clone();
        shipped.filter(|progress| progress.feed == feed && progress.sequence >= sequence)
    }

    /// Keeps this process from writing, as another one has the history.
    #[cfg(any(test, feature = "replica"))]
    pub(in crate::engine::feed) fn fence(&self, fence: Fence) {
        self.0.lock().stop = Some(Stop::Overtaken(fence));
    }

    /// Keeps this process from writing, for that reason.
    #[cfg(feature = "replica")]
    pub(in crate::engine::feed) fn refuse(&self, reason: String) {
        self.0.lock().stop.get_or_insert(Stop::Refused(reason));
    }

    /// Lets this process write again, unless another machine has the history.
    #[cfg(feature = "replica")]
    pub(in crate::engine::feed) fn allow(&self) {
        let stop = &mut self.0.lock().stop;
        if matches!(stop, Some(Stop::Refused(_))) {
            *stop = None;
        }
    }

    /// How another process was found to have the history now; none when that was not found.
    pub(in crate::engine::feed) fn fenced(&self) -> Option<Fence> {
        match &self.0.lock().stop {
            Some(Stop::Overtaken(fence)) => Some(fence.clone()),
            _ => None,
        }
    }

    /// Whether this process writes nothing any more.
    pub(crate) fn is_fenced(&self) -> bool {
        self.0.lock().stop.is_some()
    }

    /// Refuses to commit when this process writes nothing any more.
    ///
    /// # Errors
    ///
    /// `Conflict` then.
    pub(crate) fn refuse_fenced(&self) -> Result<()> {
        match &self.0.lock().stop {
            None => Ok(()),
            Some(Stop::Overtaken(fence)) => Err(fence.refusal()),
            #[cfg(feature = "replica")]
            Some(Stop::Refused(reason)) => Err(Error::conflict(reason.clone())),
        }
    }
}
