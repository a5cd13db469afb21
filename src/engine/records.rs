//! The common part of reading a view and reading inside a write transaction, so that each verb of `state` is written
//! once for both.

use jiff::Timestamp;

use crate::engine::format::digest::Stats;
use crate::engine::format::schema::{CollectionId, Table};
use crate::engine::rows::paged;
pub(crate) use crate::engine::rows::{FIRST_PAGE, KeyRange, Row, foreign_cursor, is_full, next_page};
use crate::error::Result;

/// A callback for each key and payload.
pub(crate) type Visit<'v> = dyn FnMut(&[u8], &[u8]) -> Result<()> + 'v;

/// Reading records, now or as of a point, and the rows of unversioned tables.
pub(crate) trait Records {
    /// The payload of a record; its checksum has been compared.
    fn get(&self, collection: CollectionId, key: &[u8]) -> Result<Option<Vec<u8>>>;

    /// The first records of the range, in its direction, until there are `limit` or they have
    /// [`PAGE_BYTES`](crate::engine::rows::PAGE_BYTES); those are all exactly if they are not [`is_full`].
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

    /// The number of a collection: built in, or a user's, when it has been used before.
    fn collection_id(&self, name: &str) -> Result<Option<CollectionId>> {
        if let Some(id) = CollectionId::built_in(name) {
            return Ok(Some(id));
        }
        let row = self.row(Table::Collections, name.as_bytes())?;
        row.map(|bytes| CollectionId::of_bytes(&bytes)).transpose()
    }

    /// Whether this reads now, so that the index may be used; it has no past.
    fn is_now(&self) -> bool;

    /// The time now by the store's clock.
    fn now(&self) -> Timestamp;
}

/// Every record of a range, fetched in pages. Records that are put or removed on the way may or may not be seen.
pub(crate) fn scan<R: Records + ?Sized>(
    records: &R,
    collection: CollectionId,
    range: KeyRange,
) -> impl Iterator<Item = Result<Row>> {
    paged(range, move |range, limit| records.part(collection, range, limit))
}

/// Every row of a range of an unversioned table, fetched in pages.
pub(crate) fn scan_rows<R: Records + ?Sized>(
    records: &R,
    table: Table,
    range: KeyRange,
) -> impl Iterator<Item = Result<Row>> {
    paged(range, move |range, limit| records.rows(table, range, limit))
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
    use crate::engine::rows::{PAGE_BYTES, ROWS_PER_READ};
    use crate::engine::store::Store;
    use crate::engine::write::WriteTx;

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
                let mut part = records.part(collection, &range, ROWS_PER_READ).unwrap();
                let bytes_of = |(key, payload): &Row| key.len() + payload.len();
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
}
