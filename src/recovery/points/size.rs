//! The space that forgetting a point would free.

use serde::{Deserialize, Serialize};

use crate::engine::PreImages;
use crate::engine::epoch::Epoch;
use crate::engine::frame::{self, State};
use crate::engine::keys::{PreImageKey, pre_image_key};
use crate::engine::schema::{Place, Table};
use crate::engine::store::Store;
use crate::engine::view::{View, gone};
use crate::error::Result;
use crate::recovery::points::selector::Selector;

/// The size of a point.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PointSize {
    /// Rows that exist only for this point.
    pub rows: u64,
    /// The bytes of their keys and values, which forgetting the point would free.
    pub bytes: u64,
}

impl PointSize {
    fn add(&mut self, key: &[u8], value: &[u8]) {
        self.rows += 1;
        self.bytes += (key.len() + value.len()) as u64;
    }
}

impl Store {
    /// The space that forgetting a point would free. It is exact once earlier forgetting has ended. The cost follows
    /// the changes of the point's segment.
    ///
    /// The sizes of points do not add up: a row that two points share is freed only with the second of them.
    ///
    /// # Errors
    ///
    /// As [`Store::at`].
    ///
    /// # Examples
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = hivekeep::Store::open(dir.path().join("h.redb")).unwrap();
    /// store.write(|tx| tx.config().put("limit", &serde_json::json!(5)))?;
    /// let point = store.restore_point("before")?;
    /// let empty = store.point_size(&point)?;
    /// store.write(|tx| tx.config().put("limit", &serde_json::json!(6)))?;
    /// assert_eq!(store.point_size(&point)?.rows, empty.rows + 1);
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn point_size(&self, selector: impl Into<Selector>) -> Result<PointSize> {
        let view = self.view()?;
        view.freed_by_forgetting(view.resolve(&selector.into())?.epoch())
    }
}

impl View {
    /// The rows that only this point needs: its manifest, name and backups; those rows of the next segment that the
    /// rows of its segment replace, and those that cancel out; for the earliest point, the rows of the next segment and
    /// their tombstones.
    pub(crate) fn freed_by_forgetting(&self, epoch: Epoch) -> Result<PointSize> {
        let members = self.members()?;
        if members.retained.binary_search(&epoch).is_err() {
            return Err(gone(epoch));
        }
        let mut size = self.rows_of_point(epoch)?;
        let next = members.segment(epoch.next());
        if members.retained.first() == Some(&epoch) {
            self.each_pre_image_of(next, |key, bytes| {
                size.add(&key.to_bytes(), bytes);
                if self.is_first_met(next, key)? {
                    self.tombstone(key.row, Epoch(0), next)?.iter().for_each(|bytes| size.add(key.row, bytes));
                }
                Ok(())
            })?;
        } else {
            self.each_pre_image_of(epoch, |key, bytes| {
                if self.is_first_met(epoch, key)? {
                    self.freed_by_moving(epoch, key, bytes, next, &mut size)?;
                }
                Ok(())
            })?;
        }
        Ok(size)
    }

    fn rows_of_point(&self, epoch: Epoch) -> Result<PointSize> {
        let mut size = PointSize::default();
        let mut add = |table, key: &[u8]| -> Result<()> {
            self.stored().get(table, key)?.iter().for_each(|bytes| size.add(key, bytes));
            Ok(())
        };
        add(Table::Points, &epoch.to_key())?;
        add(Table::Commits, &epoch.to_key())?;
        if let Some(manifest) = self.manifest(epoch)? {
            add(Table::PointIds, manifest.id.0.as_bytes())?;
            manifest.backups.iter().try_for_each(|id| add(Table::Backups, id.as_bytes()))?;
        }
        Ok(size)
    }

    /// The space that moving one row of the segment `epoch` into the segment `next` frees.
    fn freed_by_moving(
        &self,
        epoch: Epoch,
        key: PreImageKey<'_>,
        bytes: &[u8],
        next: Epoch,
        size: &mut PointSize,
    ) -> Result<()> {
        let members = self.members()?;
        let row = key.row;
        for part in members.parts(next) {
            let replaced = pre_image_key(part, row);
            if let Some(bytes) = self.stored().get(Table::PreImages, &replaced)? {
                size.add(&replaced, &bytes);
                break;
            }
        }
        let before = frame::decode(Place::of_record(row), bytes)?;
        if before.state == State::Absent
            && let Some(tombstone) = self.tombstone(row, members.before(epoch), next)?
        {
            size.add(&key.to_bytes(), bytes);
            if before.birth <= self.epochs().first {
                size.add(row, &tombstone);
            }
        }
        Ok(())
    }

    /// Whether no other row of the segment for the same record counts before the one with this key.
    fn is_first_met(&self, segment: Epoch, PreImageKey { part, row }: PreImageKey<'_>) -> Result<bool> {
        for earlier in self.members()?.parts(segment).take_while(|earlier| *earlier < part) {
            if self.stored().get(Table::PreImages, &pre_image_key(earlier, row))?.is_some() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The tombstone of a key that was removed in `(after, through]`.
    fn tombstone(&self, row: &[u8], after: Epoch, through: Epoch) -> Result<Option<Vec<u8>>> {
        let Some(bytes) = self.stored().get(Table::Tombstones, row)? else { return Ok(None) };
        let removed = frame::decode(Place::of_record(row), &bytes)?.birth;
        Ok((removed > after && removed <= through).then_some(bytes))
    }

    fn each_pre_image_of(
        &self,
        segment: Epoch,
        mut each: impl FnMut(PreImageKey<'_>, &[u8]) -> Result<()>,
    ) -> Result<()> {
        let before = |part: Epoch| Epoch(part.0.saturating_sub(1));
        self.members()?.parts(segment).try_for_each(|part| self.each_pre_image(before(part), part, &mut each))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::records::KeyRange;
    use crate::testkit::checked_store::Fixture;

    /// The rows and bytes of every table that a point can need.
    fn weight(hive: &Fixture) -> (u64, u64) {
        let view = hive.view();
        let tables =
            [Table::PreImages, Table::Tombstones, Table::Points, Table::Commits, Table::PointIds, Table::Backups];
        let rows =
            tables.into_iter().flat_map(|table| view.stored().page(table, &KeyRange::all(), usize::MAX).unwrap());
        rows.fold((0, 0), |(rows, bytes), (key, value)| (rows + 1, bytes + (key.len() + value.len()) as u64))
    }

    #[test]
    fn a_tombstone_as_old_as_the_earliest_point_goes_with_the_point_that_saw_the_record() {
        let hive = Fixture::new();
        let put = || hive.write(|tx| tx.config().put("k", &1.into()));
        let remove = || hive.write(|tx| tx.config().remove("k"));
        let point = || hive.store.restore_point("").unwrap();
        put();
        let earliest = point();
        remove();
        point();
        put();
        let saw_it = point();
        remove();
        point();
        hive.store.forget(&[(&earliest).into()]).unwrap();
        let (said, before) = (hive.store.point_size(&saw_it).unwrap(), weight(&hive));
        hive.store.forget(&[(&saw_it).into()]).unwrap();
        let after = weight(&hive);
        assert_eq!((said.rows, said.bytes), (before.0 - after.0, before.1 - after.1));
        assert_eq!(hive.view().stored().page(Table::Tombstones, &KeyRange::all(), 9).unwrap(), []);
    }

    #[test]
    fn a_key_is_counted_once_while_forgetting_is_half_done() {
        let hive = Fixture::new();
        let put = |value: u8| hive.write(|tx| tx.config().put("k", &value.into()));
        put(1);
        let earliest = hive.store.restore_point("").unwrap();
        put(2);
        let forgotten = hive.store.restore_point("").unwrap();
        hive.write(|tx| tx.config().remove("k"));
        hive.store.restore_point("").unwrap();
        hive.store.write(|tx| tx.mark_forgotten(forgotten.epoch)).unwrap();
        let half_done = hive.store.point_size(&earliest).unwrap();
        hive.store.finish_merging().unwrap();
        let done = hive.store.point_size(&earliest).unwrap();
        // The row that merging replaces exists until then, and the tombstone once.
        assert_eq!((half_done.rows, done.rows), (done.rows + 1, 1 + 1 + 3 + 1 + 1));
    }
}
