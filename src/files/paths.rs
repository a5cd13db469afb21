//! Paths as such: a path's folder, a name beside it, its text.

use std::path::{Path, PathBuf};

/// The folder that a file is in.
pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// A path as a member of JSON, as well as it can be shown: what in it is no text is shown as U+FFFD.
#[cfg(feature = "transfer")]
pub(crate) fn as_text<S: serde::Serializer>(path: &Path, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&path.to_string_lossy())
}

/// The name of a file beside another: `PATH` and an ending.
pub(crate) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}
