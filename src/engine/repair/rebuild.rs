//! The new store: every record with the rows that its versions need, every point with what it holds now, and the other
//! tables as they were.

use std::collections::{BTreeMap, BTreeSet};

use super::long;
use super::report::{CollectionLoss, LostRecord, Outcome, PartialPoint, RepairReport};
use super::salvage::Salvage;
use super::timeline::{Step, Version, steps};
use crate::engine::commit::Outcome as Ending;
use crate::engine::format::codec::{self, Stored};
use crate::engine::format::digest::Stats;
use crate::engine::format::epoch::{Epoch, Epochs};
use crate::engine::format::frame::{self, State};
use crate::engine::format::keys::{PreImageKey, pre_image_key};
use crate::engine::format::point::{Commit, Lost, Manifest};
use crate::engine::format::schema::{CollectionId, Place, Table};
use crate::engine::history::tally::{Contents, Tally, stats_of};
use crate::engine::meta;
use crate::engine::redb_file::scratch::{Fact, Found, Kind};
use crate::engine::store::Store;
use crate::engine::view::Members;
use crate::error::{ErrorKind, Result};

/// Rows are written in transactions of so many bytes.
const BATCH_BYTES: usize = 4 << 20;
/// A manifest names no more of the records that a point lost.
const KEYS_MAX: usize = 100;

type RawRow = (Table, Vec<u8>, Vec<u8>);

/// Fills a new store.
pub(super) fn rebuild(salvage: Salvage, into: &Store) -> Result<RepairReport> {
    let report = fill(&salvage, into)?;
    // There may be as many as were lost, so they are not there twice.
    Ok(RepairReport { pages: salvage.notes.pages, rows: salvage.notes.rows, ..report })
}

fn fill(salvage: &Salvage, into: &Store) -> Result<RepairReport> {
    let points = Points::read(salvage)?;
    let members = points.members(salvage)?;
    let mut rebuild = Rebuild {
        salvage,
        into,
        names: names(salvage)?,
        members: &members,
        tally: Tally::default(),
        batch: Vec::new(),
        batch_bytes: 0,
        damaged: damaged_records(salvage),
        report: RepairReport {
            counters_lost: salvage.notes.hurt.contains(&Table::Meta),
            points: (points.manifests.len() + points.commits.len()) as u64,
            ..RepairReport::default()
        },
    };
    salvage.scratch.records(|row, facts| rebuild.record(row, facts))?;
    rebuild.name_what_was_not_met();
    if salvage.notes.pages.iter().any(|page| page.table.is_none() && !page.mended) {
        rebuild
            .report
            .notes
            .push("the page that names the tables is damaged; what was committed last may be lost".into());
    }
    rebuild.copy_tables()?;
    rebuild.finish(points)
}

/// The points that are left.
struct Points {
    manifests: BTreeMap<Epoch, Manifest>,
    commits: BTreeMap<Epoch, Commit>,
}

impl Points {
    fn read(salvage: &Salvage) -> Result<Self> {
        Ok(Self { manifests: by_epoch(salvage, Table::Points)?, commits: by_epoch(salvage, Table::Commits)? })
    }

    fn members(&self, salvage: &Salvage) -> Result<Members> {
        let mut retained: Vec<_> = self.manifests.keys().chain(self.commits.keys()).copied().collect();
        retained.sort_unstable();
        retained.dedup();
        let stored = salvage.scratch.row(Table::Meta, meta::EPOCHS)?;
        let stored = meta::epochs(stored.as_deref()).map(|epochs| epochs.open).unwrap_or_default();
        let after_points = retained.last().map_or(Epoch(1), |last| last.next());
        // Without the row that says it, the open epoch may be any at or after the newest that was seen.
        let open = stored.max(after_points).max(salvage.notes.newest);
        Ok(Members { retained, merging: Vec::new(), open })
    }
}

struct Rebuild<'a> {
    salvage: &'a Salvage,
    into: &'a Store,
    names: BTreeMap<CollectionId, String>,
    members: &'a Members,
    tally: Tally,
    batch: Vec<RawRow>,
    batch_bytes: usize,
    /// Records with a damaged row, and whether it is the newest.
    damaged: BTreeMap<Vec<u8>, bool>,
    report: RepairReport,
}

impl Rebuild<'_> {
    /// Writes all rows of a record, and says what became of it.
    fn record(&mut self, row: &[u8], mut facts: Vec<Fact>) -> Result<()> {
        let place = Place::of_record(row);
        let damaged = self.damaged.remove(row);
        if place.collection == CollectionId::CHUNKS {
            return Ok(());
        }
        long::drop_incomplete(&self.salvage.scratch, row, &mut facts)?;
        let scratch = &self.salvage.scratch;
        let versions: Vec<_> = facts.iter().map(|fact| version(fact.birth, fact.kind == Kind::Absent)).collect();
        let past_is_whole = self.versions(row, &versions, |at| match facts.get(at) {
            Some(fact) => Frame::of(row, scratch.frame(row, fact)?.into_owned()),
            None => Ok(Frame::never(row)),
        })?;
        for number in 0..long::most_pieces(&facts) {
            self.piece(row, &facts, number)?;
        }
        let newest = facts.last();
        let outcome = match newest.map(|newest| newest.found) {
            None => Outcome::Lost,
            Some(Found::PreImage) => Outcome::WentBack,
            Some(Found::LeftBehind) => Outcome::FoundAgain,
            Some(Found::Newest) if past_is_whole && damaged.is_none() => return Ok(()),
            Some(Found::Newest) => Outcome::PastLost,
        };
        self.lose(row, outcome, newest.map(|newest| newest.birth).unwrap_or_default());
        Ok(())
    }

    /// Writes all rows of a piece of a record's long values.
    fn piece(&mut self, record: &[u8], facts: &[Fact], number: u32) -> Result<()> {
        let scratch = &self.salvage.scratch;
        let (row, pieces) = long::piece_versions(scratch, record, facts, number)?;
        let versions: Vec<_> = pieces.iter().map(|piece| version(piece.birth, piece.source.is_none())).collect();
        let written = self.versions(&row, &versions, |at| match pieces.get(at) {
            Some(piece) => Frame::of(&row, long::piece_frame(scratch, &row, piece)?),
            None => Ok(Frame::never(&row)),
        });
        written.map(drop)
    }

    fn lose(&mut self, row: &[u8], outcome: Outcome, epoch: Epoch) {
        let place = Place::of_record(row);
        self.report.lost.push(LostRecord {
            collection: self.name(place.collection),
            key: place.key.escape_ascii().to_string(),
            outcome,
            epoch,
            row: row.to_vec(),
        });
    }

    /// Records of which nothing at all was sound.
    fn name_what_was_not_met(&mut self) {
        let of_records = |row: &[u8]| Place::of_record(row).collection != CollectionId::CHUNKS;
        for (row, newest) in std::mem::take(&mut self.damaged) {
            if newest && of_records(&row) {
                self.lose(&row, Outcome::Lost, Epoch(0));
            }
        }
        self.report.lost.sort();
    }

    /// Writes the rows that the versions of a record need; says whether each chain of them is whole. `frame` reads one.
    fn versions(&mut self, row: &[u8], versions: &[Version], frame: impl Fn(usize) -> Result<Frame>) -> Result<bool> {
        let collection = Place::of_record(row).collection;
        let mut newer = None;
        let mut whole = true;
        for step in steps(versions, self.members) {
            let at = match step {
                Step::Live(at) | Step::Tombstone(at) => Some(at),
                Step::PreImage(_, at) => at,
            };
            let Frame { bytes, stats } = at.map_or_else(|| Ok(Frame::never(row)), &frame)?;
            match step {
                Step::Live(_) => self.live(row, bytes, stats)?,
                Step::Tombstone(_) => self.push(Table::Tombstones, row.to_vec(), bytes)?,
                Step::PreImage(segment, at) => {
                    whole &= at.is_some();
                    self.report.pre_images += 1;
                    self.push(Table::PreImages, pre_image_key(segment, row), bytes)?;
                    self.tally.step_back(segment, collection, newer.as_ref(), stats.as_ref());
                }
            }
            newer = stats;
        }
        Ok(whole)
    }

    fn live(&mut self, row: &[u8], frame: Vec<u8>, stats: Option<Stats>) -> Result<()> {
        let place = Place::of_record(row);
        let Some(stats) = stats else { return Ok(()) };
        self.report.records += 1;
        self.report.bytes += stats.bytes;
        self.tally.add(place.collection, &stats);
        let store = self.into.clone();
        let rule = store.inner.context().index_rule(place.collection);
        let value = rule.map_or(Ok(None), |_| long::value_of(&self.salvage.scratch, row, &frame))?;
        self.push(Table::Live, row.to_vec(), frame)?;
        let Some(rule) = rule else { return Ok(()) };
        match rule.keys(place.key, value.as_deref()) {
            Ok(keys) => keys.into_iter().try_for_each(|key| self.push_payload(Table::Index, &key, &[])),
            Err(error) if error.kind() == ErrorKind::Damaged => {
                self.report.notes.push(format!("a record cannot be read: {error}"));
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Copies the tables that are not versioned, as they are; those that follow from others are written anew.
    fn copy_tables(&mut self) -> Result<()> {
        let salvage = self.salvage;
        let derived = [Table::Points, Table::PointIds, Table::Commits, Table::Index, Table::Meta];
        let records = [Table::Live, Table::PreImages, Table::Tombstones];
        for table in Table::ALL.into_iter().filter(|table| !derived.contains(table) && !records.contains(table)) {
            let mut copied = 0;
            salvage.scratch.rows(table, |rows| {
                copied += rows.len() as u64;
                rows.iter().try_for_each(|(key, bytes)| self.push(table, key.clone(), bytes.clone()))
            })?;
            self.name_lost_rows(table, copied)?;
        }
        self.name_lost_rows(Table::Points, 0)?;
        self.name_lost_rows(Table::Commits, 0)?;
        for (id, name) in self.names.clone() {
            if salvage.scratch.row(Table::Collections, name.as_bytes())?.is_none() {
                self.report.notes.push(format!("the name of a collection is lost; it is now called {name}"));
                self.push_payload(Table::Collections, name.as_bytes(), &id.0.to_be_bytes())?;
            }
        }
        let mut rows = Vec::new();
        salvage.scratch.rows(Table::Meta, |page| {
            rows.extend(page.iter().filter(|(key, _)| !meta::is_rebuilt(key)).cloned());
            Ok(())
        })?;
        rows.into_iter().try_for_each(|(key, bytes)| self.push(Table::Meta, key, bytes))?;
        self.raise_counters()
    }

    /// Says which rows of a table are gone for good.
    fn name_lost_rows(&mut self, table: Table, copied: u64) -> Result<()> {
        for row in self.salvage.notes.rows.iter().filter(|row| row.table == table.name()) {
            if self.salvage.scratch.row(table, &row.raw_key)?.is_none() {
                self.report.notes.push(format!("a row is lost: table={} key={}", row.table, row.key));
            }
        }
        let unreached = self.salvage.notes.unreached.get(&table).copied().unwrap_or_default();
        let found_again = copied.saturating_sub(self.salvage.notes.sound.get(&table).copied().unwrap_or_default());
        if unreached > found_again {
            self.report.unreached.insert(table.name().into(), unreached - found_again);
        }
        Ok(())
    }

    /// Counters never go back: of what was read and what was seen on older pages, the higher counts.
    fn raise_counters(&mut self) -> Result<()> {
        let given = self.names.keys().map(|id| u64::from(id.0.saturating_sub(CollectionId::FIRST_USER.0)) + 1).max();
        let mut counters = self.salvage.notes.counters.clone();
        let collections = counters.entry(meta::counter_key(meta::COLLECTIONS)).or_default();
        *collections = (*collections).max(given.unwrap_or_default());
        for (key, seen) in counters {
            let read = self.salvage.scratch.row(Table::Meta, &key)?;
            let read = read.map_or(Ok(0), |bytes| meta::number(&meta::payload(Table::Meta, &key, &bytes)?));
            if read.unwrap_or_default() < seen {
                self.push_payload(Table::Meta, &key, &seen.to_be_bytes())?;
            }
        }
        Ok(())
    }

    /// Compares now and every point with what they were, and writes what says what they are.
    fn finish(mut self, points: Points) -> Result<RepairReport> {
        let now = self.tally.now().clone();
        self.compare_now(&now)?;
        let open = self.members.open;
        let (first, last) = (self.members.retained.first().copied(), self.members.retained.last().copied());
        let Points { mut manifests, commits } = points;
        for (epoch, there) in std::mem::take(&mut self.tally).points(self.members) {
            let Some(mut manifest) = manifests.remove(&epoch) else { continue };
            self.compare_point(epoch, &mut manifest, there);
            self.push_payload(Table::Points, &epoch.to_key(), &codec::encode(&manifest)?)?;
            self.push_payload(Table::PointIds, manifest.id.0.as_bytes(), &epoch.to_key())?;
        }
        self.drop_what_was_proved_whole(!commits.is_empty());
        let hurt = [Table::Live, Table::PreImages, Table::Tombstones]
            .iter()
            .any(|table| self.salvage.notes.hurt.contains(table));
        let suspect = hurt || !self.report.lost.is_empty() || !self.report.collections.is_empty();
        for (epoch, commit) in commits {
            let partial = commit.partial || suspect;
            if partial {
                let (timestamp, collections) = (commit.at, Vec::new());
                self.report.partial.push(PartialPoint { id: None, epoch, timestamp, collections });
            }
            self.push_payload(Table::Commits, &epoch.to_key(), &codec::encode(&Commit { partial, ..commit })?)?;
        }
        for (collection, stats) in now {
            self.push_payload(Table::Meta, &meta::stats_key(collection), &codec::encode(&stats)?)?;
        }
        self.flush()?;
        self.into.alone(|tx| {
            let (first, last) = (first.unwrap_or_default(), last.unwrap_or_default());
            tx.batch.epochs = Epochs { open, first, last, merging: 0, dropping: Epoch(0) };
            tx.batch.changed = true;
            Ok(Ending::Commit(()))
        })?;
        Ok(self.report)
    }

    fn compare_now(&mut self, now: &Contents) -> Result<()> {
        let mut was = BTreeMap::new();
        self.salvage.scratch.rows(Table::Meta, |rows| {
            for (key, bytes) in rows {
                if let Some(collection) = meta::stats_collection(key) {
                    let stats = meta::payload(Table::Meta, key, bytes).and_then(|payload| codec::decode(&payload));
                    was.extend(stats.ok().map(|stats: Stats| (collection, stats)));
                }
            }
            Ok(())
        })?;
        let all: BTreeSet<_> = was.keys().chain(now.keys()).copied().collect();
        for collection in all {
            let is = now.get(&collection).copied().unwrap_or_default();
            let was = was.get(&collection).copied();
            let unknown = was.is_none() && self.salvage.notes.hurt.contains(&Table::Live);
            if unknown || was.is_some_and(|was| was != is) {
                self.report.collections.push(CollectionLoss { collection: self.name(collection), was, is });
            }
        }
        Ok(())
    }

    fn compare_point(&mut self, epoch: Epoch, manifest: &mut Manifest, there: Contents) {
        let was: Contents = manifest.collections.iter().copied().collect();
        let all: BTreeSet<_> = was.keys().chain(there.keys()).copied().collect();
        let mut losses = Vec::new();
        for collection in all {
            let stats = |contents: &Contents| contents.get(&collection).copied().unwrap_or_default();
            let (was, is) = (stats(&was), stats(&there));
            if was == is {
                continue;
            }
            losses.push(CollectionLoss { collection: self.name(collection), was: Some(was), is });
            let of_collection = |record: &&LostRecord| Place::of_record(&record.row).collection == collection;
            let keys = self.report.lost.iter().filter(of_collection).map(|record| record.row.get(4..));
            let keys = keys.flatten().take(KEYS_MAX).map(<[u8]>::to_vec).collect();
            // Of a point that was partial before, what it held at first is what it lost of.
            if manifest.lost.iter().all(|lost| lost.collection != collection) {
                manifest.lost.push(Lost { collection, was, keys });
            }
        }
        if !losses.is_empty() {
            let (id, timestamp) = (Some(manifest.id.0.clone()), manifest.at);
            self.report.partial.push(PartialPoint { id, epoch, timestamp, collections: losses });
        }
        manifest.collections = there.into_iter().collect();
    }

    /// A collection whose digests are what they were, now and at every point, has lost nothing, whatever was damaged.
    fn drop_what_was_proved_whole(&mut self, commits: bool) {
        let report = &mut self.report;
        let of_points = report.partial.iter().flat_map(|point| &point.collections);
        let differs: BTreeSet<_> = of_points.chain(&report.collections).map(|loss| loss.collection.as_str()).collect();
        report.lost.retain(|lost| {
            differs.contains(lost.collection.as_str()) || (commits && lost.outcome == Outcome::PastLost)
        });
    }

    fn name(&self, collection: CollectionId) -> String {
        let name = collection.built_in_name().or_else(|| self.names.get(&collection).map(String::as_str));
        name.map_or_else(|| format!("#{}", collection.0), str::to_owned)
    }

    fn push_payload(&mut self, table: Table, key: &[u8], payload: &[u8]) -> Result<()> {
        let mut bytes = Vec::new();
        frame::encode(&mut bytes, table.place(key), Epoch(0), State::Present(payload));
        self.push(table, key.to_vec(), bytes)
    }

    fn push(&mut self, table: Table, key: Vec<u8>, bytes: Vec<u8>) -> Result<()> {
        self.batch_bytes += key.len() + bytes.len();
        self.batch.push((table, key, bytes));
        if self.batch_bytes >= BATCH_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        let rows = std::mem::take(&mut self.batch);
        self.batch_bytes = 0;
        self.into.alone(|tx| {
            rows.iter().try_for_each(|(table, key, bytes)| tx.insert(*table, key, bytes))?;
            Ok(Ending::Commit(()))
        })
    }
}

/// The stored bytes of a version, and what it adds to its collection; nothing when there is no record.
struct Frame {
    bytes: Vec<u8>,
    stats: Option<Stats>,
}

impl Frame {
    fn of(row: &[u8], bytes: Vec<u8>) -> Result<Self> {
        let place = Place::of_record(row);
        let stats = frame::decode(place, &bytes)?.payload().map(|payload| stats_of(place.key, payload));
        Ok(Self { bytes, stats })
    }

    fn never(row: &[u8]) -> Self {
        let mut bytes = Vec::new();
        frame::encode(&mut bytes, Place::of_record(row), Epoch(0), State::Absent);
        Self { bytes, stats: None }
    }
}

fn version(birth: Epoch, absent: bool) -> Version {
    Version { birth, absent }
}

/// The users' collections by number. One whose name is lost gets a new one.
fn names(salvage: &Salvage) -> Result<BTreeMap<CollectionId, String>> {
    let mut names = BTreeMap::new();
    salvage.scratch.rows(Table::Collections, |rows| {
        for (key, bytes) in rows {
            let id = meta::payload(Table::Collections, key, bytes).and_then(|id| meta::collection_number(&id));
            if let (Ok(id), Ok(name)) = (id, String::from_utf8(key.clone())) {
                names.insert(id, name);
            }
        }
        Ok(())
    })?;
    for collection in salvage.scratch.collections()? {
        if collection >= CollectionId::FIRST_USER && !names.contains_key(&collection) {
            let taken = |name: &String| names.values().any(|other| other == name);
            let mut name = format!("recovered-{}", collection.0);
            while taken(&name) {
                name.push('+');
            }
            names.insert(collection, name);
        }
    }
    Ok(names)
}

/// Records by row key of which some row is damaged, and whether it is the newest one.
fn damaged_records(salvage: &Salvage) -> BTreeMap<Vec<u8>, bool> {
    let mut records = BTreeMap::new();
    for row in &salvage.notes.rows {
        if row.table == Table::Live.name() {
            records.insert(row.raw_key.clone(), true);
        } else if let (true, Some(key)) = (row.table == Table::PreImages.name(), PreImageKey::split(&row.raw_key)) {
            records.entry(key.row.to_vec()).or_default();
        }
    }
    records
}

/// The rows of a table by their epochs, as far as they can be read.
fn by_epoch<T: Stored>(salvage: &Salvage, table: Table) -> Result<BTreeMap<Epoch, T>> {
    let mut found = BTreeMap::new();
    salvage.scratch.rows(table, |rows| {
        rows.iter().for_each(|(key, bytes)| {
            let read = meta::payload(table, key, bytes).and_then(|payload| codec::decode(&payload));
            found.extend(epoch_of(key).zip(read.ok()));
        });
        Ok(())
    })?;
    Ok(found)
}

fn epoch_of(key: &[u8]) -> Option<Epoch> {
    Epoch::split_key(key).map(|(epoch, _)| epoch)
}
