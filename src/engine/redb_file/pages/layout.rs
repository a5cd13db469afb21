//! The layout of pages and of the header, as redb 4.5 writes them. Nothing here trusts a length or an offset.

use std::ops::Range;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_128;

/// The header up to the end of the second commit slot.
pub(super) const HEADER: usize = 320;
/// Where the slots begin, and how long each is.
pub(super) const SLOTS: [usize; 2] = [64, 192];
pub(super) const SLOT: usize = 128;
/// The part of a slot that its own checksum covers: all but the checksum.
pub(super) const SLOT_CHECKED: usize = SLOT - 16;
/// The flags in the byte behind the magic number: which slot counts, and that what it names was synced before it did.
pub(super) const GOD_BYTE: usize = 9;
pub(super) const SECOND_COUNTS: u8 = 1;
pub(super) const TWO_PHASE: u8 = 4;
/// The first byte of a page.
pub(super) const LEAF: u8 = 1;
pub(super) const BRANCH: u8 = 2;
/// A table in the tree of tables.
pub(super) const TABLE: u8 = 3;
/// A table: its name, where it begins if it has rows, and how many.
pub(crate) type FoundTable = (String, Option<PageLink>, u64);

/// Where a tree begins, or goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PageLink {
    pub(super) page: u64,
    pub(super) checksum: u128,
}

/// How long the keys and the values of a tree are, where all are equally long: then it has no tables of where they end.
#[derive(Clone, Copy, Default)]
pub(super) struct Widths {
    pub(super) key: Option<usize>,
    pub(super) value: Option<usize>,
}

/// The keys that a page is there for: those behind `after`, up to and with `through`; none for no end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) after: Option<Arc<[u8]>>,
    pub(crate) through: Option<Arc<[u8]>>,
}

/// Where a page is in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PagePlace {
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
}

/// The header of a file.
pub(super) struct Header {
    pub(super) flags: u8,
    pub(super) slots: [Slot; 2],
}

/// One of the two commits that the header names.
pub(super) struct Slot {
    pub(super) root: Option<PageLink>,
    /// The root of the tree of redb's own tables.
    pub(super) own_root: Option<PageLink>,
    pub(super) transaction: u64,
    pub(super) sound: bool,
}

impl Header {
    pub(super) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// The second slot, or the first.
    pub(super) fn slot(self, second: bool) -> Slot {
        let [first, other] = self.slots;
        if second { other } else { first }
    }
}

impl Span {
    pub(crate) fn holds(&self, key: &[u8]) -> bool {
        self.after.as_deref().is_none_or(|after| key > after)
            && self.through.as_deref().is_none_or(|through| key <= through)
    }

    /// Whether it may have keys with a prefix behind one of these.
    pub(crate) fn may_hold_behind(&self, after: &[u8], prefix: &[u8]) -> bool {
        let ends_behind = self.through.as_deref().is_none_or(|through| through > after);
        // The first key behind all with the prefix is greater than what begins with it.
        let begins_before = self.after.as_deref().is_none_or(|begin| begin < prefix || begin.starts_with(prefix));
        ends_behind && begins_before
    }

    /// Whether it has keys, and all of them are within another.
    pub(super) fn lies_within(&self, other: &Self) -> bool {
        let begins = other.after.as_deref().is_none_or(|after| self.after.as_deref().is_some_and(|own| own >= after));
        let ends = other.through.as_deref().is_none_or(|end| self.through.as_deref().is_some_and(|own| own <= end));
        begins && ends && self.after.as_deref().zip(self.through.as_deref()).is_none_or(|(after, end)| after < end)
    }
}

/// The table that a row of a tree of tables names.
pub(super) fn table_of(key: &[u8], value: &[u8]) -> Option<FoundTable> {
    let name = std::str::from_utf8(key).ok().filter(|_| value.first() == Some(&TABLE))?;
    let rows = value.get(1..).and_then(u64_at)?;
    let root = if *value.get(9)? == 0 { None } else { value.get(10..).and_then(link) };
    Some((name.to_owned(), root, rows))
}

/// A commit slot: two flags, the roots at 8 and at 40, the transaction at 104, and its own checksum last.
pub(super) fn slot(bytes: &[u8]) -> Slot {
    let mut bytes = bytes.to_vec();
    let sums = |bytes: &[u8]| {
        let (body, sum) = bytes.split_at_checked(SLOT_CHECKED)?;
        (u128_at(sum)? == xxh3_128(body)).then_some(())
    };
    let mut sound = sums(&bytes).is_some();
    for bit in (0..SLOT * 8).take_while(|_| !sound) {
        flip(&mut bytes, bit);
        match sums(&bytes) {
            Some(()) => break,
            None => flip(&mut bytes, bit),
        }
    }
    sound |= sums(&bytes).is_some();
    let root = |flag: usize, at: usize| if bytes.get(flag) == Some(&0) { None } else { bytes.get(at..).and_then(link) };
    let (root, own_root) = (root(1, 8), root(2, 40));
    Slot { root, own_root, transaction: bytes.get(104..).and_then(u64_at).unwrap_or_default(), sound }
}

pub(super) fn link(bytes: &[u8]) -> Option<PageLink> {
    Some(PageLink { page: u64_at(bytes)?, checksum: u128_at(bytes.get(8..)?)? })
}

/// The checksum of a page of a store's own tables.
pub(super) fn checksum(page: &[u8]) -> Option<u128> {
    checksum_of(page, Widths::default())
}

/// The checksum of a page as redb computes it: over everything up to the end of the content.
pub(super) fn checksum_of(page: &[u8], widths: Widths) -> Option<u128> {
    ends(page, widths).and_then(|end| page.get(..end)).map(xxh3_128)
}

pub(super) fn start_of(checksum: u128) -> u64 {
    (checksum >> 64) as u64
}

/// Where the content of a page ends.
pub(super) fn ends(page: &[u8], widths: Widths) -> Option<usize> {
    let count = count(page)?;
    let last = count.checked_sub(1)?;
    let table = |width: Option<usize>| if width.is_some() { 0 } else { 4 * count };
    let keys_end = |ends: usize, keys: usize| match widths.key {
        Some(width) => width.checked_mul(count)?.checked_add(keys),
        None => u32_at(page, ends + 4 * last),
    };
    match *page.first()? {
        LEAF => {
            let value_ends = 4 + table(widths.key);
            match widths.value {
                None => u32_at(page, value_ends + 4 * last),
                Some(width) => keys_end(4, value_ends)?.checked_add(width.checked_mul(count)?),
            }
        }
        BRANCH => {
            let key_ends = 8 + 24 * (count + 1);
            keys_end(key_ends, key_ends)
        }
        _ => None,
    }
}

/// How many pairs a leaf has, or keys a branch.
pub(super) fn count(page: &[u8]) -> Option<usize> {
    page.get(2..)?.first_chunk().map(|count| usize::from(u16::from_le_bytes(*count)))
}

/// The pairs of a leaf that lie within it. On a damaged one they may lie over one another; all together are not longer
/// than two such pages, as a page may be made of which each of many pairs is as long as the page.
pub(super) fn pairs(page: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut left = 2 * page.len();
    spots(page).filter_map(move |(key, value)| {
        let (key, value) = (page.get(key)?, page.get(value)?);
        left = left.checked_sub(key.len() + value.len())?;
        Some((key, value))
    })
}

/// Where they are: a table of the ends of the keys, one of the ends of the values, keys, values.
pub(super) fn spots(page: &[u8]) -> impl Iterator<Item = (Range<usize>, Range<usize>)> {
    let count = count(page).unwrap_or_default();
    let key_end = move |at: usize| u32_at(page, 4 + 4 * at);
    let value_end = move |at: usize| u32_at(page, 4 + 4 * (count + at));
    (0..count).filter_map(move |at| {
        let (key_start, value_start) = match at.checked_sub(1) {
            None => (4 + 8 * count, key_end(count - 1)?),
            Some(before) => (key_end(before)?, value_end(before)?),
        };
        Some((key_start..key_end(at)?, value_start..value_end(at)?))
    })
}

/// The pages below a branch: checksums, numbers, a table of the ends of the keys between them, keys. Keys that lie over
/// one another are left out as pairs are.
pub(super) fn children(page: &[u8], span: &Span) -> Vec<(PageLink, Span)> {
    let count = count(page).unwrap_or_default();
    let key_end = |at: usize| u32_at(page, 8 + 24 * (count + 1) + 4 * at);
    let mut left = 2 * page.len();
    let mut key = |at: usize| {
        let start = at.checked_sub(1).map_or(Some(8 + 24 * (count + 1) + 4 * count), key_end)?;
        let key = page.get(start..key_end(at)?)?;
        left = left.checked_sub(key.len())?;
        Some(Arc::from(key))
    };
    let mut after = span.after.clone();
    let spans = links(page).enumerate().map(|(at, link)| {
        let through = if at < count { key(at) } else { span.through.clone() };
        (link, Span { after: std::mem::replace(&mut after, through.clone()), through })
    });
    spans.collect()
}

/// Where they are.
pub(super) fn links(page: &[u8]) -> impl Iterator<Item = PageLink> {
    let count = count(page).unwrap_or_default();
    (0..=count).map_while(move |at| {
        let checksum = u128_at(page.get(8 + 16 * at..)?)?;
        Some(PageLink { page: u64_at(page.get(8 + 16 * (count + 1) + 8 * at..)?)?, checksum })
    })
}

pub(super) fn flip(bytes: &mut [u8], bit: usize) {
    if let Some(byte) = bytes.get_mut(bit / 8) {
        *byte ^= 1 << (bit % 8);
    }
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<usize> {
    let number = bytes.get(at..)?.first_chunk().map(|number| u32::from_le_bytes(*number))?;
    usize::try_from(number).ok()
}

pub(super) fn u64_at(bytes: &[u8]) -> Option<u64> {
    bytes.first_chunk().map(|number| u64::from_le_bytes(*number))
}

pub(super) fn u128_at(bytes: &[u8]) -> Option<u128> {
    bytes.first_chunk().map(|number| u128::from_le_bytes(*number))
}
