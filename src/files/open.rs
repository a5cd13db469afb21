//! Opens a path without waiting, and only if it is a regular file.

use std::fmt;
use std::fs::{File, FileType, OpenOptions};
use std::io::{self, ErrorKind as IoKind, Read};
use std::path::Path;

use crate::error::{Error, ErrorKind};

/// A path that is not a regular file, and its kind.
#[derive(Debug)]
pub(super) struct Other(pub(super) &'static str);

impl fmt::Display for Other {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it is {}", self.0)
    }
}

impl std::error::Error for Other {}

/// Opens a regular file for reading.
///
/// # Errors
///
/// The error of the system, or the one of [`is_other`] for anything but a regular file.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    regular(OpenOptions::new().read(true), path)
}

/// Opens a regular file for reading and writing. Its content is kept.
///
/// # Errors
///
/// As [`open`].
pub(crate) fn open_to_write(path: &Path) -> io::Result<File> {
    regular(OpenOptions::new().read(true).write(true), path)
}

/// Opens with these options, and then checks the kind of the open file. A check before could see another file.
pub(super) fn regular(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let file = without_waiting(options).open(path).map_err(|error| told(path, error))?;
    let kind = file.metadata()?.file_type();
    if kind.is_file() { Ok(file) } else { Err(other(kind)) }
}

/// A pipe without another end, or a device that is not ready, is not waited for. On a regular file this does nothing.
pub(super) fn without_waiting(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
        options.custom_flags(i32::try_from(flags.bits()).unwrap_or_default());
    }
    options
}

/// A folder, a socket or a pipe that cannot be opened is an error of the system that says nothing of that.
pub(super) fn told(path: &Path, error: io::Error) -> io::Error {
    if matches!(error.kind(), IoKind::NotFound | IoKind::AlreadyExists | IoKind::PermissionDenied) {
        return error;
    }
    match std::fs::metadata(path) {
        Ok(metadata) if !metadata.is_file() => other(metadata.file_type()),
        _ => error,
    }
}

pub(super) fn other(kind: FileType) -> io::Error {
    io::Error::new(IoKind::InvalidInput, Other(name_of(kind)))
}

#[cfg(unix)]
fn name_of(kind: FileType) -> &'static str {
    use std::os::unix::fs::FileTypeExt;
    match kind {
        kind if kind.is_dir() => "a directory",
        kind if kind.is_fifo() => "a FIFO",
        kind if kind.is_socket() => "a socket",
        kind if kind.is_symlink() => "a symbolic link",
        _ => "a device",
    }
}

#[cfg(not(unix))]
fn name_of(kind: FileType) -> &'static str {
    if kind.is_dir() { "a directory" } else { "something else" }
}

/// Refuses a path of anything but a regular file, also a symbolic link to one. A missing path is accepted. This
/// protects other kinds of files from being replaced.
///
/// # Errors
///
/// As [`open`].
pub(crate) fn refuse_other(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Ok(metadata) if !metadata.is_file() => Err(other(metadata.file_type())),
        Err(error) if error.kind() != IoKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The reason why a path is refused that is not a regular file; none for any other error.
pub(crate) fn is_other(error: &io::Error) -> Option<String> {
    error.get_ref().filter(|inner| inner.is::<Other>()).map(ToString::to_string)
}

/// The error with its path.
pub(crate) fn failed(path: &Path, error: io::Error) -> Error {
    if is_other(&error).is_some() {
        let message = format!("{error}; name a regular file: file={}", path.display());
        return Error::new(ErrorKind::Invalid, message).with_source(error);
    }
    Error::from(error).context(path.display())
}

/// Reads a small regular file of text that this program wrote.
///
/// # Errors
///
/// As [`open`]; `InvalidData` if it is longer than `limit`, or not UTF-8.
pub(crate) fn read_note(path: &Path, limit: u64) -> io::Result<String> {
    let mut bytes = Vec::new();
    open(path)?.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    let text = String::from_utf8(bytes).ok().filter(|text| text.len() as u64 <= limit);
    text.ok_or_else(|| io::Error::new(IoKind::InvalidData, "it is not what was written there"))
}

#[cfg(unix)]
#[cfg(test)]
pub(crate) mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use super::*;

    /// One of each, by its name in messages.
    fn odd(folder: &Path) -> Vec<(std::path::PathBuf, &'static str)> {
        let at = |name: &str| folder.join(name);
        fifo(&at("fifo"));
        drop(UnixListener::bind(at("socket")).unwrap());
        symlink(at("fifo"), at("link")).unwrap();
        let device = std::path::PathBuf::from("/dev/null");
        let named = |what| format!("it is {what}").leak() as &'static str;
        vec![
            (at("fifo"), named("a FIFO")),
            (at("link"), named("a FIFO")),
            (at("socket"), named("a socket")),
            (folder.to_path_buf(), named("a directory")),
            (device, named("a device")),
        ]
    }

    pub(crate) fn fifo(path: &Path) {
        let made = std::process::Command::new("mkfifo").arg(path).status().unwrap();
        assert!(made.success());
    }

    #[test]
    fn a_path_to_no_regular_file_is_named_and_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        for (path, why) in odd(folder.path()) {
            for error in [open(&path).unwrap_err(), open_to_write(&path).unwrap_err()] {
                assert_eq!(is_other(&error).as_deref(), Some(why), "{}", path.display());
                let error = failed(&path, error);
                assert_eq!(error.kind(), ErrorKind::Invalid);
                assert_eq!(error.to_string(), format!("{why}; name a regular file: file={}", path.display()));
            }
        }
        assert_eq!(open(&folder.path().join("none")).unwrap_err().kind(), IoKind::NotFound);
    }
}
