//! The composition root of a service: opened in order, closed in reverse.

use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::{Mutex, RwLock};

use crate::clock;
use crate::engine::store::Store;
use crate::error::{Error, ErrorKind, Result};
use crate::recovery::backups::{Backup, BackupRequest};
use crate::recovery::bulk::job::BulkJob;
use crate::recovery::inventory::Inventory;
use crate::recovery::points::make::PointRequest;
use crate::recovery::points::point::Point;
use crate::recovery::upkeep::keeper::Keeper;
use crate::recovery::upkeep::scheduler::{Scheduler, SchedulerOptions};
use crate::recovery::upkeep::work::Health;
use crate::service::archivist::Archivist;
use crate::service::bulk_worker::BulkWorker;
use crate::service::check_jobs::{CheckJob, CheckJobs};
use crate::service::free_space::FreeSpace;
use crate::service::keyring::Keyring;
use crate::service::mirror::Mirror;
use crate::service::refusals::Refusals;
use crate::service::replication::Replication;
use crate::service::setup::Setup;
use crate::service::steward::Steward;
use crate::state::queue::{BulkAction, BulkTasks, ClaimOptions, ClaimOwner};
use crate::transfer::archive::{ArchiveSchedule, Outside};
use crate::transfer::doctor::{Diagnosis, DiagnosisOptions};
use crate::transfer::replica_state::ReplicaState;

/// Between automatic backups when there are none by themselves: what a client's own asking goes by.
const INTERVAL: Duration = Duration::from_secs(10 * 60);

/// An archive is late after two intervals, and not before this.
const LATE_AFTER: Duration = Duration::from_secs(60);

/// How long calls that still work at shutdown have to end.
const LAST_CALLS: Duration = Duration::from_secs(20);

/// Refuses a folder of archives that cannot be written to. A disk that is full may have room again.
fn try_folder(archives: &ArchiveSchedule, store: &Store) -> Result<()> {
    match archives.try_folder(store) {
        Err(error) if error.kind() == ErrorKind::Full => {
            tracing::warn!(%error, "the first archive will fail unless there is room for it");
            Ok(())
        }
        tried => tried,
    }
}

/// A store, and all that works beside it.
#[derive(Debug)]
pub(crate) struct Instance {
    store: Store,
    steward: Arc<Steward>,
    keeper: Keeper,
    running: RwLock<Running>,
    bulk_worker: BulkWorker,
    check_jobs: CheckJobs,
    keyring: Keyring,
    replication: Replication,
    refusals: Refusals,
    /// The last one that was asked for. Asked often, so it is kept until points change.
    inventory: Mutex<Option<Arc<Inventory>>>,
}

/// The workers beside the store, until a reload replaces them.
#[derive(Debug)]
struct Running {
    setup: Setup,
    archivist: Option<Archivist>,
    scheduler: Scheduler,
    _mirror: Option<Mirror>,
    /// Since when it is so.
    since: Timestamp,
}

impl Running {
    fn start(store: &Store, steward: &Arc<Steward>, setup: Setup) -> Result<Self> {
        let archives = setup.archives(store.path());
        // The machine that has the history makes its archives and its policy.
        let is_read = store.is_only_read();
        archives.as_ref().filter(|_| !is_read).map_or(Ok(()), |archives| try_folder(archives, store))?;
        let mirror = setup.event_log.as_ref().map(|_| Mirror::start(store.clone())).transpose()?;
        let options = SchedulerOptions {
            backup_interval: setup.backup_interval,
            purge_finished: setup.purge_finished,
            ..SchedulerOptions::default()
        };
        let scheduler = Scheduler::start_with(store.clone(), options, steward.clone())?;
        let archivist =
            archives.map(|archives| Archivist::start(store.clone(), archives, steward.clone())).transpose()?;
        // Last, as it stays in the store when something else fails.
        if let Some(policy) = setup.policy.as_ref().filter(|_| !is_read) {
            store.set_policy(policy.clone(), "hivekeep serve")?;
        }
        let since = store.clock().now();
        Ok(Self { setup, archivist, scheduler, _mirror: mirror, since })
    }
}

impl Instance {
    /// Opens or creates the store at `path`, then starts the threads beside it.
    ///
    /// # Errors
    ///
    /// As [`Store::open`]; `Io` when the event log or the folder of archives cannot be written.
    pub(crate) fn open(path: &Path, setup: Setup) -> Result<Self> {
        let options = Store::options().stale_mark(setup.stale_mark).durability(setup.durability);
        let mut options = options.sharing(setup.sharing);
        if let Some(window) = setup.history {
            options = options.history(window);
        }
        if let Some(file) = &setup.event_log {
            options = options.event_log(file);
        }
        let store = options.open(path)?;
        // Nobody is answered for its own work.
        let own = store.locally();
        let keyring = Keyring::load(&store)?;
        // Before anything else writes: another machine may have the history now.
        let replication = Replication::start(&store, setup.replica.as_ref())?;
        let steward = Arc::new(Steward::new(&own, &setup));
        let keeper = Keeper::start(own.clone(), setup.reopen_timeout, steward.clone())?;
        let running = RwLock::new(Running::start(&own, &steward, setup)?);
        let bulk_worker = BulkWorker::start(own)?;
        let (check_jobs, refusals, inventory) = (CheckJobs::default(), Refusals::default(), Mutex::default());
        Ok(Self { store, steward, keeper, running, bulk_worker, check_jobs, keyring, replication, refusals, inventory })
    }

    /// Continues with `setup`. Settings that only an opening reads stay as they were: whether others may have the
    /// store, the history of commits, what an old mark is worth, and how long a closed file is waited for.
    ///
    /// # Errors
    ///
    /// `Invalid` and `Io` when the event log or the folder of archives cannot be written, `Io` when a thread cannot be
    /// started, and as [`Store::set_policy`]. Then all goes on as before.
    pub(crate) fn renew(&self, setup: Setup) -> Result<()> {
        let is_as_before = self.running.read().setup == setup;
        if is_as_before {
            return Ok(());
        }
        let is_other_log = self.running.read().setup.event_log != setup.event_log;
        // Nothing changes before all that can fail is done.
        let log =
            setup.event_log.as_deref().filter(|_| is_other_log).map(|log| self.store.event_log_at(log)).transpose()?;
        let next = Running::start(&self.store.locally(), &self.steward, setup)?;
        if is_other_log {
            self.store.log_events_to(log);
        }
        self.steward.renew(&next.setup);
        // The earlier ones finish their work, for which nobody else waits.
        let before = std::mem::replace(&mut *self.running.write(), next);
        drop(before);
        Ok(())
    }

    /// Stops all that works beside the store, then closes it, which ends its session cleanly.
    ///
    /// # Errors
    ///
    /// As [`Store::close`].
    pub(crate) fn close(self) -> Result<()> {
        let Self { store, running, bulk_worker, keeper, keyring, replication, refusals, .. } = self;
        drop((running, bulk_worker, keeper));
        keyring.write_uses(&store.locally());
        refusals.write(&store.locally());
        // Last, so that the replica has these too.
        drop(replication);
        store.close()
    }

    /// The same while calls still work with it, such as a request that was not waited for any more: the
    /// session ends once they have ended. The next start ships what they write from now on.
    ///
    /// # Errors
    ///
    /// As [`Store::close`]; `Conflict` when they do not end for long.
    pub(crate) fn close_in_use(self: &Arc<Self>) -> Result<()> {
        let (instance, (tell, told)) = (self.clone(), mpsc::channel());
        let close = move || {
            instance.write_gathered();
            // Before the store is closed, so that the replica has these too.
            instance.replication.stop();
            // Nobody is left to be told once it was too late.
            drop(tell.send(instance.store.clone().close()));
        };
        std::thread::Builder::new().name("hivekeep-close".into()).spawn(close)?;
        told.recv_timeout(LAST_CALLS).unwrap_or_else(|_| {
            Err(Error::conflict("a request did not end in time; what it did is on the disk, or was not done"))
        })
    }

    /// Writes the uses of keys and the refusals that wait to be written.
    fn write_gathered(&self) {
        self.keyring.write_uses(&self.store.locally());
        self.refusals.write(&self.store.locally());
    }

    /// The store.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// The requests that were refused.
    pub(crate) fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    /// The keys in memory.
    pub(crate) fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// The shipping of the store.
    pub(crate) fn replication(&self) -> &Replication {
        &self.replication
    }

    /// Whether the disk has room for a point.
    pub(crate) fn room(&self) -> FreeSpace {
        FreeSpace::new(self.running.read().setup.min_free)
    }

    /// Reacts to failures.
    pub(crate) fn steward(&self) -> &Arc<Steward> {
        &self.steward
    }

    /// Keeps the store open.
    pub(crate) fn keeper(&self) -> &Keeper {
        &self.keeper
    }

    /// The options of claims over HTTP: a claim belongs to no process, and tasks age as the service is set up.
    pub(crate) fn claim_options(&self) -> ClaimOptions {
        let aging = self.running.read().setup.priority_aging;
        ClaimOptions { owner: ClaimOwner::Nobody, aging, ..ClaimOptions::default() }
    }

    /// The bots that wait in the service for a task, by name.
    pub(crate) fn waiting_bots(&self) -> Vec<String> {
        self.store.waiting_bots()
    }

    /// The checks that were asked for.
    pub(crate) fn check_jobs(&self) -> &CheckJobs {
        &self.check_jobs
    }

    /// The backups and restore points, counted again only when they have changed.
    ///
    /// # Errors
    ///
    /// `Damaged`, `Reopen`, `Io`.
    pub(crate) fn inventory(&self) -> Result<Arc<Inventory>> {
        let known = self.inventory.lock().clone();
        if let Some(known) = known
            && known.is_current(&self.store)?
        {
            return Ok(known);
        }
        let inventory = Arc::new(self.store.inventory()?);
        *self.inventory.lock() = Some(inventory.clone());
        Ok(inventory)
    }

    /// Makes a restore point, if the disk has room for one.
    ///
    /// # Errors
    ///
    /// `Full`, and as [`Store::make_point`].
    pub(crate) fn make_point(&self, store: &Store, request: PointRequest) -> Result<Point> {
        self.room().for_point(store)?;
        store.make_point(request)
    }

    /// Makes a restore point if the interval between automatic ones has passed and the disk has room for one. Otherwise
    /// the result is the reason.
    ///
    /// # Errors
    ///
    /// `Full`, and as [`Store::auto_backup`].
    pub(crate) fn auto_backup(&self, store: &Store, request: PointRequest) -> Result<Result<Point, String>> {
        self.room().for_point(store)?;
        Ok(store.try_auto_backup(self.interval(), request, false)?.or_reason())
    }

    /// Makes a backup, if the disk has room for one.
    ///
    /// # Errors
    ///
    /// `Full`, and as [`Store::backup`].
    pub(crate) fn backup(&self, store: &Store, request: BackupRequest) -> Result<Backup> {
        self.room().for_point(store)?;
        store.backup(request)
    }

    /// Begins a bulk change of tasks, if the disk has room for its restore point. It goes on beside the requests.
    ///
    /// # Errors
    ///
    /// `Full`, and as [`Store::begin_bulk`].
    pub(crate) fn begin_bulk(
        &self,
        store: &Store,
        action: BulkAction,
        tasks: BulkTasks,
        at_most: Option<u64>,
    ) -> Result<BulkJob> {
        self.room().for_point(store)?;
        let job = store.begin_bulk(action, tasks, at_most)?;
        self.bulk_worker.wake();
        Ok(job)
    }

    /// Runs a check that was begun, to its end. Rows that it finds damaged are healed from the replica, if there is
    /// one.
    pub(crate) fn run_check(&self, job: &CheckJob) {
        let heal = || self.check_jobs.count_healed(self.replication.heal(&self.store.locally()));
        job.run(&self.store, &*self.steward, &heal);
    }

    /// How the scheduler's work has gone.
    pub(crate) fn health(&self) -> Health {
        self.running.read().scheduler.health()
    }

    /// The error of the last automatic archive, if it failed.
    pub(crate) fn archive_error(&self) -> Option<String> {
        self.running.read().archivist.as_ref().and_then(Archivist::error)
    }

    /// The newest automatic archive and what has changed since, and whether the state in it is older than it should be.
    ///
    /// # Errors
    ///
    /// `Damaged`, `Reopen`, `Io`.
    pub(crate) fn outside(&self) -> Result<Option<(Outside, bool)>> {
        let Some(outside) = self.store.outside()? else { return Ok(None) };
        let now = self.store.clock().now();
        let running = self.running.read();
        let late = running.setup.archive_every.is_some_and(|every| {
            let most = every.saturating_mul(2).max(LATE_AFTER);
            outside.lag(now) > most && clock::after(running.since, most) < now
        });
        Ok(Some((outside, late)))
    }

    /// The replica, and how far it is; none of a store that was in none.
    ///
    /// # Errors
    ///
    /// `Damaged`, `Reopen`, `Io`.
    pub(crate) fn replica(&self) -> Result<Option<ReplicaState>> {
        self.replication.state(&self.store)
    }

    /// Whether archives are made automatically.
    pub(crate) fn makes_archives(&self) -> bool {
        self.running.read().archivist.is_some() && !self.store.is_only_read()
    }

    /// Between automatic backups.
    fn interval(&self) -> Duration {
        self.running.read().setup.backup_interval.unwrap_or(INTERVAL)
    }

    /// Whether the data would come back right now.
    ///
    /// # Errors
    ///
    /// As [`Store::diagnose`].
    pub(crate) fn diagnose(&self) -> Result<Diagnosis> {
        let archive_dir = self.running.read().setup.archives(self.store.path()).map(|archives| archives.folder);
        let (backup_interval, replica) = (self.interval(), self.replica()?);
        let options = DiagnosisOptions { full: false, backup_interval, archive_dir, replica };
        self.store.diagnose(&options)
    }

    /// When the next automatic backup is due; none when there are none, as of a store that nobody writes to.
    ///
    /// # Errors
    ///
    /// `Damaged`, `Reopen`, `Io`.
    pub(crate) fn next_backup(&self) -> Result<Option<Timestamp>> {
        let interval = self.running.read().setup.backup_interval.filter(|_| !self.store.is_left_alone());
        interval.map(|interval| self.store.next_backup_at(interval)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actor::Actor;
    use crate::engine::feed::Fence;
    use crate::engine::options::Sharing;
    use crate::state::INDEXES;
    use crate::state::keys::key::{KeyName, NewKey, Role};
    use crate::state::page::Page;
    use crate::transfer::archive::ExportOptions;

    /// One with nothing beside the store.
    fn quiet() -> Setup {
        Setup {
            sharing: Sharing::Shared,
            durability: crate::Durability::Disk,
            backup_interval: None,
            policy: None,
            purge_finished: None,
            priority_aging: None,
            history: None,
            stale_mark: None,
            event_log: None,
            on_failure: None,
            failure_url: None,
            min_free: 0,
            archive_every: None,
            archive_dir: None,
            reopen_timeout: None,
            archive_must_exist: false,
            replica: None,
            archive_sealed: ExportOptions::new(),
        }
    }

    #[test]
    fn the_last_uses_of_keys_and_the_last_refusals_are_written_at_the_end_also_while_requests_run() {
        for in_use in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("h.redb");
            let instance = Arc::new(Instance::open(&path, quiet()).unwrap());
            let key: KeyName = "k".parse().unwrap();
            instance.store().write(|tx| tx.keys().add(NewKey::new(key.clone(), Role::Reader))).unwrap();
            instance.keyring().used(&key, Timestamp::UNIX_EPOCH);
            instance.refusals().add(Actor::new("unknown"), "GET /api/config".into(), "401".into());
            let request = in_use.then(|| instance.clone());
            match Arc::try_unwrap(instance) {
                Ok(instance) => instance.close().unwrap(),
                Err(instance) => instance.close_in_use().unwrap(),
            }
            let store = Store::options().open_with(&path, INDEXES).unwrap();
            let view = store.view().unwrap();
            assert_eq!(view.keys().get(&key).unwrap().unwrap().last_used_at, Some(Timestamp::UNIX_EPOCH), "{in_use}");
            assert_eq!(view.audit().list(Page::newest(1)).unwrap()[0].action, "refused", "{in_use}");
            drop(request);
        }
    }

    #[cfg(feature = "replica")]
    #[test]
    fn a_stop_ships_the_rest_and_ends_the_term_also_while_requests_run() {
        for in_use in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let (path, location) = (folder.path().join("h.redb"), folder.path().join("replica"));
            let store = Store::options().open_with(&path, INDEXES).unwrap();
            let location = location.to_str().unwrap().to_owned();
            store.init_replica(&location.parse().unwrap(), &crate::InitReplicaOptions::default()).unwrap();
            store.close().unwrap();
            let replica = crate::service::replication::ReplicaSetup {
                location: location.clone(),
                interval: Duration::from_secs(60 * 60),
                write_limit: Duration::from_secs(30),
                lease: None,
                identity: None,
                keep: Duration::from_secs(24 * 60 * 60),
                drill_every: None,
            };
            let instance = Arc::new(Instance::open(&path, Setup { replica: Some(replica), ..quiet() }).unwrap());
            instance.store().write(|tx| tx.config().put("limit", &serde_json::json!(5))).unwrap();
            let request = in_use.then(|| instance.clone());
            match Arc::try_unwrap(instance) {
                Ok(instance) => instance.close().unwrap(),
                Err(instance) => instance.close_in_use().unwrap(),
            }
            let status = Store::replica_status(&location.parse().unwrap(), None).unwrap();
            assert!(status.term.unwrap().is_sealed, "{in_use}");
            let copy = folder.path().join("copy.redb");
            Store::restore_replica(&location.parse().unwrap(), &copy, &crate::RestoreReplicaOptions::default())
                .unwrap();
            let copy = Store::options().read_only(true).open_with(&copy, INDEXES).unwrap();
            assert_eq!(copy.view().unwrap().config().get("limit").unwrap(), Some(serde_json::json!(5)), "{in_use}");
            drop(request);
        }
    }

    #[test]
    fn a_service_over_a_file_that_nobody_writes_to_makes_nothing_and_is_ready_but_for_its_replica() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("h.redb");
        let store = Store::options().open_with(&path, INDEXES).unwrap();
        store.write(|tx| tx.config().put("limit", &serde_json::json!(5))).unwrap();
        store.fence(&Fence { replica: "there".into(), by_term: Some(3), at: Timestamp::UNIX_EPOCH }).unwrap();
        store.close().unwrap();
        let often = Some(Duration::from_millis(10));
        let setup = Setup { backup_interval: often, archive_every: often, policy: Some(None), ..quiet() };
        let instance = Instance::open(&path, setup).unwrap();
        instance.refusals().add(Actor::new("unknown"), "GET /api/config".into(), "401".into());
        std::thread::sleep(Duration::from_millis(300));
        let failed: Vec<_> = instance.health_checks().into_iter().filter(|check| !check.ok).collect();
        assert_eq!(failed.iter().map(|check| check.name).collect::<Vec<_>>(), ["replica"], "{failed:?}");
        assert_eq!((instance.archive_error(), instance.next_backup().unwrap()), (None, None));
        let own = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        assert!(own.into_iter().all(|name| name.to_str().unwrap().starts_with("h.redb")), "a folder of archives");
        instance.close().unwrap();
    }
}
