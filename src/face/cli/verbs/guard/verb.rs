//! The verb `guard`: the command, its check, and the way back.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;

use super::child;
use super::child::Ended;
use crate::face::cli::context::Context;
use crate::face::cli::printing::exit::Exit;
use crate::face::cli::signals::{Signals, code_of};
use crate::service::shell::{program, shell};
use crate::text::counted;
use crate::{Counts, Error, GuardOptions, PointId, Result, RollBack, duration};

/// The interval between two attempts of a check.
const CHECK_EVERY: Duration = Duration::from_millis(500);

/// Run a command, and go back to the restore point before it if it fails
///
/// Guard makes and holds a restore point, runs the command, then the check. If either fails, or a signal ends them, the
/// store goes back to the point, and guard shows what was rolled back; hivekeep undo reverts that. Bots may keep
/// working, but their writes are rolled back too, so name the collections that the command changes with --only.
///
/// The command gets HIVEKEEP_STORE and HIVEKEEP_GUARD_POINT, and has standard input and output for itself: messages of
/// guard go to standard error, as one line of JSON with --json.
///
/// Exit codes: that of the command, or 128 plus the number of a signal; 1 if the check failed; 126 or 127 if the
/// command could not be started, which rolls nothing back.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hivekeep guard -- ./deploy.sh
  hivekeep guard --check 'curl -fs localhost:8001/readyz' --check-timeout 30s -- ./deploy.sh --all
  hivekeep guard --only config,registry -- hivekeep put config limit 5")]
pub(in crate::face::cli) struct Guard {
    /// The health check, a command that the shell runs afterwards
    #[arg(long, value_name = "CMD")]
    check: Option<String>,
    /// Retry a failing check for this long; a check that still runs then has failed
    #[arg(long, value_name = "TIME", value_parser = duration::parse, requires = "check")]
    check_timeout: Option<Duration>,
    /// Roll back only these collections, separated by commas; queue and assignments go together
    #[arg(long, value_name = "KINDS", value_delimiter = ',')]
    only: Vec<String>,
    /// Do not run tasks again that finished meanwhile
    #[arg(long)]
    keep_finished: bool,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(super) command: Vec<OsString>,
}

/// The result of the command and the check.
pub(super) enum CommandResult {
    Passed,
    NotStarted(io::Error),
    Failed { reason: String, exit: Exit },
}

/// The output of `guard --json`.
#[derive(Serialize)]
struct Said<'a> {
    restore_point: &'a PointId,
    outcome: &'static str,
    reason: Option<&'a str>,
    pub(super) code: u8,
    collections: &'a BTreeMap<String, Counts>,
    undo: Option<&'a PointId>,
}

impl Guard {
    pub(in crate::face::cli) fn run(self, context: &mut Context) -> Result<Exit> {
        let signals = Signals::note()?;
        let command = self.shown();
        let options = GuardOptions::new(&command).only(self.only.iter().cloned()).keep_finished(self.keep_finished);
        let guard = context.change(|store| store.begin_guard(options))?;
        let point = guard.point().clone();
        if !context.out.is_json() {
            context.out.aside(format_args!("restore point {point}; running {command}"));
        }
        match self.work(context, &signals, &point) {
            CommandResult::Passed => {
                context.change(|store| guard.pass(store))?;
                self.say(context, &point, Exit::Done, None, None)
            }
            CommandResult::NotStarted(error) => {
                context.change(|store| guard.call_off(store))?;
                let missing = error.kind() == io::ErrorKind::NotFound;
                let reason = format!("the command could not be started: {error}: {command}");
                self.say(context, &point, Exit::Other(if missing { 127 } else { 126 }), Some(&reason), None)
            }
            CommandResult::Failed { reason, exit } => {
                let back = roll_back(context, guard, &reason)?;
                self.say(context, &point, exit, Some(&reason), Some(&back))
            }
        }
    }

    /// The command line, approximately as typed.
    fn shown(&self) -> String {
        let words: Vec<_> = self.command.iter().map(|word| word.to_string_lossy()).collect();
        words.join(" ")
    }

    fn work(&self, context: &Context, signals: &Signals, point: &PointId) -> CommandResult {
        let Some((name, arguments)) = self.command.split_first() else { return CommandResult::Passed };
        let mut command = program(name);
        command.args(arguments);
        with_store(&mut command, context, point);
        match child::run(&mut command, signals, None) {
            Err(error) => CommandResult::NotStarted(error),
            Ok(Ended::Well) => {
                self.check.as_ref().map_or(CommandResult::Passed, |check| self.check(check, context, signals, point))
            }
            Ok(Ended::Interrupted(signal)) => interrupted(signal),
            Ok(Ended::TooLate) => {
                CommandResult::Failed { reason: "the command was killed".to_owned(), exit: Exit::Failed }
            }
            Ok(Ended::Failed(code)) => {
                CommandResult::Failed { reason: format!("the command failed: code={code}"), exit: Exit::Other(code) }
            }
        }
    }

    /// Runs the check until it succeeds or its timeout is over.
    fn check(&self, check: &str, context: &Context, signals: &Signals, point: &PointId) -> CommandResult {
        let failed = |reason: String| CommandResult::Failed { reason, exit: Exit::Failed };
        let deadline = self.check_timeout.map(|timeout| Instant::now() + timeout);
        loop {
            let mut command = shell(check);
            with_store(&mut command, context, point);
            // Standard output belongs to the command.
            command.stdin(Stdio::null()).stdout(io::stderr());
            match child::run(&mut command, signals, deadline) {
                Err(error) => return failed(format!("the check could not be started: {error}")),
                Ok(Ended::Well) => return CommandResult::Passed,
                Ok(Ended::Interrupted(signal)) => return interrupted(signal),
                Ok(Ended::TooLate) => return failed("the check did not end in time".to_owned()),
                Ok(Ended::Failed(code)) => {
                    if deadline.is_none_or(|deadline| Instant::now() + CHECK_EVERY >= deadline) {
                        return failed(format!("the check failed: code={code}"));
                    }
                }
            }
            std::thread::sleep(CHECK_EVERY);
            if let Some(signal) = signals.take() {
                return interrupted(signal);
            }
        }
    }

    /// Reports the result.
    fn say(
        &self,
        context: &Context,
        point: &PointId,
        exit: Exit,
        reason: Option<&str>,
        back: Option<&RollBack>,
    ) -> Result<Exit> {
        let none = BTreeMap::new();
        let collections = back.map_or(&none, |back| &back.collections);
        let undo = back.and_then(|back| back.undo.as_ref());
        let outcome = match (reason, back) {
            (None, _) => "passed",
            (Some(_), None) => "called_off",
            (Some(_), Some(_)) => "rolled_back",
        };
        if context.out.is_json() {
            let said = Said { restore_point: point, outcome, reason, code: exit.code(), collections, undo };
            let line = serde_json::to_string(&said).map_err(io::Error::from)?;
            context.out.complain(line);
            return Ok(exit);
        }
        match (reason, back) {
            (None, _) => context.out.aside(format_args!("passed; to go back anyway: hivekeep restore {point}")),
            (Some(reason), None) => context.out.complain(format_args!("error: {reason}")),
            (Some(reason), Some(back)) => {
                context.out.complain(format_args!("error: {reason}"));
                show_roll_back(context, back);
            }
        }
        Ok(exit)
    }
}

fn show_roll_back(context: &Context, back: &RollBack) {
    for (name, counts) in back.collections.iter().filter(|(_, counts)| counts.total() > 0) {
        context.out.complain(format_args!("{name}: {counts}"));
    }
    match back.undo {
        Some(_) => {
            let records = counted(back.total(), "record");
            context.out.complain(format_args!("rolled back {records}; undo with: hivekeep undo"));
        }
        None => context.out.complain("nothing has changed, so nothing was rolled back"),
    }
}

fn roll_back(context: &Context, guard: crate::Guard, reason: &str) -> Result<RollBack> {
    let point = guard.point().clone();
    context.change(|store| guard.roll_back(store, reason)).map_err(|error| {
        let how = format!("{reason}, and that could not be rolled back; try hivekeep restore {point}");
        Error::new(error.kind(), format!("{how}: {error}")).with_source(error)
    })
}

pub(super) fn interrupted(signal: i32) -> CommandResult {
    CommandResult::Failed { reason: format!("interrupted: signal={signal}"), exit: Exit::Other(code_of(signal)) }
}

/// Tells a command the path of the store and the point that guards it.
fn with_store(command: &mut Command, context: &Context, point: &PointId) {
    let store: PathBuf = std::path::absolute(&context.path).unwrap_or_else(|_| context.path.clone());
    command.env("HIVEKEEP_STORE", store).env("HIVEKEEP_GUARD_POINT", &point.0);
}
