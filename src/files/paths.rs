//! Functions of paths: the folder, a name beside a file, the text.

use std::io;
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Result};

/// The folder of a file.
pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Refuses to make a file in a folder that is not there, which the error for a temporary name would not say.
///
/// # Errors
///
/// `Io` then.
pub(crate) fn refuse_without_folder(file: &Path) -> Result<()> {
    let folder = folder_of(file);
    match std::fs::metadata(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let message = format!("the folder {} does not exist; make it first", folder.display());
            Err(Error::new(ErrorKind::Io, message).with_source(error))
        }
        _ => Ok(()),
    }
}

/// A path as a field of JSON. Bytes that are not text are shown as U+FFFD.
#[cfg(feature = "transfer")]
pub(crate) fn as_text<S: serde::Serializer>(path: &Path, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&path.to_string_lossy())
}

/// The name of a file beside another one: `PATH` and an ending.
pub(crate) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}
