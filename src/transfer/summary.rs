//! What a store holds, in numbers: as `status` shows it, and `serve` when it begins.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use crate::engine::records::{KeyRange, Records};
use crate::engine::schema::{CollectionId, Table};
use crate::recovery::points::point::names;
pub(crate) use crate::text::counted;
use crate::{Crash, LastArchive, LastDrill, Point, Result, Stats, Store, TaskCounts, View};

/// Rows read at a time.
const PAGE: usize = 512;

/// What a store holds.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Summary {
    /// The file, by its full path.
    #[serde(serialize_with = "crate::files::as_text")]
    pub(crate) store: PathBuf,
    /// The length of the file.
    pub(crate) file_bytes: u64,
    /// What each collection holds, by name.
    pub(crate) collections: BTreeMap<String, Stats>,
    /// How many tasks are in each state.
    pub(crate) tasks: TaskCounts,
    /// The restore points.
    pub(crate) points: Points,
    /// The newest automatic archive.
    pub(crate) archive: Copy,
    /// The newest crash that nobody has acknowledged.
    pub(crate) crash: Option<Crash>,
    /// What the last rehearsal of disasters has measured.
    pub(crate) last_drill: Option<LastDrill>,
}

/// The copy of the state that would be left if the file were lost.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Copy {
    /// The newest automatic archive.
    pub(crate) last: Option<LastArchive>,
    /// Whether it is on the same file system as the store; none where that cannot be told.
    pub(crate) same_file_system: Option<bool>,
    /// Whether something has changed since; none where there is no archive.
    pub(crate) changed_since: Option<bool>,
    /// What would be lost with it.
    pub(crate) warning: Option<&'static str>,
}

impl Copy {
    pub(crate) fn of(store: &Store) -> Result<Self> {
        let (last, changed_since) = store.outside()?.map(|outside| (outside.last, outside.changed_since)).unzip();
        let same_file_system = last.as_ref().and_then(|last| last.is_beside(store));
        let warning = match (&last, same_file_system) {
            (None, _) => Some("there is no copy outside of this file"),
            (Some(last), _) if !last.verified => Some("the newest archive has not been read back"),
            (Some(_), Some(true)) => Some("the newest archive is on the same file system as the store"),
            (Some(_), _) => None,
        };
        Ok(Self { last, same_file_system, changed_since, warning })
    }
}

/// The restore points of a store, in short.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Points {
    /// Those that were asked for, or are automatic, of documents too.
    pub(crate) total: u64,
    /// Those of single backups, of restores and of single commits.
    pub(crate) others: u64,
    /// The one that `latest` means.
    pub(crate) latest: Option<Point>,
}

/// What a part of a store weighs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Weight {
    /// Rows.
    pub(crate) rows: u64,
    /// Their keys and values, in bytes.
    pub(crate) bytes: u64,
}

impl Summary {
    /// Of the store as it is now. Its cost follows the number of points.
    pub(crate) fn of(store: &Store) -> Result<Self> {
        let view = store.view()?;
        let points = view.all_points()?;
        let total = points.iter().filter(|point| point.counts()).count() as u64;
        Ok(Self {
            store: std::path::absolute(store.path())?,
            file_bytes: std::fs::metadata(store.path())?.len(),
            collections: collections(&view)?,
            tasks: view.queue().counts()?,
            points: Points { total, others: points.len() as u64 - total, latest: view.latest_point()? },
            archive: Copy::of(store)?,
            crash: store.crash()?,
            last_drill: view.last_drill()?,
        })
    }

    /// How many records a collection holds.
    pub(crate) fn count(&self, collection: &str) -> u64 {
        self.collections.get(collection).map_or(0, |stats| stats.count)
    }
}

/// `3 bots, 12 tasks`, as `serve` says it.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", counted(self.count("registry"), "bot"), counted(self.count("queue"), "task"))
    }
}

/// What each collection that has records holds; the built-in ones that people see are always there.
fn collections(view: &View) -> Result<BTreeMap<String, Stats>> {
    let names = names(view)?;
    let mut collections = BTreeMap::new();
    for name in names.all().filter(|name| !name.starts_with('#')) {
        let stats = names.id(name).map(|id| view.stats(id)).transpose()?.unwrap_or_default();
        collections.insert(name.to_owned(), stats);
    }
    Ok(collections)
}

/// What the past weighs: everything that would go if every restore point were forgotten. Reads all of it.
pub(crate) fn history_weight(view: &View) -> Result<Weight> {
    let mut weight = Weight::default();
    for table in [Table::PreImages, Table::Tombstones, Table::Points, Table::Commits] {
        let mut range = KeyRange::all();
        loop {
            let page = view.raw_page(table, &range, PAGE)?;
            let Some((last, _)) = page.last() else { break };
            range = range.after(last);
            weight.rows += page.len() as u64;
            weight.bytes += page.iter().map(|(key, value)| (key.len() + value.len()) as u64).sum::<u64>();
        }
    }
    Ok(weight)
}

/// What the records of now weigh, their long values included.
pub(crate) fn live_weight(view: &View, summary: &Summary) -> Result<Weight> {
    let pieces = view.stats(CollectionId::CHUNKS)?;
    let all = summary.collections.values().chain([&pieces]);
    Ok(all
        .fold(Weight::default(), |sum, stats| Weight { rows: sum.rows + stats.count, bytes: sum.bytes + stats.bytes }))
}

/// A number of bytes in the unit in which people read it.
pub(crate) fn show_bytes(bytes: u64) -> String {
    let units = [(1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
    match units.into_iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) => format!("{}.{} {name}", bytes / unit, bytes % unit / (unit / 10)),
        None => format!("{bytes} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shown_in_the_largest_unit_that_fits() {
        for (bytes, text) in
            [(0, "0 B"), (999, "999 B"), (1_000, "1.0 kB"), (1_590_000, "1.5 MB"), (u64::MAX, "18446744073.7 GB")]
        {
            assert_eq!(show_bytes(bytes), text);
        }
    }
}
