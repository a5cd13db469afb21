//! Changes to single records of any collection by name, the counterpart of [`View::record`](crate::View::record).

use std::str::FromStr;

use serde_json::Value;

use crate::engine::write::WriteTx;
use crate::error::{Error, Result};
use crate::state::documents::DocumentId;
use crate::state::registry::Bot;

/// A record that may be put and removed by name.
enum NamedRecord {
    Bot,
    Config,
    Document(DocumentId),
    Own,
}

impl WriteTx<'_> {
    /// Puts a record, replacing the one with the same key. A bot is given as the fields to set, and the key of a
    /// document is `KIND/SOURCE`. Any other name is a collection of your own, which need not exist.
    ///
    /// # Errors
    ///
    /// `Invalid` for records that have verbs of their own, for a key or a value that the collection cannot have, and as
    /// the `put` of the collection.
    ///
    /// # Examples
    ///
    /// ```
    /// use serde_json::json;
    ///
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = hivekeep::Store::open(dir.path().join("h.redb"))?;
    /// store.write(|tx| tx.put_record("config", "limit", &json!(5)))?;
    /// assert_eq!(store.view()?.record("config", "limit")?, Some(json!(5)));
    /// assert!(store.write(|tx| tx.remove_record("config", "limit"))?);
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn put_record(&mut self, collection: &str, key: &str, value: &Value) -> Result<()> {
        match place(collection, key)? {
            NamedRecord::Bot => self.registry().put(&bot(key, value)?),
            NamedRecord::Config => self.config().put(key, value),
            NamedRecord::Document(id) => self.documents().put(id.kind(), id.source(), value).map(drop),
            NamedRecord::Own => self.collection::<Value>(collection)?.put(key, value),
        }
    }

    /// Removes a record. Returns whether there was one.
    ///
    /// # Errors
    ///
    /// As [`put_record`](Self::put_record).
    pub fn remove_record(&mut self, collection: &str, key: &str) -> Result<bool> {
        match place(collection, key)? {
            NamedRecord::Bot => self.registry().remove(&key.parse()?),
            NamedRecord::Config => self.config().remove(key),
            NamedRecord::Document(id) => self.documents().remove(id.kind(), id.source()),
            NamedRecord::Own => self.collection::<Value>(collection)?.remove(key),
        }
    }
}

fn place(collection: &str, key: &str) -> Result<NamedRecord> {
    match collection {
        "registry" => Ok(NamedRecord::Bot),
        "config" => Ok(NamedRecord::Config),
        "documents" => key.parse().map(NamedRecord::Document),
        "queue" | "assignments" | "bot_assignments" | "chat" | "audit" => Err(Error::invalid(format!(
            "the records of this collection have operations of their own; use those: collection={collection}"
        ))),
        _ => Ok(NamedRecord::Own),
    }
}

/// `KIND/SOURCE`. A kind contains no slash.
impl FromStr for DocumentId {
    type Err = Error;

    fn from_str(key: &str) -> Result<Self> {
        let (kind, source) = key.split_once('/').ok_or_else(|| {
            let key = key.escape_debug();
            Error::invalid(format!("a document is named KIND/SOURCE, such as registry/backup-registry: key={key}"))
        })?;
        Self::new(kind, source)
    }
}

/// A bot with some of its fields; the others are not set.
fn bot(id: &str, fields: &Value) -> Result<Bot> {
    match fields {
        Value::Object(fields) => Bot::from_fields(id.parse()?, fields.clone()),
        _ => Err(Error::invalid("a bot is a JSON object, such as '{\"port\": 8001}'")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::state::ids::BotId;

    #[test]
    fn a_bot_needs_no_more_fields_than_are_known() {
        let read = bot("BOT-1", &json!({"port": 8001, "specializations": ["rust"]})).unwrap();
        let id = BotId::new("BOT-1").unwrap();
        assert_eq!(read, Bot { port: Some(8001), specializations: ["rust".into()].into(), ..Bot::new(id) });
    }

    #[test]
    fn a_misspelt_field_and_another_id_are_refused() {
        let refused = |given| bot("BOT-1", &given).unwrap_err().to_string();
        assert!(refused(json!({"prot": 1})).ends_with(": field=prot"));
        assert_eq!(
            refused(json!({"id": "B"})),
            "the fields name another id; leave id out or make them equal: bot=BOT-1 id=B"
        );
        assert_eq!(refused(json!(1)), "a bot is a JSON object, such as '{\"port\": 8001}'");
    }
}
