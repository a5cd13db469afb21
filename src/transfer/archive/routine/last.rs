//! The store's record of automatic archives: the last one, the next due time, and the state that was archived.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::engine::codec::{self, Stored};
use crate::engine::digest::Stats;
use crate::engine::meta;
use crate::engine::meta_row::MetaRow;
use crate::engine::records::Records;
use crate::engine::schema::CollectionId;
use crate::engine::store::Store;
use crate::engine::write::WriteTx;
use crate::error::Result;
use crate::transfer::archives;

/// The row in `meta`.
const LAST: MetaRow<LastAndNext> = MetaRow::new(b"auto archive");

/// The newest automatic archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastArchive {
    /// The file, by its full path.
    pub file: String,
    /// When it was made.
    #[serde(with = "crate::clock::time")]
    pub at: Timestamp,
    /// The archived point.
    pub restore_id: String,
    /// Its SHA-256.
    pub sha256: String,
    /// Its length.
    pub bytes: u64,
    /// Whether it was read back to the end and matches the written bytes.
    pub verified: bool,
    /// The time at which the store had its state. Later commits are not in it.
    #[serde(with = "crate::clock::time")]
    pub state_at: Timestamp,
    /// Whether it is encrypted.
    pub encrypted: bool,
    /// Whether every record in it was read back too. Without the key of an archive that is encrypted for others, only
    /// its bytes can be.
    pub opened: bool,
}

/// The loss if the store's file were lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outside {
    /// The newest automatic archive.
    pub(crate) last: LastArchive,
    /// Whether the state has changed since.
    pub(crate) changed_since: bool,
}

impl Outside {
    /// How far back the loss would reach: the age of the archived state; zero while nothing has changed.
    pub(crate) fn lag(&self, now: Timestamp) -> Duration {
        let age = Duration::try_from(now.duration_since(self.last.state_at)).unwrap_or_default();
        if self.changed_since { age } else { Duration::ZERO }
    }
}

/// The time of the next archive, and the result of the last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::transfer::archive) struct LastAndNext {
    /// In microseconds since 1970; no archive is made before this time.
    due_at: i64,
    pub(in crate::transfer::archive) last: Option<LastArchive>,
    /// The hash of its state.
    pub(in crate::transfer::archive) state: [u8; 32],
}

impl Stored for LastAndNext {
    const VERSION: u8 = 2;
    const WHAT: &'static str = "the last automatic archive";

    fn upgrade(_version: u8, bytes: &[u8]) -> Result<Self> {
        codec::decode::<First>(&[&[First::VERSION], bytes].concat()).map(Self::from)
    }
}

/// Version 1.
#[derive(Serialize, Deserialize)]
struct First {
    taken_at: i64,
    last: Option<FirstLast>,
}

#[derive(Serialize, Deserialize)]
struct FirstLast {
    file: String,
    #[serde(with = "crate::clock::time")]
    at: Timestamp,
    restore_id: String,
    sha256: String,
    bytes: u64,
    verified: bool,
}

impl Stored for First {
    const VERSION: u8 = 1;
    const WHAT: &'static str = LastAndNext::WHAT;
}

impl From<First> for LastAndNext {
    /// The age of the state in an archive of an earlier version is unknown, so another one is due.
    fn from(first: First) -> Self {
        let last = first.last.map(|FirstLast { file, at, restore_id, sha256, bytes, verified }| LastArchive {
            file,
            at,
            restore_id,
            sha256,
            bytes,
            verified,
            state_at: at,
            encrypted: false,
            opened: verified,
        });
        Self { due_at: first.taken_at, last, state: [0; 32] }
    }
}

impl LastArchive {
    fn is_there(&self) -> bool {
        Path::new(&self.file).is_file()
    }

    /// Whether it is on the same file system as the store; none if this is unknown, or the file is gone.
    pub fn is_beside(&self, store: &Store) -> Option<bool> {
        archives::same_file_system(Path::new(&self.file), store.path())
    }
}

impl Store {
    /// The newest automatic archive, if its file exists.
    ///
    /// # Errors
    ///
    /// `Damaged`, `Reopen`, `Io`.
    pub fn last_archive(&self) -> Result<Option<LastArchive>> {
        Ok(last_and_next(&self.view()?)?.last.filter(LastArchive::is_there))
    }

    /// The newest automatic archive, if its file exists, and whether something has changed since.
    pub(crate) fn outside(&self) -> Result<Option<Outside>> {
        let view = self.view()?;
        let last_and_next = last_and_next(&view)?;
        let Some(last) = last_and_next.last.filter(LastArchive::is_there) else { return Ok(None) };
        Ok(Some(Outside { last, changed_since: last_and_next.state != state(&view)? }))
    }
}

impl LastAndNext {
    pub(in crate::transfer::archive) fn new(due: Timestamp, last: Option<LastArchive>, state: [u8; 32]) -> Self {
        Self { due_at: due.as_microsecond(), last, state }
    }

    /// The same, with another due time.
    pub(super) fn due(&self, at: Timestamp) -> Self {
        Self { due_at: at.as_microsecond(), ..self.clone() }
    }

    pub(in crate::transfer::archive) fn put(&self, tx: &mut WriteTx<'_>) -> Result<()> {
        LAST.put(tx, self)
    }

    /// Whether the time has come. A time farther away than the interval comes from a clock that was set back.
    pub(super) fn is_due(&self, now: Timestamp, every: Duration) -> bool {
        let Ok(due) = Timestamp::from_microsecond(self.due_at) else { return true };
        due <= now || due > clock::after(now, every)
    }
}

pub(super) fn last_and_next<R: Records>(records: &R) -> Result<LastAndNext> {
    Ok(LAST.read(records)?.unwrap_or_default())
}

/// A hash of the state that an archive would contain now, from the stored digests.
pub(in crate::transfer::archive) fn state<R: Records>(records: &R) -> Result<[u8; 32]> {
    Ok(hash(&meta::all_stats(records)?))
}

/// The same for the content of a point.
pub(in crate::transfer::archive) fn hash(collections: &[(CollectionId, Stats)]) -> [u8; 32] {
    let mut hash = blake3::Hasher::new();
    for (collection, stats) in collections {
        if stats.count > 0 {
            hash.update(&collection.0.to_be_bytes());
            hash.update(&stats.count.to_be_bytes());
            hash.update(&stats.digest.to_bytes());
        }
    }
    *hash.finalize().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_of_the_row_are_fixed_and_the_earlier_ones_are_decoded() {
        let last = LastArchive {
            file: "f".into(),
            at: Timestamp::from_microsecond(1).unwrap(),
            restore_id: "r".into(),
            sha256: "s".into(),
            bytes: 9,
            verified: true,
            state_at: Timestamp::from_microsecond(1).unwrap(),
            encrypted: false,
            opened: true,
        };
        let last_and_next = LastAndNext { due_at: 2, last: Some(last), state: [0; 32] };
        let golden = [&b"\x02\x04\x01\x01f\x02\x01r\x01s\x09\x01\x02\x00\x01"[..], &[0; 32]].concat();
        assert_eq!(codec::encode(&last_and_next).unwrap(), golden);
        assert_eq!(codec::decode::<LastAndNext>(&golden).unwrap(), last_and_next);
        assert_eq!(codec::decode::<LastAndNext>(b"\x01\x04\x01\x01f\x02\x01r\x01s\x09\x01").unwrap(), last_and_next);
    }
}
