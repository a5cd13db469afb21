//! A worker: typed payloads, failures that come again and failures that do not, a poison task, events, and a clean
//! stop.
#![expect(clippy::print_stdout, clippy::panic, reason = "an example shows what it does, a failure too")]

use std::time::Duration;

use hivekeep::{BotId, Job, JobFailure, NewTask, Retry, Store, WorkerEvent};
use serde::Deserialize;
use serde_json::json;

#[derive(Deserialize)]
struct Build {
    commit: String,
    #[serde(default)]
    kind: String,
}

fn build(job: &Job) -> Result<String, JobFailure> {
    let build: Build = job.payload_as()?;
    match build.kind.as_str() {
        "flaky" if job.attempt() == 1 => {
            Err(JobFailure::new("no answer").retry(Retry::After(Duration::from_millis(10))))
        }
        "unknown" => Err(JobFailure::new("no such branch").retry(Retry::Never)),
        "poison" => panic!("this task breaks its function"),
        _ => Ok(format!("built {}", build.commit)),
    }
}

fn main() -> hivekeep::Result<()> {
    let folder = std::env::temp_dir().join(format!("hivekeep-worker-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let store = Store::open(folder.join("fleet.redb"))?;
    let task = |kind: &str| NewTask::new(json!({"commit": "4f2a", "kind": kind}));
    store.enqueue_all(vec![task("plain"), task("flaky"), task("unknown"), task("poison").max_attempts(1)])?;

    let worker = store
        .worker(&BotId::new("BOT-1")?)
        .concurrency(4)
        .lease(Duration::from_secs(30))
        .on_event(|event| {
            if let WorkerEvent::Ended { task, took, .. } = event {
                println!("{} is {} after {} ms", task.id, task.state.as_str(), took.as_millis());
            }
        })
        .start(build)?;
    while store.view()?.queue().counts()?.done < 2 {
        std::thread::sleep(Duration::from_millis(10));
    }
    let counts = worker.stop(Duration::from_secs(10));
    assert_eq!((counts.done, counts.failed, counts.panicked, counts.running), (2, 3, 1, 0));

    store.close()?;
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}
