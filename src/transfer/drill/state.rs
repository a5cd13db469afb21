//! Mistakes: a deletion of half the queue, and a failed deployment.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::duration;
use crate::engine::commit::Outcome;
use crate::engine::schema::CollectionId;
use crate::engine::store::Store;
use crate::engine::view::View;
use crate::error::{Error, Result};
use crate::recovery::guard::GuardOptions;
use crate::recovery::points::make::PointRequest;
use crate::recovery::points::point::Point;
use crate::recovery::restore::options::RestoreOptions;
use crate::state::queue::{NewTask, TaskState};
use crate::transfer::drill::bot::DEPLOYMENT;
use crate::transfer::drill::loss::{self, Loss};
use crate::transfer::drill::report::Measured;
use crate::transfer::drill::stage::Stage;

/// The number of tasks that an empty queue gets.
const TASKS: usize = 100;
/// The collections that a deployment changes.
const DEPLOYED: [&str; 2] = ["config", "registry"];

/// Half of the tasks are deleted, and the queue is restored to the newest restore point of the real store.
pub(super) fn queue_halved(stage: &Stage<'_>) -> Result<Measured> {
    let store = stage.open()?;
    let mut notes = Vec::new();
    let mut newest = store.points()?.into_iter().next();
    if store.view()?.queue().counts()?.total() < 2 {
        store.load(|tx| (0..TASKS).try_for_each(|number| tx.queue().enqueue(NewTask::new(json!(number))).map(drop)))?;
        notes.push(format!("the queue was empty, so the drill added {TASKS} tasks and a restore point"));
        newest = None;
    } else if newest.is_none() {
        notes.push("there was no restore point, so one was made for the drill, and the loss counts from it".to_owned());
    }
    let before = store.make_point(PointRequest::new("before a drill"))?;
    let point = newest.unwrap_or_else(|| before.clone());
    let deleted = halve(&store)?;
    let disaster = Instant::now();
    store.restore(&point, RestoreOptions::new().only(["queue"]))?;
    let recovery = disaster.elapsed();
    let lost = Loss::of(tasks_lost(&store, &before)?, age_of(&store, &point));
    notes.push(format!("deleted tasks: {deleted}"));
    // The next disaster starts with the real state again.
    store.restore(&before, RestoreOptions::new())?;
    store.close()?;
    Ok(Measured { recovery, loss: lost, notes })
}

/// Deletes every other task, below the queue's own methods.
fn halve(store: &Store) -> Result<usize> {
    let keys =
        store.view()?.queue().list().step_by(2).map(|task| Ok(task?.key().to_vec())).collect::<Result<Vec<_>>>()?;
    store.alone(|tx| {
        keys.iter().try_for_each(|key| tx.remove(CollectionId::QUEUE, key).map(drop))?;
        Ok(Outcome::Commit(()))
    })?;
    Ok(keys.len())
}

fn age_of(store: &Store, point: &Point) -> Duration {
    duration::since(point.timestamp, store.clock().now())
}

/// The tasks that are missing or differ. A returned claim is not a loss.
fn tasks_lost(store: &Store, before: &Point) -> Result<u64> {
    let (then, now) = (store.at(before)?, store.view()?);
    let mut lost = 0;
    for task in then.queue().list() {
        let task = task?;
        let is_there = now.queue().get(&task.id)?.is_some_and(|now| {
            let is_open = |state: TaskState| !state.is_finished() && state != TaskState::Claimed;
            // In the meantime, a task's time may have come, or a bot.
            let goes_on = is_open(now.state) && !task.state.is_finished();
            now.payload == task.payload && (now.state == task.state || goes_on)
        });
        lost += u64::from(!is_there);
    }
    Ok(lost)
}

/// A deployment damages configuration and registry, and fails. Its guard rolls it back while a bot continues to work.
pub(super) fn deployment_undone(stage: &Stage<'_>) -> Result<Measured> {
    let mut bots = stage.bots("drill-work", 1)?;
    bots.wait_for_done(stage.watch, 3)?;
    let store = stage.open()?;
    let before = store.view()?;
    let guard = store.begin_guard(GuardOptions::new("a drill's deployment").only(DEPLOYED))?;
    let disaster = Instant::now();
    if stage.bots(DEPLOYMENT, 1)?.wait_for_end(stage.watch)?.success() {
        return Err(Error::conflict("the deployment of the drill should have failed"));
    }
    let back = guard.roll_back(&store, "the deployment failed")?;
    let recovery = disaster.elapsed();
    if back.total() == 0 {
        return Err(Error::conflict("the deployment of the drill should have changed something"));
    }
    bots.wait_for_done(stage.watch, 10)?;
    let (end, heard) = bots.kill()?;
    let now = store.view()?;
    let lost = deployed_lost(&before, &now, recovery)?.and(loss::of_told(&now, &heard, end)?);
    drop((before, now));
    store.close()?;
    Ok(Measured { recovery, loss: lost, notes: vec![format!("records rolled back: {}", back.total())] })
}

fn deployed_lost(before: &View, now: &View, age: Duration) -> Result<Loss> {
    Ok(Loss::of(loss::records(before, now, &DEPLOYED)?, age))
}
