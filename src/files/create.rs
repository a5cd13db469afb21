//! Creates files.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind as IoKind};
use std::path::Path;

use super::open::{open, regular};
use super::rights::Rights;

/// Creates a new file for reading and writing. Its name is durable only once it is published or synced.
///
/// # Errors
///
/// The error of the system; `AlreadyExists` when the path exists.
pub(crate) fn create_new(path: &Path, rights: Rights) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path)?;
    note!(Created(path));
    rights.give(&file, path)?;
    Ok(file)
}

/// Gives a file that was just created other rights.
///
/// # Errors
///
/// The error of the system.
pub(crate) fn give_rights(path: &Path, rights: Rights) -> io::Result<()> {
    rights.give(&open(path)?, path)
}

/// Opens a regular file for reading and writing, or creates it. An existing file keeps its mode and its owner.
///
/// # Errors
///
/// As [`open`](super::open), and the error of the system.
pub(crate) fn open_or_create(path: &Path, rights: Rights) -> io::Result<File> {
    or_create(OpenOptions::new().read(true).write(true), path, rights)
}

/// The same for reading and appending.
///
/// # Errors
///
/// As [`open_or_create`].
pub(crate) fn append_or_create(path: &Path, rights: Rights) -> io::Result<File> {
    or_create(OpenOptions::new().read(true).append(true), path, rights)
}

fn or_create(options: &mut OpenOptions, path: &Path, rights: Rights) -> io::Result<File> {
    loop {
        match regular(options, path) {
            Err(error) if error.kind() == IoKind::NotFound => {}
            opened => return opened,
        }
        match create_new(path, rights) {
            // It is opened like one that was there, by the options.
            Ok(_) => {}
            Err(error) if error.kind() == IoKind::AlreadyExists && !path.is_symlink() => {}
            Err(error) => return Err(error),
        }
    }
}
