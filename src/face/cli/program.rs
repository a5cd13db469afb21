//! The program: reads its arguments, runs the verb, and sends the log to standard error.

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt};

use super::args::{Cli, Global, Verb};
use super::context::Context;
use super::printing::exit::Exit;
use super::printing::log_line::LogLine;
use super::printing::output::{Output, report};
use super::{interrupt, parsing};
use crate::hush_contained_panics;
use crate::text::{is_hidden, printable};

/// The target of the log that says why a bucket is waited for.
const BUCKET: &str = "hivekeep::bucket";

/// Runs the program with these arguments, the first of which is its name. Returns its exit code.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<_> = arguments.into_iter().collect();
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => return not_understood(parsing::mistyped::explained(error, &arguments), &arguments),
    };
    let (access, Global { store, json, quiet, wide, unverified, .. }) = (cli.global.access(), cli.global);
    trace(quiet);
    hush_contained_panics();
    interrupt::long_files_are_errors();
    if !cli.verb.minds_signals() {
        interrupt::ends_the_program();
    }
    let mut context = Context::new(store, access, Output::new(json, quiet, wide)).unverified(unverified);
    #[cfg(feature = "http")]
    if matches!(cli.verb, Verb::Serve(_)) {
        for name in parsing::environment::unknown_variables(&Cli::command()) {
            context.out.message(format_args!("warning: no setting reads this variable of the environment: {name}"));
        }
    }
    let result = cli.verb.run_where_it_works(&mut context);
    context.out.finish(result).into()
}

/// Help and version are data; every other clap error is a usage error.
pub(super) fn not_understood(error: clap::Error, arguments: &[OsString]) -> ExitCode {
    let is_wrong = error.use_stderr();
    if is_wrong && arguments.iter().any(|argument| argument == "--json") {
        report(true, "usage", &in_one_line(&error.render().to_string()), None, Exit::Usage);
    } else if let Err(error) = shown(error, arguments).print().and_then(|()| io::stdout().flush()) {
        return not_printed(is_wrong, &error).into();
    }
    if is_wrong { Exit::Usage.into() } else { Exit::Done.into() }
}

/// The exit code when help, the version or a usage error could not be printed. A reader that has closed the pipe wants
/// no more output, so that is no error.
fn not_printed(is_wrong: bool, error: &io::Error) -> Exit {
    if is_wrong {
        return Exit::Usage;
    }
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Exit::Done;
    }
    report(false, "io", &format!("standard output cannot be written: {error}"), None, Exit::Failed);
    Exit::Failed
}

/// The same error with control characters escaped, because clap repeats the arguments in it.
pub(super) fn shown(error: clap::Error, arguments: &[OsString]) -> clap::Error {
    let texts: Vec<_> = arguments.iter().map(|argument| argument.to_string_lossy()).collect();
    if !texts.iter().any(|text| text.contains(is_hidden)) {
        return error;
    }
    match Cli::try_parse_from(texts.iter().map(|text| OsString::from(printable(text).into_owned()))) {
        Err(same) => parsing::mistyped::explained(same, arguments),
        Ok(_) => Cli::command().error(error.kind(), "an argument contains characters that cannot be shown"),
    }
}

/// The error of clap without the usage that it appends.
fn in_one_line(message: &str) -> String {
    let wrong = message.split("\n\n").next().unwrap_or_default().trim_start_matches("error: ");
    wrong.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Sends the log to standard error: warnings, or the levels that `HIVEKEEP_LOG` sets. Each entry is one line without
/// colors: in a file, color codes would be noise, and a logged string could forge them. The SDK of the agents would log
/// whole messages, with the tokens of claims. A bucket that does not answer is told as other messages for people are.
fn trace(quiet: bool) {
    let level = if quiet { LevelFilter::ERROR } else { LevelFilter::WARN };
    let asked = std::env::var("HIVEKEEP_LOG").ok().and_then(|text| text.parse::<Targets>().ok());
    let told_level = asked.as_ref().map_or(level, |asked| asked.default_level().unwrap_or(LevelFilter::OFF).min(level));
    let levels = asked.unwrap_or(Targets::new().with_default(level)).with_target("rmcp", LevelFilter::ERROR);
    let stderr = || LogLine(io::stderr());
    let lines = fmt::layer().with_ansi(false).with_writer(stderr);
    let told = fmt::layer().with_ansi(false).with_writer(stderr).without_time().with_level(false).with_target(false);
    // A second run in one process, as in a test, keeps the subscriber of the first.
    let _ = tracing_subscriber::registry()
        .with(lines.with_filter(levels.with_target(BUCKET, LevelFilter::OFF)))
        .with(told.with_filter(Targets::new().with_target(BUCKET, told_level)))
        .try_init();
}
