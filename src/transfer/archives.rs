//! The place of a store's archives, and the newest archive.

use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};

use crate::engine::store::Store;
use crate::error::Result;

/// The default folder of archives, beside the store.
const FOLDER: &str = "hivekeep-archives";

/// The folder of archives of a store.
pub(crate) fn folder_beside(store: &Path) -> PathBuf {
    store.with_file_name(FOLDER)
}

/// The folder of the last archive that `serve` made of the store at `path`, or else the folder beside the store.
pub(crate) fn folder_of(store: &Store, path: &Path) -> Result<PathBuf> {
    let last = store.last_archive()?;
    let folder = last.as_ref().and_then(|last| Path::new(&last.file).parent());
    Ok(folder.map_or_else(|| folder_beside(path), Path::to_path_buf))
}

/// The newest archive, by time of writing.
pub(crate) fn newest(folder: &Path) -> Option<(PathBuf, Metadata)> {
    let files = fs::read_dir(folder).ok()?.filter_map(Result::<_, std::io::Error>::ok);
    let archives = files.filter(|file| is_archive(&file.file_name().to_string_lossy()));
    let archives = archives.filter_map(|file| Some((file.path(), file.metadata().ok()?)));
    archives.filter(|(_, metadata)| metadata.is_file()).max_by_key(|(_, metadata)| metadata.modified().ok())
}

/// Whether two files are on the same file system; none if this is unknown.
#[cfg(unix)]
pub(crate) fn same_file_system(one: &Path, other: &Path) -> Option<bool> {
    use std::os::unix::fs::MetadataExt;
    Some(fs::metadata(one).ok()?.dev() == fs::metadata(other).ok()?.dev())
}

/// Whether two files are on the same file system. Here this is unknown.
#[cfg(not(unix))]
pub(crate) fn same_file_system(_: &Path, _: &Path) -> Option<bool> {
    None
}

fn is_archive(name: &str) -> bool {
    name.starts_with("state-") && [".tar.gz", ".tar.zst", ".age"].iter().any(|end| name.ends_with(end))
}
