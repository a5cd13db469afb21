//! Steps with points, restores and retention.

use std::time::Duration;

use super::super::choices::Choices;
use super::super::content::CONFIG;
use super::super::step::Shape;
use crate::clock::Clock;
use crate::engine::commit::Outcome;
use crate::engine::epoch::Epoch;
use crate::error::Result;
use crate::recovery::points::make::PointRequest;
use crate::recovery::points::selector::Selector;
use crate::recovery::retention::Policy;
use crate::state::queue::TaskState;

use super::{Acted, Fleet, Gone, KEYS, RestoreScope, return_task};

impl Fleet {
    pub(super) fn seal(&mut self, choices: &mut Choices) -> Result<Acted> {
        let held = choices.once_in(5);
        self.store.make_point(PointRequest::new("point").held(held))?;
        Ok(Acted { holds: held, ..self.acted("seal", Shape::One, self.now()) })
    }

    pub(super) fn hold(&mut self, choices: &mut Choices) -> Result<Acted> {
        let named: Vec<_> = self.store.all_points()?.into_iter().filter(|point| point.origin.is_some()).collect();
        if named.is_empty() {
            return self.change_values(choices);
        }
        let point = choices.of(&named);
        if self.known.held.contains(&point.epoch) {
            self.store.release(point)?;
            self.known.held.remove(&point.epoch);
        } else {
            self.store.hold(point)?;
            self.known.held.insert(point.epoch);
        }
        Ok(self.acted("hold or release", Shape::One, self.now()))
    }

    /// Some of the points that may be forgotten.
    pub(super) fn unheld(&self, choices: &mut Choices, most: usize) -> Vec<Epoch> {
        let free = self.known.model.points.keys().filter(|epoch| !self.known.held.contains(epoch));
        let free: Vec<_> = free.copied().collect();
        let mut chosen: Vec<Epoch> = Vec::new();
        for _ in 0..=choices.below(most) {
            chosen.extend(free.get(choices.below(free.len().max(1))));
        }
        chosen
    }

    pub(super) fn forget(&mut self, choices: &mut Choices) -> Result<Acted> {
        let chosen = self.unheld(choices, 3);
        let points = self.store.all_points()?;
        let selectors = points.iter().filter(|point| chosen.contains(&point.epoch)).map(Selector::from);
        let selectors: Vec<_> = selectors.collect();
        self.store.forget(&selectors)?;
        Ok(Acted { gone: Gone::These(chosen), ..self.acted("forget", Shape::Several, self.now()) })
    }

    /// A forgetting that stops before anything has been merged.
    pub(super) fn mark_forgotten(&mut self, choices: &mut Choices) -> Result<Acted> {
        let mut chosen = self.unheld(choices, 2);
        chosen.truncate(1);
        self.store.alone(|tx| chosen.iter().try_for_each(|epoch| tx.mark_forgotten(*epoch)).map(Outcome::Commit))?;
        Ok(Acted { gone: Gone::These(chosen), ..self.acted("mark as forgotten", Shape::One, self.now()) })
    }

    /// A little of what a forgetting has left to do.
    pub(super) fn merge(&mut self, choices: &mut Choices) -> Result<Acted> {
        let rows = 1 + choices.below(3);
        self.store.alone(|tx| Ok(Outcome::Commit(tx.drop_some(rows)? || tx.merge_some(rows)?)))?;
        Ok(self.acted("merge", Shape::One, self.now()))
    }

    pub(super) fn restore(&mut self, choices: &mut Choices) -> Result<Acted> {
        let mut points = self.store.all_points()?;
        // A backup of one kind restores that kind alone.
        points.retain(|point| point.backups.len() != 1);
        if points.is_empty() {
            return self.change_values(choices);
        }
        let point = choices.of(&points);
        let key = *choices.of(&KEYS);
        let mut scope = *choices.of(&[
            RestoreScope::Everything,
            RestoreScope::Everything,
            RestoreScope::Config,
            RestoreScope::Queue,
            RestoreScope::Key(key),
        ]);
        let then = &self.known.model.points[&point.epoch];
        let name = (CONFIG, key.to_owned());
        if !then.values.contains_key(&name) && !self.known.model.now.values.contains_key(&name) {
            scope = RestoreScope::Everything;
        }
        let mut now = scope.applied(&self.known.model.now, then);
        if matches!(scope, RestoreScope::Everything | RestoreScope::Queue) {
            now.tasks.values_mut().filter(|task| task.0 == TaskState::Claimed).for_each(return_task);
        }
        self.store.restore(point, scope.options())?;
        Ok(Acted { restored: Some(scope), ..self.acted("restore", Shape::One, now) })
    }

    pub(super) fn undo(&mut self, choices: &mut Choices) -> Result<Acted> {
        let Some((safety, scope)) = self.known.undo.last_key_value() else { return self.restore(choices) };
        let now = scope.applied(&self.known.model.now, &self.known.model.points[safety]);
        let restored = Some(*scope);
        self.store.undo_discarding()?;
        Ok(Acted { restored, ..self.acted("undo", Shape::One, now) })
    }

    pub(super) fn retain(&mut self, choices: &mut Choices) -> Result<Acted> {
        if choices.once_in(2) {
            self.clock.sleep(Duration::from_secs(45 * 60));
        }
        let policy = Policy {
            cap: Some(2),
            floor: Duration::ZERO,
            thinning: Vec::new(),
            keep_safety: Duration::ZERO,
            ..Policy::default()
        };
        let gone = self.store.retain(&policy)?.iter().map(|point| point.epoch).collect();
        Ok(Acted { gone: Gone::AndOldCommits(gone), ..self.acted("retain", Shape::Several, self.now()) })
    }
}
