//! How long a section and its entries may become.

use crate::engine::wal::encoding::section::MOST;

/// A section has room for this many of the longest entries, unless that would be longer than the longest section.
pub(super) const ROOM: u64 = 8;

/// How much a section holds at most.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine::wal) struct Bounds {
    /// Its length.
    pub(in crate::engine::wal) section: u64,
    /// It ends once its rows take this much memory: small rows take several times their room in the file.
    pub(in crate::engine::wal) rows: usize,
    /// The memory that they take together with those of the entry behind which it ends.
    pub(in crate::engine::wal) all: usize,
    /// The length of an entry.
    pub(super) entry: u64,
}

/// The bounds of a log of one process.
pub(in crate::engine::wal) const OWN: Bounds = Bounds { section: MOST, rows: 4 << 20, all: 8 << 20, entry: MOST / 2 };
/// Those of a log that several processes share. All of it, and what redb writes beside it, fits into the room that the
/// reserve leaves on a full disk.
pub(in crate::engine::wal) const SHARED: Bounds =
    Bounds { section: 2 << 20, rows: 3 << 19, all: 2 << 20, entry: 1 << 20 };
