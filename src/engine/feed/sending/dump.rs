//! Every row of one moment, for the base of a replica.

use crate::engine::feed::marks::row::is_local;
use crate::engine::feed::marks::states::States;
use crate::engine::format::frame;
use crate::engine::format::row_change::RowChange;
use crate::engine::format::schema::Table;
use crate::engine::rows::{KeyRange, ROWS_PER_READ, is_full};
use crate::engine::view::View;
use crate::error::{Error, Result};

/// Every row of one moment, but for those that say something about the file. As long as it exists, the file
/// reuses no space of that moment.
pub(crate) struct Dump {
    view: View,
    sequence: u64,
    states: States,
    /// The rest of the table that is being read, and the tables behind it.
    rest: Option<(Table, KeyRange)>,
}

impl Dump {
    pub(in crate::engine::feed) fn new(view: View, sequence: u64, states: States) -> Self {
        let first = Table::ALL.first().map(|table| (*table, KeyRange::all()));
        Self { view, sequence, states, rest: first }
    }

    /// The moment: commits of the feed behind this number go on from it.
    pub(crate) fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Count, bytes and digest of every collection.
    pub(crate) fn states(&self) -> &States {
        &self.states
    }

    /// The next rows in the order of tables and keys, until they have about so many bytes; none at the end.
    ///
    /// # Errors
    ///
    /// As a view; `Damaged` for a damaged row, `Invalid` for a key that no writer makes.
    pub(crate) fn next_part(&mut self, most_bytes: usize) -> Result<Option<Vec<u8>>> {
        let mut bytes = Vec::new();
        while bytes.len() < most_bytes {
            let Some((table, range)) = self.rest.take() else { break };
            let part = self.view.stored().part(table, &range, ROWS_PER_READ)?;
            let goes_on = is_full(&part, ROWS_PER_READ);
            self.rest = match part.last() {
                Some((key, _)) if goes_on => Some((table, range.after(key))),
                _ => Table::ALL.get(table as usize + 1).map(|next| (*next, KeyRange::all())),
            };
            for (key, value) in part.iter().filter(|(key, _)| !is_local(table, key)) {
                // F1: damage does not travel.
                frame::decode(table.place(key), value)?;
                let change = RowChange { table, key, was_there: false, value: Some(value) };
                if !change.push_to(&mut bytes) {
                    let key = key.escape_ascii();
                    return Err(Error::invalid(format!("a row cannot be copied: table={} key={key}", table.name())));
                }
            }
        }
        Ok((!bytes.is_empty()).then_some(bytes))
    }
}
