//! Reading inside of a write transaction, which sees its own writes.

use std::ops::ControlFlow;

use jiff::Timestamp;

use super::transaction::WriteTx;
use crate::engine::format::digest::Stats;
use crate::engine::format::frame::{self, State};
use crate::engine::format::schema::{CollectionId, Place, Table};
use crate::engine::meta;
use crate::engine::records::{Records, Visit};
use crate::engine::rows::{BatchSize, KeyRange, PAGE_BYTES, ROWS_PER_READ, Row, part_of};
use crate::error::Result;

impl Records for WriteTx<'_> {
    fn get(&self, collection: CollectionId, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let row = collection.row_key(key);
        match self.stored().get(Table::Live, &row)? {
            None => Ok(None),
            Some(bytes) => {
                let frame = frame::decode(Place::of_record(&row), &bytes)?;
                self.whole_value(collection, key, frame.state)
            }
        }
    }

    fn part(&self, collection: CollectionId, range: &KeyRange, limit: usize) -> Result<Vec<Row>> {
        let record = |(row, bytes): Row| {
            let place = Place::of_record(&row);
            let frame = frame::decode(place, &bytes)?;
            let value = self.whole_value(collection, place.key, frame.state)?;
            Ok(Some((place.key.to_vec(), value.unwrap_or_default())))
        };
        let fetch = |range: &KeyRange, limit| self.stored().part(Table::Live, range, limit);
        part_of(range.within(collection), limit, fetch, record)
    }

    /// Without a copy of any row, as long documents are gone through within a transaction that others wait for.
    fn each(&self, collection: CollectionId, range: KeyRange, visit: &mut Visit<'_>) -> Result<()> {
        let size = BatchSize { rows: ROWS_PER_READ, bytes: PAGE_BYTES };
        self.stored.each_batch(Table::Live, range.within(collection), size, |rows| {
            for row in rows {
                let place = Place::of_record(row.key());
                match frame::decode(place, row.value())?.state {
                    State::Present(payload) => visit(place.key, payload)?,
                    state => visit(place.key, &self.whole_value(collection, place.key, state)?.unwrap_or_default())?,
                }
            }
            Ok(ControlFlow::Continue(()))
        })
    }

    fn stats(&self, collection: CollectionId) -> Result<Stats> {
        match self.batch.stats.get(&collection) {
            Some(stats) => Ok(*stats),
            None => meta::stats(self, collection),
        }
    }

    fn row(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.stored().get(table, key)?.map(|bytes| meta::payload(table, key, &bytes)).transpose()
    }

    fn rows(&self, table: Table, range: &KeyRange, limit: usize) -> Result<Vec<Row>> {
        meta::payloads(table, self.stored().page(table, range, limit)?)
    }

    fn is_now(&self) -> bool {
        true
    }

    fn now(&self) -> Timestamp {
        self.context.clock.now()
    }
}
