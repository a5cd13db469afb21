//! The place of an archive: a temporary file beside the target, which is synced before it gets the name, so that an
//! incomplete archive never has it. Only its owner may read it, because it contains everything.

use std::fs::{self, File};
use std::io::ErrorKind as IoKind;
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Hint, Result};
use crate::files::{self, Draft, Replace, Rights};

/// A file that becomes the archive. To drop it before removes it.
#[derive(Debug)]
pub(super) struct ArchiveDraft {
    draft: Draft,
    target: PathBuf,
    replace: bool,
}

impl ArchiveDraft {
    /// Prepares to write an archive, and removes temporary files of killed processes for that name.
    ///
    /// # Errors
    ///
    /// `Conflict` when the file exists and must not be replaced; `Invalid` when the target is a symbolic link, a folder
    /// or a device; `Io`.
    pub(in crate::transfer::archive) fn new(target: &Path, replace: bool, rights: Rights) -> Result<(Self, File)> {
        refuse_target(target, replace)?;
        if target.file_name().is_none() {
            return Err(Error::invalid("an archive needs the name of a file"));
        }
        files::refuse_without_folder(target)?;
        let (draft, file) = Draft::new(target, rights)
            .map_err(|error| Error::from(error).context(format_args!("cannot write {}", target.display())))?;
        Ok((Self { draft, target: target.to_path_buf(), replace }, file))
    }

    /// Syncs the file and gives it its name. The name is on the disk then.
    ///
    /// # Errors
    ///
    /// As [`ArchiveDraft::new`], for files that were created in the meantime.
    pub(in crate::transfer::archive) fn name(self) -> Result<()> {
        refuse_target(&self.target, self.replace)?;
        let replace = if self.replace { Replace::Yes } else { Replace::No };
        self.draft.publish(replace).map_err(|error| match error.kind() {
            IoKind::AlreadyExists => exists(&self.target),
            _ => files::failed(&self.target, error),
        })
    }
}

/// Refuses to overwrite other files, or to write through a link.
fn refuse_target(target: &Path, replace: bool) -> Result<()> {
    let metadata = match fs::symlink_metadata(target) {
        Err(error) if error.kind() == IoKind::NotFound => return Ok(()),
        metadata => metadata.map_err(|error| Error::from(error).context(target.display()))?,
    };
    let path = target.display();
    if metadata.is_symlink() {
        let message = "cannot write an archive through a symbolic link; name the file itself";
        Err(Error::invalid(format!("{message}: file={path}")))
    } else if !metadata.is_file() {
        Err(Error::invalid(format!("the target is not a regular file; name another: file={path}")))
    } else if replace {
        Ok(())
    } else {
        Err(exists(target))
    }
}

fn exists(target: &Path) -> Error {
    let message = "the file exists; name another, or replace it";
    Error::new(ErrorKind::Conflict, format!("{message}: file={}", target.display())).with_hint(Hint::ReplaceFile)
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
    fn a_file_gets_its_name_only_once_it_is_finished() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("a.tar.gz");
        let (place, mut file) = ArchiveDraft::new(&target, false, Rights::new_at(&target)).unwrap();
        file.write_all(b"all").unwrap();
        assert!(!target.exists());
        place.name().unwrap();
        assert_eq!(files(folder.path()), ["a.tar.gz"]);
        assert_eq!(fs::read(&target).unwrap(), b"all");
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_can_read_it_and_it_is_not_written_through_a_link() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("a.tar.gz");
        let (place, _file) = ArchiveDraft::new(&target, false, Rights::new_at(&target)).unwrap();
        place.name().unwrap();
        assert_eq!(fs::metadata(&target).unwrap().permissions().mode() & 0o777, 0o600);
        let link = folder.path().join("link.tar.gz");
        symlink(folder.path().join("nothing"), &link).unwrap();
        for replace in [false, true] {
            assert_eq!(
                ArchiveDraft::new(&link, replace, Rights::new_at(&link)).unwrap_err().kind(),
                ErrorKind::Invalid
            );
        }
    }

    #[test]
    fn an_existing_file_is_replaced_only_on_request() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("a.tar.gz");
        fs::write(&target, b"old").unwrap();
        assert_eq!(ArchiveDraft::new(&target, false, Rights::new_at(&target)).unwrap_err().kind(), ErrorKind::Conflict);
        let (place, mut file) = ArchiveDraft::new(&target, true, Rights::new_at(&target)).unwrap();
        file.write_all(b"new").unwrap();
        drop(place);
        assert_eq!(fs::read(&target).unwrap(), b"old", "what is dropped changes nothing");
        let (place, mut file) = ArchiveDraft::new(&target, true, Rights::new_at(&target)).unwrap();
        file.write_all(b"new").unwrap();
        place.name().unwrap();
        assert_eq!((fs::read(&target).unwrap(), files(folder.path()).len()), (b"new".to_vec(), 1));
    }
}
