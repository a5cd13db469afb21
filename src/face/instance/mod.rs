//! One running service: the store with all that works beside it. Opened in order, closed in reverse.
//!
//! * here: the composition root
//! * [`archivist`]: automatic archives
//! * [`mirror`]: the events as lines of a file
//! * [`room`]: whether the disk has room for a point
//! * [`steward`]: what is done when something fails; [`webhook`]: the URL that is told of it

pub(crate) mod archivist;
pub(crate) mod mirror;
pub(crate) mod room;
pub(crate) mod steward;
pub(crate) mod webhook;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use self::archivist::Archivist;
use self::mirror::Mirror;
use self::room::Room;
use self::steward::Steward;
use self::webhook::Webhook;
use crate::engine::store::Store;
use crate::error::Result;
use crate::recovery::retention::Policy;
use crate::recovery::scheduler::{Health, Schedule, Scheduler};
use crate::transfer::archive::{ArchivePolicy, ArchiveSchedule};
use crate::transfer::archives;

/// Between automatic backups when there are none by themselves: what a client's own asking goes by.
const INTERVAL: Duration = Duration::from_secs(10 * 60);

/// How an instance runs.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    /// Between automatic backups; none for no backups.
    pub(crate) backup_interval: Option<Duration>,
    /// What the store's policy of retention becomes, where none in it keeps everything; none leaves it as it is.
    pub(crate) policy: Option<Option<Policy>>,
    /// Tasks that have been finished for longer are removed; none for keeping them.
    pub(crate) purge_finished: Option<Duration>,
    /// Every commit of this long can be gone back to.
    pub(crate) history: Option<Duration>,
    /// A clean mark older than this counts as a crash when its process is found dead.
    pub(crate) stale_mark: Option<Duration>,
    /// Where events are written as lines too.
    pub(crate) event_log: Option<PathBuf>,
    /// What runs when a backup, retention or check fails.
    pub(crate) on_failure: Option<String>,
    /// What is told over HTTP then.
    pub(crate) failure_url: Option<Webhook>,
    /// Less free space than this refuses a point, in bytes.
    pub(crate) min_free: u64,
    /// Between automatic archives; none for no archives.
    pub(crate) archive_every: Option<Duration>,
    /// Where they go; beside the store when nothing is said.
    pub(crate) archive_dir: Option<PathBuf>,
}

impl Setup {
    /// How archives are made of the store at `path`. Where backups come often enough anyway, an archive is of the newest.
    fn archives(&self, path: &Path) -> Option<ArchiveSchedule> {
        let every = self.archive_every?;
        let folder = self.archive_dir.clone().unwrap_or_else(|| archives::folder_beside(path));
        let make_points = self.backup_interval.is_none_or(|interval| interval > every);
        Some(ArchiveSchedule { every, folder, keep: ArchivePolicy::default(), make_points })
    }
}

/// A store, and all that works beside it.
#[derive(Debug)]
pub(crate) struct Instance {
    store: Store,
    setup: Setup,
    room: Room,
    steward: Arc<Steward>,
    // Dropped in this order: the scheduler writes events, which the mirror writes on.
    archivist: Option<Archivist>,
    scheduler: Scheduler,
    mirror: Option<Mirror>,
}

impl Instance {
    /// Opens or creates the store at `path`, then starts what works beside it.
    ///
    /// # Errors
    ///
    /// As [`Store::open`]; `Io` when the event log cannot be written.
    pub(crate) fn open(path: &Path, setup: Setup) -> Result<Self> {
        let mut options = Store::options().stale_mark(setup.stale_mark);
        if let Some(window) = setup.history {
            options = options.history(window);
        }
        let store = options.open(path)?;
        if let Some(policy) = &setup.policy {
            store.set_policy(policy.clone(), "hivekeep serve")?;
        }
        let mirror = setup.event_log.as_deref().map(|file| Mirror::start(store.clone(), file)).transpose()?;
        let room = Room::new(setup.min_free);
        let steward = Arc::new(Steward::new(&store, room, &setup));
        let schedule = Schedule {
            backup_interval: setup.backup_interval,
            purge_finished: setup.purge_finished,
            ..Schedule::default()
        };
        let scheduler = Scheduler::start_with(store.clone(), schedule, steward.clone())?;
        let archivist = setup.archives(path).map(|archives| Archivist::start(store.clone(), archives, steward.clone()));
        let archivist = archivist.transpose()?;
        Ok(Self { store, setup, room, steward, archivist, scheduler, mirror })
    }

    /// Stops all that works beside the store, then closes it, which ends its session cleanly.
    ///
    /// # Errors
    ///
    /// As [`Store::close`].
    pub(crate) fn close(self) -> Result<()> {
        let Self { store, archivist, scheduler, mirror, .. } = self;
        drop((archivist, scheduler));
        drop(mirror);
        store.close()
    }

    /// The store.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// Whether the disk has room for a point.
    pub(crate) fn room(&self) -> Room {
        self.room
    }

    /// Who is told of failures.
    pub(crate) fn steward(&self) -> &Arc<Steward> {
        &self.steward
    }

    /// How the scheduler's work has gone.
    pub(crate) fn health(&self) -> Health {
        self.scheduler.health()
    }

    /// What went wrong with the last automatic archive, if anything did.
    pub(crate) fn archive_error(&self) -> Option<String> {
        self.archivist.as_ref().and_then(Archivist::error)
    }

    /// Whether archives are made automatically.
    pub(crate) fn makes_archives(&self) -> bool {
        self.archivist.is_some()
    }

    /// Between automatic backups.
    pub(crate) fn interval(&self) -> Duration {
        self.setup.backup_interval.unwrap_or(INTERVAL)
    }

    /// When the next automatic backup is due; none when there are none.
    ///
    /// # Errors
    ///
    /// `Damaged`, `Reopen`, `Io`.
    pub(crate) fn next_backup(&self) -> Result<Option<Timestamp>> {
        self.setup.backup_interval.map(|interval| self.store.next_backup_at(interval)).transpose()
    }
}
