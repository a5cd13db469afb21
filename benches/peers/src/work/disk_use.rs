//! Bytes on the disk: of the state alone, and with a hundred points, one record in a hundred changed before each.
//!
//! Where points are copies, every tenth is made, counted tenfold, and then removed, so that the disk does
//! not fill.

use std::time::Duration;

use anyhow::Result;

use crate::bench::{Bench, Measured, Outcome, Work, timed, why_not};
use crate::data;
use crate::subject::Subject;

const POINTS: u64 = 100;
const CHURN: u64 = 100;
const ONE_IN: u64 = 10;

pub fn disk(bench: &mut Bench) -> Result<()> {
    let live = Work::new("disk").variant("state alone").changes(0).bytes();
    let points = Work::new("disk").variant("with 100 points").changes(bench.records / CHURN).bytes();
    let (mut alone, mut with) = (Vec::new(), Vec::new());
    for kind in bench.kinds() {
        let mut subject = Subject::new(kind, &bench.folder, bench.records)?;
        let of_state = subject.is_available().and_then(|()| of_state(&mut subject));
        let of_points = match &of_state {
            Ok(state) => of_points(&mut subject, state.bytes.unwrap_or_default()),
            Err(_) => subject.is_available().map(|()| Measured::default()),
        };
        subject.close()?;
        std::fs::remove_dir_all(&subject.folder)?;
        alone.push((kind.name, of_state.map(Outcome::Measured).or_else(why_not)?));
        with.push((kind.name, of_points.map(Outcome::Measured).or_else(why_not)?));
    }
    bench.note(live, alone)?;
    bench.note(points, with)
}

fn of_state(subject: &mut Subject) -> Result<Measured> {
    let records = subject.model.records();
    let numbers = data::shuffled(records);
    let mut rows = numbers.into_iter().map(|number| data::row(number, 0));
    let (time, ()) = timed(|| subject.engine()?.load(&mut rows))?;
    let (bytes, file_bytes) = subject.bytes()?;
    Ok(Measured { times: vec![time], bytes: Some(bytes), file_bytes: Some(file_bytes) })
}

fn of_points(subject: &mut Subject, state: u64) -> Result<Measured> {
    let mut times = Vec::new();
    let mut copied = 0;
    for number in 0..POINTS {
        subject.change(subject.model.records() / CHURN)?;
        if !subject.kind.copies {
            times.push(timed(|| subject.engine()?.point())?.0);
        } else if number % ONE_IN == 0 {
            let (bytes, time) = one_copy(subject)?;
            copied += bytes * ONE_IN;
            times.push(time);
        }
    }
    subject.check_all()?;
    let (bytes, file_bytes) = subject.bytes()?;
    let (bytes, file_bytes) = match subject.kind.copies {
        true => (state + copied, file_bytes + copied),
        false => (bytes, file_bytes),
    };
    Ok(Measured { times, bytes: Some(bytes), file_bytes: Some(file_bytes) })
}

fn one_copy(subject: &mut Subject) -> Result<(u64, Duration)> {
    let (before, _) = subject.bytes()?;
    let (time, point) = timed(|| subject.engine()?.point())?;
    let (after, _) = subject.bytes()?;
    subject.engine()?.forget(point)?;
    Ok((after.saturating_sub(before), time))
}
