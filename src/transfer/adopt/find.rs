//! Finds known files by their names.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::report::{AdoptProblem, AdoptSkipped};
use super::source::AdoptSource;
use crate::error::{Error, Result};

/// The greatest depth of a search.
const DEPTH_MAX: usize = 32;
/// The most files and folders that are searched. The replaced service never left a folder with more.
const ENTRIES_MAX: usize = 100_000;

pub(super) const NOT_KNOWN: &str = "unknown file";
/// Files of the replaced service without anything that is taken over, each with the reason.
const NOT_NEEDED: [(&str, &str); 1] =
    [("shutdown.marker", "not needed: the replaced service marked a clean shutdown with it")];

/// The files to adopt, and the other ones.
#[derive(Debug, Default)]
pub(super) struct FoundFiles {
    pub(super) files: Vec<(AdoptSource, PathBuf)>,
    pub(super) skipped: Vec<AdoptSkipped>,
    pub(super) problems: Vec<AdoptProblem>,
    entries: usize,
}

/// Finds known files at some paths, which may be files or folders. A symbolic link is followed only if it is one of the
/// paths.
///
/// # Errors
///
/// `NotFound` when there is nothing at a path. Nothing has been adopted then.
pub(super) fn find<P: AsRef<Path>>(paths: &[P]) -> Result<FoundFiles> {
    let mut found = FoundFiles::default();
    for path in paths.iter().map(AsRef::as_ref) {
        let metadata = metadata(path)?;
        if metadata.is_dir() {
            found.folder(path, 0);
        } else {
            found.named(path, metadata.is_file());
        }
    }
    found.files.sort();
    let mut seen = BTreeSet::new();
    found.files.retain(|(_, path)| seen.insert(fs::canonicalize(path).unwrap_or_else(|_| path.clone())));
    found.leave_out_backups();
    Ok(found)
}

impl FoundFiles {
    /// Adds a named file. An unknown file is a problem here, because it was named on purpose.
    fn named(&mut self, path: &Path, is_file: bool) {
        let place = path.display().to_string();
        match known(path).filter(|_| is_file) {
            Some(source) => self.files.push((source, path.to_path_buf())),
            None if is_file && not_needed(path).is_some() => self.skip(path, not_needed(path)),
            None => {
                let why = "unknown file; known files are registry.json, bots.json, backlog.json, \
                           index.json, disaster-recovery.jsonl, registry-changes.jsonl, chat-history-*.jsonl and \
                           *-activity.jsonl"
                    .to_owned();
                self.problems.push(AdoptProblem { place, why, kept: false });
            }
        }
    }

    fn folder(&mut self, folder: &Path, depth: usize) {
        if depth > DEPTH_MAX {
            return self.problem(folder, format!("folders are searched no deeper than this: limit={DEPTH_MAX}"));
        }
        let entries = fs::read_dir(folder).and_then(|entries| {
            entries
                .map(|entry| entry.and_then(|entry| Ok((entry.path(), entry.file_type()?))))
                .collect::<io::Result<Vec<_>>>()
        });
        let mut entries = match entries {
            Ok(entries) => entries,
            Err(error) => return self.problem(folder, format!("the folder cannot be read: {error}")),
        };
        entries.sort_by(|(a, _), (b, _)| a.cmp(b));
        for (path, kind) in entries {
            self.entries += 1;
            if self.entries == ENTRIES_MAX {
                self.problem(folder, format!("there are too many files; name those to adopt: limit={ENTRIES_MAX}"));
            }
            if self.entries >= ENTRIES_MAX {
                return;
            }
            match known(&path) {
                _ if kind.is_dir() => self.folder(&path, depth + 1),
                Some(source) if kind.is_file() => self.files.push((source, path)),
                _ if kind.is_symlink() => self.skip(&path, Some("a symbolic link, which is not followed")),
                _ => self.skip(&path, not_needed(&path)),
            }
        }
    }

    /// Leaves a file out, for a reason that is known or not.
    fn skip(&mut self, path: &Path, why: Option<&str>) {
        self.skipped.push(AdoptSkipped { path: path.to_path_buf(), why: why.unwrap_or(NOT_KNOWN).to_owned() });
    }

    fn problem(&mut self, path: &Path, why: String) {
        self.problems.push(AdoptProblem { place: path.display().to_string(), why, kept: false });
    }

    /// Files beside an index belong to it: the index tells which of them are backups.
    fn leave_out_backups(&mut self) {
        let indexes = self.files.iter().filter(|(source, _)| *source == AdoptSource::Backups);
        let folders: BTreeSet<_> = indexes.filter_map(|(_, path)| path.parent()).collect();
        self.skipped.retain(|AdoptSkipped { path, why }| {
            let beside = path.parent().is_some_and(|folder| folders.contains(folder));
            !(beside && why == NOT_KNOWN && path.extension().is_some_and(|extension| extension == "json"))
        });
    }
}

fn known(path: &Path) -> Option<AdoptSource> {
    path.file_name()?.to_str().and_then(AdoptSource::of)
}

/// The reason why a file of the replaced service is not needed, if it is one of those.
fn not_needed(path: &Path) -> Option<&'static str> {
    let name = path.file_name()?;
    NOT_NEEDED.iter().find(|(own, _)| name == *own).map(|(_, why)| *why)
}

impl AdoptSource {
    /// Refuses paths with nothing at them, before a store is created.
    ///
    /// # Errors
    ///
    /// `NotFound` for the first of them.
    pub fn check_paths<P: AsRef<Path>>(paths: &[P]) -> Result<()> {
        paths.iter().try_for_each(|path| metadata(path.as_ref()).map(drop))
    }
}

fn metadata(path: &Path) -> Result<fs::Metadata> {
    fs::metadata(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            Error::not_found(format!("nothing was adopted: no such file or folder: path={}", path.display()))
        }
        _ => Error::from(error).context(format!("nothing was adopted: {}", path.display())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(found: &FoundFiles, root: &Path) -> Vec<String> {
        found.files.iter().map(|(_, path)| path.strip_prefix(root).unwrap().display().to_string()).collect()
    }

    #[test]
    fn a_folder_is_searched_for_known_names_in_the_order_of_adoption() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        fs::create_dir_all(root.join("a/backups")).unwrap();
        for name in ["a/backups/index.json", "a/backups/1.json", "a/backups/notes.md", "a/backlog.json"] {
            fs::write(root.join(name), "").unwrap();
        }
        for name in ["B-activity.jsonl", "chat-history-2025-10-25.jsonl", "registry.json", "other.json"] {
            fs::write(root.join(name), "").unwrap();
        }
        let found = find(&[root, &root.join("registry.json")]).unwrap();
        let order = ["registry.json", "a/backlog.json", "chat-history-2025-10-25.jsonl", "B-activity.jsonl"];
        assert_eq!(names(&found, root), [&order[..], &["a/backups/index.json"]].concat());
        let skipped: Vec<_> = found.skipped.iter().map(|skipped| skipped.path.strip_prefix(root).unwrap()).collect();
        assert_eq!(skipped, [Path::new("a/backups/notes.md"), Path::new("other.json")]);
        assert!(found.problems.is_empty());
    }

    #[test]
    fn a_file_of_the_replaced_service_without_content_is_named_as_not_needed_wherever_it_is_found() {
        let root = tempfile::tempdir().unwrap();
        let marker = root.path().join("shutdown.marker");
        fs::write(&marker, "").unwrap();
        for path in [root.path(), &marker] {
            let found = find(&[path]).unwrap();
            assert!(found.problems.is_empty() && found.files.is_empty());
            assert_eq!(found.skipped.len(), 1);
            assert!(found.skipped[0].why.starts_with("not needed: "), "{}", found.skipped[0].why);
        }
    }

    #[cfg(unix)]
    #[test]
    fn links_in_a_folder_are_not_followed_but_reported() {
        let (root, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(outside.path().join("registry.json"), "{}").unwrap();
        std::os::unix::fs::symlink(outside.path(), root.path().join("folder")).unwrap();
        std::os::unix::fs::symlink(outside.path().join("registry.json"), root.path().join("registry.json")).unwrap();
        let found = find(&[root.path()]).unwrap();
        assert!(found.files.is_empty());
        assert_eq!(found.skipped.len(), 2);
        assert!(found.skipped.iter().all(|skipped| skipped.why == "a symbolic link, which is not followed"));
        assert_eq!(find(&[root.path().join("registry.json")]).unwrap().files.len(), 1);
    }

    #[test]
    fn a_missing_path_is_an_error_and_a_named_file_of_an_unknown_kind_is_a_problem() {
        let root = tempfile::tempdir().unwrap();
        let error = find(&[root.path().join("none")]).unwrap_err().to_string();
        assert!(error.starts_with("nothing was adopted: no such file or folder: path="), "{error}");
        let other = root.path().join("other.json");
        fs::write(&other, "{}").unwrap();
        let found = find(&[other]).unwrap();
        assert!(found.files.is_empty());
        assert!(found.problems[0].why.starts_with("unknown file; known files are registry.json"));
    }

    #[test]
    fn a_search_stops_at_a_certain_depth() {
        let root = tempfile::tempdir().unwrap();
        let deep = (0..=DEPTH_MAX).fold(root.path().to_path_buf(), |path, _| path.join("d"));
        fs::create_dir_all(&deep).unwrap();
        fs::write(deep.join("registry.json"), "{}").unwrap();
        let found = find(&[root.path()]).unwrap();
        assert!(found.files.is_empty());
        assert_eq!(found.problems.len(), 1);
    }
}
