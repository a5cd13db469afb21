//! Every row that is left in a damaged file, for a repair.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::ops::Range;

use redb::StorageBackend;

use super::layout::{
    BRANCH, GOD_BYTE, HEADER, Header, LEAF, SECOND_COUNTS, SLOT, SLOTS, TWO_PHASE, Widths, checksum, children, ends,
    flip, pairs, slot, spots, start_of, table_of,
};
use super::layout::{FoundTable, PageLink, PagePlace, Span};

use crate::error::Result;
use crate::limits::RECORD_BYTES;

/// The least that redb reads or writes; longer pages are this times a power of two.
pub(super) const PAGE_SIZE: u64 = 4096;
/// Deeper is no tree of redb's, whose branches have a hundred children.
pub(super) const DEPTH_MAX: usize = 24;
/// No page is longer: a leaf of one row of the greatest length, with its frame and key, which redb gives the next power
/// of two. Records are shorter, but earlier versions wrote rows of any length outside of them.
pub(super) const PAGE_MAX: usize = 2 * RECORD_BYTES;
/// A longer page that a cut-off file lacks is not filled with zeroes: the page would take memory for nothing.
const MADE_UP_MAX: usize = 4 << 20;
/// In longer pages not every bit is tried, which would take seconds: only those of the beginning, and those that
/// the rows' own checksums point to.
const MEND_MAX: usize = 16 << 10;
const MEND_BEGINNING: usize = 256;
/// In a page where the checksums of more rows than this point to a bit, more than one bit was flipped.
const SUSPECTS_MAX: usize = 16;
/// The most bytes that are hashed to mend pages, which takes about half a minute: 2,000 pages of the usual length, each
/// of whose bits is tried. A file may be made so that it would take days.
const MEND_BYTES_MAX: u64 = 2000 * 8 * PAGE_SIZE * PAGE_SIZE;

/// The pages of one file.
pub(crate) struct Pages<'a> {
    pub(super) file: &'a dyn StorageBackend,
    pub(super) len: u64,
    /// Bytes that may still be hashed to mend pages.
    mend_bytes_left: u64,
    seen: BTreeSet<u64>,
    /// The beginning of the checksum of every page, and its number, in order, once something is looked for.
    elsewhere: OnceCell<Vec<(u64, u64)>>,
}

/// A page that is to be visited.
struct Visit {
    pub(super) link: PageLink,
    /// The keys that the page is there for, by the branch above it.
    pub(super) span: Span,
    /// Below a damaged branch, the keys of that branch: nothing that it says of them can be relied on.
    pub(super) within: Option<Span>,
    pub(super) depth: usize,
}

/// A callback for a key and its value.
pub(crate) type EachPair<'a> = dyn FnMut(&[u8], &[u8]) -> Result<()> + 'a;

/// Receives the content of a walk.
pub(crate) trait Visitor {
    /// A row, as it stands on a page that may be damaged, in the span of keys of that page.
    fn row(&mut self, key: &[u8], value: &[u8]) -> Result<()>;
    /// A page that is not what was written, with the keys that it was there for.
    fn damaged(&mut self, place: PagePlace, span: Span, mended: bool);
    /// The bit of a value that may be the one that was flipped.
    fn flipped_bit(&self, key: &[u8], value: &[u8]) -> Option<usize>;
}

impl<'a> Pages<'a> {
    pub(crate) fn new(file: &'a dyn StorageBackend) -> Result<Self> {
        Ok(Self {
            file,
            len: file.len()?,
            mend_bytes_left: MEND_BYTES_MAX,
            seen: BTreeSet::new(),
            elsewhere: OnceCell::new(),
        })
    }

    /// The roots of the trees of tables, the one that counts first. The other one is that of the commit before.
    pub(crate) fn roots(&self) -> Result<Vec<PageLink>> {
        let Some(Header { flags, slots: [first, second] }) = self.header()? else { return Ok(Vec::new()) };
        let mut second_counts = flags & SECOND_COUNTS != 0;
        // The newer one, after a commit of a single phase. After one of two phases a newer one is a commit that was cut
        // off; in a file that was closed it changed no row.
        if flags & TWO_PHASE == 0 && first.sound && second.sound {
            second_counts = second.transaction > first.transaction;
        }
        let order = if second_counts { [second, first] } else { [first, second] };
        Ok(order.into_iter().filter_map(|slot| slot.root).collect())
    }

    /// The header; none when the file is shorter.
    pub(super) fn header(&self) -> Result<Option<Header>> {
        let Some(header) = self.read(0, HEADER)? else { return Ok(None) };
        let slots = SLOTS.map(|at| header.get(at..at + SLOT).map(slot));
        let (Some(&flags), [Some(first), Some(second)]) = (header.get(GOD_BYTE), slots) else { return Ok(None) };
        Ok(Some(Header { flags, slots: [first, second] }))
    }

    /// The tables that a tree of tables names.
    pub(crate) fn tables(&mut self, root: PageLink, visitor: &mut dyn Visitor) -> Result<Vec<FoundTable>> {
        let mut tables = Tables { visitor, found: Vec::new() };
        self.walk(root, &mut tables)?;
        Ok(tables.found)
    }

    /// Every row of a tree that can be reached, at the place that the branches above give it: a damaged page may be an
    /// older one, or one of another place.
    pub(crate) fn walk(&mut self, root: PageLink, visitor: &mut dyn Visitor) -> Result<()> {
        self.seen.clear();
        let mut visits = vec![Visit { link: root, span: Span::default(), within: None, depth: DEPTH_MAX }];
        // A damaged branch may lead to pages of sound ones, which are walked from there.
        let mut doubtful = Vec::new();
        while let Some(visit) = visits.pop().or_else(|| doubtful.pop()) {
            let below = self.visit(visit, visitor)?.into_iter().rev();
            let (sure, unsure): (Vec<_>, Vec<_>) = below.partition(|visit| visit.within.is_none());
            visits.extend(sure);
            doubtful.extend(unsure);
        }
        Ok(())
    }

    /// Visits a page; gives those below it.
    fn visit(&mut self, visit: Visit, visitor: &mut dyn Visitor) -> Result<Vec<Visit>> {
        let Visit { link, span, within, depth } = visit;
        let place = self.place(link.page);
        // A page that leads back to itself would be walked for ever.
        let is_new = self.seen.insert(place.offset);
        if !is_new && within.is_some() {
            return Ok(Vec::new());
        }
        let page = if depth > 0 && is_new { self.page(place)? } else { None };
        let Some(mut page) = page else {
            visitor.damaged(place, span, false);
            return Ok(Vec::new());
        };
        let mut is_sound = checksum(&page) == Some(link.checksum);
        if !is_sound {
            is_sound = self.mend(&mut page, link.checksum, visitor) || self.find(&mut page, link.checksum)?;
            visitor.damaged(place, span.clone(), is_sound);
        }
        match page.first() {
            Some(&LEAF) => {
                let keys = within.as_ref().unwrap_or(&span);
                pairs(&page).filter(|(key, _)| keys.holds(key)).try_for_each(|(key, value)| visitor.row(key, value))?;
                Ok(Vec::new())
            }
            Some(&BRANCH) => {
                let below = children(&page, &span).into_iter();
                let within = within.or_else(|| (!is_sound).then_some(span));
                Ok(below.map(|(link, span)| Visit { link, span, within: within.clone(), depth: depth - 1 }).collect())
            }
            _ => Ok(Vec::new()),
        }
    }

    /// The rows of everything in the file that looks like a leaf, whether it is in use or was left behind.
    pub(crate) fn scan(&self, row: &mut EachPair<'_>) -> Result<()> {
        for offset in (PAGE_SIZE..self.len).step_by(PAGE_SIZE as usize) {
            let bytes = (self.len - offset).min(PAGE_SIZE);
            let Some(page) = self.page(PagePlace { offset, bytes })? else { continue };
            if page.first() != Some(&LEAF) {
                continue;
            }
            let end = ends(&page, Widths::default()).filter(|end| *end <= PAGE_MAX);
            let longer = end.filter(|end| *end > page.len()).map(|end| PagePlace { offset, bytes: end as u64 });
            let page = longer.map(|place| self.page(place)).transpose()?.flatten().unwrap_or(page);
            pairs(&page).try_for_each(|(key, value)| row(key, value))?;
        }
        Ok(())
    }

    /// Flips each bit in turn until the page is the one that its checksum was made of, unless it is longer than any, or
    /// enough was tried.
    fn mend(&mut self, page: &mut [u8], expected: u128, visitor: &dyn Visitor) -> bool {
        let blank = page.iter().all(|byte| *byte == 0);
        if blank || page.len() > PAGE_MAX || self.mend_bytes_left == 0 {
            return false;
        }
        let (suspects, others) =
            if page.len() > MEND_MAX { (suspects(page, visitor), MEND_BEGINNING) } else { (Vec::new(), page.len()) };
        for bit in suspects.into_iter().chain(0..others * 8) {
            if self.mend_bytes_left == 0 {
                return false;
            }
            self.mend_bytes_left = self.mend_bytes_left.saturating_sub(page.len() as u64);
            flip(page, bit);
            if checksum(page) == Some(expected) {
                return true;
            }
            flip(page, bit);
        }
        false
    }

    /// Looks for the page where it does not belong, as after a write that went astray.
    pub(super) fn find(&self, page: &mut Vec<u8>, expected: u128) -> Result<bool> {
        if self.elsewhere.get().is_none() {
            let _filled = self.elsewhere.set(self.checksums()?);
        }
        let alike = self.elsewhere.get().map(Vec::as_slice).unwrap_or_default();
        let alike = alike.iter().skip(alike.partition_point(|(start, _)| *start < start_of(expected)));
        for (_, number) in alike.take_while(|(start, _)| *start == start_of(expected)) {
            let found = self.page(PagePlace { offset: number * PAGE_SIZE, bytes: PAGE_SIZE })?;
            if let Some(found) = found.filter(|found| checksum(found) == Some(expected)) {
                *page = found;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The beginnings of the checksums of all pages of the usual length, with their numbers, in order.
    fn checksums(&self) -> Result<Vec<(u64, u64)>> {
        // The length of a file says nothing of how much of it is there.
        let mut checksums = Vec::new();
        for number in 1..self.len.div_ceil(PAGE_SIZE) {
            let page = self.page(PagePlace { offset: number * PAGE_SIZE, bytes: PAGE_SIZE })?;
            checksums.extend(page.as_deref().and_then(checksum).map(|checksum| (start_of(checksum), number)));
        }
        checksums.sort_unstable();
        Ok(checksums)
    }

    /// The number of a page is its index among those of its length, its region of 4 GiB, and its length as a power of
    /// 2.
    pub(super) fn place(&self, number: u64) -> PagePlace {
        let order = number >> 59;
        let index = number & (0x000F_FFFF >> order.min(20));
        let region = (number >> 20) & 0x000F_FFFF;
        let bytes = PAGE_SIZE << order.min(20);
        let offset = PAGE_SIZE.saturating_add(region << 32).saturating_add(index.saturating_mul(bytes));
        PagePlace { offset, bytes }
    }

    /// The bytes of a page; none when it lies outside of the file. The part that a cut-off file lacks reads as zeroes.
    pub(super) fn page(&self, place: PagePlace) -> Result<Option<Vec<u8>>> {
        let there = self.len.saturating_sub(place.offset).min(place.bytes);
        let (Ok(there), Ok(bytes)) = (usize::try_from(there), usize::try_from(place.bytes)) else { return Ok(None) };
        let mut page = if there == 0 { None } else { self.read(place.offset, there)? };
        if let Some(page) = &mut page {
            page.resize(bytes.min(MADE_UP_MAX.max(there)), 0);
        }
        Ok(page)
    }

    pub(super) fn read(&self, offset: u64, bytes: usize) -> Result<Option<Vec<u8>>> {
        if offset.saturating_add(bytes as u64) > self.len {
            return Ok(None);
        }
        let mut out = vec![0; bytes];
        self.file.read(offset, &mut out)?;
        Ok(Some(out))
    }
}

/// Collects the tables of a tree of tables, and passes damage on.
struct Tables<'a> {
    visitor: &'a mut dyn Visitor,
    pub(super) found: Vec<FoundTable>,
}

impl Visitor for Tables<'_> {
    fn row(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.found.extend(table_of(key, value));
        Ok(())
    }

    fn damaged(&mut self, place: PagePlace, span: Span, mended: bool) {
        self.visitor.damaged(place, span, mended);
    }

    fn flipped_bit(&self, _: &[u8], _: &[u8]) -> Option<usize> {
        None
    }
}

/// The bits of a leaf that the checksums of its rows point to. Values that lie over one another are passed by: many as
/// long as the page would take very long.
fn suspects(page: &[u8], visitor: &dyn Visitor) -> Vec<usize> {
    let leaf = page.first() == Some(&LEAF);
    let mut end = 0;
    let apart = |(key, value): (Range<usize>, Range<usize>)| {
        let (key, bytes) = (page.get(key)?, page.get(value.clone()).filter(|_| value.start >= end)?);
        end = value.end;
        Some((key, value.start, bytes))
    };
    let suspect = |(key, start, bytes)| visitor.flipped_bit(key, bytes).map(|bit| start * 8 + bit);
    spots(page).filter(|_| leaf).filter_map(apart).filter_map(suspect).take(SUSPECTS_MAX).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use redb::backends::InMemoryBackend;

    use super::*;
    use crate::engine::format::schema::Table;
    use crate::engine::redb_file::definition;

    type Pair = (Vec<u8>, Vec<u8>);

    const PAGE: usize = PAGE_SIZE as usize;

    #[derive(Default)]
    struct Seen {
        rows: Vec<Pair>,
        damaged: Vec<(Span, bool)>,
        suspect: Option<usize>,
    }

    impl Visitor for Seen {
        fn row(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
            self.rows.push((key.to_vec(), value.to_vec()));
            Ok(())
        }

        fn damaged(&mut self, _: PagePlace, span: Span, mended: bool) {
            self.damaged.push((span, mended));
        }

        fn flipped_bit(&self, _: &[u8], _: &[u8]) -> Option<usize> {
            self.suspect
        }
    }

    pub(in crate::engine::redb_file::pages) fn file(bytes: &[u8]) -> InMemoryBackend {
        let file = InMemoryBackend::new();
        file.set_len(bytes.len() as u64).unwrap();
        file.write(0, bytes).unwrap();
        file
    }

    /// A file whose one table has branches, leaves and a long value, and its rows.
    pub(in crate::engine::redb_file::pages) fn sample() -> (Vec<u8>, Vec<Pair>) {
        sample_with(|i| i.to_be_bytes().to_vec())
    }

    fn sample_with(key: impl Fn(u32) -> Vec<u8>) -> (Vec<u8>, Vec<Pair>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("h.redb");
        let database = redb::Database::create(&path).unwrap();
        let row = |i: u32| (key(i), i.to_be_bytes().repeat(if i == 500 { 10_000 } else { 22 }));
        let rows: Vec<_> = (0..2000u32).map(row).collect();
        let transaction = database.begin_write().unwrap();
        let mut table = transaction.open_table(definition(Table::Live)).unwrap();
        for (key, value) in &rows {
            table.insert(key.as_slice(), value.as_slice()).unwrap();
        }
        drop(table);
        transaction.commit().unwrap();
        drop(database);
        (std::fs::read(path).unwrap(), rows)
    }

    fn walk(bytes: &[u8]) -> Seen {
        walk_suspecting(bytes, None)
    }

    fn walk_suspecting(bytes: &[u8], suspect: Option<usize>) -> Seen {
        try_walk(bytes, suspect).unwrap()
    }

    /// None when the page that names the table is lost.
    fn try_walk(bytes: &[u8], suspect: Option<usize>) -> Option<Seen> {
        let (file, mut seen) = (file(bytes), Seen { suspect, ..Seen::default() });
        let mut pages = Pages::new(&file).unwrap();
        let root = pages.roots().unwrap()[0];
        let tables = pages.tables(root, &mut Seen::default()).unwrap();
        let (_, root, _) = tables.into_iter().find(|table| (table.0.as_str(), table.2) == ("live", 2000))?;
        pages.walk(root.unwrap(), &mut seen).unwrap();
        Some(seen)
    }

    #[test]
    fn a_sound_tree_is_read_as_redb_wrote_it() {
        let (bytes, rows) = sample();
        let seen = walk(&bytes);
        assert!(seen.rows == rows && seen.damaged.is_empty());
        let mut scanned = BTreeSet::new();
        let file = file(&bytes);
        let mut scan = |key: &[u8], value: &[u8]| {
            scanned.insert((key.to_vec(), value.to_vec()));
            Ok(())
        };
        Pages::new(&file).unwrap().scan(&mut scan).unwrap();
        assert!(rows.iter().all(|row| scanned.contains(row)));
    }

    #[test]
    fn a_flipped_bit_of_a_long_page_is_mended_where_the_row_says_so_and_at_its_beginning() {
        let (bytes, rows) = sample();
        let long = 500u32.to_be_bytes().repeat(10_000);
        let value = bytes.windows(long.len()).rposition(|part| part == long).unwrap();
        // A page of sixteen times the usual length, behind the header.
        let page = (value - 4096) / 65_536 * 65_536 + 4096;
        let bit = 8 * 12_345 + 3;
        let flipped = |bit: usize| {
            let mut bytes = bytes.clone();
            flip(&mut bytes, bit);
            bytes
        };
        let mended =
            |seen: &Seen| (seen.rows == rows, seen.damaged.iter().map(|(_, mended)| *mended).collect::<Vec<_>>());
        let damaged = flipped(value * 8 + bit);
        assert_eq!(mended(&walk_suspecting(&damaged, Some(bit))), (true, vec![true]));
        assert_eq!(mended(&walk_suspecting(&damaged, Some(bit + 1))), (false, vec![false]));
        assert_eq!(mended(&walk_suspecting(&damaged, None)), (false, vec![false]));
        assert_eq!(mended(&walk(&flipped((page + 5) * 8))), (true, vec![true]));
    }

    /// A leaf with an empty key and a value for each range of its bytes.
    pub(in crate::engine::redb_file::pages) fn leaf(len: usize, values: &[Range<usize>]) -> Vec<u8> {
        let mut page = vec![LEAF, 0];
        page.extend(u16::try_from(values.len()).unwrap().to_le_bytes());
        let keys = std::iter::repeat_n(values[0].start, values.len());
        for end in keys.chain(values.iter().map(|value| value.end)) {
            page.extend(u32::try_from(end).unwrap().to_le_bytes());
        }
        page.resize(len, 7);
        page
    }

    #[test]
    fn values_that_lie_over_one_another_and_too_many_suspects_are_passed_by() {
        let page_of = |values: usize, bytes: usize| {
            let start = 4 + 8 * values;
            leaf(start + values * bytes, &(0..values).map(|at| start..start + (at + 1) * bytes).collect::<Vec<_>>())
        };
        let seen = Seen { suspect: Some(0), ..Seen::default() };
        assert_eq!(suspects(&page_of(9, 10), &seen).len(), 9);
        assert_eq!(suspects(&page_of(90, 10), &seen).len(), SUSPECTS_MAX);
        let mut page = page_of(90, 10);
        let (end, long) = (u32::try_from(page.len()).unwrap(), 4 + 8 * 90);
        // Each other value ends at the end of the page and begins near its beginning.
        for at in 0..90 {
            let end = if at % 2 == 0 { long } else { end };
            page[4 + 4 * (90 + at)..][..4].copy_from_slice(&end.to_le_bytes());
        }
        assert!(suspects(&page, &seen).len() <= 2, "{:?}", suspects(&page, &seen));
        let bytes: usize = pairs(&page).map(|(key, value)| key.len() + value.len()).sum();
        assert!(bytes <= 2 * page.len(), "bytes={bytes} page={}", page.len());
    }

    #[test]
    fn keys_of_a_branch_that_lie_over_one_another_take_no_more_than_two_pages() {
        let mut page = vec![BRANCH, 0];
        page.extend(100u16.to_le_bytes());
        page.resize(4096, 0);
        // Each other key ends at the end of the page and begins near its beginning.
        for at in 0..100 {
            let end = if at % 2 == 0 { 2900u32 } else { 4096 };
            page[8 + 24 * 101 + 4 * at..][..4].copy_from_slice(&end.to_le_bytes());
        }
        let children = children(&page, &Span::default());
        let bytes: usize = children.iter().filter_map(|(_, span)| span.through.as_deref()).map(<[u8]>::len).sum();
        assert_eq!(children.len(), 101);
        assert!(bytes > 0 && bytes <= 2 * page.len(), "bytes={bytes}");
    }

    #[test]
    fn mending_ends_with_the_bytes_that_may_be_hashed_and_leaves_what_is_longer_than_any_page() {
        let nothing = file(&[]);
        let try_to_mend = |len: usize, most: u64| {
            let mut page = leaf(len, std::slice::from_ref(&(12..len)));
            let expected = checksum(&page).unwrap();
            flip(&mut page, 8 * 200);
            let mut pages = Pages { mend_bytes_left: most, ..Pages::new(&nothing).unwrap() };
            let mended = pages.mend(&mut page, expected, &Seen::default());
            assert_eq!(checksum(&page) == Some(expected), mended);
            (mended, pages.mend_bytes_left)
        };
        assert_eq!(try_to_mend(4096, 4096 * 1601), (true, 0));
        assert_eq!(try_to_mend(4096, 4096 * 1600), (false, 0));
        assert!(try_to_mend(65_536, MEND_BYTES_MAX).0);
        assert_eq!(try_to_mend(PAGE_MAX + 4096, MEND_BYTES_MAX), (false, MEND_BYTES_MAX));
    }

    #[test]
    fn a_leaf_or_a_branch_of_another_place_gives_only_rows_of_the_keys_that_its_parent_gives_it() {
        let (bytes, rows) = sample_with(|i| [&i.to_be_bytes()[..], &[7; 300]].concat());
        for kind in [LEAF, BRANCH] {
            let is_one = |number: &usize| bytes[number * PAGE] == kind;
            let pages: Vec<_> = (1..bytes.len() / PAGE).filter(is_one).collect();
            let mut astray = 0;
            for (number, other) in pages.iter().zip(pages.iter().cycle().skip(1)) {
                let mut damaged = bytes.clone();
                damaged.copy_within(other * PAGE..(other + 1) * PAGE, number * PAGE);
                let Some(seen) = try_walk(&damaged, None) else { continue };
                let [(span, false)] = &seen.damaged[..] else { continue };
                astray += 1;
                let (_, outside): (Vec<_>, Vec<_>) = seen.rows.into_iter().partition(|(key, _)| span.holds(key));
                let expected: Vec<_> = rows.iter().filter(|(key, _)| !span.holds(key)).cloned().collect();
                assert!(outside == expected, "page {other} at the place of {number}, rows {}", outside.len());
            }
            assert!(astray >= 3, "{kind}: {astray}");
        }
    }

    #[test]
    fn a_flipped_bit_is_mended_and_a_lost_page_names_its_keys() {
        let (bytes, rows) = sample();
        let (key, value) = &rows[1000];
        let at = bytes.windows(value.len()).rposition(|window| window == value).unwrap();
        let mut flipped = bytes.clone();
        flipped[at] ^= 0x10;
        let seen = walk(&flipped);
        assert!(seen.rows == rows);
        assert_eq!(seen.damaged.iter().map(|(_, mended)| *mended).collect::<Vec<_>>(), [true]);

        // The same page elsewhere in the file is found by its checksum.
        let page = at / 4096 * 4096;
        let mut astray = bytes.clone();
        astray.extend_from_slice(&bytes[page..page + 4096]);
        astray[page..page + 4096].fill(0);
        let seen = walk(&astray);
        assert!(seen.rows == rows && seen.damaged.iter().all(|(_, mended)| *mended));

        let mut blank = bytes;
        let page = at / 4096 * 4096;
        blank[page..page + 4096].fill(0);
        let seen = walk(&blank);
        assert_eq!(seen.damaged.len(), 1);
        let (span, mended) = &seen.damaged[0];
        let lost: Vec<_> = rows.iter().filter(|row| !seen.rows.contains(row)).collect();
        assert!(!mended && lost.len() > 10 && lost.iter().all(|(key, _)| span.holds(key)));
        assert!(
            seen.rows.iter().all(|(key, _)| !span.holds(key)) && !seen.rows.contains(&(key.clone(), value.clone()))
        );
    }
}
