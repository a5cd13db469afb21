//! Free space for removing records on a full disk: `PATH.reserve`, 4 MiB beside the store, given up once the disk is
//! full. Removing writes pages before it frees any, so a full disk could not be emptied without it.

use std::fs;
#[cfg(target_os = "linux")]
use std::fs::File;
use std::io::{ErrorKind as IoKind, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, is_no_room};
use crate::files::{self, Rights};

const BYTES: usize = 4 << 20;
/// The reserve is created only if this much is free, so that a store which is reopened does not take back the
/// space that it has just given up.
pub(crate) const NEEDED: u64 = 6 << 20;

/// Creates the reserve of a store if it is missing and there is room. A store works without one too.
pub(crate) fn keep(store: &Path) {
    let path = path(store);
    if fs::symlink_metadata(&path).is_ok() || free_space(store).is_some_and(|free| free < NEEDED) {
        return;
    }
    if let Err(error) = make(&path, Rights::beside(store))
        && error.kind() != IoKind::AlreadyExists
    {
        tracing::warn!(%error, path = %path.display(), "no room could be reserved for removing records on a full disk");
    }
}

/// Gives the reserve up if an error says that the disk is full, and says so in the error.
pub(crate) fn give_up_when_full(store: &Path, error: Error) -> Error {
    if !is_full(&error) || files::remove(&path(store)).is_err() {
        return error;
    }
    tracing::error!(path = %store.display(), "the disk is full; the reserve was given up");
    error.context(
        "the disk is full; 4 MiB that were kept for this are free now: open the store again and remove what is not needed",
    )
}

/// The bytes that are free where a file is; none where the system does not tell.
#[cfg(unix)]
pub(crate) fn free_space(path: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(path).ok()?;
    // Some file systems do not count.
    (disk.f_blocks > 0).then(|| disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// The bytes that are free where a file is; none where the system does not tell.
#[cfg(not(unix))]
pub(crate) fn free_space(_path: &Path) -> Option<u64> {
    None
}

fn path(store: &Path) -> PathBuf {
    files::beside(store, ".reserve")
}

fn make(path: &Path, rights: Rights) -> std::io::Result<()> {
    let mut file = files::create_new(path, rights)?;
    // A length alone would take no room.
    let made = allocate(&file).or_else(|_| file.write_all(&vec![0; BYTES]));
    if made.is_err() {
        drop(file);
        files::remove(path)?;
    }
    made
}

#[cfg(target_os = "linux")]
fn allocate(file: &File) -> std::io::Result<()> {
    Ok(rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, BYTES as u64)?)
}

#[cfg(not(target_os = "linux"))]
fn allocate(_file: &File) -> std::io::Result<()> {
    Err(IoKind::Unsupported.into())
}

/// Whether a full disk caused an error.
pub(crate) fn is_full(error: &Error) -> bool {
    let mut source = Some(error as &(dyn std::error::Error + 'static));
    std::iter::from_fn(|| {
        let error = source?;
        source = error.source();
        Some(error)
    })
    .any(|error| match error.downcast_ref::<std::io::Error>() {
        Some(error) => is_no_room(error.kind()),
        None => error.downcast_ref::<Error>().is_some_and(|error| error.kind() == ErrorKind::Full),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserve_is_made_once_and_given_up_when_the_disk_is_full() {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("h.redb");
        fs::write(&store, b"").unwrap();
        keep(&store);
        keep(&store);
        let reserve = folder.path().join("h.redb.reserve");
        assert_eq!(fs::metadata(&reserve).unwrap().len(), BYTES as u64);

        let other = give_up_when_full(&store, Error::invalid("a key is empty"));
        assert_eq!(other.to_string(), "a key is empty");
        assert!(reserve.exists());

        let full = Error::new(ErrorKind::Uncertain, "the commit failed")
            .with_source(Error::from(std::io::Error::from(IoKind::StorageFull)));
        let full = give_up_when_full(&store, full);
        assert_eq!(full.kind(), ErrorKind::Uncertain);
        assert!(full.to_string().starts_with("the disk is full; 4 MiB"), "{full}");
        assert!(!reserve.exists());
    }

    #[test]
    fn a_reserve_is_not_written_through_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (store, other) = (folder.path().join("h.redb"), folder.path().join("other"));
        fs::write(&store, b"").unwrap();
        if cfg!(unix) {
            #[cfg(unix)]
            std::os::unix::fs::symlink(&other, folder.path().join("h.redb.reserve")).unwrap();
            keep(&store);
            assert!(!other.exists());
        }
    }
}
