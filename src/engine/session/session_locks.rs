//! Living processes: a process that has a session holds the byte of its number in `PATH.sessions`. The kernel releases
//! it when the process dies, unless a forked child of it still lives: then [`LockHolder`] decides. Pids alone are not
//! enough: containers share them, and they are reused.

use std::fs::File;
use std::io::ErrorKind as IoKind;
use std::ops::Bound;
use std::path::{Path, PathBuf};

use crate::engine::opening::named_file::NamedFile;
use crate::engine::redb_file::{BackendError, OwnFile, StorageBackend};
use crate::engine::session::lock_holder::LockHolder;
use crate::error::{Error, ErrorKind, Result};
use crate::files::{self, Rights};

/// The locked byte of a session is its number behind this offset, where no content of the file ever is.
const FIRST: u64 = 1 << 40;

/// The number of places in the line of processes that wait to write.
pub(crate) const PLACES: u64 = 8;

/// The place before these is that of the process that ships the store.
#[cfg(feature = "transfer")]
const SHIPPING: u64 = PLACES;

/// The content of the file names the processes for messages: a slot of this many bytes for each session.
const SLOT: usize = 64;
/// The number of slots, which are used in turn.
const SLOTS: u64 = 1024;
/// Behind these, as many slots of this length name the process that holds a session, so that others notice its end.
const HOLDER: usize = 96;
const FIRST_HOLDER: u64 = SLOTS * SLOT as u64;

/// The processes that have the store open, as far as they wrote it down.
pub(crate) fn living(store: &Path) -> String {
    let session_locks = SessionLocks::look(store).ok().flatten();
    let living = session_locks.and_then(|locks| locks.living().ok()).unwrap_or_default();
    if living.is_empty() { "another process".to_owned() } else { living.join(", ") }
}

/// The open file of sessions, with the byte of at most one session held.
#[derive(Debug)]
pub(crate) struct SessionLocks {
    file: OwnFile,
    place: NamedFile,
}

impl SessionLocks {
    /// Opens, or creates, the file beside the store.
    pub(crate) fn open(store: &Path) -> Result<Self> {
        let path = path(store);
        let file = files::open_or_create(&path, Rights::beside(store)).map_err(|error| files::failed(&path, error))?;
        Self::of(&path, file)
    }

    /// Opens the file beside the store if there is one, for reading only.
    pub(crate) fn look(store: &Path) -> Result<Option<Self>> {
        let path = path(store);
        match files::open(&path) {
            Ok(file) => Self::of(&path, file).map(Some),
            Err(error) if error.kind() == IoKind::NotFound => Ok(None),
            Err(error) => Err(files::failed(&path, error)),
        }
    }

    /// Opens the file beside the store when there is one.
    pub(crate) fn open_existing(store: &Path) -> Option<Self> {
        let path = path(store);
        Self::of(&path, files::open_to_write(&path).ok()?).ok()
    }

    fn of(path: &Path, file: File) -> Result<Self> {
        let file = OwnFile::of(file)?;
        Ok(Self { place: NamedFile::new(path, file.id()), file })
    }

    /// Whether the file of sessions was removed or replaced.
    pub(crate) fn is_moved(&self) -> bool {
        self.place.refuse_moved().is_err()
    }

    /// Takes a place in the line of processes that wait to write, unless another process has it; says
    /// whether it did. The first place is 0.
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

    /// Holds the byte of the process that ships the store until this is dropped; says whether nobody else does.
    #[cfg(feature = "replica")]
    pub(crate) fn hold_shipping(&self) -> Result<bool> {
        self.file.try_lock_range(at(SHIPPING), at(SHIPPING)).map_err(unsupported)
    }

    /// Whether another process ships the store.
    #[cfg(feature = "transfer")]
    pub(crate) fn somebody_ships(&self) -> bool {
        self.file.query_lock_range(at(SHIPPING), at(SHIPPING)).unwrap_or(false)
    }

    /// Holds the byte of a session until this is dropped; says whether nobody else did.
    pub(crate) fn hold(&self, session: u64) -> Result<bool> {
        let byte = byte(session);
        self.file.try_lock_range(byte, byte).map_err(unsupported)
    }

    /// Writes the name of the process that holds the byte of a session, for messages.
    pub(crate) fn announce(&self, session: u64, who: &str) -> Result<()> {
        self.fill_slot(session % SLOTS * SLOT as u64, SLOT, &format!("{session} {who}"))
    }

    /// Writes down which process holds the byte of a session, before anybody can know of that session.
    ///
    /// # Errors
    ///
    /// `Full` and `Io` if an earlier holder of the same number stays written down: its end would be taken for this
    /// process's.
    pub(crate) fn write_holder(&self, session: u64) -> Result<()> {
        let holder = LockHolder::this().map(|holder| holder.to_string()).unwrap_or_default();
        match self.fill_slot(holder_at(session), HOLDER, &format!("{session} {holder}")) {
            Err(error) if self.holder(session)?.is_none() => {
                tracing::warn!(%error, "the end of this process is noticed only once its forked children have ended");
                Ok(())
            }
            written => written,
        }
    }

    fn fill_slot(&self, offset: u64, len: usize, text: &str) -> Result<()> {
        let mut slot = text.as_bytes().to_vec();
        slot.resize(len, b' ');
        if self.file.len()? < offset + len as u64 {
            self.file.set_len(offset + len as u64)?;
        }
        Ok(self.file.write(offset, &slot)?)
    }

    /// The process that holds the byte of a session, as far as it is written down.
    fn holder(&self, session: u64) -> Result<Option<LockHolder>> {
        let (offset, mut slot) = (holder_at(session), [0; HOLDER]);
        if self.file.len()? < offset + HOLDER as u64 {
            return Ok(None);
        }
        self.file.read(offset, &mut slot)?;
        let text = String::from_utf8_lossy(&slot);
        let Some((number, holder)) = text.trim_end().split_once(' ') else { return Ok(None) };
        Ok((number == session.to_string()).then(|| LockHolder::parse(holder)).flatten())
    }

    /// Whether a session lives: a process holds its byte that is not only a forked child of the session's process.
    pub(crate) fn lives(&self, session: u64) -> Result<bool> {
        Ok(self.is_held(session)? && !self.holder(session)?.is_some_and(|holder| holder.is_gone()))
    }

    /// The living processes, as they were written down.
    pub(crate) fn living(&self) -> Result<Vec<String>> {
        let len = self.file.len()?.min(SLOTS * SLOT as u64);
        let mut living = Vec::new();
        let mut slot = [0; SLOT];
        for number in 0..len / SLOT as u64 {
            self.file.read(number * SLOT as u64, &mut slot)?;
            let text = String::from_utf8_lossy(&slot);
            let Some((session, who)) = text.trim_end().split_once(' ') else { continue };
            if let Ok(session) = session.parse()
                && self.lives(session)?
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
    files::beside(store, ".sessions")
}

fn holder_at(session: u64) -> u64 {
    FIRST_HOLDER + session % SLOTS * HOLDER as u64
}

/// The byte of a place in line.
fn at(place: u64) -> Bound<u64> {
    Bound::Included(FIRST.saturating_sub(1).saturating_sub(place))
}

fn byte(session: u64) -> Bound<u64> {
    Bound::Included(FIRST.saturating_add(session))
}

fn unsupported(source: BackendError) -> Error {
    Error::new(ErrorKind::Io, format!("the file of sessions cannot be locked: {source}")).with_source(source)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_held_by_one_until_it_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("h.redb");
        let (own, other) = (SessionLocks::open(&store).unwrap(), SessionLocks::open(&store).unwrap());
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
    fn a_session_whose_byte_is_held_by_a_forked_child_only_is_over() {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("h.redb");
        let (own, other) = (SessionLocks::open(&store).unwrap(), SessionLocks::open(&store).unwrap());
        assert!(own.hold(7).unwrap());
        assert!(other.lives(7).unwrap(), "nothing is written down yet");
        own.write_holder(7).unwrap();
        assert!(other.lives(7).unwrap());
        let this = LockHolder::this().map(|holder| holder.to_string());
        let Some(this) = this else { return };
        let (pid, rest) = this.split_once(' ').unwrap();
        let (_, sees) = rest.split_once(' ').unwrap();
        own.fill_slot(holder_at(7), HOLDER, &format!("7 {pid} 1 {sees}")).unwrap();
        assert!(!other.lives(7).unwrap() && other.is_held(7).unwrap());
        // The text of another session that had the slot says nothing.
        own.fill_slot(holder_at(7), HOLDER, &format!("1031 {pid} 1 {sees}")).unwrap();
        assert!(other.lives(7).unwrap());
    }

    #[test]
    fn a_place_in_line_is_one_process_s_and_the_others_see_that_it_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("h.redb");
        assert!(SessionLocks::open_existing(&store).is_none());
        let (one, two) = (SessionLocks::open(&store).unwrap(), SessionLocks::open_existing(&store).unwrap());
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

    #[cfg(feature = "replica")]
    #[test]
    fn one_process_ships_a_store_and_it_is_nobody_who_waits() {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("h.redb");
        let (one, two) = (SessionLocks::open(&store).unwrap(), SessionLocks::open(&store).unwrap());
        assert!(one.hold_shipping().unwrap() && !two.hold_shipping().unwrap());
        assert!(two.somebody_ships() && !one.somebody_ships() && !two.somebody_waits());
        assert!(two.hold(0).unwrap() && one.is_held(0).unwrap());
        drop(one);
        assert!(!two.somebody_ships() && two.hold_shipping().unwrap());
    }
}
