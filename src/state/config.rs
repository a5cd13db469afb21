//! Config: JSON values by key. A record's payload is the JSON text itself.

use serde_json::Value;

use crate::engine::records::{KeyRange, Records, Row, scan};
use crate::engine::schema::CollectionId;
use crate::engine::view::View;
use crate::engine::write::WriteTx;
use crate::error::{Error, Result};
use crate::state::ids::check_name;

/// The configuration, as a view or a transaction sees it.
#[derive(Debug)]
pub struct Config<R> {
    records: R,
}

impl View {
    /// The configuration at this view's point.
    pub fn config(&self) -> Config<&Self> {
        Config { records: self }
    }
}

impl WriteTx<'_> {
    /// The configuration, to read and to change.
    ///
    /// # Examples
    ///
    /// ```
    /// use serde_json::json;
    ///
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = hivekeep::Store::open(dir.path().join("h.redb")).unwrap();
    /// store.write(|tx| tx.config().put("limits", &json!({"tasks": 3})))?;
    /// assert_eq!(store.view()?.config().get("limits")?, Some(json!({"tasks": 3})));
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn config(&mut self) -> Config<&mut Self> {
        Config { records: self }
    }
}

#[expect(private_bounds, reason = "only views and transactions can be read from")]
impl<R: Records> Config<R> {
    /// The value of a key.
    ///
    /// # Errors
    ///
    /// `Damaged` when its bytes are not what was written, `Io`.
    pub fn get(&self, key: &str) -> Result<Option<Value>> {
        let payload = self.records.get(CollectionId::CONFIG, key.as_bytes())?;
        payload.map(|payload| read(key.as_bytes(), &payload)).transpose()
    }

    /// Every key with its value, in the order of keys.
    pub fn list(&self) -> impl Iterator<Item = Result<(String, Value)>> + '_ {
        scan(&self.records, CollectionId::CONFIG, KeyRange::all()).map(|row| read_row(row?))
    }
}

impl Config<&mut WriteTx<'_>> {
    /// Sets the value of a key.
    ///
    /// # Errors
    ///
    /// `Invalid` when the key is empty, longer than 200 bytes, or has control characters in it; `Damaged` when what is
    /// overwritten is not what was written; `Io`.
    pub fn put(&mut self, key: &str, value: &Value) -> Result<()> {
        check_name("a config key", key)?;
        self.records.put(CollectionId::CONFIG, key.as_bytes(), value.to_string().as_bytes())
    }

    /// Removes a key; says whether it was there.
    ///
    /// # Errors
    ///
    /// `Damaged` when what is removed is not what was written, `Io`.
    pub fn remove(&mut self, key: &str) -> Result<bool> {
        self.records.remove(CollectionId::CONFIG, key.as_bytes())
    }
}

fn read_row((key, payload): Row) -> Result<(String, Value)> {
    let value = read(&key, &payload)?;
    let name = String::from_utf8(key).map_err(|error| {
        Error::damaged(format!("a config key is not text: key={}", error.as_bytes().escape_ascii())).with_source(error)
    })?;
    Ok((name, value))
}

fn read(key: &[u8], payload: &[u8]) -> Result<Value> {
    serde_json::from_slice(payload).map_err(|source| {
        Error::damaged(format!("a config value is not JSON: key={}", key.escape_ascii())).with_source(source)
    })
}
