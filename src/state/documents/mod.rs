//! Documents: JSON texts that a caller hands over as a whole. A document has a kind and a source, and is stored as one
//! record per element. If one bot changed in a document of 10 MB, one record is written, and a diff names that bot.
//!
//! * [`layout`] decides what becomes a row. A container is *split*, which gives each of its elements a row, when
//!   1. it is the document itself; or
//!   2. its compact text is longer than 4 KiB (64 KiB when its elements are on average under 64 bytes, which are not
//!      worth rows of their own); or
//!   3. it is a table, which is a container of containers only, at most two levels below the document, and no container
//!      on the way there has more than 16 elements; or
//!   4. something in it is split.
//!
//!   Everything else is one row; usually a bot or a task is one row. The rule depends only on the value. A change can
//!   make a container pass a limit. Then only that container gets a new layout, because the containers around it are
//!   split for other reasons.
//! * [`rows`] has the bytes. A row's key is the document's, then eight bytes for each level: an *order key*. Its
//!   payload is the element's compact JSON text, after `"name":` for a member of an object. The row of a split
//!   container contains only the opening bracket; its elements are the rows below it. The document's own row also has
//!   the number of rows below it, so that lost rows are an error and not a shorter document.
//! * [`align`] matches stored elements with new ones, and [`order`] gives order keys to new elements.
//!   All other rows stay unchanged.
//! * [`prepared`] is a document that will be stored. Before the transaction begins, [`layout`] prints it once, and the
//!   checksum of its Python text is started, for a long text on another thread; the backup waits for it.
//! * [`put`] changes the stored rows to the new ones; [`names`] names the element of a row for people.
//! * [`check`] finds rows that do not fit together, and [`mend`] makes a document of the rows that a repair has left.

mod align;
mod check;
mod layout;
mod mend;
#[cfg(test)]
mod model_test;
mod names;
mod order;
mod prepared;
mod put;
mod rows;
#[cfg(test)]
mod test;

pub(crate) use check::check_documents;
pub(crate) use mend::{mend_documents, mend_documents_within};
pub(crate) use names::{RowNames, document_in_words, row_value};
#[cfg(feature = "http")]
pub(crate) use prepared::Preparing;
pub(crate) use prepared::{Prepared, PythonSummary};

use std::fmt;
use std::ops::Bound;

use serde_json::Value;

use crate::engine::records::{KeyRange, Records};
use crate::engine::schema::CollectionId;
use crate::engine::view::View;
use crate::engine::write::WriteTx;
use crate::error::Result;
use crate::limits::{self, SOURCE_BYTES as MAX_NAME};
use crate::state::ids::check_new;

/// The identity of a document: its kind and source. So the registries of two bots do not overwrite each other.
///
/// # Examples
///
/// ```
/// let id = hivekeep::DocumentId::new("registry", "service-registry")?;
/// assert_eq!((id.kind(), id.source()), ("registry", "service-registry"));
/// assert_eq!(id.to_string(), "registry/service-registry");
/// # Ok::<(), hivekeep::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DocumentId {
    kind: String,
    source: String,
}

impl DocumentId {
    /// The document of that kind from that source. Any text is accepted.
    ///
    /// # Errors
    ///
    /// `Invalid` when one of the two is longer than 512 bytes.
    pub fn new(kind: impl Into<String>, source: impl Into<String>) -> Result<Self> {
        let id = Self { kind: kind.into(), source: source.into() };
        limits::text("the kind of a document", &id.kind, MAX_NAME)?;
        limits::text("the source of a document", &id.source, MAX_NAME)?;
        Ok(id)
    }

    /// The prefix of the keys of its rows. It is unique to the document.
    pub(crate) fn to_key(&self) -> Vec<u8> {
        rows::key(self)
    }

    /// The document that a row belongs to.
    #[cfg(feature = "replica")]
    pub(crate) fn of_row(key: &[u8]) -> Result<Self> {
        rows::split_key(key).map(|(id, _)| id)
    }

    /// The kind of the document: `registry`, `queue`, `bot_assignments`, `full` or anything else.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The source that handed it over.
    pub fn source(&self) -> &str {
        &self.source
    }
}

/// Kind and source with a slash between them.
impl fmt::Display for DocumentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.source)
    }
}

/// The effect of putting a document, in records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Records that are new or have changed.
    pub put: u64,
    /// Records that were removed.
    pub removed: u64,
    /// Unchanged records.
    pub unchanged: u64,
}

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
    records: R,
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
    fn first(&self, range: &KeyRange) -> Result<Option<DocumentId>> {
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
fn behind(id: &DocumentId) -> Option<KeyRange> {
    match KeyRange::prefix(&rows::key(id)).end {
        Bound::Excluded(behind) => Some(KeyRange::all().from(&behind)),
        _ => None,
    }
}
