//! `check`: everything verified, nothing changed.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use clap::Args;
use parking_lot::Mutex;

use crate::engine::check::CheckReport;
use crate::error::Result;
use crate::face::cli::context::Context;
use crate::face::cli::exit::Exit;
use crate::face::cli::output::Output;
use crate::face::summary::{counted, show_bytes};

/// A progress line is drawn no more often.
const REDRAW: Duration = Duration::from_millis(100);

/// Verify every record, every point, every digest; change nothing
///
/// Damage that is found is listed, and the exit code is 4. While no other process has the store open, the pages of the
/// file are verified too.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hivekeep check
  hivekeep check --pages
  hivekeep check --json")]
pub(super) struct Check {
    /// Verify the pages of the file although others have it open; their writers wait, 1 to 2 s per GB
    #[arg(long)]
    pages: bool,
}

impl Check {
    pub(super) fn run(self, context: &mut Context) -> Result<Exit> {
        let options = context.options();
        let options = if self.pages { options.read_only(true) } else { options.untouched() };
        let store = options.open(&context.path)?;
        let progress = Progress::new(context.out.shows_progress());
        let mut report = store.check(&|done, of| progress.draw(done, of))?;
        progress.clear();
        if self.pages {
            store.check_pages()?.into_iter().for_each(|finding| report.find(finding));
            report.pages = true;
        }
        if context.out.is_json() {
            context.out.json(&report)?
        } else {
            show(&mut context.out, &report)?
        }
        Ok(if report.is_sound() { Exit::Done } else { Exit::Damaged })
    }
}

fn show(out: &mut Output, report: &CheckReport) -> Result<()> {
    for finding in &report.findings {
        out.line(format_args!("{} {}: {}", finding.table, finding.key, finding.what))?;
    }
    let unlisted = report.found - report.findings.len() as u64;
    if unlisted > 0 {
        out.line(format_args!("and {unlisted} more"))?;
    }
    let verdict = if report.is_sound() { "sound".to_owned() } else { counted(report.found, "finding") };
    out.line(format_args!(
        "{verdict}: {} ({}), {} and {} verified",
        counted(report.records, "record"),
        show_bytes(report.bytes),
        counted(report.pre_images, "pre-image"),
        counted(report.points, "point"),
    ))
}

/// A line on the terminal that says how far long work has come.
struct Progress {
    /// When it was last drawn; none when nobody looks.
    drawn: Option<Mutex<Instant>>,
}

impl Progress {
    fn new(shown: bool) -> Self {
        Self { drawn: shown.then(|| Mutex::new(Instant::now())) }
    }

    fn draw(&self, done: u64, of: u64) {
        let Some(drawn) = &self.drawn else { return };
        let mut drawn = drawn.lock();
        if drawn.elapsed() >= REDRAW {
            *drawn = Instant::now();
            let _ = write!(io::stderr(), "\r\x1b[2K{done} of {of} rows");
        }
    }

    fn clear(&self) {
        if self.drawn.is_some() {
            let _ = write!(io::stderr(), "\r\x1b[2K");
        }
    }
}
