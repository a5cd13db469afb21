//! Ships a store: its commits go into the log of a term, in order, and its state into a base from time to time.

use std::time::Duration;

use jiff::Timestamp;

use super::base;
use super::objects::layout::ObjectHash;
use super::objects::name::{ObjectName, ReplicaSlot};
use super::opened::OpenReplica;
use super::overtaken::Overtaken;
use super::source::{ShippedTo, Source, Tail};
use super::terms::chain;
use super::terms::collect::{CollectStep, Collector, Retention};
use super::terms::open::{BegunFrom, OpenedAs, is_on_chain, open_term};
use super::terms::remote::{Local, Remote, ReplicaPosition};
use super::terms::walk::{Walked, walk};
use super::terms::write::{Shipped, TermWriter};
use crate::clock::before;
use crate::engine::commit::Outcome;
use crate::error::{Error, ErrorKind, Result};

/// A new base is made once a reader of the log behind the newest one needs so many bytes, and a tenth of those of the
/// base,
const LOG_BYTES: u64 = 64 << 20;
/// where each object counts as so many more, since a request takes the time of about as many. So a quiet day, with
/// a small object each second, is no longer to read than a busy one.
pub(super) const REQUEST_BYTES: u64 = 8 << 10;
/// or once the base is so old.
const BASE_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// A store that is shipped in a term of its own.
pub(crate) struct Shipper {
    remote: OpenReplica,
    source: Source,
    writer: TermWriter,
    /// The last object that was shipped, to be read back.
    last: Option<(ObjectName, ObjectHash)>,
    /// The object before which the position was written down last.
    written: Option<ObjectHash>,
}

/// The end of one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ShipOutcome {
    /// The replica has everything.
    Done,
    /// Another process writes the history now.
    Fenced,
}

impl Shipper {
    /// Opens a term for a store.
    ///
    /// # Errors
    ///
    /// `Conflict` when the replica has commits that the store does not have; the errors of the replica and of the
    /// store.
    pub(crate) async fn open(remote: OpenReplica, mut source: Source) -> Result<Self> {
        if let Some((term, key)) = source.key()? {
            remote.know(term, key);
        }
        let restored = source.at().is_some_and(|at| at.restored);
        if !restored {
            source.settle_pending(&remote).await?;
        }
        let from = if restored { BegunFrom::Restore } else { BegunFrom::Log };
        let goes_on = match restored {
            true => is_where_it_was(&remote, &source).await?,
            false => is_on_the_way(&remote, &mut source).await?,
        };
        if !goes_on {
            return Err(apart(&remote, &source).await);
        }
        match open_term(&remote, &mut source, from).await? {
            OpenedAs::Writer(term) => {
                source.note_opened(remote.description(), remote.own_key())?;
                Ok(Self { remote, source, writer: TermWriter::new(term), last: None, written: None })
            }
            OpenedAs::Overtaken => {
                Err(Error::new(ErrorKind::Io, "another process is taking the replica over just now; it is tried again"))
            }
            OpenedAs::Apart => Err(apart(&remote, &source).await),
        }
    }

    /// The number of the term.
    pub(crate) fn term(&self) -> u64 {
        self.writer.term().0.into()
    }

    /// How far the replica is.
    pub(crate) fn position(&self) -> Option<ReplicaPosition> {
        self.source.position()
    }

    /// Ships everything that the store has, and makes a base if it is time for one. After an
    /// error it may only be called again.
    ///
    /// # Errors
    ///
    /// The errors of the replica and of the store.
    pub(crate) async fn step(&mut self) -> Result<ShipOutcome> {
        if self.ship_all().await? == ShipOutcome::Fenced {
            return Ok(ShipOutcome::Fenced);
        }
        let now = self.remote.now();
        match self.source.at().is_some_and(|at| is_base_due(at, now)) {
            true => self.base().await,
            false => Ok(ShipOutcome::Done),
        }
    }

    /// Ships the commits that the store has now. Those that it gets meanwhile are for the next
    /// step, or there would be no end.
    async fn ship_all(&mut self) -> Result<ShipOutcome> {
        let newest = self.source.store().feed_status()?.map_or(0, |status| status.sequence);
        self.ship_up_to(newest).await
    }

    /// Ships commits, at most up to that one.
    async fn ship_up_to(&mut self, last: u64) -> Result<ShipOutcome> {
        loop {
            // L2: nothing else is ever sent to the slot of an object whose fate is not known.
            if self.writer.is_pending() && self.send().await? == ShipOutcome::Fenced {
                return Ok(ShipOutcome::Fenced);
            }
            match self.source.read(last)? {
                Tail::End => {
                    self.source.note_replicated(last);
                    return Ok(ShipOutcome::Done);
                }
                Tail::Gap => {
                    if self.bridge().await? == ShipOutcome::Fenced {
                        return Ok(ShipOutcome::Fenced);
                    }
                }
                Tail::Commits(commits, states) => {
                    let now = self.remote.now();
                    self.writer.prepare(&self.remote, &self.source, &commits, states, now)?;
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
        match store.write_shipped() {
            // A commit on a full disk needs the replica the most.
            Err(error) if matches!(error.kind(), ErrorKind::Full | ErrorKind::NotCommitted) => {
                tracing::warn!(%error, "how far the replica is could not be written down");
                store.alone(|_| Ok(Outcome::Abort(())))?;
            }
            written => written?,
        }
        self.written = sent;
        Ok(())
    }

    async fn send(&mut self) -> Result<ShipOutcome> {
        self.write_down()?;
        let bytes = self.writer.pending_bytes();
        match self.writer.ship(&self.remote, &mut self.source).await? {
            Shipped::Acknowledged => {
                self.source.note_bytes(bytes + REQUEST_BYTES);
                self.source.note_replicated(self.source.position().map_or(0, |at| at.sequence));
                self.last = self.source.position().and_then(|at| {
                    let index = at.slot.index.checked_sub(1)?;
                    Some((ObjectName::Log(ReplicaSlot { index, ..at.slot }), at.previous))
                });
                Ok(ShipOutcome::Done)
            }
            Shipped::Fenced => Ok(ShipOutcome::Fenced),
        }
    }

    /// Commits that the store does not keep are bridged by a base, behind which the log goes on (L7).
    async fn bridge(&mut self) -> Result<ShipOutcome> {
        let dump = self.source.store().dump()?;
        let at = self.source.position().ok_or_else(in_no_replica)?;
        let (sequence, states) = (dump.sequence(), dump.states().clone());
        let digest = ObjectHash(states.digest());
        let state = ReplicaPosition { sequence, states: digest, ..at };
        let made = base::make(&self.remote, dump, &state).await?;
        self.writer.prepare_gap(&self.remote, &self.source, made.name, sequence, digest)?;
        self.source.expect(sequence, states);
        self.source.note_pending(self.writer.pending())?;
        // A later process finds no commits to compare.
        self.source.store().write_shipped()?;
        let step = self.send().await?;
        if step == ShipOutcome::Done {
            self.source.note_base(made.at, made.bytes)?;
            self.source.store().write_shipped()?;
        }
        Ok(step)
    }

    /// Makes a base of the state of now.
    ///
    /// # Errors
    ///
    /// As [`step`](Self::step).
    pub(crate) async fn base(&mut self) -> Result<ShipOutcome> {
        let dump = self.source.store().dump()?;
        // Its state is that of the position then: the numbers between have no commits.
        if self.ship_up_to(dump.sequence()).await? == ShipOutcome::Fenced {
            return Ok(ShipOutcome::Fenced);
        }
        let at = self.source.position().ok_or_else(in_no_replica)?;
        if at.states != ObjectHash(dump.states().digest()) {
            // A gap was bridged meanwhile, with a base.
            return Ok(ShipOutcome::Done);
        }
        let mut base = base::UnfinishedBase::begin(&self.remote, dump, at).await?;
        loop {
            if let Some(made) = base.step(&self.remote).await? {
                self.source.note_base(made.at, made.bytes)?;
                return Ok(ShipOutcome::Done);
            }
            // The base may take long, and commits go on.
            if self.ship_all().await? == ShipOutcome::Fenced {
                return Ok(ShipOutcome::Fenced);
            }
        }
    }

    /// Whether another process has sealed the term: an idle writer would not learn it otherwise.
    ///
    /// # Errors
    ///
    /// The errors of the bucket.
    pub(crate) async fn is_overtaken(&self) -> Result<bool> {
        let Some(at) = self.source.position().filter(|_| !self.writer.is_pending()) else { return Ok(false) };
        Ok(self.remote.get(ObjectName::Log(at.slot)).await?.is_some())
    }

    /// The collector of old objects, for this term.
    pub(crate) fn collector(&self, retention: Retention) -> Collector {
        Collector::new(self.writer.term(), retention)
    }

    /// Takes a step of the collection of old objects. `waited` is the time for which this process has shipped.
    ///
    /// # Errors
    ///
    /// The errors of the replica. Then the next step goes on.
    pub(crate) async fn collect(&self, collector: &mut Collector, waited: Duration) -> Result<CollectStep> {
        collector.step(&self.remote, waited).await
    }

    /// Reads the last object back. Says whether there is one.
    ///
    /// # Errors
    ///
    /// `Damaged` when the bucket does not give what it was given; the errors of the bucket.
    pub(crate) async fn read_back(&self) -> Result<bool> {
        let Some((name, hash)) = self.last else { return Ok(false) };
        match self.remote.get(name).await? {
            Some(found) if found.hash == hash => Ok(true),
            Some(_) => Err(Error::damaged(format!("the bucket has another object than was written: object={name}"))),
            None => Err(Error::damaged(format!("the bucket lost an object: object={name}"))),
        }
    }

    /// The error of a process that another one has overtaken.
    pub(crate) async fn fenced(&self) -> Error {
        Overtaken::by_the_newest(&self.remote).await.fenced(self.term())
    }

    /// Ships the rest, and ends the term cleanly, so that nobody waits for this process.
    ///
    /// # Errors
    ///
    /// As [`step`](Self::step); `Conflict` when another process writes the history now.
    pub(crate) async fn release(mut self) -> Result<()> {
        if self.ship_all().await? == ShipOutcome::Fenced {
            return Err(self.fenced().await);
        }
        self.writer.prepare_release(&self.remote, &self.source)?;
        let shipped = self.writer.ship(&self.remote, &mut self.source).await?;
        match shipped {
            // Otherwise the next process would read again what it has.
            Shipped::Acknowledged => self.source.store().write_shipped(),
            Shipped::Fenced => Err(self.fenced().await),
        }
    }
}

/// Whether it is time for a new base.
pub(super) fn is_base_due(at: &ShippedTo, now: Timestamp) -> bool {
    let is_old = at.base_made < before(now, BASE_AGE);
    // Without any base, nothing could be restored.
    at.base_bytes == 0 || at.log_bytes > 0 && is_old || at.log_bytes > LOG_BYTES.max(at.base_bytes / 10)
}

/// Whether a store has all that the replica has now. An older copy that is started by mistake learns it here, before
/// its claim stops the process that writes.
async fn is_on_the_way(remote: &OpenReplica, source: &mut Source) -> Result<bool> {
    let Some(newest) = chain::newest_open(remote).await? else { return Ok(true) };
    let Some(at) = source.position() else { return Ok(false) };
    let path = chain::path(remote, newest.term, at.slot.term).await?;
    Ok(walk(remote, source, &path, None, None).await? != Walked::Lost)
}

/// Whether the history of a replica still has the state that was restored, or taken back. If it does not, a claim
/// would stop the process that writes, and bring nobody into its place.
async fn is_where_it_was(remote: &OpenReplica, source: &Source) -> Result<bool> {
    match chain::newest_open(remote).await? {
        Some(newest) => is_on_chain(remote, source, newest.term).await,
        None => Ok(true),
    }
}

fn in_no_replica() -> Error {
    Error::conflict("the store is in no replica yet")
}

async fn apart(remote: &OpenReplica, source: &Source) -> Error {
    let common = source.position().map_or(0, |at| at.sequence);
    Overtaken::by_the_newest(remote).await.apart(common)
}
