//! A sealed epoch: what its manifest says.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::engine::format::codec::Stored;
use crate::engine::format::digest::Stats;
use crate::engine::format::epoch::Epoch;
use crate::engine::format::schema::CollectionId;

/// The name of a restore point: a UUID as text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PointId(pub String);

impl PointId {
    /// A new name, sorted by time of making.
    pub(crate) fn new() -> Self {
        Self(crate::clock::new_id().to_string())
    }
}

impl fmt::Display for PointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The content that a point was made of, or its purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The live state.
    Live,
    /// Documents that a caller provided.
    Documents,
    /// Documents that were adopted from another program.
    Adopted,
    /// The state that a restore was about to change.
    Safety,
}

impl Origin {
    /// Whether `latest` and times mean such points.
    pub fn is_selectable(self) -> bool {
        self == Self::Live
    }
}

/// The description of a sealed point.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Its name.
    pub id: PointId,
    /// When it was made. For an adopted point: when the other program made it.
    #[serde(with = "crate::clock::time")]
    pub at: Timestamp,
    /// When it was sealed in this store. Retention counts from this time.
    #[serde(with = "crate::clock::time")]
    pub sealed_at: Timestamp,
    /// Its content or purpose.
    pub origin: Origin,
    /// Whether it was requested, and not made by a scheduler or a restore.
    pub manual: bool,
    /// A description by its creator.
    pub description: String,
    /// As given.
    pub tags: BTreeMap<String, String>,
    /// A held point is never forgotten by retention.
    pub held: bool,
    /// The restore that a safety point can undo; none for other points.
    pub undoes: Option<Restored>,
    /// The backups that it is listed as; their rows go when the point is forgotten.
    pub backups: Vec<String>,
    /// The content of each collection at the point, in numbers.
    pub(crate) collections: Vec<(CollectionId, Stats)>,
    /// Content that a repair could not bring back; empty while the point is whole.
    pub(crate) lost: Vec<Lost>,
}

/// The loss of a point in one collection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lost {
    /// Which one.
    pub(crate) collection: CollectionId,
    /// The content before the damage, in numbers.
    pub(crate) was: Stats,
    /// Records that are known to be lost or to have gone back, by key; there may be others.
    pub(crate) keys: Vec<Vec<u8>>,
}

/// The description of a restore, kept with the safety point that can undo it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// The point that was restored.
    pub from: Epoch,
    /// Its name, or its time when it was the point of a single commit.
    pub name: String,
    /// The epoch in which the restored records were written. Records born later are later work.
    pub written_in: Epoch,
    /// The records that were restored.
    pub scope: Scope,
    /// Whether the restore was itself an undo.
    pub undo: bool,
}

/// Which records a restore touches.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    /// Collections by number; empty for all.
    pub(crate) collections: Vec<CollectionId>,
    /// Single records by row key; when there are some, they and the prefixes are all.
    pub(crate) rows: Vec<Vec<u8>>,
    /// Records by the beginning of their row key.
    pub(crate) prefixes: Vec<Vec<u8>>,
}

impl Manifest {
    /// The content of a collection at the point, in numbers.
    pub(crate) fn stats(&self, collection: CollectionId) -> Stats {
        self.collections.iter().find(|(id, _)| *id == collection).map(|(_, stats)| *stats).unwrap_or_default()
    }

    /// Whether a repair could not bring back all that the point held of a collection.
    pub(crate) fn has_lost_of(&self, collection: CollectionId) -> bool {
        self.lost.iter().any(|lost| lost.collection == collection)
    }
}

impl Stored for Manifest {
    const VERSION: u8 = 1;
    const WHAT: &'static str = "the manifest of a point";
}

/// An unnamed point: the time of one commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Commit {
    #[serde(with = "crate::clock::time")]
    pub(crate) at: Timestamp,
    /// Whether a repair may have lost something of it; no digest can tell.
    pub(crate) partial: bool,
}

impl Stored for Commit {
    const VERSION: u8 = 1;
    const WHAT: &'static str = "the point of a commit";
}

/// A caller's description of a new point.
#[derive(Clone, Debug)]
pub(crate) struct NewPoint {
    pub(crate) id: PointId,
    pub(crate) at: Timestamp,
    pub(crate) origin: Origin,
    pub(crate) manual: bool,
    pub(crate) backups: Vec<String>,
    pub(crate) description: String,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) undoes: Option<Restored>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::format::codec;

    fn manifest() -> Manifest {
        Manifest {
            id: PointId("p".into()),
            at: Timestamp::from_microsecond(1).unwrap(),
            sealed_at: Timestamp::from_microsecond(2).unwrap(),
            origin: Origin::Safety,
            manual: true,
            description: "d".into(),
            tags: BTreeMap::from([("k".into(), "v".into())]),
            held: false,
            undoes: Some(Restored {
                from: Epoch(3),
                name: "n".into(),
                written_in: Epoch(5),
                scope: Scope {
                    collections: vec![CollectionId(2)],
                    rows: vec![b"r".into()],
                    prefixes: vec![b"x".into()],
                },
                undo: true,
            }),
            backups: vec!["b".into()],
            collections: vec![(CollectionId(5), Stats { count: 1, bytes: 2, ..Stats::default() })],
            lost: vec![Lost {
                collection: CollectionId(6),
                was: Stats { count: 3, bytes: 4, ..Stats::default() },
                keys: vec![b"k".into()],
            }],
        }
    }

    #[test]
    fn the_bytes_of_a_manifest_are_fixed_and_read_back() {
        let bytes = codec::encode(&manifest()).unwrap();
        let digest = [0; 32];
        let expected = [
            &b"\x01\x01p\x02\x04\x03\x01\x01d\x01\x01k\x01v\x00"[..],
            &b"\x01\x03\x01n\x05\x01\x02\x01\x01r\x01\x01x\x01"[..],
            &b"\x01\x01b\x01\x05\x01\x02"[..],
            &digest,
            &b"\x01\x06\x03\x04"[..],
            &digest,
            &b"\x01\x01k"[..],
        ]
        .concat();
        assert_eq!(bytes, expected);
        assert_eq!(codec::decode::<Manifest>(&bytes).unwrap(), manifest());
    }

    #[test]
    fn the_bytes_of_a_commit_and_of_the_row_of_epochs_are_fixed() {
        let commit = Commit { at: Timestamp::from_microsecond(-1).unwrap(), partial: true };
        assert_eq!(codec::encode(&commit).unwrap(), [1, 1, 1]);
        assert_eq!(codec::encode(&crate::engine::format::epoch::Epochs::NEW).unwrap(), [1, 1, 0, 0, 0, 0]);
        let stats = codec::encode(&Stats { count: 300, ..Stats::default() }).unwrap();
        assert_eq!(stats, [&[1, 251, 44, 1, 0][..], &[0; 32]].concat());
    }
}
