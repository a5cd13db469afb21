//! The end of the log as the write lock protects it: the newest number, and the section that is appended to.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::bounds::{Bounds, ROOM};
use crate::engine::redb_file::StorageBackend;
use crate::engine::rows::ReadRows;
use crate::engine::session::writer_line::Streak;
use crate::engine::wal::encoding::entry;
use crate::engine::wal::encoding::id::LogId;
use crate::engine::wal::encoding::row::Wal;
use crate::engine::wal::overlay::bell::LONG_REST;
use crate::engine::wal::overlay::maps::SectionMap;
use crate::error::{Error, ErrorKind};

/// A section that was filled in less time is followed by one of twice its length.
const SOON: Duration = Duration::from_secs(1);
/// A section that cannot be made is tried again after a second, then after twice as long, and so on.
const LONGEST_WITHOUT: Duration = Duration::from_secs(64);

/// The end of the log.
#[derive(Debug)]
pub(crate) struct Writer {
    /// The newest number.
    pub(in crate::engine::wal) number: u64,
    pub(in crate::engine::wal) stage: Stage,
    /// How many commits went past the log, one soon after the other.
    pub(in crate::engine::wal) commits: u32,
    /// The last of them.
    pub(in crate::engine::wal) last_past: Option<Instant>,
    /// No section could be made; until then nobody tries again.
    without_room_until: Option<Instant>,
    /// How long the last wait for room was.
    pub(in crate::engine::wal) waited_for_room: Duration,
    /// Since when this process has the turn at a shared log; none when it does not have it.
    pub(in crate::engine::wal) turn: Option<Instant>,
    /// Its turns, back to back.
    pub(in crate::engine::wal) streak: Streak,
    /// The tables as the beginning of the turn has found them, for its first write.
    pub(in crate::engine::wal) base: Option<TurnBase>,
}

/// Tables that lead into a log.
pub(in crate::engine::wal) struct TurnBase {
    pub(in crate::engine::wal) wal: Wal,
    pub(in crate::engine::wal) rows: ReadRows,
}

impl fmt::Debug for TurnBase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TurnBase").field("wal", &self.wal).finish_non_exhaustive()
    }
}

#[derive(Debug)]
pub(in crate::engine::wal) enum Stage {
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
pub(in crate::engine::wal) struct OpenSection {
    pub(in crate::engine::wal) id: LogId,
    pub(in crate::engine::wal) section: u64,
    pub(in crate::engine::wal) file: Arc<dyn StorageBackend>,
    pub(in crate::engine::wal) length: u64,
    pub(in crate::engine::wal) place: u64,
    /// The CRC of the entry before.
    pub(in crate::engine::wal) crc: u32,
    pub(in crate::engine::wal) map: Arc<SectionMap>,
    /// The longest entry for which room was looked for in it.
    pub(in crate::engine::wal) longest: u64,
    pub(in crate::engine::wal) begun: Instant,
}

/// The end of a section behind which none has begun.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine::wal) struct Ended {
    pub(in crate::engine::wal) id: LogId,
    pub(in crate::engine::wal) section: u64,
    pub(in crate::engine::wal) number: u64,
    pub(in crate::engine::wal) crc: u32,
}

impl Writer {
    /// Ends the transaction that the turn has left for a write.
    pub(crate) fn let_go_of_base(&mut self) {
        self.base = None;
    }

    pub(in crate::engine::wal) fn new(number: u64, stage: Stage) -> Self {
        Self {
            number,
            stage,
            commits: 0,
            last_past: None,
            without_room_until: None,
            waited_for_room: Duration::ZERO,
            turn: None,
            streak: Streak::default(),
            base: None,
        }
    }

    /// The newest number.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Whether the last commit was long ago: one alone needs no log.
    pub(in crate::engine::wal) fn is_sparse(&self) -> bool {
        self.last_past.is_some_and(|last| last.elapsed() >= LONG_REST)
    }

    pub(in crate::engine::wal) fn has_no_room(&self) -> bool {
        self.without_room_until.is_some_and(|until| Instant::now() < until)
    }

    /// For a while commits go straight into redb.
    pub(in crate::engine::wal) fn note_no_room(&mut self, error: &Error) {
        if error.kind() != ErrorKind::Full {
            tracing::warn!(%error, "no section of the log can be made; commits go into the file of the store meanwhile");
        }
        self.waited_for_room = self.waited_for_room.saturating_mul(2).clamp(SOON, LONGEST_WITHOUT);
        self.without_room_until = Some(Instant::now() + self.waited_for_room);
    }
}

impl OpenSection {
    /// The bytes that an entry may have, if the section is still to be ended.
    pub(in crate::engine::wal) fn room(&self) -> u64 {
        self.length.saturating_sub(self.place).saturating_sub(entry::len_with(0))
    }

    /// No entry of the section is longer.
    pub(in crate::engine::wal) fn most(&self, bounds: Bounds) -> u64 {
        bounds.entry.min(self.length / 2)
    }

    /// The memory that the rows of the next entry may take.
    pub(in crate::engine::wal) fn most_rows(&self, bounds: Bounds) -> usize {
        let most = usize::try_from(self.most(bounds)).unwrap_or(usize::MAX);
        most.min(bounds.all.saturating_sub(self.map.bytes()))
    }

    /// Whether the next entry finds room, unless it is longer than an eighth of the section and much longer than those
    /// before it.
    pub(in crate::engine::wal) fn has_room(&self, bounds: Bounds) -> bool {
        let next = self.longest.saturating_add(self.longest / 4);
        self.room() >= (self.length / ROOM).max(next)
            && self.map.bytes() < bounds.rows
            && self.map.bytes() as u64 + next.min(self.most(bounds)) <= bounds.all as u64
    }

    /// Whether it was filled so soon that the next section should be longer.
    pub(super) fn was_filled_soon(&self) -> bool {
        self.begun.elapsed() < SOON
    }
}
