//! The order in which a claim takes ready tasks, with aging or without.
//!
//! A lane has one line for each priority. Within a line the order of the tasks is fixed. The most urgent first task of
//! all lines goes first.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::time::Duration;

use jiff::Timestamp;

use crate::engine::records::{Records, scan_rows};
use crate::engine::schema::Table;
use crate::error::Result;
use crate::state::ids::TaskId;
use crate::state::queue::tasks::damage::PassedOver;
use crate::state::queue::tasks::lane::Lane;
use crate::state::queue::tasks::saving::Queue;
use crate::state::queue::tasks::task::{Priority, Task};

/// The sequence of the next task of each priority.
pub(in crate::state::queue) type Positions = [u64; Priority::ALL.len()];

/// The positions in front of every task of a lane.
pub(in crate::state::queue) const FROM_THE_FIRST: Positions = [0; Priority::ALL.len()];
/// No task of a priority has this sequence.
const NONE_LEFT: u64 = u64::MAX;

/// The rank of a task: its priority with aging, its sequence, and its id.
type Rank = (u8, u64, TaskId);

/// Ready tasks in the order in which a claim takes them.
pub(in crate::state::queue) struct Order<'q, R> {
    queue: &'q Queue<R>,
    now: Timestamp,
    aging: Option<Duration>,
    lines: Vec<Line<'q>>,
    /// The next task of each line.
    heads: BinaryHeap<Reverse<(Rank, usize)>>,
}

/// The tasks of one lane and one priority.
struct Line<'q> {
    rows: Box<dyn Iterator<Item = Result<Rank>> + 'q>,
    next_row: Option<Rank>,
    /// Tasks that the next claim makes ready first; their rows are elsewhere yet.
    coming: VecDeque<Task>,
}

impl<'q> Line<'q> {
    fn of<R: Records>(queue: &'q Queue<R>, lane: &Lane, priority: Priority, from: u64) -> Result<Self> {
        let lane = lane.clone();
        let rows = scan_rows(&queue.records, Table::Index, lane.rows_from(priority, from));
        let mut rows = Box::new(rows.map(move |row| row.and_then(|(row, _)| lane.place_of(&row))));
        let next_row = rows.next().transpose()?;
        Ok(Self { rows, next_row, coming: VecDeque::new() })
    }

    /// The next task, and the time since which it is ready if that is known without reading the task.
    fn next(&mut self) -> Result<Option<(Rank, Option<Timestamp>)>> {
        let next_row = self.next_row.as_ref().map_or(u64::MAX, |(_, sequence, _)| *sequence);
        if let Some(task) = self.coming.pop_front_if(|task| task.sequence < next_row) {
            return Ok(Some(((task.priority as u8, task.sequence, task.id), task.ready_since)));
        }
        let next = std::mem::replace(&mut self.next_row, self.rows.next().transpose()?);
        Ok(next.map(|place| (place, None)))
    }
}

impl<'q, R: Records> Order<'q, R> {
    /// All tasks of some lanes, with the tasks that the next claim makes ready first.
    pub(in crate::state::queue) fn of(
        queue: &'q Queue<R>,
        lanes: &[Lane],
        mut coming: Vec<Task>,
        aging: Option<Duration>,
        passed: &mut PassedOver,
    ) -> Result<Self> {
        let mut lines = BTreeMap::new();
        coming.sort_unstable_by_key(|task| task.sequence);
        let coming = coming.into_iter().map(|task| (Lane::of(task.assigned_to.as_ref(), &task.capabilities), task));
        let coming: Vec<_> = coming.collect();
        for lane in lanes.iter().chain(coming.iter().map(|(lane, _)| lane)) {
            for priority in Priority::ALL {
                if let std::collections::btree_map::Entry::Vacant(free) = lines.entry((lane.clone(), priority)) {
                    free.insert(Line::of(queue, lane, priority, 0)?);
                }
            }
        }
        for (lane, task) in coming {
            if let Some(line) = lines.get_mut(&(lane, task.priority)) {
                line.coming.push_back(task);
            }
        }
        Self::begin(queue, lines.into_values().collect(), queue.now(), aging, passed)
    }

    /// The tasks of one lane from these positions on, aged to that time.
    pub(in crate::state::queue) fn in_lane(
        queue: &'q Queue<R>,
        lane: &Lane,
        from: &Positions,
        now: Timestamp,
        aging: Option<Duration>,
    ) -> Result<Self> {
        let lines = Priority::ALL.into_iter().zip(from).map(|(priority, from)| Line::of(queue, lane, priority, *from));
        Self::begin(queue, lines.collect::<Result<_>>()?, now, aging, &mut PassedOver::default())
    }

    fn begin(
        queue: &'q Queue<R>,
        lines: Vec<Line<'q>>,
        now: Timestamp,
        aging: Option<Duration>,
        passed: &mut PassedOver,
    ) -> Result<Self> {
        let count = lines.len();
        let mut order = Self { queue, now, aging, lines, heads: BinaryHeap::with_capacity(count) };
        (0..count).try_for_each(|line| order.line_up(line, passed))?;
        Ok(order)
    }

    /// The next task.
    pub(in crate::state::queue) fn next(&mut self, passed: &mut PassedOver) -> Result<Option<TaskId>> {
        let Some(Reverse(((_, _, id), line))) = self.heads.pop() else { return Ok(None) };
        self.line_up(line, passed)?;
        Ok(Some(id))
    }

    /// The positions of the next tasks of one lane; none when no task is left.
    pub(in crate::state::queue) fn positions(&self) -> Option<Positions> {
        let mut positions = [NONE_LEFT; Priority::ALL.len()];
        for Reverse(((_, sequence, _), line)) in &self.heads {
            *positions.get_mut(*line)? = *sequence;
        }
        (!self.heads.is_empty()).then_some(positions)
    }

    /// Adds the next task of a line to the heads.
    fn line_up(&mut self, line: usize, passed: &mut PassedOver) -> Result<()> {
        let next = self.lines.get_mut(line).map_or(Ok(None), Line::next)?;
        let Some(((priority, sequence, id), ready)) = next else { return Ok(()) };
        let priority = match (self.aging, ready) {
            (None, _) => priority,
            (Some(period), Some(ready)) => aged(priority, Some(ready), self.now, period),
            (Some(period), None) => {
                let task = passed.whole(self.queue.indexed(&id))?;
                let ready = task.map(|task| task.ready_since.unwrap_or(task.enqueued_at));
                aged(priority, ready, self.now, period)
            }
        };
        self.heads.push(Reverse(((priority, sequence, id), line)));
        Ok(())
    }
}

/// The priority of a task that has been ready since a time: one less, which is more urgent, for each full period.
fn aged(priority: u8, ready: Option<Timestamp>, now: Timestamp, period: Duration) -> u8 {
    let waited = ready.and_then(|ready| Duration::try_from(now.duration_since(ready)).ok()).unwrap_or_default();
    let periods = waited.as_millis().checked_div(period.as_millis()).unwrap_or(u128::MAX);
    priority.saturating_sub(u8::try_from(periods).unwrap_or(u8::MAX))
}
