//! The options, the plan and the report of taking back what only an overtaken file has.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;

use super::sides::Sides;
use crate::clock::show_time;
use crate::engine::point::PointId;
use crate::recovery::diff::ChangeKind;
use crate::text::{OneLine, counted_as};

/// So many records are listed; the others are counted.
pub(super) const LISTED: usize = 1_000;

/// How orphans are looked for and taken back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OrphansOptions {
    /// The text of an age identity file, for an encrypted replica.
    pub identity: Option<String>,
    /// The folder for a copy of the state at which both went apart, which is removed again; the store's own folder if
    /// none.
    pub scratch: Option<PathBuf>,
    /// Whether to take back also what a restore to an earlier moment gave up on purpose.
    pub with_given_up: bool,
}

/// The fate of an orphan: a record that changed in the overtaken file alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OrphanFate {
    /// The store takes the change.
    Take,
    /// The store has another change of the record, and keeps that.
    Conflict,
}

/// A record that changed in the overtaken file, and not in the same way in the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Orphan {
    /// The name of its collection.
    pub collection: String,
    /// Its key, as people read it.
    pub key: String,
    /// The change in the file.
    pub change: ChangeKind,
    /// The fate of the change.
    pub fate: OrphanFate,
    /// The reason for a conflict.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
}

/// The numbers of orphans in a collection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OrphanCounts {
    /// Changes that the store takes.
    pub taken: u64,
    /// Changes that it has already.
    pub already_there: u64,
    /// Changes that it does not take, because the record has another change there.
    pub conflicts: u64,
}

/// The changes that only an overtaken file has, and their fates. It changes nothing until it is given to
/// [`Store::apply_orphans`](crate::Store::apply_orphans).
#[derive(Clone, Debug, Serialize)]
pub struct OrphansPlan {
    /// The overtaken file.
    #[serde(serialize_with = "crate::files::as_text")]
    pub file: PathBuf,
    /// The last commit that both histories have.
    pub sequence: u64,
    /// When that was shipped.
    #[serde(with = "crate::clock::time")]
    pub time: Timestamp,
    /// Whether a restore to an earlier moment gave up what the replica had behind that. Then orphans are taken only if
    /// [that is allowed](OrphansOptions::with_given_up).
    pub given_up: bool,
    /// The numbers of orphans by collection.
    pub collections: BTreeMap<String, OrphanCounts>,
    /// The first 1,000 records that would be taken or are in conflict.
    pub orphans: Vec<Orphan>,
    /// The number of further ones.
    pub not_listed: u64,
    /// Audit entries that stay in the file, as they tell of another life.
    pub audit_entries_left: u64,
    /// Events that stay there.
    pub events_left: u64,
    /// Restore points that stay there.
    pub points_left: u64,
    #[serde(skip)]
    pub(super) options: OrphansOptions,
    #[serde(skip)]
    pub(super) sides: Arc<Sides>,
}

/// The report of taking orphans back.
#[derive(Clone, Debug, Serialize)]
pub struct OrphansReport {
    /// The overtaken file.
    #[serde(serialize_with = "crate::files::as_text")]
    pub file: PathBuf,
    /// The last commit that both histories have.
    pub sequence: u64,
    /// When that was shipped.
    #[serde(with = "crate::clock::time")]
    pub time: Timestamp,
    /// The numbers of orphans by collection.
    pub collections: BTreeMap<String, OrphanCounts>,
    /// The first 1,000 records that were taken or are in conflict.
    pub orphans: Vec<Orphan>,
    /// The number of further ones.
    pub not_listed: u64,
    /// The safety point, which undoes it; none if nothing was taken.
    pub undo: Option<PointId>,
}

impl OrphansPlan {
    /// The sums over all collections.
    pub fn total(&self) -> OrphanCounts {
        total(&self.collections)
    }
}

impl OrphansReport {
    /// The sums over all collections.
    pub fn total(&self) -> OrphanCounts {
        total(&self.collections)
    }
}

fn total(collections: &BTreeMap<String, OrphanCounts>) -> OrphanCounts {
    collections.values().fold(OrphanCounts::default(), |sum, counts| OrphanCounts {
        taken: sum.taken + counts.taken,
        already_there: sum.already_there + counts.already_there,
        conflicts: sum.conflicts + counts.conflicts,
    })
}

/// `take 3, already there 1, in conflict 2`.
impl fmt::Display for OrphanCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { taken, already_there, conflicts } = self;
        write!(f, "take {taken}, already there {already_there}, in conflict {conflicts}")
    }
}

/// One line: `+` for added, `~` for changed and `-` for removed in the file, `!` for a conflict with its reason.
impl fmt::Display for Orphan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match (self.fate, self.change) {
            (OrphanFate::Conflict, _) => '!',
            (OrphanFate::Take, ChangeKind::Added) => '+',
            (OrphanFate::Take, ChangeKind::Removed) => '-',
            (OrphanFate::Take, _) => '~',
        };
        let reason = self.reason.map(|reason| format!(": {reason}")).unwrap_or_default();
        write!(f, "{}", OneLine(format_args!("{sign} {}/{}{reason}", self.collection, self.key)))
    }
}

impl fmt::Display for OrphansPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_fork(f, self.sequence, self.time)?;
        if self.given_up {
            writeln!(f, "a restore to this moment gave up what the replica had behind it")?;
        }
        write_found(f, &self.collections, &self.orphans, self.not_listed)?;
        let Self { audit_entries_left, events_left, points_left, .. } = *self;
        let left = [
            (audit_entries_left, "audit entry", "audit entries"),
            (events_left, "event", "events"),
            (points_left, "restore point", "restore points"),
        ];
        let left = left.into_iter().filter(|(count, ..)| *count > 0);
        let left: Vec<_> = left.map(|(count, one, many)| counted_as(count, one, many)).collect();
        if !left.is_empty() {
            writeln!(f, "the file keeps for itself: {}", left.join(", "))?;
        }
        Ok(())
    }
}

impl fmt::Display for OrphansReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_fork(f, self.sequence, self.time)?;
        write_found(f, &self.collections, &self.orphans, self.not_listed)
    }
}

fn write_fork(f: &mut fmt::Formatter<'_>, sequence: u64, time: Timestamp) -> fmt::Result {
    writeln!(f, "the file and the replica part after commit {sequence} of {}", show_time(time))
}

fn write_found(
    f: &mut fmt::Formatter<'_>,
    collections: &BTreeMap<String, OrphanCounts>,
    orphans: &[Orphan],
    not_listed: u64,
) -> fmt::Result {
    if collections.is_empty() {
        writeln!(f, "  nothing is in the file alone")?;
    }
    for (name, counts) in collections {
        writeln!(f, "  {}", OneLine(format_args!("{name}: {counts}")))?;
    }
    orphans.iter().try_for_each(|orphan| writeln!(f, "{orphan}"))?;
    if not_listed > 0 {
        writeln!(f, "and {not_listed} more")?;
    }
    Ok(())
}
