//! The command line: `hivekeep [--store PATH] [--json] [-q] VERB`.
//!
//! * `args`: what can be typed
//! * `serve`, `status`, `get`, `put`, `point`, `forget`, `restore`, `guard`, `backup`, `queue`, `doctor`, `drill`, `check`,
//!   `repair`, `log`, `compact`, `crash`, `adopt`, `export`, `import`, `generate`: the verbs, each with its options and what
//!   it prints
//! * `context`, `input`, `which`: what they work with; `output`, `table`, `columns`, `screen`, `shown`, `progress`: where their
//!   answers go
//! * `exit`: how the program ends; `hint`: the way out that is typed

mod adopt;
mod args;
mod backup;
mod check;
mod columns;
mod compact;
mod context;
mod crash;
mod doctor;
mod drill;
mod exit;
mod export;
mod forget;
mod generate;
mod get;
mod guard;
mod hint;
mod import;
mod input;
mod interrupt;
mod log;
mod output;
mod point;
mod policy;
mod progress;
mod put;
mod queue;
mod repair;
mod restore;
mod rules;
mod screen;
#[cfg(feature = "http")]
mod serve;
mod shown;
mod signals;
mod status;
mod table;
mod value;
mod which;

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use tracing_subscriber::EnvFilter;

use self::args::{Cli, Global};
use self::context::Context;
use self::exit::Exit;
use self::output::{Output, report};
use self::shown::LogLine;
use crate::hush_contained_panics;
use crate::text::{is_hidden, printable};

/// Runs the program with these arguments, of which the first is its name, and says how it ended.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<_> = arguments.into_iter().collect();
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => return not_understood(error, &arguments),
    };
    let Global { store, json, quiet, wide } = cli.global;
    trace(quiet);
    hush_contained_panics();
    if !cli.verb.minds_signals() {
        interrupt::ends_the_program();
    }
    let mut context = Context::new(store, Output::new(json, quiet, wide));
    let result = cli.verb.run(&mut context);
    context.out.finish(result).into()
}

/// Help and version are data; everything else that clap says is an error in what was typed.
fn not_understood(error: clap::Error, arguments: &[OsString]) -> ExitCode {
    let is_wrong = error.use_stderr();
    if is_wrong && arguments.iter().any(|argument| argument == "--json") {
        report(true, "usage", &in_one_line(&error.render().to_string()), None, Exit::Usage);
    } else if let Err(error) = shown(error, arguments).print().and_then(|()| io::stdout().flush()) {
        return not_printed(is_wrong, &error).into();
    }
    if is_wrong { Exit::Usage.into() } else { Exit::Done.into() }
}

/// How the program ends when help, a version or a mistake could not be printed. A reader that has closed the pipe wants no
/// more of what it asked for.
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

/// The error of the same arguments without what a terminal would obey, as the error repeats them.
fn shown(error: clap::Error, arguments: &[OsString]) -> clap::Error {
    let texts: Vec<_> = arguments.iter().map(|argument| argument.to_string_lossy()).collect();
    if !texts.iter().any(|text| text.contains(is_hidden)) {
        return error;
    }
    match Cli::try_parse_from(texts.iter().map(|text| OsString::from(printable(text).into_owned()))) {
        Err(same) => same,
        Ok(_) => Cli::command().error(error.kind(), "an argument has characters in it that cannot be shown"),
    }
}

/// What clap says is wrong, without the usage that it adds.
fn in_one_line(message: &str) -> String {
    let wrong = message.split("\n\n").next().unwrap_or_default().trim_start_matches("error: ");
    wrong.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What the library notes by the way goes to standard error: warnings, or what `HIVEKEEP_LOG` asks for. Each is one line
/// without colours: they would stand as codes in a file, and could be forged by what is told.
fn trace(quiet: bool) {
    let usual = if quiet { "error" } else { "warn" };
    let filter = EnvFilter::try_from_env("HIVEKEEP_LOG").unwrap_or_else(|_| EnvFilter::new(usual));
    // A second run in one process, as in a test, keeps the first one's.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_writer(|| LogLine(io::stderr()))
        .try_init();
}
