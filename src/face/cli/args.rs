//! The arguments: global options and verbs. Each verb's own options are in its file.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{FalseyValueParser, OsStringValueParser, TypedValueParser as _};
use clap::{Args, CommandFactory as _, Parser, Subcommand};

use crate::duration;
use crate::face::cli::context::Context;
use crate::face::cli::printing::exit::Exit;
use crate::face::cli::target::StoreLocation;
use crate::face::cli::verbs::adopt::Adopt;
use crate::face::cli::verbs::backup::{Backup, History};
use crate::face::cli::verbs::check::Check;
use crate::face::cli::verbs::compact::Compact;
use crate::face::cli::verbs::crash::CrashArgs;
use crate::face::cli::verbs::doctor::Doctor;
use crate::face::cli::verbs::drill::{Drill, DrillBot};
use crate::face::cli::verbs::export::Export;
use crate::face::cli::verbs::generate::{Completions, Man};
use crate::face::cli::verbs::get::Get;
use crate::face::cli::verbs::guard::Guard;
use crate::face::cli::verbs::import::Import;
use crate::face::cli::verbs::key::KeyArgs;
use crate::face::cli::verbs::log::Log;
#[cfg(feature = "mcp")]
use crate::face::cli::verbs::mcp::Mcp;
use crate::face::cli::verbs::point::PointArgs;
use crate::face::cli::verbs::put::{Put, Remove};
use crate::face::cli::verbs::queue::QueueArgs;
use crate::face::cli::verbs::repair::Repair;
#[cfg(feature = "replica")]
use crate::face::cli::verbs::replica::ReplicaArgs;
use crate::face::cli::verbs::restore::{Restore, Undo};
use crate::face::cli::verbs::schedule::ScheduleArgs;
#[cfg(feature = "http")]
use crate::face::cli::verbs::serve::Serve;
use crate::face::cli::verbs::status::Status;
use crate::face::remote::Access;
use crate::{ErrorKind, Result};

/// The state store of a fleet of bots: one file, restore points in one commit, every restore undoable
///
/// Data goes to standard output, messages and errors to standard error. A restore point is named by its id or a unique
/// prefix of it, latest, latest~3, now, a time such as 2026-01-02T03:04:05Z, or '10m ago'.
///
/// Exit codes: 0 done, 1 failed, 2 usage, 3 done in part, 4 damage found, 10 no store, 11 locked, 13 nothing matches,
/// 130 interrupted. With --json an error is one JSON object on standard error, with kind, message and code.
/// HIVEKEEP_LOG sets the log level on standard error: warn unless set, info to log every request of the service too, or
/// hivekeep=debug.
#[derive(Debug, Parser)]
#[command(
    name = "hivekeep",
    version,
    after_help = "\
Examples:
  hivekeep serve
  hivekeep status
  hivekeep --store fleet.redb point create 'before the upgrade'
  hivekeep restore latest
  hivekeep undo"
)]
pub(super) struct Cli {
    #[command(flatten)]
    pub(super) global: Global,
    #[command(subcommand)]
    pub(super) verb: Verb,
}

/// The options of every verb.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(super) struct Global {
    /// The store's file, or the service that keeps it: http://HOST:PORT, https://HOST:PORT or unix:PATH [default:
    /// hivekeep.redb]
    #[arg(long, global = true, value_name = "PATH|URL", env = "HIVEKEEP_STORE",
        value_parser = OsStringValueParser::new().try_map(StoreLocation::read))]
    pub(super) store: Option<StoreLocation>,
    /// The file with the key for the service
    #[arg(long, global = true, value_name = "FILE", env = "HIVEKEEP_KEY_FILE", help_heading = OVER_A_SERVICE)]
    key_file: Option<PathBuf>,
    /// Trust these certificates, in PEM, instead of those of the system
    #[arg(long, global = true, value_name = "FILE", env = "HIVEKEEP_CA", help_heading = OVER_A_SERVICE)]
    ca: Option<PathBuf>,
    /// Wait at most this long for an answer
    #[arg(long, global = true, value_name = "TIME", env = "HIVEKEEP_ANSWER_WITHIN", value_parser = duration::parse,
        default_value = "60s", help_heading = OVER_A_SERVICE)]
    answer_within: Duration,
    /// Send the key to another machine over http:// too, where others can read it
    #[arg(long, global = true, env = "HIVEKEEP_KEY_IN_CLEAR", value_parser = FalseyValueParser::new(),
        help_heading = OVER_A_SERVICE)]
    key_in_clear: bool,
    /// Print JSON; the same state prints the same bytes
    #[arg(long, global = true, env = "HIVEKEEP_JSON", value_parser = FalseyValueParser::new())]
    pub(super) json: bool,
    /// Print no messages, only data and errors
    #[arg(short, long, global = true, env = "HIVEKEEP_QUIET", value_parser = FalseyValueParser::new())]
    pub(super) quiet: bool,
    /// Show ids and times in full on a terminal too, even if lines become longer than it
    #[arg(long, global = true, env = "HIVEKEEP_WIDE", value_parser = FalseyValueParser::new())]
    pub(super) wide: bool,
    /// Read a store with damaged pages: its pages are not compared when it is opened. Only for verbs that read. A
    /// record is still verified when it is read, but a list may lack records to which only a damaged page leads
    #[arg(long, global = true)]
    pub(super) unverified: bool,
}

impl Global {
    /// How a service is reached.
    pub(super) fn access(&self) -> Access {
        Access {
            key_file: self.key_file.clone(),
            ca: self.ca.clone(),
            key_in_clear: self.key_in_clear,
            within: self.answer_within,
        }
    }
}

/// The heading of the options for a store that a service keeps.
const OVER_A_SERVICE: &str = "Options for the store of a service";

/// The verbs, in the order of the help.
#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    #[cfg(feature = "http")]
    Serve(Box<Serve>),
    Status(Status),
    Get(Get),
    Put(Put),
    Remove(Remove),
    Point(PointArgs),
    Restore(Restore),
    Undo(Undo),
    Guard(Guard),
    Backup(Backup),
    History(History),
    Queue(QueueArgs),
    Schedule(ScheduleArgs),
    #[cfg(feature = "mcp")]
    Mcp(Mcp),
    Doctor(Doctor),
    Drill(Drill),
    Check(Check),
    Repair(Repair),
    Log(Log),
    Compact(Compact),
    Crash(CrashArgs),
    Key(KeyArgs),
    Adopt(Adopt),
    Export(Export),
    Import(Import),
    #[cfg(feature = "replica")]
    Replica(ReplicaArgs),
    Completions(Completions),
    Man(Man),
    DrillBot(DrillBot),
}

impl Verb {
    /// Whether the verb handles signals itself.
    pub(super) fn minds_signals(&self) -> bool {
        match self {
            #[cfg(feature = "http")]
            Self::Serve(_) => true,
            #[cfg(feature = "mcp")]
            Self::Mcp(_) => true,
            Self::Guard(_) | Self::Drill(_) => true,
            _ => false,
        }
    }

    /// The reason why the verb needs the file of the store; none if it works over a service too.
    fn needs_file(&self) -> Option<&'static str> {
        match self {
            #[cfg(feature = "http")]
            Self::Serve(_) => Some("it is the service"),
            Self::Guard(_) => Some("it restores the file after a command on this machine"),
            Self::Drill(_) | Self::DrillBot(_) => Some("it works on copies of the file"),
            Self::Repair(_) => Some("it reads a file that no service can open"),
            Self::Compact(_) => Some("it rewrites the file"),
            #[cfg(feature = "mcp")]
            Self::Mcp(_) => Some("the service itself has the tools at /mcp"),
            Self::Adopt(_) => Some("it takes over files of this machine"),
            Self::Export(_) => Some("it writes the whole store, with everything that a key protects, into a file"),
            Self::Import(_) => Some("it takes over an archive of this machine"),
            #[cfg(feature = "replica")]
            Self::Replica(replica) => replica.needs_file(),
            Self::Status(_)
            | Self::Get(_)
            | Self::Put(_)
            | Self::Remove(_)
            | Self::Point(_)
            | Self::Restore(_)
            | Self::Undo(_)
            | Self::Backup(_)
            | Self::History(_)
            | Self::Queue(_)
            | Self::Schedule(_)
            | Self::Doctor(_)
            | Self::Check(_)
            | Self::Log(_)
            | Self::Crash(_)
            | Self::Key(_)
            | Self::Completions(_)
            | Self::Man(_) => None,
        }
    }

    /// Runs the verb, if it works over the place of the store.
    pub(super) fn run_where_it_works(self, context: &mut Context) -> Result<Exit> {
        if let Some(why) = self.needs_file() {
            context.needs_file("this verb", why)?;
        }
        if self.needs_file().is_some() || matches!(self, Self::Check(_)) {
            context.refuse_unverified()?;
        }
        let is_of_store = self.is_of_store();
        let result = self.run(context);
        if is_of_store && result.as_ref().is_err_and(|error| error.kind() == ErrorKind::Damaged) {
            let hint = context.of_replica();
            context.out.hint_further(hint);
        }
        result
    }

    /// Whether damage that ends the verb is that of the store, and not that of another file.
    fn is_of_store(&self) -> bool {
        match self {
            Self::Adopt(_) | Self::Import(_) | Self::DrillBot(_) => false,
            #[cfg(feature = "replica")]
            Self::Replica(_) => false,
            _ => true,
        }
    }

    /// Runs the verb.
    fn run(self, context: &mut Context) -> Result<Exit> {
        match self {
            #[cfg(feature = "http")]
            Self::Serve(serve) => serve.run(context),
            Self::Status(status) => status.run(context),
            Self::Get(get) => get.run(context),
            Self::Put(put) => put.run(context),
            Self::Remove(remove) => remove.run(context),
            Self::Point(point) => point.run(context),
            Self::Restore(restore) => restore.run(context),
            Self::Undo(undo) => undo.run(context),
            Self::Guard(guard) => guard.run(context),
            Self::Backup(backup) => backup.run(context),
            Self::History(history) => history.run(context),
            Self::Queue(queue) => queue.run(context),
            Self::Schedule(schedule) => schedule.run(context),
            #[cfg(feature = "mcp")]
            Self::Mcp(mcp) => mcp.run(context),
            Self::Doctor(doctor) => doctor.run(context),
            Self::Drill(drill) => drill.run(context),
            Self::Check(check) => check.run(context),
            Self::Repair(repair) => repair.run(context),
            Self::Log(log) => log.run(context),
            Self::Compact(compact) => compact.run(context),
            Self::Crash(crash) => crash.run(context),
            Self::Key(key) => key.run(context),
            Self::Adopt(adopt) => adopt.run(context),
            Self::Export(export) => export.run(context),
            Self::Import(import) => import.run(context),
            #[cfg(feature = "replica")]
            Self::Replica(replica) => replica.run(context),
            Self::Completions(completions) => completions.run(Cli::command(), context),
            Self::Man(man) => man.run(Cli::command(), context),
            Self::DrillBot(bot) => bot.run(context),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Command;

    use super::*;

    /// Every command, with its path.
    fn commands() -> Vec<(String, Command)> {
        fn add(path: &str, command: &Command, to: &mut Vec<(String, Command)>) {
            to.push((path.to_owned(), command.clone()));
            command.get_subcommands().for_each(|verb| add(&format!("{path} {}", verb.get_name()), verb, to));
        }
        let mut all = Vec::new();
        add("hivekeep", &Cli::command(), &mut all);
        all
    }

    fn examples(command: &Command) -> Vec<String> {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let lines = help.strip_prefix("Examples:\n").unwrap_or_default().lines();
        lines.map(|line| line.trim().to_owned()).collect()
    }

    /// The words of a line, split as a shell would, up to a redirection or a pipe.
    fn words(line: &str) -> Vec<String> {
        let (mut words, mut word, mut quoted) = (Vec::new(), None::<String>, false);
        for c in line.chars() {
            match c {
                '\'' => {
                    quoted = !quoted;
                    word.get_or_insert_default();
                }
                ' ' if !quoted => words.extend(word.take()),
                c => word.get_or_insert_default().push(c),
            }
        }
        words.extend(word);
        words.into_iter().take_while(|word| !matches!(word.as_str(), "<" | ">" | "|")).collect()
    }

    #[test]
    fn the_definition_of_the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_verb_has_a_description_and_examples_that_parse() {
        for (path, command) in commands() {
            assert!(command.get_about().is_some(), "{path} has no sentence");
            let examples = examples(&command);
            assert!(!examples.is_empty(), "{path} has no examples");
            for example in examples {
                assert!(example.starts_with("hivekeep "), "{path}: {example}");
                if let Err(error) = Cli::try_parse_from(words(&example)) {
                    panic!("{example}: {error}");
                }
            }
        }
    }

    #[test]
    fn the_readme_and_the_manual_pages_list_exactly_the_verbs() {
        let readme = include_str!("../../../README.md");
        let table = readme.split_once("## Which verb when").unwrap().1.split_once("\n## ").unwrap().0;
        let rows = table.lines().filter(|line| line.starts_with("| "));
        let typed = rows.flat_map(|row| row.rsplit(" | ").next().unwrap().split('`').skip(1).step_by(2));
        let named: Vec<_> = typed.filter_map(|typed| typed.split(' ').next()).collect();
        let (all, folder) = (commands(), tempfile::tempdir().unwrap());
        clap_mangen::generate_to(Cli::command(), folder.path()).unwrap();
        for verb in Cli::command().get_subcommands().filter(|verb| !verb.is_hide_set()) {
            let name = verb.get_name();
            assert!(named.contains(&name), "the README does not explain {name}");
            let page = std::fs::read_to_string(folder.path().join(format!("hivekeep-{name}.1"))).unwrap();
            let page = page.replace("\\-", "-").replace("\\*(Aq", "'");
            assert!(examples(verb).iter().all(|example| page.contains(example)), "{name}: {page}");
        }
        for name in named.iter().filter(|name| !name.starts_with('-')) {
            let is_verb = |(_, command): &(String, Command)| command.get_name() == *name;
            assert!(all.iter().any(is_verb), "the README names a verb that does not exist: {name}");
        }
    }

    #[test]
    fn every_option_has_a_help_text() {
        for (path, command) in commands() {
            for argument in command.get_arguments() {
                assert!(argument.get_help().is_some(), "{path} {}", argument.get_id());
            }
        }
    }
}
