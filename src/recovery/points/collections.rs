//! Any collection and any record by the names that people use, whatever type its records have.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::engine::digest::Stats;
use crate::engine::records::{KeyRange, Records, scan};
use crate::engine::schema::CollectionId;
use crate::engine::view::View;
use crate::error::{Error, Result};
use crate::recovery::points::names::{Names, names};
use crate::state::audit::Entry;
use crate::state::page::{KeyedPage, Page};
use crate::state::restored_together;
use crate::state::show::{Show, Shown};

/// The audit trail. It is not a versioned collection.
const AUDIT: &str = "audit";
/// The number of entries that one read fetches.
const ENTRIES: usize = 256;

/// Records as JSON, in order, each with its key as text.
pub type NamedRecords<'a> = Box<dyn Iterator<Item = Result<(String, Value)>> + 'a>;

impl View {
    /// The size of each collection, by name: the built-in ones, and those of users.
    ///
    /// # Errors
    ///
    /// `Damaged`, `Io`.
    ///
    /// # Examples
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = hivekeep::Store::open(dir.path().join("h.redb"))?;
    /// store.write(|tx| tx.config().put("limit", &serde_json::json!(3)))?;
    /// assert_eq!(store.view()?.collections()?["config"].count, 1);
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn collections(&self) -> Result<BTreeMap<String, Stats>> {
        let names = names(self)?;
        let of = |name: &str| names.id(name).map(|id| self.stats(id)).transpose();
        listed(&names).map(|name| Ok((name.to_owned(), of(name)?.unwrap_or_default()))).collect()
    }

    /// A record of any collection as JSON, in its stored form: a bot, task, config value or record of your own by its
    /// key, a message or audit entry by its number, an assignment by `BOT/TASK`. Documents are many records each; see
    /// [`Documents::get`](crate::Documents::get).
    ///
    /// # Errors
    ///
    /// `NotFound` when there is no such collection; `Damaged` when the record's checksum does not match; `Io`.
    ///
    /// # Examples
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = hivekeep::Store::open(dir.path().join("h.redb"))?;
    /// store.write(|tx| tx.config().put("limit", &serde_json::json!(3)))?;
    /// assert_eq!(store.view()?.record("config", "limit")?, Some(serde_json::json!(3)));
    /// assert_eq!(store.view()?.record("config", "other")?, None);
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn record(&self, collection: &str, key: &str) -> Result<Option<Value>> {
        if collection == AUDIT {
            let number = key.parse().ok();
            let entry = number.map_or(Ok(None), |number| self.audit().get(number))?;
            return entry.map(|entry| Ok(shown_entry(&entry)?.1)).transpose();
        }
        let id = self.collection_id(collection)?;
        for key in restored_together::keys_of(id, key) {
            if let Some(payload) = self.get(id, &key)? {
                return Ok(Some(Show::new(self).record(id, &key, &payload)?.value));
            }
        }
        Ok(None)
    }

    /// Every record of a collection as [`record`](Self::record) shows it, with its key as text, in the order of keys.
    ///
    /// # Errors
    ///
    /// `NotFound` when there is no such collection; for a record, `Damaged` when its checksum does not match, and `Io`.
    ///
    /// # Examples
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = hivekeep::Store::open(dir.path().join("h.redb"))?;
    /// store.write(|tx| tx.config().put("limit", &serde_json::json!(3)))?;
    /// for record in store.view()?.records("config")? {
    ///     assert_eq!(record?, ("limit".to_owned(), serde_json::json!(3)));
    /// }
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn records(&self, collection: &str) -> Result<NamedRecords<'_>> {
        if collection == AUDIT {
            return Ok(Box::new(self.entries().map(|entry| shown_entry(&entry?))));
        }
        let id = self.collection_id(collection)?;
        let mut show = Show::new(self);
        let rows = scan(self, id, KeyRange::all());
        Ok(Box::new(rows.map(move |row| {
            let (key, payload) = row?;
            let Shown { key, value } = show.record(id, &key, &payload)?;
            Ok((key, value))
        })))
    }

    /// A page of at most `limit` records (at least one) of a collection, as [`records`](Self::records) shows them,
    /// those whose stored key begins with `prefix`; `cursor` is the `next` of the page before. The audit trail has
    /// pages of its own: [`Audit::list`](crate::Audit::list).
    ///
    /// # Errors
    ///
    /// `NotFound` when there is no such collection; `Invalid` for a cursor that no page of this
    /// list has given; `Damaged`, `Io`.
    ///
    /// # Examples
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = hivekeep::Store::open(dir.path().join("h.redb"))?;
    /// store.write(|tx| {
    ///     tx.config().put("limit/builds", &serde_json::json!(3))?;
    ///     tx.config().put("name", &serde_json::json!("ant"))
    /// })?;
    /// let page = store.view()?.records_page("config", "limit/", None, 10)?;
    /// assert_eq!(page.items, [("limit/builds".to_owned(), serde_json::json!(3))]);
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn records_page(
        &self,
        collection: &str,
        prefix: &str,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<KeyedPage<(String, Value)>> {
        let id = self.collection_id(collection)?;
        let (range, mut show) = (KeyRange::prefix(prefix.as_bytes()), Show::new(self));
        KeyedPage::read(self, id, range, (cursor, limit), |(key, payload)| {
            let Shown { key, value } = show.record(id, &key, &payload)?;
            Ok((key, value))
        })
    }

    /// The audit trail, read in pages.
    fn entries(&self) -> impl Iterator<Item = Result<Entry>> + '_ {
        let mut next = Some(Page::oldest(ENTRIES));
        let pages = std::iter::from_fn(move || {
            let page = next.take()?;
            let entries = self.audit().list(page);
            next = entries.as_ref().ok().and_then(|entries| entries.last()).map(|last| page.after(last.sequence));
            Some(entries)
        });
        pages.flat_map(|page| match page {
            Ok(entries) => entries.into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error)],
        })
    }

    fn collection_id(&self, name: &str) -> Result<CollectionId> {
        let names = names(self)?;
        let id = names.id(name).filter(|_| listed(&names).any(|known| known == name));
        id.ok_or_else(|| {
            let known: Vec<_> = [AUDIT].into_iter().chain(listed(&names)).collect();
            let (known, name) = (known.join(", "), name.escape_debug());
            Error::not_found(format!("no such collection; the collections are {known}: collection={name}"))
        })
    }
}

/// The names of the collections that people see.
fn listed(names: &Names) -> impl Iterator<Item = &str> {
    names.all().filter(|name| !name.starts_with('#'))
}

fn shown_entry(entry: &Entry) -> Result<(String, Value)> {
    let wrong = |source| Error::damaged("an audit entry cannot be shown as JSON").with_source(source);
    Ok((entry.sequence.to_string(), serde_json::to_value(entry).map_err(wrong)?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::error::ErrorKind;
    use crate::state::audit::NewEntry;
    use crate::state::chat::NewMessage;
    use crate::testkit::checked_store::Fixture;

    #[test]
    fn every_collection_is_read_by_its_name_and_each_record_by_the_key_that_is_shown() {
        let hive = Fixture::new();
        hive.write(|tx| {
            tx.config().put("limit", &json!(3))?;
            tx.chat().append(NewMessage::new("standup", "user", "hello"))?;
            tx.audit().append(NewEntry::new("deploy", "BOT-1"))?;
            tx.collection::<u32>("jobs")?.put("a/1", &7)
        });
        let view = hive.view();
        let mut seen = 0;
        for collection in view.collections().unwrap().keys().map(String::as_str).chain([AUDIT]) {
            for record in view.records(collection).unwrap() {
                let (key, value) = record.unwrap();
                assert_eq!(view.record(collection, &key).unwrap(), Some(value), "{collection} {key}");
                seen += 1;
            }
        }
        assert_eq!(seen, 4);
        assert_eq!(view.record("jobs", "a/1").unwrap(), Some(json!(7)));
        assert_eq!(view.collections().unwrap()["jobs"].count, 1);
    }

    #[test]
    fn pages_of_a_collection_hold_every_record_with_the_beginning_once_now_and_at_a_point() {
        let hive = Fixture::new();
        for key in ["a", "b/1", "b/2", "b/3", "c"] {
            hive.write(|tx| tx.config().put(key, &key.into()));
        }
        hive.store.restore_point("before").unwrap();
        hive.write(|tx| tx.config().remove("b/2"));
        let past = hive.store.at("latest".parse::<crate::recovery::points::selector::Selector>().unwrap()).unwrap();
        for (view, prefix, keys) in
            [(&past, "b/", "b/1b/2b/3"), (&hive.view(), "b/", "b/1b/3"), (&past, "", "ab/1b/2b/3c")]
        {
            let (mut seen, mut cursor) = (String::new(), None);
            loop {
                let page = view.records_page("config", prefix, cursor.as_deref(), 2).unwrap();
                assert!(page.items.len() <= 2);
                seen.extend(page.items.into_iter().map(|(key, _)| key));
                cursor = page.next;
                if cursor.is_none() {
                    break;
                }
            }
            assert_eq!(seen, keys);
        }
        assert_eq!(past.records_page("audit", "", None, 2).unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn an_unknown_collection_is_refused_with_the_names_that_exist() {
        let hive = Fixture::new();
        let view = hive.view();
        for error in [view.record("#5", "1").unwrap_err(), view.records("regisry").err().unwrap()] {
            assert_eq!(error.kind(), ErrorKind::NotFound);
            assert!(error.to_string().contains("the collections are audit, registry, queue,"), "{error}");
        }
    }
}
