//! Damaged tasks: operations skip them, and report them only if nothing else could be done.

use crate::engine::records::{KeyRange, Records, is_full};
use crate::engine::schema::Table;
use crate::engine::write::WriteTx;
use crate::error::{Error, ErrorKind, Hint, Result};
use crate::state::assignments;
use crate::state::ids::TaskId;
use crate::state::queue::tasks::keys;
use crate::state::queue::tasks::saving::Queue;
use crate::state::queue::tasks::task::{Task, TaskState};

/// The number of index rows that are read at a time.
const LOOK: usize = 256;

/// The first damage that an operation skipped.
#[derive(Debug, Default)]
pub(in crate::state::queue) struct PassedOver(Option<Error>);

impl PassedOver {
    /// Unwraps a value that was read; none when it is damaged.
    pub(in crate::state::queue) fn whole<T>(&mut self, read: Result<T>) -> Result<Option<T>> {
        match read {
            Ok(whole) => Ok(Some(whole)),
            Err(error) if error.kind() == ErrorKind::Damaged => {
                self.0.get_or_insert(error);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Whether nothing was damaged.
    pub(in crate::state::queue) fn nothing(&self) -> bool {
        self.0.is_none()
    }

    /// Fails with the damage, unless the operation did something in spite of it. A later operation then reports it.
    pub(in crate::state::queue) fn unless(self, done: bool) -> Result<()> {
        match self.0 {
            Some(error) if !done => Err(error),
            _ => Ok(()),
        }
    }

    /// Logs the damage, where the operation must not fail.
    pub(in crate::state::queue) fn warn(self, what: &str) {
        if let Some(error) = self.0 {
            tracing::warn!(%error, "{what}");
        }
    }
}

#[expect(private_bounds, reason = "callers cannot name the reader behind a queue")]
impl<R: Records> Queue<R> {
    /// The task that an index row names. It must be in the state of the row. Its assignment is read too, so that a
    /// change of the task does not stop half-way.
    pub(in crate::state::queue) fn changeable(&self, id: &TaskId, state: TaskState) -> Result<Task> {
        let task = self.indexed(id)?;
        if task.state != state {
            let is = task.state;
            return Err(Error::damaged(format!(
                "the index names a task that is not {state}; check the store: task={id} state={is}"
            ))
            .with_hint(Hint::CheckStore));
        }
        assignments::read_for(&self.records, &task)?;
        Ok(task)
    }
}

impl Queue<&mut WriteTx<'_>> {
    /// Changes at most `limit` tasks of a range of the index, and skips damaged ones; returns the number of changed
    /// tasks.
    pub(in crate::state::queue) fn sweep(
        &mut self,
        mut rest: KeyRange,
        limit: usize,
        state: TaskState,
        passed: &mut PassedOver,
        change: impl Fn(&mut Self, &Task) -> Result<()>,
    ) -> Result<usize> {
        let mut changed = 0;
        while changed < limit {
            let ask = LOOK.min(limit - changed);
            let rows = self.records.rows(Table::Index, &rest, ask)?;
            for (row, _) in &rows {
                let task = keys::task_of(row).and_then(|id| self.changeable(&id, state));
                if let Some(task) = passed.whole(task)? {
                    change(self, &task)?;
                    changed += 1;
                }
            }
            match rows.last().filter(|_| is_full(&rows, ask)) {
                Some((last, _)) => rest = rest.after(last),
                None => break,
            }
        }
        Ok(changed)
    }
}
