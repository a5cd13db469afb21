//! A terminal that goes away, and a program that rotates logs, send SIGHUP. It ends no service: nobody would start it again,
//! and the next start would tell of a crash.

use crate::Result;

/// From now on the signal ends nothing, also before the service is there to do something about it.
///
/// # Errors
///
/// `Io` when the operating system refuses.
#[cfg(unix)]
pub(super) fn ends_nothing() -> Result<()> {
    signal_hook::flag::register(signal_hook::consts::SIGHUP, std::sync::Arc::default())?;
    Ok(())
}

/// There is no such signal.
#[cfg(not(unix))]
pub(super) fn ends_nothing() -> Result<()> {
    Ok(())
}
