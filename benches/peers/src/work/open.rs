//! Opening and reading one record: after a clean close, and after the process that wrote was killed.

use anyhow::{Result, ensure};

use crate::bench::{Bench, Work, timed};
use crate::child;
use crate::data;
use crate::subject::Subject;

const ROUNDS: usize = 5;

pub fn clean(bench: &mut Bench, subjects: &mut [Subject]) -> Result<()> {
    bench.rounds(Work::new("open_clean"), ROUNDS, subjects, |subject| {
        subject.change(100)?;
        if subject.kind.name == "json_files" {
            // After opening it has its last backup.
            subject.engine()?.point()?;
        }
        subject.close()?;
        let row = subject.model.row(0);
        let (time, value) = timed(|| {
            subject.open()?;
            subject.shared()?.now()?.get(&row.key)
        })?;
        ensure!(value == Some(row.value), "wrong answer after opening");
        Ok(vec![time])
    })
}

pub fn after_kill(bench: &mut Bench, subjects: &mut [Subject]) -> Result<()> {
    bench.rounds(Work::new("open_after_kill"), ROUNDS, subjects, |subject| {
        subject.shared()?.writer().map(drop)?;
        subject.close()?;
        let records = subject.model.records();
        let acknowledged = child::write_and_die(subject.kind.name, &subject.folder, records)?;
        let key = data::key(child::record(acknowledged, records));
        let (time, value) = timed(|| {
            subject.open()?;
            subject.shared()?.now()?.get(&key)
        })?;
        let written = |number| data::row(child::record(number, records), child::VERSION + number as u32);
        ensure!(value == Some(written(acknowledged).value), "what was acknowledged is lost: key={key}");
        for number in 1..=acknowledged {
            let row = written(number);
            let value = subject.shared()?.now()?.get(&row.key)?;
            ensure!(value == Some(row.value), "what was acknowledged is lost: key={}", row.key);
        }
        Ok(vec![time])
    })
}
