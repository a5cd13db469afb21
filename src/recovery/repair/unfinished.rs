//! A temporary file, beside the file that it will become. It is removed unless it gets its name. The next repair into a
//! file of the same name removes files that killed processes left.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::engine::open::{in_use, temporary_name};
use crate::files::{self, folder_of};

/// Younger files are not removed: between its creation and its lock, a file belongs to nobody for a moment.
const YOUNG: Duration = Duration::from_secs(60);
/// The suffix of the scratch file beside the new store.
const SCRATCH: &str = ".scratch";

/// A file that is removed when it is dropped.
#[derive(Debug)]
pub(super) struct Made {
    path: PathBuf,
    /// Held, so that other processes see that the file is in use.
    lock: Option<File>,
}

impl Made {
    /// Chooses a temporary name beside `target`, after removing the files that killed processes left there.
    pub(super) fn beside(target: &Path) -> Self {
        remove_left(target);
        Self { path: temporary_name(target), lock: None }
    }

    /// The path.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Protects a finished file, which no process has open any more, from removal by other processes.
    pub(super) fn keep(&mut self) {
        self.lock = files::open(&self.path).ok().filter(|file| file.try_lock_shared().is_ok());
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        self.lock = None;
        let _gone = files::remove(&self.path);
    }
}

/// Removes the temporary files of processes that have ended, for `target`.
fn remove_left(target: &Path) {
    let Some(target_name) = target.file_name().and_then(|name| name.to_str()) else { return };
    let Ok(entries) = fs::read_dir(folder_of(target)) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let rest = name.to_str().and_then(|name| name.strip_prefix(target_name));
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        if !rest.is_some_and(is_temporary) || !is_file || !is_left(&entry.path()) {
            continue;
        }
        if let Err(error) = files::remove(&entry.path()) {
            tracing::warn!(%error, file = %entry.path().display(), "an unfinished store could not be removed");
        }
    }
}

/// Whether no process has a file open, and it is not young.
fn is_left(path: &Path) -> bool {
    let modified = fs::metadata(path).and_then(|metadata| metadata.modified());
    let is_old = modified.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > YOUNG));
    is_old && in_use(path).is_ok_and(|used| !used) && files::open(path).is_ok_and(|file| file.try_lock().is_ok())
}

/// Whether this suffix is one that [`temporary_name`] adds, once or repeatedly, or that of a scratch file.
fn is_temporary(rest: &str) -> bool {
    let Some(("", rest)) = rest.strip_suffix(SCRATCH).unwrap_or(rest).split_once('.') else { return false };
    let parts: Vec<_> = rest.split('.').collect();
    let is_id = |id: &str| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    parts.chunks(2).all(|pair| matches!(pair, [id, "new"] if is_id(id)))
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::engine::store::Store;

    /// Writes a file with an old modification time.
    fn write_old(path: &Path) {
        fs::write(path, b"left").unwrap();
        age(path);
    }

    fn age(path: &Path) {
        let file = File::options().write(true).open(path).unwrap();
        file.set_modified(SystemTime::now() - 2 * YOUNG).unwrap();
    }

    #[test]
    fn files_of_killed_repairs_are_removed_and_files_in_use_or_of_others_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let (target, id) = (folder.path().join("to.redb"), "0".repeat(32));
        let named = |name: String| folder.path().join(name);
        let left =
            [format!("to.redb.{id}.new"), format!("to.redb.{id}.new.scratch"), format!("to.redb.{id}.new.{id}.new")];
        let kept = [
            format!("to.redb.{id}.new.txt"),
            format!("other.redb.{id}.new"),
            "to.redb.notes.new".into(),
            "to.redb".into(),
            "to.redb.reserve".into(),
        ];
        left.iter().chain(&kept).for_each(|name| write_old(&named(name.clone())));
        let young = named(format!("to.redb.{}.new", "1".repeat(32)));
        fs::write(&young, b"just written").unwrap();
        let open = named(format!("to.redb.{}.new", "2".repeat(32)));
        let store = Store::options().session(false).reserve(false).open(&open).unwrap();
        age(&open);
        let mut planned = Made::beside(&named("planned.redb".into()));
        fs::write(planned.path(), b"finished").unwrap();
        planned.keep();
        age(planned.path());

        for target in [&target, &named("planned.redb".into())] {
            drop(Made::beside(target));
        }
        assert_eq!(left.map(|name| named(name).exists()), [false; 3]);
        assert_eq!(kept.map(|name| named(name).exists()), [true; 5]);
        assert!(young.exists() && open.exists() && planned.path().exists());
        store.close().unwrap();
        age(&open);
        drop(Made::beside(&target));
        assert!(!open.exists());
    }
}
