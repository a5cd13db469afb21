//! Memory stays small however large the store is: each work that goes through all of a store is done in a process of
//! its own, which then says how much memory it had at most. The store is many times as large as the cache, so that
//! whoever collects its rows goes beyond the bound.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

use std::path::{Path, PathBuf};
use std::process::Command;

use hivekeep::{ExportOptions, ImportOptions, RestoreOptions, Selector, Store, VerifyOnOpen};

/// The job of a process, and its store.
const WORK: &str = "HIVEKEEP_TEST_WORK";
const STORE: &str = "HIVEKEEP_TEST_STORE";

const MIB: usize = 1 << 20;
const CACHE: usize = 4 * MIB;
/// Records, and the bytes of one: 64 MiB, and as much again of what they were at the point before.
const RECORDS: usize = 1 << 14;
const RECORD_BYTES: usize = 4096;

/// A job, and the most MiB that it may use. Repair works with caches of 48 MiB and import with one of 64.
/// The others have what is said above, the program itself, and a few pages of rows.
const WORKS: [(&str, usize); 6] =
    [("check", 40), ("check pages", 44), ("export", 40), ("repair", 112), ("import", 128), ("restore", 40)];

fn open(path: &Path) -> Store {
    let options = Store::options().session(false).verify_on_open(VerifyOnOpen::Never);
    options.cache_bytes(CACHE).open(path).unwrap()
}

/// All records with other values than at the point `before`.
fn fill(path: &Path) {
    let store = open(path);
    let write = |version: usize| {
        for first in (0..RECORDS).step_by(1 << 11) {
            let each = |tx: &mut hivekeep::WriteTx<'_>| {
                (first..first + (1 << 11)).try_for_each(|number| {
                    let text = format!("{version} {number:013} ").repeat(RECORD_BYTES / 16);
                    tx.config().put(&format!("{number:08}"), &text.into())
                })
            };
            store.write(each).unwrap();
        }
    };
    write(1);
    store.restore_point("before").unwrap();
    write(2);
    store.close().unwrap();
}

#[test]
fn a_child_does_what_it_is_told() {
    let Ok(work) = std::env::var(WORK) else { return };
    let path = PathBuf::from(std::env::var_os(STORE).unwrap());
    let beside = |name: &str| path.with_file_name(name);
    match work.as_str() {
        "check" => {
            let report = open(&path).check().unwrap();
            assert!(report.is_sound() && report.pre_images >= RECORDS as u64);
        }
        "check pages" => assert_eq!(open(&path).check_pages().unwrap(), None),
        "export" => {
            drop(open(&path).export(beside("a.tar.gz"), &ExportOptions::new().at(Selector::Latest(0))).unwrap())
        }
        "import" => {
            let made = Store::import_new(beside("a.tar.gz"), beside("b.redb"), &ImportOptions::new());
            assert_eq!(made.unwrap().collections["config"].total(), RECORDS as u64);
        }
        "repair" => {
            let report = Store::plan_repair(&path, beside("c.redb")).unwrap().apply().unwrap();
            assert!(report.is_whole(), "{report}");
        }
        "restore" => {
            let restored = open(&path).restore(Selector::Latest(0), RestoreOptions::new()).unwrap();
            assert!(restored.total() >= RECORDS as u64);
        }
        other => unreachable!("{other}"),
    }
    let (peak, most) = (peak_mib(), WORKS.into_iter().find(|(name, _)| *name == work).unwrap().1);
    eprintln!("{work}: peak_mib={peak} most={most}");
    assert!(peak <= most, "{work} took too much memory: peak_mib={peak} most={most}");
}

/// The most memory that this process ever had.
fn peak_mib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<usize>().unwrap() / 1024
}

#[test]
fn what_goes_through_a_whole_store_takes_no_more_memory_than_for_a_small_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h.redb");
    fill(&path);
    for (work, _) in WORKS {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "a_child_does_what_it_is_told", "--nocapture"]).env(WORK, work).env(STORE, &path);
        let status = child.status().unwrap();
        assert!(status.success(), "{work}: {status}");
    }
}
