//! One operation of the disk fails while a step is taken, and the power may go then.

#[cfg(test)]
use std::panic;
use std::path::Path;

use serde_json::json;

use super::choices::Choices;
use super::content::Model;
use super::disk::{Disk, EIO, ENOSPC, Fault, Operation};
use super::fleet::{Fleet, Mode};
use super::power_cut::{Mark, assert_sound};
use super::step::{Shape, Step};
use crate::error::{Error, ErrorKind};

/// The record that is written to a store that was opened again.
const AFTER: &str = "after the fault";

/// A step to take on a disk that fails.
pub(crate) struct Attempt<'a> {
    pub(crate) folder: &'a Path,
    pub(crate) mode: Mode,
    pub(crate) before: &'a Mark,
    pub(crate) after: &'a Mark,
}

impl Attempt<'_> {
    /// Lets the n-th operation of a kind fail, for every n; gives how many there were.
    #[cfg(test)]
    pub(crate) fn every_nth(&self, kind: Operation, for_ever: bool, forgets: bool) -> u64 {
        for nth in 1.. {
            let fault = fault(kind, nth, for_ever, forgets);
            let survived = panic::catch_unwind(panic::AssertUnwindSafe(|| self.survives(fault)));
            let struck = survived.unwrap_or_else(|cause| {
                eprintln!("failed: step={} mode={:?} {fault:?}", self.after.name, self.mode);
                panic::resume_unwind(cause)
            });
            if !struck {
                return nth as u64 - 1;
            }
        }
        0
    }

    /// Opens the store, takes the step and closes it on a disk with a fault; then opens it again, writes, and cuts the
    /// power. Says whether the fault struck.
    pub(crate) fn survives(&self, fault: Fault) -> bool {
        let disk = Disk::of(self.before.image.clone());
        disk.fail(fault);
        let (mut acknowledged, mut told) = (false, Vec::new());
        match Fleet::on(&disk, self.folder, self.mode, self.before.known.clone()) {
            Err(error) => assert_clear(&error),
            Ok(mut fleet) => {
                acknowledged = self.take_step(&mut fleet, fault);
                self.work_on(&fleet);
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
        let opened = Fleet::on(&cut, self.folder, self.mode, self.before.known.clone());
        let fleet = match opened {
            Ok(fleet) => fleet,
            // Pages that redb moved while compacting may be only in a cache that never writes them. They are refused.
            Err(error) if fault.forgets && self.after.name == "compact" && error.kind() == ErrorKind::Damaged => {
                return struck;
            }
            Err(error) => panic!(
                "it does not open after the power cut: {error} step={} mode={:?} {fault:?}",
                self.after.name, self.mode
            ),
        };
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
        // Callers of several processes fail for themselves.
        let is_of_all = self.after.shape == Shape::Callers && !fleet.others.is_empty();
        if failed == Some(ErrorKind::Uncertain) && !is_of_all {
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

    /// Another process over the same log goes on, or says clearly why not. It writes nothing that the model knows.
    fn work_on(&self, fleet: &Fleet) {
        let Some((_, other)) = fleet.others.first() else { return };
        if let Err(error) = other.write(|tx| tx.queue().expire(1)).and_then(|_| Model::read(other)) {
            assert_clear(&error);
        }
        if let Err(error) = other.close() {
            assert_clear(&error);
        }
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

    /// Whether the step changed nothing but for an event. It has a commit of its own, and goes to the program's log if
    /// that fails; with a history of every commit it makes a point.
    fn only_tells(&self, step: &Step<'_>) -> bool {
        let restores = matches!(self.after.name, "restore" | "undo");
        restores && step.before.now == step.after.now && self.after.known.undoes_as(&self.before.known)
    }

    fn compare(&self, fleet: &Fleet, step: &Step<'_>, acknowledged: bool, fault: Fault) {
        let name = self.after.name;
        let found = without_points_of_events(Model::read(&fleet.store).unwrap().without_sessions(), step);
        step.allows(&found).unwrap_or_else(|why| panic!("{why}: step={name} {fault:?}"));
        let done =
            step.shape == Shape::Callers || found == *step.after || found == *step.before && self.only_tells(step);
        assert!(!acknowledged || done, "an acknowledged step was lost: step={name} {fault:?}");
        assert_sound(&fleet.store);
    }
}

/// The same without new points that show the state of now: a close tells of the log that was taken up, and where every
/// commit is kept, that event has a point.
pub(super) fn without_points_of_events(mut found: Model, step: &Step<'_>) -> Model {
    let Model { now, points } = &mut found;
    points.retain(|epoch, content| {
        step.before.points.contains_key(epoch) || step.after.points.get(epoch) == Some(content) || content != now
    });
    found
}

/// An error that says what to do, and does not call a failing disk damage.
pub(super) fn assert_clear(error: &Error) {
    use ErrorKind::{Full, Io, NotCommitted, Reopen, Uncertain};
    assert!(matches!(error.kind(), Full | Io | NotCommitted | Reopen | Uncertain), "{:?}: {error}", error.kind());
}

/// The n-th operation of a kind fails, in a way that follows from its number.
pub(crate) fn fault(kind: Operation, nth: usize, for_ever: bool, forgets: bool) -> Fault {
    let errno = if nth.is_multiple_of(2) && kind != Operation::Read { ENOSPC } else { EIO };
    Fault { kind, nth, for_ever, errno, short: nth.is_multiple_of(3), forgets }
}
