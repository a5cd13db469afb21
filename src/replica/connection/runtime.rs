//! Async work of a replica for blocking callers.

use std::future::Future;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

use crate::error::{Error, ErrorKind, Result};
use crate::recovery::upkeep::background::Stop;

/// Between two looks whether a thread is to stop.
const A_MOMENT: Duration = Duration::from_millis(100);

/// A runtime on the thread of its caller. A folder that hangs keeps its thread, and nobody who drops this.
pub(in crate::replica) struct OwnRuntime(Option<Runtime>);

impl OwnRuntime {
    /// # Errors
    ///
    /// `Io` when the system has no more descriptors.
    pub(in crate::replica) fn new() -> Result<Self> {
        Ok(Self(Some(Builder::new_current_thread().enable_all().build()?)))
    }

    /// Runs async work to its end on this thread.
    ///
    /// # Errors
    ///
    /// Every error of the work.
    pub(in crate::replica) fn block_on<R>(&self, work: impl Future<Output = Result<R>>) -> Result<R> {
        match &self.0 {
            Some(runtime) => runtime.block_on(work),
            // Only the drop takes it.
            None => Err(Error::new(ErrorKind::Io, "the runtime has ended")),
        }
    }
}

impl Drop for OwnRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Runs async work to its end on this thread, in a runtime of its own.
///
/// # Errors
///
/// `Io` when the system has no more descriptors; every error of the work.
pub(crate) fn block_on<R>(work: impl Future<Output = Result<R>>) -> Result<R> {
    OwnRuntime::new()?.block_on(work)
}

/// Ends once a thread was to stop for so long.
pub(in crate::replica) async fn stopped_for(stop: &Stop, time: Duration) {
    while !stop.is_stopped() {
        tokio::time::sleep(A_MOMENT).await;
    }
    tokio::time::sleep(time).await;
}
