//! The replica of a service's store: shipped for as long as the service runs.

use std::path::PathBuf;
use std::time::Duration;

use crate::engine::store::Store;
#[cfg(not(feature = "replica"))]
use crate::error::Error;
use crate::error::Result;
#[cfg(feature = "replica")]
use crate::files;
#[cfg(feature = "replica")]
use crate::replica::replicator::{ReplicateOptions, Replicator};

/// A start waits so long for the bucket; after that the service runs, and the replica follows once the bucket answers.
#[cfg(feature = "replica")]
const WAIT: Duration = Duration::from_secs(10);
/// The replica is late once it did not have everything for so long, and for ten intervals.
#[cfg(feature = "replica")]
const LATE_AFTER: Duration = Duration::from_secs(30);

/// Where and how often the store of a service is shipped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReplicaSetup {
    /// The location of the replica, as a person writes it.
    pub(crate) location: String,
    pub(crate) interval: Duration,
    /// The file with the identity that reads an encrypted replica.
    pub(crate) identity: Option<PathBuf>,
}

/// The shipping of a service's store, if it has a replica.
#[derive(Debug)]
pub(crate) struct Replication {
    #[cfg(feature = "replica")]
    running: Option<(Replicator, Duration)>,
}

#[cfg(feature = "replica")]
impl Replication {
    /// Begins to ship.
    ///
    /// # Errors
    ///
    /// As [`Store::replicate`]; `Io` when the identity cannot be read.
    pub(crate) fn start(store: &Store, setup: Option<&ReplicaSetup>) -> Result<Self> {
        let Some(setup) = setup else { return Ok(Self { running: None }) };
        let identity =
            setup.identity.as_deref().map(|file| files::read_secret(file, files::SETTINGS_MAX)).transpose()?;
        let options = ReplicateOptions { interval: setup.interval, identity, ..ReplicateOptions::default() };
        let replicator = store.replicate(&setup.location.parse()?, options, WAIT)?;
        let late = LATE_AFTER.max(setup.interval.saturating_mul(10));
        Ok(Self { running: Some((replicator, late)) })
    }

    /// Whether the replica has everything that it should have by now, in words; none without a replica.
    pub(crate) fn check(&self, store: &Store) -> Option<(bool, &'static str)> {
        let (replicator, late) = self.running.as_ref()?;
        let status = replicator.status();
        let now = store.clock().now();
        let is_late = status.complete_at.is_none_or(|at| crate::duration::since(at, now) > *late);
        let is_wrong = status.read_back_error.is_some();
        let detail = match (status.fenced, is_late, status.error.is_some()) {
            _ if is_wrong && !status.fenced => {
                "the replica does not have what was written to it; the service's log says more"
            }
            (true, ..) => "another process has taken the replica over, so this service writes nothing any more",
            (false, true, _) => "the replica does not have the newest commits; the service's log says why",
            (false, false, true) => "the replica was not reached just now, and is tried again",
            (false, false, false) => "the replica has everything",
        };
        Some((!status.fenced && !is_late && !is_wrong, detail))
    }
}

#[cfg(not(feature = "replica"))]
impl Replication {
    /// Refuses a replica, which this build does not contain.
    pub(crate) fn start(_: &Store, setup: Option<&ReplicaSetup>) -> Result<Self> {
        match setup {
            None => Ok(Self {}),
            Some(_) => {
                Err(Error::invalid("there can be no replica: this program was built without the feature replica"))
            }
        }
    }

    /// Nothing is shipped.
    pub(crate) fn check(&self, _: &Store) -> Option<(bool, &'static str)> {
        None
    }
}
