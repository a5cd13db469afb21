//! Workers on threads: every task ends, also when the function fails, panics, or outlives its lease.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::engine::store::Store;
use crate::state::ids::{BotId, TaskId};
use crate::state::queue::{NewTask, Retry, Task, TaskState};
use crate::worker::events::WorkerEvent;
use crate::worker::job::{Job, JobFailure};

const LONG: Duration = Duration::from_secs(60);

/// A store with the system's clock.
struct Hive {
    store: Store,
    _folder: tempfile::TempDir,
}

impl Hive {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::options().open_with(&folder.path().join("h.redb"), crate::state::INDEXES).unwrap();
        Self { store, _folder: folder }
    }

    fn push(&self, count: u32) -> Vec<TaskId> {
        let tasks = (0..count).map(NewTask::new).collect();
        self.store.enqueue_all(tasks).unwrap().into_iter().map(|one| one.task.id).collect()
    }

    fn task(&self, id: &TaskId) -> Task {
        self.store.view().unwrap().queue().get(id).unwrap().unwrap()
    }

    fn until(&self, what: &str, is_so: impl Fn() -> bool) {
        let began = Instant::now();
        while !is_so() {
            assert!(began.elapsed() < LONG, "it never came to be that {what}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn finished(&self) -> u64 {
        let counts = self.store.view().unwrap().queue().counts().unwrap();
        counts.done + counts.failed + counts.dead
    }
}

fn bot() -> BotId {
    BotId::new("ant").unwrap()
}

#[test]
fn several_threads_do_every_task_once_and_never_more_at_once_than_they_may() {
    let hive = Hive::new();
    let (done, most) = (Arc::new(Mutex::new(BTreeMap::<String, u32>::new())), Arc::new(AtomicUsize::new(0)));
    let now = AtomicUsize::new(0);
    // The first four are at work together, or none of them ends.
    let together = std::sync::Barrier::new(4);
    let worker = hive.store.worker(&bot()).concurrency(4).start({
        let (done, most) = (done.clone(), most.clone());
        move |job: &Job| {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            if job.payload_as::<u32>()? < 4 {
                together.wait();
            }
            *done.lock().entry(job.id().to_string()).or_default() += 1;
            now.fetch_sub(1, Ordering::SeqCst);
            Ok(job.payload_as::<u32>()? * 2)
        }
    });
    let worker = worker.unwrap();
    let ids = hive.push(60);
    hive.until("all are done", || hive.finished() == 60);
    let counts = worker.stop(LONG);
    assert_eq!((counts.claimed, counts.done, counts.running, counts.failed, counts.lost), (60, 60, 0, 0, 0));
    assert_eq!(done.lock().len(), 60);
    assert!(done.lock().values().all(|times| *times == 1));
    assert_eq!(most.load(Ordering::SeqCst), 4);
    let task = hive.task(&ids[7]);
    assert_eq!((task.result, task.finished_by), (14.into(), Some(bot())));
}

#[test]
fn a_task_costs_one_commit_when_the_next_one_is_there() {
    let hive = Hive::new();
    hive.push(20);
    let before = hive.store.commits().count();
    let worker = hive.store.worker(&bot()).start(|_: &Job| Ok(1)).unwrap();
    // Counted behind the telling of the commit.
    hive.until("all are done", || worker.counts().done == 20);
    // The first claim, and an end for each.
    assert_eq!(hive.store.commits().count() - before, 21);
    drop(worker);
}

#[test]
fn a_failure_is_retried_later_or_never_and_a_panic_is_a_failure_until_the_task_is_dead() {
    let hive = Hive::new();
    let tasks = [
        NewTask::new("later"),
        NewTask::new("never"),
        NewTask::new("panics").max_attempts(1),
        NewTask::new("of another type"),
    ];
    let ids: Vec<_> = hive.store.enqueue_all(tasks.to_vec()).unwrap().into_iter().map(|one| one.task.id).collect();
    let worker = hive.store.worker(&bot()).start(|job: &Job| match job.payload().as_str() {
        Some("later") => Err(JobFailure::new("no compiler").retry(Retry::After(LONG))),
        Some("never") => Err(JobFailure::new("no such branch").retry(Retry::Never)),
        Some("panics") => panic!("on purpose"),
        _ => Ok(job.payload_as::<u32>()?),
    });
    let worker = worker.unwrap();
    hive.until("each was tried", || worker.counts().failed == 4);
    let counts = worker.stop(LONG);
    assert_eq!((counts.failed, counts.panicked, counts.done), (4, 1, 0));
    let states: Vec<_> = ids.iter().map(|id| hive.task(id)).collect();
    assert_eq!((states[0].state, states[0].last_error.as_deref()), (TaskState::Scheduled, Some("no compiler")));
    assert_eq!(states[1].state, TaskState::Failed);
    let dead = (states[2].state, states[2].last_error.as_deref());
    assert_eq!(dead, (TaskState::Dead, Some("the function panicked: on purpose")));
    let error = states[3].last_error.clone().unwrap();
    assert!(error.starts_with("the payload is of another type: invalid type: string"), "{error}");
}

#[test]
fn a_lease_that_would_run_out_is_extended_while_the_function_works() {
    let hive = Hive::new();
    let ids = hive.push(1);
    let lease = Duration::from_secs(3);
    let worker = hive.store.worker(&bot()).lease(lease).start(move |job: &Job| {
        std::thread::sleep(lease * 4 / 3);
        assert!(!job.is_lost());
        Ok(1)
    });
    let worker = worker.unwrap();
    hive.until("it is claimed", || hive.task(&ids[0]).holder.is_some());
    let other = BotId::new("bee").unwrap();
    // A bot that would get it if the lease ran out.
    assert_eq!(hive.store.claim_wait(&other, &crate::ClaimOptions::default(), lease * 7 / 6).unwrap(), []);
    hive.until("it is done", || hive.finished() == 1);
    assert_eq!(worker.stop(LONG).done, 1);
    assert_eq!((hive.task(&ids[0]).attempts, hive.task(&ids[0]).finished_by), (1, Some(bot())));
}

#[test]
fn a_job_whose_claim_has_ended_learns_of_it_and_its_result_is_dropped() {
    let hive = Hive::new();
    let ids = hive.push(1);
    let events = Arc::new(Mutex::new(Vec::new()));
    let told = events.clone();
    let worker = hive.store.worker(&bot()).lease(Duration::from_millis(150)).on_event(move |event| {
        told.lock().push(match event {
            WorkerEvent::Begun { job } => format!("{} begun", job.id()),
            WorkerEvent::Lost { job } => format!("{} lost", job.id()),
            other => format!("{other:?}"),
        });
    });
    let worker = worker.start(|job: &Job| {
        while !job.should_stop() {
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(1)
    });
    let worker = worker.unwrap();
    hive.until("it is claimed", || hive.task(&ids[0]).holder.is_some());
    hive.store.write(|tx| tx.queue().cancel(&ids[0])).unwrap();
    hive.until("it is lost", || worker.counts().lost == 1);
    assert_eq!(worker.stop(LONG).done, 0);
    assert_eq!(*events.lock(), ["task-1 begun", "task-1 lost"]);
    assert_eq!(hive.task(&ids[0]).state, TaskState::Cancelled);
}

#[test]
fn a_stop_waits_for_the_task_in_progress_and_claims_no_other() {
    let hive = Hive::new();
    hive.push(5);
    let (began, begins) = mpsc::channel();
    let (go, waits) = mpsc::channel::<()>();
    let (began, waits) = (Mutex::new(began), Mutex::new(waits));
    let worker = hive.store.worker(&bot()).start(move |_: &Job| {
        began.lock().send(()).unwrap();
        waits.lock().recv().unwrap();
        Ok(1)
    });
    let worker = worker.unwrap();
    begins.recv().unwrap();
    worker.ask_to_stop();
    go.send(()).unwrap();
    let counts = worker.stop(LONG);
    assert_eq!((counts.claimed, counts.done, counts.running), (1, 1, 0));
    let left = hive.store.view().unwrap().queue().counts().unwrap();
    assert_eq!((left.ready, left.claimed, left.done), (4, 0, 1));
}

#[test]
fn a_stop_waits_no_longer_than_it_may_and_what_runs_goes_on() {
    let hive = Hive::new();
    let ids = hive.push(1);
    let go = Arc::new(AtomicBool::new(false));
    let waits = go.clone();
    let worker = hive.store.worker(&bot()).lease(Duration::from_millis(200)).start(move |_: &Job| {
        while !waits.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(1)
    });
    let worker = worker.unwrap();
    hive.until("it is claimed", || worker.counts().running == 1);
    let counts = worker.stop(Duration::from_millis(50));
    assert_eq!((counts.running, counts.done), (1, 0));
    // Longer than the lease.
    std::thread::sleep(Duration::from_millis(500));
    go.store(true, Ordering::SeqCst);
    hive.until("it is done", || hive.finished() == 1);
    assert_eq!(hive.task(&ids[0]).attempts, 1);
}

#[test]
fn an_idle_worker_stops_at_once_and_leaves_nothing_of_the_store_open() {
    let hive = Hive::new();
    let worker = hive.store.worker(&bot()).concurrency(8).start(|_: &Job| Ok(1)).unwrap();
    std::thread::sleep(Duration::from_millis(50));
    let began = Instant::now();
    worker.stop(LONG);
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(Arc::strong_count(&hive.store.inner), 1);
}

#[test]
fn a_worker_without_a_task_at_a_time_and_one_with_too_many_are_refused() {
    let hive = Hive::new();
    let refused = |concurrency| {
        let started = hive.store.worker(&bot()).concurrency(concurrency).start(|_: &Job| Ok(1));
        started.unwrap_err().to_string()
    };
    assert_eq!(refused(0), "a worker does at least one task at a time: concurrency=0");
    assert_eq!(refused(1_001), "the tasks of a worker at a time are too many; leave some out: count=1001 max=1000");
}
