//! Tasks that finished after the point of a restore or an import: counts those that would run again or be forgotten,
//! and keeps them finished on request. Plans use it too, so that plan and report agree.

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

/// The finished tasks that a restore or an import meets.
#[derive(Default)]
pub(crate) struct Finished {
    /// Whether they stay finished.
    keep: bool,
    /// Tasks that finished after the point and would run again, including those that were purged in the meantime.
    pub(crate) run_again: u64,
    /// Tasks that were created and finished after the point and would be forgotten, with their idempotency keys.
    pub(crate) forgotten: u64,
    /// Changes that were counted, but do not happen.
    tasks: Counts,
    assignments: u64,
    /// The idempotency keys of kept tasks.
    keys: BTreeSet<String>,
    /// The tasks that return with an idempotency key, by that key.
    returning: BTreeMap<String, Vec<Returning>>,
}

/// The fate of a task that differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It gets its state at the point.
    AsAtPoint,
    /// It stays finished, with its present value.
    Stays,
    /// It was finished and purged since, and does not return.
    LeftOut,
}

/// A task that returns.
struct Returning {
    key: Vec<u8>,
    assigned: bool,
}

/// The finished tasks to keep, in addition to the content of the point.
#[derive(Default)]
pub(crate) struct KeptFinished {
    /// The finished tasks, as they were before the restore.
    pub(crate) tasks: Vec<Vec<u8>>,
    /// The tasks of the point that do not return.
    pub(crate) left_out: Vec<Vec<u8>>,
}

impl Finished {
    /// Chooses whether finished tasks stay.
    pub(crate) fn new(keep: bool) -> Self {
        Self { keep, ..Self::default() }
    }

    /// Decides the fate of a task that differs, by its value at the point and its present value. The queue in `records`
    /// remembers which purged tasks had finished.
    ///
    /// # Errors
    ///
    /// `Damaged` when one of the values is not a task.
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

    /// Call this once every task was seen. Returns those tasks of the point that do not return, because a kept task has
    /// their idempotency key.
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

    /// Subtracts the changes that do not happen from those that were counted.
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

/// Writes the line of a plan about finished tasks, if there are any.
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
    /// Records the fate of a task.
    pub(crate) fn note(&mut self, fate: Fate, key: &[u8], now: Option<&[u8]>) {
        match fate {
            Fate::AsAtPoint => {}
            Fate::Stays => self.tasks.extend(now.map(<[u8]>::to_vec)),
            Fate::LeftOut => self.left_out.push(key.to_vec()),
        }
    }

    /// Keeps these tasks, in a state that is otherwise the point's.
    ///
    /// # Errors
    ///
    /// As [`crate::Store::write`].
    pub(crate) fn put(self, tx: &mut WriteTx<'_>) -> Result<()> {
        self.left_out.iter().try_for_each(|key| tx.queue().leave_out(key))?;
        self.tasks.iter().try_for_each(|task| tx.queue().keep_finished(task))
    }
}
