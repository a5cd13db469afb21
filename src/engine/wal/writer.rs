//! The end of the log as the write lock protects it: the newest number, and the section that is appended to.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::bell::LONG_REST;
use super::bounds::{Bounds, ROOM};
use super::entry;
use super::id::LogId;
use super::maps::SectionMap;
use super::row::Wal;
use crate::engine::redb_file::StorageBackend;
use crate::engine::session::writer_line::Streak;
use crate::error::{Error, ErrorKind};

/// A section that was filled in less time is followed by one of twice its length.
const SOON: Duration = Duration::from_secs(1);
/// A section that cannot be made is tried again after a second, then after twice as long, and so on.
const LONGEST_WITHOUT: Duration = Duration::from_secs(64);

/// The end of the log.
#[derive(Debug)]
pub(crate) struct Writer {
    /// The newest number.
    pub(super) number: u64,
    pub(super) stage: Stage,
    /// How many commits went past the log, one soon after the other.
    pub(super) commits: u32,
    /// The last of them.
    pub(super) last_past: Option<Instant>,
    /// No section could be made; until then nobody tries again.
    without_room_until: Option<Instant>,
    /// How long the last wait for room was.
    pub(super) waited_for_room: Duration,
    /// Since when this process has the turn at a shared log; none when it does not have it.
    pub(super) turn: Option<Instant>,
    /// Its turns, back to back.
    pub(super) streak: Streak,
}

#[derive(Debug)]
pub(super) enum Stage {
    /// Redb has everything.
    Empty,
    /// An opening found rows that redb could not take.
    Recovered(Wal),
    Open(OpenSection),
    /// A section has ended, and none begun.
    Ended(Ended),
}

/// The section that is appended to.
#[derive(Debug)]
pub(super) struct OpenSection {
    pub(super) id: LogId,
    pub(super) section: u64,
    pub(super) file: Arc<dyn StorageBackend>,
    pub(super) length: u64,
    pub(super) place: u64,
    /// The CRC of the entry before.
    pub(super) crc: u32,
    pub(super) map: Arc<SectionMap>,
    /// The longest entry for which room was looked for in it.
    pub(super) longest: u64,
    pub(super) begun: Instant,
}

/// The end of a section behind which none has begun.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ended {
    pub(super) id: LogId,
    pub(super) section: u64,
    pub(super) number: u64,
    pub(super) crc: u32,
}

impl Writer {
    pub(super) fn new(number: u64, stage: Stage) -> Self {
        Self {
            number,
            stage,
            commits: 0,
            last_past: None,
            without_room_until: None,
            waited_for_room: Duration::ZERO,
            turn: None,
            streak: Streak::default(),
        }
    }

    /// The newest number.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Whether the last commit was long ago: one alone needs no log.
    pub(super) fn is_sparse(&self) -> bool {
        self.last_past.is_some_and(|last| last.elapsed() >= LONG_REST)
    }

    pub(super) fn has_no_room(&self) -> bool {
        self.without_room_until.is_some_and(|until| Instant::now() < until)
    }

    /// For a while commits go straight into redb.
    pub(super) fn note_no_room(&mut self, error: &Error) {
        if error.kind() != ErrorKind::Full {
            tracing::warn!(%error, "no section of the log can be made; commits go into the file of the store meanwhile");
        }
        self.waited_for_room = self.waited_for_room.saturating_mul(2).clamp(SOON, LONGEST_WITHOUT);
        self.without_room_until = Some(Instant::now() + self.waited_for_room);
    }
}

impl OpenSection {
    /// The bytes that an entry may have, if the section is still to be ended.
    pub(super) fn room(&self) -> u64 {
        self.length.saturating_sub(self.place).saturating_sub(entry::len_with(0))
    }

    /// No entry of the section is longer.
    pub(super) fn most(&self, bounds: Bounds) -> u64 {
        bounds.entry.min(self.length / 2)
    }

    /// Whether the next entry finds room, unless it is longer than an eighth of the section and much longer than those
    /// before it.
    pub(super) fn has_room(&self, bounds: Bounds) -> bool {
        self.room() >= (self.length / ROOM).max(self.longest.saturating_add(self.longest / 4))
            && self.map.bytes() < bounds.rows
    }

    /// Whether it was filled so soon that the next section should be longer.
    pub(super) fn was_filled_soon(&self) -> bool {
        self.begun.elapsed() < SOON
    }
}
