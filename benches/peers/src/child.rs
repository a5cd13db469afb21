//! The jobs of child processes of this program: write until they are killed, use memory, work on a queue.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;

use crate::data;
use crate::engine::{Cannot, Engine, kind};
use crate::queue;

/// How often a child reports that a commit is done before it is killed.
const ACKNOWLEDGED: u64 = 50;
/// Far above what the records reach otherwise.
pub const VERSION: u32 = 1 << 20;

/// Whether a process can ask for the peak of its memory.
pub const TELLS_MEMORY: bool = cfg!(target_os = "linux");

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Task {
    WriteUntilKilled,
    UseMemory,
    QueueCycles,
}

/// Starts a child of this program.
pub fn start(task: Task, engine: &str, folder: &Path, records: u64) -> Result<Child> {
    let task = task.to_possible_value().context("the task has no name")?;
    let child = Command::new(std::env::current_exe()?)
        .args(["--child", task.get_name(), "--engine", engine, "--records", &records.to_string(), "--dir"])
        .arg(folder)
        .stdout(Stdio::piped())
        .spawn()?;
    Ok(child)
}

/// The job of the child.
pub fn run(task: Task, engine: &str, folder: &Path, records: u64) -> Result<()> {
    match task {
        Task::WriteUntilKilled => write_until_killed((kind(engine)?.open)(folder)?.as_ref(), records),
        Task::UseMemory => use_memory((kind(engine)?.open)(folder)?.as_mut(), records),
        Task::QueueCycles => queue::run_child(engine, folder),
    }
}

/// The record that a child writes as its n-th.
pub fn record(number: u64, records: u64) -> u64 {
    (number * 7919) % records
}

fn write_until_killed(engine: &dyn Engine, records: u64) -> Result<()> {
    let mut writer = engine.writer()?;
    let mut out = std::io::stdout();
    // A child whose parent is gone ends nevertheless.
    for number in 1..1_000_000 {
        writer.commit(&[data::row(record(number, records), VERSION + number as u32)])?;
        writeln!(out, "{number}")?;
        out.flush()?;
    }
    Ok(())
}

/// Has a child write to the store, kills it with SIGKILL, and gives the number of the last commit that it was told is
/// done.
pub fn write_and_die(engine: &str, folder: &Path, records: u64) -> Result<u64> {
    let mut child = start(Task::WriteUntilKilled, engine, folder, records)?;
    let mut lines = BufReader::new(child.stdout.take().context("the child has no output")?).lines();
    let mut last = 0;
    while last < ACKNOWLEDGED {
        last = lines.next().context("the child ended too early")??.parse()?;
    }
    child.kill()?;
    child.wait()?;
    for line in lines {
        last = line?.parse()?;
    }
    Ok(last)
}

fn use_memory(engine: &mut dyn Engine, records: u64) -> Result<()> {
    let numbers = data::shuffled(records);
    engine.load(&mut numbers.into_iter().map(|number| data::row(number, 0)))?;
    for round in 1..=10 {
        let rows: Vec<_> = (0..1000.min(records)).map(|number| data::row(number, round)).collect();
        engine.change(&rows)?;
    }
    match engine.point() {
        Err(error) if error.is::<Cannot>() => {}
        point => drop(point?),
    }
    ensure!(engine.now()?.scan()?.count == records, "wrong answer of a scan");
    println!("{}", peak_bytes()?);
    Ok(())
}

/// The peak of this process's memory so far.
fn peak_bytes() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("the system does not say")?;
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kilobytes * 1024)
}

/// How long a child took, and the peak of its memory.
pub fn peak_memory(engine: &str, folder: &Path, records: u64) -> Result<(Duration, u64)> {
    let started = Instant::now();
    let output = start(Task::UseMemory, engine, folder, records)?.wait_with_output()?;
    ensure!(output.status.success(), "the child failed: engine={engine}");
    Ok((started.elapsed(), String::from_utf8(output.stdout)?.trim().parse()?))
}
