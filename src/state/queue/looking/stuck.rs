//! Dependencies that a task waits for, and tasks that cannot proceed by themselves.

use std::time::Duration;

use crate::clock::after;
use crate::engine::records::Records;
use crate::engine::schema::Table;
use crate::error::Result;
use crate::state::ids::TaskId;
use crate::state::queue::claiming::obstacle::{NAMED, Obstacle};
use crate::state::queue::looking::reach::Fleet;
use crate::state::queue::pushing::waiting::TaskIs;
use crate::state::queue::tasks::keys;
use crate::state::queue::tasks::saving::Queue;
use crate::state::queue::tasks::task::Task;

/// The maximum number of dependencies that are looked at.
const DEPENDENCIES: usize = 10_000;
/// A dependency that nobody has enqueued within this time is reported as stuck.
const A_DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[expect(private_bounds, reason = "callers cannot name the reader behind a queue")]
impl<R: Records> Queue<R> {
    /// The dependencies that a task waits for, with their states.
    pub(in crate::state::queue) fn dependencies(&self, task: &Task) -> Result<Vec<Obstacle>> {
        let named = task.waiting_for.iter().take(NAMED).map(|other| self.dependency_on(other));
        let mut reasons = named.collect::<Result<Vec<_>>>()?;
        let more = task.waiting_for.len().saturating_sub(NAMED) as u64;
        reasons.extend((more > 0).then_some(Obstacle::DependsOnMore { tasks: more }));
        Ok(reasons)
    }

    fn dependency_on(&self, other: &TaskId) -> Result<Obstacle> {
        Ok(match self.stands(other)? {
            TaskIs::Unknown => Obstacle::dependency(other, None, false, None),
            TaskIs::Purged(state) => Obstacle::dependency(other, Some(state), true, None),
            TaskIs::Here(_) => {
                let other = self.shown(self.existing(other)?)?;
                let held_by = other.holder.map(|holder| holder.bot);
                Obstacle::dependency(&other.id, Some(other.state), false, held_by)
            }
        })
    }

    /// At most `limit` tasks that cannot proceed by themselves, each with its obstacle: a dependency that was given up,
    /// a bot that is not registered although others are, a capability that no bot has, or a dependency that nobody has
    /// enqueued for more than a day.
    ///
    /// # Errors
    ///
    /// `Damaged` when something that is read for it cannot be read; `Invalid` as of a point.
    pub fn stuck(&self, limit: usize) -> Result<Vec<(TaskId, Obstacle)>> {
        self.refuse_the_past()?;
        let (fleet, mut stuck) = (Fleet::default(), Vec::new());
        let has_registry = self.has_bots(&fleet)?;
        self.each_deserted_lane(|lane, why| {
            if has_registry || !matches!(why, Obstacle::NotRegistered { .. }) {
                for (row, _) in self.records.rows(Table::Index, &lane.rows(), limit - stuck.len())? {
                    stuck.push((keys::task_of(&row)?, why.clone()));
                }
            }
            Ok(())
        })?;
        let mut rest = keys::waiting().range();
        for _ in 0..DEPENDENCIES {
            let Some((row, _)) = self.records.rows(Table::Index, &rest, 1)?.pop().filter(|_| stuck.len() < limit)
            else {
                break;
            };
            let Some(other) = keys::waited_for(&row)? else { break };
            let why = self.dependency_on(&other)?;
            if why.cannot_come() {
                for (row, _) in
                    self.records.rows(Table::Index, &keys::waiting_for(&other).range(), limit - stuck.len())?
                {
                    let task = self.indexed(&keys::task_of(&row)?)?;
                    if !why.may_still_come() || after(task.enqueued_at, A_DAY) < self.now() {
                        stuck.push((task.id, why.clone()));
                    }
                }
            }
            rest = rest.from(&keys::behind_waiting_for(&other));
        }
        Ok(stuck)
    }
}
