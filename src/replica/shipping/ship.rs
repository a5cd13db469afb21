//! Ships a store: its commits go into the log of a term, in order, and its state into a base from time to time.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Notify;

use super::base;
use super::collect::{CollectStep, Collector, Retention};
use super::outgoing::{Outgoing, ShipOutcome, beside, given_up, in_no_replica};
use super::overtaken::Overtaken;
use super::source::Source;
use crate::clock::before;
use crate::error::{Error, ErrorKind, Result};
use crate::replica::connection::opened::OpenReplica;
use crate::replica::objects::layout::ObjectHash;
use crate::replica::objects::name::{ObjectName, Term};
use crate::replica::reading::bases::has_base_for;
use crate::replica::reading::shipped::ShippedTo;
use crate::replica::reading::shipped_here::refuse_older;
use crate::replica::terms::chain;
use crate::replica::terms::lease::{Lease, watch};
use crate::replica::terms::open::{
    Beginning, BegunFrom, OpenedAs, has_moved_away, is_on_chain, is_on_the_way, open_term,
};
use crate::replica::terms::remote::{Local, Remote, ReplicaPosition};
use crate::replica::terms::write::{Shipped, TermWriter};

/// A new base is made once a reader of the log behind the newest one needs so many bytes, and a tenth of those of the
/// base,
const LOG_BYTES: u64 = 64 << 20;
/// or once the base is so old.
const BASE_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// A log that is so many times as long as one behind which a base is due waits for a base in vain.
const FAR_BEYOND: u64 = 4;

/// A file that was begun so long ago is of a process that was killed.
const LEFT_BEHIND: Duration = Duration::from_secs(24 * 60 * 60);

/// Commits are shipped this often beside work that may take long.
const BESIDE: Duration = Duration::from_secs(1);

/// A store that is shipped in a term of its own.
pub(crate) struct Shipper {
    remote: OpenReplica,
    out: Outgoing,
}

impl Shipper {
    /// Opens a term for a store.
    ///
    /// # Errors
    ///
    /// `Conflict` when the replica has commits that the store does not have, and when it is an older copy; the errors
    /// of the replica and of the store.
    pub(crate) async fn open(remote: OpenReplica, source: Source) -> Result<Self> {
        Self::open_with(remote, source, None).await
    }

    /// The same with a lease, if there is to be one.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open); `Locked` when the process that has the lease now still writes.
    pub(crate) async fn open_with(remote: OpenReplica, mut source: Source, lease: Option<Lease>) -> Result<Self> {
        if let Some((term, key)) = source.key()? {
            remote.know(term, key);
        }
        if let Some(at) = source.at() {
            refuse_older(&remote, at).await?;
        }
        let restored = source.at().is_some_and(|at| at.restored);
        if !restored {
            source.settle_pending(&remote).await?;
        }
        let mut beginning = Beginning { lease, ..BegunFrom::Restore.into() };
        if let Some(newest) = chain::newest_open(&remote).await? {
            // L12: the one that has the lease may still write, and this one does so only once its term is open.
            if Lease::of(&newest).is_some() {
                source.store().need_lease(true);
            }
            let goes_on = match restored {
                true => is_on_chain(&remote, &source, newest.term).await?,
                false => is_on_the_way(&remote, &mut source, newest.term).await?,
            };
            if !goes_on {
                return Err(apart(&remote, &source).await);
            }
            if restored {
                warn_without_base(&remote, &source, newest.term).await?;
            }
            // A person who restores has chosen; a start by itself must not end a process that writes.
            if !restored {
                beginning.silence = watch(&remote, &source, &newest).await?;
            }
        }
        if !restored {
            beginning.from = BegunFrom::Log;
        }
        // Each try behind the claim would claim another term. Whether the store may be written to is known behind it.
        if (restored || lease.is_some() || remote.is_encrypted())
            && let Err(error) = source.store().write_shipped()
            && matches!(error.kind(), ErrorKind::Full | ErrorKind::Reopen)
        {
            return Err(error);
        }
        match open_term(&remote, &mut source, beginning).await? {
            OpenedAs::Writer(term, begun) => {
                let mut out = Outgoing::new(source, TermWriter::new(term), lease);
                out.renew_from(begun);
                out.source.note_opened(remote.description(), remote.own_key(), lease)?;
                Ok(Self { remote, out })
            }
            OpenedAs::Overtaken => {
                Err(Error::new(ErrorKind::Io, "another process is taking the replica over just now; it is tried again"))
            }
            OpenedAs::Apart => Err(apart(&remote, &source).await),
        }
    }

    /// A bucket that is away for so long ends no base, whose parts would all be sent again. It keeps pages of the file
    /// from being used again meanwhile.
    #[must_use]
    pub(crate) fn with_patience(mut self, patience: Duration) -> Self {
        self.out.patience = patience;
        self
    }

    /// Ships at once beside other work when that is notified.
    #[must_use]
    pub(crate) fn woken_by(mut self, awaited: Arc<Notify>) -> Self {
        self.out.awaited = Some(awaited);
        self
    }

    /// Calls that whenever the replica has everything, also beside other work: with the time of which that is so, and
    /// the newest commit.
    #[must_use]
    pub(crate) fn telling(mut self, told: impl Fn(Timestamp, u64) + Send + 'static) -> Self {
        self.out.on_complete = Some(Box::new(told));
        self
    }

    /// The number of the term.
    pub(crate) fn term(&self) -> u64 {
        self.out.writer.term().0.into()
    }

    /// How far the replica is.
    pub(crate) fn position(&self) -> Option<ReplicaPosition> {
        self.out.source.position()
    }

    /// Ships everything that the store has, and makes a base if it is time for one. A base that cannot be made is no
    /// error: the replica has every commit all the same. After an error it may only be called again.
    ///
    /// # Errors
    ///
    /// The errors of the replica and of the store.
    pub(crate) async fn step(&mut self) -> Result<ShipOutcome> {
        if self.out.ship_all(&self.remote).await? == ShipOutcome::Fenced {
            return Ok(ShipOutcome::Fenced);
        }
        let now = self.remote.now();
        let is_due = self.out.source.at().is_some_and(|at| is_base_due(at, now));
        if !is_due || !self.out.tries.may_begin() {
            return Ok(ShipOutcome::Done);
        }
        match self.base().await {
            Err(error) if !self.out.source.store().is_closed() => {
                self.out.tries.failed(&error, now);
                Ok(ShipOutcome::Done)
            }
            made => made,
        }
    }

    /// The reason why no new base could be made, and whether one is long overdue; none after a success.
    pub(crate) fn failed_base(&self) -> Option<(&str, bool)> {
        let (error, at) = (self.out.tries.error()?, self.out.source.at()?);
        let is_far = at.log_bytes / FAR_BEYOND > log_before_a_base(at);
        Some((error, is_far || self.out.tries.is_overdue(self.remote.now())))
    }

    /// The time, as this process sees it.
    pub(crate) fn now(&self) -> Timestamp {
        self.remote.now()
    }

    /// When the newest base was made; none before the first.
    pub(crate) fn base_made(&self) -> Option<Timestamp> {
        self.out.source.at().filter(|at| at.base_bytes > 0).map(|at| at.base_made)
    }

    /// Makes a base of the state of now.
    ///
    /// # Errors
    ///
    /// As [`step`](Self::step).
    pub(crate) async fn base(&mut self) -> Result<ShipOutcome> {
        let (remote, out) = (&self.remote, &mut self.out);
        if out.tries.reads_first() {
            let rows = base::read_through(out.source.store().dump()?);
            if ship_beside(remote, out, rows).await?.is_none() {
                return Ok(ShipOutcome::Fenced);
            }
        }
        let dump = out.source.store().dump()?;
        // Its state is that of the position then: the numbers between have no commits.
        if out.ship_up_to(remote, dump.sequence()).await? == ShipOutcome::Fenced {
            return Ok(ShipOutcome::Fenced);
        }
        let at = out.source.position().ok_or_else(in_no_replica)?;
        if at.states != ObjectHash(dump.states().digest()) {
            // A gap was bridged meanwhile, with a base.
            return Ok(ShipOutcome::Done);
        }
        let mut base = out.begin_base(remote, dump, at).await?;
        let made = loop {
            match ship_beside(remote, out, base.step(remote)).await {
                Ok(Some(None)) => {}
                Ok(Some(Some(made))) => break made,
                Ok(None) => return Ok(ShipOutcome::Fenced),
                Err(error) => {
                    out.tries.given_up = Some(base.name());
                    return given_up(ship_beside(remote, out, base.give_up(remote)).await, error);
                }
            }
        };
        out.source.note_base(made.at, made.bytes)?;
        out.tries.succeeded();
        Ok(ShipOutcome::Done)
    }

    /// Whether another process has sealed the term: an idle writer would not learn it otherwise.
    ///
    /// # Errors
    ///
    /// The errors of the bucket.
    pub(crate) async fn is_overtaken(&self) -> Result<bool> {
        let Some(at) = self.out.source.position().filter(|_| !self.out.writer.is_pending()) else { return Ok(false) };
        Ok(self.remote.get(ObjectName::Log(at.slot)).await?.is_some())
    }

    /// The collector of old objects, for this term.
    pub(crate) fn collector(&self, retention: Retention) -> Collector {
        Collector::new(self.out.writer.term(), retention)
    }

    /// Takes a step of the collection of old objects, and ships meanwhile. `waited` is the time for which this process
    /// has shipped. None if it is fenced.
    ///
    /// # Errors
    ///
    /// The errors of the replica. Then the next step goes on.
    pub(crate) async fn collect(&mut self, collector: &mut Collector, waited: Duration) -> Result<Option<CollectStep>> {
        ship_beside(&self.remote, &mut self.out, collector.step(&self.remote, waited)).await
    }

    /// Looks whether objects that were old enough long ago are still there. None if this process is fenced.
    ///
    /// # Errors
    ///
    /// The errors of the replica.
    pub(crate) async fn note_overdue(&mut self, collector: &mut Collector) -> Result<Option<()>> {
        ship_beside(&self.remote, &mut self.out, collector.note_overdue(&self.remote)).await
    }

    /// The time until the lease is to be renewed.
    pub(crate) fn until_renewal(&self) -> Duration {
        self.out.until_renewal(&self.remote)
    }

    /// Whether there is time for some requests before the lease is to be renewed.
    pub(crate) fn has_time(&self) -> bool {
        self.out.has_time(&self.remote)
    }

    /// Removes what processes that were killed have left in the bucket half-written. None if this one is fenced.
    ///
    /// # Errors
    ///
    /// The errors of the bucket.
    pub(crate) async fn tidy(&mut self) -> Result<Option<()>> {
        let left_since = before(self.remote.now(), LEFT_BEHIND);
        ship_beside(&self.remote, &mut self.out, self.remote.bucket().remove_left(left_since)).await
    }

    /// The last object of the log, which this process has written.
    pub(crate) fn last_object(&self) -> Option<ObjectName> {
        self.out.last().map(|(name, _)| name)
    }

    /// Reads the last object back.
    ///
    /// # Errors
    ///
    /// `Damaged` when the bucket does not give what it was given; the errors of the bucket.
    pub(crate) async fn read_back(&self) -> Result<()> {
        let Some((name, hash)) = self.out.last() else { return Ok(()) };
        match self.remote.get(name).await? {
            Some(found) if found.hash == hash => Ok(()),
            Some(_) => Err(Error::damaged(format!("the bucket has another object than was written: object={name}"))),
            None => Err(Error::damaged(format!("the bucket lost an object: object={name}"))),
        }
    }

    /// The error of a process that another one has overtaken.
    pub(crate) async fn fenced(&self) -> Error {
        self.out.refuse_writes();
        Overtaken::behind(&self.remote, self.term()).await.fenced(self.term())
    }

    /// Ships the rest, and ends the term cleanly, so that nobody waits for this process.
    ///
    /// # Errors
    ///
    /// As [`step`](Self::step); `Conflict` when another process writes the history now.
    pub(crate) async fn release(mut self) -> Result<()> {
        // The seal says that nothing is committed behind it.
        self.out.end_lease();
        if self.out.ship_all(&self.remote).await? == ShipOutcome::Fenced {
            return Err(self.fenced().await);
        }
        let out = &mut self.out;
        out.writer.prepare_release(&self.remote, &out.source)?;
        match out.writer.ship(&self.remote, &mut out.source).await? {
            // Otherwise the next process would read again what it has.
            Shipped::Acknowledged(_) => out.source.store().write_shipped(),
            Shipped::Fenced => Err(self.fenced().await),
        }
    }
}

/// Does something that may take long, and ships commits and renews the lease meanwhile. None if another process writes
/// now.
async fn ship_beside<R>(
    remote: &OpenReplica,
    out: &mut Outgoing,
    work: impl Future<Output = Result<R>>,
) -> Result<Option<R>> {
    let pause = |out: &Outgoing| BESIDE.min(out.until_renewal(remote));
    let wakes = out.awaited.clone();
    beside(out, work, wakes, pause, async |out| out.ship_all(remote).await).await
}

/// The bytes that a reader of the log behind the newest base may need before the next base is made.
fn log_before_a_base(at: &ShippedTo) -> u64 {
    LOG_BYTES.max(at.base_bytes / 10)
}

/// Whether it is time for a new base.
pub(super) fn is_base_due(at: &ShippedTo, now: Timestamp) -> bool {
    let is_old = at.base_made < before(now, BASE_AGE);
    // Without any base, nothing could be restored.
    at.base_bytes == 0 || at.log_bytes > 0 && is_old || at.log_bytes > log_before_a_base(at)
}

/// Says so if retention has passed the moment of a restored file, whose first base is only to be made.
async fn warn_without_base(remote: &OpenReplica, source: &Source, newest: Term) -> Result<()> {
    let sequence = source.position().map_or(0, |at| at.sequence);
    if !has_base_for(remote, newest, sequence).await? {
        tracing::warn!(
            sequence,
            "the replica has no base of the restored moment or before; if this machine is lost before the first base is \
             whole, nothing can be restored"
        );
    }
    Ok(())
}

async fn apart(remote: &OpenReplica, source: &Source) -> Error {
    let common = source.position().map_or(0, |at| at.sequence);
    let overtaken = Overtaken::by_the_newest(remote).await;
    match chain::newest_open(remote).await {
        Ok(Some(newest)) if has_moved_away(remote, source, newest.term).await.unwrap_or(false) => {
            overtaken.moved(common)
        }
        _ => overtaken.apart(common),
    }
}
