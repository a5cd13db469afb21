//! Changes of all tasks that fit a filter, a part at a time: which tasks are next, and what is done with them.

use std::collections::VecDeque;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::engine::meta;
use crate::engine::records::Records;
use crate::engine::write::WriteTx;
use crate::error::{Error, ErrorKind, Hint, Result};
use crate::limits;
use crate::state::ids::TaskId;
use crate::state::queue::pushing::enqueue::SEQUENCE;
use crate::state::queue::tasks::filter::TaskFilter;
use crate::state::queue::tasks::saving::Queue;
use crate::state::queue::tasks::task::{Task, TaskState, choice_text};

/// The number of tasks that one transaction changes, so that no writer waits long.
const AT_ONCE: usize = 256;

/// The change of every task that fits.
///
/// # Examples
///
/// ```
/// use hivekeep::{BulkAction, TaskState};
///
/// assert_eq!("requeue".parse::<BulkAction>()?, BulkAction::Requeue);
/// assert!(BulkAction::Requeue.states().contains(&TaskState::Dead));
/// # Ok::<(), hivekeep::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BulkAction {
    /// Failed, dead and cancelled tasks become ready, as [`requeue`](Queue::requeue) makes them.
    Requeue,
    /// Tasks that are not finished are cancelled.
    Cancel,
    /// Finished tasks are removed, but for those that others wait for.
    Purge,
}

impl BulkAction {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Requeue, Self::Cancel, Self::Purge];

    /// As text and JSON show it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Requeue => "requeue",
            Self::Cancel => "cancel",
            Self::Purge => "purge",
        }
    }

    /// The states of the tasks with which it can be done.
    pub fn states(self) -> &'static [TaskState] {
        use TaskState::{Cancelled, Claimed, Dead, Done, Failed, Ready, Scheduled, Waiting};
        match self {
            Self::Requeue => &[Failed, Dead, Cancelled],
            Self::Cancel => &[Scheduled, Waiting, Ready, Claimed],
            Self::Purge => &[Done, Failed, Dead, Cancelled],
        }
    }
}

choice_text! {
    BulkAction, "a bulk change";
}

/// The tasks of a bulk change. All of them are meant only if that is said: a forgotten filter changes nothing.
///
/// # Examples
///
/// ```
/// use hivekeep::{BulkAction, BulkTasks, NewTask, Store, TaskFilter};
///
/// # let dir = tempfile::tempdir().unwrap();
/// # let store = Store::open(dir.path().join("hive.redb"))?;
/// store.enqueue_all(vec![NewTask::new("build")])?;
/// assert!(store.plan_bulk(BulkAction::Cancel, TaskFilter::default()).is_err());
/// assert_eq!(store.plan_bulk(BulkAction::Cancel, BulkTasks::All)?, 1);
/// # Ok::<(), hivekeep::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BulkTasks {
    /// All tasks in the states of the action.
    All,
    /// Those that fit this filter, which must ask for something.
    Fitting(TaskFilter),
}

impl From<TaskFilter> for BulkTasks {
    fn from(filter: TaskFilter) -> Self {
        Self::Fitting(filter)
    }
}

impl BulkTasks {
    /// The filter that fits them.
    ///
    /// # Errors
    ///
    /// `Invalid` for a filter that fits every task.
    pub(crate) fn into_filter(self) -> Result<TaskFilter> {
        match self {
            Self::All => Ok(TaskFilter::default()),
            Self::Fitting(filter) if filter.fits_all() => {
                let message = "a bulk change without a filter would be about every task; name a filter, or all tasks";
                Err(Error::invalid(message).with_hint(Hint::NameAllTasks))
            }
            Self::Fitting(filter) => Ok(filter),
        }
    }
}

/// A bulk change: what it does, with which tasks, and how far it has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BulkProgress {
    action: BulkAction,
    filter: TaskFilter,
    /// Ages count from here.
    #[serde(with = "crate::clock::time")]
    begun: Timestamp,
    /// Tasks with a higher sequence number were pushed or requeued since, and stay as they are.
    last: u64,
    /// The states whose tasks it has not seen to the end; it is at the first one.
    states: VecDeque<TaskState>,
    /// Behind it are the tasks of that state which it has not seen.
    cursor: Option<String>,
}

impl BulkProgress {
    /// Whether it has seen all tasks.
    pub(crate) fn is_over(&self) -> bool {
        self.states.is_empty()
    }

    /// Whether it is about this task, as it is now.
    fn fits(&self, task: &Task) -> bool {
        self.filter.state.is_none_or(|state| task.state == state)
            && self.action.states().contains(&task.state)
            && task.sequence <= self.last
            && self.filter.fits(task, self.begun)
    }
}

#[expect(private_bounds, reason = "callers cannot name the reader behind a queue")]
impl<R: Records> Queue<R> {
    /// A bulk change at its start.
    ///
    /// # Errors
    ///
    /// `Invalid` when it can be done with no task in the state that the filter names, and for a text that is too long.
    pub(crate) fn bulk(&self, action: BulkAction, filter: TaskFilter) -> Result<BulkProgress> {
        let texts = [("a capability", &filter.capability), ("the beginning of an id", &filter.id_prefix)];
        for (name, text) in texts {
            text.as_ref().map_or(Ok(()), |text| limits::text(name, text, limits::SHORT_BYTES))?;
        }
        let states: VecDeque<_> =
            action.states().iter().copied().filter(|own| filter.state.is_none_or(|state| state == *own)).collect();
        if let Some(state) = filter.state.filter(|_| states.is_empty()) {
            let known: Vec<_> = action.states().iter().map(|state| state.as_str()).collect();
            let known = known.join(", ");
            return Err(Error::invalid(format!("a {action} is for tasks that are {known}: state={state}")));
        }
        let last = meta::counter(&self.records, SEQUENCE)?;
        Ok(BulkProgress { action, filter, begun: self.now(), last, states, cursor: None })
    }

    /// The number of tasks that a bulk change is about now.
    pub(crate) fn bulk_count(&self, mut bulk: BulkProgress) -> Result<u64> {
        if bulk.filter.is_plain() {
            let counts = self.counts()?;
            return Ok(bulk.states.iter().map(|state| counts.of(*state)).sum());
        }
        let mut count = 0;
        while !bulk.is_over() {
            count += self.bulk_next(&mut bulk)?.len() as u64;
        }
        Ok(count)
    }

    /// The next tasks of a bulk change, which then stands behind them. There may be none although it is not over.
    pub(crate) fn bulk_next(&self, bulk: &mut BulkProgress) -> Result<Vec<TaskId>> {
        let Some(state) = bulk.states.front() else { return Ok(Vec::new()) };
        let filter = TaskFilter { state: Some(*state), ..bulk.filter.clone() };
        let page = self.page_of(&filter, bulk.cursor.as_deref(), AT_ONCE, &|task| bulk.fits(task))?;
        if page.next.is_none() {
            bulk.states.pop_front();
        }
        bulk.cursor = page.next;
        Ok(page.tasks.into_iter().map(|task| task.id).collect())
    }
}

impl Queue<&mut WriteTx<'_>> {
    /// Does it with those of these tasks that it is still about. Returns how many were changed; the others stay as they
    /// are.
    pub(crate) fn bulk_part(&mut self, bulk: &BulkProgress, ids: &[TaskId]) -> Result<u64> {
        self.together(|queue| {
            let mut changed = 0;
            for id in ids {
                changed += u64::from(queue.bulk_one(bulk, id)?);
            }
            if bulk.action == BulkAction::Purge {
                queue.forget_old(ids.len().saturating_mul(2))?;
            }
            Ok(changed)
        })
    }

    fn bulk_one(&mut self, bulk: &BulkProgress, id: &TaskId) -> Result<bool> {
        let Some(task) = self.get(id)?.filter(|task| bulk.fits(task)) else { return Ok(false) };
        let done = match bulk.action {
            BulkAction::Requeue => self.requeue(id).map(drop),
            BulkAction::Cancel => self.cancel(id).map(drop),
            BulkAction::Purge if self.is_waited_for(id)? => return Ok(false),
            BulkAction::Purge => self.erase(&task).and_then(|()| self.remember(&task)),
        };
        match done {
            // It would wait for itself.
            Err(error) if error.kind() == ErrorKind::Invalid => Ok(false),
            done => done.map(|()| true),
        }
    }
}
