//! Whether the newest commit of a file is what was written, as far as redb relies on it before it reads any row.

use super::{
    DEPTH_MAX, GOD_BYTE, HEADER, LEAF, Link, Pages, SECOND_COUNTS, SLOT, SLOTS, TWO_PHASE, Widths, checksum_of, link,
    links, pairs, slot, u32_at,
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
    /// Whether the page at which the newest commit begins is what was written: one of an earlier commit in its place would
    /// be the whole store as it was then, and no digest could tell.
    ///
    /// And whether redb's own tables are what was written, by which it knows which pages are free. They are small, and
    /// redb does not only fail over damaged ones: it aborts the process as soon as something is written.
    ///
    /// A commit of two phases counts once its pages are synced, so this holds after a kill and a power cut too. After one of
    /// a single phase redb reads every page when the file was not closed, and makes what it knows of free ones anew.
    pub(crate) fn newest_commit_is_sound(&self) -> Result<bool> {
        let Some(header) = self.read(0, HEADER)? else { return Ok(false) };
        let flags = header.get(GOD_BYTE).copied().unwrap_or_default();
        if flags & TWO_PHASE == 0 {
            return Ok(true);
        }
        let at = SLOTS.get(usize::from(flags & SECOND_COUNTS)).copied().unwrap_or_default();
        let Some(slot) = header.get(at..at + SLOT).map(slot) else { return Ok(false) };
        let begins_soundly = match slot.root {
            Some(root) => self.sound_page(root, Widths::default())?.is_some(),
            // Nothing was ever written: a file of another program, which is found out later.
            None => slot.sound,
        };
        Ok(begins_soundly && self.own_tables_are_sound(slot.own_root)?)
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
    use crate::engine::schema::Table;

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
        // Closing a file ends with a commit that changes no row, so it does not matter which slot counts.
        assert_eq!(roots[0], roots[1]);
        let at = usize::try_from(pages.place(roots[0].page).offset).unwrap();
        let mut other_page = bytes;
        other_page[at + 5] ^= 1;
        assert!(!sound(&other_page));
    }

    const NOT_CLOSED: u8 = 2;

    /// A file as it is left by a process that was killed between two commits.
    fn not_closed(two_phase: bool) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("h.redb");
        let database = redb::Database::create(&path).unwrap();
        for round in 0..3u32 {
            let mut transaction = database.begin_write().unwrap();
            transaction.set_quick_repair(two_phase);
            let mut table = transaction.open_table(Table::Live.definition()).unwrap();
            for key in 0..500u32 {
                table.insert(key.to_be_bytes().as_slice(), round.to_be_bytes().as_slice()).unwrap();
            }
            drop(table);
            transaction.commit().unwrap();
        }
        std::fs::read(path).unwrap()
    }

    #[test]
    fn after_a_kill_the_pages_that_were_synced_before_they_counted_are_compared() {
        let bytes = not_closed(true);
        assert!(bytes[GOD_BYTE] & NOT_CLOSED != 0 && sound(&bytes));
        damage_is_seen(&bytes);
        let mut one_phase = not_closed(false);
        one_phase[4096..].fill(0);
        assert!(sound(&one_phase), "redb reads every page of it");
    }

    #[test]
    fn damage_of_what_redb_knows_of_free_pages_is_seen() {
        damage_is_seen(&sample().0);
    }

    /// Flips bits of the pages at which redb's own tables begin.
    fn damage_is_seen(bytes: &[u8]) {
        let in_file = file(bytes);
        let pages = Pages::new(&in_file).unwrap();
        let at = SLOTS[usize::from(bytes[GOD_BYTE] & SECOND_COUNTS)];
        let trees = |root: Link| {
            let mut walk = Walk { pages: &pages, bytes_left: pages.len, tables: Vec::new() };
            assert!(walk.is_sound(root, Widths::default(), DEPTH_MAX).unwrap());
            walk.tables
        };
        let own = slot(&bytes[at..at + SLOT]).own_root.unwrap();
        let tables = trees(own);
        assert!(tables.len() > 1);
        let roots = tables.iter().map(|tree| tree.root.page).chain([own.page]);
        for page in roots {
            let at = usize::try_from(pages.place(page).offset).unwrap();
            for byte in 0..32 {
                let mut other = bytes.to_vec();
                other[at + byte] ^= 1 << (byte % 8);
                assert!(!sound(&other), "page={page} byte={byte}");
            }
        }
    }
}
