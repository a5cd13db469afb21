//! The identity of a document.

use std::fmt;

use crate::error::Result;
use crate::limits::{self, SOURCE_BYTES as MAX_NAME};

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
    pub(super) kind: String,
    pub(super) source: String,
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
