//! The losses of a repair, as a value: it prints itself, and is JSON.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::Timestamp;
use serde::Serialize;

use super::salvage::{DamagedPage, DamagedRow};
use crate::clock::show_time;
use crate::engine::format::digest::Stats;
use crate::engine::format::epoch::Epoch;
use crate::text::OneLine;

/// The result of a repair: the kept and the lost data.
#[derive(Clone, Debug, Default, Serialize)]
pub struct RepairReport {
    /// Live records of the repaired store.
    pub records: u64,
    /// Their payloads, in bytes.
    pub bytes: u64,
    /// Pre-images of the repaired store.
    pub pre_images: u64,
    /// Its points.
    pub points: u64,
    /// Damaged pages. A mended page has lost nothing.
    pub pages: Vec<DamagedPage>,
    /// Damaged rows.
    pub rows: Vec<DamagedRow>,
    /// The number of rows that no page refers to, by table.
    pub unreached: BTreeMap<String, u64>,
    /// The number of rows that came from a replica, by table. With them, nothing of these rows is lost.
    pub healed: BTreeMap<String, u64>,
    /// The records that lost their newest or an earlier version, and the outcome.
    pub lost: Vec<LostRecord>,
    /// Collections whose content changed.
    pub collections: Vec<CollectionLoss>,
    /// Points whose content changed.
    pub partial: Vec<PartialPoint>,
    /// Other differences from before the damage.
    pub notes: Vec<String>,
    /// Whether the highest used numbers may be lost.
    #[serde(skip)]
    pub(crate) counters_lost: bool,
    /// Keys of rows in `meta` of the layers above that are lost, or may be.
    #[serde(skip)]
    pub(crate) lost_meta: BTreeSet<Vec<u8>>,
}

/// A record that lost a version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct LostRecord {
    /// Its collection.
    pub collection: String,
    /// Its key. Bytes that are not text are escaped.
    pub key: String,
    /// The outcome for this record.
    pub outcome: RepairOutcome,
    /// The epoch of the version to which it went back, or from which its past is lost; 0 if
    /// that is unknown.
    pub epoch: Epoch,
    #[serde(skip)]
    pub(crate) row: Vec<u8>,
}

/// The outcome for a damaged record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RepairOutcome {
    /// It is lost, because it has no sound version.
    Lost,
    /// It has its value of an earlier epoch.
    WentBack,
    /// It was found on a page that is no longer in use. A later change may be lost.
    FoundAgain,
    /// It has its present value, but at some points it has an earlier version, or is missing.
    PastLost,
    /// It has the value from before the damage of the log, or is missing. A change behind the damage is lost.
    NotApplied,
}

/// The content of a collection before the damage and now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CollectionLoss {
    /// Its name.
    pub collection: String,
    /// The content before; none when that is lost too.
    pub was: Option<Stats>,
    /// The content now.
    pub is: Stats,
}

/// A point that has lost something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PartialPoint {
    /// Its name; the point of a single commit has none.
    pub id: Option<String>,
    /// The number of its epoch.
    pub epoch: Epoch,
    /// When it was made.
    #[serde(with = "crate::clock::time")]
    pub timestamp: Timestamp,
    /// Its losses; none are named for the point of a commit, which has no digests to compare.
    pub collections: Vec<CollectionLoss>,
}

impl RepairReport {
    /// Whether everything is as it was before the damage.
    pub fn is_whole(&self) -> bool {
        self.rows.is_empty()
            && self.unreached.is_empty()
            && self.lost.is_empty()
            && self.collections.is_empty()
            && self.partial.is_empty()
            && self.notes.is_empty()
    }
}

impl fmt::Display for RepairReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for DamagedPage { table, offset, bytes, mended } in &self.pages {
            let table = table.as_deref().unwrap_or("tables");
            let what = if *mended { "damaged, put right" } else { "damaged" };
            writeln!(f, "page of {} at {offset}, {bytes} bytes: {what}", OneLine(table))?;
        }
        for DamagedRow { table, key, bytes, what, .. } in &self.rows {
            writeln!(f, "{table} {key}, {bytes} bytes: {}", OneLine(what))?;
        }
        for (table, rows) in &self.unreached {
            writeln!(f, "{}: rows that no page leads to: {rows}", OneLine(table))?;
        }
        for (table, rows) in &self.healed {
            writeln!(f, "{}: rows that came from the replica: {rows}", OneLine(table))?;
        }
        for LostRecord { collection, key, outcome, epoch, .. } in &self.lost {
            match outcome {
                RepairOutcome::Lost => writeln!(f, "{collection} {key}: lost, no sound version was left")?,
                RepairOutcome::WentBack => {
                    writeln!(f, "{collection} {key}: went back to what it was in epoch {epoch}")?
                }
                RepairOutcome::FoundAgain => {
                    writeln!(f, "{collection} {key}: found again, as it was in epoch {epoch}")?
                }
                RepairOutcome::PastLost => {
                    writeln!(f, "{collection} {key}: its versions before epoch {epoch} are lost")?
                }
                RepairOutcome::NotApplied => {
                    writeln!(f, "{collection} {key}: a change behind the damage of the log is lost")?
                }
            }
        }
        self.collections.iter().try_for_each(|loss| writeln!(f, "now {loss}"))?;
        for point in &self.partial {
            let name = OneLine(point.id.clone().unwrap_or_else(|| show_time(point.timestamp)));
            if point.collections.is_empty() {
                writeln!(f, "point {name}: may have lost something")?;
            }
            point.collections.iter().try_for_each(|loss| writeln!(f, "point {name}: {loss}"))?;
        }
        self.notes.iter().try_for_each(|note| writeln!(f, "{}", OneLine(note)))
    }
}

impl fmt::Display for CollectionLoss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { collection, was, is } = self;
        match was {
            None => write!(
                f,
                "{collection}: records {}, bytes {}; the numbers before the damage are lost",
                is.count, is.bytes
            ),
            Some(was) => {
                write!(f, "{collection}: records {} of {}, bytes {} of {}", is.count, was.count, is.bytes, was.bytes)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stats(count: u64, bytes: u64) -> Stats {
        Stats { count, bytes, ..Stats::default() }
    }

    fn record(key: &str, outcome: RepairOutcome) -> LostRecord {
        LostRecord { collection: "config".into(), key: key.into(), outcome, epoch: Epoch(3), row: Vec::new() }
    }

    #[test]
    fn every_loss_is_listed_to_the_byte() {
        let page = |table: Option<&str>, mended| DamagedPage {
            table: table.map(Into::into),
            offset: 4096,
            bytes: 8192,
            mended,
        };
        let loss = |was| CollectionLoss { collection: "config".into(), was, is: stats(1, 10) };
        let point = |id: Option<&str>, collections| PartialPoint {
            id: id.map(Into::into),
            epoch: Epoch(2),
            timestamp: Timestamp::UNIX_EPOCH,
            collections,
        };
        let row = DamagedRow {
            table: "live".into(),
            key: "k".into(),
            bytes: 12,
            what: "its checksum does not match".into(),
            raw_key: Vec::new(),
        };
        let report = RepairReport {
            pages: vec![page(Some("live"), true), page(None, false)],
            rows: vec![row],
            unreached: [("undo".to_owned(), 7)].into(),
            healed: [("live".to_owned(), 3)].into(),
            lost: vec![
                record("a", RepairOutcome::Lost),
                record("b", RepairOutcome::WentBack),
                record("c", RepairOutcome::FoundAgain),
                record("d", RepairOutcome::PastLost),
                record("e", RepairOutcome::NotApplied),
            ],
            collections: vec![loss(Some(stats(2, 30)))],
            partial: vec![point(Some("p"), vec![loss(None)]), point(None, Vec::new())],
            notes: vec!["a note".into()],
            ..RepairReport::default()
        };
        assert!(!report.is_whole() && RepairReport::default().is_whole());
        let expected = "\
page of live at 4096, 8192 bytes: damaged, put right
page of tables at 4096, 8192 bytes: damaged
live k, 12 bytes: its checksum does not match
undo: rows that no page leads to: 7
live: rows that came from the replica: 3
config a: lost, no sound version was left
config b: went back to what it was in epoch 3
config c: found again, as it was in epoch 3
config d: its versions before epoch 3 are lost
config e: a change behind the damage of the log is lost
now config: records 1 of 2, bytes 10 of 30
point p: config: records 1, bytes 10; the numbers before the damage are lost
point 1970-01-01T00:00:00.000000+00:00: may have lost something
a note
";
        assert_eq!(report.to_string(), expected);
    }
}
