//! A progress bar for long operations.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::face::cli::printing::output::Output;

/// A progress bar, if it would be visible.
pub(in crate::face::cli) struct Progress(ProgressBar);

impl Progress {
    /// A bar that counts rows, records or the like.
    pub(in crate::face::cli) fn new(out: &Output, what: &str) -> Self {
        let template = format!("{{wide_bar}} {{human_pos}} of {{human_len}} {what}, {{eta}} left");
        Self(bar(out, &template).unwrap_or_else(ProgressBar::hidden))
    }

    /// Shows how much is done.
    pub(in crate::face::cli) fn show(&self, done: u64, of: u64) {
        self.0.set_length(of);
        self.0.set_position(done);
    }
}

/// A bar on standard error, if it would be visible.
pub(in crate::face::cli) fn bar(out: &Output, template: &str) -> Option<ProgressBar> {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let draw = || ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr_with_hz(10)).with_style(style);
    out.shows_progress().then(draw)
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
