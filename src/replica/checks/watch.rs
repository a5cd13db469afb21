//! The watch over a replica while it is written: each day an inspection, each week a drill, on a thread of its own, so
//! that shipping never waits for them. The store keeps the results, and a restart goes on from there.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::json;

use super::drill::drill;
use super::inspect::{OwnPlace, PARTS, inspect_twice, turn_of};
use crate::clock::{after, as_stored};
use crate::duration::since;
use crate::engine::store::Store;
use crate::error::{Error, ErrorKind, Result};
use crate::files::folder_of;
use crate::recovery::check::last_replica::{LastReplicaCheck, LastReplicaDrill, ReplicaWatch};
use crate::recovery::events::event::EventKind;
use crate::recovery::upkeep::background::{Background, Stop};
use crate::replica::bucket::location::ReplicaLocation;
use crate::replica::connection::cipher::{Identities, TermKey};
use crate::replica::connection::opened::OpenReplica;
use crate::replica::connection::runtime::block_on;
use crate::replica::objects::name::ObjectName;
use crate::replica::reading::held::let_all_go;
use crate::replica::reading::shipped::ShippedTo;
use crate::replica::restoring::restore::Copier;

/// A replica is inspected this often.
const INSPECT_EVERY: Duration = Duration::from_secs(24 * 60 * 60);
/// The first inspection, and not while a process may only run for a moment.
const FIRST_INSPECTION: Duration = Duration::from_secs(60);
/// The first drill of a store: its machine has other work after a start.
const FIRST_DRILL: Duration = Duration::from_secs(60 * 60);
/// After one that found something, or could not be made, the next inspection or drill comes this much later.
const AGAIN: Duration = Duration::from_secs(60 * 60);
/// The same for a drill that was left out: the disk has no more room soon.
const LEFT_OUT: Duration = Duration::from_secs(24 * 60 * 60);
/// Between two looks whether something is due.
const TICK: Duration = Duration::from_secs(5);
/// So long a thread that stops waits for a drill to let go what it holds.
const LETTING_GO: Duration = Duration::from_secs(2);
/// Between two looks whether the thread is to stop, while it works.
const A_MOMENT: Duration = Duration::from_millis(100);

/// The state of shipping, as far as the watch depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::replica) enum Shipping {
    /// There is no term yet.
    Waits,
    Goes,
    /// Another process has the history.
    IsOver,
}

/// The watch over the replica of a store.
pub(in crate::replica) struct Watch {
    store: Store,
    location: ReplicaLocation,
    /// The same as the store keeps it.
    place: String,
    identities: Identities,
    /// None for no drills.
    drill_every: Option<Duration>,
    /// The folder for the copies of drills.
    scratch: PathBuf,
    known: Known,
    /// Whether the store could not take the last findings, as on a full disk: the next ones are written with their
    /// event in any case. Only the thread uses it.
    is_unwritten: AtomicBool,
    /// Whether nothing was at the location at the last look.
    is_gone: AtomicBool,
    /// The replica as the last drill has read it. Only the thread uses it.
    drilled: Mutex<Option<Arc<OpenReplica>>>,
}

/// The findings. Written by the thread, read by everybody who asks.
pub(in crate::replica) type Known = Arc<Mutex<ReplicaWatch>>;

impl Watch {
    /// The watch over the replica at a location, with what the store knows of it.
    ///
    /// # Errors
    ///
    /// As a view.
    pub(in crate::replica) fn new(
        store: &Store,
        location: &ReplicaLocation,
        identities: Identities,
        drill_every: Option<Duration>,
    ) -> Result<Self> {
        let place = location.kept()?;
        // A row that cannot be read keeps nobody from shipping: all of it is found out again.
        let known = match store.view()?.replica_watch().unwrap_or_default() {
            Some(stored) if location.was_kept_as(&stored.location)? => {
                ReplicaWatch { location: place.clone(), ..stored }
            }
            _ => ReplicaWatch::new(place.clone()),
        };
        let known = Arc::new(Mutex::new(known));
        let scratch = folder_of(&std::path::absolute(store.path())?).to_owned();
        let (store, location) = (store.clone(), location.clone());
        let (is_unwritten, is_gone, drilled) = (AtomicBool::new(false), AtomicBool::new(false), Mutex::default());
        Ok(Self { store, location, place, identities, drill_every, scratch, known, is_unwritten, is_gone, drilled })
    }

    /// The findings, now and later.
    pub(in crate::replica) fn known(&self) -> Known {
        self.known.clone()
    }

    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// `Io` when no thread can be started.
    pub(in crate::replica) fn start(self, shipping: impl Fn() -> Shipping + Send + 'static) -> Result<Background> {
        Background::start("hivekeep-watch", move |stop| self.run(stop, &shipping))
    }

    fn run(&self, stop: &Stop, shipping: &dyn Fn() -> Shipping) {
        let begun = Instant::now();
        let (inspect_in, drill_in) = self.due_in();
        let (mut inspect_at, mut drill_at) = (begun + inspect_in, drill_in.map(|time| begun + time));
        let mut is_noted = false;
        while !stop.pause(TICK) && !self.store.is_closed() {
            match shipping() {
                Shipping::Waits => continue,
                Shipping::IsOver => return,
                Shipping::Goes => {}
            }
            if !is_noted {
                self.note_location();
                is_noted = true;
            }
            if Instant::now() >= inspect_at {
                inspect_at = Instant::now() + self.inspect_again_in(within(stop, self.inspect(), async {}));
            }
            if drill_at.is_some_and(|at| Instant::now() >= at) {
                let (every, done) = (self.drill_every.unwrap_or(LEFT_OUT), within(stop, self.drill(), self.let_go()));
                let again = if self.known.lock().drill_error.is_some() { AGAIN } else { LEFT_OUT };
                drill_at = Some(Instant::now() + told(done, "rehearsed", every, again));
            }
        }
    }

    /// The time until the first inspection, and until the first drill if there are any.
    fn due_in(&self) -> (Duration, Option<Duration>) {
        let (known, now) = (self.known.lock().clone(), self.store.clock().now());
        // A clock that was ahead does not put anything off for longer than usual.
        let left = |last, every| since(now, after(last, every)).min(every);
        let inspect = match &known.verified {
            Some(last) if known.finding.is_none() => left(last.at, INSPECT_EVERY).max(FIRST_INSPECTION),
            _ => FIRST_INSPECTION,
        };
        let drill = self.drill_every.map(|every| match &known.drill {
            Some(last) if known.drill_error.is_none() => left(last.at, every).max(FIRST_DRILL.min(every)),
            _ => FIRST_DRILL.min(every),
        });
        (inspect, drill)
    }

    /// The time until the next inspection behind one.
    pub(super) fn inspect_again_in(&self, done: Result<Option<bool>>) -> Duration {
        let next = told(done, "inspected", INSPECT_EVERY, AGAIN);
        // A disk may be mounted again at any time.
        if self.is_gone.load(Ordering::Relaxed) { FIRST_INSPECTION } else { next }
    }

    /// Inspects the replica, and notes what comes out. Says whether nothing is wrong.
    ///
    /// # Errors
    ///
    /// The errors of the bucket: then nothing is known.
    pub(super) async fn inspect(&self) -> Result<bool> {
        let opened = self.open().await;
        let is_gone = opened.as_ref().is_err_and(|error| error.kind() == ErrorKind::NotFound);
        self.is_gone.store(is_gone, Ordering::Relaxed);
        let (remote, own) = match opened {
            // Its description is a part of it too.
            Err(error) if is_gone || error.kind() == ErrorKind::Damaged => {
                self.found(error.to_string());
                return Ok(false);
            }
            opened => opened?,
        };
        let part = self.known.lock().next_part;
        let found = inspect_twice(&remote, own, part.into()).await?;
        let at = as_stored(self.store.clock().now());
        let first = found.findings.first().cloned();
        let Some(restorable_from) = found.restorable_from.filter(|_| first.is_none()) else {
            self.found(first.unwrap_or_else(|| "nothing can be restored from the replica".to_owned()));
            return Ok(false);
        };
        let (objects, read) = (found.objects, found.read);
        let next_part = u8::try_from((u64::from(part) + 1) % PARTS).unwrap_or(0);
        self.note(None, |known| {
            known.verified = Some(LastReplicaCheck { at, restorable_from, objects, read });
            (known.next_part, known.finding) = (next_part, None);
        });
        Ok(true)
    }

    /// Makes a drill, and notes what comes out. Says whether everything came back.
    ///
    /// # Errors
    ///
    /// The errors of the bucket: then nothing is known.
    pub(super) async fn drill(&self) -> Result<bool> {
        let (remote, _) = self.open().await?;
        let (from, clock, remote) = (self.location.to_string(), self.store.clock().clone(), Arc::new(remote));
        *self.drilled.lock() = Some(remote.clone());
        let copier = Copier { remote, from, clock };
        match drill(&copier, &self.scratch, None).await {
            Ok(drilled) => {
                let last = LastReplicaDrill {
                    at: drilled.at,
                    moment: drilled.time,
                    sequence: drilled.sequence,
                    restored_ms: drilled.restored_ms,
                    records: drilled.records,
                    bytes: drilled.bytes,
                };
                let details = json!({"replica": self.place, "drill": last});
                self.note(Some((EventKind::ReplicaDrilled, details)), |known| {
                    (known.drill, known.drill_error, known.drill_skipped) = (Some(last), None, None);
                });
                let Some(damaged) = drilled.damaged_bases.into_iter().next() else { return Ok(true) };
                self.found_in_base(damaged);
                Ok(false)
            }
            // No room for a copy, or no key: nothing is known of the replica by that.
            Err(error) if matches!(error.kind(), ErrorKind::Full | ErrorKind::Invalid) => {
                tracing::warn!(%error, "no drill was made with the replica");
                self.note(None, |known| known.drill_skipped = Some(error.to_string()));
                Ok(false)
            }
            Err(error) if matches!(error.kind(), ErrorKind::Damaged | ErrorKind::Conflict | ErrorKind::NotFound) => {
                self.failed(&error);
                Ok(false)
            }
            // Nothing is known of the replica by that either, and it may go on for ever.
            Err(error) => {
                self.note(None, |known| known.drill_skipped = Some(error.to_string()));
                Err(error)
            }
        }
    }

    /// Lets go what a drill has held that was dropped half-way, for a moment at most: a hold that is left keeps old
    /// objects for a day.
    pub(super) async fn let_go(&self) {
        let drilled = self.drilled.lock().take();
        let Some(remote) = drilled else { return };
        match tokio::time::timeout(LETTING_GO, let_all_go(&remote)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "a hold of the replica stays for a day"),
            Err(_) => tracing::warn!("a hold of the replica stays for a day, as the bucket does not answer"),
        }
    }

    /// An inspection found something.
    fn found(&self, finding: String) {
        let is_known = self.known.lock().finding.as_ref() == Some(&finding);
        if !is_known {
            tracing::error!(finding, "the replica is not as it was written");
        }
        let is_new = self.is_unwritten() || !is_known;
        let details = json!({"replica": self.place, "error": finding});
        self.note(is_new.then_some((EventKind::ReplicaFailed, details)), |known| known.finding = Some(finding));
    }

    /// A drill could not use a base. The next inspections read the object until it is as it was written.
    fn found_in_base(&self, why: String) {
        let named = why.split([' ', '=', ':']).filter_map(ObjectName::parse);
        if let Some(turn) = named.filter_map(turn_of).find_map(|turn| u8::try_from(turn).ok()) {
            self.known.lock().next_part = turn;
        }
        self.found(why);
    }

    /// A drill failed.
    fn failed(&self, error: &Error) {
        tracing::error!(%error, "a drill with the replica failed");
        let text = error.to_string();
        let is_new = self.is_unwritten() || self.known.lock().drill_error.as_ref() != Some(&text);
        let details = json!({"replica": self.place, "error": text, "drill": true});
        self.note(is_new.then_some((EventKind::ReplicaFailed, details)), |known| {
            (known.drill_error, known.drill_skipped) = (Some(text), None);
        });
    }

    /// The replica, and the place of the store in it, which is read first: everything before it is there.
    async fn open(&self) -> Result<(OpenReplica, OwnPlace)> {
        let status = self.store.feed_status()?.filter(|status| !status.position.is_empty());
        let status = status.ok_or_else(|| Error::conflict("the store is in no replica yet"))?;
        let at = ShippedTo::of_bytes(&status.position)?;
        let clock = self.store.clock().clone();
        let remote = OpenReplica::open(&self.location.0, self.identities.clone(), clock).await?;
        if let Some((term, key)) = &at.key {
            remote.know(*term, TermKey::of_hex(key)?);
        }
        Ok((remote, OwnPlace::from(&at)))
    }

    fn note(&self, event: Option<(EventKind, serde_json::Value)>, change: impl FnOnce(&mut ReplicaWatch)) {
        let mut next = self.known.lock().clone();
        change(&mut next);
        if event.is_none() && next == *self.known.lock() && !self.is_unwritten() {
            return;
        }
        *self.known.lock() = next.clone();
        let written = self.store.note_replica(&next, event);
        self.is_unwritten.store(written.is_err(), Ordering::Relaxed);
        if let Err(error) = written {
            tracing::warn!(%error, "cannot store the replica's check results");
        }
    }

    fn is_unwritten(&self) -> bool {
        self.is_unwritten.load(Ordering::Relaxed)
    }

    /// Stores the location, so that a later start at another one is known for a mistake.
    fn note_location(&self) {
        let known = self.known.lock().clone();
        let stored = self.store.view().and_then(|view| view.replica_watch());
        if !matches!(stored, Ok(Some(stored)) if stored.location == known.location)
            && let Err(error) = self.store.note_replica(&known, None)
        {
            tracing::warn!(%error, "the location of the replica could not be stored");
        }
    }
}

/// The time until the next one.
fn told(done: Result<Option<bool>>, what: &str, every: Duration, again: Duration) -> Duration {
    match done {
        Ok(Some(true)) => every,
        Ok(_) => again.min(every),
        Err(error) => {
            tracing::warn!(%error, "the replica could not be {what}; it is tried again");
            AGAIN.min(every)
        }
    }
}

/// Works until it is done, or none once the thread is to stop, and `then` lets go what the work has held.
fn within<R>(stop: &Stop, work: impl Future<Output = Result<R>>, then: impl Future<Output = ()>) -> Result<Option<R>> {
    block_on(async {
        let done = tokio::select! {
            done = work => done.map(Some),
            () = stopped(stop) => Ok(None),
        };
        if matches!(done, Ok(None)) {
            then.await;
        }
        done
    })
}

async fn stopped(stop: &Stop) {
    while !stop.is_stopped() {
        tokio::time::sleep(A_MOMENT).await;
    }
}

/// The error for a location without a replica if the store was shipped to another one: a mistake that does not pass.
pub(in crate::replica) fn mistake(store: &Store, location: &ReplicaLocation, error: &Error) -> Option<Error> {
    let before = store.view().and_then(|view| view.replica_watch()).ok().flatten()?.location;
    if error.kind() != ErrorKind::NotFound || location.was_kept_as(&before).ok()? {
        return None;
    }
    let now = location.kept().ok()?;
    let why = "there is no replica at this location, and the store was shipped to another one before; correct the location, or \
               initialize a replica here";
    Some(Error::not_found(format!("{why}: location={now} before={before}")))
}
