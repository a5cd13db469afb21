//! Work that was finished after the point to which a restore or an import goes back: how much of it would run again or
//! be forgotten, and how it stays as it is instead. A plan counts with it too, so that both give the same.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::engine::records::Records;
use crate::engine::schema::CollectionId;
use crate::engine::write::WriteTx;
use crate::error::Result;
use crate::recovery::diff::Counts;
use crate::state::assignments;
use crate::state::queue::{Task, was_finished};
use crate::text::counted_as;

/// The finished work that a restore or an import meets.
#[derive(Default)]
pub(crate) struct Finished {
    /// Whether it stays as it is.
    keep: bool,
    /// Tasks that have finished since the point and would run again, those too that were purged meanwhile.
    pub(crate) run_again: u64,
    /// Tasks that came and finished after the point and would be forgotten, with their idempotency keys.
    pub(crate) forgotten: u64,
    /// Changes that were counted and are not made after all.
    tasks: Counts,
    assignments: u64,
    /// The idempotency keys of tasks that stay.
    keys: BTreeSet<String>,
    /// Tasks that come back with an idempotency key, by that key.
    returning: BTreeMap<String, Vec<Returning>>,
}

/// What becomes of a task that differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is what it was at the point.
    AsAtPoint,
    /// It stays finished, as it is now.
    Stays,
    /// It was finished and purged since, and does not come back.
    LeftOut,
}

/// A task that comes back.
struct Returning {
    key: Vec<u8>,
    assigned: bool,
}

/// What finished work is to stay, besides what the point holds.
#[derive(Default)]
pub(crate) struct KeptFinished {
    /// Tasks as they were when they had finished.
    pub(crate) tasks: Vec<Vec<u8>>,
    /// Tasks of the point that do not come back.
    pub(crate) left_out: Vec<Vec<u8>>,
}

impl Finished {
    /// With the choice whether finished work stays.
    pub(crate) fn new(keep: bool) -> Self {
        Self { keep, ..Self::default() }
    }

    /// A task that differs: what it is at the point, and what it is now. Says what becomes of it. Which purged tasks had
    /// been finished is asked of `records`.
    ///
    /// # Errors
    ///
    /// `Damaged` when one of them is no task.
    pub(crate) fn see<R: Records>(
        &mut self,
        records: R,
        key: &[u8],
        then: Option<&[u8]>,
        now: Option<&[u8]>,
    ) -> Result<Fate> {
        let read = |payload| Task::from_record(key, payload);
        match (then.map(read).transpose()?, now.map(read).transpose()?) {
            (then, Some(now)) if now.state.is_finished() => Ok(self.see_finished(then.as_ref(), now)),
            (Some(then), None) if !then.state.is_finished() && was_finished(records, &then.id)? => {
                Ok(self.see_purged(&then))
            }
            (Some(then), None) => {
                self.see_returning(key, then);
                Ok(Fate::AsAtPoint)
            }
            _ => Ok(Fate::AsAtPoint),
        }
    }

    fn see_purged(&mut self, then: &Task) -> Fate {
        self.run_again += 1;
        self.tasks.added += 1;
        self.assignments += u64::from(assignments::key_of(then).is_some());
        if self.keep { Fate::LeftOut } else { Fate::AsAtPoint }
    }

    fn see_finished(&mut self, then: Option<&Task>, now: Task) -> Fate {
        match then {
            Some(then) => {
                self.run_again += u64::from(!then.state.is_finished());
                self.tasks.changed += 1;
                self.assignments += u64::from(assignments::key_of(then).is_some());
            }
            None => {
                self.forgotten += 1;
                self.tasks.removed += 1;
            }
        }
        self.keys.extend(now.idempotency_key);
        if self.keep { Fate::Stays } else { Fate::AsAtPoint }
    }

    fn see_returning(&mut self, key: &[u8], then: Task) {
        let assigned = assignments::key_of(&then).is_some();
        if let (true, Some(name)) = (self.keep, then.idempotency_key) {
            self.returning.entry(name).or_default().push(Returning { key: key.to_vec(), assigned });
        }
    }

    /// Once every task was seen: those of the point that do not come back, because their idempotency key was given to a
    /// task that stays.
    pub(crate) fn left_out(&mut self) -> Vec<Vec<u8>> {
        let mut left_out = Vec::new();
        for (name, tasks) in std::mem::take(&mut self.returning) {
            if self.keys.contains(&name) {
                self.tasks.added += tasks.len() as u64;
                self.assignments += tasks.iter().filter(|task| task.assigned).count() as u64;
                left_out.extend(tasks.into_iter().map(|task| task.key));
            }
        }
        left_out
    }

    /// Takes the changes that are not made after all from those that were counted.
    pub(crate) fn correct(&self, counts: &mut BTreeMap<String, Counts>) {
        if !self.keep {
            return;
        }
        if let Some(tasks) = CollectionId::QUEUE.built_in_name().and_then(|name| counts.get_mut(name)) {
            tasks.added = tasks.added.saturating_sub(self.tasks.added);
            tasks.changed = tasks.changed.saturating_sub(self.tasks.changed);
            tasks.removed = tasks.removed.saturating_sub(self.tasks.removed);
        }
        if let Some(assignments) = CollectionId::ASSIGNMENTS.built_in_name().and_then(|name| counts.get_mut(name)) {
            assignments.added = assignments.added.saturating_sub(self.assignments);
        }
        counts.retain(|_, counts| counts.total() > 0);
    }
}

/// The line of a plan that tells of finished work; none where there is none.
pub(crate) fn write_finished(f: &mut fmt::Formatter<'_>, run_again: u64, forgotten: u64, keep: bool) -> fmt::Result {
    let would = |tasks: u64, what: &str| (tasks > 0).then(|| format!("{tasks} would {what}"));
    let parts = match keep {
        true => vec![format!("{} finished", counted_as(run_again + forgotten, "stays", "stay"))],
        false => [would(run_again, "run again"), would(forgotten, "be forgotten")].into_iter().flatten().collect(),
    };
    if run_again + forgotten == 0 {
        return Ok(());
    }
    writeln!(f, "  finished tasks since then: {}", parts.join(", "))
}

impl KeptFinished {
    /// Notes what becomes of a task: the work of one that stays, as it is now.
    pub(crate) fn note(&mut self, fate: Fate, key: &[u8], now: Option<&[u8]>) {
        match fate {
            Fate::AsAtPoint => {}
            Fate::Stays => self.tasks.extend(now.map(<[u8]>::to_vec)),
            Fate::LeftOut => self.left_out.push(key.to_vec()),
        }
    }

    /// Makes it so, in a state that is otherwise the point's.
    ///
    /// # Errors
    ///
    /// As [`crate::Store::write`].
    pub(crate) fn put(self, tx: &mut WriteTx<'_>) -> Result<()> {
        self.left_out.iter().try_for_each(|key| tx.queue().leave_out(key))?;
        self.tasks.iter().try_for_each(|task| tx.queue().keep_finished(task))
    }
}
