//! Processes that die during their work.

use std::time::Instant;

use crate::engine::store::Store;
use crate::error::Result;
use crate::state::ids::TaskId;
use crate::state::queue::TaskState;
use crate::transfer::drill::bot::{DONE, HOLD};
use crate::transfer::drill::bots::{Heard, held, wait_until};
use crate::transfer::drill::loss;
use crate::transfer::drill::report::Measured;
use crate::transfer::drill::stage::Stage;

/// The number of bots in the process that is killed.
const THREADS: usize = 4;

/// One of two bots is killed while it holds a task. Recovery ends when the dead bot holds nothing any more and the
/// other has completed another task.
pub(super) fn bot_killed(stage: &Stage<'_>) -> Result<Measured> {
    let mut other = stage.bots("drill-other", 1)?;
    other.wait_for_done(stage.watch, 5)?;
    let mut bot = stage.bots("drill-bot", 1)?;
    bot.wait_for_done(stage.watch, 20)?;
    bot.wait_until(stage.watch, |heard| heard.last().is_some_and(|heard| heard.what == HOLD))?;
    let (killed, heard) = bot.kill()?;
    let held = held(&heard);
    let store = stage.look()?;
    wait_until(stage.watch, || is_free(&store, &held))?;
    let freed = Instant::now();
    other.wait_until(stage.watch, |heard| heard.iter().any(|heard| heard.what == DONE && heard.at > freed))?;
    let recovery = killed.elapsed();
    let (end, others) = other.kill()?;
    let view = store.view()?;
    let lost = loss::of_told(&view, &heard, killed)?.and(loss::of_told(&view, &others, end)?);
    let notes = vec![told(&heard, killed), format!("tasks that the bot held when it died: {}", held.len())];
    Ok(Measured { recovery, loss: lost, notes })
}

/// Whether the dead bot holds none of these tasks.
fn is_free(store: &Store, held: &[String]) -> Result<bool> {
    let view = store.view()?;
    for task in held {
        let task = view.queue().get(&TaskId::new(task)?)?;
        let dead = |bot: &str| bot.starts_with("drill-bot-");
        if task.is_some_and(|task| {
            task.state == TaskState::Claimed && task.holder.is_some_and(|holder| dead(holder.bot.as_str()))
        }) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The process with all bots is killed. Recovery ends when the next one has completed a task.
pub(super) fn process_killed(stage: &Stage<'_>) -> Result<Measured> {
    let mut process = stage.bots("drill-all", THREADS)?;
    process.wait_for_done(stage.watch, 100)?;
    let (killed, heard) = process.kill()?;
    let mut next = stage.bots("drill-next", THREADS)?;
    next.wait_for_done(stage.watch, 1)?;
    let recovery = killed.elapsed();
    let (end, since) = next.kill()?;
    let store = stage.look()?;
    let view = store.view()?;
    let lost = loss::of_told(&view, &heard, killed)?.and(loss::of_told(&view, &since, end)?);
    Ok(Measured { recovery, loss: lost, notes: vec![told(&heard, killed)] })
}

/// The operations acknowledged before its death, all of which were looked up.
fn told(heard: &[Heard], killed: Instant) -> String {
    let before = heard.iter().filter(|heard| heard.what != HOLD && heard.at <= killed).count();
    format!("writes acknowledged before: {before}")
}
