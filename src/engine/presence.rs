//! Who is alive: a process that has a session holds the byte of its number in `PATH.sessions`. The kernel lets go of it
//! when the process dies, however it dies. Process ids say nothing here: containers share them, and they are reused.

use std::fs::OpenOptions;
use std::ops::Bound;
use std::path::{Path, PathBuf};

use redb::StorageBackend;
use redb::backends::FileBackend;

use crate::error::{Error, ErrorKind, Result};

/// The locked byte of a session is its number behind this offset, where no content of the file ever is.
const FIRST: u64 = 1 << 40;

/// How many places the line of those has who wait for their turn to write.
pub(crate) const PLACES: u64 = 8;

/// The content of the file says who holds what, for messages only: a slot of this many bytes for each session.
const SLOT: usize = 64;
/// So many slots are used in turn.
const SLOTS: u64 = 1024;

/// The open file of sessions, with the byte of at most one session held.
#[derive(Debug)]
pub(crate) struct Presence {
    file: FileBackend,
}

impl Presence {
    /// Opens, or creates, the file beside the store.
    pub(crate) fn open(store: &Path) -> Result<Self> {
        let path = path(store);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let file = file.map_err(|error| Error::from(error).context(path.display()))?;
        Ok(Self { file: FileBackend::new(file)? })
    }

    /// Opens the file beside the store when there is one.
    pub(crate) fn open_existing(store: &Path) -> Option<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path(store)).ok()?;
        Some(Self { file: FileBackend::new(file).ok()? })
    }

    /// Takes a place in the line of those who wait for their turn to write, unless another process has it; says whether
    /// it did. The first place is 0.
    pub(crate) fn take_place(&self, place: u64) -> bool {
        self.file.try_lock_range(at(place), at(place)).unwrap_or(false)
    }

    /// Leaves a place in that line.
    pub(crate) fn leave_place(&self, place: u64) {
        if let Err(error) = self.file.unlock_range(at(place), at(place)) {
            tracing::warn!(%error, "the file of sessions cannot be unlocked");
        }
    }

    /// Whether another process is in that line.
    pub(crate) fn somebody_waits(&self) -> bool {
        self.file.query_lock_range(at(PLACES - 1), at(0)).unwrap_or(false)
    }

    /// Holds the byte of a session until this is dropped; says whether nobody else did.
    pub(crate) fn hold(&self, session: u64) -> Result<bool> {
        let byte = byte(session);
        self.file.try_lock_range(byte, byte).map_err(unsupported)
    }

    /// Writes down who holds the byte of a session, as messages will name it.
    pub(crate) fn announce(&self, session: u64, who: &str) -> Result<()> {
        let mut slot = format!("{session} {who}").into_bytes();
        slot.resize(SLOT, b' ');
        let offset = session % SLOTS * SLOT as u64;
        if self.file.len()? < offset + SLOT as u64 {
            self.file.set_len(offset + SLOT as u64)?;
        }
        Ok(self.file.write(offset, &slot)?)
    }

    /// Who lives, as they were written down.
    pub(crate) fn living(&self) -> Result<Vec<String>> {
        let len = self.file.len()?.min(SLOTS * SLOT as u64);
        let mut living = Vec::new();
        let mut slot = [0; SLOT];
        for number in 0..len / SLOT as u64 {
            self.file.read(number * SLOT as u64, &mut slot)?;
            let text = String::from_utf8_lossy(&slot);
            let Some((session, who)) = text.trim_end().split_once(' ') else { continue };
            if let Ok(session) = session.parse()
                && self.is_held(session)?
            {
                living.push(who.chars().filter(|character| !character.is_control()).collect());
            }
        }
        Ok(living)
    }

    /// Whether another holds the byte of a session.
    pub(crate) fn is_held(&self, session: u64) -> Result<bool> {
        let byte = byte(session);
        self.file.query_lock_range(byte, byte).map_err(unsupported)
    }
}

/// The file of sessions of a store.
fn path(store: &Path) -> PathBuf {
    let mut path = store.as_os_str().to_owned();
    path.push(".sessions");
    PathBuf::from(path)
}

/// The byte of a place in line.
fn at(place: u64) -> Bound<u64> {
    Bound::Included(FIRST.saturating_sub(1).saturating_sub(place))
}

fn byte(session: u64) -> Bound<u64> {
    Bound::Included(FIRST.saturating_add(session))
}

fn unsupported(source: redb::BackendError) -> Error {
    Error::new(ErrorKind::Io, format!("the file of sessions cannot be locked: {source}")).with_source(source)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_held_by_one_until_it_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("h.redb");
        let (own, other) = (Presence::open(&store).unwrap(), Presence::open(&store).unwrap());
        assert!(own.hold(7).unwrap());
        assert!(other.is_held(7).unwrap() && !other.hold(7).unwrap());
        assert!(!other.is_held(8).unwrap());
        own.announce(7, "process 12 (bot)").unwrap();
        assert_eq!(other.living().unwrap(), ["process 12 (bot)"]);
        drop(own);
        assert!(!other.is_held(7).unwrap());
        assert!(other.living().unwrap().is_empty());
    }

    #[test]
    fn a_place_in_line_is_one_process_s_and_the_others_see_that_it_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("h.redb");
        assert!(Presence::open_existing(&store).is_none());
        let (one, two) = (Presence::open(&store).unwrap(), Presence::open_existing(&store).unwrap());
        for place in [0, PLACES - 1] {
            assert!(one.take_place(place) && !two.take_place(place));
            assert!(two.somebody_waits() && !one.somebody_waits());
            one.leave_place(place);
            assert!(!two.somebody_waits() && two.take_place(place));
            two.leave_place(place);
        }
        assert!(two.take_place(3) && one.somebody_waits());
        drop(two);
        assert!(!one.somebody_waits());
    }
}
