//! Walking every row of a table on all cores: from the pages of the file, or through redb. For redb the keys are cut
//! into ranges; after some batches a worker returns two halves of the rest of its range.

use std::ops::{Bound, ControlFlow};

use crate::engine::format::schema::Table;
use crate::engine::pool::Pool;
use crate::engine::rows::{BatchSize, KeyRange};
use crate::engine::view::View;
use crate::error::{Error, Result};

/// Rows that are read at a time, unless they reach a number of bytes first.
const BATCH: BatchSize = BatchSize { rows: 256, bytes: 2 << 20 };
/// After this many batches, a worker gives back the rest of its range.
const BATCHES: usize = 16;

/// How rows are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Reads the pages of the file directly, in two thirds of the time. A clean result is trusted; a finding may come
    /// from this way of reading, and is checked again through redb.
    Pages,
    /// Reads through redb, which alone decides what is damaged.
    Redb,
}

/// Calls `row` with every row of a table, in no order, each worker with a `T` of its own; returns these.
/// `tick` gets the number of rows that are done.
///
/// # Errors
///
/// The first error that `row` or `tick` gives, `Damaged` before others; `Conflict` when the view has no pages to be
/// read.
pub(crate) fn walk<T: Default + Send>(
    view: &View,
    way: Way,
    table: Table,
    tick: &(dyn Fn(u64) -> Result<()> + Sync),
    row: impl Fn(&mut T, &[u8], &[u8]) -> Result<()> + Sync,
) -> Result<Vec<T>> {
    match (way, view.snapshot()) {
        (Way::Pages, Some(snapshot)) => snapshot.walk(table, tick, row),
        (Way::Pages, None) => Err(Error::conflict("the pages of the file cannot be read past redb")),
        (Way::Redb, _) => walk_redb(view, table, tick, row),
    }
}

fn walk_redb<T: Default + Send>(
    view: &View,
    table: Table,
    tick: &(dyn Fn(u64) -> Result<()> + Sync),
    row: impl Fn(&mut T, &[u8], &[u8]) -> Result<()> + Sync,
) -> Result<Vec<T>> {
    let pool = Pool::of(all_of(view, table)?);
    pool.run(
        || Ok(T::default()),
        |made, range| {
            let rest = walk_range(view, table, range, tick, |key, bytes| row(made, key, bytes))?;
            pool.give_back(rest);
            Ok(())
        },
    )
}

/// All of a table, from its first key to its last.
fn all_of(view: &View, table: Table) -> Result<Vec<KeyRange>> {
    let end = |range| Ok::<_, Error>(view.stored().first(table, &range)?.map(|(key, _)| Bound::Included(key)));
    let ends = end(KeyRange::all())?.zip(end(KeyRange::all().backward())?);
    Ok(ends.map(|(start, end)| KeyRange { start, end, backward: false }).into_iter().collect())
}

/// Walks a part of a range; returns the rest.
fn walk_range(
    view: &View,
    table: Table,
    range: KeyRange,
    tick: &(dyn Fn(u64) -> Result<()> + Sync),
    mut row: impl FnMut(&[u8], &[u8]) -> Result<()>,
) -> Result<Vec<KeyRange>> {
    let (mut batches, mut last) = (0, Vec::new());
    view.stored().each_batch(table, range.clone(), BATCH, |batch| {
        batch.iter().try_for_each(|met| row(met.key(), met.value()))?;
        tick(batch.len() as u64)?;
        batches += 1;
        if batches < BATCHES {
            return Ok(ControlFlow::Continue(()));
        }
        last = batch.last().map(|met| met.key().to_vec()).unwrap_or_default();
        Ok(ControlFlow::Break(()))
    })?;
    Ok(if batches < BATCHES { Vec::new() } else { halves(&range, &last) })
}

/// The rest of a range behind `last`, in two halves if there is a key between.
fn halves(range: &KeyRange, last: &[u8]) -> Vec<KeyRange> {
    let rest = range.clone().after(last);
    let high = match &range.end {
        Bound::Included(end) | Bound::Excluded(end) => end.as_slice(),
        Bound::Unbounded => &[u8::MAX],
    };
    let middle = middle(last, high);
    let halves = if last < middle.as_slice() && middle.as_slice() < high {
        vec![rest.clone().from(&middle), rest.until(&middle)]
    } else {
        vec![rest]
    };
    halves.into_iter().filter(|half| !half.is_empty()).collect()
}

/// The key half-way between two, as numbers of eight bytes behind their common beginning.
fn middle(low: &[u8], high: &[u8]) -> Vec<u8> {
    let common = low.iter().zip(high).take_while(|(low, high)| low == high).count();
    let number = |key: &[u8]| {
        let mut bytes = [0; 8];
        bytes.iter_mut().zip(key.iter().skip(common)).for_each(|(byte, of_key)| *byte = *of_key);
        u64::from_be_bytes(bytes)
    };
    let (from, to) = (number(low), number(high));
    let middle = from + to.saturating_sub(from) / 2;
    [low.get(..common).unwrap_or_default(), &middle.to_be_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::format::schema::CollectionId;
    use crate::engine::store::Store;

    #[test]
    fn every_row_is_walked_once_however_unevenly_the_keys_lie() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::options().open_with(&folder.path().join("h.redb"), &[]).unwrap();
        let number = |i: u32| i.to_be_bytes().to_vec();
        let keys = (0..9000u32)
            .flat_map(|i| [number(i), number(i.wrapping_mul(0x9E37_79B9)), [&[7; 40][..], &number(i)].concat()])
            .chain([Vec::new(), vec![0; 9], vec![255; 9]]);
        let mut expected: Vec<_> = keys.map(|key| CollectionId::CONFIG.row_key(&key)).collect();
        expected.push(CollectionId::CHAT.row_key(b"k"));
        expected.push(CollectionId(u32::MAX).row_key(&[255; 20]));
        expected.sort();
        expected.dedup();
        store
            .load(|tx| {
                expected.iter().try_for_each(|row| {
                    let (collection, key) = CollectionId::split_row_key(row).unwrap();
                    tx.put(collection, key, b"")
                })
            })
            .unwrap();
        let walked =
            walk(&store.view().unwrap(), Way::Redb, Table::Live, &|_| Ok(()), |rows: &mut Vec<Vec<u8>>, row, _| {
                rows.push(row.to_vec());
                Ok(())
            });
        let mut walked = walked.unwrap().concat();
        walked.sort();
        assert!(walked == expected);
    }

    #[test]
    fn an_error_of_one_worker_ends_the_walk() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::options().open_with(&folder.path().join("h.redb"), &[]).unwrap();
        store.load(|tx| (0..9000u32).try_for_each(|i| tx.put(CollectionId::CONFIG, &i.to_be_bytes(), b""))).unwrap();
        let view = store.view().unwrap();
        let failed = walk(&view, Way::Redb, Table::Live, &|_| Ok(()), |_: &mut (), row, _| {
            if row.ends_with(&[20, 5]) { Err(Error::invalid("on purpose")) } else { Ok(()) }
        });
        assert_eq!(failed.unwrap_err().to_string(), "on purpose");
        assert!(walk(&view, Way::Redb, Table::Tombstones, &|_| Ok(()), |_: &mut (), _, _| Ok(())).is_ok());
    }

    #[test]
    fn the_middle_lies_between() {
        assert_eq!(middle(b"a", b"c"), b"b\0\0\0\0\0\0\0");
        assert!(middle(b"task-1", b"task-9").as_slice() > b"task-1".as_slice());
        assert_eq!(halves(&KeyRange::all(), b"").len(), 2);
        assert_eq!(halves(&KeyRange::all().until(b"b"), b"b").len(), 0);
    }
}
