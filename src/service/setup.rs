//! The settings of an instance.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::engine::options::{Durability, Sharing};
use crate::recovery::retention::Policy;
use crate::service::replication::ReplicaSetup;
use crate::service::webhook::Webhook;
use crate::transfer::archive::{ArchivePolicy, ArchiveSchedule, ExportOptions};
use crate::transfer::archives;

/// How an instance runs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Setup {
    /// Between automatic backups; none for no backups.
    pub(crate) backup_interval: Option<Duration>,
    /// The store's new policy of retention, where `Some(None)` keeps everything; `None` leaves it as it is.
    pub(crate) policy: Option<Option<Policy>>,
    /// Tasks that have been finished for longer are removed; none for keeping them.
    pub(crate) purge_finished: Option<Duration>,
    /// Claims raise the priority of a task by one each time that it has been ready for this long; never if none.
    pub(crate) priority_aging: Option<Duration>,
    /// Which other processes may have the store open meanwhile.
    pub(crate) sharing: Sharing,
    /// When a write is answered.
    pub(crate) durability: Durability,
    /// Every commit of this long can be gone back to.
    pub(crate) history: Option<Duration>,
    /// A clean mark older than this counts as a crash when its process is found dead.
    pub(crate) stale_mark: Option<Duration>,
    /// Where events are written as lines too.
    pub(crate) event_log: Option<PathBuf>,
    /// The command that runs when a backup, retention or check fails.
    pub(crate) on_failure: Option<String>,
    /// The URL that is notified then.
    pub(crate) failure_url: Option<Webhook>,
    /// Less free space than this refuses a point, in bytes.
    pub(crate) min_free: u64,
    /// Between automatic archives; none for no archives.
    pub(crate) archive_every: Option<Duration>,
    /// Where they go; beside the store when nothing is said.
    pub(crate) archive_dir: Option<PathBuf>,
    /// The service ends if a failure has closed the file and it cannot be opened again within this time; never if none.
    pub(crate) reopen_timeout: Option<Duration>,
    /// Whether the folder of archives must exist already.
    pub(crate) archive_must_exist: bool,
    /// Where the store is shipped to; none for no replica.
    pub(crate) replica: Option<ReplicaSetup>,
    /// For whom archives are encrypted.
    pub(crate) archive_sealed: ExportOptions,
}

impl Setup {
    /// How archives are made of the store at `path`.
    pub(super) fn archives(&self, path: &Path) -> Option<ArchiveSchedule> {
        let every = self.archive_every?;
        let folder = self.archive_dir.clone().unwrap_or_else(|| archives::folder_beside(path));
        let (keep, sealed) = (ArchivePolicy::default(), self.archive_sealed.clone());
        Some(ArchiveSchedule { every, folder, must_exist: self.archive_must_exist, keep, sealed })
    }
}
