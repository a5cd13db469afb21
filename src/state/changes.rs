//! Changes of many records of one collection, made together.

use serde_json::{Map, Value};

use crate::engine::write::WriteTx;
use crate::error::Result;
use crate::limits;

/// One more than may be removed, so that too many are noticed.
const MOST: usize = limits::CHANGED_RECORDS + 1;

/// Changes of the records of the config, or of one of your own collections. They are made in the order of the fields.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RecordChanges {
    /// Whether every record is removed first.
    pub clear: bool,
    /// Values to set, by key.
    pub put: Map<String, Value>,
    /// Values to set where there is no value yet, by key.
    pub put_new: Map<String, Value>,
    /// Keys to remove.
    pub remove: Vec<String>,
}

impl WriteTx<'_> {
    /// Makes many changes of the collection of that name: `config`, or one of your own, which the first put creates.
    /// Returns the values that the keys of [`put_new`](RecordChanges::put_new) and
    /// [`remove`](RecordChanges::remove) had.
    ///
    /// # Errors
    ///
    /// As [`Config::put`](crate::Config::put) and [`WriteTx::collection`]; `Invalid` for more than 1,000 records, also
    /// of those that `clear` would remove, and when the earlier values are longer than one value may be.
    ///
    /// # Examples
    ///
    /// ```
    /// use hivekeep::RecordChanges;
    /// use serde_json::json;
    ///
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = hivekeep::Store::open(dir.path().join("h.redb")).unwrap();
    /// let mut changes = RecordChanges::default();
    /// changes.put.insert("roof".to_owned(), json!(21.5));
    /// changes.remove.push("attic".to_owned());
    /// let before = store.write(|tx| {
    ///     tx.collection("sensors")?.put("attic", &json!(30))?;
    ///     tx.change_records("sensors", &changes)
    /// })?;
    /// assert_eq!(before["attic"], json!(30));
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn change_records(&mut self, collection: &str, changes: &RecordChanges) -> Result<Map<String, Value>> {
        let mut records = Records { tx: self, own: Some(collection).filter(|name| *name != "config") };
        let keys = if changes.clear { records.keys()? } else { Vec::new() };
        let count = keys.len().saturating_add(changes.put.len()).saturating_add(changes.put_new.len());
        limits::count("the records of a change", count.saturating_add(changes.remove.len()), limits::CHANGED_RECORDS)?;
        keys.iter().try_for_each(|key| records.remove(key))?;
        changes.put.iter().try_for_each(|(key, value)| records.put(key, value))?;
        let (mut before, mut bytes) = (Map::new(), 0usize);
        let mut weigh = |value: &Value| {
            bytes = bytes.saturating_add(limits::printed(value));
            limits::bytes("the JSON of the earlier values", bytes, limits::VALUE_BYTES)
        };
        for (key, value) in &changes.put_new {
            match records.get(key)? {
                Some(known) => {
                    weigh(&known)?;
                    before.insert(key.clone(), known);
                }
                None => records.put(key, value)?,
            }
        }
        for key in &changes.remove {
            if let Some(known) = records.get(key)? {
                weigh(&known)?;
                records.remove(key)?;
                before.insert(key.clone(), known);
            }
        }
        Ok(before)
    }
}

/// The config, or a collection.
struct Records<'t, 'w> {
    tx: &'t mut WriteTx<'w>,
    own: Option<&'t str>,
}

impl Records<'_, '_> {
    fn keys(&mut self) -> Result<Vec<String>> {
        match self.own {
            None => self.tx.config().list().take(MOST).map(|record| Ok(record?.0)).collect(),
            Some(name) => self.tx.collection::<Value>(name)?.list().take(MOST).map(|record| Ok(record?.0)).collect(),
        }
    }

    fn get(&mut self, key: &str) -> Result<Option<Value>> {
        match self.own {
            None => self.tx.config().get(key),
            Some(name) => self.tx.collection(name)?.get(key),
        }
    }

    fn put(&mut self, key: &str, value: &Value) -> Result<()> {
        match self.own {
            None => self.tx.config().put(key, value),
            Some(name) => self.tx.collection(name)?.put(key, value),
        }
    }

    fn remove(&mut self, key: &str) -> Result<()> {
        match self.own {
            None => self.tx.config().remove(key).map(drop),
            Some(name) => self.tx.collection::<Value>(name)?.remove(key).map(drop),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::error::ErrorKind;
    use crate::testkit::checked_store::Fixture;

    fn map(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn changes_of_records_are_made_in_their_order_and_return_the_earlier_values() {
        let hive = Fixture::new();
        for name in ["config", "rooms"] {
            let put = RecordChanges { put: map(json!({"a": 1, "b": 2})), ..RecordChanges::default() };
            assert!(hive.write(|tx| tx.change_records(name, &put)).is_empty());
            let changes = RecordChanges {
                put_new: map(json!({"a": 5, "c": 3})),
                remove: vec!["b".to_owned(), "none".to_owned()],
                ..RecordChanges::default()
            };
            assert_eq!(hive.write(|tx| tx.change_records(name, &changes)), map(json!({"a": 1, "b": 2})));
            let clear = RecordChanges { clear: true, put: map(json!({"d": 4})), ..RecordChanges::default() };
            hive.write(|tx| tx.change_records(name, &clear));
            let page = hive.store.view().unwrap().records_page(name, "", None, 10).unwrap();
            assert_eq!(page.items, [("d".to_owned(), json!(4))]);
        }
    }

    #[test]
    fn more_records_than_may_be_changed_together_are_refused() {
        let hive = Fixture::new();
        let put = |from: usize, count: usize| RecordChanges {
            put: (from..from + count).map(|number| (format!("k{number}"), json!(1))).collect(),
            ..RecordChanges::default()
        };
        for from in [0, 900] {
            hive.write(|tx| tx.change_records("rooms", &put(from, 900)));
        }
        let clear = RecordChanges { clear: true, ..RecordChanges::default() };
        for changes in [put(0, limits::CHANGED_RECORDS + 1), clear] {
            let refused = hive.store.write(|tx| tx.change_records("rooms", &changes)).unwrap_err();
            assert!(refused.to_string().contains("the records of a change"), "{refused}");
        }
    }

    #[test]
    fn a_built_in_collection_is_changed_by_its_own_verbs_alone() {
        let hive = Fixture::new();
        for name in ["queue", "registry", ""] {
            let changes = RecordChanges { put: map(json!({"a": 1})), ..RecordChanges::default() };
            let refused = hive.store.write(|tx| tx.change_records(name, &changes)).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Invalid);
        }
    }
}
