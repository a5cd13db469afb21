//! Checks whether a record of an archive can belong to its collection, before it is used.

use crate::engine::codec;
use crate::engine::schema::CollectionId;
use crate::error::{Error, Result};
use crate::json;
use crate::state::assignments::{Assignment, key_of_names};
use crate::state::chat::Message;
use crate::state::documents::{document_of, row_value};
use crate::state::page::sequence_of;
use crate::state::queue::Task;
use crate::state::registry::Bot;

/// Refuses a record that cannot belong to its collection. A user's own collection has no number yet.
///
/// # Errors
///
/// `Damaged`, with its key.
pub(in crate::transfer::archive) fn check(collection: Option<CollectionId>, key: &[u8], payload: &[u8]) -> Result<()> {
    let checked = match collection {
        Some(CollectionId::REGISTRY) => codec::decode(payload).map(|bot: Bot| bot.id.as_bytes() == key),
        Some(CollectionId::QUEUE) => Task::from_record(key, payload).map(|_| true),
        Some(CollectionId::ASSIGNMENTS) => {
            let assignment = codec::decode::<Assignment>(payload);
            assignment.map(|held| key_of_names(held.bot.as_str(), held.task.as_str()) == key)
        }
        Some(CollectionId::CHAT) => {
            sequence_of(key).and_then(|number| Ok(codec::decode::<Message>(payload)?.sequence == number))
        }
        Some(CollectionId::DOCUMENTS) => document_of(key).and_then(|_| row_value(key, payload)).map(|_| true),
        // Stored JSON is one line. Otherwise it could not be archived as a line.
        _ if payload.contains(&b'\n') => Err(Error::damaged("a value contains a line break")),
        _ => json::check_text(payload).map(|()| str::from_utf8(key).is_ok()),
    };
    let of = || format!("key={}", key.escape_ascii());
    match checked {
        Ok(true) => Ok(()),
        Ok(false) => Err(Error::damaged(format!("a record has the key of another one: {}", of()))),
        Err(error) => Err(Error::damaged(format!("a record does not belong to its collection: {error}: {}", of()))),
    }
}
