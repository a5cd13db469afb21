//! The commits of a store on their way into the log of its term.

use std::time::Duration;

use super::base;
use super::objects::layout::ObjectHash;
use super::objects::name::{ObjectName, ReplicaSlot};
use super::opened::OpenReplica;
use super::source::{Source, Tail};
use super::terms::lease::Lease;
use super::terms::remote::{Local, Remote, ReplicaPosition};
use super::terms::write::{Shipped, TermWriter};
use crate::engine::commit::Outcome;
use crate::error::{Error, ErrorKind, Result};

/// An object counts as so many bytes more for a reader of the log, since a request takes the time of about as many. So
/// a quiet day, with a small object each second, is no longer to read than a busy one.
pub(super) const REQUEST_BYTES: u64 = 8 << 10;

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
    pub(super) writer: TermWriter,
    /// The last object that was shipped, to be read back.
    pub(super) last: Option<(ObjectName, ObjectHash)>,
    /// The object before which the position was written down last.
    written: Option<ObjectHash>,
    /// The lease, and when the request began that renewed it last.
    lease: Option<(Lease, Duration)>,
}

impl Outgoing {
    pub(super) fn new(source: Source, writer: TermWriter, lease: Option<Lease>) -> Self {
        let lease = lease.map(|lease| (lease, Duration::ZERO));
        Self { source, writer, last: None, written: None, lease }
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

    /// Writes a batch without commits if the lease is to be renewed.
    async fn renew(&mut self, remote: &OpenReplica) -> Result<ShipOutcome> {
        let is_due = self.lease.is_some_and(|(lease, from)| remote.boot_time() >= from + lease.renewal());
        let Some(at) = self.source.position().filter(|_| is_due) else { return Ok(ShipOutcome::Done) };
        self.writer.prepare(remote, &self.source, &[], at.states, remote.now())?;
        self.send(remote).await
    }

    /// Ships the commits that the store has now. Those that it gets meanwhile are for the next
    /// step, or there would be no end.
    pub(super) async fn ship_all(&mut self, remote: &OpenReplica) -> Result<ShipOutcome> {
        let newest = self.source.store().feed_status()?.map_or(0, |status| status.sequence);
        if self.ship_up_to(remote, newest).await? == ShipOutcome::Fenced {
            return Ok(ShipOutcome::Fenced);
        }
        self.renew(remote).await
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
                    if self.bridge(remote).await? == ShipOutcome::Fenced {
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

    async fn send(&mut self, remote: &OpenReplica) -> Result<ShipOutcome> {
        self.write_down()?;
        let bytes = self.writer.pending_bytes();
        match self.writer.ship(remote, &mut self.source).await? {
            Shipped::Acknowledged(begun) => {
                self.renew_from(begun);
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
    async fn bridge(&mut self, remote: &OpenReplica) -> Result<ShipOutcome> {
        let dump = self.source.store().dump()?;
        let at = self.source.position().ok_or_else(in_no_replica)?;
        let (sequence, states) = (dump.sequence(), dump.states().clone());
        let digest = ObjectHash(states.digest());
        let state = ReplicaPosition { sequence, states: digest, ..at };
        let made = base::make(remote, dump, &state).await?;
        self.writer.prepare_gap(remote, &self.source, made.name, sequence, digest)?;
        self.source.expect(sequence, states);
        self.source.note_pending(self.writer.pending())?;
        // A later process finds no commits to compare.
        self.source.store().write_shipped()?;
        let step = self.send(remote).await?;
        if step == ShipOutcome::Done {
            self.source.note_base(made.at, made.bytes)?;
            self.source.store().write_shipped()?;
        }
        Ok(step)
    }
}

pub(super) fn in_no_replica() -> Error {
    Error::conflict("the store is in no replica yet")
}
