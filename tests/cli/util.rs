//! Runs the program in a folder of its own. A failing test prints the arguments and the output.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use hivekeep::Store;
use serde_json::Value;

/// The field names of an object, in order.
pub fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

/// A folder with a store in it.
pub struct Hive {
    folder: tempfile::TempDir,
}

/// The output of a run of the program, and its exit status.
#[derive(Debug)]
pub struct Ran {
    typed: String,
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Hive {
    /// A folder without a store.
    pub fn empty() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// A folder with a new store.
    pub fn new() -> Self {
        let hive = Self::empty();
        hive.open().close().unwrap();
        hive
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join("h.redb")
    }

    /// The store in this process.
    pub fn open(&self) -> Store {
        Store::open(self.path()).unwrap()
    }

    /// The program with these arguments, about to run.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hivekeep"));
        let own = std::env::vars_os().map(|(name, _)| name);
        own.filter(|name| name.to_string_lossy().starts_with("HIVEKEEP_")).for_each(|name| {
            command.env_remove(name);
        });
        command.current_dir(self.folder.path()).env("HIVEKEEP_STORE", self.path()).stdin(Stdio::null());
        command.args(arguments);
        command
    }

    /// Runs the program.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        Ran::new(arguments, self.command(arguments).output().unwrap())
    }

    /// Runs the program, which must succeed, and returns its output.
    pub fn ok(&self, arguments: &[&str]) -> String {
        self.run(arguments).with(0).out
    }

    /// The output as JSON.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let out = self.ok(&[arguments, &["--json"]].concat());
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{arguments:?} printed no JSON ({error}): {out}"))
    }

    /// Runs the program, which must fail with this code, and returns its message.
    pub fn refused(&self, arguments: &[&str], code: i32) -> String {
        let ran = self.run(arguments).with(code);
        let line = ran.err.trim_end().strip_prefix("error: ");
        line.unwrap_or_else(|| panic!("no error was printed: {ran:?}")).to_owned()
    }

    /// Makes three bots, a chain of tasks and a limit.
    pub fn fill(&self) {
        for bot in ["BOT-1", "BOT-2", "BOT-3"] {
            self.ok(&["put", "registry", bot, r#"{"port": 8001, "status": "active"}"#]);
        }
        self.ok(&["queue", "push", r#"{"build": 1}"#, "--id", "build", "--priority", "P1"]);
        self.ok(&["queue", "push", r#"{"test": 1}"#, "--id", "test", "--after", "build"]);
        self.ok(&["put", "config", "limit", "5"]);
    }
}

impl Ran {
    pub fn new(arguments: &[&str], output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self {
            typed: arguments.join(" "),
            code: output.status.code(),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }

    /// The same, after checking the exit code.
    pub fn with(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "hivekeep {}\n--- out\n{}--- err\n{}", self.typed, self.out, self.err);
        self
    }
}

/// A program that runs until it is stopped.
pub struct Running {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
}

impl Running {
    pub fn start(hive: &Hive, arguments: &[&str]) -> Self {
        Self::spawn(&mut hive.command(arguments))
    }

    pub fn spawn(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    /// The next line of its output.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line
    }

    /// Sends a signal, waits for the exit, and returns the exit code.
    pub fn stop(&mut self, signal: &str) -> Option<i32> {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(20) {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("the program did not stop");
    }

    /// Closes the output, waits for the exit, and returns the exit code and the messages.
    pub fn hang_up(self) -> (Option<i32>, String) {
        let Self { child, lines } = self;
        drop(lines);
        let output = child.wait_with_output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    }
}
