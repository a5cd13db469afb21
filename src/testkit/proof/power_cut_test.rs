//! Power cuts at every sync and at sampled operations between, in as many images as are asked for.
//!
//! `HIVEKEEP_TEST_SCALE=N HIVEKEEP_TEST_SEED=S cargo test --release --lib power_cut` makes N times as many, from S on.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::Mutex;

use super::choices::Choices;
use super::fleet::Mode;
use super::power_cut::{CutCounts, Run};

/// So many images, times the scale.
const IMAGES: u64 = 4000;
/// Steps of one run.
const STEPS: usize = 40;

/// A number from the environment.
pub(super) fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|number| number.parse().ok()).unwrap_or(otherwise)
}

/// How many times as much as usual to do.
pub(super) fn scale() -> u64 {
    number("HIVEKEEP_TEST_SCALE", 1)
}

/// The seed to begin from: the same each time, unless another is given. It is printed.
pub(super) fn seed() -> u64 {
    let seed = number("HIVEKEEP_TEST_SEED", 1);
    println!("HIVEKEEP_TEST_SEED={seed} HIVEKEEP_TEST_SCALE={}", scale());
    seed
}

/// How often each of some things happened.
pub(super) type Counts = BTreeMap<String, u64>;

/// Adds up what happens with so many seeds, from the one to begin from on, in so many threads. A failure names its
/// seed.
pub(super) fn counted(seeds: u64, threads: usize, of: impl Fn(u64) -> Counts + Sync) -> Counts {
    let first = seed();
    let (next, total) = (AtomicU64::new(first), Mutex::new(Counts::new()));
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + seeds {
                break;
            }
            let counts = catch_unwind(AssertUnwindSafe(|| of(seed)));
            let counts = counts.unwrap_or_else(|_| panic!("failed: HIVEKEEP_TEST_SEED={seed}"));
            counts.into_iter().for_each(|(what, count)| *total.lock().entry(what).or_default() += count);
        }
    };
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    total.into_inner()
}

#[test]
fn after_a_power_cut_every_acknowledged_commit_is_there_and_every_other_whole_or_not_at_all() {
    let (seed, images, begun) = (seed(), IMAGES * scale(), Instant::now());
    let (next, total) = (AtomicU64::new(seed), Mutex::new(CutCounts::default()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while total.lock().images() < images {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let counts = catch_unwind(|| cut(seed));
                    total.lock().add(&counts.unwrap_or_else(|_| panic!("failed: HIVEKEEP_TEST_SEED={seed}")));
                }
            });
        }
    });
    let runs = next.load(Ordering::Relaxed) - seed;
    println!("{:?} runs={runs} seconds={}", total.lock(), begun.elapsed().as_secs());
}

#[test]
fn after_a_power_cut_of_two_processes_over_one_log_every_acknowledged_commit_is_there_too() {
    let (seed, images, mut total) = (seed(), IMAGES / 4 * scale(), CutCounts::default());
    for seed in seed.. {
        let cut = || cut_of(seed, Mode::of_two);
        total.add(&catch_unwind(cut).unwrap_or_else(|_| panic!("failed: HIVEKEEP_TEST_SEED={seed}")));
        if total.images() >= images {
            break;
        }
    }
    println!("{total:?}");
}

fn cut(seed: u64) -> CutCounts {
    cut_of(seed, Mode::of)
}

fn cut_of(seed: u64, mode: fn(usize) -> Mode) -> CutCounts {
    let folder = tempfile::tempdir().unwrap();
    let mut choices = Choices::seeded(seed);
    let run = Run::record(folder.path(), mode(choices.below(8)), STEPS, &mut choices);
    run.cut_everywhere(3, 4, &mut choices)
}
