//! The content of a store in numbers, and how much of it would be left without the file.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::engine::digest::Stats;
use crate::engine::records::{KeyRange, Records};
use crate::engine::schema::{CollectionId, Table};
use crate::engine::store::Store;
use crate::engine::view::View;
use crate::engine::wal::LogStatus;
use crate::error::Result;
use crate::recovery::check::last_drill::LastDrill;
use crate::recovery::points::point::Point;
use crate::recovery::sessions::crash::Crash;
use crate::state::queue::TaskCounts;
use crate::state::schedules::schedule::Schedule;
use crate::text::counted;
use crate::transfer::archive::LastArchive;
use crate::transfer::archives::{self, Export};
use crate::transfer::replica_state::ReplicaState;

/// The number of rows that are read at a time.
const ROWS_PER_READ: usize = 512;

/// The content of a store in numbers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Summary {
    /// The absolute path of the file.
    #[serde(serialize_with = "crate::files::as_text")]
    pub store: PathBuf,
    /// The size of the file.
    pub file_bytes: u64,
    /// Count and size of each collection, by name.
    pub collections: BTreeMap<String, Stats>,
    /// The number of documents. Each of them is a record for each of its elements in `collections`.
    #[serde(default)]
    pub documents: u64,
    /// The number of tasks in each state.
    pub tasks: TaskCounts,
    /// The schedules.
    pub schedules: ScheduleTotals,
    /// The restore points.
    pub points: PointTotals,
    /// The newest automatic archive.
    pub archive: OutsideCopy,
    /// The newest crash that nobody has acknowledged.
    pub crash: Option<Crash>,
    /// The result of the last drill.
    pub last_drill: Option<LastDrill>,
    /// The write-ahead log; none where commits go into the file, as where several processes share the store.
    #[serde(default)]
    pub log: Option<LogStatus>,
    /// The replica; none of a store that was in none.
    #[serde(default)]
    pub replica: Option<ReplicaState>,
}

/// The newest archive, which would be left if the file were lost.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OutsideCopy {
    /// The newest automatic archive.
    pub last: Option<LastArchive>,
    /// The file of the newest archive of the whole store, if that is not the automatic one.
    #[serde(default)]
    pub exported: Option<String>,
    /// Whether it is on the same file system as the store; none if that is unknown.
    pub same_file_system: Option<bool>,
    /// Whether something has changed since; none if there is no archive.
    pub changed_since: Option<bool>,
    /// The risk if the file is lost; none if an archive is safe.
    pub warning: Option<Cow<'static, str>>,
}

impl OutsideCopy {
    /// The newest archive of a store.
    ///
    /// # Errors
    ///
    /// `Damaged`, `Reopen`, `Io`.
    pub fn of(store: &Store) -> Result<Self> {
        Self::beside(store, ReplicaState::of(store, &store.view()?)?.as_ref())
    }

    /// The same beside a replica, as the process that ships the store sees it: nothing is at risk while that has
    /// everything.
    ///
    /// # Errors
    ///
    /// `Damaged`, `Reopen`, `Io`.
    pub fn beside(store: &Store, replica: Option<&ReplicaState>) -> Result<Self> {
        let (last, changed_since) = store.outside()?.map(|outside| (outside.last, outside.changed_since)).unzip();
        let automatic = last.as_ref().map(|last| Path::new(&last.file));
        let folder = archives::folder_of(store, &std::path::absolute(store.path())?)?;
        // An event that is damaged hides no archive in the folder.
        let exports = Export::all(&store.view()?).unwrap_or_default();
        let newest = archives::newest(&folder, &exports).map(|(file, _)| file);
        let exported = newest.filter(|newest| Some(newest.as_path()) != automatic);
        let file = exported.as_deref().or(automatic);
        let same_file_system = file.and_then(|file| archives::same_file_system(file, store.path()));
        let warning = match (file, same_file_system) {
            _ if replica.is_some_and(|replica| replica.is_another_copy(store)) => None,
            (None, _) if replica.is_some_and(|replica| replica.is_beside(store)) => {
                Some("there is no archive, and the replica is on the same file system as the store")
            }
            (None, _) => Some("there is no copy outside of this file"),
            (Some(_), _) if exported.is_none() && last.as_ref().is_some_and(|last| !last.verified) => {
                Some("the newest archive has not been read back")
            }
            (Some(_), Some(true)) => Some("the newest archive is on the same file system as the store"),
            (Some(_), _) => None,
        };
        let exported = exported.map(|file| file.to_string_lossy().into_owned());
        Ok(Self { last, exported, same_file_system, changed_since, warning: warning.map(Cow::Borrowed) })
    }
}

/// The number of schedules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleTotals {
    /// All of them.
    pub total: u64,
    /// Those that are paused.
    pub paused: u64,
    /// Those whose due time is more than a minute old, since no process fires schedules.
    pub overdue: u64,
    /// Those that a clock that was ahead has moved ahead, so that due times before do not fire.
    #[serde(default)]
    pub silent: u64,
}

impl ScheduleTotals {
    fn of(view: &View, now: Timestamp) -> Result<Self> {
        let schedules = view.schedules().list()?;
        let count = |is_so: &dyn Fn(&Schedule) -> bool| schedules.iter().filter(|one| is_so(one)).count() as u64;
        Ok(Self {
            total: schedules.len() as u64,
            paused: count(&|schedule| schedule.paused),
            overdue: count(&|schedule| schedule.overdue_since(now).is_some()),
            silent: count(&|schedule| schedule.silent_until(now).is_some()),
        })
    }
}

/// The number of restore points, and the latest.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PointTotals {
    /// Manual and automatic points of live state, which [`Store::points`] lists.
    pub total: u64,
    /// The others, which [`Store::all_points`] lists too: points of documents, of restores and of single commits.
    pub others: u64,
    /// The point that `latest` resolves to.
    pub latest: Option<Point>,
}

/// The size of a part of a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Weight {
    /// The number of rows.
    pub rows: u64,
    /// The size of their keys and values, in bytes.
    pub bytes: u64,
}

/// The sizes of the parts of a store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Weights {
    /// The current records, including their long values.
    pub live: Weight,
    /// The rows that forgetting every restore point would free.
    pub history: Weight,
    /// Bytes of the file without a row: free, or freed and pinned by a view that is still open.
    pub free_bytes: u64,
    /// Processes that keep a view open for long.
    pub readers: Vec<String>,
}

impl Store {
    /// The content of the store now. The cost grows with the number of points.
    ///
    /// # Errors
    ///
    /// `Damaged`, `Reopen`, `Io`.
    ///
    /// # Examples
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = hivekeep::Store::open(dir.path().join("h.redb"))?;
    /// store.restore_point("before the night")?;
    /// let summary = store.summary()?;
    /// assert_eq!((summary.points.total, summary.count("registry")), (1, 0));
    /// assert_eq!(summary.archive.warning.as_deref(), Some("there is no copy outside of this file"));
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn summary(&self) -> Result<Summary> {
        self.summary_with(ReplicaState::of(self, &self.view()?)?)
    }

    /// The same beside a replica, as the process that ships the store sees it.
    pub(crate) fn summary_with(&self, replica: Option<ReplicaState>) -> Result<Summary> {
        let view = self.view()?;
        let points = view.all_points()?;
        let total = points.iter().filter(|point| point.is_listed()).count() as u64;
        Ok(Summary {
            store: std::path::absolute(self.path())?,
            file_bytes: std::fs::metadata(self.path())?.len(),
            collections: view.collections()?,
            // One that is damaged hides no other number.
            documents: view.documents().list().map_while(Result::ok).count() as u64,
            tasks: view.queue().counts()?,
            // One that is damaged hides no other number.
            schedules: ScheduleTotals::of(&view, self.clock().now()).unwrap_or_default(),
            points: PointTotals { total, others: points.len() as u64 - total, latest: view.latest_point()? },
            archive: OutsideCopy::beside(self, replica.as_ref())?,
            crash: self.crash()?,
            last_drill: view.last_drill()?,
            log: self.log_status(),
            replica,
        })
    }

    /// The sizes of the parts of the store. Reads everything.
    ///
    /// # Errors
    ///
    /// `Damaged`, `Reopen`, `Io`.
    ///
    /// # Examples
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = hivekeep::Store::open(dir.path().join("h.redb"))?;
    /// store.write(|tx| tx.config().put("limit", &serde_json::json!(3)))?;
    /// assert_eq!(store.weigh()?.live, hivekeep::Weight { rows: 1, bytes: 1 });
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn weigh(&self) -> Result<Weights> {
        let view = self.view()?;
        let file_bytes = std::fs::metadata(self.path())?.len();
        Ok(Weights {
            live: live_weight(&view)?,
            history: history_weight(&view)?,
            free_bytes: file_bytes.saturating_sub(view.used_bytes()?),
            readers: self.long_readers(),
        })
    }
}

impl Summary {
    /// The number of records in a collection.
    pub fn count(&self, collection: &str) -> u64 {
        self.collections.get(collection).map_or(0, |stats| stats.count)
    }
}

/// `3 bots, 12 tasks`.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", counted(self.count("registry"), "bot"), counted(self.count("queue"), "task"))
    }
}

/// The rows that forgetting every restore point would free. Reads all of them.
fn history_weight(view: &View) -> Result<Weight> {
    let mut weight = Weight::default();
    for table in [Table::PreImages, Table::Tombstones, Table::Points, Table::Commits] {
        let mut range = KeyRange::all();
        loop {
            let page = view.stored().page(table, &range, ROWS_PER_READ)?;
            let Some((last, _)) = page.last() else { break };
            range = range.after(last);
            weight.rows += page.len() as u64;
            weight.bytes += page.iter().map(|(key, value)| (key.len() + value.len()) as u64).sum::<u64>();
        }
    }
    Ok(weight)
}

/// The rows of the current records, including their long values.
fn live_weight(view: &View) -> Result<Weight> {
    let pieces = view.stats(CollectionId::CHUNKS)?;
    let all = view.collections()?.into_values().chain([pieces]);
    Ok(all
        .fold(Weight::default(), |sum, stats| Weight { rows: sum.rows + stats.count, bytes: sum.bytes + stats.bytes }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::schema::{CollectionId, Table};
    use crate::state::page::Page;

    #[test]
    fn a_damaged_event_or_document_hides_no_other_number() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("h.redb")).unwrap();
        store.write(|tx| tx.config().put("a", &serde_json::json!(1))).unwrap();
        store.write(|tx| tx.put_row(Table::Events, &[0xff; 8], b"")).unwrap();
        store.write(|tx| tx.put(CollectionId::DOCUMENTS, b"\xff", b"")).unwrap();
        let view = store.view().unwrap();
        assert!(view.events().list(Page::newest(9)).is_err() && view.documents().list().any(|id| id.is_err()));
        let summary = store.summary().unwrap();
        assert_eq!((summary.count("config"), summary.documents, summary.archive.last.is_none()), (1, 0, true));
    }
}
