//! The files of the sections: `PATH.wal.N`, in the folder of the store.

use std::fmt::Debug;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::shared_page::SharedPageFile;
use crate::engine::opening::reserve;
use crate::engine::redb_file::{FileId, OwnFile, StorageBackend};
use crate::error::{Error, ErrorKind, Result};
use crate::files::{self, Replace, Rights};

/// A store begins with it.
const STORE: &[u8] = b"redb";

/// Whether the file of the shared page may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FindSharedPage {
    Existing,
    Make,
}

/// The place of the sections of a log. A name is durable once the folder is synced.
pub(crate) trait LogFolder: Debug + Send + Sync {
    /// The sections that have a name, ascending.
    fn sections(&self) -> Result<Vec<u64>>;

    /// Opens a section; none when it has no name.
    fn open(&self, section: u64) -> Result<Option<Box<dyn StorageBackend>>>;

    /// The same, to be written to.
    fn open_to_write(&self, section: u64) -> Result<Option<Box<dyn StorageBackend>>> {
        self.open(section)
    }

    /// The file that a section's name leads to; none where the system does not tell.
    fn id_of(&self, _section: u64) -> io::Result<Option<FileId>> {
        Ok(None)
    }

    /// The file of the store, opened once more for the locks on its bytes.
    fn locks(&self) -> Result<(Box<dyn StorageBackend>, Option<FileId>)>;

    /// The file of the shared page of a log that several processes share; none when it is not there.
    fn shared_page(&self, find: FindSharedPage) -> Result<Option<SharedPageFile>>;

    /// Takes the name of that file away.
    fn remove_shared_page(&self) -> Result<()>;

    /// Makes a section of this length, which begins with a head and has zeros behind it, syncs it, and names it. It
    /// replaces none.
    fn make(&self, section: u64, head: &[u8], length: u64) -> Result<Box<dyn StorageBackend>>;

    /// Removes a section that never got its name.
    fn clear_unfinished(&self) -> Result<()>;

    /// Takes the name of a section away; one that has none stays as it is.
    fn remove(&self, section: u64) -> Result<()>;

    /// Gives a section of another log another name, and says which.
    fn set_aside(&self, section: u64) -> Result<String>;

    /// Makes names durable.
    fn sync(&self) -> Result<()>;

    /// The name of a section, for messages.
    fn name(&self, section: u64) -> String;
}

/// The sections beside a store's file.
#[derive(Debug)]
pub(crate) struct FolderOfStore {
    store: PathBuf,
}

impl FolderOfStore {
    /// Those of the store at a path whose links are resolved.
    pub(crate) fn new(store: &Path) -> Self {
        Self { store: store.to_path_buf() }
    }

    /// The files of the sections, as far as they can be listed.
    #[cfg(feature = "transfer")]
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        self.sections().unwrap_or_default().into_iter().map(|section| self.path(section)).collect()
    }

    fn opened(&self, section: u64, open: fn(&Path) -> io::Result<File>) -> Result<Option<Box<dyn StorageBackend>>> {
        let path = self.path(section);
        match open(&path) {
            Ok(file) => Ok(Some(Box::new(OwnFile::of(file)?.asked_for()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(files::failed(&path, error)),
        }
    }

    fn path(&self, section: u64) -> PathBuf {
        files::beside(&self.store, &format!(".wal.{section}"))
    }

    fn remove_at(&self, path: &Path) -> Result<()> {
        match files::remove(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(files::failed(path, error)),
            _ => Ok(()),
        }
    }

    /// Leaves a disk that is almost full to the file of the store, and to the removing of records.
    fn refuse_full(&self, length: u64) -> Result<()> {
        let needed = length.saturating_add(reserve::NEEDED);
        match reserve::free_space(&self.store) {
            Some(free) if free < needed => {
                let message = format!("the disk has no room for a section of the log: free={free} needed={needed}");
                Err(Error::new(ErrorKind::Full, message))
            }
            _ => Ok(()),
        }
    }

    /// The file by which processes tell one another how far the log is.
    fn path_of_shared_page(&self) -> PathBuf {
        files::beside(&self.store, ".turns")
    }

    /// The name of a section that is being made.
    fn unfinished(&self) -> PathBuf {
        files::beside(&self.store, ".wal.new")
    }

    /// Takes the name away that a section has got, when it may not be on the disk: it would be in the way of the next
    /// try.
    fn unname(&self, section: u64, file: &OwnFile) {
        let path = self.path(section);
        if file.id().is_some() && FileId::at(&path).is_ok_and(|at| at == file.id()) {
            let _gone = files::remove(&path);
        }
    }

    fn fill(&self, file: &OwnFile, head: &[u8], length: u64) -> io::Result<()> {
        const STRETCH: u64 = 64 << 10;
        file.set_len(length)?;
        let zeros = vec![0; STRETCH as usize];
        for at in (0..length).step_by(STRETCH as usize) {
            let part = usize::try_from((length - at).min(STRETCH)).map_err(io::Error::other)?;
            file.write(at, zeros.get(..part).unwrap_or_default())?;
        }
        file.write(0, head)?;
        file.sync_data()
    }
}

impl LogFolder for FolderOfStore {
    fn sections(&self) -> Result<Vec<u64>> {
        let folder = files::folder_of(&self.store);
        let Some(store) = self.store.file_name() else { return Ok(Vec::new()) };
        let prefix = [store.as_encoded_bytes(), b".wal."].concat();
        let mut sections = Vec::new();
        for found in fs::read_dir(folder).map_err(|error| files::failed(folder, error))? {
            let name = found?.file_name();
            let digits = name.as_encoded_bytes().strip_prefix(prefix.as_slice());
            sections.extend(digits.and_then(|digits| str::from_utf8(digits).ok()).and_then(number));
        }
        sections.sort_unstable();
        Ok(sections)
    }

    fn open(&self, section: u64) -> Result<Option<Box<dyn StorageBackend>>> {
        self.opened(section, files::open)
    }

    fn open_to_write(&self, section: u64) -> Result<Option<Box<dyn StorageBackend>>> {
        self.opened(section, files::open_to_write)
    }

    fn id_of(&self, section: u64) -> io::Result<Option<FileId>> {
        FileId::at(&self.path(section))
    }

    fn locks(&self) -> Result<(Box<dyn StorageBackend>, Option<FileId>)> {
        let file = OwnFile::write(&self.store)?;
        let id = file.id();
        Ok((Box::new(file), id))
    }

    fn shared_page(&self, find: FindSharedPage) -> Result<Option<SharedPageFile>> {
        let path = self.path_of_shared_page();
        let opened = match find {
            FindSharedPage::Make => files::open_or_create(&path, Rights::beside(&self.store)),
            // A process that only reads may not write to it.
            FindSharedPage::Existing => files::open_to_write(&path).or_else(|error| match error.kind() {
                io::ErrorKind::NotFound => Err(error),
                _ => files::open(&path),
            }),
        };
        match opened {
            Ok(file) => {
                let file = OwnFile::of(file)?.asked_for();
                let number = file.id().map_or(0, FileId::number);
                Ok(Some(SharedPageFile { file: Box::new(file), number }))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(files::failed(&path, error)),
        }
    }

    fn remove_shared_page(&self) -> Result<()> {
        self.remove_at(&self.path_of_shared_page())
    }

    fn make(&self, section: u64, head: &[u8], length: u64) -> Result<Box<dyn StorageBackend>> {
        self.refuse_full(length)?;
        self.clear_unfinished()?;
        let temporary = self.unfinished();
        let made = files::create_new(&temporary, Rights::beside(&self.store)).map_err(Error::from).and_then(|file| {
            let file = OwnFile::of(file)?.asked_for();
            self.fill(&file, head, length)?;
            match files::publish(&temporary, &self.path(section), Replace::No) {
                Ok(()) => Ok(file),
                Err(error) => {
                    self.unname(section, &file);
                    Err(error.into())
                }
            }
        });
        match made {
            Ok(file) => Ok(Box::new(file)),
            Err(error) => {
                let _gone = files::remove(&temporary);
                Err(error.context(self.path(section).display()))
            }
        }
    }

    fn clear_unfinished(&self) -> Result<()> {
        let path = self.unfinished();
        let mut start = Vec::new();
        let read = fs::symlink_metadata(&path)
            .and_then(|_| files::open(&path))
            .and_then(|file| file.take(STORE.len() as u64).read_to_end(&mut start));
        match read {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(files::failed(&path, error)),
            Ok(_) if start == STORE => {
                let path = path.display();
                return Err(Error::conflict(format!(
                    "a store has the name of a part of a log; move it away: path={path}"
                )));
            }
            Ok(_) => {}
        }
        self.remove_at(&path)
    }

    fn remove(&self, section: u64) -> Result<()> {
        self.remove_at(&self.path(section))
    }

    fn set_aside(&self, section: u64) -> Result<String> {
        let from = self.path(section);
        for attempt in 1..1000 {
            let to = files::beside(&from, &format!(".other-{attempt}"));
            match files::publish(&from, &to, Replace::No) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                done => return done.map(|()| to.display().to_string()).map_err(|error| files::failed(&from, error)),
            }
        }
        Err(Error::conflict(format!("{} has no free name to be set aside under; move it away", from.display())))
    }

    fn sync(&self) -> Result<()> {
        files::sync_name(&self.store).map_err(|error| files::failed(files::folder_of(&self.store), error))
    }

    fn name(&self, section: u64) -> String {
        self.path(section).display().to_string()
    }
}

/// A number as a name has it: one number has one name.
fn number(digits: &str) -> Option<u64> {
    digits.parse().ok().filter(|number: &u64| number.to_string() == digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_made_listed_set_aside_and_removed_by_their_numbers() {
        let folder = tempfile::tempdir().unwrap();
        let sections = FolderOfStore::new(&folder.path().join("h.redb"));
        for other in ["h.redb", "h.redb.wal.01", "h.redb.wal.x", "h.redb.wal.+1", "g.redb.wal.7", "h.redb.wal."] {
            fs::write(folder.path().join(other), b"").unwrap();
        }
        assert!(sections.sections().unwrap().is_empty());
        for section in [10, 9, 1] {
            let file = sections.make(section, b"head", 100_000).unwrap();
            let mut start = [1; 6];
            file.read(0, &mut start).unwrap();
            assert_eq!((&start, file.len().unwrap()), (b"head\0\0", 100_000));
        }
        #[cfg(feature = "transfer")]
        assert_eq!(sections.files(), [1_u64, 9, 10].map(|section| folder.path().join(format!("h.redb.wal.{section}"))));
        assert_eq!(sections.sections().unwrap(), [1_u64, 9, 10]);
        assert!(sections.make(9, b"other", 100_000).is_err());
        assert!(sections.open(9).unwrap().is_some() && sections.open(8).unwrap().is_none());
        sections.remove(9).unwrap();
        sections.remove(9).unwrap();
        let aside = sections.set_aside(10).unwrap();
        assert!(aside.ends_with("h.redb.wal.10.other-1"), "{aside}");
        sections.make(10, b"head", 100_000).unwrap();
        assert!(sections.set_aside(10).unwrap().ends_with("h.redb.wal.10.other-2"));
        assert_eq!(sections.sections().unwrap(), [1_u64]);
    }
}
