//! A drill proves a moment, and leaves nothing behind.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::json;

use super::drill::{DrilledReplica, compare, drill};
use crate::engine::write::WriteTx;
use crate::error::{ErrorKind, Result};
use crate::replica::bench_test::{Bench, Source, options};
use crate::replica::following::take_over::{TakeOverOptions, take_over};
use crate::replica::restoring::moment::ReplicaMoment;
use crate::replica::terms::open::BegunFrom;

fn put(bench: &Bench, value: u64) {
    bench.store.write(|tx| tx.config().put("value", &json!(value))).unwrap();
}

/// A drill in an empty folder, which is empty again afterwards.
fn drilled(bench: &Bench, at: Option<&ReplicaMoment>) -> Result<DrilledReplica> {
    let scratch = tempfile::tempdir().unwrap();
    let done = bench.run(drill(&bench.copier(), scratch.path(), at));
    assert_eq!(names(scratch.path()), [""; 0]);
    done
}

fn names(folder: &Path) -> Vec<String> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_drill_brings_a_moment_back_reads_every_record_and_leaves_nothing_behind() {
    let mut bench = Bench::new();
    let mut commits = Vec::new();
    for value in 0..9 {
        put(&bench, value);
        commits.push(bench.ship());
    }
    let newest = drilled(&bench, Some(&ReplicaMoment::Newest)).unwrap();
    assert_eq!((newest.sequence, newest.records, newest.moment.as_str()), (commits[8], 1, "newest"));
    assert!(newest.bytes > 0 && newest.took_ms >= newest.restored_ms);
    let earlier = drilled(&bench, Some(&ReplicaMoment::Sequence(commits[3]))).unwrap();
    assert_eq!(earlier.sequence, commits[3]);
    let random: Vec<_> = (0..9).map(|_| drilled(&bench, None).unwrap()).collect();
    assert!(random.iter().all(|drilled| drilled.sequence < commits[8] && drilled.passed_over.is_empty()), "{random:?}");
    assert!(random.iter().any(|drilled| drilled.sequence != random[0].sequence), "they are no random moments");
}

#[test]
fn a_comparison_ends_with_the_first_rows_behind_the_wish_to_stop_it() {
    let mut bench = Bench::new();
    let put =
        |tx: &mut WriteTx<'_>| (0..50_000).try_for_each(|key| tx.config().put(&format!("k{key:05}"), &json!(key)));
    bench.store.write(put).unwrap();
    bench.ship();
    let path = bench.path("copy.redb");
    let copied = bench.run(bench.copier().restore(&path, &ReplicaMoment::Newest)).unwrap();
    let looks = AtomicU32::new(0);
    let look = |of: u32| looks.fetch_add(1, Ordering::Relaxed) + 1 >= of;
    assert_eq!(compare(&path, copied.position.states.0, || look(u32::MAX)).unwrap(), 50_000);
    assert!(looks.swap(0, Ordering::Relaxed) > 3);
    let stopped = compare(&path, copied.position.states.0, || look(1)).unwrap_err();
    assert_eq!(stopped.to_string(), "the drill was stopped");
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    // Both ways to read end at once.
    assert!(looks.into_inner() as usize <= 2 * workers);
}

#[test]
fn a_drill_that_is_dropped_at_any_moment_leaves_nothing_behind() {
    let mut bench = Bench::new();
    put(&bench, 1);
    bench.ship();
    let (scratch, copier) = (tempfile::tempdir().unwrap(), bench.copier());
    let is_done = (0..2000).any(|pause| {
        let done = bench.run(async {
            tokio::select! {
                biased;
                () = tokio::time::sleep(Duration::from_millis(3 * pause)) => None,
                done = drill(&copier, scratch.path(), None) => Some(done),
            }
        });
        assert_eq!(names(scratch.path()), [""; 0], "{pause}");
        done.is_some_and(|done| done.is_ok())
    });
    assert!(is_done);
}

#[test]
fn a_drill_of_a_damaged_replica_fails_by_name_and_leaves_nothing_behind() {
    let mut bench = Bench::new();
    put(&bench, 1);
    bench.ship();
    let log = bench.names().into_iter().find(|name| name.as_ref().contains("log/00000001/000000000001")).unwrap();
    let mut bytes = bench.take(&log);
    bytes[20] ^= 1;
    bench.put(&log, bytes);
    let failed = drilled(&bench, Some(&ReplicaMoment::Newest)).unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::Damaged);
    assert!(failed.to_string().contains("000000000001"), "{failed}");
}

#[test]
fn a_random_moment_whose_commits_are_not_in_the_replica_is_passed_over() {
    let mut bench = Bench::new();
    put(&bench, 1);
    bench.ship();
    put(&bench, 2);
    bench.clock.advance(Duration::from_secs(1_000_000));
    bench.gap();
    put(&bench, 3);
    bench.ship();
    let drilled = drilled(&bench, None).unwrap();
    assert!(!drilled.passed_over.is_empty(), "{drilled:?}");
}

#[test]
fn random_moments_exist_also_right_after_the_history_went_back() {
    let mut bench = Bench::new();
    let mut commits = Vec::new();
    for value in 0..9 {
        put(&bench, value);
        commits.push(bench.ship());
        if value == 3 {
            bench.make_base();
        }
    }
    let path = bench.path("past.redb");
    bench.run(bench.copier().restore(&path, &ReplicaMoment::Sequence(commits[5]))).unwrap();
    take_over(&path, options(&bench.clock), &TakeOverOptions::default()).unwrap();
    bench.store = options(&bench.clock).open(&path).unwrap();
    bench.source = Source::shipped(&bench.store);
    bench.clock.advance(Duration::from_secs(1_000_000));
    bench.open_term(BegunFrom::Restore);
    for has_commits in [false, true] {
        let random: Vec<_> = (0..9).map(|_| drilled(&bench, None).unwrap()).collect();
        assert!(random.iter().all(|drilled| drilled.passed_over.is_empty()), "{random:?}");
        assert_eq!(random.iter().any(|drilled| drilled.sequence == commits[5]), has_commits, "{random:?}");
        bench.ship();
    }
}
