//! Any record as people read it: its key as text, its value as JSON.

use serde_json::Value;

use crate::engine::codec;
use crate::engine::records::Records;
use crate::engine::schema::CollectionId;
use crate::error::{Error, Result};
use crate::state::assignments::Assignment;
use crate::state::chat::Message;
use crate::state::queue::Task;
use crate::state::registry::Bot;

/// A record as people read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) key: String,
    pub(crate) value: Value,
}

/// Shows a record of any collection.
///
/// # Errors
///
/// `Damaged` when the payload is not one of its collection.
pub(crate) fn show<R: Records>(_records: &R, collection: CollectionId, key: &[u8], payload: &[u8]) -> Result<Shown> {
    let (key, value) = match collection {
        CollectionId::REGISTRY => named(key, &codec::decode::<Bot>(payload)?)?,
        CollectionId::QUEUE => named(key, &codec::decode::<Task>(payload)?)?,
        CollectionId::ASSIGNMENTS => {
            let assignment: Assignment = codec::decode(payload)?;
            (format!("{}/{}", assignment.bot, assignment.task), to_json(&assignment)?)
        }
        CollectionId::CHAT => {
            let message: Message = codec::decode(payload)?;
            (message.sequence.to_string(), to_json(&message)?)
        }
        _ => (
            text(key),
            serde_json::from_slice(payload).map_err(|source| {
                Error::damaged(format!("a record is not JSON: key={}", text(key))).with_source(source)
            })?,
        ),
    };
    Ok(Shown { key, value })
}

fn named<T: serde::Serialize>(key: &[u8], value: &T) -> Result<(String, Value)> {
    Ok((text(key), to_json(value)?))
}

fn to_json<T: serde::Serialize>(value: &T) -> Result<Value> {
    serde_json::to_value(value).map_err(|source| Error::damaged("a record cannot be shown as JSON").with_source(source))
}

/// A key as text; bytes that are none are escaped.
fn text(key: &[u8]) -> String {
    String::from_utf8(key.to_vec()).unwrap_or_else(|_| key.escape_ascii().to_string())
}
