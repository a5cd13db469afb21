//! Keys: the number of a collection at the head of a record's, and the epoch at the head of a pre-image's.

use serde::{Deserialize, Serialize};

use crate::engine::format::epoch::Epoch;
use crate::error::{Error, Hint, Result};

/// The number of a collection in keys. Numbers under 64 are built in; the others are given out once and never again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct CollectionId(pub(crate) u32);

impl CollectionId {
    pub(crate) const REGISTRY: Self = Self(1);
    pub(crate) const QUEUE: Self = Self(2);
    pub(crate) const ASSIGNMENTS: Self = Self(3);
    pub(crate) const CHAT: Self = Self(4);
    pub(crate) const CONFIG: Self = Self(5);
    pub(crate) const DOCUMENTS: Self = Self(6);
    /// The pieces of values that are longer than one frame holds.
    pub(crate) const CHUNKS: Self = Self(7);
    /// The first number of a user's own collection.
    pub(crate) const FIRST_USER: Self = Self(64);

    /// The built-in collections by the names that users see.
    pub(crate) const BUILT_IN: [(&'static str, Self); 7] = [
        ("registry", Self::REGISTRY),
        ("queue", Self::QUEUE),
        ("assignments", Self::ASSIGNMENTS),
        ("chat", Self::CHAT),
        ("config", Self::CONFIG),
        ("documents", Self::DOCUMENTS),
        ("#chunks", Self::CHUNKS),
    ];

    /// The name of a built-in collection.
    pub(crate) fn built_in_name(self) -> Option<&'static str> {
        Self::BUILT_IN.iter().find(|(_, id)| *id == self).map(|(name, _)| *name)
    }

    /// The built-in collection of that name.
    pub(crate) fn built_in(name: &str) -> Option<Self> {
        Self::BUILT_IN.iter().find(|(built_in, _)| *built_in == name).map(|(_, id)| *id)
    }

    /// The collection whose number a row of `collections` has.
    pub(crate) fn of_bytes(bytes: &[u8]) -> Result<Self> {
        let number = bytes.try_into().map_err(|_| Error::damaged("a collection's number is not 4 bytes long"))?;
        Ok(Self(u32::from_be_bytes(number)))
    }

    /// `collection id ‖ key`, as rows of `live` and `tombstones` are named.
    pub(crate) fn row_key(self, key: &[u8]) -> Vec<u8> {
        [&self.0.to_be_bytes()[..], key].concat()
    }

    /// The collection and the record's key of a row of `live`.
    pub(crate) fn split_row_key(row: &[u8]) -> Option<(Self, &[u8])> {
        let (id, key) = row.split_first_chunk::<4>()?;
        Some((Self(u32::from_be_bytes(*id)), key))
    }
}

/// The key of a pre-image: `segment epoch ‖ collection ‖ key`.
///
/// A key that is too short to name a record is damage. Read as an empty record key, it would hide a change from a
/// difference, a restore or a merge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PreImageKey<'k> {
    /// The segment that the row is stored in, or a forgotten point that is still merging into it.
    pub(crate) part: Epoch,
    /// The record: `collection ‖ key`.
    pub(crate) row: &'k [u8],
}

impl<'k> PreImageKey<'k> {
    pub(crate) fn new(part: Epoch, row: &'k [u8]) -> Self {
        Self { part, row }
    }

    /// Reads a stored key.
    ///
    /// # Errors
    ///
    /// `Damaged` when it is too short to name a record.
    pub(crate) fn read(key: &'k [u8]) -> Result<Self> {
        Self::split(key).ok_or_else(|| {
            let key = key.escape_ascii();
            Error::damaged(format!("a pre-image has a short key; repair the store: table=undo key={key}"))
                .with_hint(Hint::RepairStore)
        })
    }

    /// The parts of a stored key; none when it is too short to name a record.
    pub(crate) fn split(key: &'k [u8]) -> Option<Self> {
        let (part, row) = Epoch::split_key(key)?;
        CollectionId::split_row_key(row).map(|_| Self { part, row })
    }

    /// The key as it is stored.
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.write_to(&mut bytes);
        bytes
    }

    /// Writes the key as it is stored into a buffer, which is emptied first.
    pub(crate) fn write_to(self, out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(&self.part.to_key());
        out.extend_from_slice(self.row);
    }
}

/// The stored key of a pre-image.
pub(crate) fn pre_image_key(part: Epoch, row: &[u8]) -> Vec<u8> {
    PreImageKey::new(part, row).to_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn a_key_is_read_back_and_a_shorter_one_is_damage() {
        let row = CollectionId::CONFIG.row_key(b"k");
        let bytes = pre_image_key(Epoch(7), &row);
        assert_eq!(PreImageKey::read(&bytes).unwrap(), PreImageKey { part: Epoch(7), row: &row });
        let empty = CollectionId::CONFIG.row_key(b"");
        assert!(PreImageKey::read(&pre_image_key(Epoch(7), &empty)).is_ok());
        for len in 0..12 {
            assert_eq!(PreImageKey::read(&bytes[..len]).unwrap_err().kind(), ErrorKind::Damaged);
        }
    }
}
