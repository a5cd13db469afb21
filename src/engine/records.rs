//! What reading a view and reading inside a write transaction have in common, so that each verb of `state` is written
//! once for both.

use std::ops::{Bound, RangeBounds};

use jiff::Timestamp;

use crate::engine::digest::{Stats, from_hex};
use crate::engine::schema::{CollectionId, Table};
use crate::error::{Error, Result};

/// A key and its payload.
pub(crate) type Row = (Vec<u8>, Vec<u8>);

/// What is called with each key and payload.
pub(crate) type Visit<'v> = dyn FnMut(&[u8], &[u8]) -> Result<()> + 'v;

/// How many rows are fetched at a time by [`scan`], [`scan_rows`] and [`Records::each`].
pub(crate) const PAGE: usize = 256;
/// Fewer are fetched where they are long: none any more once they have so many bytes.
pub(crate) const PAGE_BYTES: usize = 4 << 20;
/// The first page has this many rows, as nothing is known of their length.
pub(crate) const FIRST_PAGE: usize = 16;

/// Reading records, now or as of a point, and the rows of unversioned tables.
pub(crate) trait Records {
    /// The payload of a record; its checksum has been compared.
    fn get(&self, collection: CollectionId, key: &[u8]) -> Result<Option<Vec<u8>>>;

    /// The first records of the range, in its direction, until there are `limit` or they have [`PAGE_BYTES`]; those are
    /// all exactly if they are not [`is_full`].
    fn part(&self, collection: CollectionId, range: &KeyRange, limit: usize) -> Result<Vec<Row>>;

    /// At most `limit` records of the range, in its direction, however long they are.
    fn page(&self, collection: CollectionId, range: &KeyRange, limit: usize) -> Result<Vec<Row>> {
        let mut rows = self.part(collection, range, limit)?;
        let mut full = is_full(&rows, limit);
        while let Some((last, _)) = rows.last().filter(|_| full && rows.len() < limit) {
            let left = limit - rows.len();
            let more = self.part(collection, &range.clone().after(last), left)?;
            full = is_full(&more, left);
            rows.extend(more);
        }
        Ok(rows)
    }

    /// Calls `visit` with every record of the range, in its direction, until it fails.
    fn each(&self, collection: CollectionId, range: KeyRange, visit: &mut Visit<'_>) -> Result<()> {
        paged(range, |range, limit| self.part(collection, range, limit)).try_for_each(|row| {
            let (key, payload) = row?;
            visit(&key, &payload)
        })
    }

    /// Count, bytes and digest of a collection: of now, or, as of a point, those of its manifest.
    fn stats(&self, collection: CollectionId) -> Result<Stats>;

    /// The payload of a row of an unversioned table, always as it is now.
    fn row(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>>;

    /// At most `limit` rows of an unversioned table, always as they are now.
    fn rows(&self, table: Table, range: &KeyRange, limit: usize) -> Result<Vec<Row>>;

    /// The number of a user's collection, when it has been used before.
    fn collection_id(&self, name: &str) -> Result<Option<CollectionId>>;

    /// Whether this reads now, so that the index may be used; it has no past.
    fn is_now(&self) -> bool;

    /// The time now by the store's clock.
    fn now(&self) -> Timestamp;
}

/// A range of keys and the direction in which it is read.
#[derive(Clone, Debug)]
pub(crate) struct KeyRange {
    pub(crate) start: Bound<Vec<u8>>,
    pub(crate) end: Bound<Vec<u8>>,
    pub(crate) backward: bool,
}

impl KeyRange {
    /// Every key.
    pub(crate) fn all() -> Self {
        Self { start: Bound::Unbounded, end: Bound::Unbounded, backward: false }
    }

    /// The keys that begin with `prefix`.
    pub(crate) fn prefix(prefix: &[u8]) -> Self {
        Self { start: Bound::Included(prefix.to_vec()), end: prefix_end(prefix), backward: false }
    }

    /// From the last key to the first.
    #[must_use]
    pub(crate) fn backward(mut self) -> Self {
        self.backward = true;
        self
    }

    /// What is left of the range once `key` has been read.
    #[must_use]
    pub(crate) fn after(mut self, key: &[u8]) -> Self {
        let bound = Bound::Excluded(key.to_vec());
        if self.backward {
            self.end = bound
        } else {
            self.start = bound
        }
        self
    }

    /// What is left of the range behind a page of it, whose last key in hexadecimal digits is the cursor.
    ///
    /// # Errors
    ///
    /// `Invalid` for a cursor that no page has given: its key is not in this range, or does not `fit`.
    pub(crate) fn resume(self, cursor: &str, fits: impl Fn(&[u8]) -> bool) -> Result<Self> {
        let key = from_hex(cursor).filter(|key| self.holds(key) && fits(key));
        let key = key.ok_or_else(|| {
            let cursor = cursor.escape_debug();
            Error::invalid(format!("a cursor is what the page before of the same list gave: cursor={cursor}"))
        })?;
        Ok(self.after(&key))
    }

    /// Whether a key lies in the range.
    fn holds(&self, key: &[u8]) -> bool {
        let bounds = (self.start.as_ref().map(Vec::as_slice), self.end.as_ref().map(Vec::as_slice));
        RangeBounds::<[u8]>::contains(&bounds, key)
    }

    /// Only keys before `key`.
    #[must_use]
    pub(crate) fn until(mut self, key: &[u8]) -> Self {
        self.end = Bound::Excluded(key.to_vec());
        self
    }

    /// Only `key` and those behind it.
    #[must_use]
    pub(crate) fn from(mut self, key: &[u8]) -> Self {
        self.start = Bound::Included(key.to_vec());
        self
    }

    /// The same keys of one collection, as rows of `live`.
    pub(crate) fn within(&self, collection: CollectionId) -> Self {
        let all = Self::prefix(&collection.0.to_be_bytes());
        let row = |bound: &Bound<Vec<u8>>, otherwise: Bound<Vec<u8>>| match bound {
            Bound::Unbounded => otherwise,
            bound => bound.as_ref().map(|key| collection.row_key(key)),
        };
        Self { start: row(&self.start, all.start), end: row(&self.end, all.end), backward: self.backward }
    }

    /// Whether the rows lie in the range and follow one another in its direction.
    pub(crate) fn holds_in_order(&self, rows: &[Row]) -> bool {
        self.holds_keys_in_order(rows.iter().map(|(key, _)| key.as_slice()))
    }

    /// The same for their keys alone.
    pub(crate) fn holds_keys_in_order<'k>(&self, keys: impl DoubleEndedIterator<Item = &'k [u8]> + Clone) -> bool {
        let ends = [keys.clone().next(), keys.clone().next_back()].into_iter().flatten();
        ends.into_iter().all(|key| self.holds(key))
            && keys.is_sorted_by(|one, next| if self.backward { one > next } else { one < next })
    }

    /// Whether no key can be in it, which redb's ranges must not be asked.
    pub(crate) fn is_empty(&self) -> bool {
        match (&self.start, &self.end) {
            (Bound::Included(start), Bound::Included(end)) => start > end,
            (Bound::Included(start) | Bound::Excluded(start), Bound::Included(end) | Bound::Excluded(end)) => {
                start >= end
            }
            _ => false,
        }
    }
}

/// The bound just behind every key that begins with `prefix`.
fn prefix_end(prefix: &[u8]) -> Bound<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return Bound::Excluded(end);
        }
    }
    Bound::Unbounded
}

/// Every record of a range, fetched in pages. Records that are put or removed on the way may or may not be seen.
pub(crate) fn scan<R: Records + ?Sized>(
    records: &R,
    collection: CollectionId,
    range: KeyRange,
) -> impl Iterator<Item = Result<Row>> {
    paged(range, move |range, limit| records.part(collection, range, limit))
}

/// Whether there may be more behind the rows, of which `limit` were asked for.
pub(crate) fn is_full(rows: &[Row], limit: usize) -> bool {
    rows.len() >= limit || rows.iter().map(bytes_of).sum::<usize>() >= PAGE_BYTES
}

fn bytes_of((key, payload): &Row) -> usize {
    key.len() + payload.len()
}

/// Records as [`Records::part`] gives them, made of rows that `fetch` gives in the same way, but which may be shorter than
/// the records are. What `record` gives nothing for is none.
pub(crate) fn part_of(
    mut range: KeyRange,
    limit: usize,
    fetch: impl Fn(&KeyRange, usize) -> Result<Vec<Row>>,
    record: impl Fn(Row) -> Result<Option<Row>>,
) -> Result<Vec<Row>> {
    let (mut records, mut bytes) = (Vec::new(), 0);
    while records.len() < limit {
        let left = limit - records.len();
        let rows = fetch(&range, left)?;
        let ends = !is_full(&rows, left);
        let Some((last, _)) = rows.last() else { break };
        range = range.after(last);
        for row in rows {
            let Some(record) = record(row)? else { continue };
            bytes += bytes_of(&record);
            records.push(record);
            if bytes >= PAGE_BYTES {
                return Ok(records);
            }
        }
        if ends {
            break;
        }
    }
    Ok(records)
}

/// Reads a page, of so many rows, of what is left of a range, and leaves what is behind it.
pub(crate) fn next_page(
    rest: &mut Option<KeyRange>,
    limit: &mut usize,
    fetch: impl FnOnce(&KeyRange, usize) -> Result<Vec<Row>>,
) -> Result<Vec<Row>> {
    let Some(range) = rest.take() else { return Ok(Vec::new()) };
    let rows = fetch(&range, *limit)?;
    *rest = rows.last().filter(|_| is_full(&rows, *limit)).map(|(key, _)| range.after(key));
    *limit = next_limit(&rows);
    Ok(rows)
}

/// Every row of a range of an unversioned table, fetched in pages.
pub(crate) fn scan_rows<R: Records + ?Sized>(
    records: &R,
    table: Table,
    range: KeyRange,
) -> impl Iterator<Item = Result<Row>> {
    paged(range, move |range, limit| records.rows(table, range, limit))
}

/// Turns pages into one iterator, which ends after the first error.
fn paged(range: KeyRange, fetch: impl Fn(&KeyRange, usize) -> Result<Vec<Row>>) -> impl Iterator<Item = Result<Row>> {
    let mut rest = Some(range);
    let mut limit = FIRST_PAGE;
    let mut page = Vec::new().into_iter();
    std::iter::from_fn(move || {
        loop {
            if let Some(row) = page.next() {
                return Some(Ok(row));
            }
            match next_page(&mut rest, &mut limit, &fetch) {
                Err(error) => return Some(Err(error)),
                Ok(rows) if rows.is_empty() => return None,
                Ok(rows) => page = rows.into_iter(),
            }
        }
    })
}

/// How many rows the page behind these has, if they are as long.
fn next_limit(rows: &[Row]) -> usize {
    let bytes: usize = rows.iter().map(bytes_of).sum();
    (PAGE_BYTES * rows.len()).checked_div(bytes).unwrap_or(PAGE).clamp(1, PAGE)
}

/// Lets a handle own or borrow what it reads from.
macro_rules! forward_records {
    ($($pointer:ty),*) => {$(
        impl<R: Records + ?Sized> Records for $pointer {
            fn get(&self, collection: CollectionId, key: &[u8]) -> Result<Option<Vec<u8>>> {
                (**self).get(collection, key)
            }
            fn part(&self, collection: CollectionId, range: &KeyRange, limit: usize) -> Result<Vec<Row>> {
                (**self).part(collection, range, limit)
            }
            fn each(
                &self,
                collection: CollectionId,
                range: KeyRange,
                visit: &mut Visit<'_>,
            ) -> Result<()> {
                (**self).each(collection, range, visit)
            }
            fn stats(&self, collection: CollectionId) -> Result<Stats> {
                (**self).stats(collection)
            }
            fn row(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>> {
                (**self).row(table, key)
            }
            fn rows(&self, table: Table, range: &KeyRange, limit: usize) -> Result<Vec<Row>> {
                (**self).rows(table, range, limit)
            }
            fn collection_id(&self, name: &str) -> Result<Option<CollectionId>> {
                (**self).collection_id(name)
            }
            fn is_now(&self) -> bool {
                (**self).is_now()
            }
            fn now(&self) -> Timestamp {
                (**self).now()
            }
        }
    )*};
}

forward_records!(&R, &mut R);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::commit::Outcome;
    use crate::engine::digest::hex;
    use crate::engine::store::Store;
    use crate::engine::write::WriteTx;

    #[test]
    fn the_end_of_a_prefix_is_behind_every_key_that_begins_with_it() {
        assert_eq!(prefix_end(b"ab"), Bound::Excluded(b"ac".to_vec()));
        assert_eq!(prefix_end(b"a\xff"), Bound::Excluded(b"b".to_vec()));
        assert_eq!(prefix_end(b"\xff\xff"), Bound::Unbounded);
        assert_eq!(prefix_end(b""), Bound::Unbounded);
    }

    #[test]
    fn the_longer_rows_are_the_fewer_are_fetched_at_a_time() {
        let row = |i: u8| (vec![i], vec![i; if i < 100 { 10 } else { 1 << 20 }]);
        let all: Vec<Row> = (0..200).map(row).collect();
        let asked = std::cell::RefCell::new(Vec::new());
        let fetch = |range: &KeyRange, limit: usize| {
            asked.borrow_mut().push(limit);
            let bounds = (range.start.as_ref().map(Vec::as_slice), range.end.as_ref().map(Vec::as_slice));
            let inside = all.iter().filter(|(key, _)| RangeBounds::<[u8]>::contains(&bounds, key.as_slice()));
            Ok(inside.take(limit).cloned().collect())
        };
        let met: Vec<u8> = paged(KeyRange::all(), fetch).map(|row| row.unwrap().0[0]).collect();
        assert_eq!(met, (0..200).collect::<Vec<_>>());
        let asked = asked.into_inner();
        assert_eq!((asked[0], asked[1]), (FIRST_PAGE, PAGE));
        assert!(next_limit(&all[100..]) <= PAGE_BYTES >> 20);
        assert_eq!((next_limit(&[]), next_limit(&[(vec![0; 9 << 20], Vec::new())])), (PAGE, 1));
    }

    #[test]
    fn long_records_are_fetched_a_few_at_a_time_now_and_of_the_past_and_none_is_missed() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::options().open_with(&folder.path().join("h.redb"), &[]).unwrap();
        let collection = CollectionId::CONFIG;
        let key = |i: usize| u32::try_from(i).unwrap().to_be_bytes();
        // Short ones, long ones, ones that are cut into pieces, and removed ones among them.
        let len = |i: usize| [9, 1 << 20, 3 << 20, 700 << 10, 5 << 20][i / 10 % 5];
        let removed = |i: usize| i % 7 == 3;
        store.write(|tx| (0..60).try_for_each(|i| tx.put(collection, &key(i), &vec![7; len(i)]))).unwrap();
        let epoch = store.alone(|tx| tx.seal_commit().map(Outcome::Commit)).unwrap();
        let remove = |tx: &mut WriteTx<'_>| {
            (0..60).filter(|i| removed(*i)).try_for_each(|i| tx.remove(collection, &key(i)).map(drop))
        };
        store.write(remove).unwrap();
        let (now, then) = (store.view().unwrap(), store.view_at(epoch).unwrap());
        let left: Vec<_> = (0..60).filter(|i| !removed(*i)).collect();
        let all: Vec<_> = (0..60).collect();
        let look = |records: &dyn Records, expected: &[usize]| {
            for backward in [false, true] {
                let range = KeyRange { backward, ..KeyRange::all() };
                let mut expected: Vec<_> = expected.iter().map(|i| (key(*i).to_vec(), len(*i))).collect();
                if backward {
                    expected.reverse();
                }
                let short = |(key, payload): Row| (key, payload.len());
                let mut part = records.part(collection, &range, PAGE).unwrap();
                let last = part.pop().map_or(0, |row| bytes_of(&row));
                assert!(part.iter().map(bytes_of).sum::<usize>() < PAGE_BYTES && last > 0);
                assert_eq!(
                    records.page(collection, &range, 40).unwrap().into_iter().map(short).collect::<Vec<_>>(),
                    expected[..40]
                );
                let mut met = Vec::new();
                let visit = &mut |key: &[u8], payload: &[u8]| {
                    met.push((key.to_vec(), payload.len()));
                    Ok(())
                };
                records.each(collection, range.clone(), visit).unwrap();
                assert_eq!(met, expected);
                assert_eq!(
                    paged(range, |range, limit| records.part(collection, range, limit))
                        .map(|row| short(row.unwrap()))
                        .collect::<Vec<_>>(),
                    expected
                );
            }
        };
        look(&now, &left);
        look(&then, &all);
        let look_within = |tx: &mut WriteTx<'_>| {
            look(tx, &left);
            Ok(())
        };
        store.write(look_within).unwrap();
        let mut readable = Vec::new();
        let visit = &mut |key: &[u8], payload: Option<&[u8]>| {
            readable.push((key.to_vec(), payload.unwrap().len()));
            Ok(())
        };
        then.each_readable(collection, visit).unwrap();
        assert_eq!(readable, all.iter().map(|i| (key(*i).to_vec(), len(*i))).collect::<Vec<_>>());
    }

    #[test]
    fn every_record_is_met_once_while_each_is_changed() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::options().open_with(&folder.path().join("h.redb"), &[]).unwrap();
        let collection = CollectionId::CONFIG;
        let changed = store.load(|tx| {
            (0..700u32).try_for_each(|i| tx.put(collection, &i.to_be_bytes(), &vec![0; (i as usize * 131) % 9000]))?;
            let mut met = Vec::new();
            tx.each_to_change(collection, |tx, key, payload| {
                met.push(u32::from_be_bytes(key.try_into().unwrap()));
                tx.put(collection, key, &[payload, b"!"].concat())
            })?;
            assert_eq!(met, (0..700).collect::<Vec<_>>());
            Ok(scan(tx, collection, KeyRange::all()).filter(|row| row.as_ref().unwrap().1.ends_with(b"!")).count())
        });
        assert_eq!(changed.unwrap(), 700);
    }

    #[test]
    fn rows_that_would_lead_back_are_not_in_order() {
        let rows = |keys: &str| keys.bytes().map(|key| (vec![key], Vec::new())).collect::<Vec<_>>();
        let forward = KeyRange::all().after(b"b");
        assert!(forward.holds_in_order(&rows("")) && forward.holds_in_order(&rows("cde")));
        for wrong in ["bcd", "ced", "cc", "a", "cda"] {
            assert!(!forward.holds_in_order(&rows(wrong)), "{wrong}");
        }
        let backward = KeyRange::all().backward().after(b"d");
        assert!(backward.holds_in_order(&rows("cba")));
        for wrong in ["dcb", "bc", "e"] {
            assert!(!backward.holds_in_order(&rows(wrong)), "{wrong}");
        }
    }

    #[test]
    fn a_range_that_holds_no_key_says_so() {
        assert!(KeyRange::prefix(b"a").until(b"a").is_empty());
        assert!(!KeyRange::prefix(b"a").is_empty());
        assert!(!KeyRange::all().is_empty());
    }

    #[test]
    fn a_cursor_goes_on_behind_its_key_and_one_of_another_range_is_refused() {
        let range = KeyRange::prefix(b"q\x04");
        let rest = range.clone().resume(&hex(b"q\x04\xff"), |_| true).unwrap();
        assert_eq!((rest.start, rest.end), (Bound::Excluded(b"q\x04\xff".to_vec()), range.end.clone()));
        for wrong in ["0", "zz", "é", "+1", "7103", "7105", "00", ""] {
            let error = range.clone().resume(wrong, |_| true).unwrap_err();
            assert_eq!(error.kind(), crate::error::ErrorKind::Invalid, "{wrong}");
        }
        assert!(range.resume("7104ff", |key| key.len() < 3).is_err());
    }
}
