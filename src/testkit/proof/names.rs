//! A disk that loses names until their folder is synced, under the real code.
//!
//! [`Disk`](super::disk::Disk) holds one file and knows nothing of names. Code that makes names works with the real
//! file system, so it is not replaced here but watched: [`files`](crate::files), through which every name comes and
//! goes, tells a journal of each of its steps. A [`Recording`] keeps the steps, what was acknowledged between them, and
//! what the files held. From those it builds each state in which a power cut after any step could leave the folder:
//!
//! * **Names.** A creation, a link, a rename or a removal changes the folder that it is in. When that folder is synced,
//!   every earlier change in it is on the disk. Any combination of later changes may be: a rename happened or not, a
//!   link is there without the removal that came after it. A folder whose own name is lost takes its content with it.
//!   File systems with a journal promise more; POSIX does not.
//! * **Content.** A file has the content of its last sync, and none if it was never synced. The content of a redb file
//!   is taken as it was at that moment: its syncs do not come by here, and [`power_cut`](super::power_cut) is about
//!   those.
//!
//! An image is made as a real folder, and what was acknowledged by then is looked for in it with the real
//! code. Whether the syncs are what keeps it is asked too: with those of one folder left out, something that
//! was acknowledged must be lost.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::choices::Choices;
use crate::files::journal::{Journal, NameStep};

/// The first bytes of every redb file.
const REDB: &[u8] = b"redb";
/// Every combination of up to so many changes that were not synced is tried; with more changes, some are.
const ALL_OF: usize = 4;
/// So many combinations of more, beside none, all, one, and all but one.
const SOME: usize = 8;

/// The kind of thing that has a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Node {
    Folder,
    File(usize),
}

type Names = BTreeMap<PathBuf, Node>;

/// A change of one folder: names that are of something else from now on, or of nothing.
#[derive(Clone, Debug)]
struct Change {
    folder: PathBuf,
    names: Vec<(PathBuf, Option<Node>)>,
}

/// A step, or something that was acknowledged, and what every file held right after it.
#[derive(Clone, Debug)]
struct Moment {
    what: What,
    files: BTreeMap<PathBuf, Arc<[u8]>>,
}

#[derive(Clone, Debug)]
enum What {
    NameStep(NameStep),
    Acknowledged(&'static str),
}

/// Looks in an image for what was acknowledged, and says why it is not there.
pub(crate) type Find<'f> = &'f dyn Fn(&Path, &[&'static str]) -> Result<(), String>;
type Hook = (Box<dyn Fn(&NameStep) -> bool + Send>, Box<dyn FnOnce() + Send>);

/// The steps below a folder that was empty, and durable, before.
pub(crate) struct Recording {
    root: PathBuf,
    moments: Arc<Mutex<Vec<Moment>>>,
    hook: Arc<Mutex<Option<Hook>>>,
    _journal: Journal,
}

/// Which syncs do not happen.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LeftOut {
    Nothing,
    Of(PathBuf),
}

/// The number of images, and the losses found in them.
#[derive(Debug, Default)]
pub(crate) struct NameCuts {
    pub(crate) images: usize,
    /// Why something that was acknowledged is not there.
    pub(crate) lost: Vec<String>,
}

impl Recording {
    pub(crate) fn of(folder: &Path) -> Self {
        let root = folder.canonicalize().unwrap();
        let moments = Arc::<Mutex<Vec<Moment>>>::default();
        let hook = Arc::<Mutex<Option<Hook>>>::default();
        let listener = {
            let (root, moments, hook) = (root.clone(), moments.clone(), hook.clone());
            move |step: &NameStep| {
                let files = files_below(&root);
                moments.lock().push(Moment { what: What::NameStep(step.clone()), files });
                let is_time = hook.lock().as_ref().is_some_and(|(when, _)| when(step));
                let due = if is_time { hook.lock().take() } else { None };
                if let Some((_, then)) = due {
                    then();
                }
            }
        };
        let journal = Journal::listen(&root, listener);
        Self { root, moments, hook, _journal: journal }
    }

    /// Does something right after the first step that is so, while the one who took it stands still.
    pub(crate) fn when(&self, step: impl Fn(&NameStep) -> bool + Send + 'static, then: impl FnOnce() + Send + 'static) {
        *self.hook.lock() = Some((Box::new(step), Box::new(then)));
    }

    /// Something was acknowledged: from now on it must be there, whatever happens.
    pub(crate) fn acknowledge(&self, what: &'static str) {
        acknowledge(&self.root, &self.moments, what);
    }

    /// The same, for a hook.
    pub(crate) fn acknowledging(&self) -> impl Fn(&'static str) + Send + 'static {
        let (root, moments) = (self.root.clone(), self.moments.clone());
        move |what| acknowledge(&root, &moments, what)
    }

    /// Everything synced: each folder, and each file by the name that it had then.
    pub(crate) fn synced(&self) -> BTreeSet<PathBuf> {
        let synced = |moment: &Moment| match &moment.what {
            What::NameStep(NameStep::FolderSynced(path) | NameStep::FileSynced(path)) => Some(path.clone()),
            _ => None,
        };
        self.moments.lock().iter().filter_map(synced).collect()
    }

    /// Cuts the power after every step, and has `find` look for what was acknowledged by then in each image.
    pub(crate) fn cut_everywhere(&self, left_out: &LeftOut, find: Find<'_>) -> NameCuts {
        let moments = self.moments.lock().clone();
        let (mut disk, mut outcome, mut seen) = (Replayed::new(&self.root), NameCuts::default(), BTreeSet::new());
        let mut acknowledged = Vec::new();
        let mut choices = Choices::seeded(1);
        for (at, moment) in moments.iter().enumerate() {
            match &moment.what {
                What::Acknowledged(what) => {
                    acknowledged.push(*what);
                    let missed =
                        disk.names_of_files().symmetric_difference(&moment.files.keys().cloned().collect()).count();
                    assert_eq!(missed, 0, "a file came or went past the module for files: {:?}", disk.seen);
                }
                What::NameStep(step) => disk.take(step, moment, left_out),
            }
            for kept in combinations(disk.pending.len(), &mut choices) {
                let image = disk.image(&kept, moment);
                if !seen.insert((image.clone(), acknowledged.len())) {
                    continue;
                }
                let folder = tempfile::tempdir().unwrap();
                make(&image, &self.root, folder.path());
                outcome.images += 1;
                if let Err(why) = find(folder.path(), &acknowledged) {
                    outcome.lost.push(format!("after {:?} (step {at}): {why}", moment.what));
                }
            }
        }
        outcome
    }
}

fn acknowledge(root: &Path, moments: &Mutex<Vec<Moment>>, what: &'static str) {
    let files = files_below(root);
    moments.lock().push(Moment { what: What::Acknowledged(what), files });
}

/// Every file, and what is in it.
fn files_below(folder: &Path) -> BTreeMap<PathBuf, Arc<[u8]>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else if let Ok(bytes) = fs::read(&path) {
            files.insert(path, bytes.into());
        }
    }
    files
}

/// Which of so many changes reached the disk, each time.
fn combinations(of: usize, choices: &mut Choices) -> Vec<Vec<bool>> {
    if of <= ALL_OF {
        return (0..1_usize << of).map(|bits| (0..of).map(|at| bits >> at & 1 == 1).collect()).collect();
    }
    let mut several = vec![vec![false; of], vec![true; of]];
    for at in 0..of {
        several.push((0..of).map(|other| other == at).collect());
        several.push((0..of).map(|other| other != at).collect());
    }
    several.extend((0..SOME).map(|_| (0..of).map(|_| choices.once_in(2)).collect()));
    several
}

/// An entry of an image at a path: a folder, or a file with this content.
type Image = BTreeMap<PathBuf, Option<Arc<[u8]>>>;

/// A disk at some moment.
struct Replayed {
    root: PathBuf,
    seen: Names,
    durable: Names,
    pending: Vec<Change>,
    /// The synced content of each file.
    synced: BTreeMap<usize, Arc<[u8]>>,
    files: usize,
}

impl Replayed {
    fn new(root: &Path) -> Self {
        let names = BTreeMap::from([(root.to_path_buf(), Node::Folder)]);
        let (durable, seen) = (names.clone(), names);
        Self { root: root.to_path_buf(), seen, durable, pending: Vec::new(), synced: BTreeMap::new(), files: 0 }
    }

    fn names_of_files(&self) -> BTreeSet<PathBuf> {
        self.seen.iter().filter(|(_, node)| matches!(node, Node::File(_))).map(|(path, _)| path.clone()).collect()
    }

    fn take(&mut self, step: &NameStep, moment: &Moment, left_out: &LeftOut) {
        let is_left_out = |path: &PathBuf| matches!(left_out, LeftOut::Of(left_out) if left_out == path);
        match step {
            NameStep::Created(path) => {
                self.files += 1;
                self.change(vec![(path.clone(), Some(Node::File(self.files)))]);
            }
            NameStep::FolderCreated(path) => self.change(vec![(path.clone(), Some(Node::Folder))]),
            NameStep::Linked(from, to) => self.change(vec![(to.clone(), self.seen.get(from).copied())]),
            NameStep::Renamed(from, to) => {
                let node = self.seen.get(from).copied();
                self.change(vec![(from.clone(), None), (to.clone(), node)]);
            }
            NameStep::Removed(path) => self.change(vec![(path.clone(), None)]),
            NameStep::FileSynced(path) if !is_left_out(path) => {
                if let (Some(Node::File(file)), Some(bytes)) = (self.seen.get(path), moment.files.get(path)) {
                    self.synced.insert(*file, bytes.clone());
                }
            }
            NameStep::FolderSynced(folder) if !is_left_out(folder) => {
                let (done, left) = self.pending.drain(..).partition(|change| change.folder == *folder);
                self.pending = left;
                apply(&mut self.durable, &done);
            }
            NameStep::FileSynced(_) | NameStep::FolderSynced(_) => {}
        }
    }

    fn change(&mut self, names: Vec<(PathBuf, Option<Node>)>) {
        let folder = names.first().and_then(|(path, _)| path.parent()).unwrap().to_path_buf();
        let change = Change { folder, names };
        apply(&mut self.seen, std::slice::from_ref(&change));
        self.pending.push(change);
    }

    /// The state in which these of the changes that were not synced reached the disk.
    fn image(&self, kept: &[bool], moment: &Moment) -> Image {
        let mut names = self.durable.clone();
        let kept: Vec<_> = self.pending.iter().zip(kept).filter(|(_, kept)| **kept).map(|(c, _)| c.clone()).collect();
        apply(&mut names, &kept);
        let is_reached = |path: &Path| {
            let above = path.ancestors().skip(1).take_while(|above| above.starts_with(&self.root));
            above.into_iter().all(|above| names.get(above) == Some(&Node::Folder))
        };
        let there = names.iter().filter(|(path, _)| is_reached(path));
        there.map(|(path, node)| (path.clone(), self.content(*node, moment))).collect()
    }

    fn content(&self, node: Node, moment: &Moment) -> Option<Arc<[u8]>> {
        let Node::File(file) = node else { return None };
        let now = self.seen.iter().find(|(_, node)| **node == Node::File(file));
        let now = now.and_then(|(path, _)| moment.files.get(path)).filter(|bytes| bytes.starts_with(REDB));
        now.or_else(|| self.synced.get(&file)).cloned().or_else(|| Some(Arc::from([])))
    }
}

fn apply(names: &mut Names, changes: &[Change]) {
    for (path, node) in changes.iter().flat_map(|change| &change.names) {
        match node {
            Some(node) => {
                names.insert(path.clone(), *node);
            }
            None => names.retain(|name, _| !name.starts_with(path)),
        }
    }
}

fn make(image: &Image, root: &Path, to: &Path) {
    for (path, content) in image {
        let path = to.join(path.strip_prefix(root).unwrap());
        match content {
            None => fs::create_dir_all(&path).unwrap(),
            Some(bytes) => fs::write(&path, bytes).unwrap(),
        }
    }
}
