//! The commit behind which a file and its replica are two histories.
//!
//! The place that the file has written down is older than that: a process that was killed may have shipped more. So the
//! file walks along the log from there, as its process would, and goes as far as the commits are its own. All that a
//! later term gave up is no history any more (L4), whatever the file has written down.

use std::collections::VecDeque;

use crate::engine::feed::{Fed, FedCommit, States};
use crate::engine::store::Store;
use crate::error::{Error, Result};
use crate::replica::checks::status::commit_of;
use crate::replica::connection::opened::OpenReplica;
use crate::replica::objects::commits::ShippedCommit;
use crate::replica::objects::layout::ObjectHash;
use crate::replica::objects::name::{ObjectName, ReplicaSlot, Term};
use crate::replica::reading::bases::newest_opened;
use crate::replica::reading::prefetch::Prefetch;
use crate::replica::reading::shipped::ShippedTo;
use crate::replica::reading::shipped_here::refuse_older;
use crate::replica::restoring::restore::{LOG_AT_ONCE, no_base};
use crate::replica::terms::chain::{OpenedTerm, path};
use crate::replica::terms::remote::{Fit, Local, Remote, ReplicaPosition};
use crate::replica::terms::walk::{Walked, walk};

/// So many bytes of commits are read at a time.
const READ_BYTES: usize = 8 << 20;

/// The last commit that a file and its replica have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fork {
    pub(super) sequence: u64,
    /// The digest of the state there, unless the file has written down a later one.
    pub(super) states: Option<ObjectHash>,
    /// Whether a restore gave up on purpose what the replica had behind it.
    pub(super) given_up: bool,
    /// The newest term of the replica.
    pub(super) newest: Term,
}

/// Finds where a file went apart from its replica.
///
/// # Errors
///
/// `Conflict` when it did not, when it is the file of another replica, or when it does not keep the commits that would
/// tell; `NotFound` when the replica no longer has the log from its place on; the errors of the replica; `Damaged`.
pub(super) async fn find(remote: &OpenReplica, file: &Store) -> Result<Fork> {
    let status = file.feed_status_of_file()?.filter(|status| !status.position.is_empty()).ok_or_else(in_no_replica)?;
    let at = ShippedTo::of_bytes(&status.position)?;
    if at.store != remote.store() {
        let (message, store, replica) = ("the replica is of another store than the file", at.store, remote.store());
        return Err(Error::conflict(format!("{message}: store={store} replica={replica}")));
    }
    refuse_older(remote, &at).await?;
    let newest = newest_opened(remote).await?.ok_or_else(no_base)?;
    let path = path(remote, newest.term, at.slot.term).await?;
    let later = || path.iter().filter(|step| step.term > at.slot.term);
    let cut = later().map(|step| step.open.sequence).min().ok_or_else(not_apart)?;
    let mut own = Own::begin(remote, file, &at, status.sequence).await?;
    if own.common > status.sequence {
        return Err(without_log(own.common));
    }
    let (sequence, states) = match own.at.sequence > cut {
        true => {
            refuse_other(remote, own.at).await?;
            (cut, None)
        }
        false => {
            let walked = walk(&Prefetch::new(remote, LOG_AT_ONCE), &mut own, &path, None, None).await?;
            if walked == Walked::Lost && !own.is_apart {
                return Err(lost(remote, own.at.slot).await?);
            }
            (own.common, Some(ObjectHash(own.states.digest())))
        }
    };
    let mut given_up = false;
    for step in later().filter(|step| step.open.sequence == sequence) {
        given_up |= gave_up(remote, step).await?;
    }
    Ok(Fork { sequence, states, given_up, newest: newest.term })
}

/// The file, which goes along the log as long as the commits there are its own.
struct Own<'f> {
    file: &'f Store,
    /// Its newest commit.
    newest: u64,
    at: ReplicaPosition,
    /// Its commits behind those that were compared.
    next: VecDeque<FedCommit>,
    /// The last commit that is its own, and the state there.
    common: u64,
    states: States,
    /// Whether the log has gone another way.
    is_apart: bool,
}

impl<'f> Own<'f> {
    /// The newest place of which the file knows that the replica has it.
    async fn begin(remote: &OpenReplica, file: &'f Store, at: &ShippedTo, newest: u64) -> Result<Self> {
        // A file without its log does not have the commits of that object.
        let behind = at.behind_pending(remote).await?.filter(|(place, _)| place.sequence <= newest);
        let (place, states) = behind.unwrap_or_else(|| (at.position(), at.states()));
        let common = place.sequence;
        Ok(Self { file, newest, at: place, next: VecDeque::new(), common, states, is_apart: false })
    }

    /// Whether the next commit of the file is this one. It is passed then.
    fn has_next(&mut self, commit: &ShippedCommit) -> Result<bool> {
        if self.next.is_empty() && commit.sequence <= self.newest {
            match self.file.feed_after_of_file(self.common, READ_BYTES)? {
                Fed::Commits(commits) => self.next = commits.into(),
                Fed::Gap => return Err(not_kept(self.common)),
            }
        }
        let is_same = |own: &mut FedCommit| own.sequence == commit.sequence && own.rows == commit.rows;
        Ok(self.next.pop_front_if(is_same).is_some())
    }
}

impl Local for Own<'_> {
    fn position(&self) -> Option<ReplicaPosition> {
        Some(self.at)
    }

    fn newest(&self) -> Result<(u64, ObjectHash)> {
        Ok((self.at.sequence, self.at.states))
    }

    fn set_position(&mut self, position: ReplicaPosition) -> Result<()> {
        self.at = position;
        Ok(())
    }

    fn apply(&mut self, commits: &[ShippedCommit], position: ReplicaPosition) -> Result<(Fit, ObjectHash)> {
        for commit in commits {
            if !self.has_next(commit)? {
                self.is_apart = true;
                return Ok((Fit::Apart, position.states));
            }
            self.states.apply(&commit.rows)?;
            self.common = commit.sequence;
        }
        let states = ObjectHash(self.states.digest());
        self.at = ReplicaPosition { states, ..position };
        Ok((Fit::Fits, states))
    }

    /// Behind a restore nothing is the file's own.
    fn keep_aside(&mut self) -> Result<Fit> {
        self.is_apart = true;
        Ok(Fit::Apart)
    }
}

/// Refuses a file whose last object is another one in the replica.
async fn refuse_other(remote: &OpenReplica, at: ReplicaPosition) -> Result<()> {
    let Some(index) = at.slot.index.checked_sub(1) else { return Ok(()) };
    let found = remote.get(ObjectName::Log(ReplicaSlot { index, ..at.slot })).await?;
    if found.is_some_and(|found| found.hash != at.previous) { Err(other_history(at.slot)) } else { Ok(()) }
}

/// The reason why the log does not go on from the place of a file.
async fn lost(remote: &OpenReplica, slot: ReplicaSlot) -> Result<Error> {
    let name = ObjectName::Log(slot);
    Ok(match remote.get(name).await? {
        Some(_) => other_history(slot),
        None => Error::not_found(format!(
            "the replica no longer has the log from the place of the file on, so nothing tells what only the file has; \
             compare the file with the store: object={name}"
        )),
    })
}

/// Whether a term began with a restore that gave something up.
async fn gave_up(remote: &OpenReplica, step: &OpenedTerm) -> Result<bool> {
    match step.open.parent.filter(|_| step.open.restore) {
        Some(parent) => Ok(last_before(remote, parent).await?.is_none_or(|last| last > step.open.sequence)),
        None => Ok(false),
    }
}

/// The last commit that the log of a term has before its seal; none if the object is not there any more.
async fn last_before(remote: &OpenReplica, seal: ReplicaSlot) -> Result<Option<u64>> {
    let slot = ReplicaSlot { index: seal.index.saturating_sub(1), ..seal };
    let found = remote.get(ObjectName::Log(slot)).await?;
    Ok(found.and_then(|found| commit_of(&found.object, slot)).map(|commit| commit.sequence))
}

fn other_history(slot: ReplicaSlot) -> Error {
    Error::conflict(format!(
        "the replica does not have the history of the file; compare the file with the store: slot={slot}"
    ))
}

fn without_log(sequence: u64) -> Error {
    let message = "the file lacks commits that it has shipped, as one without the log beside it does; copy its log too";
    Error::conflict(format!("{message}: sequence={sequence}"))
}

fn in_no_replica() -> Error {
    Error::conflict("the file does not say which replica it was shipped to, so nothing can be compared with one")
}

fn not_apart() -> Error {
    Error::conflict(
        "no other machine has taken over; ship this file. If another store has taken over, ship that store first",
    )
}

fn not_kept(sequence: u64) -> Error {
    let message = "the file no longer keeps its unshipped commits, so the fork cannot be found; compare the file with the \
                   store";
    Error::conflict(format!("{message}: sequence={sequence}"))
}
