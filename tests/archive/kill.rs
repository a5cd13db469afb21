//! Processes killed while they export and import: what has its name is whole, and what they leave is tidied up.

use std::time::Duration;

use hivekeep::{ExportOptions, ImportOptions, Store};
use serde_json::json;

use crate::children::{Told, spawn, wait_for};
use crate::hive::{Hive, names};
use crate::knobs;

/// Kills of each test, times the scale.
const KILLS: usize = 6;

/// The job of a child until it is killed.
pub fn run(told: &Told) {
    let file = told.store.with_file_name("a.tar.gz");
    let ready = told.store.with_file_name("ready");
    if told.task == "export" {
        let store = Store::options().session(false).open(&told.store).unwrap();
        std::fs::write(ready, b"").unwrap();
        loop {
            store.export(&file, &ExportOptions::new().replace(true)).unwrap();
        }
    }
    std::fs::write(ready, b"").unwrap();
    for number in (0..u32::MAX).map(|number| number + 1000 * u32::try_from(told.number).unwrap()) {
        let to = told.store.with_file_name(format!("{number}.redb"));
        if !to.exists() {
            Store::import_new(&file, to, &ImportOptions::new()).unwrap();
        }
    }
}

/// A store that takes some milliseconds to export and import.
fn hive() -> Hive {
    let hive = Hive::full();
    let text = "x".repeat(200);
    hive.store
        .load(|tx| {
            let mut rooms = tx.collection("rooms")?;
            (0..4000u32).try_for_each(|n| rooms.put(&format!("{n}"), &json!({"n": n, "text": text})))
        })
        .unwrap();
    hive
}

fn kill_at_random(hive: &Hive, task: &str, number: usize) {
    let ready = hive.path("ready");
    let _none = std::fs::remove_file(&ready);
    let mut child = spawn(task, &hive.path("h.redb"), number);
    wait_for(&ready);
    std::thread::sleep(Duration::from_millis(20 + 37 * u64::try_from(number).unwrap() % 190));
    child.kill().unwrap();
    child.wait().unwrap();
}

fn unfinished(hive: &Hive) -> usize {
    names(hive.folder()).iter().filter(|name| name.contains("unfinished")).count()
}

#[test]
fn a_killed_export_leaves_the_whole_archive_or_the_one_before() {
    let hive = hive();
    let mut left = 0;
    for number in 0..KILLS * knobs::scale() {
        kill_at_random(&hive, "export", number);
        left += unfinished(&hive);
        if hive.path("a.tar.gz").exists() {
            Store::verify_archive(hive.path("a.tar.gz"), &ImportOptions::new()).unwrap();
        }
    }
    assert!(left > 0, "no kill came on the way");
    hive.store.export(hive.path("a.tar.gz"), &ExportOptions::new().replace(true)).unwrap();
    assert_eq!(unfinished(&hive), 0, "{:?}", names(hive.folder()));
}

#[test]
fn a_killed_import_leaves_no_store_that_is_not_whole() {
    let hive = hive();
    hive.export("a.tar.gz");
    let mut left = 0;
    for number in 0..KILLS * knobs::scale() {
        kill_at_random(&hive, "import", number);
        left += unfinished(&hive);
        let stores = names(hive.folder());
        for name in stores.iter().filter(|name| name.ends_with(".redb") && *name != "h.redb") {
            let store = Store::options().session(false).open(hive.path(name)).unwrap();
            assert!(store.check().unwrap().is_sound(), "{name}");
            let rooms = store.view().unwrap();
            assert_eq!(rooms.collection::<serde_json::Value>("rooms").unwrap().count().unwrap(), 4000);
        }
    }
    assert!(left > 0, "no kill came on the way");
    let left = names(hive.folder()).into_iter().find(|name| name.contains("unfinished")).unwrap();
    let to = hive.path(left.split(".redb").next().unwrap()).with_extension("redb");
    Store::import_new(hive.path("a.tar.gz"), &to, &ImportOptions::new()).unwrap();
    assert!(!hive.path(&left).exists());
}
