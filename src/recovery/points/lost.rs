//! Records that a point is known to have lost in a repair. They read as absent there, although their state is unknown.

use std::collections::BTreeSet;

use crate::engine::digest::Stats;
use crate::engine::epoch::Epoch;
use crate::engine::frame::State;
use crate::engine::point::{Lost, Manifest, Scope};
use crate::engine::records::Records;
use crate::engine::schema::{CollectionId, Place};
use crate::engine::value::in_frame;
use crate::engine::view::View;
use crate::error::{Error, Hint, Result};
use crate::recovery::points::names::names;
use crate::state::restored_together;
use crate::state::show::bare_key;

/// The most keys of lost records that are shown beside a list.
const KEYS_SHOWN: usize = 100;

/// The row keys of the records that one point is known to have lost in a repair.
#[derive(Clone, Debug, Default)]
pub(crate) struct LostRows(BTreeSet<Vec<u8>>);

impl LostRows {
    fn of(manifest: &Manifest) -> Self {
        let rows = manifest.lost.iter().flat_map(|lost| lost.keys.iter().map(|key| lost.collection.row_key(key)));
        Self(rows.collect())
    }

    pub(crate) fn contains(&self, row: &[u8]) -> bool {
        self.0.contains(row)
    }

    /// The rows of records that one of the two lost.
    pub(crate) fn with<'r>(&'r self, other: &'r Self) -> impl Iterator<Item = &'r [u8]> {
        let is_record = |row: &&[u8]| Place::of_record(row).collection != CollectionId::CHUNKS;
        self.0.union(&other.0).map(Vec::as_slice).filter(is_record)
    }
}

/// Records that a restore does not change: they are known to be lost, and they are absent at the point. To remove them
/// would lose their present values. Tasks keep their assignments.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spared(Vec<Vec<u8>>);

impl Spared {
    /// Finds the lost records that are absent at a point.
    pub(crate) fn of(view: &View, point: Epoch) -> Result<Self> {
        let mut rows = Vec::new();
        for row in view.lost_rows(point)?.0 {
            // A document with lost rows is put together from the remaining rows.
            let is_document = CollectionId::split_row_key(&row).is_some_and(|(id, _)| id == CollectionId::DOCUMENTS);
            if !is_document && view.is_absent_at(&row, point)? {
                rows.push(row);
            }
        }
        Ok(Self(rows))
    }

    /// Adds the assignments that follow from the tasks among them now.
    pub(crate) fn with_assignments<R: Records>(&self, records: &R) -> Result<Self> {
        let mut rows = self.0.clone();
        restored_together::with_assignments(records, &mut rows)?;
        Ok(Self(rows))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a row is one of them, or a piece of one.
    pub(crate) fn contains(&self, row: &[u8]) -> bool {
        // A scope without rows would be everything.
        !self.is_empty() && Scope::rows_contain(&self.0, row)
    }

    /// Adds the present records of a collection to its statistics at the point.
    pub(crate) fn add_to<R: Records>(&self, stats: &mut Stats, records: &R, collection: CollectionId) -> Result<()> {
        for row in &self.0 {
            let Some((id, key)) = CollectionId::split_row_key(row).filter(|(id, _)| *id == collection) else {
                continue;
            };
            if let Some(payload) = records.get(id, key)? {
                stats.add(key, &in_frame(&payload));
            }
        }
        Ok(())
    }
}

impl View {
    /// The records that a point is known to have lost in a repair.
    pub(crate) fn lost_rows(&self, point: Epoch) -> Result<LostRows> {
        let manifest = if point == Epoch::NOW { None } else { self.manifest(point)? };
        Ok(manifest.as_ref().map(LostRows::of).unwrap_or_default())
    }

    /// Whether the record of a row is absent at a point.
    pub(crate) fn is_absent_at(&self, row: &[u8], point: Epoch) -> Result<bool> {
        match self.state_at(row, point)? {
            Some(found) => Ok(found.frame(row)?.state == State::Absent),
            None => Ok(true),
        }
    }

    /// The keys of the records of a collection that the point of this view is known to have lost in a repair, at most a
    /// hundred. Lists leave these records out. None if the point has lost nothing of the collection; empty if it may
    /// have lost records of unknown keys.
    ///
    /// # Errors
    ///
    /// `Damaged` and `Io`, as reading has them.
    pub fn lost_of(&self, collection: &str) -> Result<Option<Vec<String>>> {
        if self.at() == Epoch::NOW {
            return Ok(None);
        }
        let Some(manifest) = self.manifest(self.at())? else {
            return Ok(self.point(self.at())?.partial.then(Vec::new));
        };
        let id = names(self)?.id(collection);
        let lost = manifest.lost.iter().find(|lost| Some(lost.collection) == id);
        let keys = |lost: &Lost| lost.keys.iter().take(KEYS_SHOWN).map(|key| bare_key(lost.collection, key)).collect();
        Ok(lost.map(keys))
    }

    /// Returns `missing` as the reason why a record is not found, or `Damaged` if the point lost the record in a
    /// repair.
    #[cfg_attr(not(any(feature = "cli", test)), expect(dead_code, reason = "the faces show it"))]
    pub(crate) fn lost_or(&self, collection: &str, key: &str, missing: Error) -> Error {
        match self.has_lost(collection, key) {
            Ok(false) => missing,
            Ok(true) => Error::damaged(format!(
                "a repair lost that record, so its value at that point is unknown; look at what the point lost: \
                 collection={collection} key={}",
                key.escape_debug()
            ))
            .with_hint(Hint::ShowPoint),
            Err(error) => error,
        }
    }

    /// Whether the point of this view is known to have lost a record in a repair. The record then reads as absent,
    /// although its value is unknown.
    ///
    /// # Errors
    ///
    /// `Damaged` and `Io`, as reading has them.
    pub fn has_lost(&self, collection: &str, key: &str) -> Result<bool> {
        let lost = self.lost_rows(self.at())?;
        Ok(names(self)?.id(collection).is_some_and(|id| self.is_of_name(&lost, id, key)))
    }

    /// Whether a record of that name is among the lost ones.
    fn is_of_name(&self, lost: &LostRows, id: CollectionId, key: &str) -> bool {
        restored_together::keys_of(id, key).iter().any(|key| lost.contains(&id.row_key(key)))
    }

    /// Whether any point lost a record of that name.
    pub(crate) fn any_point_has_lost(&self, id: CollectionId, key: &str) -> Result<bool> {
        for point in self.named_points()?.iter().filter(|point| point.partial) {
            if self.is_of_name(&self.lost_rows(point.epoch)?, id, key) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
