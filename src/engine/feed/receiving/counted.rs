//! The content of collections, counted from the rows that a standby gets, to be compared with the statistics among
//! them.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::engine::feed::marks::row::is_local;
use crate::engine::feed::marks::states::States;
use crate::engine::format::digest::Stats;
use crate::engine::format::frame;
use crate::engine::format::row_change::{RowChange, changes};
use crate::engine::format::schema::{CollectionId, Place, Table};
use crate::engine::meta;
use crate::engine::write::WriteTx;
use crate::error::{Error, Result};

/// Collections with what their rows in `live` add up to.
#[derive(Default)]
pub(in crate::engine::feed) struct Counted(BTreeMap<CollectionId, Stats>);

impl Counted {
    /// Counts on from the stored statistics of a collection, which must not have changed yet.
    pub(in crate::engine::feed) fn begin(&mut self, tx: &WriteTx<'_>, collection: CollectionId) -> Result<()> {
        if let Entry::Vacant(free) = self.0.entry(collection) {
            free.insert(meta::stats(tx, collection)?);
        }
        Ok(())
    }

    /// A row of `live` has come.
    pub(super) fn add(&mut self, row: &[u8], value: &[u8]) -> Result<()> {
        let place = Place::of_record(row);
        if let Some(payload) = frame::decode(place, value)?.payload() {
            self.0.entry(place.collection).or_default().add(place.key, payload);
        }
        Ok(())
    }

    /// A row of `live` has gone.
    pub(super) fn subtract(&mut self, row: &[u8], value: &[u8]) -> Result<()> {
        let place = Place::of_record(row);
        // F1: a row that was damaged on this disk is noticed here.
        if let Some(payload) = frame::decode(place, value)?.payload() {
            self.0.entry(place.collection).or_default().subtract(place.key, payload);
        }
        Ok(())
    }

    /// D1: compares the counted collections with their statistics.
    ///
    /// # Errors
    ///
    /// `Damaged` when one differs.
    pub(super) fn compare(&self, tx: &WriteTx<'_>) -> Result<()> {
        self.0
            .iter()
            .try_for_each(|(collection, counted)| compare(*collection, counted, &meta::stats(tx, *collection)?))
    }
}

/// All rows of a state, counted on their way, whether or not they are kept.
#[derive(Default)]
pub(crate) struct WholeState {
    counted: Counted,
    told: States,
}

impl WholeState {
    /// Counts some of the rows.
    ///
    /// # Errors
    ///
    /// `Damaged` for rows that no state has.
    pub(crate) fn count(&mut self, rows: &[u8]) -> Result<()> {
        for row in changes(rows) {
            let row = row?;
            verify(&row)?;
            let value = row.value.ok_or_else(|| Error::damaged("a copy of all rows deletes one"))?;
            if row.table == Table::Live {
                self.counted.add(row.key, value)?;
            }
        }
        self.told.apply(rows)
    }

    /// The state that the rows tell.
    #[cfg(feature = "replica")]
    pub(crate) fn states(&self) -> &States {
        &self.told
    }

    /// Compares the rows that have come with what they tell, and with the [digest](States::digest) of the state.
    ///
    /// # Errors
    ///
    /// `Damaged` when they differ.
    pub(crate) fn compare(&self, states: [u8; 32]) -> Result<()> {
        let told: BTreeMap<_, _> = self.told.iter().collect();
        for collection in self.counted.0.keys().chain(told.keys()) {
            let of = |all: &BTreeMap<CollectionId, Stats>| all.get(collection).copied().unwrap_or_default();
            compare(*collection, &of(&self.counted.0), &of(&told))?;
        }
        if self.told.digest() == states {
            return Ok(());
        }
        Err(Error::damaged("the state that came is not the one of the source at that moment"))
    }
}

/// Compares a row with its checksum, and refuses one that never leaves its store.
///
/// # Errors
///
/// `Damaged`, `NewerFormat`.
pub(super) fn verify(row: &RowChange<'_>) -> Result<()> {
    let place = row.table.place(row.key);
    if is_local(row.table, row.key) {
        return Err(Error::damaged(format!("a row came that belongs to the file of the source alone: {place}")));
    }
    // F1: a bit that was flipped in the source is found here.
    row.value.map_or(Ok(()), |value| frame::decode(place, value).map(drop))
}

fn compare(collection: CollectionId, counted: &Stats, told: &Stats) -> Result<()> {
    if counted == told {
        return Ok(());
    }
    let name = collection.built_in_name().map_or_else(|| format!("#{}", collection.0), str::to_owned);
    Err(Error::damaged(format!(
        "the rows that came are not those of the source, so nothing of them was kept: collection={name} records={} \
         expected={} digest={} expected={}",
        counted.count, told.count, counted.digest, told.digest
    )))
}
