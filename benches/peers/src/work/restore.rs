//! Bringing a point back: in place after some changes, and all of it in a new place.

use anyhow::Result;

use crate::bench::{Bench, Work, timed};
use crate::subject::{Subject, check_sum};

const ROUNDS: usize = 5;

pub fn in_place(bench: &mut Bench, subjects: &mut [Subject]) -> Result<()> {
    for changes in [100, 1000, 10_000] {
        bench.rounds(Work::new("restore_in_place").changes(changes), ROUNDS, subjects, |subject| {
            let (point, model) = subject.point()?;
            subject.change(changes)?;
            let (time, ()) = timed(|| subject.engine()?.restore(point))?;
            subject.model = model;
            subject.check_all()?;
            subject.engine()?.forget(point)?;
            Ok(vec![time])
        })?;
    }
    Ok(())
}

pub fn new(bench: &mut Bench, subjects: &mut [Subject]) -> Result<()> {
    bench.rounds(Work::new("restore_new"), ROUNDS, subjects, |subject| {
        let (point, model) = subject.point()?;
        subject.change(1000)?;
        let folder = subject.folder.with_extension("new");
        std::fs::create_dir(&folder)?;
        let restored = timed(|| subject.engine()?.restore_new(point, &folder));
        subject.engine()?.forget(point)?;
        let checked = restored.and_then(|(time, ())| {
            let new = (subject.kind.open)(&folder)?;
            let sum = new.now()?.scan()?;
            new.close()?;
            check_sum(sum, model.sum())?;
            Ok(vec![time])
        });
        std::fs::remove_dir_all(folder)?;
        checked
    })
}
