//! Making a restore point: nothing, little and much after the one before.

use anyhow::Result;

use crate::bench::{Bench, Work, timed};
use crate::subject::{Subject, check_rows};

const ROUNDS: usize = 10;

pub fn point(bench: &mut Bench, subjects: &mut [Subject]) -> Result<()> {
    for changes in [0, 100, 10_000] {
        bench.rounds(Work::new("restore_point").changes(changes), ROUNDS, subjects, |subject| {
            // The one before, so that those who share pages between points can.
            let before = subject.engine()?.point()?;
            let changed = subject.change(changes)?;
            let (time, point) = timed(|| subject.engine()?.point())?;
            let mut some = changed[..changed.len().min(10)].to_vec();
            some.extend(subject.model.pick(&mut subject.random, 10));
            let some = some.as_slice();
            match subject.shared()?.at(point) {
                Err(error) if error.is::<crate::engine::Cannot>() => subject.check(some)?,
                reader => check_rows(reader?.as_ref(), &subject.model, some)?,
            }
            subject.engine()?.forget(before)?;
            subject.engine()?.forget(point)?;
            Ok(vec![time])
        })?;
    }
    Ok(())
}
