//! Whether the disk has room for a point. It is asked before: a disk that runs full in the middle of a commit is
//! survived too, but nothing can be deleted on it then.

use std::path::Path;

use crate::engine::reserve::free_space;
use crate::engine::store::Store;
use crate::error::{Error, ErrorKind, Result};

/// A point may need this much: the pages of its commit twice, and the file's next step of growth.
pub(crate) const MIN_FREE: u64 = 16 << 20;

/// How much must be free.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FreeSpace {
    min_free: u64,
}

impl FreeSpace {
    pub(crate) fn new(min_free: u64) -> Self {
        Self { min_free }
    }

    /// The free bytes of the disk of a store; none where the system does not tell.
    pub(crate) fn free(self, store: &Store) -> Option<u64> {
        free_space(store.path())
    }

    /// Refuses when there is not enough.
    ///
    /// # Errors
    ///
    /// `Full`.
    pub(crate) fn for_point(self, store: &Store) -> Result<()> {
        self.at(store.path())
    }

    /// The same for a path.
    ///
    /// # Errors
    ///
    /// `Full`.
    pub(crate) fn at(self, path: &Path) -> Result<()> {
        match free_space(path) {
            Some(free) if free < self.min_free => Err(Error::new(
                ErrorKind::Full,
                format!(
                    "the disk is nearly full, so no point is made; free some space: free_bytes={free} needed_bytes={}",
                    self.min_free
                ),
            )),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_without_room_is_refused_with_what_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        assert!(FreeSpace::new(1).at(folder.path()).is_ok());
        if free_space(folder.path()).is_some() {
            let error = FreeSpace::new(u64::MAX).at(folder.path()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Full);
            assert!(error.to_string().ends_with("needed_bytes=18446744073709551615"), "{error}");
        }
    }
}
