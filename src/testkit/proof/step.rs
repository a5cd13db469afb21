//! The states in which a failure may leave the step that it interrupted.

use super::content::{FleetContent, Model};

/// Whether what a step does is one transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// All of it or nothing.
    One,
    /// Forgetting may stop half-way. Retained points read as they did.
    Several,
    /// Each of the calls of several threads, all of it or nothing.
    Callers,
    /// The store was closed, or its process killed, and it was opened again.
    Reopened,
}

/// A step, with what was there before it, and what is there after it.
pub(crate) struct Step<'a> {
    pub(crate) shape: Shape,
    pub(crate) before: &'a Model,
    pub(crate) after: &'a Model,
    /// Calls of several threads that had returned, by caller and number.
    pub(crate) told: Vec<(usize, u64)>,
}

impl Step<'_> {
    /// Whether what was found is what the step may leave, done or not or half-way; or why it is not.
    pub(crate) fn allows(&self, found: &Model) -> Result<(), String> {
        match self.shape {
            Shape::One if found != self.before && found != self.after => {
                return Err(match found.now == self.before.now || found.now == self.after.now {
                    true => "half a step was committed".into(),
                    false => "the state is neither that before nor that after".into(),
                });
            }
            Shape::Callers => self.allows_calls(&found.now)?,
            Shape::Several | Shape::Reopened if found.now != self.before.now && found.now != self.after.now => {
                return Err("the state differs".into());
            }
            Shape::One | Shape::Several | Shape::Reopened => {}
        }
        self.allows_points(found)
    }

    fn allows_points(&self, found: &Model) -> Result<(), String> {
        for (epoch, content) in &found.points {
            let expected = self.before.points.get(epoch).or_else(|| self.after.points.get(epoch));
            match expected {
                Some(expected) if expected == content => {}
                // Which calls share a commit is another thing each time.
                _ if self.shape == Shape::Callers && !self.before.points.contains_key(epoch) => {
                    self.allows_calls_at_a_point(content)?;
                }
                _ => return Err(format!("a point reads otherwise: epoch={epoch}")),
            }
        }
        let kept = self.before.points.keys().filter(|epoch| self.after.points.contains_key(epoch));
        match kept.clone().find(|epoch| !found.points.contains_key(epoch)) {
            Some(epoch) => Err(format!("a point was lost: epoch={epoch}")),
            None => Ok(()),
        }
    }

    /// Each call is there whole or not at all, and those that had returned are there.
    fn allows_calls(&self, found: &FleetContent) -> Result<(), String> {
        self.allows_calls_at_a_point(found)?;
        let numbers = found.of_callers().unwrap_or_default();
        match self.told.iter().find(|(caller, number)| numbers[*caller] < *number) {
            Some((caller, number)) => {
                Err(format!("an acknowledged call was lost: caller={caller} number={number} found={numbers:?}"))
            }
            None => Ok(()),
        }
    }

    fn allows_calls_at_a_point(&self, found: &FleetContent) -> Result<(), String> {
        if found.without_callers() != self.before.now.without_callers() {
            return Err("something else changed".into());
        }
        found.of_callers().map(drop).ok_or_else(|| "half a call was committed".into())
    }
}
