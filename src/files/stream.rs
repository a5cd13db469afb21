//! Files that a person hands over, read whole: settings, secrets, JSON. They may be pipes, such as a shell makes of
//! `<(..)`.

use std::fs::{File, FileType, OpenOptions};
use std::io::{self, ErrorKind as IoKind, Read};
use std::path::Path;
use std::time::{Duration, Instant};

use super::open::failed;
use super::open::{Other, other, told, without_waiting};
use crate::error::{Error, Result};

/// The greatest length of a file of settings or secrets.
pub(crate) const SETTINGS_MAX: u64 = 1 << 20;

/// The longest wait for a writer of a pipe.
const WRITER_COMES: Duration = Duration::from_secs(5);
/// The interval between two looks at a pipe.
const LOOK: Duration = Duration::from_millis(5);

/// Reads a file to its end. A pipe is read like standard input. If no process writes to it within
/// five seconds, this is an error.
///
/// # Errors
///
/// `Invalid` for a folder, a socket or a device, for content over `limit`, and for a pipe without a writer; `Io`.
pub(crate) fn read(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let cannot = |error| failed(path, error);
    let file = without_waiting(OpenOptions::new().read(true)).open(path).map_err(|error| cannot(told(path, error)))?;
    let kind = file.metadata().map_err(cannot)?.file_type();
    let mut bytes = Vec::new();
    if kind.is_file() {
        file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(cannot)?;
    } else if is_pipe(kind) {
        read_pipe(file, limit, &mut bytes).map_err(cannot)?;
    } else {
        return Err(cannot(other(kind)));
    }
    if bytes.len() as u64 > limit {
        let message = format!("the file is too long: file={} limit_bytes={limit}", path.display());
        return Err(Error::invalid(message));
    }
    Ok(bytes)
}

/// The same as [`read`], for text.
///
/// # Errors
///
/// As [`read`], and `Invalid` if it is not UTF-8.
pub(crate) fn read_text(path: &Path, limit: u64) -> Result<String> {
    String::from_utf8(read(path, limit)?)
        .map_err(|_| Error::invalid(format!("this is not UTF-8 text: file={}", path.display())))
}

/// The same for a secret, which others must not be able to read.
///
/// # Errors
///
/// As [`read_text`], and `Invalid` for a file that users outside of its group can read.
#[cfg(feature = "cli")]
pub(crate) fn read_secret(path: &Path, limit: u64) -> Result<String> {
    let text = read_text(path, limit)?;
    if std::fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && others_can_read(&metadata)) {
        let path = path.display();
        return Err(Error::invalid(format!("others can read this secret; first run chmod o-rwx on it: file={path}")));
    }
    Ok(text)
}

#[cfg(all(unix, feature = "cli"))]
fn others_can_read(metadata: &std::fs::Metadata) -> bool {
    std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o004 != 0
}

#[cfg(all(not(unix), feature = "cli"))]
fn others_can_read(_: &std::fs::Metadata) -> bool {
    false
}

#[cfg(unix)]
fn is_pipe(kind: FileType) -> bool {
    std::os::unix::fs::FileTypeExt::is_fifo(&kind)
}

#[cfg(not(unix))]
fn is_pipe(_: FileType) -> bool {
    false
}

/// Reads a pipe that was opened without waiting: then a read is empty while nobody has it open for writing, and would
/// block while somebody has.
fn read_pipe(mut pipe: File, limit: u64, bytes: &mut Vec<u8>) -> io::Result<()> {
    let begun = Instant::now();
    let mut part = [0; 8192];
    let mut has_writer = false;
    while bytes.len() as u64 <= limit {
        match pipe.read(&mut part) {
            Ok(0) if has_writer => return Ok(()),
            Ok(0) if begun.elapsed() > WRITER_COMES => {
                return Err(io::Error::new(IoKind::InvalidInput, Other("a FIFO to which nobody writes")));
            }
            Ok(0) => std::thread::sleep(LOOK),
            Ok(read) => {
                has_writer = true;
                bytes.extend_from_slice(part.get(..read).unwrap_or_default());
            }
            Err(error) if error.kind() == IoKind::WouldBlock => {
                has_writer = true;
                std::thread::sleep(LOOK);
            }
            Err(error) if error.kind() == IoKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::error::ErrorKind;
    use crate::files::open::tests::fifo;

    #[test]
    fn a_pipe_is_read_to_its_end_and_named_as_a_pipe_when_nobody_writes_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fifo");
        fifo(&path);
        let writer = std::thread::spawn({
            let path = path.clone();
            move || {
                let mut file = OpenOptions::new().write(true).open(path).unwrap();
                for _ in 0..3 {
                    file.write_all(b"abc").unwrap();
                    std::thread::sleep(Duration::from_millis(30));
                }
            }
        });
        assert_eq!(read(&path, 9).unwrap(), b"abcabcabc");
        writer.join().unwrap();
        let error = read(&path, 9).unwrap_err().to_string();
        assert_eq!(error, format!("it is a FIFO to which nobody writes; name a regular file: file={}", path.display()));
    }

    #[test]
    fn a_file_is_read_up_to_a_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        std::fs::write(&path, "12345").unwrap();
        assert_eq!(read_text(&path, 5).unwrap(), "12345");
        assert!(read(&path, 4).unwrap_err().to_string().starts_with("the file is too long: file="));
        assert_eq!(read(folder.path(), 4).unwrap_err().kind(), ErrorKind::Invalid);
    }
}
