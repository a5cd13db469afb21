//! Creates folders.

use std::fs::File;
use std::io::{self, ErrorKind as IoKind};
use std::path::{Path, PathBuf};

use super::names::sync_path;
use super::open::failed;
use super::rights::Rights;
use crate::error::Result;

/// Creates a new folder that only its owner can read.
///
/// # Errors
///
/// The error of the system.
pub(crate) fn create_folder(path: &Path, rights: Rights) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)?;
    note!(FolderCreated(path));
    if cfg!(unix) { rights.give_folder(&File::open(path)?, path) } else { Ok(()) }
}

/// Creates a folder and its missing ancestors. When this returns, the name of every level is durable, also of levels
/// that others have created and not synced.
///
/// # Errors
///
/// `Io`, `Full`, naming the level.
pub(crate) fn create_folders(path: &Path, rights: Rights) -> Result<()> {
    for level in missing(path) {
        match create_folder(&level, rights) {
            Err(error) if error.kind() == IoKind::AlreadyExists && level.is_dir() => {}
            created => created.map_err(|error| failed(&level, error))?,
        }
    }
    sync_path(path).map_err(|error| failed(path, error))
}

/// The missing levels of a path, the highest first.
fn missing(path: &Path) -> Vec<PathBuf> {
    let levels = path.ancestors().take_while(|level| !level.as_os_str().is_empty() && !level.is_dir());
    let mut missing: Vec<_> = levels.map(Path::to_path_buf).collect();
    missing.reverse();
    missing
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_that_is_no_folder_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let rights = Rights::new_at(&file);
        let error = create_folders(&file.join("a/b"), rights).unwrap_err().to_string();
        assert!(error.contains(&*file.to_string_lossy()), "{error}");
        let made = folder.path().join("a/b");
        create_folders(&made, rights).unwrap();
        create_folders(&made, rights).unwrap();
        assert!(made.is_dir());
    }
}
