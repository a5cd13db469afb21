//! A user's own types in a collection of its own name: versioned, restored and compared like all other state.
//!
//! A record's payload is JSON text, so that the command line can show and change any collection by its name.
//!
//! A put of another type is refused, because it would be found out much later, by whoever lists the
//! collection. The type is known by the records themselves: one of them must be readable as the type that is
//! put. A name of the type, kept beside the collection, would refuse a struct that was only renamed, and would
//! be wrong after a restore of earlier records.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Bound, RangeBounds};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::engine::digest::Stats;
use crate::engine::meta;
use crate::engine::records::{KeyRange, Records, Row, scan};
use crate::engine::schema::CollectionId;
use crate::engine::view::View;
use crate::engine::write::WriteTx;
use crate::error::{Error, ErrorKind, Result};
use crate::json;
use crate::limits::{self, COLLECTION_NAME_BYTES as NAME_LEN_MAX, KEY_BYTES as KEY_LEN_MAX};
use crate::state::ids::check_new;

/// Where records are longer than this on average, in bytes, none is read for its type alone.
const COMPARED_LEN_MAX: u64 = 64 << 10;
/// The collection of schedules, which its own verbs fill.
pub(crate) const SCHEDULES: &str = "schedules";
/// Names that the faces show beside the built-in collections, and that no collection may therefore have.
const RESERVED: [&str; 2] = ["audit", "events"];

/// A user's collection of values of type `T` by text keys, in a view or a transaction.
pub struct Collection<T, R> {
    records: R,
    name: String,
    /// None if nothing was ever stored in it.
    id: Option<CollectionId>,
    /// Whether a put skips the check of the type of existing records.
    any_type: bool,
    of: PhantomData<fn(T) -> T>,
}

impl View {
    /// A user's collection at this view's point. One that was never used is empty.
    ///
    /// # Errors
    ///
    /// `Invalid` when the name is not 1 to 64 letters, digits, `-`, `_` and `.`, or that of a built-in collection;
    /// `Io`.
    pub fn collection<T>(&self, name: &str) -> Result<Collection<T, &Self>> {
        open(self, name)
    }
}

impl WriteTx<'_> {
    /// A user's collection, to read and to change. The first put creates it.
    ///
    /// # Errors
    ///
    /// `Invalid` when the name is not 1 to 64 letters, digits, `-`, `_` and `.`, or that of a built-in collection;
    /// `Io`.
    ///
    /// # Examples
    ///
    /// ```
    /// #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    /// struct Sensor {
    ///     celsius: f64,
    /// }
    ///
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = hivekeep::Store::open(dir.path().join("h.redb")).unwrap();
    /// store.write(|tx| tx.collection("sensors")?.put("roof", &Sensor { celsius: 21.5 }))?;
    /// let roof = store.view()?.collection::<Sensor>("sensors")?.get("roof")?;
    /// assert_eq!(roof, Some(Sensor { celsius: 21.5 }));
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn collection<T>(&mut self, name: &str) -> Result<Collection<T, &mut Self>> {
        open(self, name)
    }
}

fn open<T, R: Records>(records: R, name: &str) -> Result<Collection<T, R>> {
    check_collection_name(name)?;
    let id = records.collection_id(name)?;
    Ok(Collection { records, name: name.to_owned(), id, any_type: false, of: PhantomData })
}

#[expect(private_bounds, reason = "only views and transactions can be read from")]
impl<T: DeserializeOwned, R: Records> Collection<T, R> {
    /// The value of a key.
    ///
    /// # Errors
    ///
    /// `Invalid` when the value is not a `T`, `Damaged` when its bytes differ from the written ones, `Io`.
    pub fn get(&self, key: &str) -> Result<Option<T>> {
        let Some(id) = self.id else { return Ok(None) };
        let payload = self.records.get(id, key.as_bytes())?;
        payload.map(|payload| self.read(key, &payload)).transpose()
    }

    /// Every key with its value, in the order of keys.
    pub fn list(&self) -> impl Iterator<Item = Result<(String, T)>> + '_ {
        self.scan(KeyRange::all())
    }

    /// The keys of a range with their values, in the order of keys.
    ///
    /// # Examples
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = hivekeep::Store::open(dir.path().join("h.redb")).unwrap();
    /// store.write(|tx| {
    ///     let mut rooms = tx.collection("rooms")?;
    ///     ["attic", "cellar", "roof"].iter().try_for_each(|name| rooms.put(name, &name.len()))
    /// })?;
    /// let view = store.view()?;
    /// let rooms = view.collection::<usize>("rooms")?;
    /// let from_b: Vec<_> = rooms.range("b"..).collect::<Result<_, _>>()?;
    /// assert_eq!(from_b, [("cellar".to_owned(), 6), ("roof".to_owned(), 4)]);
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn range<'k>(&self, keys: impl RangeBounds<&'k str>) -> impl Iterator<Item = Result<(String, T)>> {
        self.scan(KeyRange::of_texts(&keys))
    }

    /// How many records there are; it reads none of them.
    ///
    /// # Errors
    ///
    /// `Damaged` when the count's bytes differ from the written ones, `Io`.
    pub fn count(&self) -> Result<u64> {
        self.id.map_or(Ok(0), |id| Ok(self.records.stats(id)?.count))
    }

    fn scan(&self, range: KeyRange) -> impl Iterator<Item = Result<(String, T)>> {
        let id = self.id.filter(|_| !range.is_empty());
        id.map(|id| scan(&self.records, id, range)).into_iter().flatten().map(|row| self.read_row(row?))
    }

    fn read_row(&self, (key, payload): Row) -> Result<(String, T)> {
        let key = String::from_utf8(key).map_err(|error| {
            let key = error.as_bytes().escape_ascii();
            Error::damaged(format!("a key is not text: collection={} key={key}", self.name))
        })?;
        let value = self.read(&key, &payload)?;
        Ok((key, value))
    }

    fn read(&self, key: &str, payload: &[u8]) -> Result<T> {
        serde_json::from_slice(payload).map_err(|source| {
            let what = std::any::type_name::<T>();
            let message = format!("a record cannot be read as {what} ({source})");
            Error::invalid(format!("{message}: collection={} key={}", self.name, key.escape_debug()))
                .with_source(source)
        })
    }
}

impl<T: Serialize + DeserializeOwned> Collection<T, &mut WriteTx<'_>> {
    /// Sets the value of a key. An existing record must be readable as a `T`: the one of that key, the next one, or the
    /// first. So a struct may gain fields with `#[serde(default)]`, and another type is refused, unless
    /// [`converting`](Self::converting) permits it.
    ///
    /// # Errors
    ///
    /// `Invalid` when the collection is `schedules`, the key is empty or longer than 1,024 bytes, the value is longer
    /// than its [limit](crate#limits) or cannot be JSON (a map whose keys are not text), the collection contains
    /// another type, or there are 10,000 collections; `Damaged` when the overwritten bytes differ from the written
    /// ones; `Io`. JSON has no infinity and no `NaN`: they become `null`.
    ///
    /// # Examples
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = hivekeep::Store::open(dir.path().join("h.redb")).unwrap();
    /// store.write(|tx| tx.collection("limits")?.put("builds", &3))?;
    /// let refused = store.write(|tx| tx.collection("limits")?.put("tests", &"three".to_owned()));
    /// assert!(refused.unwrap_err().to_string().contains("String"));
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn put(&mut self, key: &str, value: &T) -> Result<()> {
        check_key(key)?;
        if self.name == SCHEDULES {
            return Err(Error::invalid(format!(
                "the collection holds the schedules; add a schedule, or use another collection: collection={}",
                self.name
            )));
        }
        let mut payload = serde_json::to_vec(value).map_err(|source| {
            Error::invalid(format!("a value cannot be JSON ({source}): collection={}", self.name)).with_source(source)
        })?;
        // JSON that a value passes on as text may have them, between tokens alone. A stored value is one line.
        if payload.contains(&b'\n') {
            payload.iter_mut().filter(|byte| **byte == b'\n').for_each(|byte| *byte = b' ');
        }
        // Only so many brackets can nest too deeply to be read back.
        if payload.iter().filter(|byte| matches!(byte, b'[' | b'{')).count() > json::MAX_DEPTH {
            json::parse(&payload)?;
        }
        limits::bytes("a value", payload.len(), limits::VALUE_BYTES)?;
        self.refuse_another_type(key)?;
        let id = match self.id {
            Some(id) => id,
            None => self.create()?,
        };
        self.records.put(id, key.as_bytes(), &payload)?;
        self.records.note_with("record_put", || Some(format!("{}/{key}", self.name)))
    }

    /// Refuses a type that does not match the existing records. One check is enough for this collection.
    fn refuse_another_type(&mut self, key: &str) -> Result<()> {
        let Some(id) = self.id.filter(|_| !std::mem::replace(&mut self.any_type, true)) else { return Ok(()) };
        let Stats { count, bytes, .. } = self.records.stats(id)?;
        if count == 0 || bytes / count > COMPARED_LEN_MAX {
            return Ok(());
        }
        let from_key = KeyRange { start: Bound::Included(key.as_bytes().to_vec()), ..KeyRange::all() };
        for range in [from_key, KeyRange::all()] {
            let Some((other, payload)) = self.first_of(id, &range)? else { continue };
            let Err(source) = serde_json::from_slice::<T>(&payload) else { return Ok(()) };
            let (name, what, other) = (&self.name, std::any::type_name::<T>(), other.escape_ascii());
            return Err(Error::invalid(format!(
                "the collection holds records that cannot be read as {what} ({source}); put it into another one, or call \
                 converting() to change all of this one: collection={name} key={other}"
            ))
            .with_source(source));
        }
        Ok(())
    }

    /// The first record of a range. One that is damaged is no reason to refuse another.
    fn first_of(&self, id: CollectionId, range: &KeyRange) -> Result<Option<Row>> {
        match self.records.part(id, range, 1) {
            Err(error) if error.kind() == ErrorKind::Damaged => Ok(None),
            rows => Ok(rows?.into_iter().next()),
        }
    }
}

impl<T> Collection<T, &mut WriteTx<'_>> {
    /// Gives the collection its number.
    fn create(&mut self) -> Result<CollectionId> {
        check_new("the name of a collection", &self.name, || Ok(false))?;
        let given = meta::counter(self.records, meta::COLLECTIONS)?;
        if given >= limits::COLLECTIONS {
            let most = limits::COLLECTIONS;
            return Err(Error::invalid(format!("there are too many collections; use the ones there are: max={most}")));
        }
        Ok(*self.id.insert(self.records.user_collection(&self.name)?))
    }

    /// Permits a `T` beside records of another type, which changes the type of a collection record by record.
    ///
    /// # Examples
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = hivekeep::Store::open(dir.path().join("h.redb")).unwrap();
    /// store.write(|tx| tx.collection("limits")?.put("builds", &3))?;
    /// store.write(|tx| {
    ///     let old: Vec<_> = tx.collection::<u32>("limits")?.list().collect::<Result<_, _>>()?;
    ///     let mut new = tx.collection("limits")?.converting();
    ///     old.iter().try_for_each(|(key, limit)| new.put(key, &format!("{limit} at once")))
    /// })?;
    /// assert_eq!(store.view()?.collection("limits")?.get("builds")?, Some("3 at once".to_owned()));
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    #[must_use]
    pub fn converting(mut self) -> Self {
        self.any_type = true;
        self
    }

    /// Removes a key. Returns whether it existed.
    ///
    /// # Errors
    ///
    /// `Damaged` when the removed bytes differ from the written ones, `Io`.
    pub fn remove(&mut self, key: &str) -> Result<bool> {
        let there_was = self.id.map_or(Ok(false), |id| self.records.remove(id, key.as_bytes()))?;
        if there_was {
            self.records.note_with("record_remove", || Some(format!("{}/{key}", self.name)))?;
        }
        Ok(there_was)
    }
}

impl<T, R> fmt::Debug for Collection<T, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collection").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Refuses a text that cannot be the name of a user's collection.
pub(crate) fn check_collection_name(name: &str) -> Result<()> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if name.is_empty() || name.len() > NAME_LEN_MAX || !name.bytes().all(fits) {
        return Err(Error::invalid(format!(
            "a collection is named by 1 to {NAME_LEN_MAX} letters, digits, -, _ and .: name={}",
            name.escape_debug()
        )));
    }
    let mut taken = CollectionId::BUILT_IN.iter().map(|(name, _)| *name).chain(RESERVED);
    if taken.any(|taken| taken == name) {
        return Err(Error::invalid(format!("the name belongs to a built-in collection; choose another: name={name}")));
    }
    Ok(())
}

fn check_key(key: &str) -> Result<()> {
    if key.is_empty() || key.len() > KEY_LEN_MAX {
        return Err(Error::invalid(format!("a key has 1 to {KEY_LEN_MAX} bytes: bytes={}", key.len())));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::testkit::checked_store::Fixture;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Sensor {
        room: String,
        celsius: f64,
    }

    fn sensor(room: &str) -> Sensor {
        Sensor { room: room.to_owned(), celsius: 21.5 }
    }

    /// A value whose text is passed on as it is, as `serde_json::value::RawValue` and its numbers do.
    struct Text(&'static str);

    impl Serialize for Text {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
            use serde::ser::SerializeStruct;
            let mut number = serializer.serialize_struct("$serde_json::private::Number", 1)?;
            number.serialize_field("$serde_json::private::Number", self.0)?;
            number.end()
        }
    }

    impl<'de> Deserialize<'de> for Text {
        fn deserialize<D: serde::Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
            serde::de::IgnoredAny::deserialize(from).map(|_| Self("null"))
        }
    }

    #[test]
    fn text_that_is_passed_on_is_stored_in_one_line() {
        let test = Fixture::new();
        test.write(|tx| tx.collection("sensors")?.put("roof", &Text("[1,\n\"\\n\"\n]")));
        let view = test.view();
        let id = view.collection_id("sensors").unwrap().unwrap();
        assert_eq!(view.get(id, b"roof").unwrap().unwrap(), b"[1, \"\\n\" ]");
    }

    /// The keys of a range of the collection `sensors`.
    fn keys<'k>(view: &View, range: impl RangeBounds<&'k str>) -> Vec<String> {
        let sensors = view.collection::<Sensor>("sensors").unwrap();
        sensors.range(range).map(|row| row.unwrap().0).collect()
    }

    #[test]
    fn a_value_is_stored_as_json_text() {
        let test = Fixture::new();
        test.write(|tx| tx.collection("sensors")?.put("roof", &sensor("attic")));
        let view = test.view();
        let id = view.collection_id("sensors").unwrap().unwrap();
        assert_eq!(view.get(id, b"roof").unwrap().unwrap(), br#"{"room":"attic","celsius":21.5}"#);
    }

    #[test]
    fn a_put_value_is_read_listed_counted_and_removed() {
        let test = Fixture::new();
        test.write(|tx| {
            let mut sensors = tx.collection("sensors")?;
            for key in ["c", "a", "b"] {
                sensors.put(key, &sensor(key))?;
            }
            assert_eq!(sensors.get("a")?, Some(sensor("a")));
            Ok(())
        });
        let point = test.seal();
        assert!(test.write(|tx| tx.collection::<Sensor>("sensors")?.remove("b")));
        assert!(!test.write(|tx| tx.collection::<Sensor>("sensors")?.remove("b")));
        assert_eq!(keys(&test.view(), ..), ["a", "c"]);
        assert_eq!(keys(&test.view_at(point), ..), ["a", "b", "c"]);
        assert_eq!(test.view().collection::<Sensor>("sensors").unwrap().count().unwrap(), 2);
        assert_eq!(test.view_at(point).collection::<Sensor>("sensors").unwrap().get("b").unwrap(), Some(sensor("b")));
    }

    #[test]
    fn a_range_holds_its_ends_as_rust_ranges_do() {
        let test = Fixture::new();
        test.write(|tx| ["a", "b", "c"].iter().try_for_each(|key| tx.collection("sensors")?.put(key, &sensor(key))));
        let view = test.view();
        assert_eq!(keys(&view, "a".."c"), ["a", "b"]);
        assert_eq!(keys(&view, "b"..="c"), ["b", "c"]);
        assert_eq!(keys(&view, ..="a"), ["a"]);
        assert_eq!(keys(&view, "c".."a"), [""; 0]);
        assert_eq!(keys(&view, "b".."b"), [""; 0]);
    }

    #[test]
    fn a_collection_that_was_never_used_is_empty_and_asking_for_it_creates_nothing() {
        let test = Fixture::new();
        assert_eq!(test.write(|tx| tx.collection::<Sensor>("sensors")?.get("a")), None);
        assert!(!test.write(|tx| tx.collection::<Sensor>("sensors")?.remove("a")));
        assert_eq!(keys(&test.view(), ..), [""; 0]);
        assert_eq!(test.view().collection::<Sensor>("sensors").unwrap().count().unwrap(), 0);
        assert_eq!(test.view().collection_id("sensors").unwrap(), None);
    }

    #[test]
    fn a_closure_that_fails_creates_no_collection() {
        let test = Fixture::new();
        let failed = test.store.write(|tx| {
            tx.collection("sensors")?.put("a", &sensor("a"))?;
            Err::<(), _>(Error::conflict("changed my mind"))
        });
        assert_eq!(failed.unwrap_err().kind(), ErrorKind::Conflict);
        assert_eq!(test.view().collection_id("sensors").unwrap(), None);
    }

    #[test]
    fn names_are_plain_and_not_those_of_the_built_in_collections() {
        let longest = "x".repeat(NAME_LEN_MAX);
        let test = Fixture::new();
        let view = test.view();
        for name in ["a", "A-1_b.c", longest.as_str()] {
            assert!(view.collection::<Sensor>(name).is_ok(), "{name}");
        }
        let long = "x".repeat(NAME_LEN_MAX + 1);
        for name in ["", "a b", "a/b", "größe", "#chunks", "a\n", long.as_str()] {
            let message = view.collection::<Sensor>(name).unwrap_err().to_string();
            assert!(
                message.starts_with("a collection is named by 1 to 64 letters, digits, -, _ and .: name="),
                "{message}"
            );
        }
        for name in ["registry", "queue", "assignments", "chat", "config", "documents", "audit", "events"] {
            let message = test.store.write(|tx| tx.collection(name)?.put("k", &1)).unwrap_err().to_string();
            assert_eq!(message, format!("the name belongs to a built-in collection; choose another: name={name}"));
        }
    }

    #[test]
    fn a_key_is_neither_empty_nor_too_long() {
        let test = Fixture::new();
        let longest = "k".repeat(KEY_LEN_MAX);
        test.write(|tx| tx.collection("sensors")?.put(&longest, &sensor("a")));
        for (key, length) in [("", 0), (&*"k".repeat(KEY_LEN_MAX + 1), 1025)] {
            let error = test.store.write(|tx| tx.collection("sensors")?.put(key, &sensor("a"))).unwrap_err();
            assert_eq!(error.to_string(), format!("a key has 1 to 1024 bytes: bytes={length}"));
        }
    }

    #[test]
    fn a_record_of_another_type_is_named() {
        let test = Fixture::new();
        test.write(|tx| tx.collection("sensors")?.put("a", &1));
        let error = test.view().collection::<Sensor>("sensors").unwrap().get("a").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        let message = error.to_string();
        assert!(message.contains("Sensor") && message.ends_with("collection=sensors key=a"), "{message}");
    }

    /// A later form of a sensor.
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct NewSensor {
        room: String,
        celsius: f64,
        #[serde(default)]
        battery: Option<u8>,
    }

    #[test]
    fn another_type_is_refused_as_it_is_put_and_says_of_which_record() {
        let test = Fixture::new();
        test.write(|tx| ["b", "d"].iter().try_for_each(|key| tx.collection("sensors")?.put(key, &sensor(key))));
        for (key, met) in [("a", "b"), ("b", "b"), ("c", "d"), ("e", "b")] {
            let error = test.store.write(|tx| tx.collection("sensors")?.put(key, &7)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid);
            let message = error.to_string();
            assert!(message.contains("cannot be read as i32"), "{message}");
            assert!(message.contains("converting()") && message.ends_with(&format!("collection=sensors key={met}")));
        }
        assert_eq!(keys(&test.view(), ..), ["b", "d"]);
    }

    #[test]
    fn a_struct_that_gains_a_field_with_a_default_goes_on_and_so_does_any_json() {
        let test = Fixture::new();
        test.write(|tx| tx.collection("sensors")?.put("old", &sensor("attic")));
        let new = NewSensor { room: "roof".into(), celsius: 3.0, battery: Some(90) };
        test.write(|tx| tx.collection("sensors")?.put("new", &new));
        test.write(|tx| tx.collection("sensors")?.put("old", &sensor("cellar")));
        test.write(|tx| tx.collection("sensors")?.put("json", &serde_json::json!({"room": "x", "celsius": 1})));
        let view = test.view();
        let list: Vec<_> = view.collection::<NewSensor>("sensors").unwrap().list().collect::<Result<_>>().unwrap();
        assert_eq!(list.len(), 3);
    }

    #[test]
    fn an_earlier_point_is_read_as_the_earlier_type() {
        let test = Fixture::new();
        test.write(|tx| tx.collection("sensors")?.put("a", &sensor("attic")));
        let point = test.seal();
        test.write(|tx| tx.collection("sensors")?.converting().put("a", &7));
        test.write(|tx| tx.collection("sensors")?.put("b", &8));
        assert!(test.store.write(|tx| tx.collection("sensors")?.put("b", &sensor("b"))).is_err());
        assert_eq!(test.view_at(point).collection("sensors").unwrap().get("a").unwrap(), Some(sensor("attic")));
    }

    #[test]
    fn an_empty_collection_takes_any_type() {
        let test = Fixture::new();
        test.write(|tx| tx.collection("sensors")?.put("a", &sensor("attic")));
        test.write(|tx| tx.collection::<Sensor>("sensors")?.remove("a"));
        test.write(|tx| tx.collection("sensors")?.put("a", &7));
    }

    #[test]
    fn a_value_that_is_no_json_is_refused() {
        let test = Fixture::new();
        let no_json = std::collections::BTreeMap::from([((1, 2), 3)]);
        let error = test.store.write(|tx| tx.collection("sensors")?.put("a", &no_json)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }
}
