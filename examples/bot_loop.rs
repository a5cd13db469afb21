//! A bot that registers, claims, works and completes; that crashes with claims open; and that comes back.
//!
//! The crash is a real one: this program starts itself again as the bot and kills that process.
//!
//!     cargo run --example bot_loop

use std::error::Error;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use hivekeep::{
    Bot, BotId, ClaimOptions, ClaimOwner, NewTask, Priority, RestoreOptions, Selector, Store, TaskId, TaskState,
};
use serde_json::json;

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

const LEASE: Duration = Duration::from_secs(2);

fn main() -> Outcome {
    if let Some(path) = std::env::args().nth(1) {
        return crash_with_two_claims(Path::new(&path));
    }
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("hive.redb");
    let bot = BotId::new("BOT-1")?;

    println!("BOT-1 registers, and five tasks come in");
    let store = Store::open(&path)?;
    store.write(|tx| {
        tx.registry().put(&Bot { status: Some("active".into()), ..Bot::new(bot.clone()) })?;
        for name in ["tidy", "build", "test", "deploy", "report"] {
            let urgent = if name == "build" { Priority::P0 } else { Priority::P2 };
            let task = NewTask::new(json!({ "do": name })).id(TaskId::new(name)?).priority(urgent);
            tx.queue().enqueue(task)?;
        }
        Ok(())
    })?;

    println!("it works on the most urgent one, and somebody makes a restore point");
    assert_eq!(work(&store, &bot, 1)?, ["build"]);
    let point = store.restore_point("one done, four to go")?;
    store.close()?;

    println!("another process of it claims two, and is killed");
    let mut child = Command::new(std::env::current_exe()?).arg(&path).stdout(Stdio::piped()).spawn()?;
    let mut said = String::new();
    BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut said)?;
    assert_eq!(said, "claimed tidy and test\n");
    child.kill()?;
    child.wait()?;

    println!("the store notices the crash when it is opened next");
    let store = Store::open(&path)?;
    let crash = store.crash()?.ok_or("nobody noticed")?;
    println!("  session {} of process {} has crashed: {}", crash.session.id, crash.session.pid, crash.reason);
    println!("  the latest restore point: {}", crash.restore_point.as_deref().unwrap_or("none"));
    assert_eq!(state(&store, "tidy")?, TaskState::Ready, "it was claimed for the process, so it is back at once");
    assert_eq!(state(&store, "test")?, TaskState::Claimed, "it was claimed for a lease, which has to end first");

    println!("what was claimed for a lease comes back when that ends");
    std::thread::sleep(LEASE);
    let mut done = work(&store, &bot, 9)?;
    done.sort();
    assert_eq!(done, ["deploy", "report", "test", "tidy"]);
    let counts = store.view()?.queue().counts()?;
    assert_eq!((counts.done, counts.total()), (5, 5));
    println!("  all {} tasks are done, none was lost and none was done twice", counts.done);

    println!("a restore brings four back, and undo takes that back");
    let plan = store.plan_restore(&point, RestoreOptions::new())?;
    print!("{plan}");
    assert_eq!(plan.tasks_run_again, 4);
    store.apply(&plan)?;
    assert_eq!(store.view()?.queue().counts()?.ready, 4);
    store.undo()?;
    assert_eq!(store.view()?.queue().counts()?.done, 5);
    assert!(store.diff(&point, Selector::Now)?.counts()["queue"].changed == 4);
    store.close()?;
    Ok(())
}

/// Claims, works and completes until nothing is left, up to a limit; returns the tasks that it has done.
fn work(store: &Store, bot: &BotId, most: usize) -> Outcome<Vec<String>> {
    let mut done = Vec::new();
    let options = ClaimOptions::default();
    while done.len() < most {
        let Some(claim) = store.write(|tx| tx.queue().claim(bot, &options))?.pop() else { break };
        println!("  {} does {}, attempt {}", bot, claim.id, claim.attempts);
        store.write(|tx| tx.queue().complete(&claim.id, claim.token, json!("done")))?;
        done.push(claim.id.to_string());
    }
    Ok(done)
}

/// The other process: one claim for itself, as usual, one for a lease alone, and then nothing more.
fn crash_with_two_claims(path: &Path) -> Outcome {
    let (store, bot) = (Store::open(path)?, BotId::new("BOT-1")?);
    let for_itself = ClaimOptions::default();
    let for_lease = ClaimOptions { lease: LEASE, owner: ClaimOwner::Nobody, ..ClaimOptions::default() };
    let first = store.write(|tx| tx.queue().claim(&bot, &for_itself))?;
    let second = store.write(|tx| tx.queue().claim(&bot, &for_lease))?;
    println!("claimed {} and {}", first[0].id, second[0].id);
    std::thread::sleep(Duration::from_secs(60));
    Ok(())
}

fn state(store: &Store, task: &str) -> Outcome<TaskState> {
    let task = store.view()?.queue().get(&TaskId::new(task)?)?.ok_or("the task is lost")?;
    Ok(task.state)
}
