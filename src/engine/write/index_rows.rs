//! The index rows of a record, which change with it.

use super::found::Found;
use super::transaction::WriteTx;
use crate::engine::format::frame::State;
use crate::engine::format::index::RowIs;
use crate::engine::format::schema::{CollectionId, Table};
use crate::error::Result;

impl WriteTx<'_> {
    /// X1: removes the index rows of the earlier record, and writes those of the new one. Gives the row of the earlier
    /// record, if the collection has an index.
    pub(super) fn reindex(
        &mut self,
        collection: CollectionId,
        key: &[u8],
        new: Option<&[u8]>,
    ) -> Result<Option<Found>> {
        let Some(rule) = self.context.index_rule(collection) else { return Ok(None) };
        let row = collection.row_key(key);
        let found = Found::read(self.stored(), &row)?;
        let before = match found.state(&row)? {
            State::Present(payload) => rule.keys(key, Some(payload))?,
            state => rule.keys(key, self.whole_value(collection, key, state)?.as_deref())?,
        };
        let after = rule.keys(key, new)?;
        self.change_index(&before, &after)?;
        Ok(Some(found))
    }

    /// Replaces some index rows by others.
    pub(crate) fn change_index(&mut self, before: &[Vec<u8>], after: &[Vec<u8>]) -> Result<()> {
        for gone in before.iter().filter(|key| !after.contains(key)) {
            self.remove_row(Table::Index, gone)?;
            self.note_wakes(gone, RowIs::Gone);
        }
        for new in after.iter().filter(|key| !before.contains(key)) {
            self.put_row(Table::Index, new, &[])?;
            self.note_wakes(new, RowIs::New);
        }
        Ok(())
    }

    fn note_wakes(&mut self, row: &[u8], is: RowIs) {
        for rule in self.context.indexes {
            (rule.wakes)(row, is, &mut self.batch.wakes);
        }
    }
}
