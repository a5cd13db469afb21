//! Any record as people read it: its key as text, its value as JSON.

use serde_json::Value;

use crate::engine::codec;
use crate::engine::records::Records;
use crate::engine::schema::CollectionId;
use crate::error::{Error, Result};
use crate::json;
use crate::state::assignments::{Assignment, names_of};
use crate::state::chat::Message;
use crate::state::documents::{RowNames, document_in_words, row_value};
use crate::state::page::sequence_of;
use crate::state::queue::Task;
use crate::state::registry::Bot;

/// A record as people read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) key: String,
    pub(crate) value: Value,
}

/// Shows the records of a view. Keep one for many records: the places of array elements are read once.
pub(crate) struct Show<'r, R> {
    documents: RowNames<'r, R>,
}

impl<'r, R: Records> Show<'r, R> {
    /// Shows records that are there in `records`.
    pub(crate) fn new(records: &'r R) -> Self {
        Self { documents: RowNames::new(records) }
    }

    /// Shows a record of any collection.
    ///
    /// # Errors
    ///
    /// `Damaged` when the payload is not one of its collection.
    pub(crate) fn record(&mut self, collection: CollectionId, key: &[u8], payload: &[u8]) -> Result<Shown> {
        let (key, value) = match collection {
            CollectionId::REGISTRY => (text(key), to_json(&codec::decode::<Bot>(payload)?)?),
            CollectionId::QUEUE => (text(key), to_json(&codec::decode::<Task>(payload)?)?),
            CollectionId::ASSIGNMENTS => {
                let assignment: Assignment = codec::decode(payload)?;
                (format!("{}/{}", assignment.bot, assignment.task), to_json(&assignment)?)
            }
            CollectionId::CHAT => {
                let message: Message = codec::decode(payload)?;
                (message.sequence.to_string(), to_json(&message)?)
            }
            CollectionId::DOCUMENTS => {
                let path = self.documents.name(key)?;
                let path = path.strip_prefix("documents/").unwrap_or(&path);
                (path.to_owned(), row_value(key, payload)?.unwrap_or(Value::Null))
            }
            _ => (text(key), json::parse(payload)?),
        };
        Ok(Shown { key, value })
    }
}

/// Shows the key of a record that is not there, so that nothing but its stored key is known. A part of a document has
/// no other name then.
pub(crate) fn bare_key(collection: CollectionId, key: &[u8]) -> String {
    match (collection, <[u8; 8]>::try_from(key)) {
        (CollectionId::CHAT, Ok(number)) => u64::from_be_bytes(number).to_string(),
        (CollectionId::DOCUMENTS | CollectionId::ASSIGNMENTS, _) => key.escape_ascii().to_string(),
        _ => text(key),
    }
}

fn to_json<T: serde::Serialize>(value: &T) -> Result<Value> {
    serde_json::to_value(value).map_err(|source| Error::damaged("a record cannot be shown as JSON").with_source(source))
}

/// The key of a record that is not there, as people read it: the number of a message, `BOT/TASK` of an assignment, the
/// document of a row.
pub(crate) fn key_name(collection: CollectionId, key: &[u8]) -> String {
    match collection {
        CollectionId::CHAT => sequence_of(key).map_or_else(|_| text(key), |number| number.to_string()),
        CollectionId::ASSIGNMENTS => names_of(key).map_or_else(|| text(key), |(bot, task)| format!("{bot}/{task}")),
        CollectionId::DOCUMENTS => document_in_words(key).unwrap_or_else(|| text(key)),
        _ => text(key),
    }
}

/// A key as text; bytes that are none are escaped.
fn text(key: &[u8]) -> String {
    String::from_utf8(key.to_vec()).unwrap_or_else(|_| key.escape_ascii().to_string())
}
