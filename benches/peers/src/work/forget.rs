//! Forgetting a point with a thousand changes after it and another point behind them.

use anyhow::Result;

use crate::bench::{Bench, Work, timed};
use crate::subject::Subject;

const ROUNDS: usize = 5;

pub fn forget(bench: &mut Bench, subjects: &mut [Subject]) -> Result<()> {
    bench.rounds(Work::new("forget"), ROUNDS, subjects, |subject| {
        let point = subject.engine()?.point()?;
        subject.change(1000)?;
        let next = subject.engine()?.point()?;
        let (time, ()) = timed(|| subject.engine()?.forget(point))?;
        subject.engine()?.forget(next)?;
        Ok(vec![time])
    })
}
