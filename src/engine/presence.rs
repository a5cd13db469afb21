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

    /// Holds the byte of a session until this is dropped; says whether nobody else did.
    pub(crate) fn hold(&self, session: u64) -> Result<bool> {
        let byte = byte(session);
        self.file.try_lock_range(byte, byte).map_err(unsupported)
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
        drop(own);
        assert!(!other.is_held(7).unwrap());
    }
}
