//! Runs cases in processes of their own, so that an abort or a hang is counted and not the end of the test. The child
//! is a test of this program, too: it says before each case that it begins, and behind it what came of it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use crate::bodies::open_file::Verdict;

/// The job of a child, as numbers.
const JOB: &str = "HIVEKEEP_DAMAGE_JOB";
/// Where a child keeps its files.
const FOLDER: &str = "HIVEKEEP_DAMAGE_FOLDER";
/// A case that takes longer is one over which something hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// The outcomes of the cases of a job.
#[derive(Default)]
pub struct Tally {
    verdicts: BTreeMap<String, usize>,
    pub aborts: usize,
    pub hangs: usize,
    pub wrong: Vec<String>,
}

/// The heads of the columns of [`Tally::row`].
pub const COLUMNS: &str =
    "tried | harmless | found | repaired whole | in part | nothing left | wrong | aborts | hangs |";

impl Tally {
    pub fn of(&self, verdict: Verdict) -> usize {
        self.verdicts.get(&format!("{verdict:?}")).copied().unwrap_or_default()
    }

    pub fn tried(&self) -> usize {
        self.verdicts.values().sum::<usize>() + self.aborts + self.hangs + self.wrong.len()
    }

    pub fn row(&self) -> String {
        let repaired =
            [Verdict::RepairedWhole, Verdict::RepairedInPart, Verdict::NothingLeft].map(|what| self.of(what));
        let [whole, part, nothing] = repaired;
        let found = self.of(Verdict::Found) + repaired.iter().sum::<usize>();
        let (harmless, wrong) = (self.of(Verdict::Harmless), self.wrong.len());
        let (tried, aborts, hangs) = (self.tried(), self.aborts, self.hangs);
        format!("{tried} | {harmless} | {found} | {whole} | {part} | {nothing} | {wrong} | {aborts} | {hangs} |")
    }

    pub fn add(&mut self, other: Self) {
        other.verdicts.into_iter().for_each(|(verdict, count)| *self.verdicts.entry(verdict).or_default() += count);
        self.aborts += other.aborts;
        self.hangs += other.hangs;
        self.wrong.extend(other.wrong);
    }

    /// Reads what a child says; gives the number of the next case when it ended before its last one.
    fn read(&mut self, lines: &Receiver<String>, mut next: usize) -> Option<usize> {
        loop {
            match lines.recv_timeout(PATIENCE) {
                Ok(line) => match line.split_once(' ') {
                    Some(("begins", number)) => next = number.parse::<usize>().unwrap() + 1,
                    Some(("judged", verdict)) => *self.verdicts.entry(verdict.to_owned()).or_default() += 1,
                    Some(("wrong", what)) => self.wrong.push(what.to_owned()),
                    _ if line == "done" => return None,
                    _ => {}
                },
                Err(RecvTimeoutError::Disconnected) => {
                    self.aborts += 1;
                    return Some(next);
                }
                Err(RecvTimeoutError::Timeout) => {
                    self.hangs += 1;
                    return Some(next);
                }
            }
        }
    }
}

/// Has the test `child` do a job, from its first case to its last.
pub fn run(child: &str, job: &[usize]) -> Tally {
    let (mut tally, mut next) = (Tally::default(), Some(0));
    // The files of a child that aborts are removed with it.
    let folder = folder();
    while let Some(from) = next {
        let mut process = spawn(child, from, job, folder.path());
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let (sender, receiver) = channel();
        let reader = std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| sender.send(line)));
        next = tally.read(&receiver, from);
        if next.is_some() {
            let _gone = process.kill();
        }
        process.wait().unwrap();
        let _ended = reader.join().unwrap();
    }
    tally
}

fn spawn(child: &str, from: usize, job: &[usize], folder: &Path) -> Child {
    let words: Vec<_> = [&[from], job].concat().iter().map(usize::to_string).collect();
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", child, "--nocapture", "--test-threads=1"])
        .env(JOB, words.join(" "))
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// In a child: the first case that is its own, and its job.
pub fn job<const N: usize>() -> Option<(usize, [usize; N])> {
    let job = std::env::var(JOB).ok()?;
    let words: Vec<usize> = job.split(' ').map(|word| word.parse().unwrap()).collect();
    Some((words[0], words[1..].try_into().unwrap()))
}

/// In a child: judges each case from that number on, and says what came of it.
pub fn judge(cases: impl Iterator<Item = usize>, from: usize, mut judge: impl FnMut(usize, usize) -> Verdict) {
    static SAID: Mutex<String> = Mutex::new(String::new());
    std::panic::set_hook(Box::new(|info| *SAID.lock().unwrap() = info.to_string()));
    for (number, case) in cases.enumerate().skip(from) {
        println!("begins {number}");
        match catch_unwind(AssertUnwindSafe(|| judge(number, case))) {
            Ok(verdict) => println!("judged {verdict:?}"),
            Err(_) => println!("wrong {case}: {}", SAID.lock().unwrap().replace('\n', " ")),
        }
    }
    println!("done");
}

/// Does every job, as many at a time as there are cores, in order.
pub fn on_all_cores<J: Send, T: Send>(jobs: Vec<J>, work: impl Fn(J) -> T + Sync) -> Vec<T> {
    let (waiting, done) = (Mutex::new(jobs.into_iter().enumerate()), Mutex::new(BTreeMap::new()));
    let worker = || {
        while let Some((number, job)) = { waiting.lock().unwrap().next() } {
            let made = work(job);
            done.lock().unwrap().insert(number, made);
        }
    };
    std::thread::scope(|scope| {
        (0..std::thread::available_parallelism().map_or(1, usize::from)).for_each(|_| drop(scope.spawn(worker)));
    });
    done.into_inner().unwrap().into_values().collect()
}

/// A number from the environment.
pub fn setting(name: &str, otherwise: usize) -> usize {
    std::env::var(name).map_or(otherwise, |value| value.parse().unwrap())
}

/// In memory, where there is such a place: tens of thousands of files are written.
pub fn folder() -> tempfile::TempDir {
    let memory = std::env::var_os(FOLDER).map_or_else(|| PathBuf::from("/dev/shm"), PathBuf::from);
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}
