//! Differences between two points in pages: the numbers of all of them, and the values of a few.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::engine::digest::{from_hex, hex};
use crate::engine::epoch::Epoch;
use crate::engine::point::Scope;
use crate::engine::records::foreign_cursor;
use crate::engine::schema::{CollectionId, Place};
use crate::engine::store::Store;
use crate::engine::view::View;
use crate::error::Result;
use crate::recovery::diff::{Change, ChangeKind, Counts, change, kind, lost_at_both};
use crate::recovery::points::names::{Names, names};
use crate::recovery::points::selector::Selector;
use crate::state::page::{PAGE_BYTES, weight_of};
use crate::state::show::Show;

/// The differences to list. The default lists all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiffFilter {
    /// Only records of this collection.
    pub collection: Option<String>,
    /// Only records whose key begins with this text.
    pub prefix: Option<String>,
}

/// A page of differences, and the numbers of all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DiffPage {
    /// The records that differ, in the order of their stored keys.
    pub changes: Vec<Change>,
    /// The numbers of records that differ in each collection, listed or not.
    pub counts: BTreeMap<String, Counts>,
    /// The number of all records that differ, listed or not.
    pub total: u64,
    /// The cursor of the next page; none on the last page.
    pub next: Option<String>,
}

/// A record that differs, as it was met.
struct Met {
    before: Option<Vec<u8>>,
    after: Option<Vec<u8>>,
    is_lost: bool,
}

impl Met {
    /// How much it counts in a page.
    fn weight(&self) -> usize {
        [&self.before, &self.after].into_iter().flatten().map(|payload| weight_of(payload)).sum()
    }
}

impl Store {
    /// A page of at most `limit` changes (at least one, fewer if they are long) from one point to another, or to the
    /// present. Memory holds the
    /// values of one page, however many records differ; the time follows their number.
    ///
    /// # Errors
    ///
    /// As [`Store::diff`]; `Invalid` for a cursor that no page has given, and for an unknown collection.
    ///
    /// # Examples
    ///
    /// ```
    /// use hivekeep::{DiffFilter, Selector};
    ///
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = hivekeep::Store::open(dir.path().join("h.redb")).unwrap();
    /// let point = store.restore_point("before")?;
    /// store.write(|tx| {
    ///     tx.config().put("limit", &serde_json::json!(5))?;
    ///     tx.config().put("name", &serde_json::json!("ant"))
    /// })?;
    /// let first = store.diff_page((&point, Selector::Now), &DiffFilter::default(), None, 1)?;
    /// assert_eq!((first.changes[0].key.as_str(), first.total), ("limit", 2));
    /// let second = store.diff_page((&point, Selector::Now), &DiffFilter::default(), first.next.as_deref(), 1)?;
    /// assert_eq!((second.changes[0].key.as_str(), second.next), ("name", None));
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn diff_page(
        &self,
        (from, to): (impl Into<Selector>, impl Into<Selector>),
        filter: &DiffFilter,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<DiffPage> {
        let view = self.view()?;
        let (from, to) = (view.resolve(&from.into())?.epoch(), view.resolve(&to.into())?.epoch());
        let names = names(&view)?;
        let mut window = Window::new(filter, &names, cursor, limit)?;
        let past = |epoch| if epoch == Epoch::NOW { Ok(None) } else { self.view_at(epoch).map(Some) };
        let (old, new) = (past(from)?, past(to)?);
        let (mut old, mut new) = (Show::new(old.as_ref().unwrap_or(&view)), Show::new(new.as_ref().unwrap_or(&view)));
        let (lost_old, lost_new) = (view.lost_rows(from)?, view.lost_rows(to)?);
        let mut page = DiffPage::default();
        view.each_difference(from.min(to), from.max(to), &Scope::default(), |row, then, now| {
            let collection = Place::of_record(row).collection;
            if collection == CollectionId::CHUNKS {
                return Ok(());
            }
            let (before, after) = if from <= to { (then, now) } else { (now, then) };
            let is_lost = before.is_none() && lost_old.contains(row) || after.is_none() && lost_new.contains(row);
            // The header row of a document may differ in the number of its elements only, which is no change.
            if collection == CollectionId::DOCUMENTS
                && change(&names, row, (&mut old, before.clone()), (&mut new, after.clone()))?.is_none()
            {
                return Ok(());
            }
            page.total += 1;
            let found = if is_lost { ChangeKind::Lost } else { kind(before.is_some(), after.is_some()) };
            page.counts.entry(names.of(collection)).or_default().count(found);
            window.add(row, Met { before, after, is_lost });
            Ok(())
        })?;
        view.each_lost_at_both((from, &lost_old), (to, &lost_new), |row| {
            page.total += 1;
            window.add(row, Met { before: None, after: None, is_lost: true });
        })?;
        page.counts.retain(|_, counts| counts.total() > 0);
        page.next = window.next();
        page.changes = window.changes(&names, &mut old, &mut new)?;
        Ok(page)
    }
}

/// The records of one page: those that the filter lists, the first ones behind the cursor.
struct Window<'f> {
    only: Option<CollectionId>,
    prefix: Option<&'f str>,
    /// The last row of the page before.
    after: Option<Vec<u8>>,
    limit: usize,
    met: BTreeMap<Vec<u8>, Met>,
    bytes: usize,
    /// Whether records are left for the next page.
    is_cut: bool,
}

impl<'f> Window<'f> {
    fn new(filter: &'f DiffFilter, names: &Names, cursor: Option<&str>, limit: usize) -> Result<Self> {
        let only = filter.collection.as_deref().map(|name| names.of_record(name)).transpose()?;
        let (prefix, after) = (filter.prefix.as_deref(), cursor.map(read_cursor).transpose()?);
        Ok(Self { only, prefix, after, limit: limit.max(1), met: BTreeMap::new(), bytes: 0, is_cut: false })
    }

    /// Adds a record, if it is listed behind the cursor. The last ones leave a window that is too long.
    fn add(&mut self, row: &[u8], met: Met) {
        let Place { collection, key, .. } = Place::of_record(row);
        let is_listed = self.only.is_none_or(|only| only == collection)
            && self.prefix.is_none_or(|prefix| key.starts_with(prefix.as_bytes()))
            && self.after.as_ref().is_none_or(|last| row > last.as_slice());
        if !is_listed {
            return;
        }
        self.bytes += met.weight();
        self.met.insert(row.to_vec(), met);
        while self.met.len() > self.limit || (self.bytes > PAGE_BYTES && self.met.len() > 1) {
            self.bytes -= self.met.pop_last().map_or(0, |(_, met)| met.weight());
            self.is_cut = true;
        }
    }

    /// The cursor of the next page.
    fn next(&self) -> Option<String> {
        self.met.last_key_value().filter(|_| self.is_cut).map(|(row, _)| hex(row))
    }

    /// The records as they are shown.
    fn changes(self, names: &Names, old: &mut Show<'_, View>, new: &mut Show<'_, View>) -> Result<Vec<Change>> {
        let mut changes = Vec::new();
        for (row, Met { before, after, is_lost }) in self.met {
            if before.is_none() && after.is_none() {
                changes.push(lost_at_both(names, &row));
                continue;
            }
            let mut shown = change(names, &row, (old, before), (new, after))?;
            if let Some(shown) = shown.as_mut().filter(|_| is_lost) {
                shown.change = ChangeKind::Lost;
            }
            changes.extend(shown);
        }
        Ok(changes)
    }
}

fn read_cursor(cursor: &str) -> Result<Vec<u8>> {
    let row = from_hex(cursor).filter(|row| CollectionId::split_row_key(row).is_some());
    row.ok_or_else(|| foreign_cursor(cursor))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::state::queue::NewTask;
    use crate::testkit::checked_store::Fixture;

    /// Two points, with records that were added, changed and removed between them and since.
    fn hive() -> Fixture {
        let hive = Fixture::new();
        let put = |from: u32, to: u32, value: u32| {
            hive.write(|tx| (from..to).try_for_each(|key| tx.config().put(&format!("k{key:02}"), &json!(value))));
        };
        put(0, 12, 0);
        hive.store.restore_point("one").unwrap();
        put(6, 18, 1);
        hive.write(|tx| tx.config().remove("k00"));
        hive.write(|tx| tx.queue().enqueue(NewTask::new("work")));
        hive.store.restore_point("two").unwrap();
        put(0, 3, 2);
        hive
    }

    #[test]
    fn the_pages_of_a_difference_hold_all_of_it_once_in_both_directions() {
        let hive = hive();
        let selector = |text: &str| text.parse::<Selector>().unwrap();
        for (from, to) in [("latest~1", "now"), ("latest~1", "latest"), ("latest", "latest~1"), ("now", "latest~1")] {
            let whole = hive.store.diff(selector(from), selector(to)).unwrap();
            for limit in [1, 3, 100] {
                let (mut changes, mut cursor) = (Vec::new(), None);
                loop {
                    let ends = (selector(from), selector(to));
                    let page = hive.store.diff_page(ends, &DiffFilter::default(), cursor.as_deref(), limit).unwrap();
                    assert!(page.changes.len() <= limit);
                    assert_eq!((page.counts, page.total), (whole.counts(), whole.changes.len() as u64));
                    changes.extend(page.changes);
                    cursor = page.next;
                    if cursor.is_none() {
                        break;
                    }
                }
                changes.sort_by(|a, b| (&a.collection, &a.key).cmp(&(&b.collection, &b.key)));
                assert_eq!(changes, whole.changes, "{from} {to} {limit}");
            }
        }
    }

    #[test]
    fn a_filter_lists_its_part_and_the_numbers_stay_those_of_all() {
        let hive = hive();
        let page = |filter: DiffFilter| {
            hive.store.diff_page((Selector::Latest(1), Selector::Now), &filter, None, 100).unwrap()
        };
        let all = page(DiffFilter::default());
        let config = page(DiffFilter { collection: Some("config".into()), prefix: Some("k1".into()) });
        assert_eq!(config.total, all.total);
        assert_eq!(config.changes.len(), 8);
        assert!(config.changes.iter().all(|own| own.collection == "config" && own.key.starts_with("k1")));
        let wrong = |filter: DiffFilter, cursor| {
            hive.store.diff_page((Selector::Latest(1), Selector::Now), &filter, cursor, 1).unwrap_err().kind()
        };
        assert_eq!(wrong(DiffFilter::default(), Some("xy")), crate::error::ErrorKind::Invalid);
        let unknown = DiffFilter { collection: Some("jobs".into()), ..DiffFilter::default() };
        assert_eq!(wrong(unknown, None), crate::error::ErrorKind::Invalid);
    }
}
