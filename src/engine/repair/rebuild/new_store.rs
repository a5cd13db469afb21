//! The order of the work on a new store, and the batches in which its rows are written.

use std::collections::BTreeMap;

use super::found::{Points, damaged_records, names};
use crate::engine::commit::Outcome;
use crate::engine::format::digest::Stats;
use crate::engine::format::epoch::Epoch;
use crate::engine::format::frame::{self, State};
use crate::engine::format::keys::pre_image_key;
use crate::engine::format::schema::{CollectionId, Place, Table};
use crate::engine::history::members::Members;
use crate::engine::history::tally::{Tally, stats_of};
use crate::engine::meta;
use crate::engine::redb_file::scratch::{ContentKind, Fact, FactSource};
use crate::engine::repair::long;
use crate::engine::repair::report::{LostRecord, RepairOutcome, RepairReport};
use crate::engine::repair::salvage::{Notes, Salvage};
use crate::engine::repair::timeline::{Step, Version, steps};
use crate::engine::store::Store;
use crate::engine::wal::BehindDamage;
use crate::error::{ErrorKind, Result};

/// The bytes of rows that one transaction writes.
const BATCH_BYTES: usize = 4 << 20;

/// R5: a copy is whole, or it is none. The rest of a damaged one is another store.
const WAS_STANDBY: &str = "the damaged store was a copy that only its replica changed; the repaired one is a store of its own, \
                           and its replica knows nothing of it";

/// R9: the same of a store whose history another machine has.
const WAS_OVERTAKEN: &str = "another machine has the history of the damaged store, so nobody wrote to it any more; the repaired \
                             one is a store of its own, and no replica knows of it";

/// The names of the users' collections.
type Names = BTreeMap<CollectionId, String>;

type RawRow = (Table, Vec<u8>, Vec<u8>);

/// Fills a new store.
pub(in crate::engine::repair) fn rebuild(
    salvage: Salvage,
    into: &Store,
    behind: &BehindDamage,
) -> Result<RepairReport> {
    let mut report = fill(&salvage, into)?;
    // Only now: they are no losses of the points, which are compared with their digests.
    report.lost.extend(not_applied(&salvage, behind)?);
    // There may be as many as were lost, so they are not there twice.
    let Notes { pages, rows, healed, not_healed, .. } = salvage.notes;
    let healed = healed.into_iter().map(|(table, rows)| (table.name().to_owned(), rows)).collect();
    let notes = report.notes.into_iter().chain(not_healed).collect();
    Ok(RepairReport { pages, rows, healed, notes, ..report })
}

/// The records that only the log changed, behind its damage.
fn not_applied(salvage: &Salvage, behind: &BehindDamage) -> Result<Vec<LostRecord>> {
    let mut names = names(salvage)?;
    for (name, bytes) in &behind.collections {
        let id = meta::payload(Table::Collections, name, bytes).and_then(|id| CollectionId::of_bytes(&id));
        if let (Ok(id), Ok(name)) = (id, String::from_utf8(name.clone())) {
            names.entry(id).or_insert(name);
        }
    }
    let records = behind.records.iter().map(|row| lost_record(&names, row, RepairOutcome::NotApplied, Epoch(0)));
    Ok(records.collect())
}

fn lost_record(names: &Names, row: &[u8], outcome: RepairOutcome, epoch: Epoch) -> LostRecord {
    let place = Place::of_record(row);
    let key = place.key.escape_ascii().to_string();
    LostRecord { collection: name_of(names, place.collection), key, outcome, epoch, row: row.to_vec() }
}

fn name_of(names: &Names, collection: CollectionId) -> String {
    let name = collection.built_in_name().or_else(|| names.get(&collection).map(String::as_str));
    name.map_or_else(|| format!("#{}", collection.0), str::to_owned)
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
    if salvage.scratch.row(Table::Meta, meta::STANDBY)?.is_some() {
        rebuild.report.notes.push(WAS_STANDBY.into());
    }
    if salvage.scratch.row(Table::Meta, meta::FENCE)?.is_some() {
        rebuild.report.notes.push(WAS_OVERTAKEN.into());
    }
    if salvage.notes.pages.iter().any(|page| page.table.is_none() && !page.mended) {
        rebuild.report.notes.push("the page that names the tables is damaged; the last commits may be lost".into());
    }
    rebuild.copy_tables()?;
    rebuild.finish(points)
}

pub(super) struct Rebuild<'a> {
    pub(super) salvage: &'a Salvage,
    pub(super) into: &'a Store,
    pub(super) names: Names,
    pub(super) members: &'a Members,
    pub(super) tally: Tally,
    pub(super) batch: Vec<RawRow>,
    batch_bytes: usize,
    /// Records with a damaged row, and whether it is the newest.
    pub(super) damaged: BTreeMap<Vec<u8>, bool>,
    pub(super) report: RepairReport,
}

impl Rebuild<'_> {
    /// Writes all rows of a record, and reports its outcome.
    pub(super) fn record(&mut self, row: &[u8], mut facts: Vec<Fact>) -> Result<()> {
        let place = Place::of_record(row);
        let damaged = self.damaged.remove(row);
        // V2: a piece is written with its long value.
        if place.collection == CollectionId::CHUNKS {
            return Ok(());
        }
        // V1: a long value counts only if all of its pieces are there.
        long::drop_incomplete(&self.salvage.scratch, row, &mut facts)?;
        let scratch = &self.salvage.scratch;
        let versions: Vec<_> = facts.iter().map(|fact| version(fact.birth, fact.kind == ContentKind::Absent)).collect();
        let past_is_whole = self.versions(row, &versions, |at| match facts.get(at) {
            Some(fact) => Frame::of(row, scratch.frame(row, fact)?.into_owned()),
            None => Ok(Frame::never(row)),
        })?;
        for number in 0..long::most_pieces(&facts) {
            self.piece(row, &facts, number)?;
        }
        let newest = facts.last();
        let outcome = match newest.map(|newest| newest.found) {
            None => RepairOutcome::Lost,
            Some(FactSource::PreImage) => RepairOutcome::WentBack,
            Some(FactSource::LeftBehind) => RepairOutcome::FoundAgain,
            Some(FactSource::Newest) if past_is_whole && damaged.is_none() => return Ok(()),
            // Its present value is sound, and an earlier version is not.
            Some(FactSource::Newest) => RepairOutcome::PastLost,
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

    fn lose(&mut self, row: &[u8], outcome: RepairOutcome, epoch: Epoch) {
        self.report.lost.push(lost_record(&self.names, row, outcome, epoch));
    }

    /// Records of which nothing at all was sound.
    fn name_what_was_not_met(&mut self) {
        let of_records = |row: &[u8]| Place::of_record(row).collection != CollectionId::CHUNKS;
        for (row, newest) in std::mem::take(&mut self.damaged) {
            if newest && of_records(&row) {
                self.lose(&row, RepairOutcome::Lost, Epoch(0));
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
                    // S1: without a version, the key counts as absent at the point, and the
                    // record may have lost its past.
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
            // X1: the index rows follow from the record.
            Ok(keys) => keys.into_iter().try_for_each(|key| self.push_payload(Table::Index, &key, &[])),
            Err(error) if error.kind() == ErrorKind::Damaged => {
                self.report.notes.push(format!("a record cannot be read: {error}"));
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    pub(super) fn name(&self, collection: CollectionId) -> String {
        name_of(&self.names, collection)
    }

    pub(super) fn push_payload(&mut self, table: Table, key: &[u8], payload: &[u8]) -> Result<()> {
        let mut bytes = Vec::new();
        frame::encode(&mut bytes, table.place(key), Epoch(0), State::Present(payload));
        self.push(table, key.to_vec(), bytes)
    }

    pub(super) fn push(&mut self, table: Table, key: Vec<u8>, bytes: Vec<u8>) -> Result<()> {
        self.batch_bytes += key.len() + bytes.len();
        self.batch.push((table, key, bytes));
        if self.batch_bytes >= BATCH_BYTES { self.flush() } else { Ok(()) }
    }

    pub(super) fn flush(&mut self) -> Result<()> {
        let rows = std::mem::take(&mut self.batch);
        self.batch_bytes = 0;
        self.into.alone(|tx| {
            rows.iter().try_for_each(|(table, key, bytes)| tx.insert(*table, key, bytes))?;
            Ok(Outcome::Commit(()))
        })
    }
}

/// The stored bytes of a version, and what it adds to its collection; nothing when there is no record.
struct Frame {
    pub(super) bytes: Vec<u8>,
    pub(super) stats: Option<Stats>,
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
