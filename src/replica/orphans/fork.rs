//! The commit behind which a file and its replica are two histories.
//!
//! The place that the file has written down is older than that: a process that was killed may have shipped more. So the
//! chain of terms says how far the file's own term counts, and the commits that the file still keeps say
//! which of them are its own.

use crate::engine::feed::{Fed, States};
use crate::engine::keys::CollectionId;
use crate::engine::store::Store;
use crate::error::{Error, Result};
use crate::replica::bases::newest_opened;
use crate::replica::objects::layout::ObjectHash;
use crate::replica::objects::name::{ObjectName, ReplicaSlot};
use crate::replica::objects::object::Object;
use crate::replica::opened::OpenReplica;
use crate::replica::restore::no_base;
use crate::replica::shipped::ShippedTo;
use crate::replica::shipped_here::refuse_older;
use crate::replica::terms::chain::{OpenedTerm, path};
use crate::replica::terms::remote::Remote;

/// So many bytes of commits are read at a time.
const READ_BYTES: usize = 8 << 20;

/// The last commit that a file and its replica have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fork {
    pub(super) sequence: u64,
    /// The digest of the state there, unless the file is far behind it.
    pub(super) states: Option<ObjectHash>,
    /// Whether commits of the file behind it were in the replica, and a restore gave them up.
    pub(super) given_up: bool,
}

/// Finds where a file went apart from its replica.
///
/// # Errors
///
/// `Conflict` when it did not, when it is the file of another replica, or when it does not keep the commits that would
/// tell; `NotFound` when the replica no longer has the end of its term; the errors of the replica; `Damaged`.
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
    refuse_other(remote, &at, &path).await?;
    let mut later: Vec<_> = path.iter().filter(|step| step.term > at.slot.term).collect();
    // L4: all that a later term gave up is no history any more.
    let cut = later.iter().map(|step| step.open.sequence).min().ok_or_else(not_apart)?;
    let parent = later.pop().and_then(|first| first.open.parent).ok_or_else(not_apart)?;
    let shipped = last_before(remote, parent).await?;
    let mut own = Own::begin(remote, &at).await?;
    let mut fork = Fork { sequence: cut, states: None, given_up: own.sequence > cut };
    if own.sequence <= cut {
        own.go_on(file, cut)?;
        fork = Fork { sequence: own.sequence, states: Some(ObjectHash(own.states.digest())), given_up: false };
    }
    if shipped > cut && own.go_on(file, shipped).is_err_and(|_| status.sequence > cut) {
        fork.given_up = true;
    }
    fork.given_up |= own.sequence > fork.sequence;
    Ok(fork)
}

/// The file at one of its commits.
struct Own {
    sequence: u64,
    states: States,
}

impl Own {
    /// The newest commit of which the file knows that the replica has it.
    async fn begin(remote: &OpenReplica, at: &ShippedTo) -> Result<Self> {
        let written = Self { sequence: at.sequence, states: at.states() };
        let Some(pending) = &at.pending else { return Ok(written) };
        let found = remote.get(ObjectName::Log(at.slot)).await?;
        if found.is_none_or(|found| found.hash != pending.hash) {
            return Ok(written);
        }
        let states = States::new(pending.collections.iter().map(|(id, stats)| (CollectionId(*id), *stats)));
        Ok(Self { sequence: pending.sequence, states })
    }

    /// Goes on to the last commit of the file that is not behind that one.
    fn go_on(&mut self, file: &Store, last: u64) -> Result<()> {
        while self.sequence < last {
            let commits = match file.feed_after_of_file(self.sequence, READ_BYTES)? {
                Fed::Commits(commits) => commits,
                Fed::Gap => return Err(not_kept(self.sequence)),
            };
            let many = commits.len();
            let mut taken = 0;
            for commit in commits.into_iter().take_while(|commit| commit.sequence <= last) {
                self.states.apply(&commit.rows)?;
                self.sequence = commit.sequence;
                taken += 1;
            }
            if taken == 0 || taken < many {
                break;
            }
        }
        Ok(())
    }
}

/// Refuses a file whose last object is another one in the replica.
async fn refuse_other(remote: &OpenReplica, at: &ShippedTo, path: &[OpenedTerm]) -> Result<()> {
    let is_of_path = path.last().is_some_and(|step| step.term == at.slot.term);
    let before = at.slot.index.checked_sub(1).map(|index| ReplicaSlot { index, ..at.slot });
    let found = match before {
        Some(slot) => remote.get(ObjectName::Log(slot)).await?,
        None => None,
    };
    match is_of_path && found.is_none_or(|found| found.hash == at.previous) {
        true => Ok(()),
        false => Err(Error::conflict(format!("the replica does not have the history of the file: slot={}", at.slot))),
    }
}

/// The last commit that the log of a term has before its seal.
async fn last_before(remote: &OpenReplica, seal: ReplicaSlot) -> Result<u64> {
    let slot = ReplicaSlot { index: seal.index.saturating_sub(1), ..seal };
    let name = ObjectName::Log(slot);
    match remote.get(name).await?.map(|stored| stored.object) {
        Some(Object::Batch(batch)) => Ok(batch.last),
        Some(Object::Gap(gap)) => Ok(gap.last),
        Some(Object::Open(open)) => Ok(open.sequence),
        Some(other) => Err(Error::damaged(format!("an object of another kind: object={name} kind={}", other.kind()))),
        None => Err(Error::not_found(format!(
            "the replica no longer has the end of the term in which the file was shipped, so nothing tells what only the \
             file has: object={name}"
        ))),
    }
}

fn in_no_replica() -> Error {
    Error::conflict("the file does not say which replica it was shipped to, so nothing can be compared with one")
}

fn not_apart() -> Error {
    Error::conflict(
        "no other machine goes on with the history of the file: ship it, and what it has becomes part of the replica; \
         if another store has taken over, ship that one first",
    )
}

fn not_kept(sequence: u64) -> Error {
    let message = "the file does not keep its commits behind the last one that it knows to be in the replica, so nothing \
                   tells where both went apart; compare the file with the store";
    Error::conflict(format!("{message}: sequence={sequence}"))
}
