//! `get`: shows records as they are now or as of a point.

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use crate::face::cli::columns::KeyValue;
use crate::face::cli::context::Context;
use crate::face::cli::exit::Exit;
use crate::face::cli::input;
use crate::face::cli::output::Output;
use crate::face::cli::table::Columns;
use crate::face::cli::which::Which;
use crate::{Assignment, DocumentId, Error, Result, Selector, View};

/// Show the records of a collection, or one of them
///
/// With --json, registry, queue, config, documents and your own collections are objects by key, assignments are an
/// object by bot with arrays of tasks, chat and audit are arrays. The audit trail is always shown as it is now, even
/// with --at.
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
pub(super) struct Get {
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
    /// Show at most this many versions
    #[arg(long, value_name = "N", requires = "versions", value_parser = input::at_least_one, default_value_t = 100)]
    limit: usize,
    #[command(flatten)]
    which: Which,
}

impl Get {
    pub(super) fn run(self, context: &mut Context) -> Result<Exit> {
        let store = context.look()?;
        let view = context.view(&store, &self.at)?;
        if let (true, Some(key)) = (self.versions, &self.key) {
            context.out.know_ids(&store)?;
            context.out.list(view.versions(&self.collection, key, self.limit)?.into_iter().map(Ok))?;
            return Ok(Exit::Done);
        }
        let collection = Collection::named(&self.collection);
        match &self.key {
            Some(key) => one(&view, collection, &self.collection, key, &mut context.out)?,
            None => {
                if !matches!(collection, Collection::Chat | Collection::Audit) {
                    self.which.refuse(&self.collection)?;
                }
                all(&view, store.clock().now(), collection, &self.which, &mut context.out)?;
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

/// Every record of a collection, written as it is read.
fn all(view: &View, now: Timestamp, collection: Collection<'_>, which: &Which, out: &mut Output) -> Result<()> {
    match collection {
        Collection::Registry => keyed(out, view.registry().list(), |bot| bot.id.to_string()),
        Collection::Queue => keyed(out, view.queue().list(), |task| task.id.to_string()),
        Collection::Assignments => assignments(out, view.assignments().list()),
        Collection::Chat => out.list(which.messages(view)?),
        Collection::Audit => out.list(which.entries(view, now)?),
        Collection::Documents => {
            let documents = view.documents();
            values(out, documents.list().map(|id| document(view, &id?)))
        }
        Collection::Other(name) => {
            let records = view.records(name)?;
            values(out, records.map(|record| record.map(|(key, value)| KeyValue { key, value })))
        }
    }
}

/// Records with a key of their own: a JSON object by key, or columns.
fn keyed<T: Columns + Serialize>(
    out: &mut Output,
    records: impl Iterator<Item = Result<T>>,
    key: impl Fn(&T) -> String,
) -> Result<()> {
    if out.is_json() {
        return out.json_object(records.map(|record| record.map(|record| (key(&record), record))));
    }
    out.table(records).map(drop)
}

/// Records without a type of their own: a JSON object by key, or columns.
fn values(out: &mut Output, records: impl Iterator<Item = Result<KeyValue>>) -> Result<()> {
    if out.is_json() {
        return out.json_object(records.map(|record| record.map(|KeyValue { key, value }| (key, value))));
    }
    out.table(records).map(drop)
}

fn document(view: &View, id: &DocumentId) -> Result<KeyValue> {
    let value = view.documents().get(id.kind(), id.source())?;
    let missing = || Error::damaged(format!("a listed document is missing; run hivekeep check: id={id}"));
    Ok(KeyValue { key: id.to_string(), value: value.ok_or_else(missing)? })
}

/// The tasks of each bot; in JSON an array for each bot.
fn assignments(out: &mut Output, mut list: impl Iterator<Item = Result<Assignment>>) -> Result<()> {
    if !out.is_json() {
        return out.table(list).map(drop);
    }
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
fn one(view: &View, collection: Collection<'_>, name: &str, key: &str, out: &mut Output) -> Result<()> {
    let missing = || {
        let missing = Error::not_found(format!("no such record: collection={name} key={key}"));
        view.lost_or(name, key, missing)
    };
    match collection {
        Collection::Registry => out.json(&view.registry().get(&key.parse()?)?.ok_or_else(missing)?),
        Collection::Queue => out.json(&view.queue().get(&key.parse()?)?.ok_or_else(missing)?),
        Collection::Audit | Collection::Chat => {
            check_number(key)?;
            out.json(&view.record(name, key)?.ok_or_else(missing)?)
        }
        Collection::Documents => {
            let (kind, source) = input::document(key)?;
            out.json(&view.documents().get(kind, source)?.ok_or_else(missing)?)
        }
        Collection::Assignments => {
            let assignments = view.assignments();
            let tasks = assignments.of(&key.parse()?).map(|assignment| assignment.map(|held| held.task));
            let tasks = tasks.collect::<Result<Vec<_>>>()?;
            if tasks.is_empty() { Err(missing()) } else { out.json(&tasks) }
        }
        Collection::Other(name) => out.json(&view.record(name, key)?.ok_or_else(missing)?),
    }
}

fn check_number(key: &str) -> Result<()> {
    let wrong = |_| Error::invalid(format!("the key of a message or an audit entry is its number: key={key}"));
    key.parse::<u64>().map(drop).map_err(wrong)
}
