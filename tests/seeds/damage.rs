//! Damages a store that holds every kind of content in every way, and looks what comes of it: opened, read
//! whole, checked and repaired. Nothing that was not written is ever served, whatever is missing is found,
//! and what is repaired is sound.
//!
//! Each sort of damage runs in a process of its own, so that an abort is counted and not the end of the test. A bounded
//! number of every sort is tried; more, or all there are, with
//!
//!     HIVEKEEP_TEST_SCALE=100 HIVEKEEP_TEST_SEED=1 cargo test --release --test seeds damage -- --nocapture
//!
//! or one of the three ways to look at what was damaged, with `damage::verified`,
//! `damage::unverified` or `damage::written`.

use std::sync::OnceLock;

use crate::bodies::open_file::{PAGE, Repair, SECTOR, Subject};
use crate::children::{self, COLUMNS, Tally, folder, on_all_cores, setting};
use hivekeep::{Store, VerifyOnOpen};
use serde_json::json;

/// Set to the number of a damaged file that went wrong, it is the only one of its sort and mode.
const ONLY: &str = "HIVEKEEP_DAMAGE_ONLY";

/// How a damaged file is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Mode {
    /// Its pages are verified when it is opened, as those of every store up to 64 MiB are.
    Verified,
    /// They are not.
    Unverified,
    /// They are not, and it is written to first.
    Written,
}

/// A sort of damage: how many there are of it, and the bytes after the n-th.
struct Sort {
    name: &'static str,
    count: fn(&Damageable) -> usize,
    damage: fn(&Damageable, usize) -> Vec<u8>,
    /// How many are tried in a bounded run: verified, unverified, written to.
    tried: [usize; 3],
}

/// The content of the store that is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Content {
    /// Some of everything.
    All,
    /// Values that are kept in pieces. Its file is fifty times as long, so that fewer are tried.
    Long,
    /// Some of everything, in a file that nobody closed, as after a kill.
    NotClosed,
}

impl Content {
    const ALL: [Self; 3] = [Self::All, Self::Long, Self::NotClosed];

    /// For this many mutations of the first store, one of this store is tried.
    fn one_of(self) -> usize {
        match self {
            Self::All => 1,
            Self::Long => 24,
            Self::NotClosed => 4,
        }
    }
}

/// A store, and what its file was before its last changes.
struct Damageable {
    subject: Subject,
    before: Vec<u8>,
    /// Where the pages begin that are in use, the header first.
    used: Vec<usize>,
}

impl Damageable {
    /// Bytes in use behind the header.
    fn used_bytes(&self) -> usize {
        (self.used.len() - 1) * PAGE
    }

    /// Where the n-th of them is.
    fn used_byte(&self, at: usize) -> usize {
        self.used[1 + at / PAGE] + at % PAGE
    }
}

const HEADER: &str = "a bit of the header";
/// The bit of the header that says which of two commits counts. In a file that was closed both hold the same rows; in
/// one that was not, a power cut between the two phases of a commit leaves just what flipping this bit does.
const WHICH_COUNTS: usize = 9 * 8;

const SORTS: [Sort; 10] = [
    Sort { name: HEADER, count: |_| 320 * 8, damage: flipped, tried: [60, 40, 20] },
    Sort {
        name: "a bit of a page in use",
        count: |store| store.used_bytes() * 8,
        damage: |store, at| flipped(store, store.used_byte(at / 8) * 8 + at % 8),
        tried: [240, 160, 100],
    },
    Sort {
        name: "a byte set to 0, 255 or another",
        count: |store| store.used_bytes() * 3,
        damage: |store, at| changed(store, store.used_byte(at / 3), 1, |byte| [0, 255, byte.wrapping_add(101)][at % 3]),
        tried: [120, 80, 80],
    },
    Sort { name: "bits of several pages in use", count: |_| 1 << 24, damage: several_flipped, tried: [60, 40, 60] },
    Sort {
        name: "eight bytes",
        count: |store| store.used_bytes() / 8,
        damage: |store, at| changed(store, store.used_byte(at * 8), 8, |byte| byte.wrapping_mul(167).wrapping_add(13)),
        tried: [60, 40, 40],
    },
    Sort {
        name: "a sector zeroed",
        count: |store| store.subject.bytes.len() / SECTOR,
        damage: |store, at| changed(store, at * SECTOR, SECTOR, |_| 0),
        tried: [60, 40, 40],
    },
    Sort {
        name: "a page of 0 or 255",
        count: |store| store.subject.bytes.len() / PAGE * 2,
        damage: |store, at| changed(store, at / 2 * PAGE, PAGE, |_| [0, 255][at % 2]),
        tried: [40, 40, 20],
    },
    Sort {
        name: "a page in use swapped with another",
        count: |store| store.used.len() * store.subject.bytes.len() / PAGE,
        damage: swapped,
        tried: [80, 60, 60],
    },
    Sort {
        name: "a page as it was before",
        count: |store| store.before.len() / PAGE,
        damage: stale,
        tried: [40, 40, 40],
    },
    Sort {
        name: "the end cut off",
        count: |store| store.subject.bytes.len() / SECTOR,
        damage: |store, at| store.subject.bytes[..at * SECTOR + at % 2 * 77].to_vec(),
        tried: [40, 40, 20],
    },
];

fn flipped(store: &Damageable, bit: usize) -> Vec<u8> {
    changed(store, bit / 8, 1, |byte| byte ^ 1 << (bit % 8))
}

/// Two to five bits anywhere, as the number says: there is no end of such cases.
fn several_flipped(store: &Damageable, number: usize) -> Vec<u8> {
    let mut bytes = store.subject.bytes.clone();
    let hash = |nth: usize| xxhash_rust::xxh3::xxh3_64_with_seed(&nth.to_le_bytes(), number as u64) as usize;
    for nth in 0..2 + hash(0) % 4 {
        let bit = hash(nth + 1) % (store.used_bytes() * 8);
        bytes[store.used_byte(bit / 8)] ^= 1 << (bit % 8);
    }
    bytes
}

fn changed(store: &Damageable, at: usize, length: usize, change: impl Fn(u8) -> u8) -> Vec<u8> {
    let mut bytes = store.subject.bytes.clone();
    bytes[at..].iter_mut().take(length).for_each(|byte| *byte = change(*byte));
    bytes
}

fn swapped(store: &Damageable, at: usize) -> Vec<u8> {
    let mut bytes = store.subject.bytes.clone();
    let pages = bytes.len() / PAGE;
    let (one, other) = (store.used[at / pages], at % pages * PAGE);
    for byte in 0..PAGE {
        bytes.swap(one + byte, other + byte);
    }
    bytes
}

fn stale(store: &Damageable, at: usize) -> Vec<u8> {
    let mut bytes = store.subject.bytes.clone();
    let page = at * PAGE..(at + 1) * PAGE;
    bytes[page.clone()].copy_from_slice(&store.before[page]);
    bytes
}

fn store(content: Content) -> &'static Damageable {
    static STORES: [OnceLock<Damageable>; Content::ALL.len()] = [const { OnceLock::new() }; Content::ALL.len()];
    STORES[content as usize].get_or_init(|| match content {
        Content::All => store_of_all(true),
        Content::Long => store_of_long(),
        Content::NotClosed => store_of_all(false),
    })
}

/// Long values at several points, of which some pieces changed, came and went.
fn store_of_long() -> Damageable {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h.redb");
    let store = Store::options().session(false).open(&path).unwrap();
    let piece = |number: usize| format!("{number:x}").repeat((252 << 10) / 8);
    let put = |key: &str, pieces: &[usize]| {
        let text: String = pieces.iter().map(|number| piece(0x1234_5670 + number)).collect();
        store.write(|tx| tx.config().put(key, &json!(text))).unwrap();
    };
    put("long", &[1, 2, 3, 4, 5]);
    put("short", &[1]);
    store.restore_point("first").unwrap();
    put("long", &[1, 2, 9, 4, 5, 6]);
    put("short", &[1, 2, 3, 4, 5]);
    store.restore_point("second").unwrap();
    put("short", &[2]);
    store.close().unwrap();
    let before = std::fs::read(&path).unwrap();
    let store = Store::options().session(false).open(&path).unwrap();
    store.write(|tx| tx.config().remove("long")).unwrap();
    store.close().unwrap();
    let subject = Subject::of(std::fs::read(&path).unwrap());
    let pages = (0..subject.bytes.len()).step_by(PAGE);
    let used = pages.filter(|page| subject.bytes[*page..].iter().take(PAGE).any(|byte| *byte != 0)).collect();
    Damageable { subject, before, used }
}

/// The fixture, and the same once records have changed, come and gone, with and without a point between.
fn store_of_all(closed: bool) -> Damageable {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h.redb");
    let before = Subject::fixture().bytes.clone();
    std::fs::write(&path, &before).unwrap();
    let store = Store::options().session(false).open(&path).unwrap();
    let change = |number: u32| {
        store.write(|tx| {
            tx.config().put("limit", &json!(number))?;
            tx.config().put(&format!("only {number}"), &json!({ "at": number }))?;
            tx.config().remove(&format!("only {}", number - 1))?;
            tx.collection("rooms")?.put("attic", &json!({ "celsius": number }))
        })
    };
    change(5).unwrap();
    change(6).unwrap();
    store.restore_point("third").unwrap();
    change(7).unwrap();
    let not_closed = std::fs::read(&path).unwrap();
    store.close().unwrap();
    let bytes = if closed { std::fs::read(&path).unwrap() } else { not_closed };
    let subject = Subject::of(bytes).comparing(|epoch| epoch.0 % 4 == 0);
    let used = used(&subject);
    Damageable { subject, before, used }
}

/// Where the pages begin that are in use: without one of them the store is not sound.
fn used(subject: &Subject) -> Vec<usize> {
    let folder = folder();
    let path = folder.path().join("h.redb");
    let pages = (0..subject.bytes.len()).step_by(PAGE).filter(|page| {
        let mut bytes = subject.bytes.clone();
        bytes[*page..].iter_mut().take(PAGE).for_each(|byte| *byte ^= 0xff);
        std::fs::write(&path, bytes).unwrap();
        Store::options().untouched().open(&path).is_err()
    });
    pages.collect()
}

/// Which of a sort are tried: evenly spread, from a place that the seed gives.
fn chosen(content: Content, sort: &Sort, mode: Mode, seed: usize, scale: usize) -> Vec<usize> {
    let tried = (sort.tried[mode as usize] * scale).div_ceil(content.one_of());
    let count = (sort.count)(store(content));
    let step = count.div_ceil(tried).max(1);
    // An even step would always meet the same bit of a byte.
    let step = if step > 1 { step | 1 } else { step };
    let untold = |at: &usize| content == Content::NotClosed && sort.name == HEADER && *at == WHICH_COUNTS;
    (seed % step..count).step_by(step).filter(|at| !untold(at)).collect()
}

#[test]
fn the_child_does_its_job() {
    let Some((from, [content, sort, mode, seed, scale])) = children::job() else { return };
    let content = Content::ALL[content];
    let (sort, mode) = (&SORTS[sort], [Mode::Verified, Mode::Unverified, Mode::Written][mode]);
    let (store, folder) = (store(content), folder());
    let chosen = match std::env::var(ONLY) {
        Ok(only) => vec![only.parse().unwrap()],
        Err(_) => chosen(content, sort, mode, seed, scale),
    };
    children::judge(chosen.into_iter(), from, |number, at| {
        let bytes = (sort.damage)(store, at);
        let repair = if number % 8 == 0 { Repair::Always } else { Repair::WhenFound };
        match mode {
            Mode::Verified => store.subject.judge(folder.path(), &bytes, VerifyOnOpen::Auto, repair),
            Mode::Unverified => store.subject.judge(folder.path(), &bytes, VerifyOnOpen::Never, Repair::Never),
            Mode::Written => store.subject.judge_written(folder.path(), &bytes),
        }
    });
}

fn damage_stores(mode: Mode) {
    let (seed, scale) = (setting("HIVEKEEP_TEST_SEED", 1), setting("HIVEKEEP_TEST_SCALE", 1));
    println!("seed={seed} scale={scale}");
    let contents = Content::ALL.into_iter();
    let jobs: Vec<_> = contents.flat_map(|content| (0..SORTS.len()).map(move |sort| (content, sort))).collect();
    let done = on_all_cores(jobs.clone(), |(content, sort)| {
        children::run("damage::the_child_does_its_job", &[content as usize, sort, mode as usize, seed, scale])
    });
    let (mut all, mut bad) = (Tally::default(), Vec::new());
    println!("| content | mode | damage | {COLUMNS}");
    for ((content, sort), tally) in jobs.into_iter().zip(done) {
        let what = format!("{content:?} | {mode:?} | {}", SORTS[sort].name);
        println!("| {what} | {}", tally.row());
        bad.extend(tally.wrong.iter().map(|wrong| format!("{what}: {wrong}")));
        if tally.hangs > 0 || tally.aborts > 0 {
            bad.push(format!("{what}: aborts={} hangs={}", tally.aborts, tally.hangs));
        }
        all.add(tally);
    }
    println!("| all | {mode:?} | | {}", all.row());
    assert!(bad.is_empty(), "{} of them went wrong:\n{}", bad.len(), bad[..bad.len().min(40)].join("\n"));
}

#[test]
fn verified_no_damage_makes_a_store_serve_what_was_never_written_or_hide_what_it_lacks() {
    damage_stores(Mode::Verified);
}

#[test]
fn unverified_no_damage_makes_a_store_serve_what_was_never_written_or_hide_what_it_lacks() {
    damage_stores(Mode::Unverified);
}

#[test]
fn written_to_no_damaged_store_serves_what_was_never_written_or_hides_what_it_lacks() {
    damage_stores(Mode::Written);
}
