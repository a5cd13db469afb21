//! `doctor`: would I get my data back, right now?

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::face::cli::context::Context;
use crate::face::cli::exit::Exit;
use crate::face::cli::output::Output;
use crate::{Condition, Diagnosis, DiagnosisLine, DiagnosisOptions, Result, duration};

/// Say whether you would get your data back, right now
///
/// Looks at restore points, archives, checks, drills, free space, retention, the clock, and who has the store open, and
/// says of each whether it is as it should be, and what to do if not. It only reads, beside processes that use the store,
/// and verifies some 20,000 rows, going on where it ended the last time; --full verifies every record, every point and the
/// pages.
///
/// The exit code is 0 when all is well, 3 when data is at risk, and 4 when damage was found.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hivekeep doctor
  hivekeep doctor --full
  hivekeep doctor --json")]
pub(super) struct Doctor {
    /// Verify everything; the pages only while no other process has the store open
    #[arg(long)]
    full: bool,
    /// How old the newest restore point may be while something has changed since it
    #[arg(long, value_name = "TIME", value_parser = duration::parse, default_value = "10m")]
    backup_interval: Duration,
    /// Where archives are kept; hivekeep-archives beside the store unless given
    #[arg(long, value_name = "DIR")]
    archive_dir: Option<PathBuf>,
}

impl Doctor {
    pub(super) fn run(self, context: &mut Context) -> Result<Exit> {
        let Self { full, backup_interval, archive_dir } = self;
        let options = DiagnosisOptions { full, backup_interval, archive_dir };
        let diagnosis = context.options().diagnose(&context.path, &options)?;
        if context.out.is_json() {
            context.out.json(&diagnosis)?;
        } else {
            show(&mut context.out, &diagnosis)?;
        }
        Ok(match diagnosis.verdict {
            Condition::Ok => Exit::Done,
            Condition::Warn => Exit::InPart,
            Condition::Bad => Exit::Damaged,
        })
    }
}

fn show(out: &mut Output, Diagnosis { verdict: worst, lines }: &Diagnosis) -> Result<()> {
    for DiagnosisLine { topic, verdict, what, advice } in lines {
        let verdict = match verdict {
            Condition::Ok => "ok  ",
            Condition::Warn => "warn",
            Condition::Bad => "bad ",
        };
        out.fact(&format!("{verdict}  {topic:<10}  "), what)?;
        if let Some(advice) = advice {
            out.fact("                  -> ", advice)?;
        }
    }
    let of = |verdict| lines.iter().filter(|line| line.verdict == verdict).count();
    let answer = match worst {
        Condition::Ok => "yes, you would get your data back".to_owned(),
        Condition::Warn => format!("you would get back what is in the file; at risk: {}", of(Condition::Warn)),
        Condition::Bad => "damage was found".to_owned(),
    };
    out.line(answer)
}
