//! A bucket that is a folder: an object is a file that only its owner can read, with a durable name that is never
//! replaced.

use std::fs::{self, File};
use std::io::{self, ErrorKind as IoKind, Read, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use jiff::Timestamp;
use parking_lot::Mutex;

use super::creation::Creation;
use super::in_time::Progress;
use super::listed::Each;
use crate::error::{Error, ErrorKind, Result};
use crate::files::{self, Replace, Rights};
use crate::replica::objects::layout::OBJECT_MAX;
use crate::replica::objects::name::{Folder, ObjectName, ReplicaSlot};

/// The greatest depth of folders below the one of the replica.
const DEPTH_MAX: usize = 3;
/// So many bytes are read at a time.
const PIECE: u64 = 1 << 20;

/// A folder with the objects of a replica.
#[derive(Debug)]
pub(super) struct Directory {
    root: PathBuf,
    known: Mutex<Known>,
}

/// The signs by which a folder is known again.
#[derive(Debug, Default)]
struct Known {
    /// The identity of the folder. A disk that is no longer mounted leaves an empty folder of the same name behind, in
    /// which every object would be absent. One that is mounted again may have another identity.
    identity: Option<(u64, u64)>,
    /// The description of the replica, once it was read or written.
    description: Option<Bytes>,
    /// The newest object of the log that was read or written, and its length: an older copy does not have it.
    newest: Option<(ReplicaSlot, u64)>,
}

impl Directory {
    /// Opens a folder, and creates it if it is not there.
    pub(super) fn create_root(path: &Path) -> Result<Self> {
        files::create_folders(path, Rights::new_at(path))?;
        Self::open(path)
    }

    /// Opens a folder.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let root = fs::canonicalize(path).map_err(|error| match error.kind() {
            IoKind::NotFound => {
                let why = "there is no replica, and no such folder; initialize it first, or mount its disk";
                Error::not_found(format!("{why}: location={}", path.display())).with_source(error)
            }
            _ => files::failed(path, error),
        })?;
        let identity = identity(&root).map_err(|error| files::failed(path, error))?;
        Ok(Self { root, known: Mutex::new(Known { identity, ..Known::default() }) })
    }

    /// The path, for messages.
    pub(super) fn shown(&self) -> String {
        self.root.display().to_string()
    }

    /// Creates an object unless its name exists.
    pub(super) fn create(&self, name: &ObjectName, bytes: &[u8]) -> Result<Creation> {
        self.is_same()?;
        let path = self.path(name);
        let folder = files::folder_of(&path);
        files::create_folders(folder, Rights::new_at(folder)).map_err(|error| refused(&path, error))?;
        match write_new(&path, bytes) {
            Ok(()) => {
                self.note(name, bytes);
                Ok(Creation::Created)
            }
            Err(error) if error.kind() == IoKind::AlreadyExists => Ok(Creation::Exists),
            Err(error) if error.kind() == IoKind::Unsupported => {
                let why = "the file system of the folder cannot create a name that nobody else has, so it can hold no replica";
                Err(Error::invalid(format!("{why}: path={}", path.display())).with_source(error))
            }
            Err(error) if is_refused(&error) => Err(refused(&path, files::failed(&path, error))),
            Err(error) => Ok(Creation::Unknown(files::failed(&path, error))),
        }
    }

    /// An object; none if it is not there.
    pub(super) fn get(&self, name: &ObjectName, progress: &Progress) -> Result<Option<Bytes>> {
        let path = self.path(name);
        let mut file = loop {
            match files::open(&path) {
                Ok(file) => break file,
                Err(error) if is_absent(&error) => match self.is_same()? {
                    Same::Stayed => return Ok(None),
                    // It may be absent in the folder of before only.
                    Same::Again => {}
                },
                Err(error) => return Err(files::failed(&path, error)),
            }
        };
        let mut bytes = Vec::new();
        loop {
            let piece = (&mut file).take(PIECE).read_to_end(&mut bytes).map_err(|error| files::failed(&path, error))?;
            progress.step();
            if bytes.len() > OBJECT_MAX {
                return Err(super::creation::too_long(name));
            }
            if piece == 0 {
                break;
            }
        }
        self.note(name, &bytes);
        Ok(Some(Bytes::from(bytes)))
    }

    /// The names of objects in a folder, in no order.
    pub(super) fn list(&self, folder: Folder, each: &mut Each<'_>) -> Result<()> {
        self.is_same()?;
        self.walk(&self.root.join(folder.to_string()), DEPTH_MAX, each).map(drop)
    }

    fn walk(&self, folder: &Path, depth: usize, each: &mut Each<'_>) -> Result<ControlFlow<()>> {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if is_absent(&error) => return Ok(ControlFlow::Continue(())),
            Err(error) => return Err(files::failed(folder, error)),
        };
        for entry in entries {
            let entry = entry.map_err(|error| files::failed(folder, error))?;
            let path = entry.path();
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            let next = if is_folder && depth > 0 {
                self.walk(&path, depth - 1, each)?
            } else if let Some(name) = path.strip_prefix(&self.root).ok().and_then(Path::to_str) {
                // A file that was deleted meanwhile has no length any more.
                let length = || entry.metadata().map_or(0, |metadata| metadata.len());
                each(&name.replace(std::path::MAIN_SEPARATOR, "/"), &length)
            } else {
                ControlFlow::Continue(())
            };
            if next.is_break() {
                return Ok(next);
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Deletes an object, if it is there.
    pub(super) fn delete(&self, name: &ObjectName) -> Result<()> {
        self.is_same()?;
        let path = self.path(name);
        match files::remove(&path) {
            Err(error) if !is_absent(&error) => return Err(files::failed(&path, error)),
            _ => {}
        }
        // Each proof and each base has a folder of its own.
        if matches!(name, ObjectName::Probe(..) | ObjectName::Part(..) | ObjectName::Manifest(_)) {
            files::remove_empty_folder(files::folder_of(&path));
        }
        Ok(())
    }

    /// Removes the files that were begun before that time and never finished: their processes were killed.
    pub(super) fn remove_left(&self, begun_before: Timestamp, progress: &Progress) -> Result<()> {
        self.is_same()?;
        let mut left = Vec::new();
        let mut look = |text: &str, _: &dyn Fn() -> u64| {
            progress.step();
            let is_ours = files::name_of_unfinished(text).is_some_and(|name| ObjectName::parse(name).is_some());
            left.extend(is_ours.then(|| self.root.join(text)));
            ControlFlow::Continue(())
        };
        let _all = self.walk(&self.root, DEPTH_MAX, &mut look)?;
        for path in left {
            progress.step();
            let changed = fs::metadata(&path).and_then(|file| file.modified()).ok();
            let changed = changed.and_then(|at| Timestamp::try_from(at).ok());
            if changed.is_some_and(|at| at < begun_before)
                && let Err(error) = files::remove(&path)
                && !is_absent(&error)
            {
                return Err(files::failed(&path, error));
            }
        }
        Ok(())
    }

    fn path(&self, name: &ObjectName) -> PathBuf {
        self.root.join(name.to_string())
    }

    /// Remembers by which signs the folder is known again.
    fn note(&self, name: &ObjectName, bytes: &[u8]) {
        let mut known = self.known.lock();
        match name {
            ObjectName::Store => drop(known.description.get_or_insert_with(|| Bytes::copy_from_slice(bytes))),
            ObjectName::Log(slot)
                if known.newest.is_none_or(|(newest, _)| newest < *slot)
                    && identity(&self.root).is_ok_and(|now| now == known.identity) =>
            {
                known.newest = Some((*slot, bytes.len() as u64));
            }
            _ => {}
        }
    }

    /// Refuses a folder that has come under the name since it was opened, unless it has the same replica: its disk was
    /// mounted again.
    fn is_same(&self) -> Result<Same> {
        let now = identity(&self.root);
        let mut known = self.known.lock();
        if let Ok(now) = now {
            if now == known.identity {
                return Ok(Same::Stayed);
            }
            if self.is_known(&known) {
                tracing::warn!(path = %self.root.display(), "the folder of the replica was mounted again");
                known.identity = now;
                return Ok(Same::Again);
            }
        }
        let why = "the folder of the replica is gone, or another one has its name; mount it again";
        Err(Error::new(ErrorKind::Io, format!("{why}: path={}", self.root.display())))
    }

    /// Whether the folder under the name has the replica that was known, and no older copy of it.
    fn is_known(&self, known: &Known) -> bool {
        let Some(description) = &known.description else { return false };
        let has_newest = known.newest.is_none_or(|(slot, length)| {
            fs::metadata(self.path(&ObjectName::Log(slot))).is_ok_and(|file| file.len() == length)
        });
        has_newest && has_bytes(&self.path(&ObjectName::Store), description)
    }
}

/// Whether a folder is the one of before.
enum Same {
    Stayed,
    /// The same one under another identity, from now on.
    Again,
}

/// Writes a file under a temporary name, and gives it its own.
fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if path.exists() {
        return Err(IoKind::AlreadyExists.into());
    }
    let temporary = files::unfinished_name(path);
    let written = files::create_new(&temporary, Rights::new_at(path)).and_then(|mut file: File| {
        file.write_all(bytes)?;
        files::publish(&temporary, path, Replace::Never)
    });
    if written.is_err() {
        let _gone = files::remove(&temporary);
    }
    written
}

/// Whether a file has exactly these bytes.
fn has_bytes(path: &Path, bytes: &[u8]) -> bool {
    let mut found = Vec::new();
    let read = files::open(path).and_then(|file| file.take(bytes.len() as u64 + 1).read_to_end(&mut found));
    read.is_ok() && found == bytes
}

/// Whether another try would be refused too.
fn is_refused(error: &io::Error) -> bool {
    matches!(error.kind(), IoKind::PermissionDenied | IoKind::ReadOnlyFilesystem)
}

/// The error for a folder in which this process may not write; any other error stays.
fn refused(path: &Path, error: Error) -> Error {
    let source = std::error::Error::source(&error).and_then(|source| source.downcast_ref::<io::Error>());
    if !source.is_some_and(is_refused) {
        return error;
    }
    let why = format!("the folder of the replica refuses writes: path={}", path.display());
    Error::new(ErrorKind::Forbidden, why).with_source(error)
}

/// A file in place of a folder counts as absence too: no object has the name.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), IoKind::NotFound | IoKind::NotADirectory)
}

#[cfg(unix)]
fn identity(path: &Path) -> io::Result<Option<(u64, u64)>> {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(path).map(|metadata| Some((metadata.dev(), metadata.ino())))
}

#[cfg(not(unix))]
fn identity(path: &Path) -> io::Result<Option<(u64, u64)>> {
    fs::metadata(path).map(|_| None)
}
