//! Verifying against damage: of Hivekeep the whole store with every point, of the others one point with what it is in.

use anyhow::Result;

use crate::bench::{Bench, Work, timed};
use crate::engine::Cannot;
use crate::subject::Subject;

const ROUNDS: usize = 5;

pub fn verify(bench: &mut Bench, subjects: &mut [Subject]) -> Result<()> {
    bench.rounds(Work::new("verify"), ROUNDS, subjects, |subject| {
        let point = match subject.engine()?.point() {
            Err(error) if error.is::<Cannot>() => None,
            point => Some(point?),
        };
        subject.change(1000)?;
        // Without points there is the present.
        let verified = timed(|| subject.engine()?.verify(point.unwrap_or_default()));
        point.map_or(Ok(()), |point| subject.engine()?.forget(point))?;
        Ok(vec![verified?.0])
    })
}
