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
    /// Only entries of this bot: those of which it is the actor or the target.
    pub bot: Option<String>,
    /// Only entries that were recorded at this time or later.
    pub since: Option<Timestamp>,
}

impl AuditFilter {
    /// Whether an entry is one of them.
    pub fn matches(&self, entry: &Entry) -> bool {
        self.actor.as_ref().is_none_or(|actor| entry.actor == *actor)
            && self.action.as_ref().is_none_or(|action| entry.action == *action)
            && self.target.as_ref().is_none_or(|target| entry.target.as_ref() == Some(target))
            && self.bot.as_ref().is_none_or(|bot| entry.actor == *bot || entry.target.as_ref() == Some(bot))
            && self.since.is_none_or(|since| entry.recorded >= since)
    }
}

#[expect(private_bounds, reason = "only views and transactions can be read from")]
impl<R: Records> Audit<R> {
    /// A page of the entries that a filter selects. The cost follows the number of entries that are read for it.
    ///
    /// # Errors
    ///
    /// `Damaged` when an entry's bytes differ from the written ones, `Io`.
    pub fn find(&self, filter: &AuditFilter, page: Page) -> Result<Vec<Entry>> {
        let entries =
            scan_rows(&self.records, Table::Audit, page.range(&[])).map(|row| codec::decode::<Entry>(&row?.1));
        let selected = entries.filter(|entry| entry.as_ref().map_or(true, |entry| filter.matches(entry)));
        selected.take(page.limit()).collect()
    }

    /// The same, but it looks at no more than `looks` entries. The number of the last one comes with the page if it
    /// stopped there.
    #[cfg(feature = "http")]
    pub(crate) fn find_within(
        &self,
        filter: &AuditFilter,
        page: Page,
        looks: usize,
    ) -> Result<(Vec<Entry>, Option<u64>)> {
        let (mut found, mut looked) = (Vec::new(), 0);
        for row in scan_rows(&self.records, Table::Audit, page.range(&[])) {
            if found.len() == page.limit() {
                break;
            }
            let entry = codec::decode::<Entry>(&row?.1)?;
            let number = entry.sequence;
            if filter.matches(&entry) {
                found.push(entry);
            }
            looked += 1;
            if looked == looks && found.len() < page.limit() {
                return Ok((found, Some(number)));
            }
        }
        Ok((found, None))
    }
}

#[cfg(all(test, feature = "http"))]
mod tests {
    use super::*;
    use crate::state::audit::NewEntry;
    use crate::testkit::checked_store::Fixture;

    #[test]
    fn the_entries_of_a_bot_are_found_by_actor_and_target_within_a_bounded_look() {
        let hive = Fixture::new();
        for (actor, target) in [("BOT-1", ""), ("ann", "BOT-1"), ("ann", "BOT-2"), ("BOT-2", "BOT-1"), ("BOT-2", "x")] {
            hive.write(|tx| tx.audit().append(NewEntry { target: Some(target.into()), ..NewEntry::new("act", actor) }));
        }
        let filter = AuditFilter { bot: Some("BOT-1".into()), ..AuditFilter::default() };
        let view = hive.view();
        let numbers = |found: &[Entry]| found.iter().map(|entry| entry.sequence).collect::<Vec<_>>();
        assert_eq!(numbers(&view.audit().find(&filter, Page::newest(9)).unwrap()), [4, 2, 1]);
        let (first, stopped) = view.audit().find_within(&filter, Page::newest(9), 3).unwrap();
        assert_eq!((numbers(&first), stopped), (vec![4], Some(3)));
        let (rest, stopped) = view.audit().find_within(&filter, Page::newest(9).before(3), 3).unwrap();
        assert_eq!((numbers(&rest), stopped), (vec![2, 1], None));
        let (full, stopped) = view.audit().find_within(&filter, Page::newest(1), 3).unwrap();
        assert_eq!((numbers(&full), stopped), (vec![4], None));
    }
}
