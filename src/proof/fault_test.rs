//! Every operation of the disk fails in turn, once and for ever, while a step is taken, and the power may go then.
//!
//! `HIVEKEEP_TEST_SCALE=N HIVEKEEP_TEST_SEED=S cargo test --release --lib fault` takes N times as many steps, from S on.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::Mutex;
use serde_json::json;

use super::choices::Choices;
use super::content::Model;
use super::disk::{Disk, EIO, ENOSPC, Fault, Kind};
use super::fleet::{Fleet, Mode};
use super::power_cut::{Mark, Run, assert_sound};
use super::power_cut_test::{scale, seed};
use super::step::{Shape, Step};
use crate::error::{Error, ErrorKind};

/// So many steps, times the scale, of runs of so many.
const STEPS: u64 = 12;
const STEPS_OF_RUN: usize = 20;
/// The record that is written to a store that was opened again.
const AFTER: &str = "after the fault";

/// How many faults struck, by what failed and for how long.
type Struck = BTreeMap<String, u64>;

#[test]
fn whatever_operation_fails_nothing_acknowledged_is_lost_and_nothing_is_half_done() {
    let (seed, steps, begun) = (seed(), STEPS * scale(), Instant::now());
    let (next, taken) = (AtomicU64::new(seed), AtomicU64::new(0));
    let total = Mutex::new(Struck::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while taken.load(Ordering::Relaxed) < steps {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let done = std::panic::catch_unwind(|| sweep(seed, &taken, steps));
                    let struck = done.unwrap_or_else(|_| panic!("failed: HIVEKEEP_TEST_SEED={seed}"));
                    struck.into_iter().for_each(|(what, count)| *total.lock().entry(what).or_default() += count);
                }
            });
        }
    });
    let (steps, runs) = (taken.load(Ordering::Relaxed), total.lock().values().sum::<u64>());
    println!("{:?} faults={runs} steps={steps} seconds={}", total.lock(), begun.elapsed().as_secs());
    assert!(total.lock().len() >= 8, "some kind of operation never failed");
}

/// Takes the steps of a run one by one, each once for every operation in it that can fail.
fn sweep(seed: u64, taken: &AtomicU64, most: u64) -> Struck {
    let folder = tempfile::tempdir().unwrap();
    let mut choices = Choices::seeded(seed);
    let mode = Mode { long: false, ..Mode::of(choices.below(8)) };
    let run = Run::record(folder.path(), mode, STEPS_OF_RUN, &mut choices);
    let mut struck = Struck::new();
    for marks in run.marks.windows(2).filter(|marks| marks[1].shape != Shape::Reopened) {
        if taken.fetch_add(1, Ordering::Relaxed) >= most {
            break;
        }
        let attempt = Attempt { folder: folder.path(), mode, before: &marks[0], after: &marks[1] };
        for kind in [Kind::Read, Kind::Write, Kind::SetLen, Kind::Sync] {
            for for_ever in [false, true] {
                for forgets in [false, true].into_iter().filter(|forgets| kind == Kind::Sync || !forgets) {
                    let count = attempt.every_nth(kind, for_ever, forgets);
                    let what = format!("{kind:?} {}", if for_ever { "for ever" } else { "once" });
                    *struck.entry(what).or_default() += count;
                }
            }
        }
    }
    struck
}

/// A step that is to be taken on a disk that fails.
struct Attempt<'a> {
    folder: &'a std::path::Path,
    mode: Mode,
    before: &'a Mark,
    after: &'a Mark,
}

impl Attempt<'_> {
    /// Lets the n-th operation of a kind fail, for every n; gives how many there were.
    fn every_nth(&self, kind: Kind, for_ever: bool, forgets: bool) -> u64 {
        for nth in 1.. {
            let errno = if nth % 2 == 0 && kind != Kind::Read { ENOSPC } else { EIO };
            let fault = Fault { kind, nth, for_ever, errno, short: nth % 3 == 0, forgets };
            if !self.survives(fault) {
                return nth as u64 - 1;
            }
        }
        0
    }

    /// Opens the store, takes the step and closes it on a disk with a fault; then opens it again, writes, and cuts the
    /// power. Says whether the fault struck.
    fn survives(&self, fault: Fault) -> bool {
        let disk = Disk::of(self.before.image.clone());
        disk.fail(fault);
        let (mut acknowledged, mut told) = (false, Vec::new());
        match Fleet::on(&disk, self.folder, self.mode, self.before.known.clone()) {
            Err(error) => assert_clear(&error),
            Ok(mut fleet) => {
                acknowledged = self.take_step(&mut fleet, fault);
                told = fleet.acknowledged.iter().map(|told| (told.caller, told.number)).collect();
            }
        }
        let struck = disk.mend();
        let (before, after) = (self.model(self.before), self.model(self.after));
        let step = Step { shape: self.after.shape, before: &before, after: &after, told };
        let opened = Fleet::on(&disk, self.folder, self.mode, self.before.known.clone());
        let fleet = opened.unwrap_or_else(|error| panic!("it does not open again: {error} {fault:?}"));
        self.compare(&fleet, &step, acknowledged, fault);
        fleet.store.write(|tx| tx.config().put(AFTER, &json!(1))).unwrap();
        fleet.die();
        let cut = Disk::of(disk.cut(&mut Choices::seeded(fault.nth as u64)));
        let fleet = Fleet::on(&cut, self.folder, self.mode, self.before.known.clone()).unwrap();
        assert_eq!(fleet.store.view().unwrap().config().get(AFTER).unwrap(), Some(json!(1)), "{fault:?}");
        assert_sound(&fleet.store);
        fleet.die();
        struck
    }

    fn model(&self, mark: &Mark) -> Model {
        mark.known.model.clone().without_sessions()
    }

    /// Takes the step; says whether it was acknowledged.
    fn take_step(&self, fleet: &mut Fleet, fault: Fault) -> bool {
        let acted = fleet.act(&mut self.before.choices.clone());
        let failed = acted.as_ref().err().inspect(|error| assert_clear(error)).map(Error::kind);
        self.read_on(fleet, fault);
        let written = fleet.store.write(|tx| tx.queue().expire(1));
        if failed == Some(ErrorKind::Uncertain) {
            let refused = written.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Reopen, "written on after a commit that may have failed: {fault:?}");
        } else if let Err(error) = written {
            assert_clear(&error);
        }
        if let Err(error) = fleet.store.close() {
            assert_clear(&error);
        }
        failed.is_none()
    }

    /// Whatever is still read is right.
    fn read_on(&self, fleet: &Fleet, fault: Fault) {
        match Model::read(&fleet.store).map(Model::without_sessions) {
            Err(error) => assert_clear(&error),
            Ok(found) => {
                let (before, after) = (self.model(self.before), self.model(self.after));
                let step = Step { shape: self.after.shape, before: &before, after: &after, told: Vec::new() };
                step.allows(&found).unwrap_or_else(|why| panic!("{why}: step={} {fault:?}", self.after.name));
            }
        }
    }

    fn compare(&self, fleet: &Fleet, step: &Step<'_>, acknowledged: bool, fault: Fault) {
        let name = self.after.name;
        let found = Model::read(&fleet.store).unwrap().without_sessions();
        step.allows(&found).unwrap_or_else(|why| panic!("{why}: step={name} {fault:?}"));
        let done = step.shape == Shape::Callers || found == *step.after;
        assert!(!acknowledged || done, "an acknowledged step was lost: step={name} {fault:?}");
        assert_sound(&fleet.store);
    }
}

/// An error that says what to do, and does not call a failing disk damage.
fn assert_clear(error: &Error) {
    use ErrorKind::{Full, Io, NotCommitted, Reopen, Uncertain};
    assert!(matches!(error.kind(), Full | Io | NotCommitted | Reopen | Uncertain), "{:?}: {error}", error.kind());
}
