//! Reading a point while a thread commits one row after another: a thousand records, and all of them. Opening what the
//! point is read with is part of it.

use anyhow::Result;

use crate::bench::{Bench, Work, timed};
use crate::subject::{Subject, check_sum};

const ROUNDS: usize = 5;
const READS: u64 = 1000;
/// Changed after the point, so that not everything is as it was.
const CHANGES: u64 = 1000;

pub fn read(bench: &mut Bench, subjects: &mut [Subject]) -> Result<()> {
    bench.rounds(Work::new("read_at_point").variant("1,000 records"), ROUNDS, subjects, |subject| {
        let (point, model) = subject.point()?;
        subject.change(CHANGES)?;
        let numbers = model.pick(&mut subject.random, READS);
        let rows: Vec<_> = numbers.iter().map(|number| model.row(*number)).collect();
        let (time, values) = subject.while_writing(|engine| {
            timed(|| {
                let reader = engine.at(point)?;
                rows.iter().map(|row| reader.get(&row.key)).collect::<Result<Vec<_>>>()
            })
        })?;
        for (row, value) in rows.iter().zip(values) {
            anyhow::ensure!(value.as_ref() == Some(&row.value), "wrong answer: key={} value={value:?}", row.key);
        }
        subject.engine()?.forget(point)?;
        Ok(vec![time])
    })?;
    bench.rounds(Work::new("scan_at_point"), ROUNDS, subjects, |subject| {
        let (point, model) = subject.point()?;
        subject.change(CHANGES)?;
        let (time, sum) = subject.while_writing(|engine| timed(|| engine.at(point)?.scan()))?;
        check_sum(sum, model.sum())?;
        subject.engine()?.forget(point)?;
        Ok(vec![time])
    })
}
