//! One damaged page of a store whose pages were not verified when it was opened, as of every one over 64 MiB: it costs
//! what lies on it, and everything else goes on being read and written in the same store.
#![expect(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

use std::fs;
use std::path::{Path, PathBuf};

use hivekeep::{Error, ErrorKind, Store, VerifyOnOpen};
use serde_json::{Value, json};

const PAGE: usize = 4096;
const LEAF: u8 = 1;
const BRANCH: u8 = 2;
const RECORDS: usize = 3000;

struct Hive {
    _folder: tempfile::TempDir,
    path: PathBuf,
    /// The file as it was closed.
    sound: Vec<u8>,
}

fn key(number: usize) -> String {
    format!("key {number:04}")
}

/// A closed store with enough records that its tree has branches.
fn hive() -> Hive {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h.redb");
    let store = Store::options().session(false).open(&path).unwrap();
    let value = json!("v".repeat(100));
    store.load(|tx| (0..RECORDS).try_for_each(|number| tx.config().put(&key(number), &value))).unwrap();
    store.close().unwrap();
    let sound = fs::read(&path).unwrap();
    Hive { path, sound, _folder: folder }
}

/// The numbers of the pages of a sort that hold some bytes.
fn pages_with(file: &[u8], sort: u8, bytes: &[u8]) -> Vec<usize> {
    let holds = |page: &[u8]| page[0] == sort && page.windows(bytes.len()).any(|window| window == bytes);
    file.chunks(PAGE).enumerate().filter(|(_, page)| holds(page)).map(|(number, _)| number).collect()
}

/// Where redb is built with its own assertions, it walks through all pages of a file that is opened for writing,
/// so there only reading is tried.
const WRITES: bool = !cfg!(debug_assertions);

fn open(path: &Path) -> Store {
    let options = Store::options().read_only(!WRITES).session(false).verify_on_open(VerifyOnOpen::Never);
    options.open(path).unwrap()
}

fn get(store: &Store, number: usize) -> Result<Option<Value>, Error> {
    store.view()?.config().get(&key(number))
}

/// It is an error, or, where the damage hides the record, not there; never another value.
fn assert_lost(got: Result<Option<Value>, Error>) -> bool {
    match got {
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
            true
        }
        Ok(value) => {
            assert!(value.is_none_or(|value| value == json!("v".repeat(100))));
            false
        }
    }
}

#[test]
fn a_damaged_page_of_records_costs_only_what_lies_on_it() {
    let hive = hive();
    let (lost, sound, far) = (RECORDS / 2, 3, RECORDS - 3);
    let pages = pages_with(&hive.sound, LEAF, key(lost).as_bytes());
    let mut refused = 0;
    for at in 0..24 {
        for bits in [0x01, 0x80, 0xff] {
            let mut file = hive.sound.clone();
            pages.iter().for_each(|page| file[page * PAGE + at] ^= bits);
            fs::write(&hive.path, file).unwrap();
            let store = open(&hive.path);
            let kept = store.view().unwrap();
            refused += usize::from(assert_lost(get(&store, lost)));
            assert_lost(kept.config().get(&key(lost)));
            // A view that has met it goes on, and so do others, writers and the rest of the store.
            assert!(kept.config().get(&key(sound)).unwrap().is_some());
            assert!(get(&store, far).unwrap().is_some());
            if WRITES {
                write_elsewhere(&store, [sound, lost, far]);
            }
            assert!(!store.check().unwrap().is_sound() || get(&store, lost).is_ok());
            store.close().unwrap();
        }
    }
    assert!(refused > 10, "hardly anything was damaged: {refused}");
}

fn write_elsewhere(store: &Store, [sound, lost, far]: [usize; 3]) {
    store.write(|tx| tx.config().put(&key(sound), &json!(1))).unwrap();
    store.write(|tx| tx.queue().enqueue(hivekeep::NewTask::new(json!(1)))).unwrap();
    assert_eq!(get(store, sound).unwrap(), Some(json!(1)));
    if let Err(error) = store.write(|tx| tx.config().get(&key(lost))) {
        assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
    }
    store.write(|tx| tx.config().put(&key(far), &json!(1))).unwrap();
}

#[test]
fn a_branch_that_leads_out_of_the_file_costs_only_what_lies_behind_it() {
    let hive = hive();
    let pages = pages_with(&hive.sound, BRANCH, b"key 1");
    assert!(!pages.is_empty());
    let mut refused = 0;
    for bit in 0..24 {
        let mut file = hive.sound.clone();
        for page in &pages {
            let start = page * PAGE;
            let children = usize::from(u16::from_le_bytes([file[start + 2], file[start + 3]])) + 1;
            // The page numbers stand behind the checksums of the children; one in the middle is changed.
            let number = start + 8 + 16 * children + 8 * (children / 2);
            file[number + bit / 8] ^= 1 << (bit % 8);
        }
        fs::write(&hive.path, file).unwrap();
        let store = open(&hive.path);
        let errors = (0..RECORDS).step_by(7).filter(|number| assert_lost(get(&store, *number))).count();
        refused += errors;
        assert!(errors < RECORDS / 7 / 2, "bit {bit}: more is refused than lies behind one child: {errors}");
        assert!(get(&store, 3).unwrap().is_some() && get(&store, RECORDS - 3).unwrap().is_some());
        store.close().unwrap();
    }
    assert!(refused > 24, "hardly anything was damaged: {refused}");
}
