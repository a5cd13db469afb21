//! Config: JSON values by key. A record's payload is the JSON text itself.

use std::ops::RangeBounds;

use serde_json::Value;

use crate::engine::records::{KeyRange, Records, Row, scan};
use crate::engine::schema::CollectionId;
use crate::engine::view::View;
use crate::engine::write::WriteTx;
use crate::error::{Error, Result};
use crate::json;
use crate::limits;
use crate::state::ids::{check_name, check_new};
use crate::state::page::KeyedPage;

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
    /// `Damaged` when its bytes differ from the written ones, `Io`.
    pub fn get(&self, key: &str) -> Result<Option<Value>> {
        let payload = self.records.get(CollectionId::CONFIG, key.as_bytes())?;
        payload.map(|payload| read(key.as_bytes(), &payload)).transpose()
    }

    /// Every key with its value, in the order of keys.
    pub fn list(&self) -> impl Iterator<Item = Result<(String, Value)>> + '_ {
        scan(&self.records, CollectionId::CONFIG, KeyRange::all()).map(|row| read_row(row?))
    }

    /// The keys of a range with their values, in the order of keys.
    ///
    /// # Examples
    ///
    /// ```
    /// use serde_json::json;
    ///
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = hivekeep::Store::open(dir.path().join("h.redb")).unwrap();
    /// store.write(|tx| ["bots", "limit", "zone"].iter().try_for_each(|key| tx.config().put(key, &json!(key.len()))))?;
    /// let view = store.view()?;
    /// let from_l: Vec<_> = view.config().range("l"..).collect::<Result<_, _>>()?;
    /// assert_eq!(from_l, [("limit".to_owned(), json!(5)), ("zone".to_owned(), json!(4))]);
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn range<'k>(&self, keys: impl RangeBounds<&'k str>) -> impl Iterator<Item = Result<(String, Value)>> {
        let range = KeyRange::of_texts(&keys);
        let keys = (!range.is_empty()).then(|| scan(&self.records, CollectionId::CONFIG, range));
        keys.into_iter().flatten().map(|row| read_row(row?))
    }

    /// The number of keys; it reads none of them.
    ///
    /// # Errors
    ///
    /// `Damaged` when the count's bytes differ from the written ones, `Io`.
    pub fn count(&self) -> Result<u64> {
        Ok(self.records.stats(CollectionId::CONFIG)?.count)
    }

    /// At most `limit` keys (at least one) with their values, in the order of keys; `cursor` is the `next` of the page
    /// before.
    ///
    /// # Errors
    ///
    /// `Invalid` for a cursor that does not come from a page of this list. `Damaged` for a value
    /// that differs from the written one.
    pub fn page(&self, cursor: Option<&str>, limit: usize) -> Result<KeyedPage<(String, Value)>> {
        KeyedPage::read(&self.records, CollectionId::CONFIG, KeyRange::all(), (cursor, limit), read_row)
    }
}

impl Config<&mut WriteTx<'_>> {
    /// Sets the value of a key.
    ///
    /// # Errors
    ///
    /// `Invalid` when the key is empty, longer than 200 bytes, or contains control characters, or the value
    /// is longer than its [limit](crate#limits) or nested too deeply; `Damaged` when the overwritten bytes
    /// differ from the written ones; `Io`.
    pub fn put(&mut self, key: &str, value: &Value) -> Result<()> {
        check_name("a config key", key)?;
        check_new("a config key", key, || Ok(self.records.get(CollectionId::CONFIG, key.as_bytes())?.is_some()))?;
        json::check(value)?;
        limits::json("a config value", value, limits::VALUE_BYTES)?;
        self.records.put(CollectionId::CONFIG, key.as_bytes(), value.to_string().as_bytes())?;
        self.records.note("config_put", Some(key))
    }

    /// Removes a key. Returns whether it existed.
    ///
    /// # Errors
    ///
    /// `Damaged` when the removed bytes differ from the written ones, `Io`.
    pub fn remove(&mut self, key: &str) -> Result<bool> {
        let there_was = self.records.remove(CollectionId::CONFIG, key.as_bytes())?;
        if there_was {
            self.records.note("config_remove", Some(key))?;
        }
        Ok(there_was)
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
    json::parse(payload).map_err(|source| {
        Error::damaged(format!("a config value is not JSON: key={}", key.escape_ascii())).with_source(source)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testkit::checked_store::Fixture;

    #[test]
    fn a_value_is_stored_as_its_own_text() {
        let test = Fixture::new();
        let value = serde_json::from_str(r#"{"b":12345678901234567890123,"a":1.0}"#).unwrap();
        test.write(|tx| tx.config().put("k", &value));
        let view = test.view();
        let payload = view.get(CollectionId::CONFIG, b"k").unwrap().unwrap();
        assert_eq!(payload, br#"{"b":12345678901234567890123,"a":1.0}"#);
        assert_eq!(view.config().get("k").unwrap(), Some(value));
    }

    #[test]
    fn a_value_that_nests_too_deeply_to_be_read_again_is_refused() {
        let test = Fixture::new();
        let nested = |levels| (0..levels).fold(json!(1), |value, _| json!([value]));
        let deepest = nested(json::MAX_DEPTH);
        test.write(|tx| tx.config().put("k", &deepest));
        let refused = test.refused(|tx| tx.config().put("k", &nested(json::MAX_DEPTH + 1)));
        assert_eq!(refused.kind(), crate::ErrorKind::Invalid);
        assert_eq!(test.view().config().get("k").unwrap(), Some(deepest));
    }

    #[test]
    fn a_put_value_is_there_until_it_is_removed_and_stays_in_the_past() {
        let test = Fixture::new();
        test.write(|tx| {
            tx.config().put("b", &json!(null))?;
            tx.config().put("a", &json!([1, 2]))
        });
        let point = test.seal();
        assert!(test.write(|tx| tx.config().remove("a")));
        assert!(!test.write(|tx| tx.config().remove("a")));
        let list = |view: &View| view.config().list().collect::<Result<Vec<_>>>().unwrap();
        assert_eq!(list(&test.view()), [("b".to_owned(), json!(null))]);
        assert_eq!(list(&test.view_at(point)), [("a".to_owned(), json!([1, 2])), ("b".to_owned(), json!(null))]);
        assert_eq!(test.view().config().get("a").unwrap(), None);
    }

    #[test]
    fn a_key_must_be_a_name() {
        let test = Fixture::new();
        let error = test.store.write(|tx| tx.config().put("", &json!(1))).unwrap_err();
        assert_eq!(error.to_string(), "a config key must not be empty");
    }

    #[test]
    fn a_value_that_is_not_json_is_damage() {
        let test = Fixture::new();
        test.write(|tx| tx.put(CollectionId::CONFIG, b"k", b"{"));
        let error = test.view().config().get("k").unwrap_err();
        assert_eq!(error.to_string(), "a config value is not JSON: key=k");
        assert_eq!(error.kind(), crate::ErrorKind::Damaged);
    }
}
