//! A log that several processes share, as they tell it one another.

use super::super::id::LogId;
use super::super::log::Log;
use super::super::section;
use super::shared::ONLY;
use super::shared_page::{End, State};
use crate::engine::redb_file::StorageBackend;
use crate::error::Result;

impl Log {
    /// Whether several processes share it.
    pub(crate) fn is_shared(&self) -> bool {
        self.turns.as_ref().is_some_and(|turns| turns.own.is_some())
    }

    /// Whether it only shows the entries of other processes.
    pub(crate) fn only_follows(&self) -> bool {
        self.turns.as_ref().is_some_and(|turns| turns.own.is_none())
    }

    /// How many commits all processes have made; none where that is unknown.
    pub(crate) fn commits_of_all(&self) -> Option<u64> {
        let page = self.turns.as_ref()?.shared_page(&*self.folder).ok()?;
        Some(page.map_or(0, |page| page.commits))
    }

    /// W18: names the end before anybody is answered, and before own readers see it.
    pub(in crate::engine::wal) fn tell(&self, end: End, commits: u64) -> Result<()> {
        match self.turns.as_ref().and_then(|turns| turns.own.as_ref()) {
            Some(own) => own.tell(State::Held, end, commits),
            None => Ok(()),
        }
    }

    /// How many commits were counted.
    pub(in crate::engine::wal) fn counted(&self) -> u64 {
        self.turns.as_ref().and_then(|turns| turns.own.as_ref()).map_or(0, |own| own.written.lock().1)
    }

    /// Counts a commit, for callers of other processes that wait for one.
    pub(in crate::engine::wal) fn count_commit(&self) {
        if let Some(own) = self.turns.as_ref().and_then(|turns| turns.own.as_ref()) {
            own.written.lock().1 += 1;
        }
    }

    /// The length of a file as a section's head tells it, if it is of that log.
    pub(super) fn length_of(file: &dyn StorageBackend, id: LogId) -> Result<Option<u64>> {
        if file.len()? < section::HEAD {
            return Ok(None);
        }
        let mut bytes = vec![0; section::HEAD as usize];
        file.read(0, &mut bytes)?;
        let head = section::Head::decode(&bytes).filter(|head| head.id == id && head.section == ONLY);
        Ok(head.map(|head| head.length))
    }
}
