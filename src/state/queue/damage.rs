//! Tasks that cannot be read: what is whole goes on without them, and they are named when nothing else could be done.

use crate::engine::records::{KeyRange, Records, is_full};
use crate::engine::schema::Table;
use crate::engine::write::WriteTx;
use crate::error::{Error, ErrorKind, Result};
use crate::state::assignments;
use crate::state::ids::TaskId;
use crate::state::queue::task::{Task, TaskState};
use crate::state::queue::{Queue, keys};

/// So many rows of the index are looked at together.
const LOOK: usize = 256;

/// The damage that was met on the way, of which the first is kept.
#[derive(Debug, Default)]
pub(super) struct PassedOver(Option<Error>);

impl PassedOver {
    /// What was read, or none when it is damaged.
    pub(super) fn whole<T>(&mut self, read: Result<T>) -> Result<Option<T>> {
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
    pub(super) fn nothing(&self) -> bool {
        self.0.is_none()
    }

    /// Tells of the damage, unless something was done in spite of it: then somebody else will hear of it.
    pub(super) fn unless(self, done: bool) -> Result<()> {
        match self.0 {
            Some(error) if !done => Err(error),
            _ => Ok(()),
        }
    }

    /// Tells of the damage in the log, where nothing may fail for it.
    pub(super) fn warn(self, what: &str) {
        if let Some(error) = self.0 {
            tracing::warn!(%error, "{what}");
        }
    }
}

#[expect(private_bounds, reason = "what a queue is read from is the crate's own matter")]
impl<R: Records> Queue<R> {
    /// The task that a row of the index names, which must be in the state that the row is of. Its assignment is read too,
    /// so that no change of the task stops half-way.
    pub(super) fn changeable(&self, id: &TaskId, state: TaskState) -> Result<Task> {
        let task = self.indexed(id)?;
        if task.state != state {
            let is = task.state;
            return Err(Error::damaged(format!(
                "the index names a task that is not {state}; run check: task={id} state={is}"
            )));
        }
        assignments::read_for(&self.records, &task)?;
        Ok(task)
    }
}

impl Queue<&mut WriteTx<'_>> {
    /// Changes at most `limit` tasks that the index names in a range, passing over those that are damaged; gives how many.
    pub(super) fn sweep(
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
