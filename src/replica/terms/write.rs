//! Writes the log of a term: one object at a time, in order.

use std::time::Duration;

use jiff::Timestamp;

use super::remote::{Local, Remote, ReplicaPosition};
use super::settle::{Settled, settle};
use super::walk::no_position;
use crate::error::{Error, ErrorKind, Result};
use crate::replica::objects::commits::{self, ShippedCommit};
use crate::replica::objects::kinds::{LogBatch, LogGap, LogSeal};
use crate::replica::objects::layout::ObjectHash;
use crate::replica::objects::name::{BaseName, ObjectName, Term};
use crate::replica::objects::object::{Object, StoredObject};

/// The writer of a term.
#[derive(Debug)]
pub(crate) struct TermWriter {
    term: Term,
    /// The object whose fate is not known, and the position behind it. Nothing else may be written in its place.
    pending: Option<Pending>,
    state: WriterState,
}

#[derive(Debug)]
struct Pending {
    object: StoredObject,
    behind: ReplicaPosition,
    /// The beginning of the first try to write it, by the clock that goes on while the machine sleeps: from then on
    /// others may have seen it.
    begun: Option<Duration>,
}

impl Pending {
    fn new(object: StoredObject, behind: ReplicaPosition) -> Self {
        Self { object, behind, begun: None }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WriterState {
    Writing,
    /// Another process sealed the term, or this one ended it.
    Over,
}

/// The fate of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a fenced process must stop committing"]
pub(crate) enum Shipped {
    /// The replica has it, and the position is behind it. The lease counts from that time.
    Acknowledged(Duration),
    /// Another process writes now. Every thread of this one stops committing at once.
    Fenced,
}

impl TermWriter {
    /// The writer of a term that this process has opened.
    pub(crate) fn new(term: Term) -> Self {
        Self { term, pending: None, state: WriterState::Writing }
    }

    /// The term that it writes.
    pub(crate) fn term(&self) -> Term {
        self.term
    }

    /// Fixes the bytes of the next batch: commits that follow the position, and the digest of the state after them. A
    /// batch without commits tells the time.
    ///
    /// # Errors
    ///
    /// `Conflict` while another object is pending; `Invalid` for too many bytes.
    pub(crate) fn prepare(
        &mut self,
        remote: &impl Remote,
        local: &impl Local,
        commits: &[ShippedCommit],
        states: ObjectHash,
        time: Timestamp,
    ) -> Result<()> {
        let at = self.position(local)?;
        let body = commits::encode(commits)?;
        let last = commits.last().map_or(at.sequence, |commit| commit.sequence);
        // L5: a reader trusts that nothing is left out between two batches, and that times ascend.
        let batch = LogBatch {
            store: remote.store(),
            slot: at.slot,
            nonce: remote.nonce(),
            previous: at.previous,
            time: crate::clock::as_stored(time).max(at.time),
            after: at.sequence,
            last,
            commits: commits.len() as u64,
            states,
            bytes: body.len() as u64,
        };
        let time = batch.time;
        let object = remote.prepare(ObjectName::Log(at.slot), Object::Batch(batch), &body)?;
        let behind = ReplicaPosition { slot: at.slot.next()?, previous: object.hash, sequence: last, states, time };
        self.pending = Some(Pending::new(object, behind));
        Ok(())
    }

    /// Fixes the bytes of an object that stands for commits which are nowhere in the replica: the log goes on behind a
    /// base whose name is the slot of this object.
    ///
    /// # Errors
    ///
    /// `Conflict` while another object is pending.
    pub(crate) fn prepare_gap(
        &mut self,
        remote: &impl Remote,
        local: &impl Local,
        base: BaseName,
        last: u64,
        states: ObjectHash,
    ) -> Result<()> {
        let at = self.position(local)?;
        // L7: a gap leads forward. A store that shows an older moment for a while ships nothing meanwhile.
        if last <= at.sequence {
            let ends = format!("store={last} replica={}", at.sequence);
            return Err(Error::new(ErrorKind::Io, format!("the store is behind its replica for now: {ends}")));
        }
        let gap = LogGap {
            store: remote.store(),
            slot: at.slot,
            nonce: remote.nonce(),
            previous: at.previous,
            time: crate::clock::as_stored(remote.now()).max(at.time),
            after: at.sequence,
            last,
            states,
            base,
        };
        let time = gap.time;
        let object = remote.prepare(ObjectName::Log(at.slot), Object::Gap(gap), b"")?;
        let behind = ReplicaPosition { slot: at.slot.next()?, previous: object.hash, sequence: last, states, time };
        self.pending = Some(Pending::new(object, behind));
        Ok(())
    }

    /// Fixes the bytes of the seal with which this process ends its term, so that no other waits for it.
    ///
    /// # Errors
    ///
    /// `Conflict` while another object is pending.
    pub(crate) fn prepare_release(&mut self, remote: &impl Remote, local: &impl Local) -> Result<()> {
        let at = self.position(local)?;
        let time = crate::clock::as_stored(remote.now());
        let seal = LogSeal { store: remote.store(), slot: at.slot, nonce: remote.nonce(), time, by: self.term };
        let object = remote.prepare(ObjectName::Log(at.slot), Object::Seal(seal), b"")?;
        self.pending = Some(Pending::new(object, at));
        Ok(())
    }

    /// Drops the pending object if no try to write it has begun. L2: nobody else has seen it.
    pub(crate) fn take_back(&mut self) {
        self.pending.take_if(|pending| pending.begun.is_none());
    }

    /// The object that waits for its fate, and the position behind it.
    pub(crate) fn pending(&self) -> Option<(ObjectHash, ReplicaPosition)> {
        self.pending.as_ref().map(|pending| (pending.object.hash, pending.behind))
    }

    /// The bytes of the object that waits for its fate.
    pub(crate) fn pending_bytes(&self) -> u64 {
        self.pending.as_ref().map_or(0, |pending| pending.object.bytes.len() as u64)
    }

    /// Whether an object waits for its fate.
    pub(crate) fn is_pending(&self) -> bool {
        self.pending.is_some()
    }

    /// Writes the pending object. After an error it is still pending: the caller may only call this again.
    ///
    /// # Errors
    ///
    /// The errors of the replica and of the state.
    pub(crate) async fn ship(&mut self, remote: &impl Remote, local: &mut impl Local) -> Result<Shipped> {
        let now = remote.boot_time();
        let Some(pending) = &mut self.pending else { return Ok(Shipped::Acknowledged(now)) };
        // L2: each try sends the prepared bytes. Behind a try that arrived, others would be those of another process.
        let begun = *pending.begun.get_or_insert(now);
        let settled = settle(remote, &pending.object).await?;
        let is_seal = matches!(pending.object.object, Object::Seal(_));
        let behind = pending.behind;
        let begun = if broken!(LeasesBeginLate) { remote.boot_time() } else { begun };
        match settled {
            Settled::Own => {
                if !is_seal {
                    local.set_position(behind)?;
                }
                self.pending = None;
                self.state = if is_seal { WriterState::Over } else { WriterState::Writing };
                Ok(Shipped::Acknowledged(begun))
            }
            Settled::Other(_) => {
                // L3: only a seal of a later term takes this name. A commit from now on would be in this file alone.
                self.state = WriterState::Over;
                // The whole tail, not only the batch in flight. A state that cannot take it
                // back is put away by its owner.
                let kept = local.keep_aside();
                if let Err(error) = kept {
                    tracing::warn!(%error, "the commits that are in this file alone could not be looked at");
                }
                self.pending = None;
                Ok(Shipped::Fenced)
            }
        }
    }

    /// The position at which this writer writes.
    fn position(&self, local: &impl Local) -> Result<ReplicaPosition> {
        if self.pending.is_some() || self.state == WriterState::Over {
            return Err(Error::conflict(format!("the term is over, or waits for its last object: term={}", self.term)));
        }
        let at = local.position().ok_or_else(no_position)?;
        if at.slot.term != self.term {
            let (term, other) = (self.term, at.slot.term);
            return Err(Error::conflict(format!("the state is in another term: term={term} other={other}")));
        }
        Ok(at)
    }
}
