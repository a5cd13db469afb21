//! The commits of a store on their way into the log of its term.

use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::Notify;
use tokio::time::sleep;

use super::base::{BASE_PAUSE, UnfinishedBase, patiently, read_through};
use super::base_tries::{BaseTries, is_of_store, keeps_failing};
use super::overtaken::Overtaken;
use super::source::{Source, Tail};
use crate::engine::commit::Outcome;
use crate::engine::feed::{Dump, States};
use crate::error::{Error, ErrorKind, Result};
use crate::replica::connection::opened::OpenReplica;
use crate::replica::objects::layout::ObjectHash;
use crate::replica::objects::name::{ObjectName, ReplicaSlot};
use crate::replica::terms::lease::Lease;
use crate::replica::terms::remote::{Local, Remote, ReplicaPosition};
use crate::replica::terms::write::{Shipped, TermWriter};

/// An object counts as so many bytes more for a reader of the log, since a request takes the time of about as many. So
/// a quiet day, with a small object each second, is no longer to read than a busy one.
pub(super) const REQUEST_BYTES: u64 = 8 << 10;

/// A lease is renewed so often at least while a base is made for a gap, and as often as a base takes
const SIGNS: u64 = 100;
/// that goes up with so many bytes a second,
const SLOW_BASE: u64 = 1 << 20;
/// but not more often.
const SIGNS_MAX: u64 = 10_000;

/// The end of one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ShipOutcome {
    /// The replica has everything.
    Done,
    /// Another process writes the history now.
    Fenced,
}

/// The commits of a store on their way, and the lease that their objects renew.
pub(super) struct Outgoing {
    pub(super) source: Source,
    pub(in crate::replica) writer: TermWriter,
    /// The object before which the position was written down last.
    written: Option<ObjectHash>,
    /// The lease, and when the request began that renewed it last.
    lease: Option<(Lease, Duration)>,
    /// The tries to make the next base.
    pub(in crate::replica) tries: BaseTries,
    /// A bucket that is away for so long ends no base.
    pub(super) patience: Duration,
    /// Notified when a write waits for the replica.
    pub(super) awaited: Option<Arc<Notify>>,
    /// Called when the replica has everything that the store had at that time.
    pub(super) on_complete: Option<OnComplete>,
}

/// Called when the replica has everything: with the time of which that is so, and the newest commit.
pub(super) type OnComplete = Box<dyn Fn(Timestamp, u64) + Send>;

impl Outgoing {
    pub(in crate::replica) fn new(source: Source, writer: TermWriter, lease: Option<Lease>) -> Self {
        let lease = lease.map(|lease| (lease, Duration::ZERO));
        // An earlier term may have had one.
        source.store().need_lease(lease.is_some());
        // And a take-over that was interrupted may have ended it.
        source.store().allow_writes();
        let (written, awaited, on_complete) = (None, None, None);
        let (tries, patience) = (BaseTries::default(), Duration::ZERO);
        Self { source, writer, written, lease, tries, patience, awaited, on_complete }
    }

    /// L12: the lease counts from the beginning of a request that the replica has answered.
    pub(super) fn renew_from(&mut self, begun: Duration) {
        if let Some((lease, from)) = &mut self.lease {
            *from = begun;
            self.source.store().hold_lease(begun + lease.right());
        }
    }

    /// The store has no lease any more: it writes nothing until another term is open.
    pub(super) fn end_lease(&mut self) {
        // An object that is still sent renews nothing.
        if self.lease.take().is_some() {
            self.source.store().need_lease(true);
        }
    }

    /// Another process writes now. Which one that is, is asked later.
    pub(super) fn refuse_writes(&self) {
        let term = self.writer.term().0.into();
        let error = Overtaken::ended(term).fenced(term);
        self.source.store().refuse_writes(error.to_string());
    }

    /// The time until the lease is to be renewed.
    pub(super) fn until_renewal(&self, remote: &OpenReplica) -> Duration {
        self.lease.map_or(Duration::MAX, |(lease, from)| (from + lease.renewal()).saturating_sub(remote.boot_time()))
    }

    /// The number of renewals for which there is room while a base is made.
    fn signs(&self) -> u64 {
        let Some((lease, _)) = self.lease else { return 0 };
        let bytes = std::fs::metadata(self.source.store().path()).map_or(0, |file| file.len());
        (SIGNS + bytes / SLOW_BASE / lease.renewal().as_secs().max(1)).min(SIGNS_MAX)
    }

    /// The last object of the log, which this process has written, and its hash.
    pub(super) fn last(&self) -> Option<(ObjectName, ObjectHash)> {
        let at = self.source.position()?;
        let index = at.slot.index.checked_sub(1)?;
        Some((ObjectName::Log(ReplicaSlot { index, ..at.slot }), at.previous))
    }

    /// Whether there is time for some requests before the lease is to be renewed.
    pub(super) fn has_time(&self, remote: &OpenReplica) -> bool {
        self.lease.is_none_or(|(lease, from)| remote.boot_time() < from + lease.request())
    }

    /// Writes a batch without commits if the lease is to be renewed.
    async fn renew(&mut self, remote: &OpenReplica) -> Result<ShipOutcome> {
        match self.until_renewal(remote) {
            Duration::ZERO => self.sign(remote, remote.now()).await,
            _ => Ok(ShipOutcome::Done),
        }
    }

    /// Writes a batch without commits, of that time or the one of the batch before.
    async fn sign(&mut self, remote: &OpenReplica, time: Timestamp) -> Result<ShipOutcome> {
        // L2: an object whose fate is not known is the sign.
        if self.writer.is_pending() {
            return self.send(remote).await;
        }
        let at = self.source.position().ok_or_else(in_no_replica)?;
        self.writer.prepare(remote, &self.source, &[], at.states, time)?;
        self.send(remote).await
    }

    /// Ships the commits that the store has now. Those that it gets meanwhile are for the next
    /// step, or there would be no end.
    pub(super) async fn ship_all(&mut self, remote: &OpenReplica) -> Result<ShipOutcome> {
        let now = remote.now();
        let newest = self.source.store().feed_status()?.map_or(0, |status| status.sequence);
        if self.ship_up_to(remote, newest).await? == ShipOutcome::Fenced {
            return Ok(ShipOutcome::Fenced);
        }
        let renewed = self.renew(remote).await?;
        if let Some(told) = self.on_complete.as_ref().filter(|_| renewed == ShipOutcome::Done) {
            told(now, self.source.position().map_or(0, |at| at.sequence));
        }
        Ok(renewed)
    }

    /// Ships commits, at most up to that one.
    pub(super) async fn ship_up_to(&mut self, remote: &OpenReplica, last: u64) -> Result<ShipOutcome> {
        loop {
            // L2: nothing else is ever sent to the slot of an object whose fate is not known.
            if self.writer.is_pending() && self.send(remote).await? == ShipOutcome::Fenced {
                return Ok(ShipOutcome::Fenced);
            }
            match self.source.read(last)? {
                Tail::End => {
                    self.source.note_replicated(last);
                    return Ok(ShipOutcome::Done);
                }
                Tail::Gap => {
                    // Apart: it is rare, and its state is large.
                    if Box::pin(self.bridge(remote)).await? == ShipOutcome::Fenced {
                        return Ok(ShipOutcome::Fenced);
                    }
                }
                Tail::Commits(commits, states) => {
                    let now = remote.now();
                    self.writer.prepare(remote, &self.source, &commits, states, now)?;
                    self.source.note_pending(self.writer.pending())?;
                }
            }
        }
    }

    /// Writes down how far the replica is before an object is sent, if other processes may write to the store. Theirs
    /// do not do it, so that they would keep what is shipped. R4: what they had committed is on the disk behind this.
    fn write_down(&mut self) -> Result<()> {
        let (store, sent) = (self.source.store(), self.writer.pending().map(|(hash, _)| hash));
        if !store.is_shared() || sent == self.written {
            return Ok(());
        }
        // A commit on a full disk needs the replica the most.
        if !self.source.write_place()? {
            store.alone(|_| Ok(Outcome::Abort(())))?;
        }
        self.written = sent;
        Ok(())
    }

    async fn send(&mut self, remote: &OpenReplica) -> Result<ShipOutcome> {
        self.write_down()?;
        let bytes = self.writer.pending_bytes();
        self.source.store().note_answered(false);
        let shipped = self.writer.ship(remote, &mut self.source).await?;
        self.source.store().note_answered(true);
        match shipped {
            Shipped::Acknowledged(begun) => {
                self.renew_from(begun);
                self.source.note_bytes(bytes + REQUEST_BYTES);
                self.source.note_replicated(self.source.position().map_or(0, |at| at.sequence));
                Ok(ShipOutcome::Done)
            }
            Shipped::Fenced => {
                self.refuse_writes();
                Ok(ShipOutcome::Fenced)
            }
        }
    }

    /// Commits that the store does not keep are bridged by a base, behind which the log goes on (L7). The slot of the
    /// gap is some slots ahead if the lease is to be renewed while the base is made.
    async fn bridge(&mut self, remote: &OpenReplica) -> Result<ShipOutcome> {
        // Before the next line, which takes a number: the moment of now is to be restored by its own.
        let dump = self.source.store().dump()?;
        // The store has nothing any more to compare what was shipped with, so a later process must know its place.
        self.source.store().write_shipped()?;
        if let Err(refused) = self.tries.refuse_gap() {
            // The lease goes on meanwhile, so that the store is written to and nobody takes it over.
            let time = self.source.position().ok_or_else(in_no_replica)?.time;
            let is_due = self.until_renewal(remote).is_zero();
            let is_fenced = is_due && self.sign(remote, time).await? == ShipOutcome::Fenced;
            return if is_fenced { Ok(ShipOutcome::Fenced) } else { Err(refused) };
        }
        let bridged = self.bridge_by_base(remote, dump).await;
        if let Err(error) = &bridged
            && is_of_store(error.kind())
        {
            self.tries.failed(error, remote.now());
        }
        bridged
    }

    async fn bridge_by_base(&mut self, remote: &OpenReplica, mut dump: Dump) -> Result<ShipOutcome> {
        if self.tries.reads_first() {
            let time = self.source.position().ok_or_else(in_no_replica)?.time;
            let (rows, pause) = (read_through(dump), |out: &Self| out.until_renewal(remote));
            if beside(self, rows, None, pause, async |out: &mut Self| out.sign(remote, time).await).await?.is_none() {
                return Ok(ShipOutcome::Fenced);
            }
            dump = self.source.store().dump()?;
        }
        let at = self.source.position().ok_or_else(in_no_replica)?;
        let (sequence, states) = (dump.sequence(), dump.states().clone());
        let digest = ObjectHash(states.digest());
        // Signs before the gap tell no time: the moments since then are not in the replica.
        let time = at.time;
        let slot = ReplicaSlot { index: at.slot.index + self.signs(), ..at.slot };
        let at_gap = ReplicaPosition { slot, sequence, states: digest, ..at };
        let mut base = self.begin_base(remote, dump, at_gap).await?;
        let error = match self.send_base_of_gap(remote, &mut base, time, states).await {
            Err(error) => error,
            bridged => return bridged,
        };
        // All parts would be sent again.
        if base.has_sent() && keeps_failing(error.kind()) {
            self.tries.failed(&error, remote.now());
        }
        self.tries.given_up = Some(base.name());
        // The lease goes on meanwhile.
        let (removed, pause) = (base.give_up(remote), |out: &Self| out.until_renewal(remote));
        let removed = beside(self, removed, None, pause, async |out: &mut Self| out.sign(remote, time).await).await;
        given_up(removed, error)
    }

    /// Begins a base, under another name than the one that was given up last.
    pub(super) async fn begin_base(
        &self,
        remote: &OpenReplica,
        dump: Dump,
        at: ReplicaPosition,
    ) -> Result<UnfinishedBase> {
        let base = UnfinishedBase::begin(remote, dump, at).await?;
        Ok(base.with_patience(self.patience).apart_from(self.tries.given_up))
    }

    /// Sends the base of a gap, and signs before it; then the gap.
    async fn send_base_of_gap(
        &mut self,
        remote: &OpenReplica,
        base: &mut UnfinishedBase,
        time: Timestamp,
        states: States,
    ) -> Result<ShipOutcome> {
        let ReplicaPosition { slot, sequence, states: digest, .. } = base.at();
        let gap = slot.index;
        let is_before = |out: &Self| out.source.position().is_some_and(|at| at.slot.index < gap);
        let pause = |out: &Self| if is_before(out) { out.until_renewal(remote) } else { Duration::MAX };
        let sign = async |out: &mut Self| {
            let signed = out.sign(remote, time).await?;
            if out.lease.is_some() && !is_before(out) {
                tracing::warn!(gap = %slot, "the base of a gap takes so long that the lease may end before it");
            }
            Ok(signed)
        };
        loop {
            // A write that waits gets nothing of a sign.
            match beside(self, base.next_part(remote), None, pause, sign).await? {
                None => return Ok(ShipOutcome::Fenced),
                Some(true) => {}
                Some(false) => break,
            }
        }
        while is_before(self) {
            if patiently(self.patience, async || self.sign(remote, time).await).await? == ShipOutcome::Fenced {
                return Ok(ShipOutcome::Fenced);
            }
        }
        let at = self.source.position().ok_or_else(in_no_replica)?;
        let made = base.finish(remote, at.previous).await?;
        self.writer.prepare_gap(remote, &self.source, made.name, sequence, digest)?;
        self.source.expect(sequence, states);
        // A later process finds no commits to compare, so it must know the place. Without it, it would take the gap for
        // the work of another machine.
        let noted = self.source.note_pending(self.writer.pending());
        if let Err(error) = noted.and_then(|()| self.source.store().write_shipped()) {
            self.writer.take_back();
            return Err(error);
        }
        let step = self.send(remote).await?;
        if step == ShipOutcome::Done {
            self.source.note_base(made.at, made.bytes)?;
            self.tries.succeeded();
        }
        Ok(step)
    }
}

/// Does something that may take long, and something else after each pause meanwhile, and when it is woken. A failure of
/// the latter ends neither while there is patience. None if another process writes now.
pub(super) async fn beside<R>(
    out: &mut Outgoing,
    work: impl Future<Output = Result<R>>,
    wakes: Option<Arc<Notify>>,
    pause: impl Fn(&Outgoing) -> Duration,
    meanwhile: impl AsyncFn(&mut Outgoing) -> Result<ShipOutcome>,
) -> Result<Option<R>> {
    let (mut work, mut away_since) = (pin!(work), None);
    loop {
        let pause = if away_since.is_some() { BASE_PAUSE.max(pause(out)) } else { pause(out) };
        tokio::select! {
            done = &mut work => return done.map(Some),
            () = sleep(pause) => {}
            () = woken(wakes.as_deref().filter(|_| away_since.is_none())) => {}
        }
        match meanwhile(out).await {
            Ok(ShipOutcome::Fenced) => return Ok(None),
            Ok(ShipOutcome::Done) => away_since = None,
            Err(error) => {
                let since = *away_since.get_or_insert_with(Instant::now);
                if error.kind() != ErrorKind::Io || since.elapsed() > out.patience {
                    return Err(error);
                }
                tracing::warn!(%error, "commits are not shipped beside other work; it is tried again");
            }
        }
    }
}

async fn woken(wakes: Option<&Notify>) {
    match wakes {
        Some(wakes) => wakes.notified().await,
        None => pending().await,
    }
}

/// The end of a base that failed with an error, once its parts were removed, as far as that went.
pub(in crate::replica) fn given_up(removed: Result<Option<()>>, error: Error) -> Result<ShipOutcome> {
    match removed {
        Ok(None) => return Ok(ShipOutcome::Fenced),
        Ok(Some(())) => {}
        Err(why) => tracing::warn!(error = %why, "the parts of a base that failed stay in the replica"),
    }
    Err(error)
}

pub(super) fn in_no_replica() -> Error {
    Error::conflict("the store is in no replica yet")
}
