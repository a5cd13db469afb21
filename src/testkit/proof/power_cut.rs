//! Cutting the power: a recorded run, and what must hold of every state in which a cut could leave its disk.
//!
//! After the n-th sync the disk holds one state, byte by byte, whatever comes later; a cut before the next sync leaves
//! that state or the next one. Each state was compared with the model, so an image needs only be the same as one of
//! two.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::choices::Choices;
use super::content::{FleetContent, Model, fingerprint};
use super::disk::{Disk, DiskContent, Request, Synced, survivor};
use super::fleet::{self, Acknowledged, Fleet, Known, Mode, Ticking};
use super::image::Image;
use super::step::{Shape, Step};
use crate::engine::options::VerifyOnOpen;
use crate::engine::store::Store;
use crate::state::INDEXES;

/// The record that is written to a store that was recovered.
const AFTER: &str = "after the cut";
/// Images at one in so many operations are written to a file, too.
const ONE_AS_A_FILE: usize = 32;

/// Steps taken on a disk that recorded everything.
pub(crate) struct Run {
    folder: PathBuf,
    mode: Mode,
    /// The earlier content of the disk.
    base: DiskContent,
    trace: Vec<Request>,
    /// The first is from before the first step.
    pub(crate) marks: Vec<Mark>,
    acknowledged: Vec<Acknowledged>,
    /// The content of the disk after each sync, and before the first.
    states: Vec<StateAt>,
}

/// A step has returned: all that it did is durable.
pub(crate) struct Mark {
    /// So much had been recorded by then.
    at: usize,
    pub(crate) name: &'static str,
    pub(crate) shape: Shape,
    pub(crate) known: Known,
    /// As a process read the disk.
    pub(crate) image: DiskContent,
    /// The choices of the step after it.
    pub(crate) choices: Choices,
    fingerprint: u64,
}

struct StateAt {
    /// The number of requests after which it is there, whatever is lost of the later ones.
    at: usize,
    fingerprint: u64,
    synced: Synced,
}

/// How much was done.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CutCounts {
    pub(crate) cuts_at_syncs: u64,
    pub(crate) cuts_between: u64,
    pub(crate) cuts_in_recovery: u64,
}

impl CutCounts {
    /// All images.
    #[cfg(test)]
    pub(crate) fn images(&self) -> u64 {
        self.cuts_at_syncs + self.cuts_between + self.cuts_in_recovery
    }

    /// Adds those of another run.
    #[cfg(test)]
    pub(crate) fn add(&mut self, other: &Self) {
        self.cuts_at_syncs += other.cuts_at_syncs;
        self.cuts_between += other.cuts_between;
        self.cuts_in_recovery += other.cuts_in_recovery;
    }
}

impl Run {
    /// Takes up to so many steps, fewer when the choices are bytes that run out.
    pub(crate) fn record(folder: &Path, mode: Mode, steps: usize, choices: &mut Choices) -> Self {
        let mut fleet = Fleet::new(folder, mode).unwrap();
        let base = fleet.disk.seen();
        fleet.disk.record();
        let mut marks = vec![Mark::of(&fleet, "create", Shape::Reopened, choices)];
        let from_bytes = !choices.is_spent();
        for _ in 0..steps {
            if from_bytes && choices.is_spent() {
                break;
            }
            let acted = fleet.step(choices).unwrap();
            marks.push(Mark::of(&fleet, acted.name, acted.shape, choices));
            let held = FleetContent::read(&fleet.store.view().unwrap()).unwrap();
            assert!(held == fleet.known.model.now, "the store differs from the model: step={}", acted.name);
        }
        let acknowledged = std::mem::take(&mut fleet.acknowledged);
        fleet.die();
        let trace = fleet.disk.take_trace();
        let folder = folder.to_path_buf();
        let mut run = Self { folder, mode, base, trace, marks, acknowledged, states: Vec::new() };
        run.replay();
        run
    }

    /// Finds what is on the disk after each sync, and holds it against the model and against what was acknowledged.
    fn replay(&mut self) {
        let mut synced = Synced::of(self.base.clone());
        let mut states = vec![self.state(0, &synced)];
        for (at, request) in self.trace.iter().enumerate() {
            synced.take(request.clone());
            if request.is_sync() {
                states.push(self.state(at + 1, &synced));
            }
        }
        self.states = states;
        for mark in &self.marks {
            let durable = self.state_before(mark.at).fingerprint;
            assert!(durable == mark.fingerprint, "acknowledged before it was on the disk: step={}", mark.name);
        }
    }

    /// Opens what is on the disk after so many requests, and compares it with the model.
    fn state(&self, at: usize, synced: &Synced) -> StateAt {
        let store = self.open(&Disk::of(synced.durable.clone()));
        let model = Model::read(&store).unwrap();
        self.compare(at, &model);
        assert_sound(&store);
        StateAt { at, fingerprint: fingerprint(&store.view().unwrap()).unwrap(), synced: synced.clone() }
    }

    /// Compares the content after so many requests with the model before and after the step that was in progress.
    fn compare(&self, at: usize, found: &Model) {
        let after = self.marks.iter().position(|mark| mark.at >= at).unwrap_or(self.marks.len() - 1);
        let (before, after) = (&self.marks[after.saturating_sub(1)], &self.marks[after]);
        let during = before.at..=at;
        let told = self.acknowledged.iter().filter(|told| during.contains(&told.at));
        let told = told.map(|told| (told.caller, told.number)).collect();
        let step = Step { shape: after.shape, before: &before.known.model, after: &after.known.model, told };
        step.allows(found).unwrap_or_else(|why| panic!("{why}: step={} at={at}", after.name));
    }

    fn open(&self, disk: &Disk) -> Store {
        let clock = Ticking::new(self.marks[0].known.time);
        fleet::open(disk, &self.folder, &clock, self.mode).unwrap().1
    }

    /// The state that is there for certain after so many requests.
    fn state_before(&self, at: usize) -> &StateAt {
        &self.states[self.states.partition_point(|state| state.at <= at) - 1]
    }

    /// Cuts the power at every sync, `at_syncs` times each, and once at one in `every` of the other operations; a third
    /// of the images are cut again while they recover.
    pub(crate) fn cut_everywhere(&self, at_syncs: usize, every: usize, choices: &mut Choices) -> CutCounts {
        let mut counts = CutCounts::default();
        for at in 0..=self.trace.len() {
            let is_sync = self.trace.get(at).is_none_or(Request::is_sync);
            let times = if is_sync { at_syncs } else { usize::from(choices.once_in(every)) };
            for _ in 0..times {
                self.cut(at, choices, &mut counts);
                *(if is_sync { &mut counts.cuts_at_syncs } else { &mut counts.cuts_between }) += 1;
            }
        }
        counts
    }

    /// Cuts the power once, after so many requests.
    pub(crate) fn cut(&self, at: usize, choices: &mut Choices, counts: &mut CutCounts) {
        let state = self.state_before(at);
        let mut synced = state.synced.clone();
        self.trace[state.at..at].iter().for_each(|request| synced.take(request.clone()));
        let image = survivor(&synced, choices);
        let allowed = self.allowed(state, at);
        if choices.once_in(3) {
            self.verify(&self.cut_in_recovery(image.clone(), choices), &allowed, at, choices);
            counts.cuts_in_recovery += 1;
        }
        self.verify(&image, &allowed, at, choices);
    }

    /// The states that a cut after so many requests may leave: that of the last sync and that of the next. Where there
    /// is a log, a sync of one file is no end of what is done in another, so that may be any until the step has ended.
    fn allowed(&self, state: &StateAt, at: usize) -> Vec<u64> {
        let end = self.marks.iter().map(|mark| mark.at).find(|end| *end >= at).filter(|_| self.mode.log).unwrap_or(at);
        let later = self.states.iter().filter(|next| next.at > at);
        let next = later.clone().take(1).chain(later.take_while(|next| next.at <= end));
        next.chain([state]).map(|state| state.fingerprint).collect()
    }

    /// Opens an image, and cuts the power again while that goes on.
    fn cut_in_recovery(&self, image: DiskContent, choices: &mut Choices) -> DiskContent {
        let disk = Disk::of(image.clone());
        disk.record();
        let store = self.open(&disk);
        drop(store);
        let trace = disk.take_trace();
        let at = choices.below(trace.len() + 1);
        let mut synced = Synced::of(image);
        trace[..at].iter().for_each(|request| synced.take(request.clone()));
        survivor(&synced, choices)
    }

    /// The image is one of the states that are allowed, whole and sound, and can be worked on.
    fn verify(&self, image: &DiskContent, allowed: &[u64], at: usize, choices: &mut Choices) {
        if at.is_multiple_of(ONE_AS_A_FILE) {
            self.verify_as_a_file(image, allowed, at);
        }
        let disk = Disk::of(image.clone());
        let store = self.open(&disk);
        let found = fingerprint(&store.view().unwrap()).unwrap();
        let is_known = allowed.contains(&found);
        // Each of several threads has an entry of its own.
        assert!(
            is_known || self.mode.log && self.is_of_callers(at),
            "neither the last state nor the next is there: at={at}"
        );
        assert_sound(&store);
        if !is_known || choices.once_in(8) {
            self.compare(at, &Model::read(&store).unwrap());
        }
        if choices.once_in(8) {
            store.write(|tx| tx.config().put(AFTER, &json!(at))).unwrap();
            store.close().unwrap();
            let store = self.open(&disk);
            assert_eq!(store.view().unwrap().config().get(AFTER).unwrap(), Some(json!(at)));
            assert_sound(&store);
        }
    }

    /// Whether the step in progress after so many requests is one of several threads.
    fn is_of_callers(&self, at: usize) -> bool {
        self.marks.iter().find(|mark| mark.at >= at).is_some_and(|mark| mark.shape == Shape::Callers)
    }

    /// The same of files that hold the image, opened as any are, with their pages verified and without.
    fn verify_as_a_file(&self, image: &DiskContent, allowed: &[u64], at: usize) {
        let path = self.folder.join("cut.redb");
        for verify in [VerifyOnOpen::Always, VerifyOnOpen::Never] {
            write_image(&path, image.store());
            for (section, image) in image.sections() {
                write_image(&self.folder.join(format!("cut.redb.wal.{section}")), image);
            }
            let options =
                Store::options().create(false).reserve(false).verify_on_open(verify).sharing(self.mode.sharing);
            let store = options.open_with(&path, INDEXES).unwrap();
            let found = fingerprint(&store.view().unwrap()).unwrap();
            let is_known = allowed.contains(&found) || self.mode.log && self.is_of_callers(at);
            assert!(is_known, "as a file, neither state is there: at={at} verify={verify:?}");
            assert_sound(&store);
            store.close().unwrap();
        }
    }
}

impl Mark {
    fn of(fleet: &Fleet, name: &'static str, shape: Shape, choices: &Choices) -> Self {
        Self {
            at: fleet.disk.recorded(),
            name,
            shape,
            known: fleet.known.clone(),
            image: fleet.disk.seen(),
            choices: choices.clone(),
            fingerprint: fingerprint(&fleet.store.view().unwrap()).unwrap(),
        }
    }
}

fn write_image(path: &Path, image: &Image) {
    let mut bytes = vec![0; image.len()];
    image.read(0, &mut bytes).unwrap();
    std::fs::write(path, &bytes).unwrap();
}

/// Everything in the store verifies: records, chains, points, digests, the audit trail, the index.
pub(crate) fn assert_sound(store: &Store) {
    let report = store.check().unwrap();
    assert!(report.is_sound(), "{:?}", report.findings);
}
