//! Merging the rows of a base with those that lie over it, page by page, in both directions.

use super::paging::BatchSize;
use super::range::{KeyRange, Row};
use crate::engine::wal::LayerPage;

/// How many rows over a base are read at a time, at least: all of them may say that something is deleted.
const LEAST: usize = 4;
/// So many deletions are remembered as a gap. The tests have few.
const GAP: usize = if cfg!(test) { 2 } else { 32 };
/// No more rows are read of each at a time.
const MOST: usize = 1024;

/// Rows of a range that are being collected.
pub(super) struct Merging {
    rows: Vec<Row>,
    /// The rest of the range; none once it has ended.
    rest: Option<KeyRange>,
    limit: usize,
    bytes_left: usize,
    /// How many are read at a time.
    step: usize,
    /// How many deletions lie before the first row.
    passed: usize,
}

impl Merging {
    pub(super) fn new(range: &KeyRange, limit: usize, bytes: usize) -> Self {
        let rest = (limit > 0).then(|| range.clone());
        Self { rows: Vec::new(), rest, limit, bytes_left: bytes, step: LEAST, passed: 0 }
    }

    /// How much of [`Merging::rest`] to read next over the base; none at the end.
    pub(super) fn wanted(&mut self) -> Option<BatchSize> {
        self.rest = self.rest.take().filter(|rest| !rest.is_empty());
        self.rest.as_ref()?;
        let rows = (self.limit - self.rows.len()).clamp(self.step, MOST);
        // The longer nothing is found, the more is read at a time.
        self.step = self.step.saturating_mul(2).min(MOST);
        Some(BatchSize { rows, bytes: self.bytes_left })
    }

    /// How many rows of the base to read with those over it: the wanted ones, and as many as these may have deleted.
    pub(super) fn wanted_below(&self, over: &LayerPage) -> usize {
        let deleted = over.rows.iter().filter(|(_, value)| value.is_none()).count();
        (self.limit - self.rows.len()).saturating_add(deleted).min(MOST)
    }

    /// The range that is still to be read.
    pub(super) fn rest(&self) -> &KeyRange {
        const NOTHING: &KeyRange = &KeyRange {
            start: std::ops::Bound::Excluded(Vec::new()),
            end: std::ops::Bound::Excluded(Vec::new()),
            backward: false,
        };
        self.rest.as_ref().unwrap_or(NOTHING)
    }

    /// Takes the first rows of the rest; the base was asked for this many.
    pub(super) fn take(&mut self, over: LayerPage, below: Vec<Row>, wanted: BatchSize) {
        let Some(rest) = self.rest.take() else { return };
        let is_before = |a: &[u8], b: &[u8]| if rest.backward { a > b } else { a < b };
        let length = |(key, value): &Row| key.len() + value.len();
        let below_goes_on =
            below.len() >= wanted.rows || below.iter().map(length).fold(0, usize::saturating_add) >= wanted.bytes;
        // Nothing is known behind the end of a page that goes on.
        let ends = [
            over.rows.last().filter(|_| over.goes_on).map(|(key, _)| key.to_vec()),
            below.last().filter(|_| below_goes_on).map(|(key, _)| key.clone()),
        ];
        let horizon = ends.into_iter().flatten().reduce(|a, b| if is_before(&b, &a) { b } else { a });
        let is_known = |key: &[u8]| horizon.as_ref().is_none_or(|horizon| !is_before(horizon, key));
        let mut over = over.rows.into_iter().peekable();
        let mut below = below.into_iter().peekable();
        loop {
            let of_over = match (over.peek(), below.peek()) {
                (Some((one, _)), Some((other, _))) => !is_before(other, one),
                (Some(_), None) => true,
                (None, Some(_)) => false,
                (None, None) => break,
            };
            let row = if of_over {
                let Some((key, value)) = over.next() else { break };
                // It hides the row below.
                below.next_if(|(hidden, _)| **hidden == *key);
                (key.to_vec(), value)
            } else {
                let Some((key, value)) = below.next() else { break };
                (key, Some(value.into()))
            };
            if !is_known(&row.0) {
                break;
            }
            let (key, Some(value)) = row else {
                self.passed += usize::from(self.rows.is_empty());
                continue;
            };
            let row = (key, value.to_vec());
            self.bytes_left = self.bytes_left.saturating_sub(length(&row));
            self.rows.push(row);
            if self.rows.len() >= self.limit || self.bytes_left == 0 {
                return;
            }
        }
        self.rest = horizon.map(|horizon| rest.after(&horizon));
    }

    /// Whether so many deletions lie before the first row that the next reader is to begin behind them.
    pub(super) fn is_behind_a_gap(&self) -> bool {
        self.passed >= GAP
    }

    pub(super) fn into_rows(self) -> Vec<Row> {
        self.rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_row_of_the_base_is_read_for_one_that_is_wanted_and_for_each_that_was_deleted() {
        let over = |values: &[Option<&[u8]>]| LayerPage {
            rows: values.iter().map(|value| ([].into(), value.map(Into::into))).collect(),
            goes_on: false,
        };
        let one = Merging::new(&KeyRange::all(), 1, usize::MAX);
        assert_eq!(one.wanted_below(&over(&[])), 1);
        assert_eq!(one.wanted_below(&over(&[None, Some(b"here"), None])), 3);
        let all = Merging::new(&KeyRange::all(), usize::MAX, usize::MAX);
        assert_eq!(all.wanted_below(&over(&[None])), MOST);
    }
}
