//! Forgetting points. One short transaction removes a point from the list and marks it as merging. Then its pre-images
//! move into the next segment in bounded transactions, so that no writer waits long.
//!
//! Until that is done, a segment consists of every source that is still merging into it, ascending, and then of itself;
//! the first row of a key counts. The newest source of a segment moves first, so that each row moves once; the opposite
//! order is quadratic. Rows up to the earliest point are no longer needed and are dropped.

use std::time::{Duration, Instant};

use crate::engine::commit::Outcome;
use crate::engine::format::epoch::{Epoch, Epochs};
use crate::engine::format::frame::{self, State};
use crate::engine::format::keys::{PreImageKey, pre_image_key};
use crate::engine::format::schema::{Place, Table};
use crate::engine::history::pre_images::pre_images_between;
use crate::engine::meta;
use crate::engine::records::{KeyRange, Records};
use crate::engine::store::Store;
use crate::engine::write::WriteTx;
use crate::error::{Error, Hint, Result};

/// Rows that one step of a merge reads.
const ROWS_PER_STEP: usize = 128;
/// A transaction of a merge ends after this long, so that no writer waits for more than a few times that.
const STEP: Duration = Duration::from_millis(8);
/// This many points are marked in one transaction.
const MARKED_AT_ONCE: usize = 256;

impl Store {
    /// Forgets points, and then merges and drops their rows. Points that are not retained are skipped.
    ///
    /// # Errors
    ///
    /// `Conflict` when one of them is held; then none is forgotten.
    pub(crate) fn forget_epochs(&self, epochs: &[Epoch]) -> Result<()> {
        let mut epochs = epochs.to_vec();
        epochs.sort_unstable();
        epochs.dedup();
        self.refuse_held(&epochs)?;
        self.forget_in_steps(&epochs, |tx, some| some.iter().rev().try_for_each(|epoch| tx.mark_forgotten(*epoch)))
    }

    /// Marks points as forgotten in short transactions, then merges and drops their rows. `mark` gets some of
    /// them, ascending, and must begin with the newest.
    pub(crate) fn forget_in_steps(
        &self,
        epochs: &[Epoch],
        mut mark: impl FnMut(&mut WriteTx<'_>, &[Epoch]) -> Result<()>,
    ) -> Result<()> {
        // The newest first, so that an interrupted run leaves only sources that merge into retained segments.
        for some in epochs.rchunks(MARKED_AT_ONCE) {
            self.alone(|tx| mark(tx, some).map(Outcome::Commit))?;
        }
        self.finish_merging()
    }

    /// Moves and drops the rows of points that were forgotten, here or by a process that died meanwhile.
    pub(crate) fn finish_merging(&self) -> Result<()> {
        while self.merge_step()? {}
        Ok(())
    }

    /// One bounded transaction of that; says whether there may be more to do.
    pub(crate) fn merge_step(&self) -> Result<bool> {
        let epochs = self.view()?.epochs();
        if epochs.merging == 0 && epochs.dropping == Epoch(0) {
            return Ok(false);
        }
        self.alone(|tx| {
            let until = Instant::now() + STEP;
            let mut more = true;
            while more && Instant::now() < until {
                more = tx.drop_some(ROWS_PER_STEP)? || tx.merge_some(ROWS_PER_STEP)?;
            }
            Ok(Outcome::Commit(more))
        })
    }

    /// Refuses when one of some points is held.
    pub(crate) fn refuse_held(&self, epochs: &[Epoch]) -> Result<()> {
        let view = self.view()?;
        for epoch in epochs {
            if let Some(manifest) = view.manifest(*epoch)?
                && manifest.held
            {
                let message = format!("the point is held; release it first: point={}", manifest.id);
                return Err(Error::conflict(message).with_hint(Hint::ReleasePoint));
            }
        }
        Ok(())
    }
}

impl WriteTx<'_> {
    /// Removes a point from the list of retained points.
    pub(crate) fn mark_forgotten(&mut self, epoch: Epoch) -> Result<()> {
        let key = epoch.to_key();
        if let Some(bytes) = self.row(Table::Points, &key)? {
            let manifest: crate::engine::format::point::Manifest = crate::engine::format::codec::decode(&bytes)?;
            if manifest.held {
                return Err(Error::conflict(format!("the point is held; release it first: id={}", manifest.id)));
            }
            // D3: the name goes with the manifest.
            self.remove_row(Table::Points, &key)?;
            self.remove_row(Table::PointIds, manifest.id.0.as_bytes())?;
            for backup in &manifest.backups {
                self.remove_row(Table::Backups, backup.as_bytes())?;
            }
        } else if !self.remove_row(Table::Commits, &key)? {
            return Ok(());
        }
        let Epochs { first, last, .. } = self.batch.epochs;
        if epoch == first {
            self.forget_first(epoch)
        } else {
            // S1: the rows of its segment belong to the next one from now on, as a source that is still merging.
            self.put_row(Table::Meta, &meta::merging_key(epoch), &[])?;
            self.batch.epochs.merging += 1;
            if epoch == last {
                self.batch.epochs.last = self.retained_before(epoch)?.unwrap_or_default();
            }
            Ok(())
        }
    }

    /// Forgets the earliest point: the segment after it, and the sources still merging into that, are no longer needed.
    fn forget_first(&mut self, epoch: Epoch) -> Result<()> {
        // S3: no retained point is before these rows, so no chain is followed into them.
        let first = self.retained_after(epoch)?;
        let through = first.unwrap_or(self.batch.epochs.open);
        for source in self.merging_between(epoch, through)? {
            self.remove_row(Table::Meta, &meta::merging_key(source))?;
            self.batch.epochs.merging = self.batch.epochs.merging.saturating_sub(1);
        }
        let epochs = &mut self.batch.epochs;
        epochs.first = first.unwrap_or_default();
        // No point is left.
        if first.is_none() {
            epochs.last = Epoch(0);
        }
        // The rows go later, in transactions of a few milliseconds.
        epochs.dropping = through;
        Ok(())
    }

    /// Drops a page of rows that serve no point, with their tombstones; says whether there was one.
    pub(crate) fn drop_some(&mut self, limit: usize) -> Result<bool> {
        let through = self.batch.epochs.dropping;
        if through == Epoch(0) {
            return Ok(false);
        }
        let rows = self.stored().page(Table::PreImages, &pre_images_between(Epoch(0), through), limit)?;
        for (key, _) in &rows {
            let row = PreImageKey::read(key)?.row;
            self.delete(Table::PreImages, key)?;
            // S4: a tombstone that is not younger than the earliest point goes with them.
            if let Some(bytes) = self.stored().get(Table::Tombstones, row)?
                && frame::decode(Place::of_record(row), &bytes)?.birth <= through
            {
                self.delete(Table::Tombstones, row)?;
            }
        }
        // No row is left to be dropped.
        if rows.len() < limit {
            self.batch.epochs.dropping = Epoch(0);
            self.batch.changed = true;
        }
        Ok(true)
    }

    /// Moves a page of rows of the newest source into its segment; says whether there was one.
    pub(crate) fn merge_some(&mut self, limit: usize) -> Result<bool> {
        if self.batch.epochs.merging == 0 {
            return Ok(false);
        }
        // The newest source first: each row moves once, where the oldest first would move it at every step.
        let Some(source) = meta::last_merging(self)? else {
            return Err(Error::damaged("the rows of merging points are missing: table=meta"));
        };
        let target = self.retained_after(source)?.unwrap_or(self.batch.epochs.open);
        let segment_start = self.retained_before(source)?.unwrap_or_default();
        let of_source = pre_images_between(Epoch(source.0.saturating_sub(1)), source);
        let rows = self.stored().page(Table::PreImages, &of_source, limit)?;
        for (key, bytes) in &rows {
            let row = PreImageKey::read(key)?.row;
            // S7: the row of the source is older than that of the segment, so it counts and replaces it.
            self.delete(Table::PreImages, key)?;
            self.insert(Table::PreImages, &pre_image_key(target, row), bytes)?;
            self.prune(row, bytes, segment_start, target)?;
        }
        // S7: none of its rows is left to be covered, so the source ends.
        if rows.len() < limit {
            self.remove_row(Table::Meta, &meta::merging_key(source))?;
            self.batch.epochs.merging = self.batch.epochs.merging.saturating_sub(1);
        }
        Ok(true)
    }

    /// A key that was created and removed within the merged segment leaves nothing, as if it had always been one
    /// segment.
    fn prune(&mut self, row: &[u8], moved: &[u8], segment_start: Epoch, target: Epoch) -> Result<()> {
        let place = Place::of_record(row);
        let before = frame::decode(place, moved)?;
        // S5 is about keys that were absent at the point before the segment ..
        if before.state != State::Absent {
            return Ok(());
        }
        // .. and were removed in it again.
        let Some(bytes) = self.stored().get(Table::Tombstones, row)? else { return Ok(()) };
        let removed = frame::decode(place, &bytes)?.birth;
        // It was removed in another segment, which still needs the row.
        if removed <= segment_start || removed > target {
            return Ok(());
        }
        self.delete(Table::PreImages, &pre_image_key(target, row))?;
        // S4: the tombstone before comes back while a point is older than that removal.
        if before.birth > self.batch.epochs.first {
            self.insert(Table::Tombstones, row, moved)
        } else {
            self.delete(Table::Tombstones, row).map(drop)
        }
    }

    /// The first retained point after an epoch.
    pub(crate) fn retained_after(&self, epoch: Epoch) -> Result<Option<Epoch>> {
        let range = KeyRange::all().from(&epoch.next().to_key());
        self.ends_of(&range).map(|ends| ends.into_iter().min())
    }

    /// The last retained point before an epoch.
    pub(crate) fn retained_before(&self, epoch: Epoch) -> Result<Option<Epoch>> {
        let range = KeyRange::all().until(&epoch.to_key()).backward();
        self.ends_of(&range).map(|ends| ends.into_iter().max())
    }

    fn ends_of(&self, range: &KeyRange) -> Result<Vec<Epoch>> {
        let mut ends = Vec::new();
        for table in [Table::Points, Table::Commits] {
            let first = self.stored().first(table, range)?;
            ends.extend(first.as_ref().and_then(|(key, _)| Epoch::split_key(key)).map(|(epoch, _)| epoch));
        }
        Ok(ends)
    }
}
