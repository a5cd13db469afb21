//! `doctor`: would I get my data back, right now?
//!
//! * [`line`]: what is said of one thing
//! * [`look`]: what is looked at in the store; [`copies`]: what there is outside of it
//! * [`verified`]: how much is read, and whether it is what was written

mod copies;
mod line;
mod look;
mod verified;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use self::line::{Line, Verdict};
use crate::duration;
use crate::face::cli::context::Context;
use crate::face::cli::exit::Exit;
use crate::face::cli::output::Output;
use crate::{ErrorKind, Origin, Page, Result};

/// Events that are looked through for what failed, and for archives, newest first.
const EVENTS: usize = 1_000;

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
        let lines = match self.look(context) {
            Err(error) if error.kind() == ErrorKind::Damaged => {
                vec![Line::bad("opened", error.to_string(), "see what can be kept: hivekeep repair --dry-run")]
            }
            lines => lines?,
        };
        let worst = lines.iter().map(|line| line.verdict).max().unwrap_or(Verdict::Ok);
        if context.out.is_json() {
            context.out.json(&json!({"verdict": worst, "lines": lines}))?;
        } else {
            show(&mut context.out, &lines, worst)?;
        }
        Ok(match worst {
            Verdict::Ok => Exit::Done,
            Verdict::Warn => Exit::InPart,
            Verdict::Bad => Exit::Damaged,
        })
    }

    fn look(&self, context: &Context) -> Result<Vec<Line>> {
        let options = if self.full { context.options().untouched() } else { context.options().read_only(true) };
        let store = options.open(&context.path)?;
        let view = store.view()?;
        let (named, sessions) = (view.named_points()?, store.sessions()?);
        let events = view.events().list(Page::newest(EVENTS))?;
        let live: Vec<_> = named.iter().filter(|point| point.origin.is_some_and(Origin::is_selectable)).collect();
        let rows = if self.full { verified::everything(&store)? } else { verified::part(&store)? };
        let mut lines = vec![rows, verified::last_check(&store)?];
        lines.push(look::backup(&store, &view, &live, self.backup_interval)?);
        lines.push(copies::outside(&store, &events, self.archive_dir.as_deref(), self.backup_interval)?);
        lines.push(look::drill(&store, &view)?);
        lines.push(look::points(&live));
        lines.push(look::retention(&store, &named)?);
        lines.push(look::work(&events));
        lines.push(look::space(&store)?);
        lines.push(look::readers(&store));
        lines.push(look::clock(&store, &named, &sessions));
        lines.push(look::sharing(&store)?);
        lines.push(look::sessions(&store, &sessions)?);
        lines.push(look::claims(&view)?);
        lines.push(look::tasks(&view)?);
        lines.push(look::guards(&named));
        Ok(lines)
    }
}

fn show(out: &mut Output, lines: &[Line], worst: Verdict) -> Result<()> {
    for Line { topic, verdict, what, advice } in lines {
        let verdict = match verdict {
            Verdict::Ok => "ok  ",
            Verdict::Warn => "warn",
            Verdict::Bad => "bad ",
        };
        out.fact(&format!("{verdict}  {topic:<10}  "), what)?;
        if let Some(advice) = advice {
            out.fact("                  -> ", advice)?;
        }
    }
    let of = |verdict| lines.iter().filter(|line| line.verdict == verdict).count();
    let answer = match worst {
        Verdict::Ok => "yes, you would get your data back".to_owned(),
        Verdict::Warn => format!("you would get back what is in the file; at risk: {}", of(Verdict::Warn)),
        Verdict::Bad => "damage was found".to_owned(),
    };
    out.line(answer)
}
