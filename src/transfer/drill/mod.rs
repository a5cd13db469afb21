//! Drills: rehearsals of disasters on a copy of the real store. They measure the time until work continues, and the
//! loss.
//!
//! * here: options and report
//! * [`targets`]: the disasters, and their targets
//! * [`scratch`]: the folder with the copy; [`stage`]: the parts that every rehearsal uses
//! * [`bots`]: bots as processes, and the operations acknowledged to them; [`bot`]: the work of such a process
//! * [`loss`]: counts the losses afterwards
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

/// The options of a drill. The default rehearses every disaster, in a folder beside the store, with the default
/// targets.
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
    /// Uses this program for the bots: it is run as `PROGRAM --store COPY drill-bot NAME`, as `hivekeep` can be, and
    /// must then call [`drill_bot`].
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

    /// Rehearses only these disasters; none means all.
    #[must_use]
    pub fn only(mut self, disasters: impl IntoIterator<Item = Disaster>) -> Self {
        self.only = disasters.into_iter().collect();
        self
    }

    /// Sets the target of a disaster.
    #[must_use]
    pub fn target(mut self, disaster: Disaster, target: DrillTarget) -> Self {
        self.targets.set(disaster, target);
        self
    }

    /// Uses a folder in this one, instead of one beside the store.
    #[must_use]
    pub fn scratch(mut self, folder: Option<PathBuf>) -> Self {
        self.scratch = folder;
        self
    }

    /// Sets the folder with the archives of the store. The default is `hivekeep-archives` beside it.
    #[must_use]
    pub fn archives(mut self, folder: Option<PathBuf>) -> Self {
        self.archives = folder;
        self
    }

    /// Sets the seed that chooses the damaged bytes.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }
}

/// The caller of a drill: it receives progress and decides whether to go on.
pub trait DrillWatch: Sync {
    /// Called when a step begins.
    fn stage(&self, what: &str);

    /// Called with the progress of the step.
    fn progress(&self, done: u64, of: u64);

    /// Whether to stop, and to leave nothing behind.
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
    /// Its duration.
    pub took_ms: u64,
    /// The number of records in the copy.
    pub records: u64,
    /// The length of the copied file.
    pub copied_bytes: u64,
    /// The time for the copy and its verification.
    pub copied_ms: u64,
    /// The time for which writers of the real store had to wait.
    pub writers_waited_ms: u64,
    /// The seed that chose the damaged bytes.
    pub seed: u64,
    /// The rehearsals, in order.
    pub scenarios: Vec<DrillScenario>,
}

/// One disaster that was rehearsed.
#[derive(Clone, Debug, Serialize)]
pub struct DrillScenario {
    /// The time from the disaster until work continued.
    pub name: Disaster,
    /// The number of records that were missing, or differed.
    pub recovery_ms: u64,
    /// Records that were not there any more, or not as they had been.
    pub lost_records: u64,
    /// The age of the oldest of them at the disaster.
    pub lost_ms: u64,
    /// Its target.
    pub target: DrillTarget,
    /// Whether the target was met.
    pub met: bool,
    /// Remarks.
    pub notes: Vec<String>,
    /// The error, if the rehearsal could not be completed.
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
    /// Rehearses disasters on a copy of the store at `path`. The store may be in use, and is only read. Real processes
    /// are killed, and real bytes damaged. The copy is removed afterwards. The store keeps the results, with an event.
    ///
    /// # Errors
    ///
    /// As [`Store::open`]; `Full` when there is no space for copies; `Damaged` when the store itself is damaged;
    /// `Conflict` when the drill was stopped; `Io` when the program for the bots cannot be run. The report contains
    /// failures of a rehearsal.
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
