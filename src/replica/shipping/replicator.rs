//! Shipping a store on a thread of its own, for as long as it is open.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::collect::Retention;
use super::options::ReplicateOptions;
use super::outgoing::ShipOutcome;
use super::overtaken::Overtaken;
use super::ship::Shipper;
use super::shipping_status::{ReplicationStatus, Shared};
use super::source::Source;
use super::tending::{Tended, Tending};
use crate::engine::feed::{AwaitedShipping, ShippingLock};
use crate::engine::store::Store;
use crate::error::{Error, ErrorKind, Hint, Result};
use crate::recovery::upkeep::background::{Background, Stop};
use crate::replica::bucket::Bucket;
use crate::replica::bucket::location::ReplicaLocation;
use crate::replica::checks::watch::{Known, Watch, mistake};
use crate::replica::connection::cipher::Identities;
use crate::replica::connection::opened::OpenReplica;
use crate::replica::connection::probe::Proven;
use crate::replica::connection::runtime::{block_on, stopped_for};
use crate::replica::terms::lease::Lease;
use crate::replica::terms::remote::Remote;

/// After a failure the next try comes this much later, then twice as much, and so on.
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(500);
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// The time between the two looks of a collection. A list of a bucket that lags more than that is none.
const GRACE: Duration = Duration::from_secs(6 * 60 * 60);
/// A hold that is older was left behind by a restore that died.
const HOLD_AGE: Duration = Duration::from_secs(24 * 60 * 60);
/// Writes that come back share an object if they do so within a quarter of the time that the last one took, and this.
const GATHER: Duration = Duration::from_millis(5);

/// A request is tried again for so long before its failure is told; then all of it is tried again.
const PATIENCE: Duration = Duration::from_secs(10);
/// An object of a base for so long: nobody is told meanwhile that the bucket is away.
const BASE_PATIENCE: Duration = Duration::from_secs(20);
/// A stop waits so long for the rest to be shipped.
pub(super) const LAST: Duration = Duration::from_secs(5);
/// The bounds of the interval.
const INTERVALS: (Duration, Duration) = (Duration::from_millis(1), Duration::from_secs(24 * 60 * 60));

/// A running thread that ships a store. To drop it ships the rest, for some seconds at most, and ends its term.
#[derive(Debug)]
pub struct Replicator {
    store: Store,
    location: String,
    shared: Arc<Shared>,
    known: Known,
    _thread: Background,
    // Behind it: the rest is shipped before a drill has come to its end.
    _watch: Background,
}

impl Store {
    /// Ships every commit of the store to its replica, on a thread of its own, also those of other processes that share
    /// it. Returns once this process has a term of its own, or after `wait` while the bucket does not answer; the
    /// thread tries on.
    ///
    /// # Errors
    ///
    /// `NotFound` when there is no replica, unless the store was shipped to this location before; `Conflict` when it
    /// has commits that the store does not have, when the store was overtaken by another machine before, and when it is
    /// the replica of another store or an older copy; `Locked` when another process ships the store, and does not end
    /// within `wait`; `Invalid` for an identity that is none, and for times out of their bounds; `Io` when no thread
    /// can be started.
    pub fn replicate(&self, to: &ReplicaLocation, options: ReplicateOptions, wait: Duration) -> Result<Replicator> {
        let location = to.0.clone();
        self.replicate_into(to, Arc::new(move || Bucket::open(&location)), options, wait)
    }

    /// The same into a bucket that is opened like this, after each failure anew.
    pub(in crate::replica) fn replicate_into(
        &self,
        to: &ReplicaLocation,
        open: BucketOpener,
        options: ReplicateOptions,
        wait: Duration,
    ) -> Result<Replicator> {
        options.refuse_lengths()?;
        let lease = options.lease.and_then(Lease::new);
        if self.is_standby() {
            let message = "the store is a copy of its replica, so it cannot be shipped there before it takes over";
            return Err(Error::conflict(message).with_hint(Hint::TakeOver));
        }
        if lease.is_some() && self.is_shared() {
            let message = "a lease needs a store that this process has for itself, as no other process would keep it; \
                           open the store exclusively";
            return Err(Error::invalid(message));
        }
        let identities = options.identity.as_deref().map_or(Ok(Identities::default()), Identities::parse)?;
        // The terms of two processes would end one another, and the file would count as overtaken by another machine.
        let lock = self.lock_shipping(wait.min(INTERVALS.1))?;
        // Behind the lock: the process that held it may have learnt just now that it was overtaken.
        if let Some(fence) = self.overtaken()? {
            return Err(fence.refusal());
        }
        let store = self.locally();
        let watch = Watch::new(&store, to, identities.clone(), options.drill_every)?;
        let known = watch.known();
        let of_status = store.clone();
        let shared = Arc::new(Shared::begin(to.to_string()));
        let work = Work {
            store,
            location: to.clone(),
            open,
            awaited: Arc::new(self.begin_shipping(options.write_limit)),
            interval: options.interval.clamp(INTERVALS.0, INTERVALS.1),
            lease,
            identities,
            retention: Retention { window: options.keep, grace: GRACE, hold_age: HOLD_AGE },
            shared: shared.clone(),
            proven: Proven::default(),
            _lock: lock,
        };
        // A term without a lease must be open before a store goes on that had one.
        let had_lease = of_status.had_lease()?;
        of_status.need_lease(had_lease || lease.is_some());
        let thread = Background::start("hivekeep-replica", move |stop| work.run(stop))?;
        let of = shared.clone();
        let watch = watch.start(move || of.shipping())?;
        let replicator =
            Replicator { store: of_status, location: to.to_string(), shared, known, _thread: thread, _watch: watch };
        if let Err(refused) = replicator.wait_for_term(wait) {
            let store = replicator.store.clone();
            drop(replicator);
            store.need_lease(had_lease);
            return Err(refused);
        }
        Ok(replicator)
    }
}

impl Replicator {
    /// The state of shipping.
    pub fn status(&self) -> ReplicationStatus {
        // The threads that hold the locks are not there in a process that came of a fork.
        if let Err(forked) = self.store.refuse_forked() {
            let begun = ReplicationStatus::begin(self.location.clone());
            return ReplicationStatus { error: Some(forked.to_string()), ..begun };
        }
        let lease_left_ms = self.store.lease_left().map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX));
        ReplicationStatus { watch: self.known.lock().clone(), lease_left_ms, ..self.shared.state.lock().clone() }
    }

    fn wait_for_term(&self, wait: Duration) -> Result<()> {
        let until = Instant::now() + wait.min(INTERVALS.1);
        let mut state = self.shared.state.lock();
        while state.term.is_none() {
            if let Some(error) = self.shared.refusal.lock().take() {
                return Err(error);
            }
            if self.shared.changed.wait_until(&mut state, until).timed_out() {
                break;
            }
        }
        self.shared.has_started.store(true, Ordering::Release);
        Ok(())
    }
}

/// Opens the bucket of the replica.
pub(super) type BucketOpener = Arc<dyn Fn() -> Result<Bucket> + Send + Sync>;

/// The work of the thread.
pub(super) struct Work {
    pub(in crate::replica) store: Store,
    pub(in crate::replica) location: ReplicaLocation,
    open: BucketOpener,
    /// The writes that wait for the replica.
    awaited: Arc<AwaitedShipping>,
    interval: Duration,
    lease: Option<Lease>,
    pub(super) identities: Identities,
    retention: Retention,
    shared: Arc<Shared>,
    proven: Proven,
    _lock: ShippingLock,
}

impl Work {
    fn run(&self, stop: &Arc<Stop>) {
        let (mut pause, wakes, awaited) = (FIRST_PAUSE, stop.clone(), Arc::new(Notify::new()));
        let beside = awaited.clone();
        self.awaited.wake_by(Arc::new(move || {
            wakes.wake();
            beside.notify_one();
        }));
        self.awaited.note_reached(false);
        loop {
            let shipped = block_on(async {
                tokio::select! {
                    done = self.ship(stop, &awaited) => done,
                    () = stopped_for(stop, LAST) => Ok(()),
                }
            });
            match shipped {
                Ok(()) => return,
                Err(_) if self.store.is_closed() => return,
                Err(error) => {
                    // Nothing that this process tries again makes its history the one of the replica. A replica of
                    // another store says nothing of its history: the location is wrong.
                    if let Some(overtaken) = Overtaken::of(&error).filter(|_| self.was_in_replica()) {
                        return self.fence(overtaken, error, stop);
                    }
                    let mistake = mistake(&self.store, &self.location, &error);
                    let (is_mistake, error) = (mistake.is_some(), mistake.unwrap_or(error));
                    let text = error.to_string();
                    let is_refused = matches!(error.kind(), ErrorKind::Conflict | ErrorKind::NewerFormat);
                    let is_refused = is_mistake || is_refused || !self.was_in_replica();
                    if !is_refused || self.has_started() {
                        tracing::warn!(%error, "the store is not shipped; it is tried again");
                    }
                    // Before the state, which the waiting caller looks at.
                    if is_refused {
                        self.refuse(error);
                    }
                    self.note(|state| state.error = Some(text));
                    self.awaited.note_reached(false);
                }
            }
            if stop.pause(pause) {
                return;
            }
            pause = (pause * 2).min(self.longest_pause());
        }
    }

    /// The longest pause behind a failure: with a lease, a standby waits too.
    fn longest_pause(&self) -> Duration {
        self.lease.map_or(LONGEST_PAUSE, |lease| LONGEST_PAUSE.min(lease.request()))
    }

    /// Whether the store was in the replica before: then a bucket that is away, or refuses, keeps nobody from working.
    fn was_in_replica(&self) -> bool {
        self.store.feed_status().is_ok_and(|status| status.is_some_and(|status| !status.position.is_empty()))
    }

    /// Opens the bucket.
    pub(super) async fn bucket(&self) -> Result<Arc<Bucket>> {
        let open = self.open.clone();
        let bucket = Bucket::open_in_time(self.location.to_string(), move || open()).await?;
        let mut bucket = bucket.with_limit(PATIENCE);
        if let Some(lease) = self.lease {
            bucket = bucket.with_limit(lease.request());
        }
        Ok(Arc::new(bucket))
    }

    /// Opens a term, and ships until the thread is stopped.
    async fn ship(&self, stop: &Stop, awaited: &Arc<Notify>) -> Result<()> {
        let clock = self.store.clock().clone();
        let remote = OpenReplica::of(self.bucket().await?, self.identities.clone(), clock).await?;
        if !self.store.is_shared() {
            remote.note_file(self.store.file_of_boot());
        }
        let source = Source::open(self.store.clone(), remote.store(), remote.description())?;
        self.proven.prove(remote.bucket()).await?;
        let shipper = Shipper::open_with(remote, source, self.lease).await?.with_patience(BASE_PATIENCE);
        let (shared, shipping) = (self.shared.clone(), self.awaited.clone());
        let mut shipper = shipper.woken_by(awaited.clone()).telling(move |at, sequence| {
            shipping.note_reached(true);
            shared.note_complete(at, sequence);
        });
        let (term, mut last) = (shipper.term(), shipper.last_object());
        self.shared.note_looked(Ok(()));
        self.note(|state| (state.term, state.error) = (Some(term), None));
        let (mut pause, mut tending) = (FIRST_PAUSE, Tending::begin(&shipper, self.retention, Instant::now()));
        let (mut shipped, mut took) = (0, Duration::ZERO);
        loop {
            let since = Instant::now();
            match shipper.step().await {
                Ok(ShipOutcome::Done) => {
                    pause = FIRST_PAUSE;
                    let sequence = shipper.position().map_or(0, |at| at.sequence);
                    if sequence != shipped {
                        (shipped, took) = (sequence, since.elapsed());
                    }
                    if shipper.last_object() != last {
                        last = shipper.last_object();
                        self.shared.note_looked(Ok(()));
                    }
                    self.note_base(shipper.failed_base());
                }
                Ok(ShipOutcome::Fenced) => return Err(shipper.fenced().await),
                Err(_) if self.store.is_closed() => return Ok(()),
                Err(error) => {
                    tracing::warn!(%error, "commits are not shipped; it is tried again");
                    self.note(|state| state.error = Some(error.to_string()));
                    self.awaited.note_reached(false);
                    // Another try to ship the rest: the failure may have been of a moment.
                    if stop.pause(pause) {
                        return shipper.release().await;
                    }
                    pause = (pause * 2).min(self.longest_pause());
                    continue;
                }
            }
            let looked = |looked| self.shared.note_looked(looked);
            match tending.step(&mut shipper, Instant::now(), looked, |found| self.note_read_back(found)).await {
                Tended::Done => self.note_collection(tending.is_collection_overdue()),
                Tended::Fenced => return Err(shipper.fenced().await),
                Tended::Blocked => {
                    shipper.release().await?;
                    let message = "a later term was claimed and given up; this process begins a new one";
                    return Err(Error::new(ErrorKind::Io, message));
                }
            }
            if stop.within(self.interval.min(shipper.until_renewal())) {
                return shipper.release().await;
            }
            self.awaited.gather((took / 4).min(GATHER));
        }
    }

    fn note_read_back(&self, found: Result<()>) {
        let now = self.store.clock().now();
        self.note(|state| match found {
            Ok(()) => (state.read_back_at, state.read_back_error) = (Some(now), None),
            Err(error) => {
                tracing::error!(%error, "the replica does not have what was written to it");
                state.read_back_error = Some(error.to_string());
            }
        });
    }

    fn note_collection(&self, is_overdue: bool) {
        if self.shared.state.lock().collection_overdue != is_overdue {
            self.note(|state| state.collection_overdue = is_overdue);
        }
    }

    fn note_base(&self, failed: Option<(&str, bool)>) {
        let (error, is_overdue) = failed.map_or((None, false), |(error, is_overdue)| (Some(error), is_overdue));
        let is_known = {
            let state = self.shared.state.lock();
            (state.base_error.as_deref(), state.base_overdue) == (error, is_overdue)
        };
        if !is_known {
            self.note(|state| (state.base_error, state.base_overdue) = (error.map(str::to_owned), is_overdue));
        }
    }

    pub(super) fn has_started(&self) -> bool {
        self.shared.has_started.load(Ordering::Acquire)
    }

    /// The error for the caller that waits for a term.
    pub(super) fn refuse(&self, error: Error) {
        *self.shared.refusal.lock() = Some(error);
    }

    pub(super) fn note(&self, change: impl FnOnce(&mut ReplicationStatus)) {
        self.shared.note(change);
    }
}
