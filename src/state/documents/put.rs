//! Putting a document: from the rows that are there to those that should be, writing only what differs.

use serde_json::Value;

use super::layout::{Layout, Node};
use super::rows::{self, Shape, Stored, fingerprint};
use super::{DocumentId, Written, align, order};
use crate::engine::records::{KeyRange, Records};
use crate::engine::schema::CollectionId;
use crate::engine::write::WriteTx;
use crate::error::Result;
use crate::json;

/// How many rows are removed at a time.
const PAGE: usize = 256;

/// Puts a document; says what that did.
pub(super) fn put(tx: &mut WriteTx<'_>, id: &DocumentId, document: &Value) -> Result<Written> {
    json::check(document)?;
    let layout = Layout::of(document)?;
    let stored = rows::read(tx, id)?;
    let mut change = Change { tx, layout: &layout, key: rows::key(id), written: Written::default() };
    change.put(stored.as_ref(), &layout.root).map_err(|error| error.context(format!("document {id}")))?;
    Ok(change.written)
}

/// Removes all rows of a document, whether or not they fit together.
pub(super) fn remove(tx: &mut WriteTx<'_>, id: &DocumentId) -> Result<bool> {
    let range = KeyRange::prefix(&rows::key(id));
    let mut any = false;
    loop {
        let page = tx.page(CollectionId::DOCUMENTS, &range, PAGE)?;
        if page.is_empty() {
            return Ok(any);
        }
        for (key, _) in page {
            any |= tx.remove(CollectionId::DOCUMENTS, &key)?;
        }
    }
}

/// A document on its way from its stored rows to its new ones.
struct Change<'t, 'w, 'l> {
    tx: &'t mut WriteTx<'w>,
    layout: &'l Layout<'l>,
    /// Of the row that is being looked at.
    key: Vec<u8>,
    written: Written,
}

impl Change<'_, '_, '_> {
    /// Makes the row at the current key, and those below it, what they should be.
    fn put(&mut self, old: Option<&Stored>, new: &Node<'_>) -> Result<()> {
        let payload = self.layout.payload(new);
        if old.is_some_and(|old| old.payload == payload) {
            self.written.unchanged += 1;
        } else {
            self.tx.put(CollectionId::DOCUMENTS, &self.key, payload)?;
            self.written.put += 1;
        }
        let below = old.map(|old| old.children.as_slice()).unwrap_or_default();
        if below.is_empty() && new.children.is_empty() {
            return Ok(());
        }
        let comparable = old.is_some_and(|old| old.shape() == Shape::of(payload));
        let matches = if comparable { self.align(below, &new.children)? } else { vec![None; new.children.len()] };
        self.put_below(below, &new.children, matches)
    }

    /// Makes the rows below the current key what they should be. Those that go are removed first: their order keys may
    /// be given out again.
    fn put_below(&mut self, old: &[Stored], new: &[Node<'_>], matches: align::Matches) -> Result<()> {
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
    fn remove(&mut self, old: &Stored) -> Result<()> {
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

    fn align(&self, old: &[Stored], new: &[Node<'_>]) -> Result<align::Matches> {
        if new.iter().any(|new| new.name.is_some()) {
            let named = |name: &str| fingerprint(name.as_bytes(), std::iter::empty());
            let old: Vec<_> = old.iter().map(|old| Ok(named(&old.name()?))).collect::<Result<_>>()?;
            let new: Vec<_> = new.iter().map(|new| new.name.map(named).unwrap_or_default()).collect();
            return Ok(align::members(&old, &new));
        }
        let old_prints: Vec<_> = old.iter().map(Stored::fingerprint).collect();
        let new_prints: Vec<_> = new.iter().map(|new| new.fingerprint).collect();
        let old_beginning = |index: usize| old.get(index).map(|old| beginning(&old.payload)).unwrap_or_default();
        let new_beginning =
            |index: usize| new.get(index).map(|new| beginning(self.layout.payload(new))).unwrap_or_default();
        Ok(align::elements(&old_prints, &new_prints, old_beginning, new_beginning))
    }
}

/// The fingerprint of the first member of an object, which often names it; of the whole of anything else.
fn beginning(payload: &[u8]) -> u64 {
    let end = payload.windows(2).position(|pair| pair == b",\"").unwrap_or(payload.len());
    fingerprint(payload.get(..end).unwrap_or_default(), std::iter::empty())
}
