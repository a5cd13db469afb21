//! Flips every bit of a compacted store that holds every table, one at a time: the fixture of the format, header and
//! free space included. Each file is opened, read whole, now and at every point, and checked. Each sixteenth in which
//! something was found is repaired.
//!
//! A bounded run takes bits that are evenly spread. All of them, in one command for each way to open, or in slices of
//! it:
//!
//!     HIVEKEEP_TEST_SCALE=4096 cargo test --release --test seeds every_bit::verified -- --nocapture
//!     HIVEKEEP_TEST_SCALE=4096 HIVEKEEP_TEST_SLICE=1/4 cargo test --release --test seeds
//!     every_bit::verified -- --nocapture

use hivekeep::VerifyOnOpen;
use redb::{ReadableDatabase, ReadableTableMetadata, TableDefinition, TableHandle};

use crate::bodies::open_file::{PAGE, Repair, Subject, Verdict};
use crate::children::{self, COLUMNS, Tally, folder, on_all_cores, setting};

/// The bits of a page. Those of one page are one job.
const BITS: usize = PAGE * 8;
/// One in this many bits is tried in a run of scale 1, and every one at this scale. An even step would
/// always meet the same bit of a byte.
const SPREAD: usize = 4096;
/// One in this many files with a finding is repaired.
const REPAIRED: usize = 16;

/// The bits of a page that are tried.
fn chosen(page: usize, scale: usize, seed: usize) -> impl Iterator<Item = usize> {
    let step = SPREAD / scale.clamp(1, SPREAD);
    let step = if step > 1 { step | 1 } else { step };
    (page * BITS..(page + 1) * BITS).skip((seed + page * 37) % step).step_by(step)
}

#[test]
fn the_child_does_its_job() {
    let Some((from, [page, verified, scale, seed])) = children::job() else { return };
    let (subject, folder) = (Subject::fixture(), folder());
    let verify = if verified == 1 { VerifyOnOpen::Auto } else { VerifyOnOpen::Never };
    let mut found = 0;
    children::judge(chosen(page, scale, seed), from, |_, bit| {
        let mut bytes = subject.bytes.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let verdict = subject.judge(folder.path(), &bytes, verify, Repair::Never);
        found += usize::from(verdict == Verdict::Found);
        if verified == 1 && verdict == Verdict::Found && found % REPAIRED == 1 {
            return subject.judge(folder.path(), &bytes, verify, Repair::Always);
        }
        verdict
    });
}

/// Which of how many slices is asked for, the first and only one unless it is said.
fn slice() -> (usize, usize) {
    let Ok(slice) = std::env::var("HIVEKEEP_TEST_SLICE") else { return (1, 1) };
    let (number, of) = slice.split_once('/').unwrap();
    let (number, of) = (number.parse().unwrap(), of.parse().unwrap());
    assert!((1..=of).contains(&number), "no slice: slice={slice}");
    (number, of)
}

fn flip_bits(verified: bool) {
    let (seed, scale) = (setting("HIVEKEEP_TEST_SEED", 1), setting("HIVEKEEP_TEST_SCALE", 1));
    let (slice, slices) = slice();
    let pages = Subject::fixture().bytes.len() / PAGE;
    assert_eq!(Subject::fixture().bytes.len() % PAGE, 0);
    println!("seed={seed} scale={scale} slice={slice}/{slices} bits={}", pages * BITS);
    println!("| page | {COLUMNS}");
    let jobs = (0..pages).filter(|page| page % slices == slice - 1).collect();
    let done = on_all_cores(jobs, |page| {
        let job = [page, usize::from(verified), scale, seed];
        let tally = children::run("every_bit::the_child_does_its_job", &job);
        println!("| {page} | {}", tally.row());
        tally
    });
    let mut all = Tally::default();
    done.into_iter().for_each(|tally| all.add(tally));
    println!("| all | {}", all.row());
    if scale >= SPREAD && slices == 1 {
        assert_eq!(all.tried(), pages * BITS);
    }
    assert!(
        all.wrong.is_empty(),
        "{} went wrong:\n{}",
        all.wrong.len(),
        all.wrong[..all.wrong.len().min(40)].join("\n")
    );
    assert_eq!((all.aborts, all.hangs), (0, 0));
    assert!(all.of(Verdict::Harmless) > 0, "nothing was harmless: what is read is not the store");
}

#[test]
fn verified_at_open_every_flipped_bit_of_a_store_is_harmless_or_found() {
    flip_bits(true);
}

#[test]
fn unverified_no_flipped_bit_of_a_store_is_served_or_hides_what_is_missing() {
    flip_bits(false);
}

#[test]
fn every_bit_of_every_page_is_chosen_once_when_all_are_asked_for() {
    let mut bits: Vec<_> = (0..3).flat_map(|page| chosen(page, SPREAD, 7)).collect();
    assert_eq!(bits, (0..3 * BITS).collect::<Vec<_>>());
    bits = chosen(2, 1, 7).collect();
    assert!(bits.len() >= BITS / SPREAD - 1 && bits.iter().all(|bit| bit / BITS == 2), "{bits:?}");
}

#[test]
fn the_store_whose_bits_are_flipped_is_compacted_and_has_rows_in_every_table() {
    let folder = folder();
    let path = folder.path().join("h.redb");
    std::fs::write(&path, &Subject::fixture().bytes).unwrap();
    let database = redb::ReadOnlyDatabase::open(&path).unwrap();
    let read = database.begin_read().unwrap();
    let names: Vec<_> = read.list_tables().unwrap().map(|table| table.name().to_owned()).collect();
    assert_eq!(names.len(), 14);
    for name in names {
        let table = read.open_table(TableDefinition::<&[u8], &[u8]>::new(&name)).unwrap();
        assert!(table.len().unwrap() > 0, "an empty table: table={name}");
    }
    drop((read, database));
    let store = hivekeep::Store::options().session(false).open(&path).unwrap();
    store.compact().unwrap();
    store.close().unwrap();
    assert!(std::fs::metadata(&path).unwrap().len() >= Subject::fixture().bytes.len() as u64);
}
