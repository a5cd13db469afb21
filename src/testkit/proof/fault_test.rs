//! Every operation of the disk fails in turn, once and for ever, while a step is taken, and the power may go then.
//!
//! `HIVEKEEP_TEST_SCALE=N HIVEKEEP_TEST_SEED=S cargo test --release --lib fault` takes N times as many steps, from S
//! on.

use std::time::Instant;

use super::choices::Choices;
use super::disk::Operation;
use super::fault::Attempt;
use super::fleet::Mode;
use super::power_cut::Run;
use super::power_cut_test::{Counts, counted, scale};
use super::step::Shape;

/// So many runs, times the scale, of so many steps, of which so many in a row are swept.
const RUNS: u64 = 2;
const STEPS_OF_RUN: usize = 20;
const SWEPT: usize = 4;
const SWEPT_OF_TWO: usize = 2;

#[test]
fn whatever_operation_fails_nothing_acknowledged_is_lost_and_nothing_is_half_done() {
    let begun = Instant::now();
    let total = counted(RUNS * scale(), 2, |seed| sweep(seed, SWEPT, Mode::of));
    println!("{total:?} faults={} seconds={}", total.values().sum::<u64>(), begun.elapsed().as_secs());
    assert!(
        total.len() >= 8 && total.values().all(|count| *count > 0),
        "some kind of operation never failed: {total:?}"
    );
}

#[test]
fn whatever_fails_of_two_processes_over_one_log_nothing_is_lost_and_the_other_one_goes_on() {
    let struck = counted(RUNS * scale(), 1, |seed| sweep(seed, SWEPT_OF_TWO, Mode::of_two));
    println!("{struck:?}");
    assert!(struck.values().sum::<u64>() > 100, "{struck:?}");
}

/// Takes some steps of a run one by one, each once for every operation in it that can fail. A seed always means the
/// same ones.
fn sweep(seed: u64, steps: usize, mode: fn(usize) -> Mode) -> Counts {
    let folder = tempfile::tempdir().unwrap();
    let mut choices = Choices::seeded(seed);
    let mode = Mode { long: false, ..mode(choices.below(8)) };
    let run = Run::record(folder.path(), mode, STEPS_OF_RUN, &mut choices);
    let mut struck = Counts::new();
    let marks: Vec<_> = run.marks.windows(2).filter(|marks| marks[1].shape != Shape::Reopened).collect();
    let begin = choices.below(marks.len().saturating_sub(steps) + 1);
    for marks in marks.into_iter().skip(begin).take(steps) {
        let attempt = Attempt { folder: folder.path(), mode, before: &marks[0], after: &marks[1] };
        let shared: &[_] = if mode.others > 0 { &[Operation::ReadShared, Operation::WriteShared] } else { &[] };
        for kind in [Operation::Read, Operation::Write, Operation::SetLen, Operation::Sync].iter().chain(shared) {
            let kind = *kind;
            for for_ever in [false, true] {
                for forgets in [false, true].into_iter().filter(|forgets| kind == Operation::Sync || !forgets) {
                    let count = attempt.every_nth(kind, for_ever, forgets);
                    let what = format!("{kind:?} {}", if for_ever { "for ever" } else { "once" });
                    *struck.entry(what).or_default() += count;
                }
            }
        }
    }
    struck
}
