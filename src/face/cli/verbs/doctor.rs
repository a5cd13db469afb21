//! `doctor`: checks whether you would get your data back right now.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::face::cli::context::Context;
use crate::face::cli::printing::exit::Exit;
use crate::face::cli::printing::output::Output;
use crate::{Condition, Diagnosis, DiagnosisLine, DiagnosisOptions, Result, duration, show_time};

/// Check whether you would get your data back right now
///
/// Checks restore points, archives, drills, free space, retention, the clock, and the processes that have the store
/// open; reports a verdict on each, with advice. It only reads, while other processes may use the store, and verifies
/// about 20,000 rows, continuing where the last run ended; --full verifies every record, every point and the pages.
///
/// The exit code is 0 if all is well, 3 if data is at risk, and 4 if damage was found, or another machine has the
/// history of the store.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hivekeep doctor
  hivekeep doctor --full
  hivekeep doctor --json")]
pub(in crate::face::cli) struct Doctor {
    /// Verify everything; the pages only if no other process has the store open
    #[arg(long)]
    full: bool,
    /// The acceptable age of the newest restore point if something has changed since it
    #[arg(long, value_name = "TIME", value_parser = duration::parse, default_value = "10m")]
    backup_interval: Duration,
    /// The folder of the archives [default: hivekeep-archives beside the store]
    #[arg(long, value_name = "DIR")]
    archive_dir: Option<PathBuf>,
}

impl Doctor {
    pub(in crate::face::cli) fn run(self, context: &mut Context) -> Result<Exit> {
        let Self { full, backup_interval, archive_dir } = self;
        let diagnosis = match context.is_remote() {
            true => {
                let why = "a service diagnoses its store by its own settings";
                let others = [("--full", full), ("--archive-dir", archive_dir.is_some())];
                others
                    .iter()
                    .filter(|(_, is_given)| *is_given)
                    .try_for_each(|(name, _)| context.needs_file(name, why))?;
                context.reach()?.diagnosis()?
            }
            false => {
                let options = DiagnosisOptions { full, backup_interval, archive_dir, replica: None };
                context.options().diagnose(&context.path, &options)?
            }
        };
        if context.out.is_json() {
            context.out.json(&diagnosis)?;
        } else {
            show(&mut context.out, &diagnosis)?;
            // Anything else that is bad is not damage of the store.
            let is_damage = |line: &DiagnosisLine| {
                line.verdict == Condition::Bad && ["opened", "verified", "checked"].contains(&&*line.topic)
            };
            if diagnosis.lines.iter().any(is_damage) {
                context.tell_of_replica();
            }
        }
        Ok(match diagnosis.verdict {
            Condition::Ok => Exit::Done,
            Condition::Warn => Exit::InPart,
            Condition::Bad => Exit::Damaged,
        })
    }
}

fn show(out: &mut Output, Diagnosis { verdict: worst, lines, restorable_until }: &Diagnosis) -> Result<()> {
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
        Condition::Warn => {
            let what = match restorable_until {
                Some(until) => format!("everything until {}, from the replica", show_time(*until)),
                None => "the content of the file".to_owned(),
            };
            format!("you would get back {what}; at risk: {}", of(Condition::Warn))
        }
        Condition::Bad if lines.iter().any(|line| line.verdict == Condition::Bad && line.topic != "replica") => {
            "damage was found".to_owned()
        }
        Condition::Bad => "the replica is damaged, or another machine has the history".to_owned(),
    };
    out.line(answer)
}
