//! Durable transactions of one row and of a thousand, and of one row on eight threads.
//!
//! They run twice: before there is any point, and each after a new one, so that every row is the first change of its
//! record, which is when an engine that keeps points in its file has most to do. The points of the others cost a write
//! nothing, so that they make none here.

use std::sync::Barrier;

use anyhow::Result;

use crate::bench::{Answer, Bench, Work, timed};
use crate::data::Row;
use crate::subject::Subject;

const THREADS: u64 = 8;
const COMMITS: u64 = 25;
const VARIANTS: [(&str, bool); 2] = [("no point yet", false), ("first change after a point", true)];

pub fn commit(bench: &mut Bench, subjects: &mut [Subject]) -> Result<()> {
    for (variant, after_point) in VARIANTS {
        let mut each = |name, rounds, once: fn(&mut Subject) -> Answer| {
            bench.rounds(Work::new(name).variant(variant), rounds, subjects, |subject| match after_point {
                true => after_a_point(subject, once),
                false => once(subject),
            })
        };
        each("commit_1", 8, one_row)?;
        each("commit_1000", 8, thousand_rows)?;
        each("commit_1_8_threads", 5, eight_threads)?;
    }
    Ok(())
}

fn after_a_point(subject: &mut Subject, once: fn(&mut Subject) -> Answer) -> Answer {
    if subject.kind.copies {
        return once(subject);
    }
    let point = match subject.engine()?.point() {
        Err(error) if error.is::<crate::engine::Cannot>() => return once(subject),
        point => point?,
    };
    let times = once(subject)?;
    subject.engine()?.forget(point)?;
    Ok(times)
}

fn one_row(subject: &mut Subject) -> Answer {
    let (numbers, rows) = subject.next_changes(COMMITS);
    let mut writer = subject.shared()?.writer()?;
    let times = rows.iter().map(|row| Ok(timed(|| writer.commit(std::slice::from_ref(row)))?.0));
    let times = times.collect::<Result<_>>()?;
    drop(writer);
    subject.model.written(&numbers);
    subject.check(&numbers)?;
    Ok(times)
}

fn thousand_rows(subject: &mut Subject) -> Answer {
    let (numbers, rows) = subject.next_changes(1000);
    let mut writer = subject.shared()?.writer()?;
    let (time, ()) = timed(|| writer.commit(&rows))?;
    drop(writer);
    subject.model.written(&numbers);
    subject.check(&numbers)?;
    Ok(vec![time])
}

/// The time per commit of all threads together, once each has what it writes with.
fn eight_threads(subject: &mut Subject) -> Answer {
    let (numbers, rows) = subject.next_changes(COMMITS * THREADS);
    let engine = subject.shared()?;
    let begin = Barrier::new(THREADS as usize + 1);
    let write = |rows: &[Row]| {
        let writer = engine.writer();
        begin.wait();
        let mut writer = writer?;
        rows.iter().try_for_each(|row| writer.commit(std::slice::from_ref(row)))
    };
    let time = std::thread::scope(|scope| {
        let threads: Vec<_> =
            rows.chunks(rows.len().div_ceil(THREADS as usize)).map(|rows| scope.spawn(|| write(rows))).collect();
        begin.wait();
        let (time, ()) = timed(|| {
            threads
                .into_iter()
                .try_for_each(|thread| thread.join().map_err(|_| anyhow::anyhow!("a thread panicked"))?)
        })?;
        Ok::<_, anyhow::Error>(time)
    })?;
    subject.model.written(&numbers);
    subject.check(&numbers)?;
    Ok(vec![time.div_f64(rows.len() as f64)])
}
