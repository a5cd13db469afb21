//! Threads of several processes that read, write, seal, forget and restore at the same time, against a model of what
//! each may see: writes one after the other, and views that show what was there after one of them, whatever comes
//! later.
//!
//! `HIVEKEEP_TEST_SCALE=N cargo test --release --test concurrency` lets them work N times as long.
#![expect(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

mod children;
mod knobs;

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use children::{spawn, wait_for};
use hivekeep::{Policy, RestoreOptions, Sharing, Store, View};
use knobs::scale;

const ACCOUNTS: usize = 8;
const FIRST: i64 = 100;
const CHILDREN: usize = 2;
/// How long each works, times the scale.
const TIME: Duration = Duration::from_secs(3);

/// The balances of the accounts.
type Balances = [i64; ACCOUNTS];

/// Does nothing unless another test of this file started it.
#[test]
fn a_child_does_what_it_is_told() {
    let Some(told) = children::told() else { return };
    let sharing = if told.task == "work" { Sharing::Shared } else { Sharing::SharedLog };
    let store = Store::options().sharing(sharing).open(&told.store).unwrap();
    wait_for(&told.store.with_extension("go"));
    let log = work(&store, told.number);
    std::fs::write(log_of(&told.store, told.number), log).unwrap();
    store.close().unwrap();
}

fn log_of(store: &Path, number: usize) -> PathBuf {
    store.with_extension(format!("log{number}"))
}

/// Two writers, two readers, and one who makes points, forgets and restores; gives what they did and saw.
fn work(store: &Store, process: usize) -> String {
    let end = Instant::now() + TIME * u32::try_from(scale()).unwrap();
    std::thread::scope(|scope| {
        let mut threads = Vec::new();
        for number in 0..2 {
            threads.push(scope.spawn(move || write_until(end, store, process * 2 + number)));
            threads.push(scope.spawn(move || read_until(end, store)));
        }
        threads.push(scope.spawn(move || keep_until(end, store, process)));
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// Moves one from an account to another, again and again, and numbers what it does by what it finds: `wrote N A B`.
fn write_until(end: Instant, store: &Store, seed: usize) -> String {
    let mut log = String::new();
    for round in 0.. {
        if Instant::now() >= end {
            break;
        }
        let (from, to) = ((round * 7 + seed * 3) % ACCOUNTS, (round * 5 + seed + 1) % ACCOUNTS);
        let number = store
            .write(|tx| {
                let number = tx.collection::<u64>("number")?.get("number")?.unwrap_or_default() + 1;
                tx.collection("number")?.put("number", &number)?;
                let mut accounts = tx.collection::<i64>("accounts")?;
                for (account, change) in [(from, -1), (to, 1)] {
                    let name = account.to_string();
                    let balance = accounts.get(&name)?.unwrap_or(FIRST);
                    accounts.put(&name, &(balance + change))?;
                }
                Ok(number)
            })
            .unwrap();
        writeln!(log, "wrote {number} {from} {to}").unwrap();
    }
    log
}

/// The content of a view: the number of writes, and the accounts.
fn see(view: &View) -> (u64, Balances) {
    let number = view.collection::<u64>("number").unwrap().get("number").unwrap().unwrap_or_default();
    let accounts = view.collection::<i64>("accounts").unwrap();
    let mut balances = [FIRST; ACCOUNTS];
    for entry in accounts.list() {
        let (name, balance) = entry.unwrap();
        balances[name.parse::<usize>().unwrap()] = balance;
    }
    (number, balances)
}

fn note(log: &mut String, (number, balances): (u64, Balances)) {
    let balances: Vec<_> = balances.iter().map(i64::to_string).collect();
    writeln!(log, "saw {number} {}", balances.join(" ")).unwrap();
}

/// Looks, and looks again through the same view: `saw N BALANCES`. Later views never show less.
fn read_until(end: Instant, store: &Store) -> String {
    let mut log = String::new();
    let mut newest = 0;
    while Instant::now() < end {
        let view = store.view().unwrap();
        let seen = see(&view);
        std::thread::sleep(Duration::from_millis(2));
        assert_eq!(see(&view), seen, "a view changed");
        assert!(seen.0 >= newest, "a later view shows less");
        newest = seen.0;
        note(&mut log, seen);
    }
    log
}

/// Makes points and keeps views of them while they are forgotten, and restores a collection of its own.
fn keep_until(end: Instant, store: &Store, process: usize) -> String {
    let mut log = String::new();
    let (own, mut kept) = (format!("own-{process}"), Vec::new());
    let policy = Policy {
        cap: Some(2),
        floor: Duration::ZERO,
        thinning: Vec::new(),
        keep_safety: Duration::ZERO,
        ..Policy::default()
    };
    for round in 0i64.. {
        if Instant::now() >= end {
            break;
        }
        let put = |value: i64| store.write(|tx| tx.collection(&own)?.put("round", &value)).unwrap();
        put(round);
        let point = store.restore_point("meanwhile").unwrap();
        // Another process may forget it at any moment; a view of it stays.
        if let Ok(view) = store.at(&point) {
            let seen = see(&view);
            note(&mut log, seen);
            kept.push((view, seen));
        }
        put(-round);
        let restored = store.restore(&point, RestoreOptions::new().only([own.as_str()])).is_ok();
        let now = store.view().unwrap().collection::<i64>(&own).unwrap().get("round").unwrap();
        assert_eq!(now, Some(if restored { round } else { -round }), "a restore was of something else");
        store.retain(&policy).unwrap();
        for (view, seen) in &kept {
            assert_eq!(see(view), *seen, "a kept view changed");
        }
        if kept.len() > 6 {
            kept.swap_remove(round as usize % 5);
        }
    }
    log
}

#[test]
fn every_view_shows_what_was_there_after_one_of_the_writes_and_these_come_one_after_the_other() {
    work_together("work", Sharing::Shared);
}

#[test]
fn the_same_holds_where_the_processes_share_a_log() {
    work_together("work with a log", Sharing::SharedLog);
}

fn work_together(task: &str, sharing: Sharing) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h.redb");
    let store = Store::options().sharing(sharing).open(&path).unwrap();
    store
        .write(|tx| {
            tx.collection("number")?.put("number", &0u64)?;
            (0..ACCOUNTS).try_for_each(|account| tx.collection("accounts")?.put(&account.to_string(), &FIRST))
        })
        .unwrap();
    let first = store.restore_point("before everything").unwrap();
    let (now, then) = (store.view().unwrap(), store.at(&first).unwrap());
    let children: Vec<_> = (1..=CHILDREN).map(|number| spawn(task, &path, number)).collect();
    std::fs::write(path.with_extension("go"), b"").unwrap();
    let mut log = work(&store, 0);
    for mut child in children {
        assert!(child.wait().unwrap().success(), "a child failed; its output is above");
    }
    (1..=CHILDREN).for_each(|number| log += &std::fs::read_to_string(log_of(&path, number)).unwrap());
    for view in [&now, &then] {
        assert_eq!(see(view), (0, [FIRST; ACCOUNTS]), "a view that was kept from the beginning changed");
    }
    let states = replay(&log);
    assert_eq!(see(&store.view().unwrap()), (states.len() as u64 - 1, *states.last().unwrap()));
    let saw = compare(&log, &states);
    let report = store.check().unwrap();
    assert!(report.is_sound(), "{:?}", report.findings);
    println!("writes={} views={saw}", states.len() - 1);
}

/// The accounts after each write: every number was given to one write, and none was left out.
fn replay(log: &str) -> Vec<Balances> {
    let mut writes: Vec<_> = log.lines().filter_map(|line| line.strip_prefix("wrote ")).map(numbers).collect();
    writes.sort();
    let mut states = vec![[FIRST; ACCOUNTS]];
    for (at, write) in writes.iter().enumerate() {
        assert_eq!(write[0], at as i64 + 1, "two writes saw the same, or one saw too much");
        let mut state = *states.last().unwrap();
        state[write[1] as usize] -= 1;
        state[write[2] as usize] += 1;
        states.push(state);
    }
    states
}

/// Everything that was seen was there after the write that it names; gives how much was seen.
fn compare(log: &str, states: &[Balances]) -> usize {
    let seen: Vec<_> = log.lines().filter_map(|line| line.strip_prefix("saw ")).map(numbers).collect();
    for seen in &seen {
        assert_eq!(seen[1..], states[seen[0] as usize], "a view showed what never was: {seen:?}");
    }
    seen.len()
}

fn numbers(line: &str) -> Vec<i64> {
    line.split(' ').map(|number| number.parse().unwrap()).collect()
}
