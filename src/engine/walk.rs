//! Walking every row of a table on all cores. The keys are cut into ranges: whoever has walked a while gives back two
//! halves of what is left, so that nobody is idle for long, however unevenly the keys lie.

use std::ops::Bound;

use parking_lot::{Condvar, Mutex};
use redb::{AccessGuard, ReadableTable};

use crate::engine::records::KeyRange;
use crate::engine::schema::Table;
use crate::engine::view::View;
use crate::engine::write::out_of_order;
use crate::error::{Error, ErrorKind, Result};

/// Rows that are read at a time, unless they are longer together than this many bytes.
const BATCH: usize = 256;
const BATCH_BYTES: usize = 2 << 20;
/// After so many batches, what is left of a range is given back.
const BATCHES: usize = 16;

/// A key and its value, where they stand on their page.
type Pair<'t> = (AccessGuard<'t, &'static [u8]>, AccessGuard<'t, &'static [u8]>);

/// What is still to be walked.
struct Ranges {
    state: Mutex<State>,
    turn: Condvar,
}

struct State {
    waiting: Vec<KeyRange>,
    /// Workers that may give some back.
    busy: usize,
}

/// A range that one worker walks; when it is dropped, the others know that nothing more comes of it.
struct Taken<'a> {
    ranges: &'a Ranges,
    range: KeyRange,
}

/// Calls `row` with every row of a table, in no order, each worker with a `T` of its own; gives what they made of it.
/// `tick` is told of rows that are done.
///
/// # Errors
///
/// The first error that `row` gives, `Damaged` before others.
pub(crate) fn walk<T: Default + Send>(
    view: &View,
    table: Table,
    tick: &(dyn Fn(u64) + Sync),
    row: impl Fn(&mut T, &[u8], &[u8]) -> Result<()> + Sync,
) -> Result<Vec<T>> {
    let ranges = Ranges::of(view, table)?;
    let worker = || {
        let mut made = T::default();
        while let Some(taken) = ranges.take() {
            taken.walk(view, table, tick, |key, bytes| row(&mut made, key, bytes))?;
        }
        Ok(made)
    };
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let done: Vec<Result<T>> =
        std::thread::scope(|scope| {
            let others: Vec<_> = (1..workers).map(|_| scope.spawn(worker)).collect();
            let mut done = vec![worker()];
            done.extend(others.into_iter().map(|other| {
                other.join().unwrap_or_else(|_| Err(Error::damaged("the pages of the file are damaged")))
            }));
            done
        });
    // When one worker meets damaged pages, the others are refused; what counts is the damage.
    let (damaged, others): (Vec<_>, Vec<_>) =
        done.into_iter().partition(|part| part.as_ref().is_err_and(|error| error.kind() == ErrorKind::Damaged));
    damaged.into_iter().chain(others).collect()
}

impl Ranges {
    /// All of a table, from its first key to its last.
    fn of(view: &View, table: Table) -> Result<Self> {
        let opened = view.table(table)?;
        let ends = view.guard().run(|| Ok((opened.first()?, opened.last()?)))?;
        let bound = |key: &[u8]| Bound::Included(key.to_vec());
        let waiting = match ends {
            (Some((first, _)), Some((last, _))) => {
                vec![KeyRange { start: bound(first.value()), end: bound(last.value()), backward: false }]
            }
            _ => Vec::new(),
        };
        Ok(Self { state: Mutex::new(State { waiting, busy: 0 }), turn: Condvar::new() })
    }

    /// A range to walk; none once everything has been.
    fn take(&self) -> Option<Taken<'_>> {
        let mut state = self.state.lock();
        while state.waiting.is_empty() && state.busy > 0 {
            self.turn.wait(&mut state);
        }
        let range = state.waiting.pop()?;
        state.busy += 1;
        Some(Taken { ranges: self, range })
    }
}

impl Taken<'_> {
    fn walk(
        self,
        view: &View,
        table: Table,
        tick: &(dyn Fn(u64) + Sync),
        mut row: impl FnMut(&[u8], &[u8]) -> Result<()>,
    ) -> Result<()> {
        let opened = view.table(table)?;
        let bounds = (self.range.start.as_ref().map(Vec::as_slice), self.range.end.as_ref().map(Vec::as_slice));
        let mut rows = view.guard().run(|| Ok(opened.range::<&[u8]>(bounds)?))?;
        let mut last = Vec::new();
        for _ in 0..BATCHES {
            let batch: Vec<_> = view.guard().run(|| Ok(next_batch(rows.by_ref())?))?;
            for (key, bytes) in &batch {
                row(key.value(), bytes.value())?;
            }
            tick(batch.len() as u64);
            // Whoever went on behind a key that goes back would never end.
            let rest = if last.is_empty() { self.range.clone() } else { self.range.clone().after(&last) };
            if !rest.holds_keys_in_order(batch.iter().map(|(key, _)| key.value())) {
                return Err(out_of_order());
            }
            match batch.last() {
                Some((key, _)) => last = key.value().to_vec(),
                None => return Ok(()),
            }
        }
        self.give_back(halves(&self.range, &last));
        Ok(())
    }

    fn give_back(&self, rest: Vec<KeyRange>) {
        self.ranges.state.lock().waiting.extend(rest);
        self.ranges.turn.notify_all();
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.ranges.state.lock().busy -= 1;
        self.ranges.turn.notify_all();
    }
}

/// The next rows, with the pages that they stand on.
fn next_batch<'t>(rows: impl Iterator<Item = redb::Result<Pair<'t>>>) -> redb::Result<Vec<Pair<'t>>> {
    let (mut batch, mut bytes) = (Vec::new(), 0);
    for row in rows.take(BATCH) {
        let row = row?;
        bytes += row.1.value().len();
        batch.push(row);
        if bytes > BATCH_BYTES {
            break;
        }
    }
    Ok(batch)
}

/// What is left of a range behind `last`, in two halves if there is a key between.
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

/// The key half-way between two, as numbers of eight bytes behind what they have in common.
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
    use crate::engine::schema::CollectionId;
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
        let walked = walk(&store.view().unwrap(), Table::Live, &|_| (), |rows: &mut Vec<Vec<u8>>, row, _| {
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
        let failed = walk(&view, Table::Live, &|_| (), |_: &mut (), row, _| {
            if row.ends_with(&[20, 5]) { Err(Error::invalid("on purpose")) } else { Ok(()) }
        });
        assert_eq!(failed.unwrap_err().to_string(), "on purpose");
        assert!(walk(&view, Table::Tombstones, &|_| (), |_: &mut (), _, _| Ok(())).is_ok());
    }

    #[test]
    fn the_middle_lies_between() {
        assert_eq!(middle(b"a", b"c"), b"b\0\0\0\0\0\0\0");
        assert!(middle(b"task-1", b"task-9").as_slice() > b"task-1".as_slice());
        assert_eq!(halves(&KeyRange::all(), b"").len(), 2);
        assert_eq!(halves(&KeyRange::all().until(b"b"), b"b").len(), 0);
    }
}
