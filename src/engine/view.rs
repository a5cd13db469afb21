//! Reading: a consistent view of now, or as of a retained point.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use jiff::Timestamp;

use crate::engine::format::digest::Stats;
use crate::engine::format::epoch::{Epoch, Epochs};
use crate::engine::format::frame::{self, Frame};
use crate::engine::format::keys::pre_image_key;
use crate::engine::format::point::Manifest;
use crate::engine::format::schema::{CollectionId, Place, Table};
use crate::engine::format::value;
use crate::engine::meta;
use crate::engine::opening::context::Context;
use crate::engine::records::{Records, scan};
use crate::engine::redb_file::ReadTables;
use crate::engine::redb_file::pages::Snapshot;
use crate::engine::rows::{BatchSize, KeyRange, PAGE, PAGE_BYTES, ReadRows, Row, is_full, part_of};
use crate::engine::session::process::Owned;
use crate::engine::session::views::{Ticket, Views};
use crate::error::{Error, ErrorKind, Result};

/// What is called with each key and its payload, if that can be read.
type VisitReadable<'v> = dyn FnMut(&[u8], Option<&[u8]>) -> Result<()> + 'v;

/// After so many steps along chains, the retained points are read into memory once instead of looked up each time.
const STEPS_BEFORE_LOADING: u32 = 64;

/// A consistent view of the store: now, or as of a restore point.
///
/// It holds one read transaction and never renews it: what it shows does not change, whatever is written, restored or
/// forgotten meanwhile. The file cannot reuse pages that a view still sees, so drop it when done.
pub struct View {
    context: Arc<Context>,
    stored: ReadRows,
    /// Says that it is open.
    _ticket: Owned<Ticket>,
    /// The pages of the same commit, if they can be read past redb.
    snapshot: Option<Snapshot>,
    at: Epoch,
    epochs: Epochs,
    manifest: Option<Manifest>,
    /// Retained points and points still being merged, once loaded.
    members: OnceLock<Members>,
    steps: AtomicU32,
}

/// Which epochs are points, and which forgotten ones are still being merged.
#[derive(Debug)]
pub(crate) struct Members {
    pub(crate) retained: Vec<Epoch>,
    pub(crate) merging: Vec<Epoch>,
    pub(crate) open: Epoch,
}

impl Members {
    /// The smallest retained point at or after `birth`, or the open epoch.
    pub(crate) fn segment(&self, birth: Epoch) -> Epoch {
        let at = self.retained.partition_point(|point| *point < birth);
        self.retained.get(at).copied().unwrap_or(self.open)
    }

    /// The epochs whose undo rows make up a segment: every source still merging into it, ascending, then itself.
    pub(crate) fn parts(&self, segment: Epoch) -> impl Iterator<Item = Epoch> {
        let from = self.before(segment);
        let start = self.merging.partition_point(|source| *source <= from);
        let sources = self.merging.get(start..).unwrap_or_default();
        sources.iter().copied().take_while(move |source| *source < segment).chain([segment])
    }

    /// The retained point before a segment; zero when there is none.
    pub(crate) fn before(&self, segment: Epoch) -> Epoch {
        self.retained_before(segment).unwrap_or_default()
    }

    /// The newest retained point before an epoch.
    pub(crate) fn retained_before(&self, epoch: Epoch) -> Option<Epoch> {
        let at = self.retained.partition_point(|point| *point < epoch);
        at.checked_sub(1).and_then(|at| self.retained.get(at)).copied()
    }

    /// The oldest retained point from an epoch on.
    pub(crate) fn retained_from(&self, epoch: Epoch) -> Option<Epoch> {
        self.retained.get(self.retained.partition_point(|point| *point < epoch)).copied()
    }

    /// How many retained points there are from one epoch up to another.
    pub(crate) fn count_within(&self, from: Epoch, to: Epoch) -> u64 {
        let at = |epoch: Epoch| self.retained.partition_point(|point| *point < epoch);
        at(to).saturating_sub(at(from)) as u64
    }
}

impl View {
    /// A view of now, for `at` [`Epoch::NOW`], or as of a point.
    ///
    /// # Errors
    ///
    /// `Gone` when the point is not retained.
    pub(crate) fn new(context: Arc<Context>, tables: ReadTables, at: Epoch) -> Result<Self> {
        let stored = ReadRows::new(tables);
        let ticket = Owned::new(Views::begin(&context.views, context.clock.now()), stored.guard().process());
        let mut view = Self {
            context,
            stored,
            _ticket: ticket,
            snapshot: None,
            at,
            epochs: Epochs::NEW,
            manifest: None,
            members: OnceLock::new(),
            steps: AtomicU32::new(0),
        };
        view.epochs = meta::epochs(view.raw(Table::Meta, meta::EPOCHS)?.as_deref())?;
        if at != Epoch::NOW {
            view.manifest = view.manifest(at)?;
            if view.manifest.is_none() && view.raw(Table::Commits, &at.to_key())?.is_none() {
                return Err(Error::new(
                    ErrorKind::Gone,
                    format!("that point is no longer retained; see hivekeep point list: epoch={at}"),
                ));
            }
        }
        Ok(view)
    }

    /// The epoch that this view is as of; none for a view of now.
    ///
    /// # Examples
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = hivekeep::Store::open(dir.path().join("h.redb")).unwrap();
    /// assert_eq!(store.view()?.epoch(), None);
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn epoch(&self) -> Option<Epoch> {
        (self.at != Epoch::NOW).then_some(self.at)
    }

    /// The open epoch and the ends of what is retained.
    /// The point that is seen, or [`Epoch::NOW`].
    #[cfg(any(feature = "cli", feature = "http", test))]
    pub(crate) fn at(&self) -> Epoch {
        self.at
    }

    pub(crate) fn epochs(&self) -> Epochs {
        self.epochs
    }

    /// The manifest of a retained point.
    pub(crate) fn manifest(&self, epoch: Epoch) -> Result<Option<Manifest>> {
        self.row(Table::Points, &epoch.to_key())?.map(|bytes| crate::engine::format::codec::decode(&bytes)).transpose()
    }

    /// What the key was, or is, at the view's point: its birth, and its state there.
    pub(crate) fn state(&self, row: &[u8]) -> Result<Option<Found>> {
        self.state_at(row, self.at)
    }

    /// What the key was at a point of this view's past.
    pub(crate) fn state_at(&self, row: &[u8], at: Epoch) -> Result<Option<Found>> {
        let found = match self.raw(Table::Live, row)? {
            Some(bytes) => Some(bytes),
            None if at == Epoch::NOW => None,
            None => self.raw(Table::Tombstones, row)?,
        };
        found.map(|bytes| self.follow(row, Found::new(row, bytes)?, at)).transpose()
    }

    /// Follows the chain of pre-images until it reaches what the key was at a point.
    fn follow(&self, row: &[u8], mut found: Found, at: Epoch) -> Result<Found> {
        while found.birth > at {
            found = self.step(row, &found)?;
        }
        Ok(found)
    }

    /// What the key was before; none when no point has seen it otherwise.
    pub(crate) fn before(&self, row: &[u8], found: &Found) -> Result<Option<Found>> {
        let was_seen = self.epochs.any_point() && found.birth > self.epochs.first;
        was_seen.then(|| self.step(row, found)).transpose()
    }

    fn step(&self, row: &[u8], found: &Found) -> Result<Found> {
        let earlier = Found::new(row, self.pre_image(row, found.birth)?)?;
        // Births along a chain strictly fall: this is what keeps a damaged chain from never ending.
        if earlier.birth >= found.birth {
            let place = Place::of_record(row);
            return Err(Error::damaged(format!("a chain of pre-images does not descend: {place}")));
        }
        Ok(earlier)
    }

    /// What the key was at the point before the segment in which it was born.
    fn pre_image(&self, row: &[u8], birth: Epoch) -> Result<Vec<u8>> {
        if self.members.get().is_none() {
            // Mostly the key was born in the epoch of a retained point. While points are being merged, though, that row
            // may be covered by an older one, which is the one that counts.
            if self.epochs.merging == 0
                && let Some(bytes) = self.raw(Table::PreImages, &pre_image_key(birth, row))?
            {
                return Ok(bytes);
            }
            if self.steps.fetch_add(1, Ordering::Relaxed) < STEPS_BEFORE_LOADING {
                return self.pre_image_by_look_up(row, birth);
            }
        }
        let members = self.members()?;
        for part in members.parts(members.segment(birth)) {
            if let Some(bytes) = self.raw(Table::PreImages, &pre_image_key(part, row))? {
                return Ok(bytes);
            }
        }
        Err(broken_chain(row))
    }

    fn pre_image_by_look_up(&self, row: &[u8], birth: Epoch) -> Result<Vec<u8>> {
        let from = KeyRange::all().from(&birth.to_key());
        let mut segment = self.epochs.open;
        for table in [Table::Points, Table::Commits] {
            let first = self.stored.first(table, &from)?;
            if let Some((epoch, _)) = first.as_ref().and_then(|(key, _)| Epoch::split_key(key)) {
                segment = segment.min(epoch);
            }
        }
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
                if let Some(bytes) = self.raw(Table::PreImages, &pre_image_key(source, row))? {
                    return Ok(bytes);
                }
            }
        }
        self.raw(Table::PreImages, &pre_image_key(segment, row))?.ok_or_else(|| broken_chain(row))
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
        let size = BatchSize { rows: PAGE, bytes: PAGE_BYTES };
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

    /// The stored bytes of a row.
    pub(crate) fn raw(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.stored.get(table, key)
    }

    /// The stored bytes of the rows of a range.
    pub(crate) fn raw_page(&self, table: Table, range: &KeyRange, limit: usize) -> Result<Vec<Row>> {
        self.stored.page(table, range, limit)
    }

    /// The same, until they have [`PAGE_BYTES`].
    pub(crate) fn raw_part(&self, table: Table, range: &KeyRange, limit: usize) -> Result<Vec<Row>> {
        self.stored.part(table, range, limit)
    }

    /// How many rows a table has, at the same cost whatever their number.
    pub(crate) fn count_rows(&self, table: Table) -> Result<u64> {
        self.stored.count(table)
    }

    /// The bytes of the pages that the rows of now are on, with what is unused on them. Reads every page.
    #[cfg(feature = "transfer")]
    pub(crate) fn used_bytes(&self) -> Result<u64> {
        Table::ALL.iter().try_fold(0_u64, |sum, table| Ok(sum.saturating_add(self.stored.used_bytes(*table)?)))
    }

    /// The stored rows that this view reads.
    pub(crate) fn stored(&self) -> &ReadRows {
        &self.stored
    }

    /// The same view, with the pages that it reads.
    pub(crate) fn with_snapshot(self, snapshot: Option<Snapshot>) -> Self {
        Self { snapshot, ..self }
    }

    pub(crate) fn snapshot(&self) -> Option<&Snapshot> {
        self.snapshot.as_ref()
    }

    pub(crate) fn context(&self) -> &Context {
        &self.context
    }

    fn whole(&self, row: &[u8], found: &Found) -> Result<Option<Vec<u8>>> {
        let place = Place::of_record(row);
        value::whole(place.collection, place.key, found.frame(row)?.state, |piece| {
            self.get(CollectionId::CHUNKS, piece)
        })
    }

    /// Calls `visit` with every key of a collection and its payload, which is none where damage keeps it from being read.
    ///
    /// # Errors
    ///
    /// What `visit` gives; `Damaged` when the pages of the file are.
    pub(crate) fn each_readable(&self, collection: CollectionId, visit: &mut VisitReadable<'_>) -> Result<()> {
        let mut range = KeyRange::all().within(collection);
        loop {
            let rows = match self.at {
                Epoch::NOW => self.raw_part(Table::Live, &range, PAGE)?,
                _ => self.past_candidates(&range, PAGE)?,
            };
            let Some((last, _)) = rows.last() else { return Ok(()) };
            range = range.after(last);
            for (row, bytes) in rows {
                let found = Found::new(&row, bytes).and_then(|found| self.follow(&row, found, self.at));
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
    /// `limit` or they have [`PAGE_BYTES`]: `live` merged with `tombstones`.
    fn past_candidates(&self, range: &KeyRange, limit: usize) -> Result<Vec<Row>> {
        let mut rows = self.raw_part(Table::Live, range, limit)?;
        let mut removed = self.raw_page(Table::Tombstones, range, limit)?;
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
                let value = self.whole(&row, &Found::new(&row, bytes)?)?;
                Ok(Some((Place::of_record(&row).key.to_vec(), value.unwrap_or_default())))
            };
            return part_of(range, limit, |range, limit| self.raw_part(Table::Live, range, limit), record);
        }
        // Each is followed to what it was.
        let record = |(row, bytes): Row| {
            let found = self.follow(&row, Found::new(&row, bytes)?, self.at)?;
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
        // It is of now even in a view of the past, and now is what was gathered.
        if table == Table::Liveness
            && let Some(payload) = self.stored.guard().read(|| Ok(self.context.gathered.get(key)))?
        {
            return Ok(Some(payload));
        }
        self.raw(table, key)?.map(|bytes| meta::payload(table, key, &bytes)).transpose()
    }

    fn rows(&self, table: Table, range: &KeyRange, limit: usize) -> Result<Vec<Row>> {
        meta::payloads(table, self.raw_page(table, range, limit)?)
    }

    fn collection_id(&self, name: &str) -> Result<Option<CollectionId>> {
        meta::collection_id(self, name)
    }

    fn is_now(&self) -> bool {
        self.at == Epoch::NOW
    }

    fn now(&self) -> Timestamp {
        self.context.clock.now()
    }
}

/// The stored bytes of a key's frame, whose checksum has been compared, with its birth.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) birth: Epoch,
    bytes: Vec<u8>,
}

impl Found {
    fn new(row: &[u8], bytes: Vec<u8>) -> Result<Self> {
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

impl std::fmt::Debug for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("View").field("at", &self.at).finish_non_exhaustive()
    }
}
