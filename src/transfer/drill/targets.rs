//! The disasters that can be rehearsed, and their targets.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::duration;
use crate::error::{Error, Result};

const MINUTE: u64 = 60;

/// A disaster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Disaster {
    /// The machine is lost with its disk, and the store comes back from elsewhere, such as a replica. Only with
    /// [`DrillOptions::rebuild`](crate::DrillOptions::rebuild).
    MachineLost,
    /// The file is lost, and rebuilt from the newest archive.
    FileLost,
    /// Half of the queue is deleted by mistake, and restored from the newest restore point.
    QueueHalved,
    /// A wrong deployment is rolled back by its guard.
    DeploymentUndone,
    /// The process of one bot is killed.
    BotKilled,
    /// The process with all bots is killed.
    ProcessKilled,
    /// Random bytes of the file are damaged, and the store is repaired.
    BytesDamaged,
}

impl Disaster {
    /// Every disaster, in the order of a drill. The first ones use real restore points and archives, before the drill
    /// has written anything itself.
    pub const ALL: [Self; 7] = [
        Self::MachineLost,
        Self::FileLost,
        Self::QueueHalved,
        Self::DeploymentUndone,
        Self::BotKilled,
        Self::ProcessKilled,
        Self::BytesDamaged,
    ];

    /// Its name, in lower case with underscores.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::QueueHalved => "queue_halved",
            Self::FileLost => "file_lost",
            Self::MachineLost => "machine_lost",
            Self::DeploymentUndone => "deployment_undone",
            Self::BotKilled => "bot_killed",
            Self::ProcessKilled => "process_killed",
            Self::BytesDamaged => "bytes_damaged",
        }
    }

    /// A short description.
    pub fn about(self) -> &'static str {
        match self {
            Self::QueueHalved => "half of the queue is deleted by mistake",
            Self::MachineLost => "the machine is lost and the store comes back from elsewhere",
            Self::FileLost => "the file is lost and rebuilt from the newest archive",
            Self::DeploymentUndone => "a failed deployment is rolled back",
            Self::BotKilled => "the process of one bot is killed",
            Self::ProcessKilled => "the whole process is killed",
            Self::BytesDamaged => "random bytes of the file are damaged and repaired",
        }
    }

    fn usual(self) -> DrillTarget {
        let (recovery, loss) = match self {
            Self::BotKilled | Self::MachineLost => (1, 1),
            Self::QueueHalved | Self::DeploymentUndone => (5, 10),
            Self::ProcessKilled | Self::FileLost => (10, 10),
            Self::BytesDamaged => (15, 10),
        };
        DrillTarget::new(Duration::from_secs(recovery * MINUTE), Duration::from_secs(loss * MINUTE))
    }
}

impl fmt::Display for Disaster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Disaster {
    type Err = Error;

    /// The disaster of that name.
    ///
    /// # Errors
    ///
    /// `Invalid`, with the known names.
    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|disaster| disaster.as_str() == name).ok_or_else(|| {
            let names = Self::ALL.map(Self::as_str).join(", ");
            Error::invalid(format!("unknown disaster; choose among {names}: name={}", name.escape_debug()))
        })
    }
}

/// The target of a disaster: the recovery time objective and the recovery point objective.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrillTarget {
    recovery: Duration,
    loss: Duration,
}

impl DrillTarget {
    /// The longest time until work continues, and the greatest age of lost writes.
    pub fn new(recovery: Duration, loss: Duration) -> Self {
        Self { recovery, loss }
    }

    /// The longest time until work continues.
    pub fn recovery(self) -> Duration {
        self.recovery
    }

    /// The greatest age of writes that may be lost.
    pub fn loss(self) -> Duration {
        self.loss
    }
}

/// In milliseconds, like the measurements.
impl Serialize for DrillTarget {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let millis = |length: Duration| u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
        let mut target = serializer.serialize_struct("DrillTarget", 2)?;
        target.serialize_field("recovery_ms", &millis(self.recovery))?;
        target.serialize_field("lost_ms", &millis(self.loss))?;
        target.end()
    }
}

impl FromStr for DrillTarget {
    type Err = Error;

    /// Parses `5m/10m`: the recovery time, then the greatest age of lost writes.
    ///
    /// # Errors
    ///
    /// `Invalid` for another form.
    fn from_str(text: &str) -> Result<Self> {
        let wrong = || {
            let text = text.escape_debug();
            Error::invalid(format!("a target is RECOVERY/LOSS, such as 5m/10m: text={text}"))
        };
        let (recovery, loss) = text.split_once('/').ok_or_else(wrong)?;
        Ok(Self::new(duration::parse(recovery)?, duration::parse(loss)?))
    }
}

/// The target of every disaster.
#[derive(Clone, Debug, Default)]
pub(crate) struct DrillTargets(BTreeMap<Disaster, DrillTarget>);

impl DrillTargets {
    pub(super) fn set(&mut self, disaster: Disaster, target: DrillTarget) {
        self.0.insert(disaster, target);
    }

    pub(super) fn of(&self, disaster: Disaster) -> DrillTarget {
        self.0.get(&disaster).copied().unwrap_or_else(|| disaster.usual())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_parsed_and_applies_to_its_disaster_only() {
        let mut targets = DrillTargets::default();
        targets.set(Disaster::FileLost, "2m/30s".parse().unwrap());
        assert_eq!(targets.of(Disaster::FileLost).recovery(), Duration::from_secs(120));
        assert_eq!(targets.of(Disaster::FileLost).loss(), Duration::from_secs(30));
        assert_eq!(targets.of(Disaster::BotKilled).loss(), Duration::from_secs(60));
        assert!("2m".parse::<DrillTarget>().is_err());
    }

    #[test]
    fn every_disaster_is_parsed_by_its_name() {
        for disaster in Disaster::ALL {
            assert_eq!(disaster.as_str().parse::<Disaster>().unwrap(), disaster);
            assert_eq!(serde_json::to_value(disaster).unwrap(), disaster.as_str());
        }
        assert!("flood".parse::<Disaster>().unwrap_err().to_string().contains("machine_lost, file_lost, queue_halved"));
    }
}
