//! Types the commands of the README's tour and of the operator's guide into a shell, one shell for a page, as a person
//! does, and compares what they print. `..` stands for what differs, `...` for any number of lines.
#![cfg(all(feature = "http", unix))]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test stops at what it does not expect")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

const PROGRAM: &str = env!("CARGO_BIN_EXE_hivekeep");
/// No command of a page takes as long on the slowest machine; one that does waits for ever.
const PATIENCE: Duration = Duration::from_secs(120);
/// The shell prints this behind each command.
const DONE: &str = "-- that was all --";

#[test]
fn the_tour_of_the_readme_prints_what_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start(folder.path());
    follow("README.md", folder.path(), &service.address);
}

#[test]
fn the_operators_guide_prints_what_it_says() {
    if !has_curl() {
        println!("skipped, because there is no curl here");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let service = LeftBehind(folder.path());
    // Free a moment ago, and not given out again so soon.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let page = follow("docs/BACKUP-RECOVERY.md", folder.path(), &address);
    let fences = page.lines().filter(|line| line.starts_with("```") && line.len() > 3);
    assert!(fences.clone().all(|fence| fence == "```console"), "a block of the guide that nobody types in: {fences:?}");
    drop(service);
}

/// Types in the commands of a page, and gives its text.
fn follow(page: &str, folder: &Path, address: &str) -> String {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(page)).unwrap();
    let steps = steps(&text);
    assert!(steps.len() > 10);
    let mut shell = Shell::start(folder, address);
    for (command, expected) in steps {
        if command.contains("curl") && !has_curl() {
            println!("skipped, because there is no curl here: {command}");
            continue;
        }
        let command = command.replace("127.0.0.1:8001", address);
        let printed = shell.type_in(&command);
        assert!(alike(&expected, &printed), "$ {command}\n{printed}\nbut {page} says\n{expected}");
    }
    text
}

/// Each command of the blocks marked `console`, with the lines that it should print.
fn steps(readme: &str) -> Vec<(String, String)> {
    let blocks = readme.split("```console\n").skip(1).filter_map(|rest| rest.split("```").next());
    let commands = blocks.flat_map(|block| block.split("$ ").skip(1));
    commands
        .map(|step| {
            let (command, output) = step.split_once('\n').unwrap();
            (command.to_owned(), output.trim_end().to_owned())
        })
        .collect()
}

fn has_curl() -> bool {
    Command::new("curl").arg("--version").output().is_ok_and(|ran| ran.status.success())
}

/// A shell that waits for what is typed, in a folder of its own.
struct Shell {
    process: Child,
    typed: ChildStdin,
    printed: Receiver<String>,
}

impl Shell {
    fn start(folder: &Path, address: &str) -> Self {
        let path = format!("{}:{}", Path::new(PROGRAM).parent().unwrap().display(), std::env::var("PATH").unwrap());
        let mut shell = Command::new("sh");
        shell.current_dir(folder).env("PATH", path).env("HIVEKEEP_LISTEN", address).env_remove("HIVEKEEP_STORE");
        let mut process = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut typed = process.stdin.take().unwrap();
        typed.write_all(b"exec 2>&1\n").unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let (tell, printed) = channel();
        std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| tell.send(line)));
        Self { process, typed, printed }
    }

    /// Types a command in, and gives what is printed until it has ended.
    fn type_in(&mut self, command: &str) -> String {
        // A command that printed half a line, or read what was typed for the shell, does not pass for one that has
        // ended.
        writeln!(self.typed, "{command}\nprintf '\\n%s\\n' '{DONE}'").unwrap();
        let (mut lines, until) = (Vec::new(), Instant::now() + PATIENCE);
        loop {
            match self.printed.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) if line == DONE => break,
                Ok(line) => lines.push(line),
                Err(_) => panic!("$ {command}\n{}\nand it never ended", lines.join("\n")),
            }
        }
        lines.join("\n").trim_end().to_owned()
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

#[test]
fn one_shell_reads_a_whole_page() {
    let folder = tempfile::tempdir().unwrap();
    let mut shell = Shell::start(folder.path(), "127.0.0.1:0");
    assert_eq!(shell.type_in("mkdir opened; cd opened; printf half"), "half");
    assert!(shell.type_in("pwd").ends_with("/opened"), "each line had a shell of its own");
}

/// Whether a text has the lines of `expected`, among which `...` stands for any number of lines.
fn alike(expected: &str, printed: &str) -> bool {
    fn same(expected: &[&str], printed: &[&str]) -> bool {
        match (expected, printed) {
            ([], []) => true,
            (["...", rest @ ..], _) => (0..=printed.len()).any(|skipped| same(rest, &printed[skipped..])),
            ([first, rest @ ..], [line, lines @ ..]) => is_line(first, line) && same(rest, lines),
            _ => false,
        }
    }
    same(&expected.lines().collect::<Vec<_>>(), &printed.lines().collect::<Vec<_>>())
}

/// Whether a line has the parts between the dots of `expected`.
fn is_line(expected: &str, printed: &str) -> bool {
    let mut rest = printed;
    let parts: Vec<_> = expected.split("..").collect();
    parts.iter().enumerate().all(|(number, part)| {
        let found = if number == 0 { rest.starts_with(part).then_some(0) } else { rest.find(part) };
        rest = found.and_then(|at| rest.get(at + part.len()..)).unwrap_or_default();
        found.is_some()
    }) && (expected.ends_with("..") || rest.is_empty())
}

/// `hivekeep serve`, which the tour leaves running.
struct Service {
    process: Child,
    address: String,
}

impl Service {
    /// Starts it, and waits until it listens.
    fn start(folder: &Path) -> Self {
        let mut serve = Command::new(PROGRAM);
        serve.args(["serve", "--listen", "127.0.0.1:0"]).current_dir(folder).env_remove("HIVEKEEP_STORE");
        let mut process = serve.stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let listening = "listening http://";
        let mut addresses =
            lines.map_while(Result::ok).filter_map(|line| Some(line.strip_prefix(listening)?.to_owned()));
        let address = addresses.next().unwrap();
        Self { process, address }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// A folder in which the guide started `hivekeep serve`, which is not to outlive a test that fails.
struct LeftBehind<'a>(&'a Path);

impl Drop for LeftBehind<'_> {
    fn drop(&mut self) {
        drop(Command::new("sh").args(["-c", "kill -9 $(cat serve.pid) 2>/dev/null"]).current_dir(self.0).status());
    }
}
