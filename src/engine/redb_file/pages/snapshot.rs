//! The rows of one commit, read from the file past redb: by several workers, each leaf once, and parsed where it lies.
//!
//! It is for callers that read every row and hold a read transaction of the same commit, which keeps its pages from
//! being used again. Pages are read as the file has them now. If anything differs from what redb writes, the walk ends
//! with an error, and the caller reads through redb, which determines the damage.

#[cfg(test)]
mod test;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use super::layout::{
    BRANCH, FoundTable, LEAF, PageLink, PagePlace, SECOND_COUNTS, Span, children, count, links, pairs, table_of,
};
use super::rescue::{DEPTH_MAX, PAGE_MAX, PAGE_SIZE, Pages};
use crate::engine::format::schema::Table;
use crate::engine::pool::Pool;
use crate::engine::redb_file::OwnFile;
use crate::error::{Error, Result};

/// The flag in the header that the commit which counts may not have reached the disk.
const UNFLUSHED: u8 = 8;
/// A writer may commit between two looks at the header, but not each time.
const ATTEMPTS: usize = 8;
/// The bytes of leaves side by side that are read at a time; at least one leaf.
const RUN: u64 = 256 << 10;
/// A gap of up to this many bytes between two of them is read too, as that costs less than another read.
const BETWEEN: u64 = 2 * PAGE_SIZE;
/// The leaves below this many bytes of branches are put in order before they are read: 200,000 of them, for which the
/// ends of their keys are kept in memory. Few of the stores of tests have as many.
const GATHERED: u64 = if cfg!(test) { 2 * PAGE_SIZE } else { 8 << 20 };
/// The number of branches and leaves that a worker takes at a time.
const BRANCHES_AT_ONCE: usize = 16;
const LEAVES_AT_ONCE: usize = 512;

/// The commit that readers of a file are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Commit {
    transaction: u64,
    root: Option<PageLink>,
}

/// The pages of a commit that a read transaction holds.
#[derive(Debug)]
pub(crate) struct Snapshot {
    file: OwnFile,
    root: Option<PageLink>,
}

/// A tree that is still to be walked.
struct Subtree {
    link: PageLink,
    span: Span,
    /// How many branches are above its leaves, itself included.
    branches: usize,
}

/// A leaf that is still to be read, and the keys that it is there for.
struct Leaf {
    place: PagePlace,
    span: Span,
}

/// The state of one worker.
struct Reader<'a> {
    pages: Pages<'a>,
    buffer: Vec<u8>,
    /// Pages do not overlap, so all of them together are not longer than the file, however often one leads to another.
    bytes_left: &'a AtomicU64,
}

impl Snapshot {
    /// The result of `begin`, with the commit that it has begun to read; none when the pages of that are not known.
    ///
    /// Every process publishes a commit by the header, and redb reads the header to begin: when it names the same
    /// commit before and after, that is the one. Numbers of commits only grow.
    pub(crate) fn with<R>(path: &Path, begin: impl Fn() -> Result<R>) -> Result<(R, Option<Self>)> {
        let Ok(file) = OwnFile::read(path) else { return Ok((begin()?, None)) };
        let published = || Pages::new(&file).ok()?.published().ok()?;
        for _ in 0..ATTEMPTS {
            let before = published();
            let begun = begin()?;
            match (before, published()) {
                (Some(before), Some(after)) if before == after => {
                    return Ok((begun, Some(Self { root: before.root, file })));
                }
                (Some(_), Some(_)) => {}
                _ => return Ok((begun, None)),
            }
        }
        Ok((begin()?, None))
    }

    /// Calls `row` with every row of a table, in no order, each worker with a `T` of its own; returns these.
    /// `tick` gets the number of rows that are done.
    ///
    /// # Errors
    ///
    /// The first error that `row` gives; `Damaged` when a page is damaged; `Io`.
    pub(crate) fn walk<T: Default + Send>(
        &self,
        table: Table,
        tick: &(dyn Fn(u64) -> Result<()> + Sync),
        row: impl Fn(&mut T, &[u8], &[u8]) -> Result<()> + Sync,
    ) -> Result<Vec<T>> {
        let mut tables = self.tables()?.into_iter();
        let (_, root, rows) =
            tables.find(|(name, ..)| name == table.name()).ok_or_else(|| odd("a table is missing"))?;
        let met = AtomicU64::new(0);
        let count = |rows| {
            met.fetch_add(rows, Ordering::Relaxed);
            tick(rows)
        };
        let made = root.map_or(Ok(Vec::new()), |root| self.walk_tree(root, &count, row))?;
        if met.into_inner() == rows {
            Ok(made)
        } else {
            Err(odd("the number of rows that a table names is not that of its rows"))
        }
    }

    fn tables(&self) -> Result<Vec<FoundTable>> {
        let Some(root) = self.root else { return Ok(Vec::new()) };
        let tables = self.walk_tree(root, &|_| Ok(()), |found: &mut Vec<_>, key, value| {
            found.extend(table_of(key, value));
            Ok(())
        })?;
        Ok(tables.concat())
    }

    fn walk_tree<T: Default + Send>(
        &self,
        root: PageLink,
        tick: &(dyn Fn(u64) -> Result<()> + Sync),
        row: impl Fn(&mut T, &[u8], &[u8]) -> Result<()> + Sync,
    ) -> Result<Vec<T>> {
        let bytes_left = AtomicU64::new(redb::StorageBackend::len(&self.file)?);
        let reader = || Reader::new(&self.file, &bytes_left);
        let mut above = reader()?;
        let branches = above.branches_above_leaves(root)?;
        let root = Subtree { link: root, span: Span::default(), branches };
        if branches == 0 {
            let mut made = T::default();
            tick(above.leaves(&[above.leaf(root)], &mut |key, value| row(&mut made, key, value))?)?;
            return Ok(vec![made]);
        }
        let (mut rest, mut made) = (vec![root], Vec::new());
        while !rest.is_empty() {
            let lowest = above.lowest_branches(&mut rest)?;
            let found = in_pieces(&lowest, BRANCHES_AT_ONCE, &reader, |reader, leaves: &mut Vec<_>, branches| {
                for branch in branches {
                    leaves.extend(reader.below(branch)?.into_iter().map(|leaf| reader.leaf(leaf)));
                }
                Ok(())
            })?;
            let mut leaves: Vec<_> = found.into_iter().flatten().collect();
            leaves.sort_unstable_by_key(|leaf| leaf.place.offset);
            made.extend(in_pieces(&leaves, LEAVES_AT_ONCE, &reader, |reader, made, leaves| {
                tick(reader.leaves(leaves, &mut |key, value| row(made, key, value))?)
            })?);
        }
        Ok(made)
    }
}

/// Has pieces of many things done by all cores.
fn in_pieces<'a, 'r, I: Sync, T: Default + Send>(
    items: &'a [I],
    at_once: usize,
    reader: &(impl Fn() -> Result<Reader<'r>> + Sync),
    piece: impl Fn(&mut Reader<'r>, &mut T, &'a [I]) -> Result<()> + Sync,
) -> Result<Vec<T>> {
    let pool = Pool::of(items.chunks(at_once).collect());
    let made = pool.run(|| Ok((reader()?, T::default())), |(reader, made), items| piece(reader, made, items))?;
    Ok(made.into_iter().map(|(_, made)| made).collect())
}

impl Pages<'_> {
    /// The commit that redb gives to readers: the one before, as long as the newest may not have reached the disk.
    fn published(&self) -> Result<Option<Commit>> {
        let Some(header) = self.header()? else { return Ok(None) };
        let second = header.has(SECOND_COUNTS) != header.has(UNFLUSHED);
        let slot = header.slot(second);
        Ok(slot.sound.then_some(Commit { transaction: slot.transaction, root: slot.root }))
    }

    /// The number of that commit and of the other one in the header: the one before, unless a newer one is being made.
    pub(crate) fn newest_transactions(&self) -> Result<[Option<u64>; 2]> {
        let Some(header) = self.header()? else { return Ok([None; 2]) };
        let second = header.has(SECOND_COUNTS) != header.has(UNFLUSHED);
        let [first, other] = header.slots.map(|slot| slot.sound.then_some(slot.transaction));
        Ok(if second { [other, first] } else { [first, other] })
    }
}

impl<'a> Reader<'a> {
    fn new(file: &'a OwnFile, bytes_left: &'a AtomicU64) -> Result<Self> {
        Ok(Self { pages: Pages::new(file)?, buffer: Vec::new(), bytes_left })
    }

    /// How deep a tree is, by the first of its leaves. All are equally deep.
    fn branches_above_leaves(&mut self, root: PageLink) -> Result<usize> {
        let mut link = root;
        for branches in 0..DEPTH_MAX {
            let page = self.read(self.pages.place(link.page))?;
            match page.first() {
                Some(&LEAF) => return Ok(branches),
                Some(&BRANCH) => link = links(page).next().ok_or_else(|| odd("a branch is empty"))?,
                _ => return Err(odd("a page is neither leaf nor branch")),
            }
        }
        Err(odd("a tree is too deep"))
    }

    /// The lowest branches of the first of some trees, as many as may be gathered; what is left of the trees stays.
    fn lowest_branches(&mut self, trees: &mut Vec<Subtree>) -> Result<Vec<Subtree>> {
        let (mut lowest, mut bytes) = (Vec::new(), 0);
        while bytes < GATHERED
            && let Some(tree) = trees.pop()
        {
            if tree.branches == 1 {
                bytes += self.pages.place(tree.link.page).bytes;
                lowest.push(tree);
            } else {
                trees.extend(self.below(&tree)?);
            }
        }
        Ok(lowest)
    }

    /// The trees below a branch.
    fn below(&mut self, tree: &Subtree) -> Result<Vec<Subtree>> {
        let page = self.read(self.pages.place(tree.link.page))?;
        let below = children(page, &tree.span);
        let are_all = page.first() == Some(&BRANCH) && count(page).map(|keys| keys + 1) == Some(below.len());
        if !are_all || !below.iter().all(|(_, span)| span.lies_within(&tree.span)) {
            return Err(odd("a branch is damaged"));
        }
        self.take(&below)?;
        let branches = tree.branches.saturating_sub(1);
        Ok(below.into_iter().map(|(link, span)| Subtree { link, span, branches }).collect())
    }

    fn leaf(&self, tree: Subtree) -> Leaf {
        Leaf { place: self.pages.place(tree.link.page), span: tree.span }
    }

    /// Reads leaves, which come in the order in which they lie in the file, and those near each other at
    /// once; gives the number of rows.
    fn leaves(&mut self, leaves: &[Leaf], row: &mut EachRow<'_>) -> Result<u64> {
        let (mut rest, mut met) = (leaves, 0);
        while let Some((first, others)) = rest.split_first() {
            let mut run = first.place;
            let near = others.iter().take_while(|leaf| run.joins(leaf.place)).count();
            let (now, later) = rest.split_at(1 + near);
            let read = self.read(run)?;
            for Leaf { place, span } in now {
                let page = usize::try_from(place.offset - run.offset).ok().and_then(|start| read.get(start..));
                let page = page.zip(usize::try_from(place.bytes).ok()).and_then(|(page, bytes)| page.get(..bytes));
                met += rows_of(page.ok_or_else(|| odd("a page ends too early"))?, span, row)?;
            }
            rest = later;
        }
        Ok(met)
    }

    /// Notes that pages are about to be read.
    fn take(&self, pages: &[(PageLink, Span)]) -> Result<()> {
        let bytes =
            pages.iter().fold(0, |bytes: u64, (link, _)| bytes.saturating_add(self.pages.place(link.page).bytes));
        let less = |left: u64| left.checked_sub(bytes);
        let taken = self.bytes_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        taken.map(drop).map_err(|_| odd("its pages are longer than it"))
    }

    fn read(&mut self, place: PagePlace) -> Result<&[u8]> {
        let bytes = usize::try_from(place.bytes).ok().filter(|bytes| *bytes <= PAGE_MAX);
        let within = place.offset.checked_add(place.bytes).is_some_and(|end| end <= self.pages.len);
        let bytes = bytes.filter(|_| within).ok_or_else(|| odd("a page lies outside of it"))?;
        if self.buffer.len() < bytes {
            self.buffer.resize(bytes, 0);
        }
        let page = self.buffer.get_mut(..bytes).unwrap_or_default();
        self.pages.file.read(place.offset, page)?;
        Ok(page)
    }
}

impl PagePlace {
    /// Goes on over the page that lies not far behind it, unless that would be more than is read at a time.
    fn joins(&mut self, next: Self) -> bool {
        let between = next.offset.checked_sub(self.offset.saturating_add(self.bytes));
        let bytes = next.offset.saturating_add(next.bytes).saturating_sub(self.offset);
        let joins = between.is_some_and(|between| between <= BETWEEN) && bytes <= RUN;
        self.bytes = if joins { bytes } else { self.bytes };
        joins
    }
}

type EachRow<'a> = dyn FnMut(&[u8], &[u8]) -> Result<()> + 'a;

/// Calls `row` with the rows of a leaf, which must be all that it says it has, in order and
/// within the span; gives their number.
fn rows_of(page: &[u8], span: &Span, row: &mut EachRow<'_>) -> Result<u64> {
    let mut met = 0;
    let mut last = span.after.as_deref();
    for (key, value) in pairs(page) {
        if last.is_some_and(|last| key <= last) {
            return Err(odd("keys are not in order"));
        }
        row(key, value)?;
        last = Some(key);
        met += 1;
    }
    let within = last.zip(span.through.as_deref()).is_none_or(|(last, through)| last <= through);
    if page.first() != Some(&LEAF) || count(page) != Some(met) || met == 0 || !within {
        return Err(odd("a leaf is damaged"));
    }
    Ok(met as u64)
}

fn odd(what: &str) -> Error {
    Error::damaged(format!("the file is not as redb writes it, or changes meanwhile: {what}"))
}
