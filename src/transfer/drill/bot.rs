//! The process of a drill's bot. Until it is killed it enqueues, claims and completes, and prints a line for each
//! operation that the store acknowledged. A failed deployment is such a process too.

use std::io::Write;
use std::path::Path;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use serde_json::json;

use crate::engine::store::Store;
use crate::error::{Error, Result};
use crate::recovery::upkeep::scheduler::{Scheduler, SchedulerOptions};
use crate::state::ids::{BotId, TaskId};
use crate::state::queue::{ClaimOptions, NewTask, Priority};

/// The duration of a task.
const WORK: Duration = Duration::from_millis(5);
/// The lease is longer than a drill: the tasks of a dead bot return because it is dead, not because its lease ends.
const LEASE: Duration = Duration::from_secs(60 * 60);
/// The name under which a process is a wrong deployment instead of a bot.
pub(super) const DEPLOYMENT: &str = "deployment";
/// The line of a bot once the store is open.
pub(super) const OPEN: &str = "open";
/// The line for a task that it enqueued.
pub(super) const PUT: &str = "put";
/// The line for a task that it claimed.
pub(super) const HOLD: &str = "hold";
/// The line for a task that it completed.
pub(super) const DONE: &str = "done";

/// Runs the bots of a drill on the copy at `path`, in this many threads, until they are killed. The program of
/// [`DrillOptions::new`](crate::DrillOptions::new) calls it. `out` must be its standard output. With the name
/// `deployment` it damages configuration and registry instead, and fails.
///
/// # Errors
///
/// As [`Store::open`] and [`Store::write`]; `Io` when its output is not read any more.
pub fn drill_bot(path: &Path, name: &str, threads: usize, out: &mut dyn Write) -> Result<()> {
    let store = Store::options().create(false).open(path)?;
    if name == DEPLOYMENT {
        return spoil(&store);
    }
    // An ordinary process returns the tasks of dead bots.
    let options =
        SchedulerOptions { backup_interval: None, retain: false, fire_schedules: false, ..SchedulerOptions::default() };
    let _scheduler = Scheduler::start(store.clone(), options)?;
    let (say, said) = mpsc::channel();
    std::thread::scope(|scope| {
        let bots: Vec<_> = (0..threads.max(1))
            .map(|thread| {
                let (store, say) = (&store, say.clone());
                scope.spawn(move || work(store, &format!("{name}-{thread}"), &say))
            })
            .collect();
        drop(say);
        let told = tell(&said, out);
        // The output is not read any more: the bots end with their next line.
        drop(said);
        let worked = bots.into_iter().try_for_each(|bot| bot.join().map_err(|_| Error::conflict("a bot panicked"))?);
        told.and(worked)
    })
}

/// Writes the lines of the bots.
fn tell(said: &Receiver<String>, out: &mut dyn Write) -> Result<()> {
    writeln!(out, "{OPEN} -")?;
    out.flush()?;
    for line in said {
        writeln!(out, "{line}")?;
        out.flush()?;
    }
    Ok(())
}

fn work(store: &Store, name: &str, say: &Sender<String>) -> Result<()> {
    let bot = BotId::new(name)?;
    let options = ClaimOptions { lease: LEASE, ..ClaimOptions::default() };
    // The line follows the acknowledgement of the store.
    let said = |what, id: &str| say.send(format!("{what} {id}")).map_err(|_| Error::conflict("nobody listens"));
    for number in 0u64.. {
        let id = format!("{name}-{}-{number}", std::process::id());
        let task = NewTask::new("drill").id(TaskId::new(&id)?).priority(Priority::P0);
        store.write(|tx| tx.queue().enqueue(task))?;
        said(PUT, &id)?;
        for claim in store.write(|tx| tx.queue().claim(&bot, &options))? {
            said(HOLD, claim.id.as_str())?;
            std::thread::sleep(WORK);
            store.write(|tx| tx.queue().complete(&claim.id, claim.token, json!(null)))?;
            said(DONE, claim.id.as_str())?;
        }
    }
    Ok(())
}

/// A deployment that fails half-way.
fn spoil(store: &Store) -> Result<()> {
    store.write(|tx| {
        let keys = tx.config().list().map(|entry| Ok(entry?.0)).collect::<Result<Vec<_>>>()?;
        keys.iter().try_for_each(|key| tx.config().put(key, &json!("spoilt by a deployment")))?;
        let bots = tx.registry().list().map(|bot| Ok(bot?.id)).collect::<Result<Vec<_>>>()?;
        bots.iter().step_by(2).try_for_each(|bot| tx.registry().remove(bot).map(drop))?;
        tx.config().put("drill-release", &json!("1.3"))
    })?;
    Err(Error::conflict("the deployment failed on purpose"))
}
