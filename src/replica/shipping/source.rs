//! The store as the source of a replica: how far it was shipped, and the commits behind that.

use std::cell::RefCell;

use jiff::Timestamp;

use crate::engine::feed::{Fed, States};
use crate::engine::store::Store;
use crate::error::{Error, ErrorKind, Result};
use crate::replica::connection::cipher::TermKey;
use crate::replica::objects::commits::ShippedCommit;
use crate::replica::objects::kinds::LogOpen;
use crate::replica::objects::layout::{ObjectHash, StoreId};
use crate::replica::objects::name::Term;
use crate::replica::reading::shipped::{PendingObject, ShippedTo, collections_of};
use crate::replica::terms::lease::Lease;
use crate::replica::terms::remote::{Fit, Local, Remote, ReplicaPosition};

/// So many bytes of commits are read at a time.
const READ_BYTES: usize = 8 << 20;
/// The most openings whose answers were lost.
const OPENINGS_MAX: usize = 64;

/// A store that is shipped.
pub(crate) struct Source {
    store: Store,
    /// The number of its feed.
    feed: u64,
    /// None until it was in the replica.
    at: Option<ShippedTo>,
    id: StoreId,
    /// The state at a commit to which the position is about to move.
    next: RefCell<Option<(u64, States)>>,
}

impl Source {
    /// The store, with the position that its feed keeps.
    ///
    /// # Errors
    ///
    /// `Conflict` when it is the source of another replica, or has no feed; `Damaged`; as a view.
    pub(crate) fn open(store: Store, id: StoreId, description: ObjectHash) -> Result<Self> {
        let none = || Error::conflict("the store is in no replica yet; initialize one");
        let status = store.feed_status()?.ok_or_else(none)?;
        let at = match &status.position[..] {
            [] => None,
            bytes => Some(ShippedTo::of_bytes(bytes)?),
        };
        if let Some(at) = at.as_ref().filter(|at| at.store != id) {
            let other = at.store;
            return Err(Error::conflict(format!(
                "the store belongs to another replica than the one there: store={other} replica={id}"
            )));
        }
        // Another one could switch encryption off.
        if at.as_ref().and_then(|at| at.description).is_some_and(|known| known != description) {
            return Err(Error::conflict("the description of the replica is not the one that was written with it"));
        }
        Ok(Self { store, feed: status.id, at, id, next: RefCell::default() })
    }

    /// The store.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// How far it was shipped.
    pub(crate) fn at(&self) -> Option<&ShippedTo> {
        self.at.as_ref()
    }

    /// The next commits behind the position, at most up to `last`, with the digest of the state after them; none at the
    /// end of the store. `Gap`: they are not kept.
    ///
    /// # Errors
    ///
    /// As a view; `Conflict` without a position.
    pub(crate) fn read(&mut self, last: u64) -> Result<Tail> {
        let at = self.at.as_ref().ok_or_else(no_position)?;
        let commits = match self.store.feed_after(at.sequence, READ_BYTES)? {
            Fed::Gap => return Ok(Tail::Gap),
            Fed::Commits(commits) => commits,
        };
        let mut states = at.states();
        let mut shipped = Vec::with_capacity(commits.len());
        for commit in commits.into_iter().take_while(|commit| commit.sequence <= last) {
            states.apply(&commit.rows)?;
            shipped.push(ShippedCommit { sequence: commit.sequence, rows: commit.rows });
        }
        let Some(newest) = shipped.last().map(|commit| commit.sequence) else { return Ok(Tail::End) };
        let digest = ObjectHash(states.digest());
        self.next.replace(Some((newest, states)));
        Ok(Tail::Commits(shipped, digest))
    }

    /// The position is about to jump to a state that a base has.
    pub(crate) fn expect(&self, sequence: u64, states: States) {
        self.next.replace(Some((sequence, states)));
    }

    /// Notes that a term was opened, with the key with which it is written: the next one goes on where this one ends.
    /// It is on the disk before the first batch of the term is written, but for a full disk, where a term without a key
    /// and without a lease needs no note of its own.
    ///
    /// # Errors
    ///
    /// As a write.
    pub(crate) fn note_opened(
        &mut self,
        description: ObjectHash,
        key: Option<(Term, TermKey)>,
        lease: Option<Lease>,
    ) -> Result<()> {
        let needs_note = key.is_some() || lease.is_some() || self.at.as_ref().is_some_and(|at| at.restored);
        self.note(|at| {
            at.lease_ms = lease.map(Lease::millis);
            at.restored = false;
            at.description = Some(description);
            at.key = key.map(|(term, key)| (term, key.to_hex()));
        })?;
        if needs_note { self.store.write_shipped() } else { self.write_place().map(drop) }
    }

    /// Notes the object that is about to be sent to the slot (L2), so that a later process knows it by its check.
    ///
    /// # Errors
    ///
    /// As [`ShippedTo::to_bytes`].
    pub(crate) fn note_pending(&mut self, pending: Option<(ObjectHash, ReplicaPosition)>) -> Result<()> {
        let Some((hash, behind)) = pending else { return Ok(()) };
        let next = self.next.borrow().as_ref().filter(|(sequence, _)| *sequence == behind.sequence).cloned();
        let Some((sequence, states)) = next else { return Ok(()) };
        let pending = PendingObject { hash, sequence, time: behind.time, collections: collections_of(&states) };
        self.note(|at| at.pending = Some(pending))
    }

    /// Moves over the object that an earlier process of this store has sent, if it is there.
    ///
    /// # Errors
    ///
    /// The errors of the replica and of the store.
    pub(crate) async fn settle_pending(&mut self, remote: &impl Remote) -> Result<()> {
        let Some(at) = self.at.as_ref().filter(|at| at.pending.is_some()) else { return Ok(()) };
        let newest = self.store.feed_status()?.map_or(0, |status| status.sequence);
        match at.behind_pending(remote).await?.filter(|(position, _)| position.sequence <= newest) {
            Some((position, states)) => {
                self.expect(position.sequence, states);
                self.set_position(position)
            }
            None => Ok(()),
        }
    }

    /// The key of the newest term of this store.
    ///
    /// # Errors
    ///
    /// `Damaged`.
    pub(crate) fn key(&self) -> Result<Option<(Term, TermKey)>> {
        let kept = self.at.as_ref().and_then(|at| at.key.as_ref());
        kept.map(|(term, key)| Ok((*term, TermKey::of_hex(key)?))).transpose()
    }

    fn note(&mut self, change: impl FnOnce(&mut ShippedTo)) -> Result<()> {
        if let Some(at) = &mut self.at {
            change(at);
            self.store.note_shipped(self.feed, at.sequence, at.to_bytes()?);
        }
        Ok(())
    }

    /// Everything up to a commit is in the replica, so the writes that wait for it are answered.
    pub(crate) fn note_replicated(&self, sequence: u64) {
        self.store.note_replicated(self.feed, sequence);
    }

    /// Notes a base that was made at the position, with so many bytes, and writes it down: a store without commits may
    /// ship signs of a lease alone, and its own place must not be older than what is collected.
    ///
    /// # Errors
    ///
    /// As a write.
    pub(crate) fn note_base(&mut self, made: Timestamp, bytes: u64) -> Result<()> {
        self.note(|at| (at.base_made, at.base_bytes, at.log_bytes) = (made, bytes, 0))?;
        // The base is there all the same, and the next commit writes its place down.
        self.write_place().map(drop)
    }

    /// Writes down how far the replica is. False on a full disk, which keeps nothing from the replica, also after a
    /// commit that has failed for it.
    ///
    /// # Errors
    ///
    /// As a write, except that there is no room.
    pub(crate) fn write_place(&self) -> Result<bool> {
        match self.store.write_shipped() {
            Err(error) if matches!(error.kind(), ErrorKind::Full | ErrorKind::NotCommitted | ErrorKind::Reopen) => {
                tracing::warn!(%error, "cannot store the replica's position");
                Ok(false)
            }
            written => written.map(|()| true),
        }
    }

    /// Notes what a reader of the log behind the base needs more.
    pub(crate) fn note_bytes(&mut self, bytes: u64) {
        if let Some(at) = &mut self.at {
            at.log_bytes = at.log_bytes.saturating_add(bytes);
        }
    }
}

/// The commits behind the position of a source.
pub(crate) enum Tail {
    End,
    /// With the digest of the state after them.
    Commits(Vec<ShippedCommit>, ObjectHash),
    Gap,
}

fn no_position() -> Error {
    Error::conflict("the store is in no replica yet; initialize one")
}

impl Local for Source {
    fn position(&self) -> Option<ReplicaPosition> {
        self.at.as_ref().map(ShippedTo::position)
    }

    fn newest(&self) -> Result<(u64, ObjectHash)> {
        let dump = self.store.dump()?;
        let (sequence, states) = (dump.sequence(), dump.states().clone());
        let digest = ObjectHash(states.digest());
        self.next.replace(Some((sequence, states)));
        Ok((sequence, digest))
    }

    fn set_position(&mut self, to: ReplicaPosition) -> Result<()> {
        let known = self.next.take().filter(|(sequence, _)| *sequence == to.sequence).map(|(_, states)| states);
        let states = match (known, &self.at) {
            (Some(states), _) => states,
            (None, Some(at)) if at.sequence == to.sequence => at.states(),
            (None, _) => return Err(Error::damaged(format!("no state is known: sequence={}", to.sequence))),
        };
        if states.digest() != to.states.0 {
            return Err(Error::damaged(format!("the state at a commit is another one: sequence={}", to.sequence)));
        }
        let fresh = ShippedTo::at(self.id, &to, &states, false);
        let at = match self.at.take() {
            None => fresh,
            Some(at) => ShippedTo {
                restored: at.restored,
                description: at.description,
                key: at.key,
                lease_ms: at.lease_ms,
                base_made: at.base_made,
                base_bytes: at.base_bytes,
                log_bytes: at.log_bytes,
                ..fresh
            },
        };
        self.store.note_shipped(self.feed, at.sequence, at.to_bytes()?);
        self.at = Some(at);
        Ok(())
    }

    /// A store takes nothing back, so the commits must be the next ones of its own.
    fn apply(&mut self, commits: &[ShippedCommit], position: ReplicaPosition) -> Result<(Fit, ObjectHash)> {
        let at = self.at.clone().ok_or_else(no_position)?;
        let (mut states, mut sequence, mut rest) = (at.states(), at.sequence, commits);
        while let Some(first) = rest.first() {
            let Fed::Commits(own) = self.store.feed_after(sequence, READ_BYTES)? else {
                return Ok((Fit::Apart, position.states));
            };
            let same = own
                .iter()
                .zip(rest)
                .take_while(|(own, other)| own.sequence == other.sequence && own.rows == other.rows);
            let same = same.count();
            if same == 0 {
                tracing::warn!(sequence = first.sequence, "the replica has a commit that the store does not have");
                return Ok((Fit::Apart, position.states));
            }
            for commit in rest.iter().take(same) {
                states.apply(&commit.rows)?;
                sequence = commit.sequence;
            }
            rest = rest.get(same..).unwrap_or_default();
        }
        let digest = ObjectHash(states.digest());
        self.next.replace(Some((position.sequence, states)));
        self.set_position(ReplicaPosition { states: digest, ..position })?;
        Ok((Fit::Fits, digest))
    }

    /// On the disk, as the answer may be lost. Without a restore, the opening of a term gives nothing up, so any file
    /// of the history may go on behind it.
    fn note_opening(&mut self, open: &LogOpen) -> Result<()> {
        if !open.restore {
            return Ok(());
        }
        self.note(|at| {
            // Each of them may have been created although its answer was lost.
            at.openings.push((open.term, open.nonce));
            let beyond = at.openings.len().saturating_sub(OPENINGS_MAX);
            at.openings.drain(..beyond);
        })?;
        self.store.write_shipped()
    }

    fn has_noted(&self, open: &LogOpen) -> bool {
        self.at.as_ref().is_some_and(|at| at.openings.contains(&(open.term, open.nonce)))
    }

    /// The tail stays in the file, which is put away as a whole.
    fn keep_aside(&mut self) -> Result<Fit> {
        let at = self.at.as_ref().ok_or_else(no_position)?;
        match self.store.feed_after(at.sequence, 1)? {
            Fed::Commits(commits) if commits.is_empty() => Ok(Fit::Fits),
            _ if at.restored => Ok(Fit::Fits),
            _ => Ok(Fit::Apart),
        }
    }
}
