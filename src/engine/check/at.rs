//! One point: all of it can be read, and matches its manifest.

use super::whole::{CheckReport, Sums};
use crate::engine::check::walk::Way;
use crate::engine::format::epoch::Epoch;
use crate::engine::format::schema::{CollectionId, Place, Table};
use crate::engine::format::value;
use crate::engine::history::tally::stats_of;
use crate::engine::records::Records;
use crate::engine::view::View;
use crate::error::Result;

/// Reads everything as of the point that the view is of, and compares it with the point's manifest.
pub(crate) fn check_at(view: &View, progress: &(dyn Fn(u64, u64) -> Result<()> + Sync)) -> Result<CheckReport> {
    let at = view.epoch().unwrap_or(Epoch::NOW);
    let mut sums = Sums::default();
    sums.walk_records(Way::Redb, view, progress, |sums, table, row, _| {
        let read = sums.record_at(view, row);
        sums.or_find(table, row, read)
    })?;
    sums.report.points = 1;
    let whole = sums.walked == 2;
    sums.stage(Table::Points, |sums| {
        let Some(manifest) = view.manifest(at)? else { return Ok(()) };
        if whole && *sums.tally.now() != manifest.collections.iter().copied().collect() {
            let what = format!("the content of a point differs from its manifest: id={}", manifest.id);
            sums.find(Table::Points, &at.to_key(), what);
        }
        Ok(())
    })?;
    sums.report.findings.sort();
    Ok(sums.report)
}

impl Sums {
    /// Follows a key to its state at the point, and reads that.
    fn record_at(&mut self, view: &View, row: &[u8]) -> Result<()> {
        let Some(found) = view.state(row)? else { return Ok(()) };
        let (place, frame) = (Place::of_record(row), found.frame(row)?);
        let Some(payload) = frame.payload() else { return Ok(()) };
        let stats = stats_of(place.key, payload);
        self.report.records += 1;
        self.report.bytes += stats.bytes;
        self.tally.add(place.collection, &stats);
        let piece = |piece: &[u8]| view.get(CollectionId::CHUNKS, piece);
        value::verify(place.collection, place.key, frame.state, piece)
    }
}
