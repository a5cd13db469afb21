//! Every redb table in one place: its name, its key, its value, and when a row is written.
//!
//! Every value is a [`frame`](crate::engine::format::frame). Keys are bytes, integers in them
//! big-endian, so that they sort.

use std::fmt;

pub(crate) use crate::engine::format::keys::CollectionId;
use crate::engine::format::keys::PreImageKey;

/// The newest version of the file format, in the row `format` of `meta`. A store with a higher one is refused.
pub(crate) const FORMAT_VERSION: u64 = SHARED_FORMAT;
/// The version of a store that has never had a log.
pub(crate) const FIRST_FORMAT: u64 = 1;
/// The version of a store that has, or has had, a log.
pub(crate) const LOGGED_FORMAT: u64 = 2;
/// The version of a store that has, or has had, a feed, a fence, or the row of a standby.
#[cfg(any(test, feature = "replica"))]
pub(crate) const FED_FORMAT: u64 = 3;
/// The version of a file whose log several processes share, or have shared.
pub(crate) const SHARED_FORMAT: u64 = 4;

/// The name space that a frame's checksum binds it to. `live`, `undo` and `tombstones` share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Space {
    Record = 0,
    Points = 1,
    Commits = 2,
    PointIds = 3,
    Backups = 4,
    Index = 5,
    Liveness = 6,
    Sessions = 7,
    Audit = 8,
    Events = 9,
    Collections = 10,
    Meta = 11,
}

/// Where a frame belongs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) space: Space,
    /// Zero in the spaces that have no collections.
    pub(crate) collection: CollectionId,
    pub(crate) key: &'a [u8],
}

impl<'a> Place<'a> {
    /// The place of a record, from its row key in `live`, `tombstones` or, behind the epoch, `undo`.
    pub(crate) fn of_record(row_key: &'a [u8]) -> Self {
        let (collection, key) = CollectionId::split_row_key(row_key).unwrap_or((CollectionId(0), row_key));
        Self { space: Space::Record, collection, key }
    }

    /// The bytes that the checksum covers before the key.
    pub(crate) fn prefix(&self) -> [u8; 5] {
        let [a, b, c, d] = self.collection.0.to_be_bytes();
        [self.space as u8, a, b, c, d]
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.space, self.collection.built_in_name()) {
            (Space::Record, Some(name)) => write!(f, "collection={name}")?,
            (Space::Record, None) => write!(f, "collection={}", self.collection.0)?,
            (space, _) => write!(f, "table={}", format!("{space:?}").to_lowercase())?,
        }
        write!(f, " key={}", self.key.escape_ascii())
    }
}

/// The tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(usize)]
pub(crate) enum Table {
    /// `collection id ‖ key` → the record as it is now. Written by put, removed by remove.
    Live,
    /// `segment epoch ‖ collection id ‖ key` → the state of the key at the point before the segment. Written the first
    /// time that the key changes in the segment.
    PreImages,
    /// `collection id ‖ key` → an absent frame born when the key was removed. Written by remove while a point needs it.
    Tombstones,
    /// `epoch` → the manifest of a sealed point. Written by seal, removed by forget.
    Points,
    /// `epoch` → the time of an unnamed point, one for each commit while history is on.
    Commits,
    /// `point id` → epoch. Written and removed with the point's manifest.
    PointIds,
    /// `backup id` → the kind of the backup, its counts, size and checksum. Written by backup.
    Backups,
    /// Derived from a record by its type, empty values. Written by put and remove themselves.
    Index,
    /// `bot id` → its last heartbeat. Gathered for up to a second.
    Liveness,
    /// `session number` → who has, or had, the store open. Written at open, at close, and when a crash is noticed.
    Sessions,
    /// `sequence` → an entry of the audit trail, chained by hash to the one before. Append-only, not versioned.
    Audit,
    /// `sequence` → something that happened. Append-only, not versioned.
    Events,
    /// `name` → the number of a user's own collection. Written the first time that it is used.
    Collections,
    /// `name` → format version, epochs, counters, statistics and digests per collection.
    Meta,
}

impl Table {
    pub(crate) const COUNT: usize = 14;

    /// In the order of their numbers.
    pub(crate) const ALL: [Self; Self::COUNT] = [
        Self::Live,
        Self::PreImages,
        Self::Tombstones,
        Self::Points,
        Self::Commits,
        Self::PointIds,
        Self::Backups,
        Self::Index,
        Self::Liveness,
        Self::Sessions,
        Self::Audit,
        Self::Events,
        Self::Collections,
        Self::Meta,
    ];

    /// The name in the file.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::PreImages => "undo",
            Self::Tombstones => "tombstones",
            Self::Points => "points",
            Self::Commits => "commits",
            Self::PointIds => "point_ids",
            Self::Backups => "backups",
            Self::Index => "index",
            Self::Liveness => "liveness",
            Self::Sessions => "sessions",
            Self::Audit => "audit",
            Self::Events => "events",
            Self::Collections => "collections",
            Self::Meta => "meta",
        }
    }

    /// Where a row of this table belongs.
    pub(crate) fn place(self, key: &[u8]) -> Place<'_> {
        let space = match self {
            Self::Live | Self::Tombstones => return Place::of_record(key),
            // A key that is too short to name a record gets the place of its own bytes, which no record has.
            Self::PreImages => return Place::of_record(PreImageKey::split(key).map_or(key, |key| key.row)),
            Self::Points => Space::Points,
            Self::Commits => Space::Commits,
            Self::PointIds => Space::PointIds,
            Self::Backups => Space::Backups,
            Self::Index => Space::Index,
            Self::Liveness => Space::Liveness,
            Self::Sessions => Space::Sessions,
            Self::Audit => Space::Audit,
            Self::Events => Space::Events,
            Self::Collections => Space::Collections,
            Self::Meta => Space::Meta,
        };
        Place { space, collection: CollectionId(0), key }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_stands_at_its_number_and_has_its_own_name() {
        for (number, table) in Table::ALL.into_iter().enumerate() {
            assert_eq!(table as usize, number);
            assert_eq!(Table::ALL.iter().filter(|other| other.name() == table.name()).count(), 1);
        }
    }

    #[test]
    fn a_record_has_the_same_place_in_every_table_that_it_moves_through() {
        let row = CollectionId::QUEUE.row_key(b"t1");
        let undo = [&Epoch(5).to_key()[..], &row].concat();
        for (table, key) in [(Table::Live, &row), (Table::Tombstones, &row), (Table::PreImages, &undo)] {
            let place = table.place(key);
            assert_eq!((place.space, place.collection, place.key), (Space::Record, CollectionId::QUEUE, &b"t1"[..]));
        }
    }

    use crate::engine::format::epoch::Epoch;
}
