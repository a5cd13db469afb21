//! The heads of all objects, as they stand in JSON. A reader refuses other fields; a later version
//! that adds one raises the format.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::layout::{Nonce, ObjectHash, StoreId};
use super::name::{BaseName, ReplicaSlot, Term};

/// The bounds of a lease: shorter than a slow request, and it would end all the time; longer, and nobody would wait.
pub(crate) const LEASES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60 * 60));

/// `store`: the description of the whole replica. It is written once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StoreHead {
    pub(crate) store: StoreId,
    pub(crate) nonce: Nonce,
    #[serde(with = "crate::clock::time")]
    pub(crate) time: Timestamp,
    /// The public keys whose holders read the replica; none if it is plain.
    pub(crate) recipients: Option<Vec<String>>,
}

/// `term/..`: a process wants to write the term. The term begins with its [`LogOpen`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TermClaim {
    pub(crate) store: StoreId,
    pub(crate) term: Term,
    pub(crate) nonce: Nonce,
    #[serde(with = "crate::clock::time")]
    pub(crate) time: Timestamp,
    /// The machine of the process, for people, and its file, if it has that for itself.
    pub(crate) machine: String,
    /// The key of the term, encrypted with age for the recipients of the store, in hexadecimal; none if it is plain.
    pub(crate) key: Option<String>,
}

/// The first object of a term: from here on its process may commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LogOpen {
    pub(crate) store: StoreId,
    pub(crate) term: Term,
    pub(crate) nonce: Nonce,
    #[serde(with = "crate::clock::time")]
    pub(crate) time: Timestamp,
    /// The slot of the seal of the term on which it goes on; none if no term opened before.
    pub(crate) parent: Option<ReplicaSlot>,
    /// The last commit of the parent that counts; later ones were given up by a restore.
    pub(crate) sequence: u64,
    /// The digest of the state after that commit.
    pub(crate) states: ObjectHash,
    /// Whether the state came out of a restore, so that no tail of an earlier process fits behind it.
    pub(crate) restore: bool,
    /// Whether a copy that followed was promoted, so that no earlier file goes on. Only format 2 has this field,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) promotion: bool,
    /// and the lease of the term in milliseconds, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) lease_ms: Option<u64>,
}

impl LogOpen {
    /// Whether the history moved to another file.
    pub(crate) fn moves(&self) -> bool {
        self.restore || self.promotion
    }

    /// Whether its lease is one that a writer writes.
    pub(super) fn has_sound_lease(&self) -> bool {
        let is_sound = |length: u64| (LEASES.0.as_millis()..=LEASES.1.as_millis()).contains(&u128::from(length));
        self.lease_ms.is_none_or(is_sound)
    }
}

/// The end of a term, or in slot 0 the end of a claim that never opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LogSeal {
    pub(crate) store: StoreId,
    pub(crate) slot: ReplicaSlot,
    pub(crate) nonce: Nonce,
    #[serde(with = "crate::clock::time")]
    pub(crate) time: Timestamp,
    /// The term whose process wrote it. Its own process ends a term cleanly.
    pub(crate) by: Term,
}

/// Commits of a term.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LogBatch {
    pub(crate) store: StoreId,
    pub(crate) slot: ReplicaSlot,
    pub(crate) nonce: Nonce,
    /// The check of the object before it.
    pub(crate) previous: ObjectHash,
    /// When its commits were read from the store; it never falls. They were made since the time of the batch before.
    #[serde(with = "crate::clock::time")]
    pub(crate) time: Timestamp,
    /// The last commit before it.
    pub(crate) after: u64,
    /// Its own last commit. It is `after` in a batch without commits, which only tells the time.
    pub(crate) last: u64,
    pub(crate) commits: u64,
    /// The digest of the state after its last commit.
    pub(crate) states: ObjectHash,
    /// The length of the body before it is compressed.
    pub(crate) bytes: u64,
}

/// Commits that are not in the replica: the log goes on behind a base.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LogGap {
    pub(crate) store: StoreId,
    pub(crate) slot: ReplicaSlot,
    pub(crate) nonce: Nonce,
    pub(crate) previous: ObjectHash,
    #[serde(with = "crate::clock::time")]
    pub(crate) time: Timestamp,
    /// The last commit before the gap.
    pub(crate) after: u64,
    /// The last commit in it.
    pub(crate) last: u64,
    /// The digest of the state after that commit.
    pub(crate) states: ObjectHash,
    /// The base that has this state.
    pub(crate) base: BaseName,
}

/// The description of a base, which counts only once this is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BaseManifest {
    pub(crate) store: StoreId,
    pub(crate) base: BaseName,
    pub(crate) nonce: Nonce,
    /// The check of the object before the base's slot.
    pub(crate) previous: ObjectHash,
    /// When the state was read.
    #[serde(with = "crate::clock::time")]
    pub(crate) time: Timestamp,
    /// When the base was finished.
    #[serde(with = "crate::clock::time")]
    pub(crate) made: Timestamp,
    /// The last commit of the state.
    pub(crate) sequence: u64,
    pub(crate) states: ObjectHash,
    pub(crate) parts: u32,
    /// The rows of all parts, before they are compressed.
    pub(crate) rows_bytes: u64,
    /// The length of the body before it is compressed.
    pub(crate) bytes: u64,
}

/// Rows of a base.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BasePart {
    pub(crate) store: StoreId,
    pub(crate) base: BaseName,
    pub(crate) part: u32,
    pub(crate) nonce: Nonce,
    /// The length of the body before it is compressed.
    pub(crate) bytes: u64,
}

/// A restore that reads: nothing from this base on may be collected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Hold {
    pub(crate) store: StoreId,
    pub(crate) nonce: Nonce,
    #[serde(with = "crate::clock::time")]
    pub(crate) time: Timestamp,
    pub(crate) machine: String,
    pub(crate) from: ReplicaSlot,
}

/// `gc/../list` announces, and `gc/../go` decides, that objects before a slot may be deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GcFloor {
    pub(crate) store: StoreId,
    pub(crate) number: u32,
    pub(crate) nonce: Nonce,
    #[serde(with = "crate::clock::time")]
    pub(crate) time: Timestamp,
    /// Nothing from here on is collected. None deletes nothing.
    pub(crate) floor: Option<ReplicaSlot>,
}
