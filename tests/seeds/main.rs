//! Runs the bodies of the fuzz targets over their committed seeds, without the fuzzer: what it once found stays found.
//! The seeds of `frame`, `power_cut`, `request` and `credentials`, which reach inside, are run in
//! `src/testkit/fuzzing.rs`.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test stops at what it does not expect")]

#[path = "../../fuzz/src/lib.rs"]
mod bodies;
mod children;
mod damage;
mod every_bit;

use std::fs;
use std::path::Path;

/// Runs a body over every seed of a target. Which one it was is told when it fails.
fn run(target: &str, body: fn(&[u8])) {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    let mut paths: Vec<_> = fs::read_dir(seeds).unwrap().map(|seed| seed.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty());
    for path in paths {
        eprintln!("{}", path.display());
        body(&fs::read(path).unwrap());
    }
}

#[test]
fn every_json_text_is_kept_or_refused() {
    run("json", bodies::json::run);
}

#[test]
fn every_selector_reads_back_as_it_is_shown() {
    run("selector", bodies::selector::run);
}

#[test]
fn every_archive_is_refused_or_becomes_what_it_says() {
    run("archive", bodies::archive::run);
}

#[test]
fn every_document_is_kept_at_every_point() {
    run("documents", bodies::documents::run);
}

#[test]
fn the_store_agrees_with_a_plain_map_after_every_operation() {
    run("store_ops", bodies::store_ops::run);
}

#[test]
fn a_damaged_file_gives_what_was_written_or_an_error() {
    run("open_file", bodies::open_file::run);
}

#[test]
fn seeds_of_damaged_files_are_of_verified_and_of_unverified_ones() {
    assert!(bodies::open_file::verifies(b"\0") && !bodies::open_file::verifies(b"\x02"));
}

#[test]
fn every_target_has_seeds_and_is_run_by_the_script() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let script = fs::read_to_string(root.join(".ci/run")).unwrap();
    for target in fs::read_dir(root.join("fuzz/fuzz_targets")).unwrap() {
        let name = target.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned();
        assert!(root.join("fuzz/seeds").join(&name).is_dir(), "no seeds: target={name}");
        assert!(script.contains("fuzz list"), "the script does not run every target: target={name}");
    }
}
