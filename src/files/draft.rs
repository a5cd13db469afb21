//! A temporary file that gets its name once it is finished, and is removed otherwise. The next process that makes a
//! file of that name removes the temporary files that killed processes left.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::create::create_new;
use super::names::{Replace, publish, remove};
use super::open::{open, refuse_other};
use super::paths::{beside, folder_of};
use super::rights::Rights;

/// The ending of the names of temporary files, after the target's name and an id.
const UNFINISHED: &str = ".unfinished";

/// A file that gets its name, or is removed if it is dropped before.
#[derive(Debug)]
pub(crate) struct Draft {
    temporary: PathBuf,
    target: PathBuf,
    /// Locked while it is being written, so that other processes recognize abandoned files.
    lock: Option<File>,
}

impl Draft {
    /// Creates a new file beside the target.
    ///
    /// # Errors
    ///
    /// The error of the system.
    pub(crate) fn new(target: &Path, rights: Rights) -> io::Result<(Self, File)> {
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let prefix = format!("{name}.");
        remove_unfinished(folder_of(target), |name| name.starts_with(&prefix));
        loop {
            let temporary = unfinished_name(target);
            let file = create_new(&temporary, rights)?;
            let locked = file.try_lock().is_ok();
            // A process that tidies up may have taken it for a leftover, in the moment before the lock.
            if locked && temporary.exists() {
                let lock = Some(file.try_clone()?);
                return Ok((Self { temporary, target: target.to_path_buf(), lock }, file));
            }
        }
    }

    /// Gives it its name, as [`publish`](crate::files::publish) does.
    ///
    /// # Errors
    ///
    /// As there; then it is removed.
    pub(crate) fn publish(mut self, replace: Replace) -> io::Result<()> {
        publish(&self.temporary, &self.target, replace)?;
        self.lock = None;
        Ok(())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if self.lock.is_some() {
            let _gone = remove(&self.temporary);
        }
    }
}

/// Writes a small file atomically: after a crash, the file has its earlier or its new content.
///
/// # Errors
///
/// The error of the system, and as `refuse_other` when something else is there.
pub(crate) fn write_whole(path: &Path, bytes: &[u8], rights: Rights) -> io::Result<()> {
    refuse_other(path)?;
    let (draft, mut file) = Draft::new(path, rights)?;
    file.write_all(bytes)?;
    draft.publish(Replace::Yes)
}

/// A unique temporary name for a file that will become `target`.
pub(crate) fn unfinished_name(target: &Path) -> PathBuf {
    beside(target, &format!(".{}{UNFINISHED}", crate::clock::new_id().simple()))
}

/// Removes unfinished files that no process is writing.
pub(crate) fn remove_unfinished(folder: &Path, is_ours: impl Fn(&str) -> bool) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if !is_unfinished(&name) || !is_ours(&name) {
            continue;
        }
        let is_left = open(&entry.path()).is_ok_and(|file| file.try_lock().is_ok());
        if is_left && let Err(error) = remove(&entry.path()) {
            tracing::warn!(%error, file = %entry.path().display(), "an unfinished file could not be removed");
        }
    }
}

/// Whether a name is of the form that [`unfinished_name`] gives, an id and the ending, or of a file beside one such.
fn is_unfinished(name: &str) -> bool {
    let Some((name, beside)) = name.split_once(UNFINISHED) else { return false };
    is_id(name.rsplit('.').next().unwrap_or_default()) && (beside.is_empty() || beside.starts_with('.'))
}

/// The name that an unfinished file was to get; none for a name that [`unfinished_name`] does not give.
#[cfg(feature = "replica")]
pub(crate) fn name_of_unfinished(name: &str) -> Option<&str> {
    let (name, id) = name.strip_suffix(UNFINISHED)?.rsplit_once('.')?;
    is_id(id).then_some(name)
}

fn is_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(folder: &Path) -> usize {
        fs::read_dir(folder).unwrap().count()
    }

    #[test]
    fn a_small_file_is_written_whole_or_not_at_all_and_never_over_something_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        for text in ["one", "two"] {
            write_whole(&path, text.as_bytes(), Rights::new_at(&path)).unwrap();
            assert_eq!((fs::read_to_string(&path).unwrap().as_str(), files(folder.path())), (text, 1));
        }
        let other = folder.path().join("folder");
        fs::create_dir(&other).unwrap();
        let error = write_whole(&other, b"", Rights::new_at(&path)).unwrap_err();
        assert_eq!(crate::files::is_other(&error).unwrap(), "it is a directory");
        assert_eq!(files(folder.path()), 2);
    }

    #[test]
    fn drafts_of_killed_processes_are_removed_and_those_being_written_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("a.tar.gz");
        let id = "0".repeat(32);
        let left = folder.path().join(format!("a.tar.gz.{id}{UNFINISHED}"));
        let other = folder.path().join(format!("b.tar.gz.{id}{UNFINISHED}"));
        let mine = folder.path().join("a.tar.gz.notes.unfinished");
        for path in [&left, &other, &mine] {
            fs::write(path, b"").unwrap();
        }
        let rights = Rights::new_at(&target);
        let (_writing, _file) = Draft::new(&target, rights).unwrap();
        let (_second, _other) = Draft::new(&target, rights).unwrap();
        assert!(!left.exists() && other.exists() && mine.exists());
        assert_eq!(files(folder.path()), 4);
    }
}
