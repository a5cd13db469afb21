//! Verifying everything and changing nothing, in O(live + undo).
//!
//! Every key's chain of pre-images is walked once, from its newest frame to the earliest point. Each step belongs to
//! one segment, and says what that segment changed in its collection; so from the digests of now, going back segment
//! by segment, every point's digests follow, and must be those of its manifest.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

use crate::engine::digest::Stats;
use crate::engine::epoch::{Epoch, Epochs};
use crate::engine::frame::{self, State};
use crate::engine::meta;
use crate::engine::records::{KeyRange, Records};
use crate::engine::schema::{CollectionId, Place, Table};
use crate::engine::value;
use crate::engine::view::{Members, View, undo_range};
use crate::engine::walk::walk;
use crate::engine::write::undo_key;
use crate::error::{Error, ErrorKind, Result};

/// Rows that a worker takes at a time.
const BATCH: usize = 512;
/// More findings than this are counted, not listed.
const MOST_FINDINGS: usize = 1000;

/// What a check found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct CheckReport {
    /// Live records that were verified.
    pub records: u64,
    /// Their payloads, in bytes.
    pub bytes: u64,
    /// Pre-images that were verified.
    pub pre_images: u64,
    /// Points whose content was verified.
    pub points: u64,
    /// Whether the pages of the file were verified too.
    pub pages: bool,
    /// What is wrong; at most a thousand are listed.
    pub findings: Vec<Finding>,
    /// How many findings there are, listed or not.
    pub found: u64,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// The table that it is in.
    pub table: String,
    /// The key of the row, with bytes that are no text escaped.
    pub key: String,
    /// What is wrong and what it means.
    pub what: String,
}

impl CheckReport {
    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.found == 0
    }

    /// Adds a finding.
    pub(crate) fn find(&mut self, finding: Finding) {
        self.found += 1;
        if self.findings.len() < MOST_FINDINGS {
            self.findings.push(finding);
        }
    }

    fn merge(&mut self, other: Self) {
        self.records += other.records;
        self.bytes += other.bytes;
        self.pre_images += other.pre_images;
        self.found += other.found;
        let room = MOST_FINDINGS.saturating_sub(self.findings.len());
        self.findings.extend(other.findings.into_iter().take(room));
    }
}

impl Finding {
    pub(crate) fn new(table: &str, key: &[u8], what: impl Into<String>) -> Self {
        Self { table: table.into(), key: key.escape_ascii().to_string(), what: what.into() }
    }
}

/// What the rows that one worker saw add up to.
#[derive(Default)]
struct Sums {
    report: CheckReport,
    live: BTreeMap<CollectionId, Stats>,
    /// What going back over a segment does to a collection.
    back: BTreeMap<(Epoch, CollectionId), Stats>,
    index_rows: u64,
    /// Pre-images that an older one covers until the merge of their segments is done.
    covered: u64,
}

/// Verifies all that a view of now can see: records, chains, tombstones, digests, manifests, indexes, and the frames
/// of every other table. `progress` is told how many of how many rows are done.
pub(crate) fn check(view: &View, progress: &(dyn Fn(u64, u64) + Sync)) -> Result<CheckReport> {
    let members = view.members()?;
    let total = view.count_rows(Table::Live)? + view.count_rows(Table::Tombstones)?;
    let done = AtomicU64::new(0);
    let mut sums = Sums::default();
    for table in [Table::Live, Table::Tombstones] {
        let tick = |rows| progress(done.fetch_add(rows, Ordering::Relaxed) + rows, total);
        let verified =
            walk(view, table, &tick, |sums: &mut Sums, row, bytes| sums.row(view, members, table, row, bytes))?;
        verified.into_iter().for_each(|part| sums.merge(part));
    }
    sums.stage(Table::Meta, |sums| sums.compare_statistics(view))?;
    sums.stage(Table::Meta, |sums| sums.compare_epochs(view, members))?;
    sums.stage(Table::Points, |sums| sums.compare_points(view, members))?;
    sums.stage(Table::Undo, |sums| sums.find_orphans(view, members))?;
    sums.stage(Table::Index, |sums| sums.compare_index(view))?;
    sums.stage(Table::Collections, |sums| sums.compare_collections(view))?;
    let mut report = sums.report;
    for table in Table::ALL {
        if !matches!(table, Table::Live | Table::Undo | Table::Tombstones | Table::Index) {
            check_rows(view, table, &mut report)?;
        }
    }
    report.findings.sort();
    Ok(report)
}

impl Sums {
    fn merge(&mut self, other: Self) {
        self.report.merge(other.report);
        self.index_rows += other.index_rows;
        self.covered += other.covered;
        for (collection, stats) in other.live {
            self.live.entry(collection).or_default().merge(&stats);
        }
        for (at, stats) in other.back {
            self.back.entry(at).or_default().merge(&stats);
        }
    }

    /// Verifies one key: its newest frame and every pre-image behind it.
    fn row(&mut self, view: &View, members: &Members, table: Table, row: &[u8], bytes: &[u8]) -> Result<()> {
        let verified = self.row_or_damage(view, members, table, row, bytes);
        self.or_find(table, row, verified)
    }

    /// Runs one part of the check. Damage that ends it is a finding, and the other parts are still run.
    fn stage(&mut self, table: Table, part: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        let done = part(self);
        self.or_find(table, b"", done)
    }

    fn or_find(&mut self, table: Table, key: &[u8], done: Result<()>) -> Result<()> {
        match done {
            Err(error) if matches!(error.kind(), ErrorKind::Damaged | ErrorKind::NewerFormat) => {
                self.find(table, key, error.to_string());
                Ok(())
            }
            done => done,
        }
    }

    fn row_or_damage(&mut self, view: &View, members: &Members, table: Table, row: &[u8], bytes: &[u8]) -> Result<()> {
        let place = Place::of_record(row);
        let newest = frame::decode(place, bytes)?;
        let stats = newest.payload().map(|payload| stats_of(place.key, payload));
        if let Some(stats) = &stats {
            self.report.records += 1;
            self.report.bytes += stats.bytes;
            self.live.entry(place.collection).or_default().merge(stats);
        }
        match (table, newest.state) {
            (Table::Live, State::Absent) => self.find(table, row, "a record is marked as absent"),
            (Table::Tombstones, State::Absent) => self.tombstone(view, members, row, newest.birth)?,
            (Table::Tombstones, _) => self.find(table, row, "a tombstone has content"),
            (_, state) => self.content(view, place, state)?,
        }
        if newest.birth > members.open {
            self.find(table, row, "a record was born in an epoch that has not begun");
        }
        self.chain(view, members, row, newest.birth, stats)
    }

    /// A tombstone stays only while a point before it needs it, and never beside a live record.
    fn tombstone(&mut self, view: &View, members: &Members, row: &[u8], removed: Epoch) -> Result<()> {
        if view.raw(Table::Live, row)?.is_some() {
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
        if place.collection == CollectionId::CHUNKS && !belongs_to_a_value(view, place.key)? {
            self.find(Table::Live, &place.collection.row_key(place.key), "a piece belongs to no long value");
        }
        let rule = view.context().index_rule(place.collection);
        if rule.is_none() && !matches!(state, State::Chunked(_)) {
            return Ok(());
        }
        let payload = value::whole(place.collection, place.key, state, |piece| view.get(CollectionId::CHUNKS, piece))?;
        for key in rule.map_or(Ok(Vec::new()), |rule| rule.keys(place.key, payload.as_deref()))? {
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
        while birth > first {
            let segment = members.segment(birth);
            let bytes = self
                .first_pre_image(view, members, row, segment)?
                .ok_or_else(|| Error::damaged(format!("a pre-image is missing: segment={segment} {place}")))?;
            let before = frame::decode(place, &bytes)?;
            if before.birth > members.before(segment) {
                return Err(Error::damaged(format!("a pre-image is in the wrong segment: segment={segment} {place}")));
            }
            self.report.pre_images += 1;
            let stats = before.payload().map(|payload| stats_of(place.key, payload));
            let back = self.back.entry((segment, place.collection)).or_default();
            if let Some(newer) = &newer {
                back.subtract_stats(newer);
            }
            if let Some(stats) = &stats {
                back.merge(stats);
            }
            (birth, newer) = (before.birth, stats);
        }
        Ok(())
    }

    /// The row that counts in a segment; those that it covers are verified by themselves.
    fn first_pre_image(
        &mut self,
        view: &View,
        members: &Members,
        row: &[u8],
        segment: Epoch,
    ) -> Result<Option<Vec<u8>>> {
        let mut first = None;
        for part in members.parts(segment) {
            let Some(bytes) = view.raw(Table::Undo, &undo_key(part, row))? else { continue };
            if first.is_none() {
                first = Some(bytes);
            } else {
                frame::decode(Place::of_record(row), &bytes)?;
                self.covered += 1;
            }
        }
        Ok(first)
    }

    fn compare_statistics(&mut self, view: &View) -> Result<()> {
        let stored: BTreeMap<_, _> = meta::all_stats(view)?.into_iter().collect();
        let collections: BTreeSet<_> = stored.keys().chain(self.live.keys()).copied().collect();
        for collection in collections {
            let (stored, counted) = (stored.get(&collection), self.live.get(&collection));
            if stored.copied().unwrap_or_default() != counted.copied().unwrap_or_default() {
                let what = "count, bytes or digest of a collection differ from its records: some were lost or altered";
                self.find(Table::Meta, &meta::stats_key(collection), what);
            }
        }
        Ok(())
    }

    /// The row of epochs must say what the tables of points say.
    fn compare_epochs(&mut self, view: &View, members: &Members) -> Result<()> {
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

    /// From now back, segment by segment, every point's digests must be those of its manifest.
    fn compare_points(&mut self, view: &View, members: &Members) -> Result<()> {
        let mut running = std::mem::take(&mut self.live);
        let mut segment = members.open;
        for point in members.retained.iter().rev() {
            for ((_, collection), back) in
                self.back.range((segment, CollectionId(0))..=(segment, CollectionId(u32::MAX)))
            {
                running.entry(*collection).or_default().merge(back);
            }
            segment = *point;
            self.report.points += 1;
            match view.manifest(*point) {
                Ok(None) => {}
                Ok(Some(manifest)) => {
                    let there: BTreeMap<_, _> = running
                        .iter()
                        .filter(|(_, stats)| **stats != Stats::default())
                        .map(|(collection, stats)| (*collection, *stats))
                        .collect();
                    if there != manifest.collections.iter().copied().collect() {
                        let what = format!("the content of a point differs from its manifest: id={}", manifest.id);
                        self.find(Table::Points, &point.to_key(), what);
                    }
                    if view.row(Table::PointIds, manifest.id.0.as_bytes())?.as_deref() != Some(&point.to_key()) {
                        self.find(Table::PointIds, manifest.id.0.as_bytes(), "the name of a point is missing");
                    }
                }
                // Named when the rows of its table are checked.
                Err(error) if matches!(error.kind(), ErrorKind::Damaged | ErrorKind::NewerFormat) => {}
                Err(error) => return Err(error),
            }
        }
        self.live = running;
        Ok(())
    }

    /// Every pre-image must have been met on a chain; when some were not, they are named.
    fn find_orphans(&mut self, view: &View, members: &Members) -> Result<()> {
        let first = members.retained.first().copied().unwrap_or(Epoch::NOW);
        let met = self.report.pre_images + self.covered + self.waiting_to_be_dropped(view)?;
        if view.count_rows(Table::Undo)? == met {
            return Ok(());
        }
        let mut range = KeyRange::all();
        loop {
            let page = view.raw_page(Table::Undo, &range, BATCH)?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            range = range.after(last);
            for (key, bytes) in &page {
                let Some((epoch, row)) = Epoch::split_key(key) else {
                    self.find(Table::Undo, key, "a pre-image has a short key");
                    continue;
                };
                if let Err(error) = frame::decode(Place::of_record(row), bytes) {
                    self.find(Table::Undo, key, error.to_string());
                } else if !on_a_chain(view, members, first, epoch, row)? {
                    self.find(Table::Undo, key, "a pre-image belongs to no record or segment");
                }
            }
        }
    }

    /// How many pre-images serve no point any more.
    fn waiting_to_be_dropped(&mut self, view: &View) -> Result<u64> {
        let mut rows = 0;
        let mut range = undo_range(Epoch(0), view.epochs().dropping);
        loop {
            let page = view.raw_page(Table::Undo, &range, BATCH)?;
            let Some((last, _)) = page.last() else { return Ok(rows) };
            range = range.after(last);
            for (key, bytes) in &page {
                rows += 1;
                if let Err(error) = frame::decode(Table::Undo.place(key), bytes) {
                    self.find(Table::Undo, key, error.to_string());
                }
            }
        }
    }

    fn compare_index(&mut self, view: &View) -> Result<()> {
        let rows = view.count_rows(Table::Index)?;
        if rows > self.index_rows {
            let more = rows - self.index_rows;
            self.find(Table::Index, b"", format!("index rows belong to no record: rows={more}"));
        }
        Ok(())
    }

    /// The numbers of the users' collections are given out once each.
    fn compare_collections(&mut self, view: &View) -> Result<()> {
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

    fn find(&mut self, table: Table, key: &[u8], what: impl Into<String>) {
        self.report.find(Finding::new(table.name(), key, what));
    }
}

/// Whether a pre-image serves some point, waits to be dropped, or is covered by an older one still to be merged.
fn on_a_chain(view: &View, members: &Members, first: Epoch, epoch: Epoch, row: &[u8]) -> Result<bool> {
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

/// Compares the checksum of every row of a table that is not versioned.
fn check_rows(view: &View, table: Table, report: &mut CheckReport) -> Result<()> {
    let mut range = KeyRange::all();
    loop {
        let page = view.raw_page(table, &range, BATCH)?;
        let Some((last, _)) = page.last() else { return Ok(()) };
        range = range.after(last);
        for (key, bytes) in &page {
            let read = meta::payload(table, key, bytes).and_then(|payload| match table {
                Table::Points => crate::engine::codec::decode::<crate::engine::point::Manifest>(&payload).map(drop),
                Table::Commits => crate::engine::codec::decode::<crate::engine::point::Commit>(&payload).map(drop),
                Table::PointIds => names_a_point(view, key, &payload),
                _ => Ok(()),
            });
            if let Err(error) = read {
                report.find(Finding::new(table.name(), key, error.to_string()));
            }
        }
    }
}

/// Whether a piece is one of those that a live record's head names.
fn belongs_to_a_value(view: &View, piece: &[u8]) -> Result<bool> {
    let (Some(owner), Some(key)) = (value::owner_of_piece(piece), value::owner_key_of_piece(piece)) else {
        return Ok(false);
    };
    let row = owner.row_key(key);
    let Some(bytes) = view.raw(Table::Live, &row)? else { return Ok(false) };
    let pieces = value::pieces_of(frame::decode(Place::of_record(&row), &bytes)?.state);
    Ok(piece.last_chunk::<4>().is_some_and(|number| u32::from_be_bytes(*number) < pieces))
}

/// Compares the row of a point's name with the point.
fn names_a_point(view: &View, id: &[u8], epoch: &[u8]) -> Result<()> {
    let manifest = view.manifest(Epoch(meta::number(epoch)?))?;
    if manifest.is_none_or(|manifest| manifest.id.0.as_bytes() != id) {
        return Err(Error::damaged("the name of a point names none: the point was lost"));
    }
    Ok(())
}

fn stats_of(key: &[u8], payload: &[u8]) -> Stats {
    let mut stats = Stats::default();
    stats.add(key, payload);
    stats
}
