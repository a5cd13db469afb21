//! The owner and the mode of a new file.

use std::fs::File;
use std::io;
use std::path::Path;

use super::paths::folder_of;

/// Only its owner reads and writes it.
const PRIVATE: u32 = 0o600;
/// The bits of a mode that may be copied: no execution, no change of user or group.
const TAKEN: u32 = 0o666;

/// Mode, owner and group of a new file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rights {
    mode: u32,
    /// None means the process that creates it.
    user: Option<u32>,
    /// None means the default of the system.
    group: Option<u32>,
}

impl Rights {
    /// The rights of a new file at `path` that belongs to no store yet: only its owner can read it. If root creates it
    /// in the folder of another user, it belongs to that user.
    pub(crate) fn new_at(path: &Path) -> Self {
        Self { mode: PRIVATE, ..Self::owned_as(&existing(folder_of(path))) }
    }

    /// The rights of a file with content of a store, in any folder: only its owner can read it. If root creates it, it
    /// belongs to the owner of the store.
    pub(crate) fn of_content(store: &Path) -> Self {
        Self { mode: PRIVATE, ..Self::owned_as(store) }
    }

    /// The rights of a file beside a store that all its users need: those of the store.
    pub(crate) fn beside(store: &Path) -> Self {
        let Some(there) = there(store) else { return Self::new_at(store) };
        Self { mode: there.mode & TAKEN | PRIVATE, group: Some(there.group), ..Self::owned_as(store) }
    }

    /// The owner of the path, if root asks and the owner is another user.
    fn owned_as(path: &Path) -> Self {
        let of = if is_root() { there(path).filter(|there| there.user != 0) } else { None };
        Self { mode: PRIVATE, user: of.map(|there| there.user), group: of.map(|there| there.group) }
    }

    /// Gives these rights to an open file that was just created.
    pub(super) fn give(self, file: &File, path: &Path) -> io::Result<()> {
        give(self, file, path, TAKEN)
    }

    /// Gives these rights to a folder, which only its owner can read.
    #[cfg(feature = "transfer")]
    pub(super) fn give_folder(self, folder: &File, path: &Path) -> io::Result<()> {
        give(Self { mode: 0o700, ..self }, folder, path, 0o777)
    }
}

/// The folder itself, or its nearest existing ancestor.
fn existing(folder: &Path) -> std::path::PathBuf {
    let there = folder.ancestors().find(|folder| folder.exists() && !folder.as_os_str().is_empty());
    there.unwrap_or_else(|| Path::new(".")).to_path_buf()
}

/// Mode, owner and group of an existing file.
#[cfg_attr(not(unix), expect(dead_code, reason = "other systems keep rights in other ways"))]
#[derive(Clone, Copy)]
struct There {
    mode: u32,
    user: u32,
    group: u32,
}

#[cfg(unix)]
fn there(path: &Path) -> Option<There> {
    use std::os::unix::fs::MetadataExt;
    let metadata = std::fs::metadata(path).ok()?;
    Some(There { mode: metadata.mode(), user: metadata.uid(), group: metadata.gid() })
}

#[cfg(not(unix))]
fn there(_: &Path) -> Option<There> {
    None
}

#[cfg(unix)]
fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[cfg(not(unix))]
fn is_root() -> bool {
    false
}

/// Sets the owner first, because the present group must not read the file. If the group cannot be set, this is logged,
/// and the present group gets no rights.
#[cfg(unix)]
fn give(rights: Rights, file: &File, path: &Path, mask: u32) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt;

    use rustix::fs::{Gid, Mode, Uid, fchmod, fchown};
    let metadata = file.metadata()?;
    let user = rights.user.filter(|user| *user != metadata.uid());
    let group = rights.group.filter(|group| *group != metadata.gid());
    let mut mode = rights.mode;
    if (user.is_some() || group.is_some())
        && let Err(error) = fchown(file, user.map(Uid::from_raw), group.map(Gid::from_raw))
    {
        let error = io::Error::from(error);
        tracing::warn!(%error, path = %path.display(), ?user, ?group, "a new file could not be given to the owner of the store");
        mode &= !0o070;
    }
    if metadata.mode() & 0o777 != mode & mask {
        fchmod(file, Mode::from_raw_mode(mode & mask))?;
    }
    Ok(())
}

#[cfg(not(unix))]
fn give(_: Rights, _: &File, _: &Path, _: u32) -> io::Result<()> {
    Ok(())
}

#[cfg(all(unix, feature = "transfer"))]
#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};

    use super::*;
    use crate::files::{beside, create_folders, create_new};

    fn look(path: &Path) -> (u32, u32, u32) {
        let metadata = std::fs::metadata(path).unwrap();
        (metadata.mode() & 0o777, metadata.uid(), metadata.gid())
    }

    #[test]
    fn a_file_beside_a_store_has_its_mode_and_a_file_made_of_it_is_its_owner_s() {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("h.redb");
        create_new(&store, Rights::new_at(&store)).unwrap();
        for (mode, beside_mode) in [(0o600, 0o600), (0o660, 0o660), (0o400, 0o600), (0o755, 0o644)] {
            std::fs::set_permissions(&store, std::fs::Permissions::from_mode(mode)).unwrap();
            for (rights, wanted) in [(Rights::beside(&store), beside_mode), (Rights::of_content(&store), 0o600)] {
                let path = beside(&store, &format!(".{mode:o}.{wanted:o}"));
                let _gone = std::fs::remove_file(&path);
                create_new(&path, rights).unwrap();
                assert_eq!(look(&path).0, wanted, "mode={mode:o}");
            }
        }
    }

    #[test]
    fn root_gives_what_it_creates_to_the_owner_of_the_store_or_of_the_folder() {
        if !is_root() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        chown(folder.path(), Some(12345), Some(23456)).unwrap();
        let store = folder.path().join("h.redb");
        create_new(&store, Rights::new_at(&store)).unwrap();
        assert_eq!(look(&store), (0o600, 12345, 23456));
        let elsewhere = tempfile::tempdir().unwrap();
        let (file, made) = (elsewhere.path().join("a.tar.gz"), elsewhere.path().join("a/b"));
        create_new(&file, Rights::of_content(&store)).unwrap();
        create_folders(&made, Rights::of_content(&store)).unwrap();
        assert_eq!(look(&file), (0o600, 12345, 23456));
        assert_eq!([&made, made.parent().unwrap()].map(look), [(0o700, 12345, 23456); 2]);
        let own = elsewhere.path().join("own");
        create_new(&own, Rights::new_at(&own)).unwrap();
        assert_eq!(look(&own), (0o600, 0, 0));
    }
}
