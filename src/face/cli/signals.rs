//! Records termination signals instead of dying from them, for verbs that must clean up first.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};

use crate::Result;

/// The recorded signals: Ctrl-C, the shutdown by a supervisor, and a closed terminal.
#[cfg(unix)]
const NOTED: [i32; 3] = [SIGINT, SIGTERM, signal_hook::consts::SIGHUP];
/// The recorded signals.
#[cfg(not(unix))]
const NOTED: [i32; 2] = [SIGINT, SIGTERM];

/// The signals that have arrived.
#[derive(Debug)]
pub(super) struct Signals {
    /// The last signal that was not taken yet; 0 if none.
    last: Arc<AtomicUsize>,
}

impl Signals {
    /// Starts to record signals.
    pub(super) fn note() -> Result<Self> {
        let last = Arc::new(AtomicUsize::new(0));
        for signal in NOTED {
            signal_hook::flag::register_usize(signal, last.clone(), signal.unsigned_abs() as usize)?;
        }
        Ok(Self { last })
    }

    /// The signal that has arrived since the last call, if any.
    pub(super) fn take(&self) -> Option<i32> {
        match self.last.swap(0, Ordering::Relaxed) {
            0 => None,
            signal => i32::try_from(signal).ok(),
        }
    }
}

/// The exit code that a shell shows for a program that a signal ended.
pub(super) fn code_of(signal: i32) -> u8 {
    u8::try_from(signal).ok().and_then(|signal| signal.checked_add(128)).unwrap_or(u8::MAX)
}
