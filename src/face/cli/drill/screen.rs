//! Who watches a drill: shows what is being done, and notes when it is to stop.

use std::io::Write;
use std::sync::atomic::{AtomicI32, Ordering};

use indicatif::ProgressBar;

use crate::face::cli::output::Output;
use crate::face::cli::progress;
use crate::face::cli::signals::Signals;
use crate::text::printable;
use crate::{DrillWatch, Result};

/// A line for each thing that is done, with a bar below it on a terminal.
pub(super) struct Screen {
    signals: Signals,
    /// The signal that came; none is 0.
    signal: AtomicI32,
    bar: Option<ProgressBar>,
    is_silent: bool,
}

impl Screen {
    pub(super) fn new(out: &Output) -> Result<Self> {
        let bar = progress::bar(out, "{wide_bar} {percent}%");
        Ok(Self { signals: Signals::note()?, signal: AtomicI32::new(0), bar, is_silent: !out.shows_messages() })
    }

    /// Nothing of it is left on the terminal.
    pub(super) fn clear(&self) {
        self.bar.iter().for_each(ProgressBar::finish_and_clear);
    }

    /// The signal that stopped it.
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
            // Nobody can be told that standard error is closed.
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
