//! Async work of a replica for blocking callers.

use std::future::Future;
use std::time::Duration;

use crate::error::Result;
use crate::recovery::upkeep::background::Stop;

/// Between two looks whether a thread is to stop.
const A_MOMENT: Duration = Duration::from_millis(100);

/// Runs async work to its end on this thread, in a runtime of its own.
///
/// # Errors
///
/// `Io` when the system has no more descriptors; every error of the work.
pub(crate) fn block_on<R>(work: impl Future<Output = Result<R>>) -> Result<R> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let done = runtime.block_on(work);
    // A folder that hangs keeps its thread, and nobody else.
    runtime.shutdown_background();
    done
}

/// Ends once a thread was to stop for so long.
pub(super) async fn stopped_for(stop: &Stop, time: Duration) {
    while !stop.is_stopped() {
        tokio::time::sleep(A_MOMENT).await;
    }
    tokio::time::sleep(time).await;
}
