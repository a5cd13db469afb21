//! The progress output of a drill, and its interruption by a signal.

use std::io::Write;
use std::sync::atomic::{AtomicI32, Ordering};

use indicatif::ProgressBar;

use crate::face::cli::printing::output::Output;
use crate::face::cli::printing::progress;
use crate::face::cli::signals::Signals;
use crate::text::printable;
use crate::{DrillWatch, Result};

/// Prints a line for each step, with a progress bar below it on a terminal.
pub(super) struct Screen {
    signals: Signals,
    /// The signal that arrived; 0 if none.
    signal: AtomicI32,
    bar: Option<ProgressBar>,
    is_silent: bool,
}

impl Screen {
    pub(super) fn new(out: &Output) -> Result<Self> {
        let bar = progress::bar(out, "{wide_bar} {percent}%");
        Ok(Self { signals: Signals::note()?, signal: AtomicI32::new(0), bar, is_silent: !out.shows_messages() })
    }

    /// Removes the bar from the terminal.
    pub(super) fn clear(&self) {
        self.bar.iter().for_each(ProgressBar::finish_and_clear);
    }

    /// The signal that stopped the drill.
    pub(super) fn signal(&self) -> Option<i32> {
        Some(self.signal.load(Ordering::Relaxed)).filter(|signal| *signal != 0)
    }
}

impl DrillWatch for Screen {
    fn stage(&self, what: &str) {
        if self.is_silent {
            return;
        }
        let what = printable(what);
        match &self.bar {
            Some(bar) => bar.println(format!("{what} ..")),
            // A closed standard error cannot be reported anywhere.
            None => drop(writeln!(std::io::stderr(), "{what} ..")),
        }
    }

    fn progress(&self, done: u64, of: u64) {
        if let Some(bar) = &self.bar {
            bar.set_length(of);
            bar.set_position(done);
        }
    }

    fn is_stopped(&self) -> bool {
        if let Some(signal) = self.signals.take() {
            self.signal.store(signal, Ordering::Relaxed);
        }
        self.signal().is_some()
    }
}
