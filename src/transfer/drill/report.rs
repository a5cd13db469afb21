//! The report of a drill.

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use crate::error::Result;
use crate::recovery::check::last_drill::{LastDrill, Rehearsed};
use crate::transfer::drill::loss::Loss;
use crate::transfer::drill::targets::{Disaster, DrillTarget};

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
    /// The disaster.
    pub name: Disaster,
    /// The time from the disaster until work continued.
    pub recovery_ms: u64,
    /// The number of records that were missing, or differed.
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
pub(super) struct Measured {
    pub(super) recovery: Duration,
    pub(super) loss: Loss,
    pub(super) notes: Vec<String>,
}

impl DrillReport {
    /// Whether every target was met.
    pub fn is_met(&self) -> bool {
        self.scenarios.iter().all(|scenario| scenario.met)
    }

    pub(super) fn to_keep(&self) -> LastDrill {
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
    pub(super) fn new(name: Disaster, target: DrillTarget, measured: Result<Measured>) -> Self {
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

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
