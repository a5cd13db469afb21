//! Rows that redb does not have: those of the entries of a section, by number.

use std::collections::{BTreeMap, btree_map as map};
use std::sync::Arc;

use parking_lot::RwLock;

use super::gaps::Gaps;
use super::layer::{Bytes, Layer, LayerPage, Value, merged, page_of};
use crate::engine::format::row_change::RowChange;
use crate::engine::format::schema::Table;
use crate::engine::rows::KeyRange;
use crate::engine::wal::encoding::entry::Entry;
use crate::engine::wal::encoding::id::LogId;
use crate::error::Result;

/// The memory of a row in a map beside its key and value.
pub(super) const ROW_OVERHEAD: usize = 96;

/// The rows of the entries of one section, for readers of each number.
#[derive(Debug)]
pub(crate) struct SectionMap {
    pub(in crate::engine::wal) section: u64,
    /// Whether it keeps the entries beside their rows.
    keeps_entries: bool,
    content: RwLock<Content>,
}

#[derive(Debug, Default)]
struct Content {
    tables: [BTreeMap<Bytes, Versions>; Table::COUNT],
    /// For each table, how many rows more than in the base there are from each number on, so that a count reads no
    /// rows.
    more: [Vec<(u64, i64)>; Table::COUNT],
    bytes: usize,
    gaps: Gaps,
    /// For each table, the newest number with which a key got a value.
    newest_value: [u64; Table::COUNT],
    /// The number and the rows of each entry, if they are kept.
    entries: Vec<(u64, Bytes)>,
    /// The number and CRC of the entry with which the section ended.
    end: Option<(u64, u32)>,
}

/// The values that a key got, each from a number on.
#[derive(Debug)]
struct Versions {
    /// Whether the key was there before the section.
    is_below: bool,
    newest: (u64, Value),
    /// Ascending.
    older: Vec<(u64, Value)>,
}

impl Versions {
    fn at(&self, number: u64) -> Option<&Value> {
        if self.newest.0 <= number {
            return Some(&self.newest.1);
        }
        let older = self.older.partition_point(|(from, _)| *from <= number);
        older.checked_sub(1).and_then(|at| self.older.get(at)).map(|(_, value)| value)
    }

    /// The same, unless it is a deletion that hides nothing: a queue leaves one for each task that came and went.
    fn shown_at(&self, number: u64) -> Option<&Value> {
        self.at(number).filter(|value| value.is_some() || self.is_below)
    }
}

impl Content {
    fn put(&mut self, number: u64, change: &RowChange<'_>) {
        let value = change.value.map(Bytes::from);
        if value.is_some() {
            self.newest_value[change.table as usize] = number;
            self.gaps.close(change.table, change.key);
        }
        self.bytes += change.key.len() + change.value.map_or(0, <[u8]>::len) + ROW_OVERHEAD;
        // One way down the tree: most rows of a queue are new.
        match self.tables[change.table as usize].entry(Bytes::from(change.key)) {
            // W9: readers of earlier numbers still need the value before.
            map::Entry::Occupied(mut held) => {
                let versions = held.get_mut();
                let before = std::mem::replace(&mut versions.newest, (number, value));
                versions.older.push(before);
            }
            map::Entry::Vacant(place) => {
                let versions = Versions { is_below: change.was_there, newest: (number, value), older: Vec::new() };
                place.insert(versions);
            }
        }
        let more = i64::from(change.value.is_some()) - i64::from(change.was_there);
        if more != 0 {
            let sums = &mut self.more[change.table as usize];
            match sums.last_mut() {
                Some((at, sum)) if *at == number => *sum += more,
                last => {
                    let before = last.map_or(0, |(_, sum)| *sum);
                    sums.push((number, before + more));
                }
            }
        }
    }
}

impl SectionMap {
    pub(in crate::engine::wal) fn new(section: u64, keeps_entries: bool) -> Self {
        Self { section, keeps_entries, content: RwLock::default() }
    }

    /// Takes the rows of an entry: the only way in, for entries that this process writes and
    /// for those that an opening finds.
    ///
    /// # Errors
    ///
    /// `Damaged` for an entry that no writer makes.
    pub(in crate::engine::wal) fn apply(&self, entry: &Entry<'_>) -> Result<()> {
        let kept = self.keeps_entries.then(|| Bytes::from(entry.rows()));
        let mut content = self.content.write();
        if let Some(rows) = kept {
            content.bytes += rows.len();
            content.entries.push((entry.link.number, rows));
        }
        entry.each_change(|change| content.put(entry.link.number, &change))
    }

    /// Notes the entry with which the section ended.
    pub(in crate::engine::wal) fn end(&self, number: u64, crc: u32) {
        self.content.write().end = Some((number, crc));
    }

    /// The number and CRC of the entry with which the section ended, if it has.
    pub(in crate::engine::wal) fn ended(&self) -> Option<(u64, u32)> {
        self.content.read().end
    }

    /// About how much memory the rows take.
    pub(in crate::engine::wal) fn bytes(&self) -> usize {
        self.content.read().bytes
    }

    fn page_at(&self, number: u64, table: Table, range: &KeyRange, limit: usize) -> LayerPage {
        page_of(&self.content.read().tables[table as usize], range, limit, |versions| versions.shown_at(number))
    }

    fn more_at(&self, number: u64, table: Table) -> i64 {
        let content = self.content.read();
        let sums = &content.more[table as usize];
        let known = sums.partition_point(|(from, _)| *from <= number);
        known.checked_sub(1).and_then(|at| sums.get(at)).map_or(0, |(_, sum)| *sum)
    }
}

/// A row of the log.
#[derive(Debug)]
pub(crate) struct Newest {
    /// Whether the base has the key.
    is_below: bool,
    pub(crate) value: Value,
}

impl Newest {
    /// The change that gives the base this row; none for a deletion of a row that came and went, of which a queue
    /// leaves some for each task.
    pub(in crate::engine::wal) fn change<'r>(&'r self, table: Table, key: &'r [u8]) -> Option<RowChange<'r>> {
        let change = RowChange { table, key, was_there: self.is_below, value: self.value.as_deref() };
        (self.is_below || self.value.is_some()).then_some(change)
    }
}

/// The rows of the log behind a base, up to a number.
#[derive(Clone, Debug)]
pub(crate) struct Overlay {
    /// Oldest first.
    maps: Arc<[Arc<SectionMap>]>,
    number: u64,
    /// The log; none where there are no rows.
    id: Option<LogId>,
}

impl Overlay {
    pub(in crate::engine::wal) fn new(id: Option<LogId>, maps: Arc<[Arc<SectionMap>]>, number: u64) -> Self {
        Self { maps, number, id }
    }

    /// Whether it has no sections.
    pub(crate) fn is_empty(&self) -> bool {
        self.maps.is_empty()
    }

    /// The rows of each entry behind a number, in order; none when a section does not keep them.
    pub(crate) fn entries(&self, after: u64) -> Option<Vec<(u64, Bytes)>> {
        let mut entries = Vec::new();
        for map in self.maps.iter() {
            if !map.keeps_entries {
                return None;
            }
            let content = map.content.read();
            let begin = content.entries.partition_point(|(number, _)| *number <= after);
            let shown = content.entries.iter().skip(begin).take_while(|(number, _)| *number <= self.number);
            entries.extend(shown.cloned());
        }
        Some(entries)
    }

    /// The newest number that it shows.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Whether it is of another log.
    pub(in crate::engine::wal) fn is_of_another(&self, id: LogId) -> bool {
        self.id.is_some_and(|own| own != id)
    }

    /// No rows.
    pub(crate) fn none() -> Self {
        Self { maps: Arc::new([]), number: 0, id: None }
    }

    /// The same without the sections that a base has.
    pub(in crate::engine::wal) fn behind(&self, section: u64) -> Self {
        if self.maps.first().is_none_or(|map| map.section > section) {
            return self.clone();
        }
        let maps = self.maps.iter().filter(|map| map.section > section).cloned().collect();
        Self { maps, number: self.number, id: self.id }
    }

    pub(in crate::engine::wal) fn maps(&self) -> &[Arc<SectionMap>] {
        &self.maps
    }

    /// Every row of a table, in the order of their keys.
    pub(crate) fn all(&self, table: Table) -> BTreeMap<Bytes, Newest> {
        let mut rows: BTreeMap<Bytes, Newest> = BTreeMap::new();
        for map in self.maps.iter() {
            let content = map.content.read();
            for (key, held) in &content.tables[table as usize] {
                let Some(value) = held.at(self.number) else { continue };
                // The oldest section that has a key knows whether the base has it.
                let row = rows.entry(key.clone()).or_insert(Newest { is_below: held.is_below, value: None });
                row.value = value.clone();
            }
        }
        rows
    }
}

impl Layer for Overlay {
    fn touches(&self, table: Table) -> bool {
        self.maps.iter().any(|map| !map.content.read().tables[table as usize].is_empty())
    }

    fn find(&self, table: Table, key: &[u8]) -> Option<Value> {
        let newest_first = self.maps.iter().rev();
        newest_first
            .filter_map(|map| map.content.read().tables[table as usize].get(key)?.at(self.number).cloned())
            .next()
    }

    fn page(&self, table: Table, range: &KeyRange, limit: usize) -> LayerPage {
        match &*self.maps {
            [] => LayerPage::default(),
            [map] => map.page_at(self.number, table, range, limit),
            maps => {
                let pages = maps.iter().map(|map| map.page_at(self.number, table, range, limit)).collect();
                merged(pages, range.backward)
            }
        }
    }

    fn more(&self, table: Table) -> i64 {
        self.maps.iter().map(|map| map.more_at(self.number, table)).sum()
    }

    fn behind_gap(&self, table: Table, key: &[u8]) -> Option<Vec<u8>> {
        let content = self.maps.last()?.content.read();
        content.gaps.end_of(self.number, table, key).map(<[u8]>::to_vec)
    }

    /// In the newest section, which every later value goes through. A reader of an earlier number may not know of one.
    fn note_gap(&self, table: Table, start: &[u8], end: &[u8]) {
        // Redb gets rows of `meta` without the log.
        let Some(newest) = self.maps.last().filter(|_| table != Table::Meta) else { return };
        let mut content = newest.content.write();
        if content.newest_value[table as usize] <= self.number {
            content.gaps.note(self.number, table, start, end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_shows_no_deletion_of_a_row_that_came_and_went_within_the_section() {
        let map = SectionMap::new(1, false);
        let put = |number, key, was_there, value| {
            map.content.write().put(number, &RowChange { table: Table::Index, key, was_there, value });
        };
        let keys = |number| {
            let page = map.page_at(number, Table::Index, &KeyRange::all(), 10);
            page.rows.into_iter().map(|(key, value)| (key.to_vec(), value.is_some())).collect::<Vec<_>>()
        };
        put(1, b"here".as_slice(), false, Some(b"".as_slice()));
        put(2, b"here", true, None);
        put(2, b"below", true, None);
        assert_eq!(keys(1), [(b"here".to_vec(), true)]);
        assert_eq!(keys(2), [(b"below".to_vec(), false)], "it hides what is below");
        put(3, b"below", false, Some(b"again"));
        put(4, b"below", true, None);
        assert_eq!(keys(4), [(b"below".to_vec(), false)], "also after it was there again");
    }

    #[test]
    fn what_a_base_is_to_get_of_several_sections_is_the_newest_and_no_deletion_of_a_row_that_it_never_had() {
        let maps = [SectionMap::new(1, false), SectionMap::new(2, false)];
        let put = |at: usize, number, key, was_there, value| {
            maps[at].content.write().put(number, &RowChange { table: Table::Live, key, was_there, value });
        };
        let (one, two) = (Some(b"1".as_slice()), Some(b"2".as_slice()));
        put(0, 1, b"came and went".as_slice(), false, one);
        put(1, 2, b"came and went", true, None);
        put(0, 1, b"changed", true, one);
        put(1, 2, b"changed", true, two);
        put(0, 1, b"gone", true, one);
        put(1, 2, b"gone", true, None);
        put(0, 1, b"new", false, one);
        put(1, 2, b"new", true, two);
        put(1, 3, b"later", false, one);
        let overlay = Overlay::new(None, maps.map(Arc::new).into(), 2);
        let newest = overlay.all(Table::Live);
        let changes: Vec<_> = newest.iter().filter_map(|(key, newest)| newest.change(Table::Live, key)).collect();
        let change = |key, was_there, value| RowChange { table: Table::Live, key, was_there, value };
        assert_eq!(changes, [change(b"changed", true, two), change(b"gone", true, None), change(b"new", false, two)]);
    }
}
