//! The replica of a service's store: shipped for as long as the service runs.

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;
#[cfg(feature = "replica")]
use parking_lot::RwLock;

use crate::duration;
#[cfg(feature = "replica")]
use crate::engine::heal::RefusedRow;
use crate::engine::store::Store;
#[cfg(not(feature = "replica"))]
use crate::error::Error;
use crate::error::Result;
#[cfg(feature = "replica")]
use crate::files;
#[cfg(feature = "replica")]
use crate::replica::mending::heal::HealOptions;
#[cfg(feature = "replica")]
use crate::replica::shipping::options::ReplicateOptions;
#[cfg(feature = "replica")]
use crate::replica::shipping::replicator::Replicator;
#[cfg(feature = "replica")]
use crate::replica::shipping::shipping_status::ReplicationStatus;
#[cfg(feature = "replica")]
use crate::transfer::replica_state::ReplicaShipping;
use crate::transfer::replica_state::ReplicaState;

/// A start waits so long for the bucket; after that the service runs, and the replica follows once the bucket answers.
#[cfg(feature = "replica")]
const WAIT: Duration = Duration::from_secs(10);
/// The replica is late once it did not have everything for so long, and for ten intervals; or once nobody ships for so
/// long.
const LATE_AFTER: Duration = Duration::from_secs(30);

/// The state of a service whose writes wait for the replica, once that is away for longer.
#[cfg(feature = "replica")]
const IN_VAIN: &str = "the replica was not reached for longer than a write waits for it, so every write is refused";

/// Where and how often the store of a service is shipped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReplicaSetup {
    /// The location of the replica, as a person writes it.
    pub(crate) location: String,
    pub(crate) interval: Duration,
    /// A write that waits for the replica waits so long.
    pub(crate) write_limit: Duration,
    /// The lease of the service; none for none.
    pub(crate) lease: Option<Duration>,
    /// The file with the identity that reads an encrypted replica.
    pub(crate) identity: Option<PathBuf>,
    /// The time whose every moment can be restored.
    pub(crate) keep: Duration,
    /// The time between two drills; none for no drills.
    pub(crate) drill_every: Option<Duration>,
}

/// The shipping of a service's store, if it has a replica.
#[derive(Debug)]
pub(crate) struct Replication {
    /// The thread that ships, until it is stopped, and the time after which the replica is late.
    #[cfg(feature = "replica")]
    running: RwLock<Option<(Replicator, Duration)>>,
    #[cfg(feature = "replica")]
    setup: Option<ReplicaSetup>,
    alone: Alone,
}

/// Since when the store has a replica that nobody ships, as far as this service has looked.
#[derive(Debug, Default)]
struct Alone(Mutex<Option<Timestamp>>);

#[cfg(feature = "replica")]
impl ReplicaSetup {
    fn identity(&self) -> Result<Option<String>> {
        self.identity.as_deref().map(|file| files::read_secret(file, files::SETTINGS_MAX)).transpose()
    }
}

#[cfg(feature = "replica")]
impl Replication {
    /// Begins to ship.
    ///
    /// # Errors
    ///
    /// As [`Store::replicate`]; `Io` when the identity cannot be read.
    pub(crate) fn start(store: &Store, setup: Option<&ReplicaSetup>) -> Result<Self> {
        let Some(setup) = setup else {
            return Ok(Self { running: RwLock::default(), setup: None, alone: Alone::begin(store)? });
        };
        let identity = setup.identity()?;
        let ReplicaSetup { interval, keep, drill_every, lease, write_limit, .. } = *setup;
        let options = ReplicateOptions { interval, identity, keep, drill_every, lease, write_limit };
        let replicator = store.replicate(&setup.location.parse()?, options, WAIT)?;
        let late = LATE_AFTER.max(setup.interval.saturating_mul(10));
        let running = RwLock::new(Some((replicator, late)));
        Ok(Self { running, setup: Some(setup.clone()), alone: Alone::default() })
    }

    /// Ships the rest, for some seconds at most, and ends the term.
    pub(crate) fn stop(&self) {
        let running = self.running.write().take();
        drop(running);
    }

    /// Heals the store from its replica, if it has one; says how many rows.
    ///
    /// # Errors
    ///
    /// As [`Store::heal_from_replica`]; `Io` when the identity cannot be read.
    pub(crate) fn heal(&self, store: &Store) -> Result<u64> {
        let Some(setup) = &self.setup else { return Ok(0) };
        let options = HealOptions { identity: setup.identity()? };
        let report = store.heal_from_replica(&setup.location.parse()?, &options)?;
        for RefusedRow { table, key, why } in report.refusals {
            tracing::warn!(table, key, why, "a damaged row cannot be healed from the replica");
        }
        Ok(report.healed)
    }

    /// Whether the replica has everything that it should have by now, in words; none without a replica.
    pub(crate) fn check(&self, store: &Store) -> Option<(bool, String)> {
        let running = self.running.read();
        let Some((replicator, late)) = &*running else { return self.alone.check(store) };
        let (is_ready, why) = match verdict(&replicator.status(), store.clock().now(), *late) {
            (true, _) if store.waits_in_vain() => (false, IN_VAIN),
            told => told,
        };
        Some((is_ready, why.to_owned()))
    }

    /// Why the last try to ship failed, in words that anybody may read; none after a success.
    pub(crate) fn cause(&self) -> Option<String> {
        let status = self.running.read().as_ref()?.0.status();
        status.error.filter(|_| !status.fenced).map(|error| without_names(&error).to_owned())
    }

    /// The replica, and how far it is; none of a store that was in none.
    ///
    /// # Errors
    ///
    /// As a view.
    pub(crate) fn state(&self, store: &Store) -> Result<Option<ReplicaState>> {
        let known = ReplicaState::of(store, &store.view()?)?;
        let status = self.running.read().as_ref().map(|(replicator, _)| replicator.status());
        let Some(status) = status else { return Ok(known) };
        let shipping = Some(shipping_of(&status, store, self.setup.as_ref().and_then(|setup| setup.lease))?);
        let (waiting, overtaken) = known.map_or((None, None), |known| (known.waiting, known.overtaken));
        Ok(Some(ReplicaState { watch: status.watch, shipping, waiting, overtaken, copy: None }))
    }
}

/// The failure of a bucket without its name; another one may name files of the machine.
#[cfg(feature = "replica")]
fn without_names(error: &str) -> &str {
    error.split_once(": bucket=").map_or("the service's log says why", |(cause, _)| cause)
}

#[cfg(feature = "replica")]
fn shipping_of(status: &ReplicationStatus, store: &Store, lease: Option<Duration>) -> Result<ReplicaShipping> {
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let behind = |at| millis(duration::since(at, store.clock().now()));
    Ok(ReplicaShipping {
        term: status.term,
        lease_ms: lease.map(millis),
        lease_left_ms: status.lease_left_ms,
        sequence: status.sequence,
        complete_at: status.complete_at,
        behind_ms: status.complete_at.map(behind),
        kept_bytes: store.feed_status()?.map_or(0, |feed| feed.kept_bytes),
        read_back_at: status.read_back_at,
        fenced: status.fenced,
        error: status.read_back_error.clone().or_else(|| status.error.clone()),
        base_error: status.base_error.clone(),
        collection_overdue: status.collection_overdue,
    })
}

/// Whether shipping goes well, in words that anybody may read.
#[cfg(feature = "replica")]
fn verdict(status: &ReplicationStatus, now: Timestamp, late: Duration) -> (bool, &'static str) {
    let is_late = status.complete_at.is_none_or(|at| duration::since(at, now) > late);
    if status.fenced {
        (false, "another process has taken the replica over, so this service writes nothing any more")
    } else if status.lease_left_ms == Some(0) {
        (false, "the lease has run out, so this service writes nothing until the replica answers")
    } else if status.read_back_error.is_some() || status.watch.finding.is_some() {
        (false, "the replica does not have what was written to it; the service's log says more")
    } else if status.watch.drill_error.is_some() {
        (false, "the last drill could not restore the replica; the service's log says more")
    } else if status.base_overdue {
        (
            false,
            "the replica has got no new base for long, so a restore takes longer and longer; the service's log says why",
        )
    } else if is_late {
        (false, "the replica does not have the newest commits")
    } else if status.error.is_some() {
        (true, "the replica was not reached just now, and is tried again")
    } else if status.base_error.is_some() {
        (true, "the replica has everything, but no new base could be made; it is tried again")
    } else {
        (true, "the replica has everything")
    }
}

#[cfg(not(feature = "replica"))]
impl Replication {
    /// Refuses a replica, which this build does not contain.
    pub(crate) fn start(store: &Store, setup: Option<&ReplicaSetup>) -> Result<Self> {
        match setup {
            None => Ok(Self { alone: Alone::begin(store)? }),
            Some(_) => {
                Err(Error::invalid("there can be no replica: this program was built without the feature replica"))
            }
        }
    }

    /// The replica of another build of the program.
    pub(crate) fn state(&self, store: &Store) -> Result<Option<ReplicaState>> {
        ReplicaState::of(store, &store.view()?)
    }

    /// Nothing is healed.
    pub(crate) fn heal(&self, _: &Store) -> Result<u64> {
        Ok(0)
    }

    /// Nothing is shipped.
    pub(crate) fn stop(&self) {}

    /// Nothing fails.
    pub(crate) fn cause(&self) -> Option<String> {
        None
    }

    /// Nothing is shipped.
    pub(crate) fn check(&self, store: &Store) -> Option<(bool, String)> {
        self.alone.check(store)
    }
}

/// Says in the log that a store has a replica which this service does not ship, or that another machine has its
/// history.
fn warn_of_a_replica(store: &Store) -> Result<()> {
    let Some(state) = ReplicaState::of(store, &store.view()?)? else { return Ok(()) };
    let is_shipped = state.waiting.as_ref().is_none_or(|waiting| waiting.is_shipped);
    if state.overtaken.is_some() {
        tracing::error!(
            replica = state.watch.location,
            "another machine has the history of this store; it refuses writes"
        );
    } else if !is_shipped {
        tracing::warn!(replica = state.watch.location, "the store has a replica, and no process ships it");
    }
    Ok(())
}

impl Alone {
    /// Begins to look, and says in the log what it sees.
    fn begin(store: &Store) -> Result<Self> {
        warn_of_a_replica(store)?;
        let alone = Self::default();
        alone.check(store);
        Ok(alone)
    }

    /// The check of a service that ships nothing; none of a store without a replica. It fails if another machine has
    /// the history, or once no process has shipped the store for a while. A copy is as it is.
    fn check(&self, store: &Store) -> Option<(bool, String)> {
        if store.is_overtaken() {
            let why = "another machine has the history of this store, so this service writes nothing";
            return Some((false, why.to_owned()));
        }
        // That the store cannot be read is another check's business.
        let state = store.view().and_then(|view| ReplicaState::of(store, &view)).ok().flatten()?;
        let now = store.clock().now();
        if let Some(copy) = &state.copy {
            return Some((true, copy.in_words(now)));
        }
        let mut since = self.0.lock();
        if !state.is_left_alone() {
            *since = None;
            return Some((true, "another process ships the store to its replica".to_owned()));
        }
        let is_short = duration::since(*since.get_or_insert(now), now) <= LATE_AFTER;
        let why = "no process ships the store to its replica; the diagnosis of the store says how to begin";
        Some((is_short, why.to_owned()))
    }
}

#[cfg(all(test, feature = "replica"))]
mod tests {
    use super::*;
    use crate::recovery::check::last_replica::ReplicaWatch;
    use crate::testkit::checked_store::Fixture;

    #[test]
    fn a_service_that_ships_nothing_is_ready_until_nobody_has_shipped_its_store_for_a_while() {
        let hive = Fixture::new();
        let alone = Alone::begin(&hive.store).unwrap();
        assert_eq!(alone.check(&hive.store), None, "a store without a replica");
        hive.store.begin_feed(0).unwrap();
        hive.store.note_replica(&ReplicaWatch::new("there".into()), None).unwrap();
        let check = |seconds| {
            hive.pass(seconds);
            alone.check(&hive.store).unwrap()
        };
        assert!(check(0).0 && check(LATE_AFTER.as_secs()).0);
        let (is_ready, why) = check(1);
        assert!(!is_ready && why.starts_with("no process ships the store"), "{why}");
        let lock = hive.store.lock_shipping(Duration::ZERO).unwrap();
        assert!(check(0).0, "another process ships it");
        drop(lock);
        assert!(check(0).0 && !check(LATE_AFTER.as_secs() + 1).0);
    }

    #[test]
    fn the_service_is_not_ready_once_its_writes_would_wait_for_the_replica_in_vain() {
        let folder = tempfile::tempdir().unwrap();
        let (path, location) = (folder.path().join("h.redb"), folder.path().join("replica"));
        let location = location.to_str().unwrap().to_owned();
        let store = Store::open(&path).unwrap();
        store.init_replica(&location.parse().unwrap(), &crate::InitReplicaOptions::default()).unwrap();
        store.close().unwrap();
        let store = Store::options().durability(crate::Durability::Replicated).open(&path).unwrap();
        let setup = ReplicaSetup {
            location,
            interval: Duration::from_secs(1),
            write_limit: Duration::from_secs(30),
            lease: None,
            identity: None,
            keep: Duration::from_secs(24 * 60 * 60),
            drill_every: None,
        };
        let replication = Replication::start(&store, Some(&setup)).unwrap();
        let check = || replication.check(&store).unwrap();
        let until = std::time::Instant::now() + Duration::from_secs(60);
        while !check().0 {
            assert!(std::time::Instant::now() < until, "{:?}", check());
            std::thread::sleep(Duration::from_millis(20));
        }
        let other = store.begin_shipping(Duration::ZERO);
        other.note_reached(false);
        assert_eq!(check(), (false, IN_VAIN.to_owned()));
        other.note_reached(true);
        assert!(check().0, "{:?}", check());
    }

    #[test]
    fn the_service_is_ready_unless_the_replica_is_late_damaged_or_taken_over() {
        let [then, now] = [100, 120].map(|seconds| Timestamp::from_second(seconds).unwrap());
        let begun = ReplicationStatus::begin("there".into());
        let well = ReplicationStatus { term: Some(1), sequence: 1, complete_at: Some(then), ..begun };
        let why = || Some("why".to_owned());
        let watch = |finding, drill_error| ReplicaWatch { finding, drill_error, ..ReplicaWatch::default() };
        let is_ready = |status: &ReplicationStatus| verdict(status, now, LATE_AFTER).0;
        assert!(is_ready(&well));
        assert!(is_ready(&ReplicationStatus { error: why(), ..well.clone() }));
        assert!(is_ready(&ReplicationStatus { base_error: why(), ..well.clone() }));
        for status in [
            ReplicationStatus { complete_at: None, ..well.clone() },
            ReplicationStatus { complete_at: Some(Timestamp::from_second(80).unwrap()), ..well.clone() },
            ReplicationStatus { read_back_error: why(), ..well.clone() },
            ReplicationStatus { watch: watch(why(), None), ..well.clone() },
            ReplicationStatus { watch: watch(None, why()), ..well.clone() },
            ReplicationStatus { base_error: why(), base_overdue: true, ..well.clone() },
            ReplicationStatus { fenced: true, ..well.clone() },
            ReplicationStatus { lease_left_ms: Some(0), ..well.clone() },
        ] {
            assert!(!is_ready(&status), "{status:?}");
        }
    }

    #[test]
    fn anybody_reads_why_a_bucket_does_not_answer_and_no_name_of_a_file() {
        assert_eq!(
            without_names("the bucket does not answer: refused: bucket=s3://b"),
            "the bucket does not answer: refused"
        );
        assert_eq!(without_names("/srv/replica/log: Permission denied"), "the service's log says why");
    }
}
