//! The end of a copy, or of the lock of a store that was overtaken: it becomes a store that is written to.

use std::path::Path;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;

use crate::actor::Actor;
use crate::engine::feed::{Numbers, Receiver, Resumed};
use crate::engine::options::Sharing;
use crate::engine::store::{Options, Store};
use crate::engine::write::WriteTx;
use crate::error::{Error, Result};
use crate::recovery::events::event::{self, EventKind};
use crate::recovery::sessions::session;
use crate::replica::checks::status::ReplicaCommit;
use crate::replica::objects::name::Term;
use crate::replica::reading::position::CopyPosition;
use crate::replica::reading::shipped::ShippedTo;
use crate::replica::terms::remote::ReplicaPosition;
use crate::state::{INDEXES, chat, queue};

/// How a copy of a replica is taken over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TakeOverOptions {
    /// Whether it becomes a store of its own, as for a test of last week's state, and the replica stays with its
    /// source. Otherwise it becomes the source of the replica once it is shipped, which gives up what it has behind
    /// the copy.
    pub as_other_store: bool,
    /// Whether claimed tasks stay with their bots until their leases end. Otherwise they are ready again.
    pub keep_claims: bool,
    /// Whether a promotion is refused as `Conflict` unless the lease of the process before has run out, for a standby
    /// that promotes itself.
    pub if_silent: bool,
    /// Whether a promotion begins at once, although the lease of the process before has not run out. Both may write
    /// then, and what the other one writes does not become part of the history.
    pub force: bool,
    /// The actor, for the audit trail and the event.
    pub actor: Option<Actor>,
}

impl TakeOverOptions {
    pub(super) fn refuse_other_store(&self) -> Result<()> {
        let message = "a copy that takes its replica over is no store of its own; leave as_other_store out, or take it \
                       over without the replica";
        if self.as_other_store { Err(Error::invalid(message)) } else { Ok(()) }
    }
}

/// A copy that was taken over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TakenOver {
    /// The last commit that came from the replica.
    pub sequence: u64,
    /// When it was shipped.
    #[serde(with = "crate::clock::time")]
    pub time: Timestamp,
    /// Claims that were made void. Their tasks are ready again.
    pub claims_returned: u64,
    /// The newest commit that the replica gave up for the copy, as far as that is known already.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub given_up: Option<ReplicaCommit>,
}

/// The numbers of a store that takes over. Events are listed without gaps.
const NUMBERS: Numbers<'_> = Numbers {
    leap: &[queue::TOKEN, queue::SEQUENCE, chat::COUNTER, session::COUNTER],
    without_gaps: &[event::COUNTER],
};

/// The fate of the replica of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReplicaThen {
    /// It stays with its source.
    Stays,
    /// It gets a term that begins at the copy, and gives up what it has behind that.
    GivesUpTheRest,
    /// Its newest term has just begun at the copy.
    GoesOn,
}

impl Store {
    /// Makes a copy of a replica a store that is written to, or takes a store back that was overtaken. Its numbers
    /// leap, so that a token that the other one gave out after the copied moment is void here, and its claims return to
    /// ready. If it becomes the source of the replica, [`Store::replicate`] then begins a new term, in which the other
    /// one writes nothing any more.
    ///
    /// # Errors
    ///
    /// `Conflict` when it is neither; `Locked` while a standby follows with the copy; as opening a store, and as a
    /// write.
    pub fn take_over_replica(path: impl AsRef<Path>, options: &TakeOverOptions) -> Result<TakenOver> {
        take_over(path.as_ref(), Self::options(), options)
    }
}

/// Makes the copy at a path a store that is written to.
///
/// # Errors
///
/// As [`take_over_open`], and as opening a store.
pub(crate) fn take_over(path: &Path, options: Options, how: &TakeOverOptions) -> Result<TakenOver> {
    let options = options.create(false).session(false);
    let store = options.clone().open_with(path, INDEXES)?;
    let is_overtaken = store.overtaken()?.is_some();
    store.close_file()?;
    if is_overtaken {
        // Processes that know it as overtaken end first.
        return take_back(&options.sharing(Sharing::Exclusive).open_with(path, INDEXES)?, how);
    }
    let then = if how.as_other_store { ReplicaThen::Stays } else { ReplicaThen::GivesUpTheRest };
    let receiver = Receiver::open(path, options, INDEXES)?;
    // A standby would put a new copy in the place of this file.
    let _alone = receiver.store().lock_following()?;
    take_over_open(receiver, how, then)
}

/// Makes a store that was overtaken one that is written to, and closes it. It has nothing of the other machine.
///
/// # Errors
///
/// `Conflict` when it was in no replica; as a write.
fn take_back(store: &Store, how: &TakeOverOptions) -> Result<TakenOver> {
    let status = store.feed_status()?.filter(|status| !status.position.is_empty());
    let at = status.map(|status| ShippedTo::of_bytes(&status.position)).transpose()?;
    let at = at.ok_or_else(|| Error::conflict("the store does not say how far its replica is"))?;
    let (sequence, time, term) = (at.sequence, at.time, at.slot.term);
    let position = ShippedTo { restored: true, pending: None, ..at }.to_bytes()?;
    let replica = (!how.as_other_store).then_some(Resumed { sequence, position });
    let acting = store.acting_for(how.actor.as_ref()).doing("take_over", None);
    let claims_returned = acting.leave_fence(replica, NUMBERS, |tx| settle(tx, how, sequence, term))?;
    store.close_file()?;
    Ok(TakenOver { sequence, time, claims_returned, given_up: None })
}

/// Makes a copy a store that is written to, and closes it. Its numbers leap, so that none is one of another future of
/// the source, and its claims are void. If it is the source from now on, the replica gets this change first.
///
/// # Errors
///
/// `Conflict` when it is no copy of a replica, or was never finished; as a write.
pub(super) fn take_over_open(receiver: Receiver, how: &TakeOverOptions, then: ReplicaThen) -> Result<TakenOver> {
    let position = CopyPosition::of_bytes(&receiver.position()?)?;
    let replica = match then {
        ReplicaThen::Stays => None,
        ReplicaThen::GivesUpTheRest => Some(resumed(&receiver, &position, true)?),
        ReplicaThen::GoesOn => Some(resumed(&receiver, &position, false)?),
    };
    let store = receiver.store().acting_for(how.actor.as_ref()).doing("take_over", None);
    let (sequence, term) = (position.sequence, position.slot.term);
    let claims_returned = receiver.leave(&store, replica, NUMBERS, |tx| settle(tx, how, sequence, term))?;
    receiver.close()?;
    Ok(TakenOver { sequence, time: position.time, claims_returned, given_up: None })
}

/// Ends what belongs to the machine of the other future. Gives the claims that were made void.
fn settle(tx: &mut WriteTx<'_>, how: &TakeOverOptions, sequence: u64, term: Term) -> Result<u64> {
    let claims = if how.keep_claims { 0 } else { tx.queue().void_claims()? as u64 };
    tx.schedules().settle()?;
    tx.end_sessions_elsewhere()?;
    let details = json!({"sequence": sequence, "term": term, "claims_returned": claims});
    tx.events().append(EventKind::TakenOver, details)?;
    Ok(claims)
}

/// How far the replica is, as its source keeps it.
fn resumed(receiver: &Receiver, position: &CopyPosition, restored: bool) -> Result<Resumed> {
    let CopyPosition { store, slot, previous, sequence, states, time } = *position;
    let at = ReplicaPosition { slot, previous, sequence, states, time };
    let to = ShippedTo::at(store, &at, &receiver.states()?, restored);
    Ok(Resumed { sequence, position: to.to_bytes()? })
}
