//! Pages: of numbered rows from either end, and of records in the order of their keys.

use std::ops::Bound;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::engine::digest::hex;
use crate::engine::records::{KeyRange, Records, Row, is_full};
use crate::engine::schema::CollectionId;
use crate::error::{Error, Result};

/// A page of messages, audit entries or events, which are numbered in the order in which they were appended.
///
/// The next page begins after the last number of this one: `page.before(n)` when the newest come first,
/// `page.after(n)` when the oldest do.
///
/// # Examples
///
/// ```
/// use hivekeep::Page;
///
/// let newest = Page::newest(50);
/// let the_fifty_before = newest.before(951);
/// let what_came_since = Page::oldest(50).after(1000);
/// # assert_ne!(the_fifty_before, what_came_since);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    after: Option<u64>,
    before: Option<u64>,
    newest_first: bool,
    limit: usize,
}

impl Page {
    /// At most `limit` rows, the newest first.
    #[must_use]
    pub fn newest(limit: usize) -> Self {
        Self { after: None, before: None, newest_first: true, limit }
    }

    /// At most `limit` rows, the oldest first.
    #[must_use]
    pub fn oldest(limit: usize) -> Self {
        Self { newest_first: false, ..Self::newest(limit) }
    }

    /// Only rows with a number above this one.
    #[must_use]
    pub fn after(self, sequence: u64) -> Self {
        Self { after: Some(sequence), ..self }
    }

    /// Only rows with a number below this one.
    #[must_use]
    pub fn before(self, sequence: u64) -> Self {
        Self { before: Some(sequence), ..self }
    }

    /// The rest of the page after a row.
    pub(crate) fn behind(self, sequence: u64) -> Self {
        if self.newest_first { self.before(sequence) } else { self.after(sequence) }
    }

    /// The rest of the page from a row on.
    pub(crate) fn from(self, sequence: u64) -> Self {
        let before = if self.newest_first { sequence.checked_add(1) } else { sequence.checked_sub(1) };
        before.map_or(self, |before| self.behind(before))
    }

    /// Whether the oldest come first, the number behind which the page begins, and the number before which it ends.
    #[cfg(feature = "cli")]
    pub(crate) fn bounds(&self) -> (bool, Option<u64>, Option<u64>) {
        match self.newest_first {
            true => (false, self.before, self.after),
            false => (true, self.after, self.before),
        }
    }

    /// The most rows of the page.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// The keys of the page among those that are `prefix` and a number.
    pub(crate) fn range(&self, prefix: &[u8]) -> KeyRange {
        let key = |sequence| [prefix, &sequence_key(sequence)].concat();
        let mut range = KeyRange::prefix(prefix);
        if let Some(sequence) = self.after {
            range.start = Bound::Excluded(key(sequence));
        }
        if let Some(sequence) = self.before {
            range.end = Bound::Excluded(key(sequence));
        }
        if self.newest_first { range.backward() } else { range }
    }
}

/// Some records in the order of their keys, and the cursor of the next page.
///
/// A page ends early once it contains 4 MiB, or many small values. So a page of long records may contain one record,
/// and the last page may be empty.
///
/// # Examples
///
/// ```
/// use hivekeep::{Bot, BotId, Store};
///
/// # let dir = tempfile::tempdir().unwrap();
/// # let store = Store::open(dir.path().join("hive.redb"))?;
/// for name in ["BOT-1", "BOT-2", "BOT-3"] {
///     store.write(|tx| tx.registry().put(&Bot::new(BotId::new(name)?)))?;
/// }
/// let view = store.view()?;
/// let first = view.registry().page(None, 2)?;
/// let second = view.registry().page(first.next.as_deref(), 2)?;
/// assert_eq!((first.items.len(), second.items.len(), second.next), (2, 1, None));
/// # Ok::<(), hivekeep::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct KeyedPage<T> {
    /// The records.
    pub items: Vec<T>,
    /// The cursor of the next page; none on the last page.
    pub next: Option<String>,
}

impl<T> KeyedPage<T> {
    /// Reads at most `limit` records (at least one) of a range, after the page that returned `cursor`.
    ///
    /// # Errors
    ///
    /// `Invalid` for a cursor that does not come from a page of this list, and as `read`.
    pub(crate) fn read<R: Records>(
        records: &R,
        collection: CollectionId,
        range: KeyRange,
        (cursor, limit): (Option<&str>, usize),
        mut read: impl FnMut(Row) -> Result<T>,
    ) -> Result<Self> {
        let range = cursor.map_or(Ok(range.clone()), |cursor| range.resume(cursor, |_| true))?;
        let limit = limit.max(1);
        let ask = limit.saturating_add(1);
        let rows = records.part(collection, &range, ask)?;
        let mut more = is_full(&rows, ask);
        let (mut page, mut last, mut room) = (Self { items: Vec::new(), next: None }, None, PageRoom::default());
        for row in rows {
            if page.items.len() == limit || room.is_full() {
                more = true;
                break;
            }
            room.take(weight_of(&row.1));
            last = Some(hex(&row.0));
            page.items.push(read(row)?);
        }
        Ok(Self { next: last.filter(|_| more), ..page })
    }
}

/// The remaining space of a page. The page is full once its content exceeds the limit, so it contains at least one
/// record.
pub(crate) struct PageRoom(usize);

/// The limit of a page in bytes, with [`VALUE`] more for each JSON value.
pub(crate) const PAGE_BYTES: usize = 4 << 20;
/// A parsed JSON value takes many times as much memory as the text of a small one.
const VALUE: usize = 8;

impl PageRoom {
    pub(crate) fn take(&mut self, bytes: usize) {
        self.0 = self.0.saturating_sub(bytes);
    }

    pub(crate) fn is_full(&self) -> bool {
        self.0 == 0
    }
}

impl Default for PageRoom {
    fn default() -> Self {
        Self(PAGE_BYTES)
    }
}

/// The weight of a payload. Each JSON value in it follows one of these characters.
pub(crate) fn weight_of(payload: &[u8]) -> usize {
    payload.len() + VALUE * payload.iter().filter(|byte| matches!(byte, b',' | b'[' | b'{')).count()
}

/// How much a JSON value counts.
pub(crate) fn weight_of_value(value: &Value) -> usize {
    VALUE
        + match value {
            Value::Null | Value::Bool(_) => 0,
            Value::Number(number) => number.as_str().len(),
            Value::String(text) => text.len(),
            Value::Array(values) => values.iter().map(weight_of_value).sum(),
            Value::Object(members) => weight_of_members(members),
        }
}

/// The same for the members of an object.
pub(crate) fn weight_of_members(members: &Map<String, Value>) -> usize {
    members.iter().map(|(name, value)| name.len() + weight_of_value(value)).sum()
}

/// The bytes of a number in keys.
pub(crate) fn sequence_key(sequence: u64) -> [u8; 8] {
    sequence.to_be_bytes()
}

/// The number at the end of a key.
pub(crate) fn sequence_of(key: &[u8]) -> Result<u64> {
    let number = key.last_chunk().map(|bytes| u64::from_be_bytes(*bytes));
    number.ok_or_else(|| Error::damaged(format!("a key has no number at its end: key={}", key.escape_ascii())))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::error::ErrorKind;
    use crate::state::ids::BotId;
    use crate::testkit::checked_store::Fixture;

    #[test]
    fn a_page_lies_between_its_ends_without_them() {
        let range = Page::newest(9).after(1).before(5).range(b"p");
        assert_eq!(range.start, Bound::Excluded(b"p\0\0\0\0\0\0\0\x01".to_vec()));
        assert_eq!(range.end, Bound::Excluded(b"p\0\0\0\0\0\0\0\x05".to_vec()));
        assert!(range.backward);
        assert!(!Page::oldest(9).range(b"p").backward);
    }

    #[test]
    fn a_page_that_ends_before_it_begins_holds_nothing() {
        assert!(Page::oldest(9).after(5).before(5).range(b"p").is_empty());
        assert!(Page::oldest(9).after(u64::MAX).range(b"p").start != Bound::Unbounded);
    }

    #[test]
    fn the_rest_of_a_page_begins_at_a_row_or_behind_it() {
        for page in [Page::oldest(9).after(1), Page::newest(9).before(9)] {
            let holds = |page: Page, sequence| {
                let range = page.range(b"p");
                range.holds_in_order(&[([b"p", &sequence_key(sequence)[..]].concat(), Vec::new())])
            };
            assert!(holds(page.from(5), 5) && !holds(page.behind(5), 5));
            assert_eq!([4, 6].map(|at| holds(page.from(5), at)), [4, 6].map(|at| holds(page.behind(5), at)));
            assert_ne!(holds(page.from(5), 4), holds(page.from(5), 6));
        }
        let whole = [Page::oldest(9).from(0).range(b"p").start, Page::newest(9).from(u64::MAX).range(b"p").start];
        assert!(whole.iter().all(|start| *start == Page::oldest(9).range(b"p").start));
    }

    #[test]
    fn pages_hold_every_record_once_in_order_and_take_only_their_own_cursors() {
        let hive = Fixture::new();
        for key in ["a", "b", "c", "d", "e"] {
            hive.write(|tx| tx.config().put(key, &key.into()));
        }
        let view = hive.view();
        for limit in [0, 1, 2, 5, 9] {
            let (mut keys, mut cursor) = (String::new(), None);
            loop {
                let page = view.config().page(cursor.as_deref(), limit).unwrap();
                assert!(page.items.len() <= limit.max(1));
                keys.extend(page.items.into_iter().map(|(key, _)| key));
                cursor = page.next;
                if cursor.is_none() {
                    break;
                }
            }
            assert_eq!(keys, "abcde", "limit {limit}");
        }
        assert_eq!(view.config().page(Some("no cursor"), 2).unwrap_err().kind(), ErrorKind::Invalid);
        let other = BotId::new("BOT-2").unwrap();
        assert!(view.assignments().page(Some(&other), Some(&hex(b"BOT-1\0a")), 2).is_err());
    }

    #[test]
    fn a_page_ends_behind_long_records_and_behind_many_small_values() {
        let hive = Fixture::new();
        for (name, value) in [("long", json!("x".repeat(3 << 20))), ("dense", json!(vec![1; 400_000]))] {
            for n in 0..3 {
                hive.write(|tx| tx.config().put(&format!("{name}{n}"), &value));
            }
            let (view, mut cursor, mut sizes) = (hive.view(), None, Vec::new());
            loop {
                let page = view.config().page(cursor.as_deref(), 100).unwrap();
                sizes.push(page.items.len());
                cursor = page.next;
                if cursor.is_none() {
                    break;
                }
            }
            assert!(sizes.iter().all(|size| *size <= 2) && sizes.iter().sum::<usize>() == 3, "{name}: {sizes:?}");
            for n in 0..3 {
                hive.write(|tx| tx.config().remove(&format!("{name}{n}")));
            }
        }
    }

    #[test]
    fn a_number_is_read_back_from_a_key() {
        assert_eq!(sequence_of(&[b"name", &sequence_key(7)[..]].concat()).unwrap(), 7);
        assert!(sequence_of(b"short").is_err());
    }
}
