//! Processes killed at random moments, again and again, beside a log of what they were told is done.
//!
//! * [`writers`]: nothing acknowledged is lost, by one process of many threads and by three that share a store
//! * [`fleet`]: bots at work on the queue, whose every task ends exactly once
//!
//! `HIVEKEEP_TEST_SCALE=N HIVEKEEP_TEST_SEED=S cargo test --release --test kills` kills N times as many, from S on.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test stops at what it does not expect")]

#[path = "../children/mod.rs"]
mod children;
mod fleet;
#[path = "../knobs/mod.rs"]
mod knobs;
mod writers;

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Duration;

use children::{spawn, wait_for};
use knobs::scale;

/// A child that nobody kills ends by itself.
const LIFE: Duration = Duration::from_secs(300);

/// Does nothing unless another test of this file started it.
#[test]
fn a_child_does_what_it_is_told() {
    match children::told() {
        Some(told) if told.task == fleet::TASK => fleet::work(&told),
        Some(told) => writers::write(&told),
        None => {}
    }
}

/// A file that says that a child has opened the store.
fn ready(store: &Path, number: usize) -> PathBuf {
    store.with_extension(format!("ready{number}"))
}

/// The acknowledged writes, one a line, each written after the store had answered.
struct Log(File);

impl Log {
    fn path(store: &Path) -> PathBuf {
        store.with_extension("log")
    }

    fn of(store: &Path) -> Self {
        Self(OpenOptions::new().create(true).append(true).open(Self::path(store)).unwrap())
    }

    fn note(&self, what: &str, name: &str, number: u64) {
        (&self.0).write_all(format!("{what} {name} {number}\n").as_bytes()).unwrap();
    }
}

/// A xorshift generator: the same numbers for the same seed.
struct Numbers(u64);

impl Numbers {
    fn seeded() -> Self {
        let seed = std::env::var("HIVEKEEP_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or_else(|| u64::from(std::process::id()));
        println!("HIVEKEEP_TEST_SEED={seed} HIVEKEEP_TEST_SCALE={}", scale());
        Self(seed << 8 | 1)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }

    /// Waits for up to 200 ms, and often for much less.
    fn pause(&mut self) {
        let most = 1 + self.below(200_000);
        std::thread::sleep(Duration::from_micros(self.below(most)));
    }
}

/// Children that are killed when the test fails.
struct Children(BTreeMap<usize, Child>);

impl Children {
    fn start(&mut self, task: &str, store: &Path, number: usize) {
        drop(std::fs::remove_file(ready(store, number)));
        self.0.insert(number, spawn(task, store, number));
        wait_for(&ready(store, number));
    }

    fn kill(&mut self, number: usize) {
        let mut child = self.0.remove(&number).unwrap();
        assert!(child.try_wait().unwrap().is_none(), "a child ended by itself; why is above");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Waits until they have ended by themselves.
    fn end_well(&mut self) {
        for (number, mut child) in std::mem::take(&mut self.0) {
            assert!(child.wait().unwrap().success(), "process {number} failed; why is above");
        }
    }
}

impl Drop for Children {
    fn drop(&mut self) {
        for child in self.0.values_mut() {
            drop(child.kill());
            drop(child.wait());
        }
    }
}
