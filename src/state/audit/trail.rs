//! The chain of the audit trail: each entry contains the hash of the one before it. The two ends are stored separately.
//!
//! The hash of an entry is the BLAKE3 hash of its stored bytes, which contain the hash of the previous entry. The row
//! `audit` of `meta` has the last purged entry, which the oldest remaining one follows, and the newest one. Numbers
//! have no gaps, so a missing entry can be named.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::engine::codec::{self, Stored};
use crate::engine::records::Records;
use crate::engine::schema::Table;
use crate::engine::write::WriteTx;
use crate::error::{Error, Hint, Result};

/// The row of `meta` with the ends.
pub(super) const ENDS: &[u8] = b"audit";

/// The hash of an audit entry. As text it has 64 hexadecimal digits.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct EntryHash([u8; 32]);

impl EntryHash {
    /// The hash of the stored bytes of an entry.
    pub(crate) fn of(payload: &[u8]) -> Self {
        Self(*blake3::hash(payload).as_bytes())
    }
}

/// An entry's place in the chain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Its number.
    pub sequence: u64,
    /// Its hash.
    pub hash: EntryHash,
}

/// The two ends of an audit trail. With them its entries can be verified, wherever they are stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trail {
    /// The last purged entry.
    pub purged: Link,
    /// The newest entry.
    pub head: Link,
    /// Ranges of numbers of entries that a repair found to be lost, ascending. The chain is interrupted there.
    pub lost: Vec<(u64, u64)>,
}

impl Stored for Trail {
    const VERSION: u8 = 1;
    const WHAT: &'static str = "the row of the audit trail's ends";
}

impl Trail {
    /// Reads the stored ends. Both are zero for a trail that was never used.
    pub(crate) fn read(records: &impl Records) -> Result<Self> {
        records.row(Table::Meta, ENDS)?.map_or(Ok(Self::default()), |payload| codec::decode(&payload))
    }

    /// Whether the entry of that number is known to be lost.
    pub(super) fn is_lost(&self, sequence: u64) -> bool {
        self.lost_at(sequence).is_some()
    }

    /// The range of lost entries that contains that number.
    pub(super) fn lost_at(&self, sequence: u64) -> Option<(u64, u64)> {
        let at = self.lost.partition_point(|(_, through)| *through < sequence);
        self.lost.get(at).copied().filter(|(from, _)| *from <= sequence)
    }

    /// Marks entries as lost, unless the range is empty.
    pub(super) fn lose(&mut self, from: u64, through: u64) {
        if from <= through {
            self.lost.push((from, through));
        }
    }

    /// Stores the ends. The entries are stored separately.
    pub(crate) fn write(&self, tx: &mut WriteTx<'_>) -> Result<()> {
        tx.put_row(Table::Meta, ENDS, &codec::encode(self)?)
    }
}

/// The error for a missing entry.
pub(super) fn missing(sequence: u64) -> Error {
    Error::damaged(format!("an audit entry is missing; check the store: sequence={sequence}"))
        .with_hint(Hint::CheckStore)
}

impl fmt::Display for EntryHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for EntryHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for EntryHash {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if to.is_human_readable() { to.collect_str(self) } else { self.0.serialize(to) }
    }
}

impl<'de> Deserialize<'de> for EntryHash {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        if from.is_human_readable() {
            let text = String::deserialize(from)?;
            let hash = blake3::Hash::from_hex(&text).map_err(serde::de::Error::custom)?;
            Ok(Self(*hash.as_bytes()))
        } else {
            <[u8; 32]>::deserialize(from).map(Self)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_are_stored_in_these_bytes() {
        let chain = Trail {
            purged: Link { sequence: 1, hash: EntryHash([2; 32]) },
            head: Link { sequence: 3, hash: EntryHash([4; 32]) },
            lost: vec![(2, 5)],
        };
        let bytes = codec::encode(&chain).unwrap();
        assert_eq!(bytes, [&[1, 1][..], &[2; 32], &[3], &[4; 32], &[1, 2, 5]].concat());
        assert_eq!(codec::decode::<Trail>(&bytes).unwrap(), chain);
    }

    #[test]
    fn a_hash_is_sixty_four_digits_in_json() {
        let hash = EntryHash([0xab; 32]);
        let json = serde_json::to_string(&hash).unwrap();
        assert_eq!(json, format!("\"{}\"", "ab".repeat(32)));
        assert_eq!(serde_json::from_str::<EntryHash>(&json).unwrap(), hash);
        assert!(serde_json::from_str::<EntryHash>("\"ab\"").is_err());
    }
}
