//! Child processes of a test: its own binary, told by environment variables what to do.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const TASK: &str = "HIVEKEEP_TEST_TASK";
const STORE: &str = "HIVEKEEP_TEST_STORE";
const NUMBER: &str = "HIVEKEEP_TEST_NUMBER";

/// The instructions to a child.
pub struct Told {
    pub task: String,
    pub store: PathBuf,
    pub number: usize,
}

/// Starts a child, which runs the test `a_child_does_what_it_is_told` of the same binary.
pub fn spawn(task: &str, store: &Path, number: usize) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_child_does_what_it_is_told", "--nocapture"])
        .env(TASK, task)
        .env(STORE, store)
        .env(NUMBER, number.to_string())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// The instructions to this process, when it is a child.
pub fn told() -> Option<Told> {
    let task = std::env::var(TASK).ok()?;
    let store = PathBuf::from(std::env::var_os(STORE).unwrap());
    let number = std::env::var(NUMBER).unwrap().parse().unwrap();
    Some(Told { task, store, number })
}

/// Waits until a file is there.
pub fn wait_for(path: &Path) {
    let started = Instant::now();
    while !path.exists() {
        assert!(started.elapsed() < Duration::from_secs(30), "it never came: {}", path.display());
        std::thread::yield_now();
    }
}
