//! A log that several processes share, as they tell it one another.

use super::super::writing::log::Log;
use crate::engine::wal::disk::shared::{ONLY, OpenedLogFile, OwnTurns};
use crate::engine::wal::disk::shared_page::{End, State};
use crate::engine::wal::disk::writer::{OpenSection, Stage, Writer};
use crate::error::Result;

impl Log {
    /// The part of this process in the turns; none where it only reads, or nobody shares the log.
    pub(in crate::engine::wal) fn own_turns(&self) -> Option<&OwnTurns> {
        self.turns.as_ref().and_then(|turns| turns.own.as_ref())
    }

    /// Whether several processes share it.
    pub(crate) fn is_shared(&self) -> bool {
        self.own_turns().is_some()
    }

    /// Whether it only shows the entries of other processes.
    pub(crate) fn only_follows(&self) -> bool {
        self.turns.as_ref().is_some_and(|turns| turns.own.is_none())
    }

    /// How many commits all processes have made; none where that is unknown.
    pub(crate) fn commits_of_all(&self) -> Option<u64> {
        Some(self.own_turns()?.page.read().ok()?.commits)
    }

    /// W18: names the end before anybody is answered, and before own readers see it.
    pub(in crate::engine::wal) fn tell(&self, end: End, commits: u64) -> Result<()> {
        self.own_turns().map_or(Ok(()), |own| own.tell(State::Held, end, commits, self.lengths.next()))
    }

    /// Keeps the file of a log that this process has begun, in case it loses its name.
    pub(in crate::engine::wal) fn keep_open(&self, writer: &Writer) {
        if let (Some(turns), Stage::Open(OpenSection { id, file, .. })) = (&self.turns, &writer.stage) {
            let number = self.folder.id_of(ONLY).ok().flatten();
            turns.followed.lock().opened = Some(OpenedLogFile { id: *id, file: file.clone(), number });
        }
    }

    /// How many commits were counted.
    pub(in crate::engine::wal) fn counted(&self) -> u64 {
        self.own_turns().map_or(0, |own| own.written.lock().1)
    }

    /// Counts a commit, for callers of other processes that wait for one.
    pub(in crate::engine::wal) fn count_commit(&self) {
        if let Some(own) = self.own_turns() {
            own.written.lock().1 += 1;
        }
    }
}
