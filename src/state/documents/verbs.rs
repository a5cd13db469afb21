//! The verbs on documents.

use std::ops::Bound;

use serde_json::Value;

use super::id::DocumentId;
use super::prepared::Prepared;
use super::put::{self, Written};
use super::rows;
use crate::engine::records::{KeyRange, Records};
use crate::engine::schema::CollectionId;
use crate::engine::view::View;
use crate::engine::write::WriteTx;
use crate::error::Result;
use crate::limits;
use crate::state::ids::check_new;

/// The documents of a view or of a transaction.
///
/// # Examples
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// # let store = hivekeep::Store::open(dir.path().join("hive.redb"))?;
/// let registry = hivekeep::json::parse(br#"{"bots": {"BOT-1": {"port": 8001}, "BOT-2": {"port": 8002}}}"#)?;
/// store.write(|tx| tx.documents().put("registry", "service", &registry))?;
///
/// let changed = hivekeep::json::parse(br#"{"bots": {"BOT-1": {"port": 9001}, "BOT-2": {"port": 8002}}}"#)?;
/// let written = store.write(|tx| tx.documents().put("registry", "service", &changed))?;
/// assert_eq!((written.put, written.removed), (1, 0));
/// assert_eq!(store.view()?.documents().get("registry", "service")?, Some(changed));
/// # Ok::<(), hivekeep::Error>(())
/// ```
#[derive(Debug)]
pub struct Documents<R> {
    pub(super) records: R,
}

impl WriteTx<'_> {
    /// The documents, to be read and changed.
    pub fn documents(&mut self) -> Documents<&mut Self> {
        Documents { records: self }
    }
}

impl View {
    /// The documents, as they are or were.
    pub fn documents(&self) -> Documents<&Self> {
        Documents { records: self }
    }
}

#[expect(private_bounds, reason = "callers cannot name the reader behind documents")]
impl<R: Records> Documents<R> {
    /// The document, with object order and numbers as they were handed over.
    ///
    /// # Errors
    ///
    /// `Damaged` when a record is damaged or the records of the document do not fit together; `Invalid` when kind or
    /// source is longer than 512 bytes.
    pub fn get(&self, kind: &str, source: &str) -> Result<Option<Value>> {
        let id = DocumentId::new(kind, source)?;
        let Some(stored) = rows::read(&self.records, &id, None)? else { return Ok(None) };
        stored.to_document().map(Some).map_err(|error| rows::misfit(&id).with_source(error))
    }

    /// The same, unless it takes more memory than that.
    ///
    /// # Errors
    ///
    /// `Invalid` when it does, and as [`Documents::get`].
    #[cfg(feature = "http")]
    pub(crate) fn get_within(&self, id: &DocumentId, most: usize) -> Result<Option<Value>> {
        let Some(stored) = rows::read_within(&self.records, id, most)? else { return Ok(None) };
        stored.to_document().map(Some).map_err(|error| rows::misfit(id).with_source(error))
    }

    /// Whether there is such a document.
    pub(crate) fn is_there(&self, kind: &str, source: &str) -> Result<bool> {
        Ok(self.records.get(CollectionId::DOCUMENTS, &DocumentId::new(kind, source)?.to_key())?.is_some())
    }

    /// The document as compact JSON text.
    ///
    /// # Errors
    ///
    /// As [`Documents::get`].
    ///
    /// # Examples
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = hivekeep::Store::open(dir.path().join("hive.redb"))?;
    /// let load = hivekeep::json::parse(br#"{"z": 1e400, "a": -0}"#)?;
    /// store.write(|tx| tx.documents().put("load", "bot", &load))?;
    /// assert_eq!(store.view()?.documents().text("load", "bot")?.unwrap(), r#"{"z":1e400,"a":-0}"#);
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn text(&self, kind: &str, source: &str) -> Result<Option<String>> {
        Ok(self.get(kind, source)?.map(|value| value.to_string()))
    }

    /// Every document by kind, then source.
    ///
    /// # Errors
    ///
    /// The iterator ends after a `Damaged` when a record is damaged or belongs to no document.
    pub fn list(&self) -> impl Iterator<Item = Result<DocumentId>> + '_ {
        self.list_behind(None)
    }

    /// The same, behind one of them.
    pub(crate) fn list_behind(&self, id: Option<&DocumentId>) -> impl Iterator<Item = Result<DocumentId>> + '_ {
        let mut rest = id.map_or(Some(KeyRange::all()), behind);
        std::iter::from_fn(move || {
            let found = self.first(&rest.take()?).transpose()?;
            rest = found.as_ref().ok().and_then(behind);
            Some(found)
        })
    }

    /// The first document that has a row in the range.
    pub(super) fn first(&self, range: &KeyRange) -> Result<Option<DocumentId>> {
        let page = self.records.page(CollectionId::DOCUMENTS, range, 1)?;
        page.first().map(|(key, _)| rows::split_key(key).map(|(id, _)| id)).transpose()
    }
}

/// The document of a row.
#[cfg(feature = "transfer")]
pub(crate) fn document_of(key: &[u8]) -> Result<DocumentId> {
    rows::split_key(key).map(|(id, _)| id)
}

impl Documents<&mut WriteTx<'_>> {
    /// Stores a document, and replaces the one of the same kind and source. Records of unchanged elements are not
    /// written.
    ///
    /// # Errors
    ///
    /// `Invalid`, by JSON pointer, when the value is nested deeper than 128 levels; `Invalid` when kind or source of a
    /// new document has invisible characters, is not in NFC, or is `.` or `..`; `Invalid` when kind or source is longer
    /// than 512 bytes, or the document or an element of it is longer than its [limit](crate#limits); `Damaged` when a
    /// record of the stored document is damaged, or its records do not fit together.
    pub fn put(&mut self, kind: &str, source: &str, document: &Value) -> Result<Written> {
        let known = || self.is_there(kind, source);
        check_new("the kind of a document", kind, known)?;
        check_new("the source of a document", source, known)?;
        let written = self.put_prepared(kind, source, &Prepared::of_value(document)?)?;
        self.records.note("document_put", Some(&format!("{kind}/{source}")))?;
        Ok(written)
    }

    /// The same for a prepared document.
    pub(crate) fn put_prepared(&mut self, kind: &str, source: &str, document: &Prepared) -> Result<Written> {
        limits::bytes("a document", document.text().len(), limits::DOCUMENT_BYTES)?;
        put::put(self.records, &DocumentId::new(kind, source)?, document.layout())
    }

    /// Removes a document, even if its records do not fit together. Returns whether there was one.
    ///
    /// # Errors
    ///
    /// `Damaged` when a record is damaged; `Invalid` when kind or source is longer than 512 bytes.
    ///
    /// # Examples
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = hivekeep::Store::open(dir.path().join("hive.redb"))?;
    /// store.write(|tx| tx.documents().put("queue", "bot", &serde_json::json!({"tasks": [1, 2, 3]})))?;
    /// assert!(store.write(|tx| tx.documents().remove("queue", "bot"))?);
    /// assert!(!store.write(|tx| tx.documents().remove("queue", "bot"))?);
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn remove(&mut self, kind: &str, source: &str) -> Result<bool> {
        let there_was = put::remove(self.records, &DocumentId::new(kind, source)?)?;
        if there_was {
            self.records.note("document_remove", Some(&format!("{kind}/{source}")))?;
        }
        Ok(there_was)
    }
}

/// The rows behind those of a document.
pub(super) fn behind(id: &DocumentId) -> Option<KeyRange> {
    match KeyRange::prefix(&rows::key(id)).end {
        Bound::Excluded(behind) => Some(KeyRange::all().from(&behind)),
        _ => None,
    }
}
