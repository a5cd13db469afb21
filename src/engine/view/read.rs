//! Reading records, now or as of a point.

use jiff::Timestamp;

use super::StoredFrame;
use super::reader::View;
use crate::engine::format::digest::Stats;
use crate::engine::format::epoch::Epoch;
use crate::engine::format::schema::{CollectionId, Place, Table};
use crate::engine::format::value;
use crate::engine::meta;
use crate::engine::records::{Records, scan};
use crate::engine::rows::{KeyRange, ROWS_PER_READ, Row, is_full, part_of};
use crate::error::{ErrorKind, Result};

/// A callback for each key and its payload, if that can be read.
type VisitReadable<'v> = dyn FnMut(&[u8], Option<&[u8]>) -> Result<()> + 'v;

impl View {
    fn whole(&self, row: &[u8], found: &StoredFrame) -> Result<Option<Vec<u8>>> {
        let place = Place::of_record(row);
        value::whole(place.collection, place.key, found.frame(row)?.state, |piece| {
            self.get(CollectionId::CHUNKS, piece)
        })
    }

    /// Calls `visit` with every key of a collection and its payload, which is none where damage keeps it from being
    /// read.
    ///
    /// # Errors
    ///
    /// Every error of `visit`; `Damaged` when the pages of the file are damaged.
    pub(crate) fn each_readable(&self, collection: CollectionId, visit: &mut VisitReadable<'_>) -> Result<()> {
        let mut range = KeyRange::all().within(collection);
        loop {
            let rows = match self.at {
                Epoch::NOW => self.stored().part(Table::Live, &range, ROWS_PER_READ)?,
                _ => self.past_candidates(&range, ROWS_PER_READ)?,
            };
            let Some((last, _)) = rows.last() else { return Ok(()) };
            range = range.after(last);
            for (row, bytes) in rows {
                let found = StoredFrame::new(&row, bytes).and_then(|found| self.follow(&row, found, self.at));
                match found.and_then(|found| self.whole(&row, &found)) {
                    Ok(None) => {}
                    Ok(Some(payload)) => visit(Place::of_record(&row).key, Some(&payload))?,
                    Err(error) if matches!(error.kind(), ErrorKind::Damaged | ErrorKind::NewerFormat) => {
                        visit(Place::of_record(&row).key, None)?;
                    }
                    Err(error) => return Err(error),
                }
            }
        }
    }

    /// The first keys that were ever seen by a point, with their newest frames, in the range's order, until there are
    /// `limit` or they have `PAGE_BYTES`: `live` merged with `tombstones`.
    fn past_candidates(&self, range: &KeyRange, limit: usize) -> Result<Vec<Row>> {
        let mut rows = self.stored().part(Table::Live, range, limit)?;
        let mut removed = self.stored().page(Table::Tombstones, range, limit)?;
        if is_full(&rows, limit)
            && let Some((last, _)) = rows.last()
        {
            // Behind these, there may be more of `live` between them.
            removed.retain(|(key, _)| if range.backward { key > last } else { key < last });
        }
        if !removed.is_empty() {
            rows.extend(removed);
            rows.sort_unstable_by(|a, b| if range.backward { b.0.cmp(&a.0) } else { a.0.cmp(&b.0) });
            rows.truncate(limit);
        }
        Ok(rows)
    }
}

impl Records for View {
    fn get(&self, collection: CollectionId, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let row = collection.row_key(key);
        match self.state(&row)? {
            Some(found) => self.whole(&row, &found),
            None => Ok(None),
        }
    }

    fn part(&self, collection: CollectionId, range: &KeyRange, limit: usize) -> Result<Vec<Row>> {
        let range = range.within(collection);
        if self.at == Epoch::NOW {
            let record = |(row, bytes): Row| {
                let value = self.whole(&row, &StoredFrame::new(&row, bytes)?)?;
                Ok(Some((Place::of_record(&row).key.to_vec(), value.unwrap_or_default())))
            };
            return part_of(range, limit, |range, limit| self.stored().part(Table::Live, range, limit), record);
        }
        // Each is followed to its state at the point.
        let record = |(row, bytes): Row| {
            let found = self.follow(&row, StoredFrame::new(&row, bytes)?, self.at)?;
            let value = self.whole(&row, &found)?;
            Ok(value.map(|value| (Place::of_record(&row).key.to_vec(), value)))
        };
        part_of(range, limit, |range, limit| self.past_candidates(range, limit), record)
    }

    fn stats(&self, collection: CollectionId) -> Result<Stats> {
        if self.at == Epoch::NOW {
            return meta::stats(self, collection);
        }
        if let Some(manifest) = &self.manifest {
            return Ok(manifest.stats(collection));
        }
        let mut stats = Stats::default();
        for row in scan(self, collection, KeyRange::all()) {
            let (key, payload) = row?;
            stats.add(&key, &value::in_frame(&payload));
        }
        Ok(stats)
    }

    fn row(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>> {
        // A heartbeat is of now even in a view of the past, and a buffered row is newer than the stored one.
        if table == Table::Liveness
            && let Some(payload) = self.stored.guard().read(|| Ok(self.context.buffered.get(key)))?
        {
            return Ok(Some(payload));
        }
        self.stored().get(table, key)?.map(|bytes| meta::payload(table, key, &bytes)).transpose()
    }

    fn rows(&self, table: Table, range: &KeyRange, limit: usize) -> Result<Vec<Row>> {
        meta::payloads(table, self.stored().page(table, range, limit)?)
    }

    fn is_now(&self) -> bool {
        self.at == Epoch::NOW
    }

    fn now(&self) -> Timestamp {
        self.context.clock.now()
    }
}
