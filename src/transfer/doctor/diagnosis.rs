//! The diagnosis, with its options.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::line::{Condition, DiagnosisLine};
use super::{copies, look, replica, verified};
use crate::clock;
use crate::engine::store::{Options, Store};
use crate::error::{ErrorKind, Result};
use crate::state::page::Page;
use crate::transfer::archives::EVENTS;
use crate::transfer::replica_state::ReplicaState;

/// The place of the line about the replica.
const BESIDE_ARCHIVES: usize = 4;

/// The topics that are those of the machine that writes, and not of a copy or of a store that was overtaken: nobody can
/// follow their advice there.
const OF_WRITERS: [&str; 12] = [
    "checked",
    "backup",
    "archives",
    "drill",
    "retention",
    "work",
    "clock",
    "sessions",
    "claims",
    "tasks",
    "schedules",
    "guards",
];

/// The options of a diagnosis.
///
/// # Examples
///
/// ```
/// let options = hivekeep::DiagnosisOptions::default();
/// assert!(!options.full && options.backup_interval.as_secs() == 600);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiagnosisOptions {
    /// Whether to verify every record, every point and the pages; about 20,000 rows unless set.
    pub full: bool,
    /// The acceptable age of the newest restore point if something has changed since it; 10 minutes unless set.
    pub backup_interval: Duration,
    /// The folder of the archives; unless set, that of the last automatic archive, or else `hivekeep-archives` beside
    /// the store.
    pub archive_dir: Option<PathBuf>,
    /// The replica, as the process that ships the store sees it; unless set, as the store knows it.
    pub replica: Option<ReplicaState>,
}

impl Default for DiagnosisOptions {
    fn default() -> Self {
        Self { full: false, backup_interval: Duration::from_secs(10 * 60), archive_dir: None, replica: None }
    }
}

/// A diagnosis of a store, topic by topic, with advice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnosis {
    /// The worst condition of all lines.
    pub verdict: Condition,
    /// The topics.
    pub lines: Vec<DiagnosisLine>,
    /// The moment up to which everything would come back from the replica if the store were lost; none without a
    /// replica, and where that is not known.
    #[serde(default, with = "clock::time::option")]
    pub restorable_until: Option<Timestamp>,
}

impl Options {
    /// Diagnoses whether the data of the store at `path` would come back right now: checks restore points, archives,
    /// drills, free space, retention, the clock, and the processes that have the store open. It only reads, while other
    /// processes may use the store, so the options `read_only`, `untouched` and `create` have no effect here.
    ///
    /// # Errors
    ///
    /// As [`Options::open`], except for damage, which the diagnosis reports.
    ///
    /// # Examples
    ///
    /// ```
    /// use hivekeep::{Condition, DiagnosisOptions, Store};
    ///
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("hive.redb");
    /// Store::open(&path)?.close()?;
    /// let diagnosis = Store::options().diagnose(&path, &DiagnosisOptions::default())?;
    /// assert_eq!(diagnosis.verdict, Condition::Warn);
    /// let archives = diagnosis.lines.iter().find(|line| line.topic == "archives").unwrap();
    /// assert!(archives.what.starts_with("no copy outside of this file"));
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn diagnose(self, path: impl AsRef<Path>, options: &DiagnosisOptions) -> Result<Diagnosis> {
        let opened = if options.full { self.untouched() } else { self.read_only(true) };
        Diagnosis::of(opened.open(path).and_then(|store| look(&store, options)))
    }
}

impl Store {
    /// The same through a store that is open, such as that of a service.
    ///
    /// # Errors
    ///
    /// `Reopen`, `Io`.
    ///
    /// # Examples
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = hivekeep::Store::open(dir.path().join("h.redb"))?;
    /// let diagnosis = store.diagnose(&hivekeep::DiagnosisOptions::default())?;
    /// assert_eq!(diagnosis.verdict, hivekeep::Condition::Warn);
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn diagnose(&self, options: &DiagnosisOptions) -> Result<Diagnosis> {
        Diagnosis::of(look(self, options))
    }
}

impl Diagnosis {
    pub(super) fn of(looked: Result<(Vec<DiagnosisLine>, Option<Timestamp>)>) -> Result<Self> {
        let (lines, restorable_until) = match looked {
            Err(error) if error.kind() == ErrorKind::Damaged => {
                let advice = "see what a repair would keep: hivekeep repair --dry-run";
                (vec![DiagnosisLine::bad("opened", error.to_string(), advice)], None)
            }
            looked => looked?,
        };
        let verdict = lines.iter().map(|line| line.verdict).max().unwrap_or(Condition::Ok);
        Ok(Self { verdict, lines, restorable_until })
    }
}

/// The lines, and the moment up to which the replica has everything.
pub(super) fn look(store: &Store, options: &DiagnosisOptions) -> Result<(Vec<DiagnosisLine>, Option<Timestamp>)> {
    let view = store.view()?;
    let (named, sessions) = (view.named_points()?, store.sessions()?);
    let events = view.events().list(Page::newest(EVENTS))?;
    let live: Vec<_> = named.iter().filter(|point| point.is_listed()).collect();
    let rows = if options.full { verified::everything(store)? } else { verified::part(store)? };
    let known = options.replica.clone();
    let replica = known.map_or_else(|| ReplicaState::of(store, &view), |known| Ok(Some(known)))?;
    let mut lines = vec![
        rows,
        verified::last_check(store)?,
        look::backup(store, &view, &live, options.backup_interval)?,
        copies::outside(store, &events, options.archive_dir.as_deref(), options.backup_interval, replica.as_ref())?,
        look::drill(store, &view)?,
        look::points(&live, named.len() - live.len()),
        look::retention(store, &named)?,
        look::work(&events),
        look::space(store)?,
        look::readers(store),
        look::log(store),
        look::clock(store, &named, &sessions),
        look::sharing(store)?,
        look::keys(store, &view)?,
        look::sessions(store, &sessions)?,
        look::claims(&view)?,
        look::tasks(&view)?,
        look::schedules(store, &view)?,
        look::guards(&named),
    ];
    // Beside the archives, the other copy outside of the file.
    replica.iter().for_each(|state| lines.insert(BESIDE_ARCHIVES, replica::replica(store, state)));
    if store.is_standby() || store.is_overtaken() {
        lines.retain(|line| !OF_WRITERS.contains(&&*line.topic));
    }
    Ok((lines, replica.and_then(|state| state.restorable_until(store))))
}
