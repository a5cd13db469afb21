//! The Unix socket of a service.

use std::fs::{self, DirBuilder};
use std::io::{self, ErrorKind as IoKind};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use super::names::rename;

/// Listens at a path, for the owner alone, in place of the socket of a process that is dead.
///
/// # Errors
///
/// `AddrInUse` when a process listens there, `AlreadyExists` when something else than a socket
/// is there; as the system has it.
pub(crate) fn listen_at(path: &Path) -> io::Result<UnixListener> {
    match fs::symlink_metadata(path) {
        Ok(there) if !there.file_type().is_socket() => return Err(IoKind::AlreadyExists.into()),
        Ok(_) if is_alive(path)? => return Err(IoKind::AddrInUse.into()),
        Ok(_) => {}
        Err(error) if error.kind() == IoKind::NotFound => {}
        Err(error) => return Err(error),
    }
    // It gets its name once nobody else may use it, and nobody else reaches it before.
    let mut folder = path.as_os_str().to_owned();
    folder.push(format!(".{}", std::process::id()));
    let (folder, unfinished) = (PathBuf::from(&folder), PathBuf::from(folder).join("s"));
    DirBuilder::new().mode(0o700).create(&folder)?;
    let listener = UnixListener::bind(&unfinished).and_then(|listener| {
        fs::set_permissions(&unfinished, fs::Permissions::from_mode(0o600))?;
        rename(&unfinished, path)?;
        Ok(listener)
    });
    let _left_behind = fs::remove_dir_all(&folder);
    listener
}

/// Whether a process listens there.
fn is_alive(path: &Path) -> io::Result<bool> {
    match UnixStream::connect(path) {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.kind(), IoKind::ConnectionRefused | IoKind::NotFound) => Ok(false),
        // Its queue is full.
        Err(error) if error.kind() == IoKind::WouldBlock => Ok(true),
        Err(error) => Err(error),
    }
}
