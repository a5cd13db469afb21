//! A fleet at work: three processes of four bots each take tasks from one file. One process is killed on purpose, and
//! every task is done nevertheless, each exactly once.
//!
//!     cargo run --release --example fleet

use std::error::Error;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use hivekeep::{BotId, ClaimOptions, NewTask, Store, TaskCounts};
use serde_json::json;

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

const TASKS: u64 = 300;
const PROCESSES: usize = 3;
const BOTS: usize = 4;
/// The duration of a task.
const WORK: Duration = Duration::from_millis(5);
const TOO_LONG: Duration = Duration::from_secs(120);

fn main() -> Outcome {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [path, name] => work(Path::new(path), name),
        _ => supervise(),
    }
}

/// Hands out the work, starts the others, kills one, and counts.
fn supervise() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("fleet.redb");
    let store = Store::open(&path)?;
    store.write(|tx| (0..TASKS).try_for_each(|number| tx.queue().enqueue(NewTask::new(json!(number))).map(drop)))?;
    let mut fleet = (0..PROCESSES).map(|number| start(&path, number)).collect::<Outcome<Vec<_>>>()?;
    println!("{TASKS} tasks, {PROCESSES} processes of {BOTS} bots");

    let started = Instant::now();
    let (mut killed, mut crashed) = (false, 0);
    loop {
        let counts = store.view()?.queue().counts()?;
        show(&counts);
        if !killed && counts.done > TASKS / 3 {
            fleet[0].kill()?;
            killed = true;
            println!("\nprocess 0 is killed with {} tasks claimed in the fleet", counts.claimed);
        }
        // Its tasks go back to ready at once: the kernel says that it is dead, nobody waits for a lease.
        for session in store.notice_crashes()? {
            crashed += 1;
            println!("\nsession {} of process {} has crashed", session.id, session.pid);
        }
        if counts.done == TASKS {
            break;
        }
        assert!(started.elapsed() < TOO_LONG, "the fleet does not get on: {counts:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
    println!("\nall done in {:.1} s", started.elapsed().as_secs_f64());
    store.write(|tx| tx.config().put("stop", &json!(true)))?;
    for mut process in fleet {
        process.wait()?;
    }

    let counts = store.view()?.queue().counts()?;
    let again = store.view()?.queue().list().filter(|task| task.as_ref().is_ok_and(|task| task.attempts > 1)).count();
    println!("done={} lost={} begun_again={again}", counts.done, TASKS - counts.total());
    assert_eq!((counts.done, counts.total(), crashed), (TASKS, TASKS, 1));
    assert!(store.check()?.is_sound());
    store.close()?;
    Ok(())
}

fn start(path: &Path, number: usize) -> Outcome<Child> {
    Ok(Command::new(std::env::current_exe()?).arg(path).arg(number.to_string()).spawn()?)
}

/// A line that counts, on a terminal.
fn show(counts: &TaskCounts) {
    if std::io::stdout().is_terminal() {
        print!("\rready {:4}  claimed {:2}  done {:4} ", counts.ready, counts.claimed, counts.done);
        std::io::stdout().flush().unwrap_or_default();
    }
}

/// One process: its bots work until they are told to stop.
fn work(path: &Path, name: &str) -> Outcome {
    let store = Store::open(path)?;
    let bots = (0..BOTS).map(|bot| BotId::new(format!("BOT-{name}{bot}"))).collect::<hivekeep::Result<Vec<_>>>()?;
    std::thread::scope(|scope| {
        let bots: Vec<_> = bots.iter().map(|bot| scope.spawn(|| bot_at_work(&store, bot))).collect();
        bots.into_iter().try_for_each(|bot| bot.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })?;
    store.close()?;
    Ok(())
}

fn bot_at_work(store: &Store, bot: &BotId) -> hivekeep::Result<()> {
    let options = ClaimOptions::default();
    while store.view()?.config().get("stop")?.is_none() {
        for claim in store.claim_wait(bot, &options, Duration::from_millis(500))? {
            std::thread::sleep(WORK);
            store.write(|tx| tx.queue().complete(&claim.id, claim.token, json!("done")))?;
        }
    }
    Ok(())
}
