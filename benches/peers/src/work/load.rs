//! Loading every record, in no order, into an empty store.

use anyhow::Result;

use crate::bench::{Bench, Work, timed};
use crate::data;
use crate::subject::Subject;

const ROUNDS: usize = 3;

/// Measures it, and gives the filled stores.
pub fn load(bench: &mut Bench, filled: bool) -> Result<Vec<Subject>> {
    let rows: Vec<_> = data::shuffled(bench.records).into_iter().map(|number| data::row(number, 0)).collect();
    let expected = data::Model::new(bench.records).sum();
    let fresh = |kind| Subject::new(kind, &bench.folder, bench.records);
    let mut subjects = bench.kinds().into_iter().map(fresh).collect::<Result<Vec<_>>>()?;
    let fill = |subject: &mut Subject| {
        subject.renew()?;
        let (time, ()) = timed(|| subject.engine()?.load(&mut rows.iter().cloned()))?;
        crate::subject::check_sum(subject.shared()?.now()?.scan()?, expected)?;
        Ok(vec![time])
    };
    if bench.has_work("load") {
        bench.rounds(Work::new("load"), ROUNDS, &mut subjects, fill)?;
    } else if filled {
        for subject in subjects.iter_mut().filter(|subject| subject.is_available().is_ok()) {
            fill(subject)?;
        }
    }
    Ok(subjects)
}
