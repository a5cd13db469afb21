//! Stores a document. Only rows that differ from the stored ones are written.

use super::id::DocumentId;
use super::layout::{Layout, Node};
use super::rows::{self, Shape, Stored};
use super::{align, order};
use crate::engine::records::{KeyRange, Records};
use crate::engine::schema::CollectionId;
use crate::engine::write::WriteTx;
use crate::error::Result;
use crate::limits;

/// The effect of putting a document, in records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Records that are new or have changed.
    pub put: u64,
    /// Records that were removed.
    pub removed: u64,
    /// Unchanged records.
    pub unchanged: u64,
}

/// If at most one in this many elements has changed in its place, the elements are not aligned.
const MOSTLY: usize = 8;
/// The number of rows that are removed at a time.
const ROWS_PER_REMOVAL: usize = 256;

/// Stores a document. Returns the numbers of changed records.
pub(super) fn put(tx: &mut WriteTx<'_>, id: &DocumentId, layout: &Layout) -> Result<Written> {
    let stored = rows::read(tx, id, Some(layout))?;
    let mut change =
        DocumentUpdate { tx, old: stored.as_ref(), new: layout, key: rows::key(id), written: Written::default() };
    change.document().map_err(|error| error.context(format!("document {id}")))?;
    Ok(change.written)
}

/// Removes all rows of a document, whether or not they fit together.
pub(super) fn remove(tx: &mut WriteTx<'_>, id: &DocumentId) -> Result<bool> {
    let range = KeyRange::prefix(&rows::key(id));
    let mut any = false;
    loop {
        let page = tx.part(CollectionId::DOCUMENTS, &range, ROWS_PER_REMOVAL)?;
        if page.is_empty() {
            return Ok(any);
        }
        for (key, _) in page {
            any |= tx.remove(CollectionId::DOCUMENTS, &key)?;
        }
    }
}

/// The change of a document from its stored rows to its new ones.
struct DocumentUpdate<'t, 'w, 'l> {
    tx: &'t mut WriteTx<'w>,
    old: Option<&'l Stored<'l>>,
    new: &'l Layout,
    /// The key of the current row.
    key: Vec<u8>,
    written: Written,
}

impl<'l> DocumentUpdate<'_, '_, 'l> {
    /// Changes all rows.
    fn document(&mut self) -> Result<()> {
        let (old, new) = (self.old.map(|old| &old.root), &self.new.root);
        let text = self.new.text(new);
        let count = rows_below(new);
        let same = self.old.is_some_and(|stored| stored.count == count && stored.text(&stored.root) == text);
        self.row(same, &rows::own_row(count, text))?;
        self.below_row(old, new)
    }

    /// Changes the row at the current key, and the rows below it.
    fn put(&mut self, old: Option<&'l Node>, new: &'l Node) -> Result<()> {
        let text = self.new.text(new);
        self.row(old.is_some_and(|old| equal(self.old_text(old), text)), text)?;
        self.below_row(old, new)
    }

    /// Changes the row at the current key.
    fn row(&mut self, same: bool, payload: &[u8]) -> Result<()> {
        if same {
            self.written.unchanged += 1;
        } else {
            limits::bytes("an element of a document", payload.len(), limits::VALUE_BYTES)?;
            self.tx.put(CollectionId::DOCUMENTS, &self.key, payload)?;
            self.written.put += 1;
        }
        Ok(())
    }

    /// Changes the rows below the current key.
    fn below_row(&mut self, old: Option<&'l Node>, new: &'l Node) -> Result<()> {
        let below = old.map(|old| old.children.as_slice()).unwrap_or_default();
        if below.is_empty() && new.children.is_empty() {
            return Ok(());
        }
        let shape = Shape::of(self.new.text(new));
        let comparable = old.is_some_and(|old| Shape::of(self.old_text(old)) == shape);
        let matches = if comparable { self.align(shape, below, &new.children) } else { vec![None; new.children.len()] };
        self.put_below(below, &new.children, matches)
    }

    /// Changes the rows below the current key. Rows that are no longer needed are removed first, because
    /// their order keys may be used again.
    fn put_below(&mut self, old: &'l [Node], new: &'l [Node], matches: align::Matches) -> Result<()> {
        let matched: Vec<_> = matches.into_iter().map(|index| index.and_then(|index| old.get(index))).collect();
        let orders = order::number(matched.iter().map(|old| old.map(|old| old.order)).collect());
        let mut staying = matched.iter().zip(&orders).filter_map(|(old, order)| old.filter(|old| old.order == *order));
        let mut next = staying.next();
        for old in old {
            if next.is_some_and(|staying| staying.order == old.order) {
                next = staying.next();
            } else {
                self.below(old.order, |change| change.remove(old))?;
            }
        }
        for ((new, old), order) in new.iter().zip(matched).zip(orders) {
            self.below(order, |change| change.put(old.filter(|old| old.order == order), new))?;
        }
        Ok(())
    }

    /// Removes the row at the current key and those below it.
    fn remove(&mut self, old: &Node) -> Result<()> {
        self.tx.remove(CollectionId::DOCUMENTS, &self.key)?;
        self.written.removed += 1;
        old.children.iter().try_for_each(|child| self.below(child.order, |change| change.remove(child)))
    }

    /// Works on the row one level below.
    fn below(&mut self, order: u64, work: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        let length = self.key.len();
        self.key.extend(order.to_be_bytes());
        let done = work(self);
        self.key.truncate(length);
        done
    }

    fn old_text(&self, node: &Node) -> &'l [u8] {
        self.old.map(|stored| stored.text(node)).unwrap_or_default()
    }

    fn align(&self, shape: Shape, old: &[Node], new: &[Node]) -> align::Matches {
        if self.is_changed_in_place(shape, old, new) {
            return (0..new.len()).map(Some).collect();
        }
        if shape == Shape::Object {
            let old: Vec<_> = old.iter().map(|old| print(rows::written_name(self.old_text(old)))).collect();
            let new: Vec<_> = new.iter().map(|new| print(rows::written_name(self.new.text(new)))).collect();
            return align::members(&old, &new);
        }
        let old_prints: Vec<_> = old.iter().map(|old| fingerprint(old, &|node| self.old_text(node))).collect();
        let new_prints: Vec<_> = new.iter().map(|new| fingerprint(new, &|node| self.new.text(node))).collect();
        let old_beginning =
            |index: usize| old.get(index).map(|old| print(beginning(self.old_text(old)))).unwrap_or_default();
        let new_beginning =
            |index: usize| new.get(index).map(|new| print(beginning(self.new.text(new)))).unwrap_or_default();
        align::elements(&old_prints, &new_prints, old_beginning, new_beginning)
    }

    /// Whether each element continues the one in its place: nearly all are unchanged, and the others begin alike. Most
    /// documents change like this between two backups. Then nothing needs to be hashed and sorted.
    fn is_changed_in_place(&self, shape: Shape, old: &[Node], new: &[Node]) -> bool {
        let mut changed = 0;
        old.len() == new.len()
            && old.iter().zip(new).all(|(old, new)| {
                let (old, new) = (self.old_text(old), self.new.text(new));
                if equal(old, new) {
                    return true;
                }
                changed += 1;
                match shape {
                    Shape::Object => rows::written_name(old) == rows::written_name(new),
                    _ => beginning(old) == beginning(new),
                }
            })
            && changed <= new.len() / MOSTLY
    }
}

/// Whether two texts are equal. This is known at once if they are the same memory.
fn equal(old: &[u8], new: &[u8]) -> bool {
    std::ptr::eq(old, new) || old == new
}

/// The fingerprint of a text. It is good enough for aligning, because the texts are compared later.
fn print(text: &[u8]) -> u64 {
    u64::from(crc32fast::hash(text)) << 32 | text.len() as u64 & 0xffff_ffff
}

/// The fingerprint of a row and everything below it.
fn fingerprint<'a>(node: &Node, text: &impl Fn(&Node) -> &'a [u8]) -> u64 {
    let own = print(text(node));
    if node.children.is_empty() {
        return own;
    }
    let mut hasher = crc32fast::Hasher::new();
    node.children.iter().for_each(|child| hasher.update(&fingerprint(child, text).to_le_bytes()));
    own ^ u64::from(hasher.finalize()) << 32
}

/// The number of rows below a row.
fn rows_below(node: &Node) -> u64 {
    node.children.iter().map(|child| 1 + rows_below(child)).sum()
}

/// The first member of an object, which often names it; the whole text of any other element.
fn beginning(text: &[u8]) -> &[u8] {
    let end = text.windows(2).position(|pair| pair == b",\"").unwrap_or(text.len());
    text.get(..end).unwrap_or_default()
}
