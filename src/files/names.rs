//! Giving names and taking them away, and making them durable.

use std::fs::{self, File};
use std::io::{self, ErrorKind as IoKind};
use std::path::Path;

use super::open::open;
use super::paths::folder_of;

/// The fate of a file that has the name already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Replace {
    /// It stays, and that is an error.
    No,
    /// It goes.
    Yes,
}

/// Gives a finished file its name, in the place of its temporary one: synced before, and the name is on the disk when this
/// returns.
///
/// # Errors
///
/// `AlreadyExists` when the name is taken and is not to be replaced; as the system has it. Then the temporary name stays.
pub(crate) fn publish(temporary: &Path, to: &Path, replace: Replace) -> io::Result<()> {
    open(temporary)?.sync_all()?;
    note!(FileSynced(temporary));
    match replace {
        Replace::Yes => rename(temporary, to)?,
        Replace::No => link(temporary, to)?,
    }
    sync_path(to)
}

/// A rename would unlink what another process has just begun to use under that name.
fn link(from: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(from, to) {
        Ok(()) => {
            note!(Linked(from, to));
            remove(from)
        }
        Err(error) if error.kind() == IoKind::AlreadyExists => Err(error),
        // Some file systems have no links; there the moment between looking and renaming stays.
        Err(_) if fs::symlink_metadata(to).is_err() => rename(from, to),
        Err(error) => Err(error),
    }
}

/// Gives a file or folder another name, which is durable only once it is synced.
///
/// # Errors
///
/// As the system has it.
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    note!(Renamed(from, to));
    Ok(())
}

/// Removes a file. That it is gone is durable only once something in its folder is synced.
///
/// # Errors
///
/// As the system has it.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    fs::remove_file(path)?;
    note!(Removed(path));
    Ok(())
}

/// Removes a folder with everything in it.
///
/// # Errors
///
/// As the system has it.
#[cfg(feature = "transfer")]
pub(crate) fn remove_folder(path: &Path) -> io::Result<()> {
    fs::remove_dir_all(path)?;
    note!(Removed(path));
    Ok(())
}

/// Makes the name of a file durable in its folder, whoever gave it.
///
/// A folder that can be written to and not read cannot be synced: there the whole file system is, where the system can do
/// that. Everything on a read-only file system was durable before.
///
/// # Errors
///
/// As the system has it: then the name may be gone after a power cut.
pub(crate) fn sync_name(path: &Path) -> io::Result<()> {
    sync_folder(folder_of(path), path)
}

/// Makes every level of a path durable: a folder in which a name is safe may have an unsafe name itself.
pub(super) fn sync_path(path: &Path) -> io::Result<()> {
    let folder = fs::canonicalize(folder_of(path))?;
    folder.ancestors().try_for_each(|level| sync_folder(level, path))
}

fn sync_folder(folder: &Path, path: &Path) -> io::Result<()> {
    if cfg!(not(unix)) {
        return Ok(());
    }
    let synced = match File::open(folder) {
        Ok(opened) => opened.sync_all(),
        Err(error) if error.kind() == IoKind::PermissionDenied && !may_write(folder) => return Ok(()),
        Err(error) if error.kind() == IoKind::PermissionDenied => sync_file_system(path, error),
        Err(error) => Err(error),
    };
    match synced {
        Err(error) if has_nothing_to_sync(&error) => {}
        synced => synced?,
    }
    note!(FolderSynced(folder));
    Ok(())
}

/// Whether a file system has no use for that: it is read-only, or keeps no folders that could be behind.
fn has_nothing_to_sync(error: &io::Error) -> bool {
    matches!(error.kind(), IoKind::ReadOnlyFilesystem | IoKind::InvalidInput | IoKind::Unsupported)
}

/// A process that can neither read nor write a folder has made no name in it.
#[cfg(unix)]
fn may_write(folder: &Path) -> bool {
    rustix::fs::access(folder, rustix::fs::Access::WRITE_OK).is_ok()
}

#[cfg(not(unix))]
fn may_write(_: &Path) -> bool {
    true
}

#[cfg(target_os = "linux")]
fn sync_file_system(path: &Path, _: io::Error) -> io::Result<()> {
    Ok(rustix::fs::syncfs(File::open(path)?)?)
}

#[cfg(not(target_os = "linux"))]
fn sync_file_system(_: &Path, error: io::Error) -> io::Result<()> {
    Err(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::{Rights, create_new};

    #[test]
    fn a_name_that_is_taken_is_replaced_only_when_asked_and_the_temporary_one_stays_until_then() {
        let folder = tempfile::tempdir().unwrap();
        let (temporary, to) = (folder.path().join("new"), folder.path().join("name"));
        fs::write(&to, "old").unwrap();
        create_new(&temporary, Rights::new_at(&to)).unwrap();
        assert_eq!(publish(&temporary, &to, Replace::No).unwrap_err().kind(), IoKind::AlreadyExists);
        assert!(temporary.exists() && fs::read(&to).unwrap() == b"old");
        publish(&temporary, &to, Replace::Yes).unwrap();
        assert!(!temporary.exists() && fs::read(&to).unwrap().is_empty());
    }
}
