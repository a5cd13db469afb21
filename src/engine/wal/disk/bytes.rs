//! The locked bytes of the store's file. W11: locks that data hangs on are in the redb file itself, since the files
//! beside it can be replaced, and then a lock in them is two locks.

use std::ops::Bound;
use std::path::Path;
use std::time::Duration;

use crate::engine::redb_file::{BackendError, OwnFile, StorageBackend, WRITER};
use crate::engine::session::writer_line::WriterLine;
use crate::error::{Error, ErrorKind, Result};

/// Locked by the process that has the turn. Redb locks none of these bytes, unless one process has the file for itself.
const TURN: Bound<u64> = Bound::Included(WRITER - 5);
/// Locked, shared, by every process that writes to the log, from its opening to its close.
const PRESENCE: Bound<u64> = Bound::Included(WRITER - 6);

/// The locks of one process.
#[derive(Debug)]
pub(in crate::engine::wal) struct TurnBytes {
    file: Box<dyn StorageBackend>,
}

impl TurnBytes {
    /// Over the store's file, opened for this alone.
    pub(in crate::engine::wal) fn over(file: Box<dyn StorageBackend>) -> Self {
        Self { file }
    }

    /// Takes the turn, unless another process has it; says whether it did. The threads of this process take the write
    /// lock first, since the byte does not keep them apart.
    pub(in crate::engine::wal) fn try_take(&self) -> Result<bool> {
        self.file.try_lock_range(TURN, TURN).map_err(unsupported)
    }

    /// Gives the turn up.
    pub(in crate::engine::wal) fn give_up(&self) {
        if let Err(error) = self.file.unlock_range(TURN, TURN) {
            tracing::warn!(%error, "the turn at the log cannot be given up");
        }
    }

    /// Becomes one of the processes that write to the log, unless another one has the store for itself; says whether it
    /// did.
    pub(in crate::engine::wal) fn come(&self) -> Result<bool> {
        self.file.try_lock_shared_range(PRESENCE, PRESENCE).map_err(unsupported)
    }

    /// Is none of them any more.
    pub(in crate::engine::wal) fn leave(&self) {
        if let Err(error) = self.file.unlock_range(PRESENCE, PRESENCE) {
            tracing::warn!(%error, "the store cannot be left");
        }
    }

    /// Whether another process writes to the log.
    pub(in crate::engine::wal) fn has_others(&self) -> Result<bool> {
        self.file.query_lock_range(PRESENCE, PRESENCE).map_err(unsupported)
    }
}

/// Whether processes share the log of a store.
///
/// # Errors
///
/// As opening the file for reading.
pub(crate) fn is_lived_in(store: &Path) -> Result<bool> {
    Ok(OwnFile::read(store)?.query_lock_range(PRESENCE, PRESENCE).unwrap_or(false))
}

/// The error for a caller whose time has passed while another process had the turn.
pub(in crate::engine::wal) fn turn_is_kept(line: &WriterLine, timeout: Duration) -> Error {
    let (living, waited_ms) = (line.living(), timeout.as_millis());
    let message = format!(
        "the turn at the log of the store was not free; the store is open in {living}: a process writes all the time, is \
         stopped, or has left a child that keeps the turn; end it, or try again later: waited_ms={waited_ms}"
    );
    Error::new(ErrorKind::Locked, message)
}

fn unsupported(source: BackendError) -> Error {
    Error::new(ErrorKind::Io, format!("the file of the store cannot be locked: {source}")).with_source(source)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_has_the_turn_and_each_sees_whether_there_are_others() {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("h.redb");
        std::fs::write(&store, b"").unwrap();
        let [one, two] = [(), ()].map(|()| TurnBytes::over(Box::new(OwnFile::write(&store).unwrap())));
        assert!(one.try_take().unwrap() && !two.try_take().unwrap());
        one.give_up();
        assert!(two.try_take().unwrap() && !one.try_take().unwrap());
        drop(two);
        assert!(one.try_take().unwrap());

        assert!(!is_lived_in(&store).unwrap());
        assert!(one.come().unwrap());
        assert!(is_lived_in(&store).unwrap() && !one.has_others().unwrap());
        let two = TurnBytes::over(Box::new(OwnFile::write(&store).unwrap()));
        assert!(two.has_others().unwrap());
        assert!(two.come().unwrap());
        assert!(one.has_others().unwrap());
        one.leave();
        assert!(!two.has_others().unwrap() && is_lived_in(&store).unwrap());
    }
}
