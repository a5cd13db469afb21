//! Work that goes on in a service, watched until it is over.

use std::time::Duration;

use crate::face::remote::Client;
use crate::{Clock, Error, ErrorKind, Result, SystemClock};

/// The pause between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Looks at a job until it is over, and returns it as it is then. `progress` is a number that grows while the job
/// runs, and none once it is over.
///
/// # Errors
///
/// `Io` when the job makes no progress for the client's [patience](Client::patience).
pub(in crate::face) fn watch<T>(
    client: &Client,
    mut job: T,
    progress: impl Fn(&T) -> Option<u64>,
    look: impl Fn(&T) -> Result<T>,
) -> Result<T> {
    let (mut last, mut idle) = (None, Duration::ZERO);
    while let Some(now) = progress(&job) {
        if last != Some(now) {
            (last, idle) = (Some(now), Duration::ZERO);
        }
        if idle >= client.patience() {
            let message = "the service makes no progress with it, and may go on with it later";
            return Err(Error::new(ErrorKind::Io, format!("{message}: waited_ms={}", idle.as_millis())));
        }
        SystemClock.sleep(LOOK_EVERY);
        idle = idle.saturating_add(LOOK_EVERY);
        job = look(&job)?;
    }
    Ok(job)
}
