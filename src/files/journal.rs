//! A record of every change of names and folders, kept in tests.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

/// One thing that was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NameStep {
    Created(PathBuf),
    #[cfg_attr(not(feature = "transfer"), expect(dead_code, reason = "only archives and logs have folders made"))]
    FolderCreated(PathBuf),
    Linked(PathBuf, PathBuf),
    Renamed(PathBuf, PathBuf),
    Removed(PathBuf),
    FileSynced(PathBuf),
    FolderSynced(PathBuf),
}

/// Learns of every step below its folder, right after it.
type Listener = Arc<dyn Fn(&NameStep) + Send + Sync>;

static LISTENERS: Mutex<Vec<(PathBuf, Listener)>> = Mutex::new(Vec::new());

/// Listens until it is dropped.
pub(crate) struct Journal {
    folder: PathBuf,
}

impl Journal {
    /// Listens to the steps below a folder, in any thread.
    pub(crate) fn listen(folder: &Path, listener: impl Fn(&NameStep) + Send + Sync + 'static) -> Self {
        let folder = folder.canonicalize().unwrap();
        LISTENERS.lock().push((folder.clone(), Arc::new(listener)));
        Self { folder }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        LISTENERS.lock().retain(|(folder, _)| *folder != self.folder);
    }
}

impl NameStep {
    /// The path that the step is about.
    fn path(&self) -> &Path {
        match self {
            Self::Created(path)
            | Self::FolderCreated(path)
            | Self::Linked(_, path)
            | Self::Renamed(_, path)
            | Self::Removed(path)
            | Self::FileSynced(path)
            | Self::FolderSynced(path) => path,
        }
    }
}

pub(super) fn note(step: NameStep) {
    let listeners: Vec<_> = {
        let all = LISTENERS.lock();
        let ours = all.iter().filter(|(folder, _)| step.path().starts_with(folder));
        ours.map(|(_, listener)| listener.clone()).collect()
    };
    listeners.iter().for_each(|listener| listener(&step));
}

mod tests {
    use super::*;
    use crate::files::{Rights, write_whole};

    #[test]
    fn a_file_is_synced_before_it_has_its_name_and_its_name_after() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap().join("f");
        let steps = Arc::new(Mutex::new(Vec::new()));
        let journal = Journal::listen(folder.path(), {
            let steps = steps.clone();
            move |step| steps.lock().push(step.clone())
        });
        write_whole(&path, b"text", Rights::new_at(&path)).unwrap();
        drop(journal);
        let steps = steps.lock();
        let [NameStep::Created(made), rest @ ..] = steps.as_slice() else { panic!("{steps:?}") };
        let folder = path.parent().unwrap().to_path_buf();
        let wanted = [
            NameStep::FileSynced(made.clone()),
            NameStep::Renamed(made.clone(), path.clone()),
            NameStep::FolderSynced(folder),
        ];
        assert_eq!(rest, wanted);
    }
}
