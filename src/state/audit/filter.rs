//! Filters for entries.

use jiff::Timestamp;

use super::entry::Entry;
use super::verbs::Audit;
use crate::engine::codec;
use crate::engine::records::{Records, scan_rows};
use crate::engine::schema::Table;
use crate::error::Result;
use crate::state::page::Page;

/// The entries to list. The default is all entries.
///
/// # Examples
///
/// ```
/// use hivekeep::{AuditFilter, Page};
/// use serde_json::json;
///
/// # let dir = tempfile::tempdir().unwrap();
/// # let store = hivekeep::Store::open(dir.path().join("h.redb")).unwrap();
/// store.acting_as("deploy").write(|tx| tx.config().put("limit", &json!(5)))?;
/// let filter = AuditFilter { actor: Some("deploy".into()), ..AuditFilter::default() };
/// assert_eq!(store.view()?.audit().find(&filter, Page::newest(10))?.len(), 1);
/// # Ok::<(), hivekeep::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Only entries of this actor.
    pub actor: Option<String>,
    /// Only entries of this action.
    pub action: Option<String>,
    /// Only entries with this target.
    pub target: Option<String>,
    /// Only entries that were recorded at this time or later.
    pub since: Option<Timestamp>,
}

impl AuditFilter {
    /// Whether an entry is one of them.
    pub fn matches(&self, entry: &Entry) -> bool {
        self.actor.as_ref().is_none_or(|actor| entry.actor == *actor)
            && self.action.as_ref().is_none_or(|action| entry.action == *action)
            && self.target.as_ref().is_none_or(|target| entry.target.as_ref() == Some(target))
            && self.since.is_none_or(|since| entry.recorded >= since)
    }
}

#[expect(private_bounds, reason = "only views and transactions can be read from")]
impl<R: Records> Audit<R> {
    /// A page of the entries that a filter selects. The cost follows the number of entries that are read for it.
    ///
    /// # Errors
    ///
    /// `Damaged` when an entry's bytes are not what was written, `Io`.
    pub fn find(&self, filter: &AuditFilter, page: Page) -> Result<Vec<Entry>> {
        let entries =
            scan_rows(&self.records, Table::Audit, page.range(&[])).map(|row| codec::decode::<Entry>(&row?.1));
        let selected = entries.filter(|entry| entry.as_ref().map_or(true, |entry| filter.matches(entry)));
        selected.take(page.limit()).collect()
    }
}
