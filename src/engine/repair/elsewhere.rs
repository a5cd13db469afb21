//! Rows from elsewhere in place of lost ones: a replica has every change up to a place. Here is how it gives them, and
//! how much of the loss they make good; `healing` takes them.

use std::collections::{BTreeMap, BTreeSet};

use crate::engine::format::keys::PreImageKey;
use crate::engine::format::row_change::RowChange;
use crate::engine::format::schema::{CollectionId, Place, Table};
use crate::error::Result;

/// Gets the changes of a store.
pub(crate) trait TakesChanges {
    /// Forgets those that came before: they may be wrong.
    #[cfg_attr(not(feature = "replica"), expect(dead_code, reason = "only a replica has changes"))]
    fn begin(&mut self) -> Result<()>;
    /// The next one.
    fn take_change(&mut self, change: &RowChange<'_>) -> Result<()>;
}

/// A place that has the changes of a store.
pub(crate) trait Elsewhere {
    /// Gives every row of an earlier moment and every change behind it, in order, up to the position that the store has
    /// kept; without one, up to the newest.
    ///
    /// # Errors
    ///
    /// Every error of `changes`; `Conflict` when the history of the store is not there up to the position.
    fn each_change(&self, position: Option<&[u8]>, changes: &mut dyn TakesChanges) -> Result<()>;
}

/// The rows that were taken from elsewhere.
#[derive(Default)]
pub(super) struct Healed {
    /// How many of each table.
    pub(super) rows: BTreeMap<Table, u64>,
    /// The collections whose records are proved.
    pub(super) collections: BTreeSet<CollectionId>,
    /// Whether every change is known.
    pub(super) complete: bool,
    /// Whether the records of every collection are proved.
    pub(super) all_proved: bool,
    /// Why something was not taken.
    pub(super) notes: Vec<String>,
}

impl Healed {
    /// Whether nothing of a whole table is lost any more.
    pub(super) fn covers_all(&self, table: Table) -> bool {
        match table {
            Table::Live | Table::Tombstones | Table::PreImages => self.complete && self.all_proved,
            _ => self.complete,
        }
    }

    /// Whether nothing is lost any more of a row that there may have been.
    pub(super) fn covers(&self, table: Table, key: &[u8]) -> bool {
        match record_of(table, key) {
            Some(_) if !self.complete && table != Table::Live => false,
            Some(row) => self.collections.contains(&Place::of_record(row).collection),
            None => self.complete,
        }
    }
}

/// The record of a row; none for a row of a table that is not versioned.
pub(super) fn record_of(table: Table, key: &[u8]) -> Option<&[u8]> {
    match table {
        Table::Live | Table::Tombstones => Some(key),
        // One that names no record is of none.
        Table::PreImages => Some(PreImageKey::split(key).map_or(key, |key| key.row)),
        _ => None,
    }
}
