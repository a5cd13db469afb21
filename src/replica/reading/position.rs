//! How far a copy is in the log of a replica, as the row of a standby has it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::replica::objects::layout::{ObjectHash, StoreId};
use crate::replica::objects::name::ReplicaSlot;
use crate::replica::terms::remote::ReplicaPosition;

/// How far a copy is in the log of a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CopyPosition {
    pub(crate) store: StoreId,
    /// The slot of the next object. A restore that ends within a batch has this batch before it.
    pub(crate) slot: ReplicaSlot,
    /// The check of the object before it.
    pub(crate) previous: ObjectHash,
    /// The last commit that the copy has.
    pub(crate) sequence: u64,
    /// The digest of the state after it.
    pub(crate) states: ObjectHash,
    /// The time of the newest batch of which the copy has anything.
    #[serde(with = "crate::clock::time")]
    pub(crate) time: Timestamp,
}

impl CopyPosition {
    pub(crate) fn new(store: StoreId, at: ReplicaPosition) -> Self {
        let ReplicaPosition { slot, previous, sequence, states, time } = at;
        Self { store, slot, previous, sequence, states, time }
    }

    /// The same without the store.
    pub(crate) fn at(&self) -> ReplicaPosition {
        let Self { slot, previous, sequence, states, time, .. } = *self;
        ReplicaPosition { slot, previous, sequence, states, time }
    }

    /// As the row of a standby has it.
    ///
    /// # Errors
    ///
    /// `Invalid`, which does not happen.
    pub(crate) fn to_bytes(self) -> Result<Vec<u8>> {
        serde_json::to_vec(&self)
            .map_err(|source| Error::invalid("the position of a copy cannot be written").with_source(source))
    }

    /// Reads it back.
    ///
    /// # Errors
    ///
    /// `Damaged` for bytes that no version writes.
    pub(crate) fn of_bytes(bytes: &[u8]) -> Result<Self> {
        serde_json::from_slice(bytes)
            .map_err(|source| Error::damaged("the position of a copy cannot be read").with_source(source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replica::objects::name::Term;

    #[test]
    fn the_bytes_of_a_position_stay_as_they_are() {
        let position = CopyPosition {
            store: StoreId(7),
            slot: ReplicaSlot { term: Term(3), index: 12 },
            previous: ObjectHash([1; 32]),
            sequence: 99,
            states: ObjectHash([2; 32]),
            time: "2026-01-02T03:04:05.678901Z".parse().unwrap(),
        };
        let (previous, states) = ("01".repeat(32), "02".repeat(32));
        let text = format!(
            "{{\"store\":\"00000000000000000000000000000007\",\"slot\":{{\"term\":3,\"index\":12}},\"previous\":\"{previous}\",\
             \"sequence\":99,\"states\":\"{states}\",\"time\":\"2026-01-02T03:04:05.678901+00:00\"}}"
        );
        assert_eq!(String::from_utf8(position.to_bytes().unwrap()).unwrap(), text);
        assert_eq!(CopyPosition::of_bytes(text.as_bytes()).unwrap(), position);
        assert_eq!(CopyPosition::new(position.store, position.at()), position);
        assert!(CopyPosition::of_bytes(b"{}").is_err());
    }
}
