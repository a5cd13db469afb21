//! How far a store was shipped, as its feed keeps it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::engine::digest::Stats;
use crate::engine::feed::States;
use crate::engine::keys::CollectionId;
use crate::engine::store::Store;
use crate::error::{Error, Result};
use crate::replica::objects::layout::{Nonce, ObjectHash, StoreId};
use crate::replica::objects::name::{ObjectName, ReplicaSlot, Term};
use crate::replica::terms::remote::{Remote, ReplicaPosition};

/// How far a store was shipped, as its feed keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ShippedTo {
    /// The id of the store and of its replica.
    pub(crate) store: StoreId,
    pub(crate) slot: ReplicaSlot,
    pub(crate) previous: ObjectHash,
    pub(crate) sequence: u64,
    #[serde(with = "crate::clock::time")]
    pub(crate) time: Timestamp,
    /// The state at that commit: the state of a later one follows from it and the commits between.
    pub(crate) collections: Vec<(u32, Stats)>,
    /// Whether the state came out of a restore, so that the next term gives up what is behind it.
    pub(crate) restored: bool,
    /// The check of the description of the replica, which never changes.
    pub(crate) description: Option<ObjectHash>,
    /// The newest term of this store and its key, in hexadecimal, if the replica is encrypted.
    pub(crate) key: Option<(Term, String)>,
    /// The lease of that term in milliseconds, if it has one: the store is not written to without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) lease_ms: Option<u64>,
    /// Openings of terms behind a restore, which were about to be sent. Each may be there although nobody was told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) openings: Vec<(Term, Nonce)>,
    /// The same, as an earlier version wrote it, of one.
    #[serde(default, skip_serializing)]
    pub(crate) opening: Option<(Term, Nonce)>,
    /// The object that was sent to the slot. It may be there although nobody was told.
    pub(crate) pending: Option<PendingObject>,
    /// The newest base: its time, its bytes, and those that a reader of the log behind it needs.
    #[serde(with = "crate::clock::time")]
    pub(crate) base_made: Timestamp,
    pub(crate) base_bytes: u64,
    pub(crate) log_bytes: u64,
}

/// An object whose fate is not known, with the state behind it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PendingObject {
    pub(crate) hash: ObjectHash,
    pub(crate) sequence: u64,
    #[serde(with = "crate::clock::time")]
    pub(crate) time: Timestamp,
    pub(crate) collections: Vec<(u32, Stats)>,
}

impl ShippedTo {
    /// The position of a state that was in no term of this store yet, and that no base is known of.
    pub(crate) fn at(store: StoreId, position: &ReplicaPosition, states: &States, restored: bool) -> Self {
        Self {
            store,
            slot: position.slot,
            previous: position.previous,
            sequence: position.sequence,
            time: position.time,
            collections: collections_of(states),
            restored,
            description: None,
            key: None,
            lease_ms: None,
            openings: Vec::new(),
            opening: None,
            pending: None,
            base_made: position.time,
            base_bytes: 0,
            log_bytes: 0,
        }
    }

    /// As the feed of a store keeps it.
    ///
    /// # Errors
    ///
    /// `Invalid`, which does not happen.
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(|source| {
            Error::invalid("the position of a store in its replica cannot be written").with_source(source)
        })
    }

    /// Reads it back.
    ///
    /// # Errors
    ///
    /// `Damaged` for bytes that no version writes.
    pub(crate) fn of_bytes(bytes: &[u8]) -> Result<Self> {
        let mut read: Self = serde_json::from_slice(bytes).map_err(|source| {
            Error::damaged("the position of a store in its replica cannot be read").with_source(source)
        })?;
        read.openings.extend(read.opening.take());
        Ok(read)
    }

    /// The state at its commit.
    pub(crate) fn states(&self) -> States {
        States::new(self.collections.iter().map(|(id, stats)| (CollectionId(*id), *stats)))
    }

    /// The place and the state behind the object that was sent to the slot, if the replica has that object.
    ///
    /// # Errors
    ///
    /// The errors of the replica.
    pub(in crate::replica) async fn behind_pending(
        &self,
        remote: &impl Remote,
    ) -> Result<Option<(ReplicaPosition, States)>> {
        let Some(pending) = &self.pending else { return Ok(None) };
        let found = remote.get(ObjectName::Log(self.slot)).await?;
        if found.is_none_or(|found| found.hash != pending.hash) {
            return Ok(None);
        }
        let states = States::new(pending.collections.iter().map(|(id, stats)| (CollectionId(*id), *stats)));
        let (slot, previous, digest) = (self.slot.next()?, pending.hash, ObjectHash(states.digest()));
        let (sequence, time) = (pending.sequence, pending.time);
        Ok(Some((ReplicaPosition { slot, previous, sequence, states: digest, time }, states)))
    }

    /// The place behind the last object that the replica has.
    pub(crate) fn position(&self) -> ReplicaPosition {
        ReplicaPosition {
            slot: self.slot,
            previous: self.previous,
            sequence: self.sequence,
            states: ObjectHash(self.states().digest()),
            time: self.time,
        }
    }
}

impl Store {
    /// Whether the last term of this store has a lease.
    ///
    /// # Errors
    ///
    /// As a view.
    pub(in crate::replica) fn had_lease(&self) -> Result<bool> {
        let position = self.feed_status()?.map_or_else(Vec::new, |status| status.position);
        // A position that cannot be read is told where it is used.
        Ok(ShippedTo::of_bytes(&position).is_ok_and(|at| at.lease_ms.is_some()))
    }
}

/// The collections of a state, as they are kept.
pub(crate) fn collections_of(states: &States) -> Vec<(u32, Stats)> {
    states.iter().filter(|(_, stats)| *stats != Stats::default()).map(|(id, stats)| (id.0, stats)).collect()
}
