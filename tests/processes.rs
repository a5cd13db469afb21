//! Several processes on one store: creating it at the same moment, writing at the same time, and locking it.
//!
//! `HIVEKEEP_TEST_SCALE=N` runs N times as many rounds.
#![expect(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

mod children;
mod knobs;

use std::io::Write;
use std::path::Path;
use std::process::Child;
use std::time::Duration;

use children::{spawn, wait_for};
use hivekeep::{ErrorKind, Sharing, Store};
use knobs::scale;

fn wait(mut child: Child) {
    assert!(child.wait().unwrap().success(), "a child failed; its output is above");
}

/// Does nothing unless another test of this file started it.
#[test]
fn a_child_does_what_it_is_told() {
    let Some(told) = children::told() else { return };
    match told.task.as_str() {
        "create" => create(&told.store, told.number),
        "count" => count(&told.store, told.number),
        "hold" => hold(&told.store),
        "log" => write_a_log(&told.store, told.number),
        task => panic!("no such task: {task}"),
    }
}

/// Waits for the starting shot, creates the store, and writes one record.
fn create(path: &Path, number: usize) {
    std::fs::write(path.with_extension(format!("ready{number}")), b"").unwrap();
    wait_for(&path.with_extension("go"));
    let store = Store::open(path).unwrap();
    store.write(|tx| tx.collection("made")?.put(&format!("by-{number}"), &number)).unwrap();
    store.close().unwrap();
}

/// Adds one to a number, again and again.
fn count(path: &Path, times: usize) {
    let store = Store::open(path).unwrap();
    for _ in 0..times {
        store
            .write(|tx| {
                let mut sums = tx.collection::<usize>("sums")?;
                let sum = sums.get("sum")?.unwrap_or_default();
                sums.put("sum", &(sum + 1))
            })
            .unwrap();
    }
    store.close().unwrap();
}

/// Keeps the store for itself until it is killed.
fn hold(path: &Path) {
    let _store = Store::options().sharing(Sharing::Exclusive).open(path).unwrap();
    std::fs::write(path.with_extension("held"), b"").unwrap();
    std::thread::sleep(Duration::from_secs(60));
}

/// Has the store for itself, and notes each number after the store has taken it, until it is killed.
fn write_a_log(path: &Path, first: usize) {
    let store = Store::options().sharing(Sharing::Exclusive).open(path).unwrap();
    let mut told = std::fs::File::create(path.with_extension("told")).unwrap();
    for number in first.. {
        store.write(|tx| tx.collection::<usize>("logged")?.put("number", &number)).unwrap();
        told.write_all(format!("{number}\n").as_bytes()).unwrap();
        if number == first + 5 {
            std::fs::write(path.with_extension(format!("logs{first}")), b"").unwrap();
        }
    }
}

#[test]
fn the_log_of_a_killed_process_is_read_and_taken_up_by_processes_that_share_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h.redb");
    let number = |store: &Store| {
        let view = store.view().unwrap();
        view.collection::<usize>("logged").unwrap().get("number").unwrap().unwrap()
    };
    let mut newest = 0;
    for round in 1..=5 * scale() {
        let mut child = spawn("log", &path, newest + 1);
        wait_for(&path.with_extension(format!("logs{}", newest + 1)));
        std::thread::sleep(Duration::from_millis(37 * round as u64 % 200));
        child.kill().unwrap();
        child.wait().unwrap();
        let told = std::fs::read_to_string(path.with_extension("told")).unwrap();
        let told: usize = told.lines().last().unwrap().parse().unwrap();
        let before = std::fs::read(&path).unwrap();
        let look = Store::options().read_only(true).open(&path).unwrap();
        assert!(number(&look) >= told);
        look.close().unwrap();
        assert!(std::fs::read(&path).unwrap() == before, "it was only looked at");
        let children: Vec<_> = (0..3).map(|_| spawn("count", &path, 4)).collect();
        children.into_iter().for_each(wait);
        let store = Store::open(&path).unwrap();
        newest = number(&store);
        assert!(newest >= told && newest <= told + 1, "told={told} newest={newest}");
        let view = store.view().unwrap();
        assert_eq!(view.collection::<usize>("sums").unwrap().get("sum").unwrap(), Some(12 * round));
        drop(view);
        store.close().unwrap();
        let names = std::fs::read_dir(folder.path()).unwrap().map(|found| found.unwrap().file_name());
        let logs: Vec<_> = names.filter(|name| name.to_string_lossy().contains(".wal.")).collect();
        assert_eq!(logs, Vec::<std::ffi::OsString>::new());
    }
}

#[test]
fn processes_that_create_a_store_at_the_same_moment_end_up_in_one_and_lose_nothing() {
    const CHILDREN: usize = 3;
    for round in 0..20 * scale() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("h.redb");
        let children: Vec<_> = (0..CHILDREN).map(|number| spawn("create", &path, number)).collect();
        (0..CHILDREN).for_each(|number| wait_for(&path.with_extension(format!("ready{number}"))));
        std::fs::write(path.with_extension("go"), b"").unwrap();
        children.into_iter().for_each(wait);
        let store = Store::open(&path).unwrap();
        let made: Vec<_> =
            store.view().unwrap().collection::<usize>("made").unwrap().list().map(Result::unwrap).collect();
        let expected: Vec<_> = (0..CHILDREN).map(|number| (format!("by-{number}"), number)).collect();
        assert_eq!(made, expected, "round {round}");
        assert!(store.check().unwrap().is_sound());
        let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        let temporary = left.iter().filter(|name| name.to_string_lossy().ends_with(".new")).count();
        assert_eq!(temporary, 0, "{left:?}");
    }
}

#[test]
fn processes_that_write_at_the_same_time_do_so_one_after_the_other_and_lose_nothing() {
    const CHILDREN: usize = 3;
    let times = 150 * scale();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h.redb");
    let store = Store::open(&path).unwrap();
    let children: Vec<_> = (0..CHILDREN).map(|_| spawn("count", &path, times)).collect();
    // This process makes points and forgets them meanwhile.
    let mut points = Vec::new();
    for _ in 0..20 {
        points.push(store.restore_point("meanwhile").unwrap());
    }
    for point in points.iter().step_by(2) {
        store.forget(&[point.into()]).unwrap();
    }
    children.into_iter().for_each(wait);
    let sum = store.view().unwrap().collection::<usize>("sums").unwrap().get("sum").unwrap();
    assert_eq!(sum, Some(CHILDREN * times));
    let report = store.check().unwrap();
    assert!(report.is_sound(), "{:?}", report.findings);
}

#[test]
fn a_store_that_another_process_has_for_itself_is_locked_until_that_process_dies() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h.redb");
    Store::open(&path).unwrap().close().unwrap();
    let mut child = spawn("hold", &path, 0);
    wait_for(&path.with_extension("held"));
    let before = std::fs::read(&path).unwrap();
    for options in [Store::options(), Store::options().read_only(true), Store::options().sharing(Sharing::Exclusive)] {
        let error = options.open(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Locked);
        let message = format!("{} is locked by process ", path.display());
        assert!(error.to_string().starts_with(&message), "{error}");
    }
    assert!(std::fs::read(&path).unwrap() == before);
    child.kill().unwrap();
    child.wait().unwrap();
    Store::open(&path).unwrap().close().unwrap();
}
