//! Several processes on one store: creating it at the same moment, writing at the same time, and locking it.
//!
//! `HIVEKEEP_TEST_SCALE=N` runs N times as many rounds.
#![expect(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

mod children;
mod knobs;

use std::io::Write;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use children::{spawn, wait_for};
use hivekeep::{BotId, ClaimOptions, ErrorKind, NewTask, Sharing, Store};
use knobs::scale;

/// How long each process writes for a figure.
const FIGURE: Duration = Duration::from_secs(2);

fn wait(mut child: Child) {
    assert!(child.wait().unwrap().success(), "a child failed; its output is above");
}

/// Does nothing unless another test of this file started it.
#[test]
fn a_child_does_what_it_is_told() {
    let Some(told) = children::told() else { return };
    match told.task.as_str() {
        "create" => create(&told.store, told.number, Sharing::Shared),
        "create a log" => create(&told.store, told.number, Sharing::SharedLog),
        "count" => count(&told.store, told.number),
        "hold" => hold(&told.store),
        "write back to back" => write_back_to_back(&told.store, told.number, Sharing::Shared),
        "write back to back over a log" => write_back_to_back(&told.store, told.number, Sharing::SharedLog),
        "log" => write_a_log(&told.store, told.number),
        task => panic!("no such task: {task}"),
    }
}

/// Waits for the starting shot, creates the store, and writes one record.
fn create(path: &Path, number: usize, sharing: Sharing) {
    std::fs::write(path.with_extension(format!("ready{number}")), b"").unwrap();
    wait_for(&path.with_extension("go"));
    let store = Store::options().sharing(sharing).open(path).unwrap();
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

/// Writes one row after the other for a while, and leaves how many they were.
fn write_back_to_back(path: &Path, number: usize, sharing: Sharing) {
    let store = Store::options().sharing(sharing).open(path).unwrap();
    std::fs::write(path.with_extension(format!("ready{number}")), b"").unwrap();
    wait_for(&path.with_extension("go"));
    let begun = Instant::now();
    let count = (0..).take_while(|_| begun.elapsed() < FIGURE).map(|row| {
        store.write(|tx| tx.collection("rows")?.put(&format!("{number} {row}"), &row)).unwrap();
    });
    let count = count.count();
    std::fs::write(path.with_extension(format!("count{number}")), count.to_string()).unwrap();
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
    for round in 0..40 * scale() {
        let task = ["create", "create a log"][round % 2];
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("h.redb");
        let children: Vec<_> = (0..CHILDREN).map(|number| spawn(task, &path, number)).collect();
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
    write_at_the_same_time(Sharing::Shared);
}

/// The others ask for a store that is only shared, and join its log.
#[test]
fn processes_that_share_a_log_do_so_too_and_the_last_one_leaves_the_file_alone() {
    write_at_the_same_time(Sharing::SharedLog);
}

fn write_at_the_same_time(sharing: Sharing) {
    const CHILDREN: usize = 3;
    let times = 150 * scale();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h.redb");
    let store = Store::options().sharing(sharing).open(&path).unwrap();
    let reader = Store::options().read_only(true).open(&path).unwrap();
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
    let read = reader.view().unwrap().collection::<usize>("sums").unwrap().get("sum").unwrap();
    assert_eq!(read, sum, "a process that only reads");
    let report = store.check().unwrap();
    assert!(report.is_sound(), "{:?}", report.findings);
    assert_eq!(store.log_status().is_some(), sharing == Sharing::SharedLog);
    store.close().unwrap();
    let names = || std::fs::read_dir(folder.path()).unwrap().map(|found| found.unwrap().file_name());
    let logs: Vec<_> =
        names().filter(|name| [".wal.", ".turns"].iter().any(|part| name.to_string_lossy().contains(part))).collect();
    assert_eq!(logs, Vec::<std::ffi::OsString>::new());
    let read = reader.view().unwrap().collection::<usize>("sums").unwrap().get("sum").unwrap();
    assert_eq!(read, sum, "a process that only reads, behind the last close");
}

#[test]
fn a_store_whose_log_is_shared_is_opened_by_nobody_for_itself_and_one_that_is_only_shared_gets_no_log() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h.redb");
    let open = |sharing| Store::options().sharing(sharing).lock_timeout(Duration::ZERO).open(&path);
    let with_log = open(Sharing::SharedLog).unwrap();
    let refused = open(Sharing::Exclusive).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Locked, "{refused}");
    let joins = open(Sharing::Shared).unwrap();
    for (number, store) in [&with_log, &joins, &with_log, &joins, &with_log].into_iter().enumerate() {
        store.write(|tx| tx.collection("numbers")?.put("newest", &number)).unwrap();
        for reader in [&with_log, &joins] {
            let newest = reader.view().unwrap().collection::<usize>("numbers").unwrap().get("newest").unwrap();
            assert_eq!(newest, Some(number));
        }
    }
    assert!(joins.log_status().unwrap().in_use);
    // A caller that waits is woken by the commit of the other one.
    std::thread::scope(|scope| {
        let bot = BotId::new("ant").unwrap();
        let with_log = &with_log;
        let waits =
            scope.spawn(move || with_log.claim_wait(&bot, &ClaimOptions::default(), Duration::from_secs(60)).unwrap());
        std::thread::sleep(Duration::from_millis(300));
        joins.write(|tx| tx.queue().enqueue(NewTask::new("work"))).unwrap();
        assert_eq!(waits.join().unwrap().len(), 1);
    });
    with_log.close().unwrap();
    joins.write(|tx| tx.collection("numbers")?.put("newest", &9)).unwrap();
    joins.close().unwrap();

    let shares = open(Sharing::Shared).unwrap();
    let refused = open(Sharing::SharedLog).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Locked);
    assert!(refused.to_string().contains("is locked by"), "{refused}");
    assert_eq!(shares.view().unwrap().collection::<usize>("numbers").unwrap().get("newest").unwrap(), Some(9));
    assert!(shares.log_status().is_none());
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

/// `cargo test --release --test processes -- --ignored --nocapture figures` prints them.
#[test]
#[ignore = "it takes a while, and proves nothing"]
fn figures_of_one_and_three_processes_that_write_back_to_back() {
    for round in 0..6 {
        let task = ["write back to back", "write back to back over a log"][round % 2];
        for count in [1, 3] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("h.redb");
            Store::open(&path).unwrap().close().unwrap();
            let children: Vec<_> = (0..count).map(|number| spawn(task, &path, number)).collect();
            (0..count).for_each(|number| wait_for(&path.with_extension(format!("ready{number}"))));
            std::fs::write(path.with_extension("go"), b"").unwrap();
            children.into_iter().for_each(wait);
            let counts: Vec<usize> = (0..count)
                .map(|number| std::fs::read_to_string(path.with_extension(format!("count{number}"))).unwrap())
                .map(|count| count.parse().unwrap())
                .collect();
            let each = counts.iter().sum::<usize>() as u64 / FIGURE.as_secs();
            println!("processes={count} commits_per_second={each} counts={counts:?} {task}");
        }
    }
}
