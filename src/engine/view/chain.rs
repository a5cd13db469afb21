//! The past of a key: following its chain of pre-images.

use std::ops::ControlFlow;
use std::sync::atomic::Ordering;

use super::reader::View;
use crate::engine::format::epoch::Epoch;
use crate::engine::format::frame::{self, Frame};
use crate::engine::format::keys::pre_image_key;
use crate::engine::format::schema::{Place, Table};
use crate::engine::history::members::Members;
use crate::engine::meta;
use crate::engine::rows::{BatchSize, KeyRange, PAGE_BYTES, ROWS_PER_READ};
use crate::error::{Error, Result};

/// After this many steps along chains, the retained points are read into memory once instead of looked up each time.
const STEPS_BEFORE_LOADING: u32 = 64;

/// The stored bytes of a key's frame, whose checksum has been compared, with its birth.
#[derive(Clone, Debug)]
pub(crate) struct StoredFrame {
    pub(crate) birth: Epoch,
    bytes: Vec<u8>,
}

impl StoredFrame {
    pub(super) fn new(row: &[u8], bytes: Vec<u8>) -> Result<Self> {
        let birth = frame::decode(Place::of_record(row), &bytes)?.birth;
        Ok(Self { birth, bytes })
    }

    /// The frame.
    pub(crate) fn frame(&self, row: &[u8]) -> Result<Frame<'_>> {
        frame::decode_compared(Place::of_record(row), &self.bytes)
    }
}

fn broken_chain(row: &[u8]) -> Error {
    Error::damaged(format!("a pre-image is missing: {}", Place::of_record(row)))
}

impl View {
    /// The state of a key at the view's point, with its birth.
    pub(crate) fn state(&self, row: &[u8]) -> Result<Option<StoredFrame>> {
        self.state_at(row, self.at)
    }

    /// The state of a key at a point of this view's past.
    pub(crate) fn state_at(&self, row: &[u8], at: Epoch) -> Result<Option<StoredFrame>> {
        let found = match self.stored().get(Table::Live, row)? {
            Some(bytes) => Some(bytes),
            None if at == Epoch::NOW => None,
            None => self.stored().get(Table::Tombstones, row)?,
        };
        found.map(|bytes| self.follow(row, StoredFrame::new(row, bytes)?, at)).transpose()
    }

    /// Follows the chain of pre-images to the state of the key at a point.
    pub(super) fn follow(&self, row: &[u8], mut found: StoredFrame, at: Epoch) -> Result<StoredFrame> {
        while found.birth > at {
            found = self.step(row, &found)?;
        }
        Ok(found)
    }

    /// The state before; none when no point has seen another.
    pub(crate) fn before(&self, row: &[u8], found: &StoredFrame) -> Result<Option<StoredFrame>> {
        let was_seen = self.epochs.any_point() && found.birth > self.epochs.first;
        was_seen.then(|| self.step(row, found)).transpose()
    }

    fn step(&self, row: &[u8], found: &StoredFrame) -> Result<StoredFrame> {
        let earlier = StoredFrame::new(row, self.pre_image(row, found.birth)?)?;
        // S2: births along a chain strictly fall, so that a damaged chain ends too.
        if earlier.birth >= found.birth {
            let place = Place::of_record(row);
            return Err(Error::damaged(format!("a chain of pre-images does not descend: {place}")));
        }
        Ok(earlier)
    }

    /// The stored state at the point before the segment in which the key was born.
    fn pre_image(&self, row: &[u8], birth: Epoch) -> Result<Vec<u8>> {
        if self.members.get().is_none() {
            // Mostly the key was born in the epoch of a retained point, whose segment has that number. While points are
            // being merged, that row may be covered by an older one, which counts (S7).
            if self.epochs.merging == 0
                && let Some(bytes) = self.stored().get(Table::PreImages, &pre_image_key(birth, row))?
            {
                return Ok(bytes);
            }
            // A few look-ups cost less than reading every point.
            if self.steps.fetch_add(1, Ordering::Relaxed) < STEPS_BEFORE_LOADING {
                return self.pre_image_by_look_up(row, birth);
            }
        }
        let members = self.members()?;
        // S3: the segment of the birth. S7: sources that are still merging into it come first, ascending.
        for part in members.parts(members.segment(birth)) {
            if let Some(bytes) = self.stored().get(Table::PreImages, &pre_image_key(part, row))? {
                return Ok(bytes);
            }
        }
        Err(broken_chain(row))
    }

    /// The same by looking up the points around the birth, without reading all of them.
    fn pre_image_by_look_up(&self, row: &[u8], birth: Epoch) -> Result<Vec<u8>> {
        // S3: the segment of the birth is the smallest point that is not before it, or the open epoch. Named and
        // unnamed points are in two tables.
        let from = KeyRange::all().from(&birth.to_key());
        let mut segment = self.epochs.open;
        for table in [Table::Points, Table::Commits] {
            let first = self.stored.first(table, &from)?;
            if let Some((epoch, _)) = first.as_ref().and_then(|(key, _)| Epoch::split_key(key)) {
                segment = segment.min(epoch);
            }
        }
        // S7: sources that are still merging into the segment lie behind the point before it; the first row met counts.
        let before = KeyRange::all().until(&segment.to_key()).backward();
        let mut previous = Epoch(0);
        if self.epochs.merging > 0 {
            for table in [Table::Points, Table::Commits] {
                let last = self.stored.first(table, &before)?;
                if let Some((epoch, _)) = last.as_ref().and_then(|(key, _)| Epoch::split_key(key)) {
                    previous = previous.max(epoch);
                }
            }
            for source in meta::merging_between(self, previous, segment)? {
                if let Some(bytes) = self.stored().get(Table::PreImages, &pre_image_key(source, row))? {
                    return Ok(bytes);
                }
            }
        }
        // S2: there is one, or the chain is broken.
        self.stored().get(Table::PreImages, &pre_image_key(segment, row))?.ok_or_else(|| broken_chain(row))
    }

    /// The retained points and those still being merged, read once.
    pub(crate) fn members(&self) -> Result<&Members> {
        if let Some(members) = self.members.get() {
            return Ok(members);
        }
        let mut retained = self.epochs_of(Table::Points)?;
        retained.extend(self.epochs_of(Table::Commits)?);
        retained.sort_unstable();
        let merging = match self.epochs.merging {
            0 => Vec::new(),
            _ => meta::merging_between(self, Epoch(0), Epoch::NOW)?,
        };
        Ok(self.members.get_or_init(|| Members { retained, merging, open: self.epochs.open }))
    }

    /// The epochs that a table of points has rows of.
    pub(crate) fn epochs_of(&self, table: Table) -> Result<Vec<Epoch>> {
        let mut epochs = Vec::new();
        let size = BatchSize { rows: ROWS_PER_READ, bytes: PAGE_BYTES };
        self.stored.each_batch(table, KeyRange::all(), size, |rows| {
            for row in rows {
                let epoch = Epoch::split_key(row.key()).map(|(epoch, _)| epoch);
                let short = || Error::damaged(format!("a row has a short key: table={}", table.name()));
                epochs.push(epoch.ok_or_else(short)?);
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(epochs)
    }
}
