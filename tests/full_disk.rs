//! A store on a small file system of its own, which is filled to the last page.
//!
//! `HIVEKEEP_TEST_SCALE=N cargo test --release --test full_disk -- --nocapture` fills it N times as often.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

mod knobs;
mod small;

use std::io::Write;
use std::path::Path;

use hivekeep::{ErrorKind, Sharing, Store};
use serde_json::{Value, json};

use crate::small::Small;

/// So often it is filled, times the scale.
const ROUNDS: usize = 5;
const LENGTH: usize = 20_000;

#[test]
fn a_store_on_a_full_file_system_can_be_read_reopened_and_emptied() {
    let small = match Small::mount() {
        Ok(small) => small,
        Err(why) => return println!("skipped: no file system can be mounted here: {why}"),
    };
    let rounds = ROUNDS * knobs::scale();
    let mut failed = std::collections::BTreeMap::new();
    for sharing in [Sharing::Shared, Sharing::SharedLog] {
        for round in 0..rounds {
            let kind = fill_and_empty(small.path(), sharing, round);
            *failed.entry(format!("{sharing:?} {kind:?}")).or_insert(0) += 1;
        }
    }
    println!("rounds={rounds} lost=0 failed_as={failed:?}");
}

#[test]
fn a_store_opens_where_not_a_page_is_free_and_gets_its_session_once_there_is_room() {
    let small = match Small::mount() {
        Ok(small) => small,
        Err(why) => return println!("skipped: no file system can be mounted here: {why}"),
    };
    let path = small.path().join("h.redb");
    let store = Store::open(&path).unwrap();
    let (written, _) = fill(&store, LENGTH);
    drop(store);
    let filler = small.path().join("filler");
    let mut file = std::fs::File::create(&filler).unwrap();
    while file.write_all(&[1; 4096]).is_ok() {}
    drop(file);

    let store = open_without_session(&path);
    assert_holds(&store, written);
    assert!(store.notice_crashes().unwrap().is_empty() && store.session().is_none(), "there is no room yet");
    std::fs::remove_file(filler).unwrap();
    store.write(|tx| tx.collection::<Value>("filling")?.remove(&key(0))).unwrap();
    assert_eq!(store.notice_crashes().unwrap().len(), 1, "the one that could not end on the full disk");
    assert!(store.session().is_some());
    store.close().unwrap();
}

/// Opens the store again and again, and takes what is left inside of its file, until a session has no room.
fn open_without_session(path: &Path) -> Store {
    for round in 0..50 {
        let store = Store::open(path).unwrap();
        if store.session().is_none() {
            return store;
        }
        let small =
            |number| store.write(|tx| tx.collection("more")?.put(&format!("{round}/{number}"), &"x".repeat(200)));
        let _full = (0..).find_map(|number| small(number).err());
    }
    unreachable!("there was always room for a session")
}

fn key(number: usize) -> String {
    format!("record {number:06}")
}

fn fill_and_empty(folder: &Path, sharing: Sharing, round: usize) -> ErrorKind {
    let path = folder.join("h.redb");
    let reserve = folder.join("h.redb.reserve");
    let open = || Store::options().sharing(sharing).open(&path).unwrap();
    let store = open();
    assert_eq!(std::fs::metadata(&reserve).unwrap().len(), 4 << 20);
    let (written, error) = fill(&store, LENGTH + round * 37);
    assert!(error.to_string().contains("No space left on device"), "{error}");
    assert!(error.to_string().starts_with("the disk is full; 4 MiB that were kept for this are free now"), "{error}");
    assert!(!reserve.exists());
    // Once a write has failed, pages that are not in memory may be refused.
    if let Err(error) = store.check() {
        assert_eq!(error.kind(), ErrorKind::Reopen);
    }
    drop(store);
    let store = open();
    assert!(!reserve.exists(), "what was given up was taken back before anything could be removed");
    assert_holds(&store, written);
    for number in 0..written {
        store.write(|tx| tx.collection::<Value>("filling")?.remove(&key(number))).unwrap();
    }
    assert!(store.check().unwrap().is_sound());
    store.close().unwrap();
    for entry in std::fs::read_dir(folder).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    error.kind()
}

/// Puts records until there is no room; gives how many there are, and the error.
fn fill(store: &Store, length: usize) -> (usize, hivekeep::Error) {
    for number in 0.. {
        let value = json!("x".repeat(length));
        if let Err(error) = store.write(|tx| tx.collection("filling")?.put(&key(number), &value)) {
            return (number, error);
        }
    }
    unreachable!("the file system has no end")
}

/// Every acknowledged write is there.
fn assert_holds(store: &Store, written: usize) {
    let view = store.view().unwrap();
    let filling = view.collection::<Value>("filling").unwrap();
    for number in 0..written {
        assert!(filling.get(&key(number)).unwrap().is_some(), "an acknowledged record was lost: number={number}");
    }
    assert!(store.check().unwrap().is_sound());
}
