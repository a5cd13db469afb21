//! Whole tables: whether they agree with the records and with each other.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::whole::{BATCH, Sums};
use crate::engine::format::codec;
use crate::engine::format::epoch::{Epoch, Epochs};
use crate::engine::format::frame;
use crate::engine::format::keys::PreImageKey;
use crate::engine::format::point::{Commit, Manifest};
use crate::engine::format::schema::{CollectionId, Place, Table};
use crate::engine::history::members::Members;
use crate::engine::history::pre_images::pre_images_between;
use crate::engine::meta;
use crate::engine::records::{KeyRange, Records, scan};
use crate::engine::view::View;
use crate::error::{Error, ErrorKind, Result};

impl Sums {
    /// D1: the stored statistics of each collection are those of its records.
    pub(super) fn compare_statistics(&mut self, view: &View) -> Result<()> {
        let stored: BTreeMap<_, _> = meta::all_stats(view)?.into_iter().collect();
        let collections: BTreeSet<_> = stored.keys().chain(self.tally.now().keys()).copied().collect();
        for collection in collections {
            let (stored, counted) = (stored.get(&collection), self.tally.now().get(&collection));
            if stored.copied().unwrap_or_default() != counted.copied().unwrap_or_default() {
                let what = "count, bytes or digest of a collection differ from its records: some were lost or altered";
                self.find(Table::Meta, &meta::stats_key(collection), what);
            }
        }
        Ok(())
    }

    /// S6: the row of epochs must agree with the tables of points.
    pub(super) fn compare_epochs(&mut self, view: &View, members: &Members) -> Result<()> {
        let Epochs { open, first, last, merging, dropping } = view.epochs();
        let ends = [members.retained.first(), members.retained.last()].map(|end| end.copied().unwrap_or_default());
        let sources = meta::merging_between(view, Epoch(0), Epoch::NOW)?;
        if [first, last] != ends {
            self.find(Table::Meta, meta::EPOCHS, "the earliest or newest point is not the one that is stored");
        }
        if last >= open || sources.last().is_some_and(|source| *source >= open) {
            self.find(Table::Meta, meta::EPOCHS, "the open epoch is not after every point");
        }
        if merging != sources.len() as u64 {
            self.find(Table::Meta, meta::EPOCHS, "the number of points being merged is not that of their rows");
        }
        if dropping > if first == Epoch(0) { open } else { first } {
            self.find(Table::Meta, meta::EPOCHS, "pre-images that a point needs are about to be dropped");
        }
        Ok(())
    }

    /// D2: from now back, segment by segment, every point's digests must be those of its manifest.
    pub(super) fn compare_points(&mut self, view: &View, members: &Members) -> Result<()> {
        for (point, there) in std::mem::take(&mut self.tally).points(members) {
            self.report.points += 1;
            match view.manifest(point) {
                Ok(None) => {}
                Ok(Some(manifest)) => {
                    if there != manifest.collections.iter().copied().collect() {
                        let what = format!("the content of a point differs from its manifest: id={}", manifest.id);
                        self.find(Table::Points, &point.to_key(), what);
                    }
                    // D3: its name leads to it.
                    if view.row(Table::PointIds, manifest.id.0.as_bytes())?.as_deref() != Some(&point.to_key()) {
                        self.find(Table::PointIds, manifest.id.0.as_bytes(), "the name of a point is missing");
                    }
                }
                // Named when the rows of its table are checked.
                Err(error) if matches!(error.kind(), ErrorKind::Damaged | ErrorKind::NewerFormat) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// S7: every pre-image must have been met on a chain; when some were not, they are named.
    pub(super) fn find_orphans(&mut self, view: &View, members: &Members) -> Result<()> {
        let met = self.report.pre_images + self.covered + self.waiting_to_be_dropped(view)?;
        if view.stored().count(Table::PreImages)? == met {
            return Ok(());
        }
        each_row(view, Table::PreImages, &KeyRange::all(), |key, bytes| self.pre_image(view, members, key, bytes))
    }

    /// Verifies one row of `undo` by itself, and that it is on a chain.
    pub(super) fn pre_image(&mut self, view: &View, members: &Members, key: &[u8], bytes: &[u8]) -> Result<()> {
        let Some(PreImageKey { part: epoch, row }) = PreImageKey::split(key) else {
            self.find(Table::PreImages, key, "a pre-image has a short key");
            return Ok(());
        };
        if let Err(error) = frame::decode(Place::of_record(row), bytes) {
            self.find(Table::PreImages, key, error.to_string());
        } else if !on_a_chain(view, members, epoch, row)? {
            self.find(Table::PreImages, key, "a pre-image belongs to no record or segment");
        }
        Ok(())
    }

    /// How many pre-images no longer serve a point.
    fn waiting_to_be_dropped(&mut self, view: &View) -> Result<u64> {
        let mut rows = 0;
        each_row(view, Table::PreImages, &pre_images_between(Epoch(0), view.epochs().dropping), |key, bytes| {
            rows += 1;
            if let Err(error) = frame::decode(Table::PreImages.place(key), bytes) {
                self.find(Table::PreImages, key, error.to_string());
            }
            Ok(())
        })?;
        Ok(rows)
    }

    /// X1: every row of the index must follow from a record; when there are more, they are named.
    pub(super) fn compare_index(&mut self, view: &View) -> Result<()> {
        if view.stored().count(Table::Index)? <= self.index_rows {
            return Ok(());
        }
        let mut follow = HashSet::new();
        for rule in view.context().indexes {
            for record in scan(view, rule.collection, KeyRange::all()) {
                let Ok((key, payload)) = record else { break };
                follow.extend(rule.keys(&key, Some(&payload)).unwrap_or_default().iter().map(|row| hash(row)));
            }
        }
        each_row(view, Table::Index, &KeyRange::all(), |key, _| {
            if !follow.contains(&hash(key)) {
                self.find(Table::Index, key, "an index row follows from no record");
            }
            Ok(())
        })
    }

    /// Verifies the rows of a table that is not versioned.
    pub(super) fn check_rows(&mut self, view: &View, table: Table, range: &KeyRange) -> Result<()> {
        each_row(view, table, range, |key, bytes| {
            self.unversioned(view, table, key, bytes);
            Ok(())
        })
    }

    /// Verifies one row of a table that is not versioned.
    pub(super) fn unversioned(&mut self, view: &View, table: Table, key: &[u8], bytes: &[u8]) {
        let read = meta::payload(table, key, bytes).and_then(|payload| match table {
            Table::Points => codec::decode::<Manifest>(&payload).map(drop),
            Table::Commits => codec::decode::<Commit>(&payload).map(drop),
            Table::PointIds => names_a_point(view, key, &payload),
            _ => Ok(()),
        });
        match read {
            Err(error) => self.find(table, key, error.to_string()),
            // F2: only records have epochs.
            Ok(()) if frame::decode_compared(table.place(key), bytes).is_ok_and(|frame| frame.birth != Epoch(0)) => {
                self.find(table, key, "a row outside of the records has a birth epoch");
            }
            Ok(()) => {}
        }
    }

    /// The numbers of the users' collections are given out once each.
    pub(super) fn compare_collections(&mut self, view: &View) -> Result<()> {
        let given = meta::counter(view, meta::COLLECTIONS)?;
        let mut numbers = BTreeSet::new();
        for (name, CollectionId(number)) in meta::user_collections(view)? {
            let before = number.checked_sub(CollectionId::FIRST_USER.0);
            if before.is_none_or(|before| u64::from(before) >= given) || !numbers.insert(number) {
                let what = format!("a collection has a number that was not given to it: number={number}");
                self.find(Table::Collections, name.as_bytes(), what);
            }
        }
        Ok(())
    }
}

/// Whether a pre-image serves some point, waits to be dropped, or is covered by an older one still to be merged.
fn on_a_chain(view: &View, members: &Members, epoch: Epoch, row: &[u8]) -> Result<bool> {
    let first = members.retained.first().copied().unwrap_or(Epoch::NOW);
    if epoch <= view.epochs().dropping {
        return Ok(true);
    }
    let segment = members.segment(epoch);
    let known = epoch == segment || members.merging.binary_search(&epoch).is_ok();
    if !known || epoch <= first {
        return Ok(false);
    }
    // The key at the segment's end must have been born in the segment; a point's end is the point itself.
    let end = if segment == members.open { Epoch::NOW.0 - 1 } else { segment.0 };
    match view.state_at(row, Epoch(end)) {
        Ok(Some(found)) => Ok(found.birth > members.before(segment)),
        Ok(None) => Ok(false),
        // The chain itself was found damaged where it is walked.
        Err(error) if error.kind() == ErrorKind::Damaged => Ok(true),
        Err(error) => Err(error),
    }
}

/// Compares the row of a point's name with the point.
fn names_a_point(view: &View, id: &[u8], epoch: &[u8]) -> Result<()> {
    let manifest = view.manifest(Epoch(meta::number(epoch)?))?;
    if manifest.is_none_or(|manifest| manifest.id.0.as_bytes() != id) {
        return Err(Error::damaged("the name of a point leads to no point: the point was lost"));
    }
    Ok(())
}

/// Calls `each` with the stored bytes of every row of a range.
fn each_row(
    view: &View,
    table: Table,
    range: &KeyRange,
    mut each: impl FnMut(&[u8], &[u8]) -> Result<()>,
) -> Result<()> {
    let mut range = range.clone();
    loop {
        let page = view.stored().page(table, &range, BATCH)?;
        let Some((last, _)) = page.last() else { return Ok(()) };
        range = range.after(last);
        page.iter().try_for_each(|(key, bytes)| each(key, bytes))?;
    }
}

/// Enough of a hash to tell the rows of an index apart.
fn hash(row: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(row)
}
