//! The file of an event log. It is opened again when another file has its name, locked during writes, and its end is
//! read to find its last event.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::engine::redb_file::FileId;
use crate::error::{Error, ErrorKind, Result};
use crate::files::{self, Rights};

/// The bytes that are read from the end of the file. Only the end of a longer line is compared.
const END: u64 = 64 << 10;
/// The interval at which a waiting process tries to lock the file.
const LOOK: Duration = Duration::from_millis(1);
/// The most renames of the file that one wait tolerates.
const ATTEMPTS: usize = 8;

/// An open log.
pub(super) struct LogFile {
    file: File,
    id: Option<FileId>,
    /// Its length when this process last wrote to it, or read its end.
    known_length: Option<u64>,
}

/// The log while no other process may write to it.
pub(super) struct Locked<'f> {
    file: &'f mut LogFile,
}

/// The file, to sync it.
pub(super) struct Descriptor(File);

/// The last bytes of a file.
pub(super) struct End {
    bytes: Vec<u8>,
    is_whole: bool,
}

impl LogFile {
    /// Opens the file, and creates it if necessary.
    ///
    /// # Errors
    ///
    /// `Invalid` when it is not a regular file, `Io`.
    fn open(path: &Path, rights: Rights) -> Result<Self> {
        let named = |error| files::failed(path, error).context("event log");
        let file = files::append_or_create(path, rights).map_err(named)?;
        files::sync_name(path).map_err(named)?;
        let id = FileId::of(&file.metadata()?);
        Ok(Self { file, id, known_length: None })
    }

    /// Locks the log at that path, which may be another file by now. The former file is passed to `leave`, once no
    /// process writes to it any more.
    ///
    /// # Errors
    ///
    /// `Locked` when another process holds the lock for longer than `patience`; `Invalid`, `Io`, and the errors of
    /// `leave` except `Io`: a file that is gone blocks nobody from the next one.
    pub(super) fn lock<'f>(
        open: &'f mut Option<Self>,
        path: &Path,
        rights: Rights,
        patience: Duration,
        mut leave: impl FnMut(&mut Locked<'_>) -> Result<()>,
    ) -> Result<Locked<'f>> {
        for _ in 0..ATTEMPTS {
            let mut file = match open.take() {
                Some(file) => file,
                None => Self::open(path, rights)?,
            };
            let waited = file.wait(patience);
            // It may have been renamed in the meantime, too.
            if file.is_at(path) {
                let file = open.insert(file);
                return waited.map(|()| Locked { file });
            }
            match waited.and_then(|()| leave(&mut Locked { file: &mut file })) {
                Err(error) if error.kind() != ErrorKind::Io => {
                    *open = Some(file);
                    return Err(error);
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot read or sync the end of the renamed event log")
                }
                Ok(()) => {}
            }
        }
        Err(Error::new(ErrorKind::Io, format!("event log {}: it is renamed again and again", path.display())))
    }

    /// A log in that file.
    #[cfg(all(test, unix))]
    pub(super) fn over(file: File) -> Self {
        Self { file, id: None, known_length: None }
    }

    /// Another descriptor of the file, to sync it while others write.
    pub(super) fn descriptor(&self) -> Result<Descriptor> {
        Ok(Descriptor(self.file.try_clone()?))
    }

    fn wait(&self, patience: Duration) -> Result<()> {
        let until = Instant::now() + patience;
        loop {
            match self.file.try_lock() {
                Ok(()) => return Ok(()),
                Err(TryLockError::WouldBlock) if Instant::now() < until => std::thread::sleep(LOOK),
                Err(TryLockError::WouldBlock) => {
                    let message = "another process keeps the event log locked";
                    return Err(Error::new(ErrorKind::Locked, message));
                }
                Err(TryLockError::Error(error)) => return Err(error.into()),
            }
        }
    }

    fn is_at(&self, path: &Path) -> bool {
        FileId::at(path).is_ok_and(|at| at == self.id)
    }
}

impl Descriptor {
    /// Syncs the lines in the file, including those of other processes. With `others`, it also syncs files that had its
    /// name.
    pub(super) fn sync(&self, others: bool) -> Result<()> {
        #[cfg(target_os = "linux")]
        if others {
            // They are on the same file system, under unknown names.
            rustix::fs::syncfs(&self.0).map_err(std::io::Error::from)?;
        }
        #[cfg(not(target_os = "linux"))]
        let _ = others;
        Ok(self.0.sync_data()?)
    }
}

impl Locked<'_> {
    /// As [`LogFile::descriptor`].
    pub(super) fn descriptor(&self) -> Result<Descriptor> {
        self.file.descriptor()
    }

    /// Whether another process may have changed the file since this process wrote to it.
    pub(super) fn is_changed(&self) -> Result<bool> {
        Ok(self.file.known_length != Some(self.file.file.metadata()?.len()))
    }

    /// The end of the file.
    pub(super) fn end(&mut self) -> Result<End> {
        let length = self.file.file.metadata()?.len();
        let from = length.saturating_sub(END);
        self.file.file.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        (&self.file.file).take(END).read_to_end(&mut bytes)?;
        self.file.known_length = Some(length);
        Ok(End { bytes, is_whole: from == 0 })
    }

    /// Makes the file end with a complete line: removes the first half of the next line, and terminates any other half
    /// line.
    pub(super) fn end_the_line(&mut self, end: &End, next: &[u8]) -> Result<()> {
        let half = end.half();
        if half.is_empty() {
            return Ok(());
        }
        if next.starts_with(half) {
            let length = self.file.file.metadata()?.len();
            return Ok(self.file.file.set_len(length.saturating_sub(half.len() as u64))?);
        }
        Ok(self.file.file.write_all(b"\n")?)
    }

    /// Writes complete lines.
    pub(super) fn append(&mut self, lines: &[u8]) -> Result<()> {
        // The next call finds a line that was written only in part.
        self.file.known_length = None;
        self.file.file.write_all(lines)?;
        self.file.known_length = Some(self.file.file.metadata()?.len());
        Ok(())
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.file.file.unlock() {
            tracing::warn!(%error, "the event log stays locked until this process ends");
        }
    }
}

impl End {
    /// Whether this is the last complete line of the file.
    pub(super) fn is(&self, line: &[u8]) -> bool {
        let (lines, _) = self.parts();
        match lines.strip_suffix(line) {
            Some(before) => before.ends_with(b"\n") || before.is_empty() && self.is_whole,
            None => !self.is_whole && !lines.is_empty() && line.ends_with(lines),
        }
    }

    /// The bytes after the last complete line.
    fn half(&self) -> &[u8] {
        self.parts().1
    }

    fn parts(&self) -> (&[u8], &[u8]) {
        let at = self.bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        self.bytes.split_at_checked(at).unwrap_or_default()
    }
}
