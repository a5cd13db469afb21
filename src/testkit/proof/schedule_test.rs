//! Three processes over one log, in schedules that are chosen at random: operations of the disk and of the shared page
//! fail once or for ever, processes die, close and open, and the power goes, in any order and one after the other.
//!
//! `HIVEKEEP_TEST_SCALE=N HIVEKEEP_TEST_SEED=S cargo test --release --lib schedule` takes N times as many, from S on.

use std::panic::{self, AssertUnwindSafe};
use std::time::Instant;

use tempfile::TempDir;

use super::choices::Choices;
use super::content::{Model, fingerprint};
use super::disk::{Disk, Fault, Operation};
use super::fault::{assert_clear, fault, without_points_of_events};
use super::fleet::{Fleet, Known, Mode, STEPS_OF_ONE_LIFE};
use super::power_cut::assert_sound;
use super::power_cut_test::{Counts, counted, scale};
use super::step::{Shape, Step};
use crate::engine::store::Store;
use crate::error::{Error, ErrorKind, Result};
use crate::state::ids::SessionId;

/// So many schedules, times the scale, of so many steps.
const SCHEDULES: u64 = 40;
const STEPS: usize = 40;
/// The kinds of operations that fail; the one that fails is among so many of the first.
const OPERATIONS: [(Operation, usize); 6] = [
    (Operation::Read, 40),
    (Operation::Write, 30),
    (Operation::SetLen, 3),
    (Operation::Sync, 8),
    (Operation::ReadShared, 12),
    (Operation::WriteShared, 12),
];

#[test]
fn whatever_fails_or_dies_of_three_processes_over_one_log_each_sees_all_that_any_was_told() {
    let begun = Instant::now();
    let total = counted(SCHEDULES * scale(), 2, schedule);
    println!("{total:?} seconds={}", begun.elapsed().as_secs());
    let of = |what: &str| total.get(what).copied().unwrap_or_default();
    let all = ["power cuts", "deaths", "uncertain, done", "uncertain, not done", "refused", "reopened", "closes"];
    assert!(all.iter().all(|what| of(what) > 0), "something never happened: {total:?}");
    assert!(OPERATIONS.iter().all(|(kind, _)| of(&format!("{kind:?}")) > 0), "{total:?}");
}

fn schedule(seed: u64) -> Counts {
    let mut choices = Choices::seeded(seed);
    let mode = Mode { long: false, ..Mode::of_three(choices.below(8)) };
    let mut crowd = Crowd::new(mode);
    for step in 0..STEPS {
        let taken = panic::catch_unwind(AssertUnwindSafe(|| crowd.step(&mut choices)));
        taken.unwrap_or_else(|cause| {
            eprintln!("failed: HIVEKEEP_TEST_SEED={seed} step={step} mode={mode:?} {}", crowd.last);
            panic::resume_unwind(cause)
        });
        if crowd.is_lost {
            return crowd.counts;
        }
    }
    crowd.cut(&mut choices, None);
    crowd.counts
}

/// The processes, and what was done with them.
struct Crowd {
    fleet: Fleet,
    folder: TempDir,
    mode: Mode,
    dead: Vec<SessionId>,
    counts: Counts,
    last: String,
    /// A compaction whose pages a failed sync forgot has left a file that is refused.
    is_lost: bool,
}

/// A step on a disk that fails, and the states that it may leave.
struct Met {
    name: &'static str,
    fault: Fault,
    shape: Shape,
    before: Model,
    after: Known,
    told: Vec<(usize, u64)>,
    error: Option<Error>,
}

impl Met {
    fn allows(&self, found: &Model) {
        let (before, after) = (self.before.clone(), self.after.model.clone().without_sessions());
        let step = Step { shape: self.shape, before: &before, after: &after, told: self.told.clone() };
        let mut found = without_points_of_events(found.clone().without_sessions(), &step);
        // A restore that fails leaves an event, which has a point where every commit is kept.
        if self.error.is_some() && matches!(self.name, "restore" | "undo") && found.now == before.now {
            let Model { now, points } = &mut found;
            points.retain(|epoch, content| before.points.contains_key(epoch) || content != now);
        }
        step.allows(&found).unwrap_or_else(|why| panic!("{why}: {:?}", self.error));
        match &self.error {
            None => {
                let only_tells = matches!(self.name, "restore" | "undo") && before.now == after.now;
                let done = self.shape == Shape::Callers || found == after || only_tells;
                assert!(done, "an acknowledged step was lost");
            }
            Some(error) if self.shape == Shape::One && error.kind() != ErrorKind::Uncertain => {
                assert!(found.now == before.now, "a refused step was done: {error}");
            }
            Some(_) => {}
        }
    }
}

impl Crowd {
    fn new(mode: Mode) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let fleet = Fleet::new(folder.path(), mode).unwrap();
        let (dead, counts, last) = (Vec::new(), Counts::new(), String::new());
        Self { fleet, folder, mode, dead, counts, last, is_lost: false }
    }

    fn count(&mut self, what: impl Into<String>) {
        *self.counts.entry(what.into()).or_default() += 1;
    }

    fn step(&mut self, choices: &mut Choices) {
        match choices.below(16) {
            0..=5 => self.work(choices),
            6..=12 => self.work_on_a_failing_disk(choices),
            13 => self.rest(choices),
            14 => self.close_and_open(choices),
            _ => self.cut(choices, None),
        }
        if !self.is_lost {
            self.compare(choices);
        }
    }

    /// A step without a fault, for which a process that has failed is opened again.
    fn work(&mut self, choices: &mut Choices) {
        self.last = "work".into();
        let reopened = self.fleet.stores().filter(|store| refresh(store)).count();
        *self.counts.entry("reopened".into()).or_default() += reopened as u64;
        let acted = self.fleet.act(choices).unwrap();
        self.fleet.learn(&acted).unwrap();
    }

    fn work_on_a_failing_disk(&mut self, choices: &mut Choices) {
        self.fleet.change_places(choices);
        let (kind, most) = *choices.of(&OPERATIONS);
        let fault = fault(kind, 1 + choices.below(most), choices.once_in(3), choices.once_in(2));
        let (ends, resumes) = (choices.below(4), choices.below(4));
        let before = self.fleet.known.model.clone().without_sessions();
        let (name, shape, after) = self.foresee(choices.clone());
        self.last = format!("{name} {fault:?} ends={ends} resumes={resumes}");
        self.fleet.acknowledged.clear();
        self.fleet.disk.fail(fault);
        let acted = self.fleet.act_here(choices, STEPS_OF_ONE_LIFE);
        let told = self.fleet.acknowledged.iter().map(|told| (told.caller, told.number)).collect();
        let met = Met { name, fault, shape, before, after, told, error: acted.err() };
        self.last = format!("{} {:?}", self.last, met.error);
        let seen: Vec<_> = self.fleet.stores().map(Model::read).collect();
        let has_struck = self.fleet.disk.mend();
        seen.into_iter().for_each(|seen| self.allow(&met, seen));
        if !has_struck {
            assert!(met.error.as_ref().is_none_or(|error| error.kind() == ErrorKind::Reopen), "nothing has failed");
        } else {
            self.count(format!("{kind:?}"));
        }
        if ends == 0 {
            return self.cut(choices, Some(&met));
        }
        if ends == 1 {
            self.die();
        }
        self.settle(&met, ends == 1, resumes);
    }

    /// Sees what a step leaves by taking it on a copy of the disk, where one process is alone.
    fn foresee(&self, mut choices: Choices) -> (&'static str, Shape, Known) {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::of(self.fleet.disk.seen());
        let mode = Mode { others: 0, ..self.mode };
        let mut twin = Fleet::on(&disk, folder.path(), mode, self.fleet.known.clone()).unwrap();
        let acted = twin.act_here(&mut choices, STEPS_OF_ONE_LIFE).unwrap();
        twin.learn(&acted).unwrap();
        twin.die();
        (acted.name, acted.shape, twin.known)
    }

    fn allow(&self, met: &Met, seen: Result<Model>) {
        match seen {
            // An acknowledged step may be behind a page that cannot be read, and no other one may be.
            Ok(seen) => met.allows(&seen),
            Err(error) => assert_clear(&error),
        }
    }

    /// The process dies without a word.
    fn die(&mut self) {
        self.dead.extend(self.fleet.store.session());
        self.fleet.die_alone();
        self.count("deaths");
    }

    /// Every process goes on, or says why not and is opened again. Then all see the same, and it is learned.
    fn settle(&mut self, met: &Met, mut has_died: bool, resumes: usize) {
        let mut is_new = has_died;
        // The one that died comes back before the others work on, or behind them.
        if has_died && resumes < 2 {
            self.fleet.open_again().unwrap();
            has_died = false;
        }
        let (mut is_settled, mut must_end) = (false, false);
        for (at, store) in self.fleet.stores().enumerate().skip(usize::from(has_died)) {
            match goes_on(store) {
                Ok(()) => is_settled = true,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Reopen, "process {at}: {error}");
                    // It stays as it is for a while if it still reads.
                    if resumes != 3 || Model::read(store).is_err() {
                        match store.reopen() {
                            Ok(()) => goes_on(store).unwrap(),
                            Err(error) => {
                                assert!(at == 0 && met.name == "compact", "process {at}: {error}");
                                must_end = true;
                            }
                        }
                        is_settled |= !must_end;
                    }
                }
            }
        }
        if must_end {
            self.die();
            is_new = true;
        }
        if has_died || must_end {
            self.fleet.open_again().unwrap();
        }
        if !is_settled {
            self.fleet.store.reopen().unwrap();
            goes_on(&self.fleet.store).unwrap();
        }
        let found = Model::read(&self.fleet.store).unwrap();
        met.allows(&found);
        self.learn(met, found);
        if is_new {
            let dead = self.dead.clone();
            let begun = self.fleet.begin_after(&dead).unwrap();
            self.fleet.learn(&begun).unwrap();
        }
    }

    fn learn(&mut self, met: &Met, found: Model) {
        let is_done = found.now != met.before.now;
        match &met.error {
            Some(error) if error.kind() == ErrorKind::Uncertain && is_done => self.count("uncertain, done"),
            Some(error) if error.kind() == ErrorKind::Uncertain => self.count("uncertain, not done"),
            Some(_) => self.count("refused"),
            None => {}
        }
        self.fleet.settle(&met.after, found).unwrap();
    }

    /// The log moves into the file.
    fn rest(&mut self, choices: &mut Choices) {
        self.last = "rest".into();
        self.fleet.change_places(choices);
        let (kind, most) = *choices.of(&OPERATIONS);
        if choices.once_in(2) {
            self.fleet.disk.fail(fault(kind, 1 + choices.below(most), choices.once_in(3), choices.once_in(2)));
        }
        if let Err(error) = self.fleet.store.lay_log_down() {
            assert_clear(&error);
        }
        self.fleet.disk.mend();
        let reopened = self.fleet.stores().filter(|store| refresh(store)).count();
        *self.counts.entry("reopened".into()).or_default() += reopened as u64;
    }

    fn close_and_open(&mut self, choices: &mut Choices) {
        self.fleet.change_places(choices);
        let session = self.fleet.store.session();
        let (kind, most) = *choices.of(&OPERATIONS);
        let fault = fault(kind, 1 + choices.below(most), choices.once_in(3), choices.once_in(2));
        // Nobody knows whether its session has an end then, and whether its claims go back.
        let has_claims = self.fleet.known.model.now.tasks.values().any(|task| task.1.is_some() && task.1 == session);
        self.last = format!("close and open {fault:?}");
        if choices.once_in(2) && !has_claims {
            self.fleet.disk.fail(fault);
        }
        if let Err(error) = self.fleet.store.close() {
            assert_clear(&error);
        }
        self.fleet.disk.mend();
        self.fleet.open_again().unwrap();
        let dead = self.dead.clone();
        let begun = self.fleet.begin_after(&dead).unwrap();
        self.fleet.learn(&begun).unwrap();
        self.count("closes");
    }

    /// All die, the power goes, and the store is opened again: by one process first.
    fn cut(&mut self, choices: &mut Choices, met: Option<&Met>) {
        self.last = format!("{}, then a power cut", if met.is_some() { &self.last } else { "" });
        self.dead.extend(self.fleet.stores().filter_map(Store::session));
        self.fleet.die();
        let disk = Disk::of(self.fleet.disk.cut(choices));
        let opened = Fleet::on(&disk, self.folder.path(), self.mode, self.fleet.known.clone());
        self.count("power cuts");
        self.fleet = match (opened, met) {
            (Ok(fleet), _) => fleet,
            (Err(error), Some(met)) if met.name == "compact" && met.fault.forgets => {
                assert_eq!(error.kind(), ErrorKind::Damaged);
                self.is_lost = true;
                return;
            }
            (Err(error), _) => panic!("it does not open after the power cut: {error}"),
        };
        let found = Model::read(&self.fleet.store).unwrap();
        match met {
            Some(met) => {
                met.allows(&found);
                self.learn(met, found);
            }
            None => assert!(found == self.fleet.known.model, "a power cut took something, or brought something back"),
        }
        assert_sound(&self.fleet.store);
        let dead = self.dead.clone();
        let begun = self.fleet.begin_after(&dead).unwrap();
        self.fleet.learn(&begun).unwrap();
    }

    /// Each process that lives sees what any of them was told is done.
    fn compare(&self, choices: &mut Choices) {
        let seen = self.fleet.stores().map(|store| fingerprint(&store.view()?));
        let seen: Vec<_> = seen.filter_map(|seen| seen.inspect_err(assert_clear).ok()).collect();
        assert!(seen.windows(2).all(|pair| pair[0] == pair[1]), "two processes see different states");
        if choices.once_in(4) {
            let found = Model::read(&self.fleet.store).inspect_err(assert_clear);
            assert!(found.is_ok_and(|found| found == self.fleet.known.model), "the state differs");
            assert_sound(&self.fleet.store);
        }
    }
}

/// A process takes a turn, and changes nothing that the model knows.
fn goes_on(store: &Store) -> Result<()> {
    store.write(|tx| tx.queue().expire(1)).map(drop)
}

/// Opens the store again in a process that has failed; says whether it had.
fn refresh(store: &Store) -> bool {
    let Err(error) = goes_on(store) else { return false };
    assert_eq!(error.kind(), ErrorKind::Reopen, "{error}");
    store.reopen().unwrap();
    goes_on(store).unwrap();
    true
}
