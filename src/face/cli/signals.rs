//! Signals that ask the program to end, noted instead of obeyed, for verbs that have something to put right first.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};

use crate::Result;

/// What is noted: Ctrl-C, the end that a supervisor asks for, and a terminal that goes away.
#[cfg(unix)]
const NOTED: [i32; 3] = [SIGINT, SIGTERM, signal_hook::consts::SIGHUP];
/// What is noted.
#[cfg(not(unix))]
const NOTED: [i32; 2] = [SIGINT, SIGTERM];

/// The signals that came.
#[derive(Debug)]
pub(super) struct Signals {
    /// The last one that nobody has asked for yet; none is 0.
    last: Arc<AtomicUsize>,
}

impl Signals {
    /// From now on they are noted.
    pub(super) fn note() -> Result<Self> {
        let last = Arc::new(AtomicUsize::new(0));
        for signal in NOTED {
            signal_hook::flag::register_usize(signal, last.clone(), signal.unsigned_abs() as usize)?;
        }
        Ok(Self { last })
    }

    /// The signal that came since this was last asked.
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
