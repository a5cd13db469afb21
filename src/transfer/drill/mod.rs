//! Rehearsals of disasters, on a copy of the real store: how long until the work went on, and what was lost, measured.
//!
//! * here: what is asked for, and what comes back
//! * [`targets`]: the disasters, and how bad each may be
//! * [`scratch`]: the folder with the copy; [`stage`]: what every rehearsal works with
//! * [`bots`]: bots as processes of their own, and what they were told is done; [`bot`]: what such a process does
//! * [`loss`]: what is missing afterwards, counted
//! * [`work`], [`state`], [`disk`]: the disasters themselves

mod bot;
mod bots;
mod disk;
mod loss;
pub(in crate::transfer) mod scratch;
mod stage;
mod state;
pub(crate) mod targets;
mod work;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::Serialize;

use self::loss::Loss;
use self::scratch::Scratch;
use self::stage::Stage;
use self::targets::{Disaster, DrillTarget, DrillTargets};
use crate::engine::store::Store;
use crate::error::{Error, Result};
use crate::recovery::check::last_drill::{LastDrill, Rehearsed};

pub use self::bot::drill_bot;

/// How a drill is done. The default is every disaster, beside the store, against the usual targets.
#[derive(Clone, Debug)]
pub struct DrillOptions {
    pub(crate) program: PathBuf,
    pub(crate) only: Vec<Disaster>,
    pub(crate) targets: DrillTargets,
    pub(crate) scratch: Option<PathBuf>,
    pub(crate) archives: Option<PathBuf>,
    pub(crate) seed: u64,
}

impl DrillOptions {
    /// With this program as the bots: it is run as `PROGRAM --store COPY drill-bot NAME`, as `hivekeep` can be, and has
    /// to call [`drill_bot`] then.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            only: Vec::new(),
            targets: DrillTargets::default(),
            scratch: None,
            archives: None,
            seed: 1,
        }
    }

    /// Only these disasters; none means all.
    #[must_use]
    pub fn only(mut self, disasters: impl IntoIterator<Item = Disaster>) -> Self {
        self.only = disasters.into_iter().collect();
        self
    }

    /// How bad a disaster may be.
    #[must_use]
    pub fn target(mut self, disaster: Disaster, target: DrillTarget) -> Self {
        self.targets.set(disaster, target);
        self
    }

    /// In a folder in this one, instead of one beside the store.
    #[must_use]
    pub fn scratch(mut self, folder: Option<PathBuf>) -> Self {
        self.scratch = folder;
        self
    }

    /// Where the archives of the store are; `hivekeep-archives` beside it unless set.
    #[must_use]
    pub fn archives(mut self, folder: Option<PathBuf>) -> Self {
        self.archives = folder;
        self
    }

    /// Which bytes are damaged follows from this number.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }
}

/// The caller of a drill: it receives progress and decides whether to go on.
pub trait DrillWatch: Sync {
    /// Told what is being done now.
    fn stage(&self, what: &str);

    /// Told how much of it is done.
    fn progress(&self, done: u64, of: u64);

    /// Whether to stop, and leave nothing behind.
    fn is_stopped(&self) -> bool;
}

/// The results of a drill.
#[derive(Clone, Debug, Serialize)]
pub struct DrillReport {
    /// The store that was copied.
    #[serde(serialize_with = "crate::files::as_text")]
    pub store: PathBuf,
    /// When the drill ended.
    #[serde(with = "crate::clock::time")]
    pub at: Timestamp,
    /// How long it took.
    pub took_ms: u64,
    /// How many records the copy held.
    pub records: u64,
    /// The length of the file that was copied.
    pub copied_bytes: u64,
    /// How long copying it, and verifying the copy, took.
    pub copied_ms: u64,
    /// How long writers of the real store had to wait for that.
    pub writers_waited_ms: u64,
    /// Which bytes were damaged follows from this number.
    pub seed: u64,
    /// The rehearsals, in order.
    pub scenarios: Vec<DrillScenario>,
}

/// One disaster that was rehearsed.
#[derive(Clone, Debug, Serialize)]
pub struct DrillScenario {
    /// The disaster.
    pub name: Disaster,
    /// From the disaster until the work went on.
    pub recovery_ms: u64,
    /// Records that were not there any more, or not as they had been.
    pub lost_records: u64,
    /// How far back the oldest of them was written.
    pub lost_ms: u64,
    /// How bad it may be.
    pub target: DrillTarget,
    /// Whether it was no worse.
    pub met: bool,
    /// Remarks.
    pub notes: Vec<String>,
    /// Why it could not be rehearsed to its end.
    pub error: Option<String>,
}

/// The results of a rehearsal.
struct Measured {
    recovery: Duration,
    loss: Loss,
    notes: Vec<String>,
}

impl DrillReport {
    /// Whether every target was met.
    pub fn is_met(&self) -> bool {
        self.scenarios.iter().all(|scenario| scenario.met)
    }

    fn to_keep(&self) -> LastDrill {
        let rehearsed = |scenario: &DrillScenario| Rehearsed {
            name: scenario.name.as_str().to_owned(),
            recovery_ms: scenario.recovery_ms,
            lost_records: scenario.lost_records,
            lost_ms: scenario.lost_ms,
            met: scenario.met,
        };
        let scenarios = self.scenarios.iter().map(rehearsed).collect();
        LastDrill { at: self.at, took_ms: self.took_ms, records: self.records, scenarios }
    }
}

impl DrillScenario {
    fn new(name: Disaster, target: DrillTarget, measured: Result<Measured>) -> Self {
        let mut own = Self {
            name,
            recovery_ms: 0,
            lost_records: 0,
            lost_ms: 0,
            target,
            met: false,
            notes: Vec::new(),
            error: None,
        };
        match measured {
            Ok(Measured { recovery, loss, notes }) => {
                own.met = recovery <= target.recovery() && loss.age <= target.loss();
                (own.recovery_ms, own.lost_records, own.lost_ms) = (millis(recovery), loss.records, millis(loss.age));
                own.notes = notes;
            }
            Err(error) => own.error = Some(error.to_string()),
        }
        own
    }
}

impl Store {
    /// Rehearses disasters on a copy of the store at `path`, which may be in use and is itself only read: real processes
    /// are killed, real bytes damaged. The copy is gone afterwards. The results are kept in the store, with an event.
    ///
    /// # Errors
    ///
    /// As [`Store::open`]; `Full` when there is no room for copies; `Damaged` when the store itself is; `Conflict` when it
    /// was stopped; `Io` when the program for the bots cannot be run. A failure within a rehearsal is in the report.
    pub fn drill(path: impl AsRef<Path>, options: &DrillOptions, watch: &dyn DrillWatch) -> Result<DrillReport> {
        let (path, begun) = (std::path::absolute(path.as_ref())?, Instant::now());
        let scratch = Scratch::make(&path, options.scratch.as_deref())?;
        watch.stage("copying the store");
        let copied = scratch.copy(&path, watch)?;
        let copied_ms = millis(begun.elapsed());
        let mut stage = Stage::new(&path, scratch, options, watch)?;
        let mut scenarios = Vec::new();
        for disaster in Disaster::ALL.into_iter().filter(|own| options.only.is_empty() || options.only.contains(own)) {
            stop_if_asked(watch)?;
            watch.stage(disaster.about());
            let measured = stage.rehearse(disaster);
            stop_if_asked(watch)?;
            scenarios.push(DrillScenario::new(disaster, options.targets.of(disaster), measured));
        }
        let records = stage.records();
        drop(stage);
        let store = Self::options().create(false).session(false).open(&path)?;
        let report = DrillReport {
            store: path,
            at: crate::clock::as_stored(store.clock().now()),
            took_ms: millis(begun.elapsed()),
            records,
            copied_bytes: copied.bytes,
            copied_ms,
            writers_waited_ms: millis(copied.held),
            seed: options.seed,
            scenarios,
        };
        store.note_drill(&report.to_keep())?;
        store.close()?;
        Ok(report)
    }
}

fn stop_if_asked(watch: &dyn DrillWatch) -> Result<()> {
    if watch.is_stopped() { Err(Error::conflict("the drill was stopped, and left nothing behind")) } else { Ok(()) }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
