//! The kinds of periodic work, their health, and the program that is notified of failures.

use serde::Serialize;
use serde_json::json;

use crate::engine::store::Store;
use crate::error::{Error, Result};
use crate::recovery::events::event::EventKind;

/// A kind of periodic work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Work {
    /// An automatic backup.
    Backup,
    /// Retention: forgetting the points that the policy does not keep.
    Retention,
    /// Leases, audit trail, sessions, finished tasks.
    Upkeep,
    /// Verifying the store.
    Check,
    /// An automatic archive.
    Archive,
    /// Keeping the store's file open.
    Reopen,
    /// Firing schedules.
    Schedules,
}

impl Work {
    /// Every kind.
    pub const ALL: [Self; 7] =
        [Self::Backup, Self::Retention, Self::Upkeep, Self::Check, Self::Archive, Self::Reopen, Self::Schedules];

    /// The kind as one lower-case word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::Retention => "retention",
            Self::Upkeep => "upkeep",
            Self::Check => "check",
            Self::Archive => "archive",
            Self::Reopen => "reopen",
            Self::Schedules => "schedules",
        }
    }

    /// The event of a failure. A check appends its own event, a closed file has the event of its reopening, and
    /// failures of upkeep are in the log and in the health.
    fn event(self) -> Option<EventKind> {
        match self {
            Self::Backup => Some(EventKind::BackupFailed),
            Self::Retention => Some(EventKind::RetentionFailed),
            Self::Archive => Some(EventKind::ArchiveFailed),
            Self::Upkeep | Self::Check | Self::Reopen | Self::Schedules => None,
        }
    }
}

/// The program that runs a scheduler: asked before backups, and notified of failures.
pub trait Attendant: Send + Sync {
    /// Asked before an automatic backup. An error refuses the backup and becomes its failure.
    ///
    /// # Errors
    ///
    /// Any reason against a backup now, such as a disk that is nearly full.
    fn before_backup(&self, store: &Store) -> Result<()> {
        let _ = store;
        Ok(())
    }

    /// Called once when a kind of work starts to fail, or fails in another way than before.
    fn failed(&self, work: Work, error: &str) {
        let _ = (work, error);
    }

    /// Called when a [`Keeper`](crate::Keeper) has given up reopening the store.
    fn gave_up(&self, error: &str) {
        let _ = error;
    }

    /// Called when another program has made the copy of a replica, which the store is, a store that is written to. The
    /// program that ships it may need the file for itself.
    fn copy_promoted(&self) {}

    /// Called when a new copy of the replica is in the place of the one that the store is, and nobody keeps this one up
    /// to date any more. Open it again.
    fn copy_replaced(&self) {}
}

/// An attendant that permits everything and ignores failures.
impl Attendant for () {}

/// The health of a scheduler's work. Each kind has its own, so that a successful backup does not hide a failed
/// retention.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Health {
    /// The error of the last automatic backup, if it failed.
    pub backup_error: Option<String>,
    /// The error of the last retention, if it failed.
    pub retention_error: Option<String>,
    /// The error of the last upkeep of leases, audit trail, sessions and finished tasks, if it failed.
    pub upkeep_error: Option<String>,
    /// The error of a schedule that could not fire.
    pub schedules_error: Option<String>,
}

/// Stores the health of a kind of work, and reports when it starts to fail, or fails in another way.
pub(crate) fn note(
    work: Work,
    known: &mut Option<String>,
    error: Option<Error>,
    store: &Store,
    attendant: &dyn Attendant,
) {
    let error = error.map(|error| error.to_string());
    if let Some(error) = error.as_deref().filter(|error| Some(*error) != known.as_deref()) {
        store.append_failure(work, error);
        attendant.failed(work, error);
    }
    *known = error;
}

impl Store {
    /// Reports a failure: in the log, and, if possible, as an event.
    pub(crate) fn append_failure(&self, work: Work, error: &str) {
        tracing::error!(work = work.as_str(), error, "work failed");
        if let Some(event) = work.event() {
            // On a full disk the event cannot be written either. The log and the health contain the failure anyway.
            self.append_events([(event, json!({"error": error}))]);
        }
    }
}
