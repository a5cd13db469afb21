//! `get`: shows records as they are now or as of a point.

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::face::cli::context::Context;
use crate::face::cli::parsing::input;
use crate::face::cli::parsing::message_filter::MessageFilter;
use crate::face::cli::printing::columns::KeyValue;
use crate::face::cli::printing::exit::Exit;
use crate::face::cli::printing::output::Output;
use crate::face::cli::printing::table::Columns;
use crate::face::cli::target::{Items, Seen};
use crate::{Assignment, Error, Result, Selector};

/// The most versions of a record, unless told otherwise.
const VERSIONS_MAX: usize = 100;

/// Show the records of a collection, or one of them
///
/// With --json, registry, queue, config, documents and your own collections are objects by key, assignments are an
/// object by bot with arrays of tasks, chat and audit are arrays. The audit trail is always shown as it is now, even
/// with --at. Exit code 3 means that a repair lost records at that point, so that the list leaves them out.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hivekeep get registry
  hivekeep get queue BACKLOG-032 --json
  hivekeep get config --at latest
  hivekeep get config limits --versions
  hivekeep get documents registry/backup-registry
  hivekeep get chat --conversation standup --newest 50
  hivekeep get audit --bot BOT-222 --newest 50 --before 1017
  hivekeep get registry --at '10m ago'")]
pub(in crate::face::cli) struct Get {
    /// registry, queue, assignments, chat, config, audit, documents, or the name of your own collection
    collection: String,
    /// Show only the record with this key; for assignments, those of this bot; a document is KIND/SOURCE
    key: Option<String>,
    /// Show the state of this restore point: an id, latest, latest~3, a time, or '10m ago'
    #[arg(long, value_name = "POINT", default_value = "now")]
    at: Selector,
    /// Show the history of the record: its values in which points, newest first, and who changed it if that is recorded
    #[arg(long, requires = "key", conflicts_with = "at")]
    versions: bool,
    /// Show at most this many records or versions [default: 100 on a terminal, otherwise all; of versions 100]
    #[arg(long, value_name = "N", value_parser = input::at_least_one)]
    limit: Option<usize>,
    #[command(flatten)]
    filter: MessageFilter,
}

impl Get {
    pub(in crate::face::cli) fn run(self, context: &mut Context) -> Result<Exit> {
        let target = context.reach()?;
        let seen = context.see(&target, &self.at)?;
        if let (true, Some(key)) = (self.versions, &self.key) {
            context.out.know_ids(&target)?;
            let limit = self.limit.unwrap_or(VERSIONS_MAX);
            context.out.list(seen.versions(&self.collection, key, limit)?.into_iter().map(Ok))?;
            return Ok(Exit::Done);
        }
        if self.limit.is_some() && self.key.is_some() {
            return Err(Error::invalid("--limit works with a list or with --versions; leave it out"));
        }
        let collection = Collection::named(&self.collection);
        match &self.key {
            Some(key) => one(&seen, collection, &self.collection, key, &mut context.out)?,
            None => {
                match collection {
                    Collection::Chat | Collection::Audit => self.filter.refuse_limit(self.limit)?,
                    _ => self.filter.refuse(&self.collection)?,
                }
                let list = List { now: target.now(), filter: &self.filter, limit: self.limit };
                list.all(&seen, collection, &mut context.out)?;
                return context.listed(&seen, canonical(&self.collection));
            }
        }
        Ok(Exit::Done)
    }
}

/// A collection that can be shown. Some have types of their own.
#[derive(Clone, Copy)]
enum Collection<'n> {
    Registry,
    Queue,
    Assignments,
    Chat,
    Audit,
    Documents,
    Other(&'n str),
}

impl<'n> Collection<'n> {
    fn named(name: &'n str) -> Self {
        match name {
            "registry" => Self::Registry,
            "queue" => Self::Queue,
            "assignments" | "bot_assignments" => Self::Assignments,
            "chat" => Self::Chat,
            "audit" => Self::Audit,
            "documents" => Self::Documents,
            name => Self::Other(name),
        }
    }
}

/// The name of a collection that has two.
fn canonical(name: &str) -> &str {
    if name == "bot_assignments" { "assignments" } else { name }
}

/// The records to list.
struct List<'f> {
    now: Timestamp,
    filter: &'f MessageFilter,
    limit: Option<usize>,
}

impl List<'_> {
    /// Every record of a collection, written as it is read.
    fn all(&self, seen: &Seen<'_>, collection: Collection<'_>, out: &mut Output) -> Result<()> {
        match collection {
            Collection::Registry => seen.bots(|bots| self.keyed(out, bots, |bot| bot.id.to_string())),
            Collection::Queue => seen.all_tasks(|tasks| self.keyed(out, tasks, |task| task.id.to_string())),
            Collection::Assignments => seen.assignments(None, |list| self.assignments(out, list)),
            Collection::Chat => self.numbered(out, self.filter.messages(seen, out.shown_max())?),
            Collection::Audit => self.numbered(out, self.filter.entries(seen, self.now, out.shown_max())?),
            Collection::Documents => seen.documents(|documents| self.values(out, documents)),
            Collection::Other(name) => self.values(out, seen.records(name)?),
        }
    }

    /// Messages or entries, of which a terminal gets the newest.
    fn numbered<T: Columns + Serialize>(
        &self,
        out: &mut Output,
        records: impl Iterator<Item = Result<T>>,
    ) -> Result<()> {
        let mut count = 0;
        out.list(records.inspect(|_| count += 1))?;
        if out.shown_max() == Some(count) && self.filter.has_no_number() {
            out.message(format_args!("at most the newest {count} are shown; to see others: --newest N, or a pipe"));
        }
        Ok(())
    }

    /// Records with a key of their own: a JSON object by key, or columns.
    fn keyed<T: Columns + Serialize>(
        &self,
        out: &mut Output,
        records: impl Iterator<Item = Result<T>>,
        key: impl Fn(&T) -> String,
    ) -> Result<()> {
        if out.is_json() {
            let records = records.take(self.most());
            return out.json_object(records.map(|record| record.map(|record| (key(&record), record))));
        }
        out.rows(records, self.limit)
    }

    /// Records without a type of their own: a JSON object by key, or columns.
    fn values(&self, out: &mut Output, records: impl Iterator<Item = Result<(String, Value)>>) -> Result<()> {
        if out.is_json() {
            return out.json_object(records.take(self.most()));
        }
        out.rows(records.map(|record| record.map(|(key, value)| KeyValue { key, value })), self.limit)
    }

    /// The most records that were asked for.
    fn most(&self) -> usize {
        self.limit.unwrap_or(usize::MAX)
    }

    /// The tasks of each bot; in JSON an array for each bot.
    fn assignments(&self, out: &mut Output, list: impl Iterator<Item = Result<Assignment>>) -> Result<()> {
        match out.is_json() {
            true => by_bot(out, list.take(self.most())),
            false => out.rows(list, self.limit),
        }
    }
}

/// A JSON object with an array of the tasks of each bot.
fn by_bot(out: &mut Output, mut list: impl Iterator<Item = Result<Assignment>>) -> Result<()> {
    let mut next = list.next();
    out.json_object(std::iter::from_fn(|| {
        let first = match next.take()? {
            Ok(assignment) => assignment,
            Err(error) => return Some(Err(error)),
        };
        let mut tasks = vec![first.task];
        loop {
            match list.next() {
                Some(Ok(other)) if other.bot == first.bot => tasks.push(other.task),
                other => {
                    next = other;
                    return Some(Ok((first.bot, tasks)));
                }
            }
        }
    }))
}

/// One record in full, as JSON in text output too.
fn one(seen: &Seen<'_>, collection: Collection<'_>, name: &str, key: &str, out: &mut Output) -> Result<()> {
    let missing = || {
        let missing = Error::not_found(format!("no such record: collection={name} key={key}"));
        seen.lost_or(name, key, missing)
    };
    match collection {
        Collection::Registry => out.json(&seen.bot(&key.parse()?)?.ok_or_else(missing)?),
        Collection::Queue => out.json(&seen.task(&key.parse()?)?.ok_or_else(missing)?),
        Collection::Audit | Collection::Chat => {
            check_number(key)?;
            out.json(&seen.record(name, key)?.ok_or_else(missing)?)
        }
        Collection::Documents => out.json(&seen.document(&key.parse()?)?.ok_or_else(missing)?),
        Collection::Assignments => {
            let tasks = |held: Items<'_, Assignment>| held.map(|held| held.map(|held| held.task)).collect();
            let tasks: Vec<_> = seen.assignments(Some(&key.parse()?), tasks)?;
            if tasks.is_empty() { Err(missing()) } else { out.json(&tasks) }
        }
        Collection::Other(name) => out.json(&seen.record(name, key)?.ok_or_else(missing)?),
    }
}

fn check_number(key: &str) -> Result<()> {
    let wrong = |_| Error::invalid(format!("the key of a message or an audit entry is its number: key={key}"));
    key.parse::<u64>().map(drop).map_err(wrong)
}
