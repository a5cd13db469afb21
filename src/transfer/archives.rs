//! The place of a store's archives, and the newest archive.

use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};

use crate::engine::store::Store;
use crate::engine::view::View;
use crate::error::Result;
use crate::recovery::events::event::{Event, EventKind};
use crate::state::page::Page;

/// The default folder of archives, beside the store.
const FOLDER: &str = "hivekeep-archives";

/// The number of events that are searched for archives and failures, newest first.
pub(crate) const EVENTS: usize = 1_000;
/// The field of an event that says whether the archive has every collection.
pub(super) const COMPLETE: &str = "complete";

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

/// The newest archive that would bring the whole store back, by time of writing: one in the folder, or one that was
/// exported to elsewhere. An archive of some collections is no copy of the store.
pub(crate) fn newest(folder: &Path, exports: &[Export]) -> Option<(PathBuf, Metadata)> {
    let is_part =
        |file: &Path| exports.iter().find(|export| export.file == file).is_some_and(|export| !export.complete);
    let in_folder = fs::read_dir(folder).into_iter().flatten().filter_map(Result::<_, std::io::Error>::ok);
    let in_folder = in_folder.filter(|file| is_archive(&file.file_name().to_string_lossy())).map(|file| file.path());
    let there = |file: PathBuf| {
        let metadata = fs::metadata(&file).ok().filter(Metadata::is_file)?;
        Some((file, metadata))
    };
    let in_folder = in_folder.filter(|file| !is_part(file)).filter_map(there);
    let exported = exports.iter().filter(|export| export.file.is_absolute() && !is_part(&export.file));
    // The newest event comes first, so the files of the others need no look.
    let exported = exported.map(|export| export.file.clone()).find_map(there);
    in_folder.chain(exported).max_by_key(|(_, metadata)| metadata.modified().ok())
}

/// An archive that was made of the store, from its event.
pub(crate) struct Export {
    file: PathBuf,
    /// Whether it has every collection. Exports by earlier versions do not say so, and do not count.
    complete: bool,
}

impl Export {
    /// Those among these events, in their order, which is the newest first.
    pub(crate) fn among(events: &[Event]) -> Vec<Self> {
        let made = events.iter().filter(|event| event.kind == EventKind::ArchiveCreated);
        let export = |event: &Event| {
            let file = event.details.get("file")?.as_str()?.into();
            Some(Self { file, complete: event.details.get(COMPLETE) == Some(&true.into()) })
        };
        made.filter_map(export).collect()
    }

    /// The last ones of a store.
    pub(crate) fn all(view: &View) -> Result<Vec<Self>> {
        Ok(Self::among(&view.events().list(Page::newest(EVENTS))?))
    }
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
