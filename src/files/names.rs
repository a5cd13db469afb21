//! Sets and removes names, and makes them durable.

use std::fs::{self, File};
use std::io::{self, ErrorKind as IoKind};
use std::path::Path;

use super::open::open;
use super::paths::folder_of;

/// The fate of an existing file of that name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Replace {
    /// It is kept, and the call fails. On a file system without links and without a rename that keeps it, the moment
    /// between looking and renaming stays.
    No,
    /// The same, but such a file system is refused.
    #[cfg(feature = "replica")]
    Never,
    /// It is replaced.
    Yes,
}

/// Renames a finished file from its temporary name. The file is synced before, and the name is durable when this
/// returns.
///
/// # Errors
///
/// `AlreadyExists` when the name exists and must not be replaced; `Unsupported` for [`Never`](Replace::Never) when the
/// file system cannot promise that; the error of the system. Then the temporary name stays.
pub(crate) fn publish(temporary: &Path, to: &Path, replace: Replace) -> io::Result<()> {
    open(temporary)?.sync_all()?;
    note!(FileSynced(temporary));
    match replace {
        Replace::Yes => rename(temporary, to)?,
        Replace::No => link(temporary, to, false)?,
        #[cfg(feature = "replica")]
        Replace::Never => link(temporary, to, true)?,
    }
    sync_path(to)
}

/// A rename would unlink what another process has just begun to use under that name.
fn link(from: &Path, to: &Path, is_strict: bool) -> io::Result<()> {
    match fs::hard_link(from, to) {
        Ok(()) => {
            note!(Linked(from, to));
            remove(from)
        }
        Err(error) => rename_unlinked(error, from, to, is_strict),
    }
}

/// Renames a file that could not be linked, if that is because there are no links.
fn rename_unlinked(error: io::Error, from: &Path, to: &Path, is_strict: bool) -> io::Result<()> {
    // A server that does not answer tells nothing: the name may be taken by the time at which a rename reaches it.
    if !has_no_links(&error, is_strict) {
        return Err(error);
    }
    match rename_new(from, to) {
        Err(error) if !is_strict && error.kind() == IoKind::Unsupported => match fs::symlink_metadata(to) {
            Ok(_) => Err(IoKind::AlreadyExists.into()),
            Err(absent) if absent.kind() == IoKind::NotFound => rename(from, to),
            Err(error) => Err(error),
        },
        renamed => renamed,
    }
}

/// Whether a file system has no links, or has none for this process. Elsewhere than on Unix no error tells it for
/// certain.
fn has_no_links(error: &io::Error, is_strict: bool) -> bool {
    #[cfg(unix)]
    if rustix::io::Errno::from_io_error(error).is_some_and(|error| error == rustix::io::Errno::NOTSUP) {
        return true;
    }
    match error.kind() {
        IoKind::Unsupported => true,
        IoKind::PermissionDenied => cfg!(unix) || !is_strict,
        IoKind::AlreadyExists => false,
        _ => cfg!(not(unix)) && !is_strict,
    }
}

/// Renames a file whose new name nobody has, as one step of the file system; `Unsupported` where there is no such step.
#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    use rustix::io::Errno;
    if is_of_a_server(to) {
        return Err(IoKind::Unsupported.into());
    }
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => Err(IoKind::Unsupported.into()),
        Err(error) => Err(error.into()),
        Ok(()) => {
            note!(Renamed(from, to));
            Ok(())
        }
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
fn rename_new(_: &Path, _: &Path) -> io::Result<()> {
    Err(IoKind::Unsupported.into())
}

/// Whether a server of the SMB protocol has a file: only the own machine knows there that a name is free.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn is_of_a_server(path: &Path) -> bool {
    const SMB: [u32; 3] = [0x517b, 0xff53_4d42, 0xfe53_4d42];
    rustix::fs::statfs(folder_of(path))
        .is_ok_and(|found| u32::try_from(found.f_type).is_ok_and(|kind| SMB.contains(&kind)))
}

#[cfg(target_vendor = "apple")]
fn is_of_a_server(_: &Path) -> bool {
    false
}

/// Renames a file or folder. The new name is durable only once it is synced.
///
/// # Errors
///
/// The error of the system.
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    note!(Renamed(from, to));
    Ok(())
}

/// Removes a file. This is durable only once something in its folder is synced.
///
/// # Errors
///
/// The error of the system.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    fs::remove_file(path)?;
    note!(Removed(path));
    Ok(())
}

/// Removes a folder with everything in it.
///
/// # Errors
///
/// The error of the system.
#[cfg(feature = "transfer")]
pub(crate) fn remove_folder(path: &Path) -> io::Result<()> {
    fs::remove_dir_all(path)?;
    note!(Removed(path));
    Ok(())
}

/// Removes a folder in which nothing is. One that is in use again stays.
#[cfg(feature = "replica")]
pub(crate) fn remove_empty_folder(path: &Path) {
    if fs::remove_dir(path).is_ok() {
        note!(Removed(path));
    }
}

/// Makes the name of a file durable in its folder, also if another process created it.
///
/// A folder that can be written to but not read cannot be synced. Then the whole file system is synced, if the system
/// supports this. Everything on a read-only file system is already durable.
///
/// # Errors
///
/// The error of the system. Then the name may be lost after a power cut.
pub(crate) fn sync_name(path: &Path) -> io::Result<()> {
    sync_folder(folder_of(path), path)
}

/// Makes every level of a path durable, because the name of the folder itself may not be durable yet.
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

/// Whether a file system needs no sync of folders, because it is read-only or does not buffer folders.
fn has_nothing_to_sync(error: &io::Error) -> bool {
    matches!(error.kind(), IoKind::ReadOnlyFilesystem | IoKind::InvalidInput | IoKind::Unsupported)
}

/// A process that can neither read nor write a folder has created no name in it.
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

    #[cfg(any(target_os = "linux", target_os = "android"))]
    #[test]
    fn without_links_a_name_that_is_taken_is_not_replaced_either() {
        let folder = tempfile::tempdir().unwrap();
        let [from, to, free] = ["new", "name", "free"].map(|name| folder.path().join(name));
        fs::write(&from, "new").unwrap();
        fs::write(&to, "old").unwrap();
        let renamed = |to, is_strict| rename_unlinked(IoKind::PermissionDenied.into(), &from, to, is_strict);
        for is_strict in [false, true] {
            assert_eq!(renamed(&to, is_strict).unwrap_err().kind(), IoKind::AlreadyExists);
            assert_eq!((fs::read(&from).unwrap(), fs::read(&to).unwrap()), (b"new".to_vec(), b"old".to_vec()));
        }
        renamed(&free, true).unwrap();
        assert!(!from.exists() && fs::read(&free).unwrap() == b"new");
    }

    #[cfg(unix)]
    #[test]
    fn a_failure_that_says_nothing_of_links_renames_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let [from, free] = ["new", "free"].map(|name| folder.path().join(name));
        fs::write(&from, "new").unwrap();
        for kind in [IoKind::TimedOut, IoKind::HostUnreachable, IoKind::NotFound, IoKind::AlreadyExists] {
            for is_strict in [false, true] {
                assert_eq!(rename_unlinked(kind.into(), &from, &free, is_strict).unwrap_err().kind(), kind);
                assert!(from.exists() && !free.exists());
            }
        }
    }
}
