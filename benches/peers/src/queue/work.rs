//! Workloads of the queues. Times are for one task, so that works of different sizes can be compared.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};

use crate::bench::{Answer, Bench, Measured, Outcome, Work, timed};
use crate::child::{self, Task};
use crate::queue::{CHILD_TIME, KINDS, Kind, Queue, Worker, check_once, cycles, joined_cycles};

pub const NAMES: &[&str] = &[
    "queue_cycle_1_thread",
    "queue_cycle_8_threads",
    "queue_joined_1_thread",
    "queue_joined_8_threads",
    "queue_batch_10",
    "queue_claim",
    "queue_claim_100",
    "queue_processes",
];

/// A line that children of `queue_processes` print too.
const QUEUE_LATE: &str = "queue_processes_p99";
const ROUNDS: usize = 5;
const THREADS: usize = 8;
const CYCLES: usize = 100;
const SHARING: [(&str, usize); 2] = [("one process", 1), ("three processes", 3)];
/// Restore points behind a claim.
const POINTS: u64 = 3_000;

/// A queue with how much in it is known to be done.
struct Subject {
    kind: &'static Kind,
    folder: PathBuf,
    queue: Box<dyn Queue>,
    done: u64,
}

pub fn all(bench: &mut Bench) -> Result<()> {
    if !NAMES.iter().any(|name| bench.has_work(name)) {
        return Ok(());
    }
    let mut fresh = subjects(bench, "empty")?;
    each(bench, "queue_cycle_1_thread", "", &mut fresh, |subject| cycle(subject, 1, in_three))?;
    each(bench, "queue_cycle_8_threads", "", &mut fresh, |subject| cycle(subject, THREADS, in_three))?;
    each(bench, "queue_joined_1_thread", "", &mut fresh, |subject| cycle(subject, 1, joined_cycles))?;
    each(bench, "queue_joined_8_threads", "", &mut fresh, |subject| cycle(subject, THREADS, joined_cycles))?;
    each(bench, "queue_batch_10", "", &mut fresh, batch)?;
    let mut full = subjects(bench, "full")?;
    if bench.has_work("queue_claim") {
        for subject in &mut full {
            subject.queue.add_done(bench.records)?;
            subject.done += bench.records;
        }
    }
    each(bench, "queue_claim", "nearly none finished", &mut fresh, claim)?;
    each(bench, "queue_claim", "as many finished as there are records", &mut full, claim)?;
    each(bench, "queue_claim_100", "one batch", &mut fresh, |subject| claim_100(subject, 100))?;
    each(bench, "queue_claim_100", "a hundred claims", &mut fresh, |subject| claim_100(subject, 1))?;
    drop(full);
    let mut late = subjects(bench, "late")?;
    late.retain(|subject| subject.kind.has_points);
    if bench.has_work("queue_claim") {
        late.iter_mut().try_for_each(add_points)?;
    }
    each(bench, "queue_claim", "3,000 restore points behind", &mut late, claim)?;
    drop(late);
    processes_in_turn(bench, &mut fresh)?;
    for subject in fresh {
        ensure!(subject.queue.count_done()? == subject.done, "wrong count of done tasks: engine={}", subject.kind.name);
    }
    Ok(())
}

fn subjects(bench: &Bench, name: &str) -> Result<Vec<Subject>> {
    let kinds = KINDS.iter().filter(|kind| bench.has_engine(kind.name));
    kinds
        .map(|kind| {
            let folder = bench.folder.join(format!("queue-{name}-{}", kind.name));
            std::fs::create_dir_all(&folder)?;
            Ok(Subject { kind, queue: (kind.open)(&folder)?, folder, done: 0 })
        })
        .collect()
}

/// Many restore points, each with a task done after it.
fn add_points(subject: &mut Subject) -> Result<()> {
    let mut worker = subject.queue.worker(0)?;
    for _ in 0..POINTS {
        subject.queue.add_point()?;
        let mut left = 0..1;
        cycles(worker.as_mut(), &mut || left.next().is_some())?;
    }
    subject.done += POINTS;
    Ok(())
}

fn each(
    bench: &mut Bench,
    name: &'static str,
    variant: &'static str,
    subjects: &mut [Subject],
    mut once: impl FnMut(&mut Subject) -> Answer,
) -> Result<()> {
    if !bench.has_work(name) {
        return Ok(());
    }
    let names: Vec<_> = subjects.iter().map(|subject| subject.kind.name).collect();
    bench.in_turns(Work::new(name).variant(variant), ROUNDS, &names, |at| once(&mut subjects[at]))
}

/// Enqueue, claim, complete, each by itself.
fn in_three(worker: &mut dyn Worker, count: usize) -> Result<Vec<String>> {
    let mut left = 0..count;
    Ok(cycles(worker, &mut || left.next().is_some())?.0)
}

/// The cycles of each thread, in one way or another.
fn cycle(subject: &mut Subject, threads: usize, way: fn(&mut dyn Worker, usize) -> Result<Vec<String>>) -> Answer {
    let queue = subject.queue.as_ref();
    let (time, ids) = timed(|| {
        std::thread::scope(|scope| {
            let running: Vec<_> =
                (0..threads).map(|bot| scope.spawn(move || way(queue.worker(bot)?.as_mut(), CYCLES))).collect();
            let ids = running.into_iter().map(|thread| thread.join().map_err(|_| anyhow!("a thread panicked"))?);
            Ok(ids.collect::<Result<Vec<_>>>()?.concat())
        })
    })?;
    let done = check_once(ids)?;
    ensure!(done == threads * CYCLES, "wrong number of tasks: {done}");
    subject.done += done as u64;
    Ok(vec![time.div_f64(done as f64)])
}

/// The same with ten tasks in each call, on one thread.
fn batch(subject: &mut Subject) -> Answer {
    const TOGETHER: usize = 10;
    let mut worker = subject.queue.worker(0)?;
    let mut ids = Vec::new();
    let (time, ()) = timed(|| {
        for _ in 0..CYCLES / TOGETHER {
            worker.enqueue(TOGETHER)?;
            let tickets = worker.claim(TOGETHER)?;
            worker.complete(&tickets)?;
            ids.extend(tickets.into_iter().map(|ticket| ticket.id));
        }
        Ok(())
    })?;
    drop(worker);
    ensure!(check_once(ids)? == CYCLES, "wrong number of tasks");
    subject.done += CYCLES as u64;
    Ok(vec![time.div_f64(CYCLES as f64)])
}

/// Single claims.
fn claim(subject: &mut Subject) -> Answer {
    let (times, tickets) = claims(subject, 1)?;
    ensure!(tickets == CYCLES, "wrong number of tasks: {tickets}");
    Ok(times)
}

/// The time for a hundred tasks, with a number of tasks in each claim.
fn claim_100(subject: &mut Subject, together: usize) -> Answer {
    let (times, tickets) = claims(subject, together)?;
    ensure!(tickets == CYCLES, "wrong number of tasks: {tickets}");
    Ok(vec![times.iter().sum()])
}

fn claims(subject: &mut Subject, together: usize) -> Result<(Vec<Duration>, usize)> {
    let mut worker = subject.queue.worker(0)?;
    worker.enqueue(CYCLES)?;
    let (mut times, mut tickets) = (Vec::new(), Vec::new());
    for _ in 0..CYCLES / together {
        let (time, some) = timed(|| worker.claim(together))?;
        times.push(time);
        tickets.extend(some);
    }
    worker.complete(&tickets)?;
    drop(worker);
    let count = check_once(tickets.into_iter().map(|ticket| ticket.id))?;
    subject.done += count as u64;
    Ok((times, count))
}

/// One round of a number of processes.
struct Ran {
    engine: &'static str,
    count: usize,
    /// For one task.
    time: Duration,
    /// The 99th of a hundred claims, in each process.
    late: Vec<Duration>,
}

/// One process and several, in turn on the same store: one that has more in it is slower.
fn processes_in_turn(bench: &mut Bench, subjects: &mut [Subject]) -> Result<()> {
    if !bench.has_work("queue_processes") {
        return Ok(());
    }
    let mut ran = Vec::new();
    for round in 0..ROUNDS {
        for subject in subjects.iter_mut().filter(|subject| subject.kind.is_shared) {
            for turn in 0..SHARING.len() {
                let (_, count) = SHARING[(round + turn) % SHARING.len()];
                ran.push(processes(subject, count)?);
            }
        }
    }
    for (variant, count) in SHARING {
        let of = |engine| ran.iter().filter(move |ran| ran.engine == engine && ran.count == count);
        let figures = |times: &dyn Fn(&Ran) -> Vec<Duration>| -> Vec<_> {
            let measured =
                |kind: &Kind| Measured { times: of(kind.name).flat_map(times).collect(), ..Measured::default() };
            let outcome = |kind: &Kind| match kind.is_shared {
                true => Outcome::Measured(measured(kind)),
                false => Outcome::Cannot("it is for one process".to_owned()),
            };
            subjects.iter().map(|subject| (subject.kind.name, outcome(subject.kind))).collect()
        };
        let (times, late) = (figures(&|ran| vec![ran.time]), figures(&|ran| ran.late.clone()));
        bench.note(Work::new("queue_processes").variant(variant), times)?;
        bench.note(Work::new(QUEUE_LATE).variant(variant), late)?;
    }
    Ok(())
}

/// Processes that cycle for two seconds each, on one thread.
fn processes(subject: &mut Subject, count: usize) -> Result<Ran> {
    let children = (0..count).map(|_| child::start(Task::QueueCycles, subject.kind.name, &subject.folder, 0));
    let children = children.collect::<Result<Vec<_>>>()?;
    let (mut done, mut late) = (0, Vec::new());
    for child in children {
        let output = child.wait_with_output()?;
        ensure!(output.status.success(), "a child failed");
        let text = String::from_utf8(output.stdout)?;
        let (cycles, micros) = text.trim().split_once(' ').context("a child said nothing")?;
        done += cycles.parse::<u64>()?;
        late.push(Duration::from_micros(micros.parse()?));
    }
    subject.done += done;
    Ok(Ran { engine: subject.kind.name, count, time: CHILD_TIME.div_f64(done as f64), late })
}
