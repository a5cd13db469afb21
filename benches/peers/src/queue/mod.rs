//! The durable queue against the usual one in SQLite: enqueue, claim, complete, each on the disk before the answer.

mod hivekeep;
mod sqlite;
mod work;

use std::collections::HashSet;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

pub use work::{NAMES, all};

use crate::engine::{HIVEKEEP, cannot};

/// The payload of a task, in bytes.
pub const PAYLOAD_BYTES: usize = 272;
/// How long a child works.
const CHILD_TIME: Duration = Duration::from_secs(2);

/// An open queue.
pub trait Queue: Sync {
    /// For the thread that asks.
    fn worker(&self, bot: usize) -> Result<Box<dyn Worker + '_>>;

    /// Puts a number of done tasks in.
    fn add_done(&self, count: u64) -> Result<()>;

    fn count_done(&self) -> Result<u64>;

    /// Makes a restore point, where that is no copy of the file.
    fn add_point(&self) -> Result<()> {
        cannot("a restore point is a copy of the file")
    }
}

/// Each call is one transaction.
pub trait Worker {
    fn enqueue(&mut self, count: usize) -> Result<()>;

    fn claim(&mut self, count: usize) -> Result<Vec<Ticket>>;

    fn complete(&mut self, tickets: &[Ticket]) -> Result<()>;

    /// Completes a task and claims the next one.
    fn complete_and_claim(&mut self, held: &Ticket) -> Result<Vec<Ticket>>;
}

/// The result of a claim.
pub struct Ticket {
    pub id: String,
    pub token: u64,
}

pub struct Kind {
    pub name: &'static str,
    pub open: fn(&Path) -> Result<Box<dyn Queue>>,
    /// Several processes can share it.
    pub is_shared: bool,
    /// It has restore points.
    pub has_points: bool,
}

const KINDS: [Kind; 6] = [
    Kind { name: HIVEKEEP, open: hivekeep::open, is_shared: true, has_points: true },
    Kind { name: "hivekeep_alone", open: hivekeep::open_alone, is_shared: false, has_points: true },
    Kind { name: "hivekeep_shared_log", open: hivekeep::open_shared_log, is_shared: true, has_points: true },
    Kind { name: "hivekeep_one_phase", open: hivekeep::open_one_phase, is_shared: false, has_points: true },
    Kind { name: "sqlite_queue", open: sqlite::open, is_shared: true, has_points: false },
    Kind { name: "sqlite_queue_in_turns", open: sqlite::open_in_turns, is_shared: false, has_points: false },
];

pub const ENGINES: [&str; 6] =
    [KINDS[0].name, KINDS[1].name, KINDS[2].name, KINDS[3].name, KINDS[4].name, KINDS[5].name];

fn payload() -> String {
    "x".repeat(PAYLOAD_BYTES)
}

/// So many times: enqueue one, claim one, complete it. Gives the ids that were claimed, and how long each claim took.
fn cycles(worker: &mut dyn Worker, more: &mut dyn FnMut() -> bool) -> Result<(Vec<String>, Vec<Duration>)> {
    let (mut ids, mut claims) = (Vec::new(), Vec::new());
    while more() {
        worker.enqueue(1)?;
        let started = Instant::now();
        let tickets = worker.claim(1)?;
        claims.push(started.elapsed());
        ensure!(tickets.len() == 1, "a task was enqueued, and none could be claimed");
        worker.complete(&tickets)?;
        ids.extend(tickets.into_iter().map(|ticket| ticket.id));
    }
    Ok((ids, claims))
}

/// The first task is claimed by itself. Then, a number of times: enqueue one, and complete the one that is held
/// together with claiming the next. Gives the ids that were claimed.
fn joined_cycles(worker: &mut dyn Worker, count: usize) -> Result<Vec<String>> {
    worker.enqueue(1)?;
    let mut held = worker.claim(1)?;
    let mut ids = Vec::new();
    for _ in 1..count {
        worker.enqueue(1)?;
        let [ticket] = held.as_slice() else { bail!("a task was enqueued, and none could be claimed") };
        let next = worker.complete_and_claim(ticket)?;
        ids.extend(held.into_iter().map(|ticket| ticket.id));
        held = next;
    }
    worker.complete(&held)?;
    ids.extend(held.into_iter().map(|ticket| ticket.id));
    Ok(ids)
}

/// No task was claimed twice.
fn check_once(ids: impl IntoIterator<Item = String>) -> Result<usize> {
    let mut seen = HashSet::new();
    for id in ids {
        ensure!(!seen.contains(&id), "a task was claimed twice: task={id}");
        seen.insert(id);
    }
    Ok(seen.len())
}

/// In a child process: cycles for some time. Says how many, and the 99th of a hundred claims, in microseconds.
pub fn run_child(engine: &str, folder: &Path) -> Result<()> {
    let kind = KINDS.iter().find(|kind| kind.name == engine).context("there is no such queue")?;
    let queue = (kind.open)(folder)?;
    let until = Instant::now() + CHILD_TIME;
    let (ids, mut claims) =
        cycles(queue.worker(std::process::id() as usize)?.as_mut(), &mut || Instant::now() < until)?;
    claims.sort_unstable();
    let late = claims.get(claims.len() * 99 / 100).context("nothing was done")?;
    println!("{} {}", ids.len(), late.as_micros());
    Ok(())
}
