//! Going on from one page of rows to the next, with few rows in memory where they are long.

use super::range::{KeyRange, Row};
use crate::error::Result;

/// How many rows are fetched at a time in a scan.
pub(crate) const ROWS_PER_READ: usize = 256;
/// A page ends once its rows have this many bytes.
pub(crate) const PAGE_BYTES: usize = 4 << 20;
/// The first page has this many rows, as nothing is known of their length.
pub(crate) const FIRST_PAGE: usize = 16;

/// How much is read at a time: a number of rows, or fewer once they reach a number of bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchSize {
    pub(crate) rows: usize,
    pub(crate) bytes: usize,
}

/// Whether there may be more behind the rows, of which `limit` were asked for.
pub(crate) fn is_full(rows: &[Row], limit: usize) -> bool {
    rows.len() >= limit || rows.iter().map(bytes_of).sum::<usize>() >= PAGE_BYTES
}

fn bytes_of((key, payload): &Row) -> usize {
    key.len() + payload.len()
}

/// Records as `Records::part` gives them, made of rows that `fetch` gives in the same way, but which may be shorter
/// than the records are. A row for which `record` gives nothing is no record.
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

/// Reads a page from the rest of a range, and leaves the new rest.
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

/// Turns pages into one iterator, which ends after the first error.
pub(crate) fn paged(
    range: KeyRange,
    fetch: impl Fn(&KeyRange, usize) -> Result<Vec<Row>>,
) -> impl Iterator<Item = Result<Row>> {
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
    (PAGE_BYTES * rows.len()).checked_div(bytes).unwrap_or(ROWS_PER_READ).clamp(1, ROWS_PER_READ)
}

#[cfg(test)]
mod tests {
    use std::ops::RangeBounds;

    use super::*;

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
        assert_eq!((asked[0], asked[1]), (FIRST_PAGE, ROWS_PER_READ));
        assert!(next_limit(&all[100..]) <= PAGE_BYTES >> 20);
        assert_eq!((next_limit(&[]), next_limit(&[(vec![0; 9 << 20], Vec::new())])), (ROWS_PER_READ, 1));
    }
}
