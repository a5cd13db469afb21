//! Records that a point is known to have lost in a repair. They read as absent there, although their state is unknown.

use std::collections::BTreeSet;

use crate::engine::digest::Stats;
use crate::engine::epoch::Epoch;
use crate::engine::frame::State;
use crate::engine::point::{Manifest, Scope};
use crate::engine::records::Records;
use crate::engine::schema::CollectionId;
use crate::engine::value::in_frame;
use crate::engine::view::View;
use crate::error::{Error, Hint, Result};
use crate::recovery::points::names::names;
use crate::state::restored_together;

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
            let is_absent = match view.state_at(&row, point)? {
                Some(found) => found.frame(&row)?.state == State::Absent,
                None => true,
            };
            if !is_document && is_absent {
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
