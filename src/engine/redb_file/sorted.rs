//! Writing rows in the order of their keys: many new ones between two that are there go through a cursor, which fills
//! page after page; all others are put one by one.

use std::ops::Bound;

use redb::{CursorError, ReadableTable, Table};

use super::Failure;
use super::definition::Bytes;
use crate::engine::format::row_change::RowChange;

/// So many new rows between two that are there are worth a cursor, which writes the page again on which they begin.
const RUN: usize = 16;
/// So many rows are put one by one before the next look for a run, and then twice as many, and so on.
const FEWEST_SINGLE: usize = 8;
const MOST_SINGLE: usize = 256;

/// Writes rows of one table, which are in the order of their keys.
pub(super) fn put_sorted(table: &mut Table<'_, Bytes, Bytes>, mut rows: &[RowChange<'_>]) -> Result<(), Failure> {
    let mut singly = FEWEST_SINGLE;
    while !rows.is_empty() {
        let run = run_at(table, rows)?;
        let (some, rest) = rows.split_at(if run >= RUN { run } else { singly.min(rows.len()) });
        if run >= RUN {
            put_run(table, some)?;
            singly = FEWEST_SINGLE;
        } else {
            put_singly(table, some)?;
            singly = MOST_SINGLE.min(singly * 2);
        }
        rows = rest;
    }
    Ok(())
}

/// How many of the first rows are new, without a row of the table between them.
fn run_at(table: &Table<'_, Bytes, Bytes>, rows: &[RowChange<'_>]) -> Result<usize, Failure> {
    let is_new = |row: &RowChange<'_>| !row.was_there && row.value.is_some();
    let Some(first) = rows.first_chunk::<RUN>().filter(|first| first.iter().all(is_new)).map(|[first, ..]| first)
    else {
        return Ok(0);
    };
    let behind = table.range::<&[u8]>((Bound::Included(first.key), Bound::Unbounded))?.next().transpose()?;
    let is_before = |key: &[u8]| behind.as_ref().is_none_or(|(behind, _)| key < behind.value());
    Ok(rows.iter().take_while(|row| is_new(row) && is_before(row.key)).count())
}

fn put_run(table: &mut Table<'_, Bytes, Bytes>, rows: &[RowChange<'_>]) -> Result<(), Failure> {
    let Some(first) = rows.first() else { return Ok(()) };
    let mut cursor = table.lower_bound_mut(Bound::Included(first.key))?;
    let mut left = rows;
    while let Some((row, rest)) = left.split_first() {
        match cursor.insert_before(row.key, row.value.unwrap_or_default()) {
            Ok(()) => left = rest,
            Err(CursorError::UnorderedKey) => break,
            Err(CursorError::Storage(error)) => return Err(error.into()),
            Err(error) => return Err(std::io::Error::other(error).into()),
        }
    }
    cursor.close()?;
    // Only over damage is a row there that was not there.
    put_singly(table, left)
}

fn put_singly(table: &mut Table<'_, Bytes, Bytes>, rows: &[RowChange<'_>]) -> Result<(), Failure> {
    for row in rows {
        match row.value {
            Some(value) => drop(table.insert(row.key, value)?),
            None => drop(table.remove(row.key)?),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use redb::backends::InMemoryBackend;
    use redb::{Database, ReadableDatabase};

    use super::super::definition::definition;
    use super::*;
    use crate::engine::format::schema::Table as Stored;

    type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

    /// The table with these rows once such changes were written to it.
    fn written(before: &Rows, changes: &[RowChange<'_>]) -> Rows {
        let database = Database::builder().create_with_backend(InMemoryBackend::new()).unwrap();
        for rows in [&before.iter().map(|(key, value)| put(key, false, value)).collect::<Vec<_>>()[..], changes] {
            let transaction = database.begin_write().unwrap();
            let mut table = transaction.open_table(definition(Stored::Live)).unwrap();
            put_sorted(&mut table, rows).map_err(Failure::into_error).unwrap();
            drop(table);
            transaction.commit().unwrap();
        }
        let table = database.begin_read().unwrap().open_table(definition(Stored::Live)).unwrap();
        let rows = table.iter().unwrap().map(|row| row.map(|(key, value)| (key.value().into(), value.value().into())));
        rows.collect::<Result<_, _>>().unwrap()
    }

    fn put<'r>(key: &'r [u8], was_there: bool, value: &'r [u8]) -> RowChange<'r> {
        RowChange { table: Stored::Live, key, was_there, value: Some(value) }
    }

    fn key(number: u16) -> Vec<u8> {
        number.to_be_bytes().to_vec()
    }

    /// Keys of which many follow each other.
    fn keys() -> impl Strategy<Value = Vec<u16>> {
        let stretch = (0..600u16, 1..80u16).prop_map(|(from, count)| (from..from + count).collect::<Vec<_>>());
        prop::collection::vec(prop_oneof![stretch, (0..600u16).prop_map(|one| vec![one])], 0..12)
            .prop_map(|stretches| stretches.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn rows_that_are_written_in_order_are_there_whichever_way_they_went(
            before in keys(), over in keys(), deleted in keys(), length in 0..300usize,
        ) {
            let before: Rows = before.into_iter().map(|number| (key(number), vec![1; length])).collect();
            let mut changes: BTreeMap<Vec<u8>, Option<Vec<u8>>> = BTreeMap::new();
            changes.extend(over.into_iter().map(|number| (key(number), Some(vec![2; length]))));
            changes.extend(deleted.into_iter().filter(|number| number % 3 == 0).map(|number| (key(number), None)));
            let mut expected = before.clone();
            for (key, value) in &changes {
                match value {
                    Some(value) => _ = expected.insert(key.clone(), value.clone()),
                    None => _ = expected.remove(key),
                }
            }
            let changed: Vec<_> = changes
                .iter()
                .map(|(key, value)| RowChange {
                    table: Stored::Live,
                    key,
                    was_there: before.contains_key(key),
                    value: value.as_deref(),
                })
                .collect();
            prop_assert_eq!(written(&before, &changed), expected);
        }
    }

    #[test]
    fn rows_that_are_there_although_they_should_be_new_are_overwritten() {
        let keys: Vec<_> = (0..100).map(key).collect();
        for there in [0, 1, 50, 99] {
            let before = Rows::from([(key(there), b"old".to_vec())]);
            let changes: Vec<_> = keys.iter().map(|key| put(key, false, b"new")).collect();
            let expected: Rows = keys.iter().map(|key| (key.clone(), b"new".to_vec())).collect();
            assert_eq!(written(&before, &changes), expected, "{there}");
        }
    }
}
