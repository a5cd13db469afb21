//! One collection in three states, row by row in the order of keys.

use std::collections::VecDeque;

use crate::engine::digest::Stats;
use crate::engine::records::{FIRST_PAGE, KeyRange, Records, Row, next_page};
use crate::engine::schema::CollectionId;
use crate::engine::value::in_frame;
use crate::error::{Error, Hint, Result};

/// The values of one key: before both went apart, in the file, and in the store that goes on.
pub(super) type Values<'v> = [Option<&'v [u8]>; 3];

/// A collection of one of the states.
pub(super) struct Side<'r> {
    /// For messages.
    name: &'static str,
    records: &'r dyn Records,
    /// None if the state has no such collection.
    id: Option<CollectionId>,
    page: VecDeque<Row>,
    rest: Option<KeyRange>,
    limit: usize,
    sum: Stats,
    expected: Stats,
}

impl<'r> Side<'r> {
    pub(super) fn new(name: &'static str, records: &'r dyn Records, id: Option<CollectionId>) -> Result<Self> {
        let expected = id.map_or(Ok(Stats::default()), |id| records.stats(id))?;
        let rest = id.map(|_| KeyRange::all());
        let (page, sum) = (VecDeque::new(), Stats::default());
        Ok(Self { name, records, id, page, rest, limit: FIRST_PAGE, sum, expected })
    }

    /// Count, bytes and digest of the collection.
    pub(super) fn stats(&self) -> Stats {
        self.expected
    }

    fn first(&mut self) -> Result<Option<&[u8]>> {
        if let (true, Some(id)) = (self.page.is_empty(), self.id) {
            let fetch = |range: &KeyRange, limit| self.records.part(id, range, limit);
            self.page = next_page(&mut self.rest, &mut self.limit, fetch)?.into();
        }
        Ok(self.page.front().map(|(key, _)| key.as_slice()))
    }

    /// The value of the first row, if that has this key.
    fn take(&mut self, key: &[u8]) -> Option<Vec<u8>> {
        let (_, payload) = self.page.pop_front_if(|(own, _)| own == key)?;
        self.sum.add(key, &in_frame(&payload));
        Some(payload)
    }

    /// D1: a row that a damaged page hides must not count as removed.
    fn compare(&self, collection: &str) -> Result<()> {
        if self.sum == self.expected {
            return Ok(());
        }
        let message = "the records that were read are not those that were written, so nothing is concluded from them";
        let (of, records, expected) = (self.name, self.sum.count, self.expected.count);
        let text = format!("{message}: of={of} collection={collection} records={records} expected={expected}");
        Err(Error::damaged(text).with_hint(Hint::CheckStore))
    }
}

/// Calls `visit` with every key that one of the three has.
///
/// # Errors
///
/// `Damaged` when the records of a side are not those of its statistics; every error of `visit`.
pub(super) fn each_row(
    collection: &str,
    mut sides: [Side<'_>; 3],
    visit: &mut dyn FnMut(&[u8], Values<'_>) -> Result<()>,
) -> Result<()> {
    loop {
        let mut next: Option<Vec<u8>> = None;
        for side in &mut sides {
            if let Some(key) = side.first()?
                && next.as_deref().is_none_or(|next| key < next)
            {
                next = Some(key.to_vec());
            }
        }
        let Some(key) = next else { break };
        let values = sides.each_mut().map(|side| side.take(&key));
        visit(&key, values.each_ref().map(Option::as_deref))?;
    }
    sides.iter().try_for_each(|side| side.compare(collection))
}
