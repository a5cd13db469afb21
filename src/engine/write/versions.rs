//! The versions of a record: its newest frame, and the pre-image and tombstone that a point needs.

use super::found::Found;
use super::transaction::{Buffers, WriteTx};
use crate::engine::format::epoch::{Epoch, Epochs};
use crate::engine::format::frame::{self, Frame, State};
use crate::engine::format::keys::{PreImageKey, pre_image_key};
use crate::engine::format::schema::{CollectionId, Place, Table};
use crate::engine::format::value;
use crate::engine::meta;
use crate::error::{Error, Result};

impl WriteTx<'_> {
    /// Writes one frame of a record in the open epoch; the pre-image is kept when a point needs it. Gives the number of
    /// pieces that the overwritten value had.
    pub(crate) fn put_state(&mut self, collection: CollectionId, key: &[u8], state: State<'_>) -> Result<u32> {
        self.put_state_over(None, collection, key, state)
    }

    /// The same over the row that was found, if the change has looked.
    pub(super) fn put_state_over(
        &mut self,
        found: Option<Found>,
        collection: CollectionId,
        key: &[u8],
        state: State<'_>,
    ) -> Result<u32> {
        let mut buffers = std::mem::take(&mut self.buffers);
        let done = self.put_state_with(&mut buffers, found, collection, key, state);
        self.buffers = buffers;
        done
    }

    fn put_state_with(
        &mut self,
        buffers: &mut Buffers,
        found: Option<Found>,
        collection: CollectionId,
        key: &[u8],
        state: State<'_>,
    ) -> Result<u32> {
        let open = self.batch.epochs.open;
        let Buffers { row, frame, old, undo } = buffers;
        let mut pieces = 0;
        fill_row_key(row, collection, key);
        frame::encode(frame, Place::of_record(row), open, state);
        if let Some(before) = self.replace_live(row, Some(frame), found, old)? {
            pieces = value::pieces_of(before.state);
            if let Some(payload) = before.payload() {
                // D1: the old payload no longer counts.
                self.stats_mut(collection)?.subtract(key, payload);
            }
            let birth = before.birth;
            self.keep_if_seen(undo, row, birth, old)?;
        } else if self.stored.count(Table::Tombstones)? > 0 && self.replace(Table::Tombstones, row, None, old)? {
            // S4: a key is not in both tables, so the tombstone goes.
            let removed = frame::decode(Place::of_record(row), old)?.birth;
            self.keep_if_seen(undo, row, removed, old)?;
        } else if self.batch.epochs.any_point() {
            // S3: a key in neither table never was. S1: that is kept as absent, born in epoch 0.
            frame::encode(old, Place::of_record(row), Epoch(0), State::Absent);
            self.keep_pre_image(undo, row, old)?;
        }
        // D1: the new payload is counted.
        if let State::Present(payload) | State::Chunked(payload) = state {
            self.stats_mut(collection)?.add(key, payload);
        }
        Ok(pieces)
    }

    /// S1: the first change in this segment keeps the record as the last point saw it. A version that was born after
    /// that point has changed in this segment before, and the record has its pre-image.
    fn keep_if_seen(&mut self, undo: &mut Vec<u8>, row: &[u8], birth: Epoch, version: &[u8]) -> Result<()> {
        let epochs = self.batch.epochs;
        if epochs.any_point() && birth <= epochs.last { self.keep_pre_image(undo, row, version) } else { Ok(()) }
    }

    /// Keeps a version as the pre-image of a record in the open segment.
    fn keep_pre_image(&mut self, undo: &mut Vec<u8>, row: &[u8], version: &[u8]) -> Result<()> {
        PreImageKey::new(self.batch.epochs.open, row).write_to(undo);
        self.insert(Table::PreImages, undo, version)
    }

    /// Removes one frame of a record; a tombstone stays when a point sees the record. Gives the number of pieces that
    /// the value had, or none when there was no record.
    pub(crate) fn remove_state(&mut self, collection: CollectionId, key: &[u8]) -> Result<Option<u32>> {
        self.remove_state_over(None, collection, key)
    }

    /// The same over the row that was found, if the change has looked.
    pub(super) fn remove_state_over(
        &mut self,
        found: Option<Found>,
        collection: CollectionId,
        key: &[u8],
    ) -> Result<Option<u32>> {
        let mut buffers = std::mem::take(&mut self.buffers);
        let done = self.remove_state_with(&mut buffers, found, collection, key);
        self.buffers = buffers;
        done
    }

    fn remove_state_with(
        &mut self,
        buffers: &mut Buffers,
        found: Option<Found>,
        collection: CollectionId,
        key: &[u8],
    ) -> Result<Option<u32>> {
        let Epochs { open, last, .. } = self.batch.epochs;
        let Buffers { row, frame, old, undo } = buffers;
        fill_row_key(row, collection, key);
        let Some(before) = self.replace_live(row, None, found, old)? else { return Ok(None) };
        let pieces = value::pieces_of(before.state);
        // D1: the payload no longer counts.
        if let Some(payload) = before.payload() {
            self.stats_mut(collection)?.subtract(key, payload);
        }
        // S4: without a point nobody needs a tombstone.
        if !self.batch.epochs.any_point() {
            return Ok(Some(pieces));
        }
        frame::encode(frame, Place::of_record(row), open, State::Absent);
        if before.birth <= last {
            // S1 and S3: the last point saw the record, and its chain begins at the tombstone.
            self.keep_pre_image(undo, row, old)?;
            self.insert(Table::Tombstones, row, frame)?;
        } else {
            // S5: no point saw this version.
            self.remove_what_was_born_in_the_open_segment(row, frame)?;
        }
        Ok(Some(pieces))
    }

    /// A record that no point sees is gone. If it was absent at the last point, its row goes too, and the tombstone of
    /// its removal before that comes back when a point still needs it; so a key that is created and removed within one
    /// segment leaves nothing.
    fn remove_what_was_born_in_the_open_segment(&mut self, row: &[u8], tombstone: &[u8]) -> Result<()> {
        let segment = self.open_segment()?;
        // S2: a record born after the earliest point has a pre-image. S7: the first row met counts.
        let mut met = None;
        for epoch in &segment {
            if let Some(bytes) = self.stored().get(Table::PreImages, &pre_image_key(*epoch, row))? {
                met = Some(bytes);
                break;
            }
        }
        let Some(bytes) = met else {
            return Err(Error::damaged(format!("a pre-image is missing: {}", Place::of_record(row))));
        };
        let at_last_point = frame::decode(Place::of_record(row), &bytes)?;
        // S4: the last point saw a record here, so the removal leaves a tombstone.
        if at_last_point.state != State::Absent {
            return self.insert(Table::Tombstones, row, tombstone);
        }
        // S5: the key was absent at the last point, so the segment leaves nothing. The covered rows of sources go too
        // (S7).
        let removed = at_last_point.birth;
        for epoch in &segment {
            self.delete(Table::PreImages, &pre_image_key(*epoch, row))?;
        }
        // S4: the tombstone of the removal before comes back while a point is older than that.
        if removed > self.batch.epochs.first {
            self.insert(Table::Tombstones, row, &bytes)?;
        }
        Ok(())
    }

    /// The epochs whose undo rows make up the open segment, in the order in which the first row met counts.
    fn open_segment(&self) -> Result<Vec<Epoch>> {
        let Epochs { open, last, .. } = self.batch.epochs;
        let mut segment = self.merging_between(last, open)?;
        segment.push(open);
        Ok(segment)
    }

    /// The forgotten points between two epochs that are still being merged.
    pub(crate) fn merging_between(&self, after: Epoch, before: Epoch) -> Result<Vec<Epoch>> {
        if self.batch.epochs.merging == 0 {
            return Ok(Vec::new());
        }
        meta::merging_between(self, after, before)
    }

    /// Replaces the frame of a record, and leaves the earlier one in `old`. Gives that one, if there was one.
    fn replace_live<'b>(
        &mut self,
        row: &[u8],
        value: Option<&[u8]>,
        found: Option<Found>,
        old: &'b mut Vec<u8>,
    ) -> Result<Option<Frame<'b>>> {
        // F1: a damaged record is never overwritten or removed, as only repair can tell what it was.
        let Some(found) = found else {
            let existed = self.replace(Table::Live, row, value, old)?;
            return existed.then(|| self.verified_or_put_back(row, old)).transpose();
        };
        self.replace_found(row, value, &found)?;
        found.into_frame(row, old)
    }

    fn verified_or_put_back<'b>(&mut self, row: &[u8], old: &'b [u8]) -> Result<Frame<'b>> {
        let verified = frame::decode(Place::of_record(row), old);
        if verified.is_err() {
            // F1: the damaged row goes back byte for byte. Nothing has changed then, so the two changes do not count.
            self.insert(Table::Live, row, old)?;
            self.row_changes = self.row_changes.saturating_sub(2);
        }
        verified
    }
}

fn fill_row_key(out: &mut Vec<u8>, collection: CollectionId, key: &[u8]) {
    out.clear();
    out.extend_from_slice(&collection.0.to_be_bytes());
    out.extend_from_slice(key);
}
