//! Where an archive comes to lie: written under a name of its own beside the target, synced, and only then given its name,
//! so that a half-made one never has it. Nobody else may read it: it has everything in it.

use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind as IoKind;
use std::path::{Path, PathBuf};

use crate::engine::open::{folder_of, sync_folder};
use crate::error::{Error, ErrorKind, Result};

/// What the names of unfinished archives end with, behind the target's name and an id.
const UNFINISHED: &str = ".unfinished";

/// A file that becomes the archive, or is removed when it is dropped before.
#[derive(Debug)]
pub(super) struct Place {
    temporary: PathBuf,
    target: PathBuf,
    replace: bool,
    /// Locked for as long as somebody writes it, so that others can tell it from one that was left behind.
    lock: Option<File>,
}

impl Place {
    /// Prepares to write an archive, and removes what killed processes have left of earlier ones of that name.
    ///
    /// # Errors
    ///
    /// `Conflict` when there is a file already and it is not to be replaced; `Invalid` when the target is a symbolic
    /// link, a folder or a device; `Io`.
    pub(super) fn new(target: &Path, replace: bool) -> Result<(Self, File)> {
        refuse_target(target, replace)?;
        let name = target.file_name().ok_or_else(|| Error::invalid("an archive needs the name of a file"))?;
        let prefix = format!("{}.", name.to_string_lossy());
        remove_unfinished(folder_of(target), |name| name.starts_with(&prefix));
        loop {
            let mut temporary = target.as_os_str().to_owned();
            temporary.push(format!(".{}{UNFINISHED}", crate::clock::new_id().simple()));
            let temporary = PathBuf::from(temporary);
            let file = create(&temporary)
                .map_err(|error| Error::from(error).context(format_args!("cannot write {}", target.display())))?;
            let locked = file.try_lock().is_ok();
            // Whoever tidies up may have taken it for one that was left behind, in the moment before the lock.
            if locked && temporary.exists() {
                let lock = Some(file.try_clone()?);
                return Ok((Self { temporary, target: target.to_path_buf(), replace, lock }, file));
            }
        }
    }

    /// Syncs what was written, and gives it its name.
    ///
    /// # Errors
    ///
    /// As [`Place::new`], for what has come there meanwhile.
    pub(super) fn name(mut self, file: &File) -> Result<()> {
        file.sync_all()?;
        refuse_target(&self.target, self.replace)?;
        if self.replace {
            fs::rename(&self.temporary, &self.target)?;
        } else {
            link(&self.temporary, &self.target)?;
        }
        self.lock = None;
        sync_folder(folder_of(&self.target))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.lock.is_some() {
            let _gone = fs::remove_file(&self.temporary);
        }
    }
}

/// Gives a finished file a name that nothing has, in the place of its temporary one.
fn link(from: &Path, to: &Path) -> Result<()> {
    match fs::hard_link(from, to) {
        Ok(()) => fs::remove_file(from).map_err(Error::from),
        Err(error) if error.kind() == IoKind::AlreadyExists => Err(exists(to)),
        // Some file systems have no links; there the moment between looking and renaming stays.
        Err(_) if !to.exists() => fs::rename(from, to).map_err(Error::from),
        Err(error) => Err(error.into()),
    }
}

/// Refuses to write where something else is, or through a link.
fn refuse_target(target: &Path, replace: bool) -> Result<()> {
    let metadata = match fs::symlink_metadata(target) {
        Err(error) if error.kind() == IoKind::NotFound => return Ok(()),
        metadata => metadata.map_err(|error| Error::from(error).context(target.display()))?,
    };
    let path = target.display();
    if metadata.is_symlink() {
        let message = "an archive is not written through a symbolic link; name the file itself";
        Err(Error::invalid(format!("{message}: file={path}")))
    } else if !metadata.is_file() {
        Err(Error::invalid(format!("an archive is a regular file; name another: file={path}")))
    } else if replace {
        Ok(())
    } else {
        Err(exists(target))
    }
}

fn exists(target: &Path) -> Error {
    let message = "there is a file of that name; name another, or replace it with --force";
    Error::new(ErrorKind::Conflict, format!("{message}: file={}", target.display()))
}

/// Creates a file that only its owner can read.
fn create(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Removes unfinished archives that nobody writes any more.
pub(super) fn remove_unfinished(folder: &Path, is_ours: impl Fn(&str) -> bool) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if !is_unfinished(&name) || !is_ours(&name) {
            continue;
        }
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        let is_left = is_file && File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok());
        if is_left && let Err(error) = fs::remove_file(entry.path()) {
            tracing::warn!(%error, file = %entry.path().display(), "an unfinished archive could not be removed");
        }
    }
}

/// Whether a name is of the form that [`Place::new`] gives, an id and the ending, or of a file beside one such.
fn is_unfinished(name: &str) -> bool {
    let Some((name, beside)) = name.split_once(UNFINISHED) else { return false };
    let id = name.rsplit('.').next().unwrap_or_default();
    let is_id = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id && (beside.is_empty() || beside.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn files(folder: &Path) -> Vec<String> {
        let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_has_its_name_only_once_it_is_finished() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("a.tar.gz");
        let (place, mut file) = Place::new(&target, false).unwrap();
        file.write_all(b"all").unwrap();
        assert!(!target.exists());
        place.name(&file).unwrap();
        assert_eq!(files(folder.path()), ["a.tar.gz"]);
        assert_eq!(fs::read(&target).unwrap(), b"all");
    }

    #[cfg(unix)]
    #[test]
    fn nobody_else_can_read_it_and_it_is_not_written_through_a_link() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("a.tar.gz");
        let (place, file) = Place::new(&target, false).unwrap();
        place.name(&file).unwrap();
        assert_eq!(fs::metadata(&target).unwrap().permissions().mode() & 0o777, 0o600);
        let link = folder.path().join("link.tar.gz");
        symlink(folder.path().join("nothing"), &link).unwrap();
        for replace in [false, true] {
            assert_eq!(Place::new(&link, replace).unwrap_err().kind(), ErrorKind::Invalid);
        }
    }

    #[test]
    fn a_file_that_is_there_is_replaced_only_when_asked() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("a.tar.gz");
        fs::write(&target, b"old").unwrap();
        assert_eq!(Place::new(&target, false).unwrap_err().kind(), ErrorKind::Conflict);
        let (place, mut file) = Place::new(&target, true).unwrap();
        file.write_all(b"new").unwrap();
        drop(place);
        assert_eq!(fs::read(&target).unwrap(), b"old", "what is dropped changes nothing");
        let (place, mut file) = Place::new(&target, true).unwrap();
        file.write_all(b"new").unwrap();
        place.name(&file).unwrap();
        assert_eq!((fs::read(&target).unwrap(), files(folder.path()).len()), (b"new".to_vec(), 1));
    }

    #[test]
    fn what_killed_processes_left_is_removed_and_what_is_being_written_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("a.tar.gz");
        let left = folder.path().join(format!("a.tar.gz.{}{UNFINISHED}", "0".repeat(32)));
        let other = folder.path().join(format!("b.tar.gz.{}{UNFINISHED}", "0".repeat(32)));
        let mine = folder.path().join("a.tar.gz.notes.unfinished");
        for path in [&left, &other, &mine] {
            fs::write(path, b"").unwrap();
        }
        let (_writing, _file) = Place::new(&target, false).unwrap();
        let (_second, _other) = Place::new(&target, false).unwrap();
        assert!(!left.exists() && other.exists() && mine.exists());
        assert_eq!(files(folder.path()).len(), 4);
    }
}
