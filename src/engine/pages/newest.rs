//! Whether the newest commit of a file is what was written, as far as redb relies on it before it reads any row.

use super::{
    DEPTH_MAX, GOD_BYTE, HEADER, LEAF, Link, NOT_CLOSED, Pages, SECOND_COUNTS, SLOT, SLOTS, UNFLUSHED, Widths,
    checksum_of, link, links, pairs, slot, u32_at,
};
use crate::error::Result;

/// No page of redb's own tables is longer: what it knows of the pages of 4 GiB takes half a megabyte.
const PAGE_MAX: u64 = 16 << 20;

/// A tree of redb's own.
#[derive(Clone, Copy)]
struct Tree {
    root: Link,
    widths: Widths,
}

impl Pages<'_> {
    /// Whether a file that was closed begins with the newest commit that is in it, and the page that it names is what was
    /// written: one of an earlier commit in its place would be the whole store as it was then, and no digest could tell.
    ///
    /// And whether redb's own tables are what was written, by which it knows which pages are free. They are small, and
    /// redb does not only fail over damaged ones: it aborts the process as soon as something is written.
    pub(crate) fn newest_commit_is_sound(&self) -> Result<bool> {
        let Some(header) = self.read(0, HEADER)? else { return Ok(false) };
        let flags = header.get(GOD_BYTE).copied().unwrap_or_default();
        if flags & (NOT_CLOSED | UNFLUSHED) != 0 {
            return Ok(true);
        }
        let at = SLOTS.get(usize::from(flags & SECOND_COUNTS)).copied().unwrap_or_default();
        let Some(slot) = header.get(at..at + SLOT).map(slot) else { return Ok(false) };
        let Some(root) = slot.root.filter(|root| self.roots().is_ok_and(|roots| roots.first() == Some(root))) else {
            return Ok(false);
        };
        Ok(self.sound_page(root, Widths::default())?.is_some() && self.own_tables_are_sound(slot.own_root)?)
    }

    /// Whether every page of redb's own tables is what was written.
    fn own_tables_are_sound(&self, root: Option<Link>) -> Result<bool> {
        let Some(root) = root else { return Ok(true) };
        let mut walk = Walk { pages: self, bytes_left: self.len, tables: Vec::new() };
        if !walk.is_sound(root, Widths::default(), DEPTH_MAX)? {
            return Ok(false);
        }
        for tree in std::mem::take(&mut walk.tables) {
            if !walk.is_sound(tree.root, tree.widths, DEPTH_MAX)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// A page, if it is what was written.
    fn sound_page(&self, link: Link, widths: Widths) -> Result<Option<Vec<u8>>> {
        let sums = |page: &Vec<u8>| checksum_of(page, widths) == Some(link.checksum);
        Ok(self.page(self.place(link.page))?.filter(sums))
    }
}

/// A walk through trees that share no page.
struct Walk<'a, 'b> {
    pages: &'a Pages<'b>,
    /// Pages do not overlap, so all of them together are not longer than the file, however often one leads to another.
    bytes_left: u64,
    /// What the rows say of tables, if they do.
    tables: Vec<Tree>,
}

impl Walk<'_, '_> {
    /// Whether every page of a tree is what was written.
    fn is_sound(&mut self, link: Link, widths: Widths, depth: usize) -> Result<bool> {
        let bytes = self.pages.place(link.page).bytes;
        let (Some(depth), Some(bytes_left)) = (depth.checked_sub(1), self.bytes_left.checked_sub(bytes)) else {
            return Ok(false);
        };
        self.bytes_left = bytes_left;
        if bytes > PAGE_MAX {
            return Ok(false);
        }
        let Some(page) = self.pages.sound_page(link, widths)? else { return Ok(false) };
        if page.first() == Some(&LEAF) {
            self.tables.extend(pairs(&page).filter_map(|(_, value)| tree(value)));
            return Ok(true);
        }
        let below: Vec<_> = links(&page).collect();
        drop(page);
        for link in below {
            if !self.is_sound(link, widths, depth)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// What a row of a tree of tables says of a table that has rows.
fn tree(row: &[u8]) -> Option<Tree> {
    let width = |at: usize| (row.get(at) == Some(&1)).then(|| u32_at(row, at + 1)).flatten();
    let root = link(row.get(10..)?)?;
    (row.get(9) == Some(&1)).then(|| Tree { root, widths: Widths { key: width(42), value: width(47) } })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{file, sample};
    use super::*;

    fn sound(bytes: &[u8]) -> bool {
        Pages::new(&file(bytes)).unwrap().newest_commit_is_sound().unwrap()
    }

    #[test]
    fn an_earlier_commit_in_the_place_of_the_newest_is_seen() {
        let (bytes, _) = sample();
        assert!(sound(&bytes));
        let in_file = file(&bytes);
        let pages = Pages::new(&in_file).unwrap();
        let roots = pages.roots().unwrap();
        let mut other_slot = bytes.clone();
        other_slot[GOD_BYTE] ^= SECOND_COUNTS;
        assert_eq!(sound(&other_slot), roots[0] == roots[1], "the last commit of a file may have changed nothing");
        let at = usize::try_from(pages.place(pages.roots().unwrap()[0].page).offset).unwrap();
        let mut other_page = bytes;
        other_page[at + 5] ^= 1;
        assert!(!sound(&other_page));
    }

    #[test]
    fn damage_of_what_redb_knows_of_free_pages_is_seen() {
        let (bytes, _) = sample();
        let in_file = file(&bytes);
        let pages = Pages::new(&in_file).unwrap();
        let newest =
            SLOTS.map(|at| slot(&bytes[at..at + SLOT])).into_iter().max_by_key(|slot| slot.transaction).unwrap();
        let trees = |root: Link| {
            let mut walk = Walk { pages: &pages, bytes_left: pages.len, tables: Vec::new() };
            assert!(walk.is_sound(root, Widths::default(), DEPTH_MAX).unwrap());
            walk.tables
        };
        let own = newest.own_root.unwrap();
        let tables = trees(own);
        assert!(tables.len() > 1);
        let roots = tables.iter().map(|tree| tree.root.page).chain([own.page]);
        for page in roots {
            let at = usize::try_from(pages.place(page).offset).unwrap();
            for byte in 0..32 {
                let mut other = bytes.clone();
                other[at + byte] ^= 1 << (byte % 8);
                assert!(!sound(&other), "page={page} byte={byte}");
            }
        }
    }
}
