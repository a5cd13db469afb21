//! Rows that lie over others: what a layer can be asked, and pages of several layers as one.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use crate::engine::format::schema::Table;
use crate::engine::rows::KeyRange;

/// Bytes that a map and its readers share.
pub(super) type Bytes = Arc<[u8]>;
/// The value that a key got; none: it is deleted.
pub(crate) type Value = Option<Bytes>;

/// Rows that lie over others, and hide those with the same keys.
pub(crate) trait Layer {
    /// Whether it has anything of a table.
    fn touches(&self, table: Table) -> bool;

    /// The value that a key got; none when it is as below.
    fn find(&self, table: Table, key: &[u8]) -> Option<Value>;

    /// The first rows of a range that is not empty, in its direction: `limit` or more, or all that there are.
    fn page(&self, table: Table, range: &KeyRange, limit: usize) -> LayerPage;

    /// How many rows more than below a table has.
    fn more(&self, table: Table) -> i64;

    /// Where to begin reading from a key on, if it is known that neither this layer nor what is below has a row before.
    fn behind_gap(&self, _table: Table, _key: &[u8]) -> Option<Vec<u8>> {
        None
    }

    /// Remembers that neither this layer nor what is below has a row from one key on and before another.
    fn note_gap(&self, _table: Table, _start: &[u8], _end: &[u8]) {}
}

/// The first rows of a layer in a range.
#[derive(Debug, Default)]
pub(crate) struct LayerPage {
    pub(crate) rows: Vec<(Bytes, Value)>,
    /// Whether there are more.
    pub(crate) goes_on: bool,
}

/// No rows.
pub(crate) struct NoLayer;

impl Layer for NoLayer {
    fn touches(&self, _table: Table) -> bool {
        false
    }

    fn find(&self, _table: Table, _key: &[u8]) -> Option<Value> {
        None
    }

    fn page(&self, _table: Table, _range: &KeyRange, _limit: usize) -> LayerPage {
        LayerPage::default()
    }

    fn more(&self, _table: Table) -> i64 {
        0
    }
}

/// The bounds of a range, for a map.
fn bounds(range: &KeyRange) -> (Bound<&[u8]>, Bound<&[u8]>) {
    (range.start.as_ref().map(Vec::as_slice), range.end.as_ref().map(Vec::as_slice))
}

/// The rows of a page of a map; a key for which `row` gives nothing is none of them.
pub(super) fn page_of<V>(
    map: &BTreeMap<Bytes, V>,
    range: &KeyRange,
    limit: usize,
    row: impl Fn(&V) -> Option<&Value>,
) -> LayerPage {
    fn first<'m, V: 'm>(
        rows: impl Iterator<Item = (&'m Bytes, &'m V)>,
        limit: usize,
        row: impl Fn(&V) -> Option<&Value>,
    ) -> LayerPage {
        let mut rows = rows.filter_map(|(key, held)| row(held).map(|value| (key.clone(), value.clone())));
        let page = rows.by_ref().take(limit.max(1)).collect();
        LayerPage { rows: page, goes_on: rows.next().is_some() }
    }
    if range.is_empty() {
        return LayerPage::default();
    }
    let rows = map.range::<[u8], _>(bounds(range));
    if range.backward { first(rows.rev(), limit, row) } else { first(rows, limit, row) }
}

/// One page of several, the later of which hide the earlier.
pub(super) fn merged(mut pages: Vec<LayerPage>, backward: bool) -> LayerPage {
    pages.retain(|page| !page.rows.is_empty());
    if pages.len() < 2 {
        return pages.pop().unwrap_or_default();
    }
    let is_before = |a: &Bytes, b: &Bytes| if backward { a > b } else { a < b };
    // Behind the end of a page that goes on, nothing is known.
    let mut horizon: Option<Bytes> = None;
    for last in pages.iter().filter(|page| page.goes_on).filter_map(|page| page.rows.last()) {
        if horizon.as_ref().is_none_or(|nearest| is_before(&last.0, nearest)) {
            horizon = Some(last.0.clone());
        }
    }
    let rows: BTreeMap<Bytes, Value> = pages.into_iter().flat_map(|page| page.rows).collect();
    let known = |(key, _): &(Bytes, Value)| horizon.as_ref().is_none_or(|horizon| !is_before(horizon, key));
    let rows = match backward {
        true => rows.into_iter().rev().filter(known).collect(),
        false => rows.into_iter().filter(known).collect(),
    };
    LayerPage { rows, goes_on: horizon.is_some() }
}
