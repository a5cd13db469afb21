//! Whether the pages of the newest commit are the written ones, as far as redb relies on them before it reads any row.

use super::layout::{
    Header, LEAF, PageLink, SECOND_COUNTS, TWO_PHASE, Widths, checksum_of, link, links, pairs, u32_at,
};
use super::rescue::{DEPTH_MAX, PAGE_MAX, Pages};
use crate::error::Result;

/// A tree of redb's own.
#[derive(Clone, Copy)]
struct Tree {
    root: PageLink,
    widths: Widths,
}

impl Pages<'_> {
    /// Whether the page at which the newest commit begins is what was written: one of an earlier commit in its place
    /// would be the whole store as it was then, and no digest could tell.
    ///
    /// And whether redb's own tables are what was written, by which it knows which pages are free. They are small, and
    /// redb does not only fail over damaged ones: it aborts the process as soon as something is written.
    ///
    /// A commit of two phases counts once its pages are synced, so this holds after a kill and a power cut too. After
    /// one of a single phase redb reads every page when the file was not closed, and computes the free ones again.
    pub(crate) fn newest_commit_is_sound(&self) -> Result<bool> {
        let Some(header) = self.header()? else { return Ok(false) };
        if !header.has(TWO_PHASE) {
            return Ok(true);
        }
        let second = header.has(SECOND_COUNTS);
        let slot = header.slot(second);
        let begins_soundly = match slot.root {
            Some(root) => self.sound_page(root, Widths::default())?.is_some(),
            // Nothing was ever written: a file of another program, which is found out later.
            None => slot.sound,
        };
        Ok(begins_soundly && self.own_tables_are_sound(slot.own_root)?)
    }

    /// Whether every page of redb's own tables is the written one.
    fn own_tables_are_sound(&self, root: Option<PageLink>) -> Result<bool> {
        let Some(root) = root else { return Ok(true) };
        let walk = Walk::of(self, root)?;
        Ok(walk.sound && walk.ends)
    }

    /// Whether a reader that follows every link comes to an end. redb keeps no count, and trees of which many branches
    /// lead to the same pages, with the right checksums, would keep it busy for ever.
    pub(crate) fn trees_end(&self) -> Result<bool> {
        let Some(Header { slots: [first, second], .. }) = self.header()? else { return Ok(true) };
        let mut roots: Vec<PageLink> = Vec::new();
        for root in [first.root, first.own_root, second.root, second.own_root].into_iter().flatten() {
            // In a file that was closed both commits have the same rows.
            if roots.contains(&root) {
                continue;
            }
            if !Walk::of(self, root)?.ends {
                return Ok(false);
            }
            roots.push(root);
        }
        Ok(true)
    }

    /// A page, if it is the written one.
    fn sound_page(&self, link: PageLink, widths: Widths) -> Result<Option<Vec<u8>>> {
        let place = self.place(link.page);
        let page = if place.bytes > PAGE_MAX as u64 { None } else { self.page(place)? };
        Ok(page.filter(|page| checksum_of(page, widths) == Some(link.checksum)))
    }
}

/// A walk through trees that share no page. It stops behind a page that is not the written one.
struct Walk<'a, 'b> {
    pages: &'a Pages<'b>,
    /// Pages do not overlap, so all of them together are not longer than the file, however often one leads to another.
    bytes_left: u64,
    /// Whether every page was the written one.
    sound: bool,
    /// Whether no page was too long or too deep, or one too many.
    ends: bool,
}

impl<'a, 'b> Walk<'a, 'b> {
    /// Through a tree of tables, and each of them.
    fn of(pages: &'a Pages<'b>, root: PageLink) -> Result<Self> {
        let mut walk = Self { pages, bytes_left: pages.len, sound: true, ends: true };
        for tree in walk.tables(root)? {
            walk.go(tree.root, tree.widths, DEPTH_MAX, &mut |_| ())?;
        }
        Ok(walk)
    }

    /// Through a tree of tables; gives those that have rows.
    fn tables(&mut self, root: PageLink) -> Result<Vec<Tree>> {
        let mut tables = Vec::new();
        let mut add = |leaf: &[u8]| tables.extend(pairs(leaf).filter_map(|(_, value)| tree(value)));
        self.go(root, Widths::default(), DEPTH_MAX, &mut add)?;
        Ok(tables)
    }

    fn go(&mut self, link: PageLink, widths: Widths, depth: usize, leaf: &mut dyn FnMut(&[u8])) -> Result<()> {
        let bytes = self.pages.place(link.page).bytes;
        let left = self.bytes_left.checked_sub(bytes).filter(|_| bytes <= PAGE_MAX as u64);
        let (Some(depth), Some(bytes_left)) = (depth.checked_sub(1), left) else {
            self.ends = false;
            return Ok(());
        };
        self.bytes_left = bytes_left;
        let Some(page) = self.pages.sound_page(link, widths)? else {
            self.sound = false;
            return Ok(());
        };
        if page.first() == Some(&LEAF) {
            leaf(&page);
            return Ok(());
        }
        let below: Vec<_> = links(&page).collect();
        drop(page);
        below.into_iter().try_for_each(|link| self.go(link, widths, depth, leaf))
    }
}

/// The table that a row of a tree of tables names, if it has rows.
fn tree(row: &[u8]) -> Option<Tree> {
    let width = |at: usize| (row.get(at) == Some(&1)).then(|| u32_at(row, at + 1)).flatten();
    let root = link(row.get(10..)?)?;
    (row.get(9) == Some(&1)).then(|| Tree { root, widths: Widths { key: width(42), value: width(47) } })
}

#[cfg(test)]
mod tests {
    use super::super::layout::{BRANCH, GOD_BYTE, SLOT, SLOTS};
    use super::super::rescue::tests::{file, leaf, sample};
    use super::*;
    use crate::engine::format::schema::Table;
    use crate::engine::redb_file::definition;

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
            let mut table = transaction.open_table(definition(Table::Live)).unwrap();
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
        let header = pages.header().unwrap().unwrap();
        let second = header.has(SECOND_COUNTS);
        let own = header.slot(second).own_root.unwrap();
        let mut walk = Walk { pages: &pages, bytes_left: pages.len, sound: true, ends: true };
        let tables = walk.tables(own).unwrap();
        assert!(walk.sound && walk.ends);
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

    #[test]
    fn trees_that_lead_to_the_same_pages_again_and_again_come_to_no_end() {
        let (mut bytes, _) = sample();
        let trees_end = |bytes: &[u8]| Pages::new(&file(bytes)).unwrap().trees_end().unwrap();
        assert!(trees_end(&bytes));
        // Twenty branches of two links each, both to the next one, ending in a leaf: a million ways for a dozen pages.
        let mut link = link_to(&mut bytes, &leaf(4096, std::slice::from_ref(&(12..20))));
        for _ in 0..20 {
            link = link_to(&mut bytes, &branch(link));
        }
        for at in SLOTS {
            let slot = &mut bytes[at..at + SLOT];
            slot[8..16].copy_from_slice(&link.page.to_le_bytes());
            slot[16..32].copy_from_slice(&link.checksum.to_le_bytes());
            let sum = xxhash_rust::xxh3::xxh3_128(&slot[..SLOT - 16]);
            slot[SLOT - 16..].copy_from_slice(&sum.to_le_bytes());
        }
        assert!(!trees_end(&bytes));
    }

    /// Adds a page to a file, and gives the link to it.
    fn link_to(bytes: &mut Vec<u8>, page: &[u8]) -> PageLink {
        let number = (bytes.len() as u64 - 4096) / 4096;
        bytes.extend_from_slice(page);
        PageLink { page: number, checksum: checksum_of(page, Widths::default()).unwrap() }
    }

    /// A branch with an empty key between two links to the same page.
    fn branch(link: PageLink) -> Vec<u8> {
        let mut page = vec![BRANCH, 0, 1, 0, 0, 0, 0, 0];
        page.extend([link.checksum.to_le_bytes(); 2].concat());
        page.extend([link.page.to_le_bytes(); 2].concat());
        page.extend(60u32.to_le_bytes());
        page.resize(4096, 0);
        page
    }
}
