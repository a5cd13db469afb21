//! Every operation of the disk fails in turn, once and for ever, while a step is taken, and the power may go then.
//!
//! `HIVEKEEP_TEST_SCALE=N HIVEKEEP_TEST_SEED=S cargo test --release --lib fault` takes N times as many steps, from S
//! on.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::Mutex;

use super::choices::Choices;
use super::disk::Operation;
use super::fault::Attempt;
use super::fleet::Mode;
use super::power_cut::Run;
use super::power_cut_test::{scale, seed};
use super::step::Shape;

/// So many steps, times the scale, of runs of so many.
const STEPS: u64 = 12;
const STEPS_OF_RUN: usize = 20;
/// How many faults struck, by what failed and for how long.
type Struck = BTreeMap<String, u64>;

#[test]
fn whatever_operation_fails_nothing_acknowledged_is_lost_and_nothing_is_half_done() {
    let (seed, steps, begun) = (seed(), STEPS * scale(), Instant::now());
    let (next, taken) = (AtomicU64::new(seed), AtomicU64::new(0));
    let total = Mutex::new(Struck::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while taken.load(Ordering::Relaxed) < steps {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let done = std::panic::catch_unwind(|| sweep(seed, &taken, steps));
                    let struck = done.unwrap_or_else(|_| panic!("failed: HIVEKEEP_TEST_SEED={seed}"));
                    struck.into_iter().for_each(|(what, count)| *total.lock().entry(what).or_default() += count);
                }
            });
        }
    });
    let total = total.into_inner();
    let (steps, runs) = (taken.load(Ordering::Relaxed), total.values().sum::<u64>());
    println!("{total:?} faults={runs} steps={steps} seconds={}", begun.elapsed().as_secs());
    assert!(
        total.len() >= 8 && total.values().all(|count| *count > 0),
        "some kind of operation never failed: {total:?}"
    );
}

#[test]
fn whatever_fails_of_two_processes_over_one_log_nothing_is_lost_and_the_other_one_goes_on() {
    let (seed, taken) = (seed(), AtomicU64::new(0));
    let mut struck = Struck::new();
    for seed in seed..seed + 2 * scale() {
        let sweep = || sweep_of(seed, &taken, STEPS / 2 * scale(), Mode::of_two);
        let done = std::panic::catch_unwind(sweep).unwrap_or_else(|_| panic!("failed: HIVEKEEP_TEST_SEED={seed}"));
        done.into_iter().for_each(|(what, count)| *struck.entry(what).or_default() += count);
    }
    println!("{struck:?}");
    assert!(struck.values().sum::<u64>() > 100, "{struck:?}");
}

/// Takes the steps of a run one by one, each once for every operation in it that can fail.
fn sweep(seed: u64, taken: &AtomicU64, most: u64) -> Struck {
    sweep_of(seed, taken, most, Mode::of)
}

fn sweep_of(seed: u64, taken: &AtomicU64, most: u64, mode: fn(usize) -> Mode) -> Struck {
    let folder = tempfile::tempdir().unwrap();
    let mut choices = Choices::seeded(seed);
    let mode = Mode { long: false, ..mode(choices.below(8)) };
    let run = Run::record(folder.path(), mode, STEPS_OF_RUN, &mut choices);
    let mut struck = Struck::new();
    for marks in run.marks.windows(2).filter(|marks| marks[1].shape != Shape::Reopened) {
        if taken.fetch_add(1, Ordering::Relaxed) >= most {
            break;
        }
        let attempt = Attempt { folder: folder.path(), mode, before: &marks[0], after: &marks[1] };
        for kind in [Operation::Read, Operation::Write, Operation::SetLen, Operation::Sync] {
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
