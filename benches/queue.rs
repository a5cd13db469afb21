//! The cost of batches, of the claim of the next task, and of waiting: `cargo bench --bench queue`.
//!
//! Every task is on the disk before its call returns, and is counted at the end.

#![expect(clippy::unwrap_used, reason = "a benchmark stops at what it does not expect")]

use std::time::{Duration, Instant};

use hivekeep::{AsyncStore, BotId, ClaimOptions, NewTask, Store};
use serde_json::json;

/// The tasks of each way of pushing.
const TASKS: u64 = 1_000;
/// The tasks of each way of working.
const CYCLES: u64 = 300;
/// The bots that wait.
const WAITING: usize = 1_000;
/// How long they wait while nothing happens.
const IDLE: Duration = Duration::from_secs(5);
/// The tasks that wake one of them each.
const WOKEN: usize = 50;
/// Repeats of each way; the median counts.
const ROUNDS: usize = 3;

fn main() {
    let single = median(|| pushed(|store| (0..TASKS).for_each(|number| push(store, number))));
    let batch = median(|| pushed(|store| drop(store.enqueue_all((0..TASKS).map(task).collect()).unwrap())));
    println!("push/single/{TASKS}            {}", shown(single));
    println!("push/batch/{TASKS}             {}  {:.1} times faster", shown(batch), ratio(single, batch));
    let apart = median(|| worked(false));
    let together = median(|| worked(true));
    println!("cycle/complete, claim/{CYCLES}    {}", shown(apart));
    println!("cycle/complete_and_claim/{CYCLES} {}  {:.2} times faster", shown(together), ratio(apart, together));
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap().block_on(waiting());
}

fn task(number: u64) -> NewTask {
    NewTask::new(json!({"build": number, "text": "x".repeat(200)}))
}

fn push(store: &Store, number: u64) {
    store.write(|tx| tx.queue().enqueue(task(number))).unwrap();
}

fn ratio(slow: Duration, fast: Duration) -> f64 {
    slow.as_secs_f64() / fast.as_secs_f64()
}

fn shown(time: Duration) -> String {
    format!("{:9.2} ms", time.as_secs_f64() * 1_000.0)
}

fn median(measure: impl Fn() -> Duration) -> Duration {
    let mut times: Vec<_> = (0..ROUNDS).map(|_| measure()).collect();
    times.sort();
    times[ROUNDS / 2]
}

fn pushed(work: impl FnOnce(&Store)) -> Duration {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("h.redb")).unwrap();
    let began = Instant::now();
    work(&store);
    let took = began.elapsed();
    assert_eq!(store.view().unwrap().queue().counts().unwrap().ready, TASKS);
    took
}

/// One bot does tasks one after the other.
fn worked(together: bool) -> Duration {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("h.redb")).unwrap();
    store.enqueue_all((0..CYCLES).map(task).collect()).unwrap();
    let (bot, options) = (BotId::new("BOT-1").unwrap(), ClaimOptions::default());
    let claim = || store.write(|tx| tx.queue().claim(&bot, &options)).unwrap().pop();
    let began = Instant::now();
    let mut next = claim();
    while let Some(own) = next {
        next = if together {
            store.complete_and_claim(&own.id, own.token, 1, &options, Duration::ZERO).unwrap().claims.pop()
        } else {
            store.write(|tx| tx.queue().complete(&own.id, own.token, 1)).unwrap();
            claim()
        };
    }
    let took = began.elapsed();
    assert_eq!(store.view().unwrap().queue().counts().unwrap().done, CYCLES);
    took
}

/// The processor time of this process so far.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    // Behind the name: user and system time are the 12th and the 13th, in hundredths of a second.
    let behind = stat.rsplit_once(')').unwrap().1;
    let ticks = behind.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap());
    Duration::from_millis(10 * ticks.sum::<u64>())
}

/// Many bots wait; nothing happens for a while, and then one task after the other comes.
async fn waiting() {
    let folder = tempfile::tempdir().unwrap();
    let store = AsyncStore::open(folder.path().join("h.redb")).await.unwrap();
    let (told, mut tells) = tokio::sync::mpsc::unbounded_channel();
    for number in 0..WAITING {
        let (store, told) = (store.clone(), told.clone());
        tokio::spawn(async move {
            let bot = BotId::new(format!("BOT-{number}")).unwrap();
            let options = ClaimOptions::default();
            if let Ok(claims) = store.claim_wait(&bot, &options, Duration::from_secs(600)).await {
                told.send((claims.len(), Instant::now())).unwrap();
            }
        });
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = cpu();
    tokio::time::sleep(IDLE).await;
    let share = (cpu() - before).as_secs_f64() / IDLE.as_secs_f64() * 100.0;
    println!("wait/idle/{WAITING} bots         {share:9.2} % of a core");

    let before = cpu();
    let mut times = Vec::new();
    for number in 0..WOKEN {
        store.write(move |tx| tx.queue().enqueue(task(number as u64))).await.unwrap();
        let committed = Instant::now();
        let (claims, at) = tells.recv().await.unwrap();
        assert_eq!(claims, 1);
        times.push(at.saturating_duration_since(committed));
    }
    times.sort();
    println!("wait/woken/median           {}", shown(times[WOKEN / 2]));
    println!("wait/woken/slowest          {}", shown(times[WOKEN - 1]));
    println!("wait/woken/cpu of each      {}", shown((cpu() - before) / u32::try_from(WOKEN).unwrap()));
    let done = store.read(|view| view.queue().counts()).await.unwrap();
    assert_eq!((done.claimed, done.ready), (WOKEN as u64, 0));
    store.close().await.unwrap();
}
