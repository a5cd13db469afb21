//! `put` and `remove`: change single records by hand.

use clap::Args;
use serde_json::json;

use crate::face::cli::context::Context;
use crate::face::cli::parsing::input;
use crate::face::cli::printing::exit::Exit;
use crate::{Error, Result};

/// Put a record, replacing the one with the same key
///
/// For a bot, fields that you leave out are not set.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hivekeep put config limit 5
  hivekeep put registry BOT-222 '{\"port\": 8251, \"specializations\": [\"rust\"]}'
  hivekeep put documents registry/my-bot - < registry.json
  hivekeep put sensors roof 21.5")]
pub(in crate::face::cli) struct Put {
    /// registry, config, documents, or the name of your own collection, which need not exist
    collection: String,
    /// The key of the record; a document is KIND/SOURCE
    key: String,
    /// The record, or - to read it from standard input
    #[arg(value_name = "JSON", allow_negative_numbers = true)]
    record: String,
}

/// Remove a record
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hivekeep remove config limit
  hivekeep remove registry BOT-222")]
pub(in crate::face::cli) struct Remove {
    /// registry, config, documents, or the name of your own collection
    collection: String,
    /// The key of the record; a document is KIND/SOURCE
    key: String,
}

impl Put {
    pub(in crate::face::cli) fn run(self, context: &mut Context) -> Result<Exit> {
        let Self { collection, key, record } = self;
        refuse_what_follows(&collection)?;
        let value = input::json(&record)?;
        context.alter(|target| target.put_record(&collection, &key, value))?;
        tell(context, "put", &collection, &key)
    }
}

impl Remove {
    pub(in crate::face::cli) fn run(self, context: &mut Context) -> Result<Exit> {
        let Self { collection, key } = self;
        refuse_what_follows(&collection)?;
        let there_was = context.alter(|target| target.remove_record(&collection, &key))?;
        if !there_was {
            return Err(Error::not_found(format!("no such record: collection={collection} key={key}")));
        }
        tell(context, "removed", &collection, &key)
    }
}

fn tell(context: &mut Context, done: &str, collection: &str, key: &str) -> Result<Exit> {
    if context.out.is_json() {
        context.out.json(&json!({"collection": collection, "key": key}))?;
    }
    context.out.message(format_args!("{done} {collection}/{key}"));
    Ok(Exit::Done)
}

/// Records that only their own verbs may change.
fn refuse_what_follows(collection: &str) -> Result<()> {
    let why = match collection {
        "queue" => "tasks have verbs of their own; see hivekeep queue --help",
        "assignments" | "bot_assignments" => {
            "assignments follow from tasks; see hivekeep queue assign --help and hivekeep queue claim --help"
        }
        "chat" | "audit" => {
            "chat and audit trail are append-only; append with POST /api/chat or POST /api/audit, or with the library"
        }
        _ => return Ok(()),
    };
    Err(Error::invalid(format!("{why}: collection={collection}")))
}
