//! Whether the file of a store still has its name. A file that was removed or replaced takes writes as long as it is
//! open, and all of them are lost when it is closed. So every commit looks first.

use std::io::ErrorKind as IoKind;
use std::path::{Path, PathBuf};

use crate::engine::redb_file::FileId;
use crate::error::{Error, ErrorKind, Result};

/// The name of an open file.
#[derive(Debug)]
pub(crate) struct NamedFile {
    path: PathBuf,
    /// The id of the file that was opened by it; none where the system has no such id.
    id: Option<FileId>,
    /// The folder in which all paths begin. Once the process has another one, as after
    /// `chroot`, the path leads elsewhere.
    root: Option<FileId>,
}

/// The folder in which all paths of this process begin now.
fn root() -> Option<FileId> {
    FileId::at(Path::new("/")).ok().flatten()
}

impl NamedFile {
    /// A file that was just opened by its name. If the system returns another id at once, its ids are not used.
    pub(crate) fn new(path: &Path, id: Option<FileId>) -> Self {
        let id = id.filter(|id| FileId::at(path).is_ok_and(|at| at == Some(*id)));
        Self { path: path.to_path_buf(), id, root: root() }
    }

    /// Whether all paths of this process begin in another folder since: files beside the store are out of its reach.
    pub(crate) fn leads_elsewhere(&self) -> bool {
        self.root != root()
    }

    /// The path of the file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The id of the file that was opened by it.
    #[cfg(feature = "replica")]
    pub(crate) fn id(&self) -> Option<FileId> {
        self.id
    }

    /// Whether another file has the path now, as far as that can be told.
    pub(crate) fn was_replaced(&self) -> bool {
        let now = FileId::at(&self.path).ok().flatten();
        self.id.zip(now).is_some_and(|(own, now)| own != now) && !self.leads_elsewhere()
    }

    /// Refuses what needs the files beside the path: in a file that is no longer there, and in a process that has
    /// another root since.
    ///
    /// # Errors
    ///
    /// `Moved` and `Conflict` then.
    pub(crate) fn refuse_elsewhere(&self) -> Result<()> {
        // Where the path leads to the file, it lies in its folder.
        if self.id.is_some_and(|id| FileId::at(&self.path).is_ok_and(|at| at == Some(id))) {
            return Ok(());
        }
        if self.leads_elsewhere() {
            return Err(Error::conflict("this process has another root since it opened the store; open it again"));
        }
        self.refuse_moved()
    }

    /// Whether the files beside the path are those of this file, as far as that can be told.
    pub(crate) fn is_in_place(&self) -> bool {
        !self.leads_elsewhere() && self.refuse_moved().is_ok()
    }

    /// Refuses writes to a file that is no longer at its path.
    ///
    /// # Errors
    ///
    /// `Moved` then. Where the system does not let this process look, or it has another root since, it is not refused.
    pub(crate) fn refuse_moved(&self) -> Result<()> {
        let Some(id) = self.id else { return Ok(()) };
        let became = match FileId::at(&self.path) {
            Ok(at) if at == Some(id) => return Ok(()),
            _ if self.leads_elsewhere() => return Ok(()),
            Ok(_) => "replaced by another",
            Err(error) if matches!(error.kind(), IoKind::NotFound | IoKind::NotADirectory) => "moved or removed",
            Err(error) => {
                tracing::debug!(%error, "it is unknown whether the file of the store still has its name");
                return Ok(());
            }
        };
        let message =
            "while the store was open, so nothing more is written to it; put it back, or stop and open the store again";
        Err(Error::new(ErrorKind::Moved, format!("the file of the store was {became} {message}")))
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs;

    use super::*;
    use crate::engine::redb_file::OwnFile;

    #[test]
    fn a_file_is_at_its_place_until_it_is_moved_replaced_or_removed_and_again_once_it_is_put_back() {
        let folder = tempfile::tempdir().unwrap();
        let [path, other, link] = ["h.redb", "other", "link"].map(|name| folder.path().join(name));
        fs::write(&path, b"a store").unwrap();
        let place = NamedFile::new(&path, OwnFile::read(&path).unwrap().id());
        let became = || {
            let refused = place.refuse_moved().map_err(|error| (error.kind(), error.to_string()));
            assert_eq!(place.refuse_elsewhere().map_err(|error| (error.kind(), error.to_string())), refused);
            refused
        };
        let refused = |what: &str| {
            let (kind, message) = became().unwrap_err();
            assert_eq!(kind, ErrorKind::Moved);
            assert!(message.starts_with(&format!("the file of the store was {what} while")), "{message}");
        };
        became().unwrap();
        fs::hard_link(&path, &link).unwrap();
        became().unwrap();
        fs::rename(&path, &other).unwrap();
        refused("moved or removed");
        assert!(!place.was_replaced());
        fs::write(&path, b"a store").unwrap();
        refused("replaced by another");
        assert!(place.was_replaced());
        fs::rename(&other, &path).unwrap();
        became().unwrap();
        assert!(!place.was_replaced());
        fs::remove_file(&path).unwrap();
        refused("moved or removed");
        fs::hard_link(&link, &path).unwrap();
        became().unwrap();
    }

    #[test]
    fn the_path_says_nothing_of_the_file_once_the_process_has_another_root() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("h.redb");
        fs::write(&path, b"a store").unwrap();
        let mut place = NamedFile::new(&path, OwnFile::read(&path).unwrap().id());
        fs::remove_file(&path).unwrap();
        assert!(place.refuse_moved().is_err());
        // As if that had been the root when the file was opened.
        assert!(!place.leads_elsewhere());
        place.root = FileId::at(folder.path()).unwrap();
        assert!(place.leads_elsewhere());
        place.refuse_moved().unwrap();
        assert_eq!(place.refuse_elsewhere().unwrap_err().kind(), ErrorKind::Conflict);
        fs::write(&path, b"another").unwrap();
        place.refuse_moved().unwrap();
    }
}
