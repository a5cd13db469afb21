//! The whole check, and its report.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use crate::engine::check::walk::{Way, walk};
use crate::engine::format::schema::Table;
use crate::engine::history::members::Members;
use crate::engine::history::tally::Tally;
use crate::engine::records::KeyRange;
use crate::engine::view::View;
use crate::error::{Error, ErrorKind, Result};

/// Rows that are read at a time.
pub(super) const BATCH: usize = 512;
/// More findings than this are counted, not listed.
const MOST_FINDINGS: usize = 1000;

/// The result of a check.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
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
    /// The findings; at most a thousand are listed.
    pub findings: Vec<Finding>,
    /// How many findings there are, listed or not.
    pub found: u64,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Finding {
    /// The table that it is in.
    pub table: String,
    /// The key of the row, with bytes that are no text escaped.
    pub key: String,
    /// The fault and its consequence.
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

    /// Adds a finding that explains the others, before them.
    pub(crate) fn find_first(&mut self, finding: Finding) {
        self.found += 1;
        self.findings.insert(0, finding);
        self.findings.truncate(MOST_FINDINGS);
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

/// The sums of the rows that one worker saw, and the findings in them.
#[derive(Default)]
pub(super) struct Sums {
    pub(super) report: CheckReport,
    pub(super) tally: Tally,
    pub(super) index_rows: u64,
    /// Pre-images that an older one covers until the merge of their segments is done.
    pub(super) covered: u64,
    /// How many tables were walked to their end.
    pub(super) walked: u32,
}

/// Verifies all that a view of now can see: records, chains, tombstones, digests, manifests, indexes, and the frames
/// of every other table. `progress` gets the numbers of finished and of all rows; an error of it ends the check.
pub(crate) fn check(view: &View, progress: &(dyn Fn(u64, u64) -> Result<()> + Sync)) -> Result<CheckReport> {
    match check_by(Way::Pages, view, progress) {
        Ok(report) if report.is_sound() => Ok(report),
        _ => check_by(Way::Redb, view, progress),
    }
}

fn check_by(way: Way, view: &View, progress: &(dyn Fn(u64, u64) -> Result<()> + Sync)) -> Result<CheckReport> {
    let members = view.members()?;
    let mut sums = Sums::default();
    sums.walk_records(way, view, progress, |sums, table, row, bytes| {
        sums.row(view, members, table, row, bytes)?;
        if way == Way::Redb || sums.report.is_sound() { Ok(()) } else { Err(not_believed()) }
    })?;
    // If rows could not be walked, their sums prove nothing.
    if sums.walked == 2 {
        sums.compare(view, members)?;
    }
    for table in Table::ALL {
        if !matches!(table, Table::Live | Table::PreImages | Table::Tombstones | Table::Index) {
            sums.stage(table, |sums| sums.check_rows(view, table, &KeyRange::all()))?;
        }
    }
    sums.report.findings.sort();
    Ok(sums.report)
}

/// Ends a check of which only a clean result is trusted.
fn not_believed() -> Error {
    Error::damaged("a finding in the pages is checked again through redb")
}

impl Sums {
    /// Compares the sums of the rows with the stored statistics and manifests.
    pub(super) fn compare(&mut self, view: &View, members: &Members) -> Result<()> {
        self.stage(Table::Meta, |sums| sums.compare_statistics(view))?;
        self.stage(Table::Meta, |sums| sums.compare_epochs(view, members))?;
        self.stage(Table::Points, |sums| sums.compare_points(view, members))?;
        self.stage(Table::PreImages, |sums| sums.find_orphans(view, members))?;
        self.stage(Table::Index, |sums| sums.compare_index(view))?;
        self.stage(Table::Collections, |sums| sums.compare_collections(view))
    }

    fn merge(&mut self, other: Self) {
        self.report.merge(other.report);
        self.tally.merge(other.tally);
        self.index_rows += other.index_rows;
        self.covered += other.covered;
    }

    /// Walks the tables of live and of removed records on all cores. `visit` gets sums of its worker, and a row.
    pub(super) fn walk_records(
        &mut self,
        way: Way,
        view: &View,
        progress: &(dyn Fn(u64, u64) -> Result<()> + Sync),
        visit: impl Fn(&mut Self, Table, &[u8], &[u8]) -> Result<()> + Sync,
    ) -> Result<()> {
        let total = view.stored().count(Table::Live)? + view.stored().count(Table::Tombstones)?;
        let done = AtomicU64::new(0);
        let tick = |rows| progress(done.fetch_add(rows, Ordering::Relaxed) + rows, total);
        for table in [Table::Live, Table::Tombstones] {
            self.stage(table, |sums| {
                let parts =
                    walk(view, way, table, &tick, |part: &mut Self, row, bytes| visit(part, table, row, bytes))?;
                sums.walked += 1;
                parts.into_iter().for_each(|part| sums.merge(part));
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Runs one part of the check. Damage that ends it is a finding, and the other parts are still run.
    pub(super) fn stage(&mut self, table: Table, part: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        let done = part(self);
        self.or_find(table, b"", done)
    }

    pub(super) fn or_find(&mut self, table: Table, key: &[u8], done: Result<()>) -> Result<()> {
        match done {
            Err(error) if matches!(error.kind(), ErrorKind::Damaged | ErrorKind::NewerFormat) => {
                self.find(table, key, error.to_string());
                Ok(())
            }
            done => done,
        }
    }

    pub(super) fn find(&mut self, table: Table, key: &[u8], what: impl Into<String>) {
        self.report.find(Finding::new(table.name(), key, what));
    }
}
