//! One record: its newest frame, every pre-image behind it, and the other rows that belong to it.

use super::whole::Sums;
use crate::engine::format::digest::Stats;
use crate::engine::format::epoch::Epoch;
use crate::engine::format::frame::{self, State};
use crate::engine::format::keys::pre_image_key;
use crate::engine::format::schema::{CollectionId, Place, Table};
use crate::engine::format::value;
use crate::engine::history::members::Members;
use crate::engine::history::tally::stats_of;
use crate::engine::records::Records;
use crate::engine::view::View;
use crate::error::{Error, Result};

impl Sums {
    /// Verifies one key: its newest frame and every pre-image behind it.
    pub(super) fn row(&mut self, view: &View, members: &Members, table: Table, row: &[u8], bytes: &[u8]) -> Result<()> {
        let verified = self.row_or_damage(view, members, table, row, bytes);
        self.or_find(table, row, verified)
    }

    fn row_or_damage(&mut self, view: &View, members: &Members, table: Table, row: &[u8], bytes: &[u8]) -> Result<()> {
        let place = Place::of_record(row);
        let newest = frame::decode(place, bytes)?;
        let stats = newest.payload().map(|payload| stats_of(place.key, payload));
        if let Some(stats) = &stats {
            self.report.records += 1;
            self.report.bytes += stats.bytes;
            self.tally.add(place.collection, stats);
        }
        match (table, newest.state) {
            (Table::Live, State::Absent) => self.find(table, row, "a record is marked as absent"),
            (Table::Tombstones, State::Absent) => self.tombstone(view, members, row, newest.birth)?,
            (Table::Tombstones, _) => self.find(table, row, "a tombstone has content"),
            (_, state) => self.content(view, place, state)?,
        }
        // S6: no frame was born after the open epoch.
        if newest.birth > members.open {
            self.find(table, row, "a record was born in an epoch that has not begun");
        }
        self.chain(view, members, row, newest.birth, stats)
    }

    /// S4: a tombstone stays only while a point before it needs it, and never beside a live record.
    fn tombstone(&mut self, view: &View, members: &Members, row: &[u8], removed: Epoch) -> Result<()> {
        if view.stored().get(Table::Live, row)?.is_some() {
            self.find(Table::Tombstones, row, "a record that exists is also marked as removed");
        }
        let first = members.retained.first().copied().unwrap_or(Epoch::NOW);
        if removed <= first && removed > view.epochs().dropping {
            self.find(Table::Tombstones, row, "a tombstone is older than every point");
        }
        Ok(())
    }

    /// Whatever else belongs to a live record: the pieces of a long value, and its index rows.
    fn content(&mut self, view: &View, place: Place<'_>, state: State<'_>) -> Result<()> {
        // V2: a piece belongs to a long value.
        if place.collection == CollectionId::CHUNKS && !belongs_to_a_value(view, place.key)? {
            self.find(Table::Live, &place.collection.row_key(place.key), "a piece belongs to no long value");
        }
        let piece = |piece: &[u8]| view.get(CollectionId::CHUNKS, piece);
        let Some(rule) = view.context().index_rule(place.collection) else {
            return value::verify(place.collection, place.key, state, piece);
        };
        let payload = value::whole(place.collection, place.key, state, piece)?;
        // X1: the index rows of the record are there. Rows that follow from no record are counted later.
        for key in rule.keys(place.key, payload.as_deref())? {
            self.index_rows += 1;
            if view.row(Table::Index, &key)?.is_none() {
                self.find(Table::Index, &key, format!("the index row of a record is missing: {place}"));
            }
        }
        Ok(())
    }

    /// Walks a key's pre-images back to the earliest point, and adds up what each segment did.
    fn chain(
        &mut self,
        view: &View,
        members: &Members,
        row: &[u8],
        mut birth: Epoch,
        mut newer: Option<Stats>,
    ) -> Result<()> {
        let Some(&first) = members.retained.first() else { return Ok(()) };
        let place = Place::of_record(row);
        // S2: down to the earliest point, each birth has a pre-image of its own.
        while birth > first {
            let segment = members.segment(birth);
            let bytes = self
                .first_pre_image(view, members, row, segment)?
                .ok_or_else(|| Error::damaged(format!("a pre-image is missing: segment={segment} {place}")))?;
            let before = frame::decode(place, &bytes)?;
            // S2: it was born at or before the point before the segment, so births fall and the chain ends.
            if before.birth > members.before(segment) {
                return Err(Error::damaged(format!("a pre-image is in the wrong segment: segment={segment} {place}")));
            }
            self.report.pre_images += 1;
            let stats = before.payload().map(|payload| stats_of(place.key, payload));
            self.tally.step_back(segment, place.collection, newer.as_ref(), stats.as_ref());
            (birth, newer) = (before.birth, stats);
        }
        Ok(())
    }

    /// The row that counts in a segment; those that it covers (S7) are verified by themselves.
    fn first_pre_image(
        &mut self,
        view: &View,
        members: &Members,
        row: &[u8],
        segment: Epoch,
    ) -> Result<Option<Vec<u8>>> {
        let mut first = None;
        for part in members.parts(segment) {
            let Some(bytes) = view.stored().get(Table::PreImages, &pre_image_key(part, row))? else { continue };
            if first.is_none() {
                first = Some(bytes);
            } else {
                frame::decode(Place::of_record(row), &bytes)?;
                self.covered += 1;
            }
        }
        Ok(first)
    }
}

/// Whether a piece is one of those that a live record's head names.
fn belongs_to_a_value(view: &View, piece: &[u8]) -> Result<bool> {
    let (Some(owner), Some(key)) = (value::owner_of_piece(piece), value::owner_key_of_piece(piece)) else {
        return Ok(false);
    };
    let row = owner.row_key(key);
    let Some(bytes) = view.stored().get(Table::Live, &row)? else { return Ok(false) };
    let pieces = value::pieces_of(frame::decode(Place::of_record(&row), &bytes)?.state);
    Ok(piece.last_chunk::<4>().is_some_and(|number| u32::from_be_bytes(*number) < pieces))
}
