//! Lists of tasks, all or those in one state, in pages.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use crate::engine::digest::{from_hex, hex};
use crate::engine::records::{KeyRange, Records, Row, is_full, scan};
use crate::engine::schema::{CollectionId, Table};
use crate::error::{Error, Result};
use crate::state::ids::TaskId;
use crate::state::page::{KeyedPage, PageRoom};
use crate::state::queue::claiming::claim::ClaimOptions;
use crate::state::queue::claiming::order::{FROM_THE_FIRST, Order, Positions};
use crate::state::queue::looking::reach::Fleet;
use crate::state::queue::tasks::damage::PassedOver;
use crate::state::queue::tasks::filter::{LOOKED_MAX, TaskFilter};
use crate::state::queue::tasks::keys;
use crate::state::queue::tasks::keys::OpenRow;
use crate::state::queue::tasks::lane::Lane;
use crate::state::queue::tasks::row_key::time_key;
use crate::state::queue::tasks::saving::Queue;
use crate::state::queue::tasks::task::{Task, TaskState};

/// The number of rows that are read at a time.
const LOOK: usize = 256;

/// A page of tasks, and the cursor of the next page.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct TaskPage {
    /// The tasks.
    pub tasks: Vec<Task>,
    /// The cursor of the next page; none on the last page.
    pub next: Option<String>,
}

/// The source of a page.
enum Source {
    /// All tasks, in order of their ids.
    Tasks,
    /// All tasks, filtered by the state.
    TasksIn(TaskState),
    /// The index rows of a state.
    Index(TaskState),
}

/// The cursor of a list with aging.
struct AgedCursor {
    /// The tasks are aged to this time.
    at: Timestamp,
    /// The first lane unless set.
    lane: Option<Lane>,
    positions: Positions,
}

impl AgedCursor {
    /// The first byte of such a cursor. The rows of the queue begin with another.
    const AGED: u8 = b'a';

    fn written(&self) -> String {
        let mut bytes = vec![Self::AGED];
        bytes.extend(time_key(self.at));
        bytes.extend(self.positions.iter().flat_map(|position| position.to_be_bytes()));
        bytes.extend(self.lane.iter().flat_map(|lane| lane.as_bytes()));
        hex(&bytes)
    }

    fn read(cursor: &str) -> Option<Self> {
        let bytes = from_hex(cursor)?;
        let (at, mut rest) = keys::behind_time(bytes.strip_prefix(&[Self::AGED])?)?;
        let mut positions = FROM_THE_FIRST;
        for position in &mut positions {
            let (number, behind) = rest.split_first_chunk()?;
            (*position, rest) = (u64::from_be_bytes(*number), behind);
        }
        let lane = Lane::of_row(rest).ok().filter(|lane| lane.as_bytes() == rest)?;
        Some(Self { at, lane: Some(lane), positions })
    }
}

/// A range from behind the page that gave `cursor`.
fn resumed(source: &Source, range: KeyRange, cursor: Option<&str>) -> Result<KeyRange> {
    let Some(cursor) = cursor else { return Ok(range) };
    let is_id = |key: &[u8]| str::from_utf8(key).is_ok_and(|id| id.parse::<TaskId>().is_ok());
    range.resume(cursor, |key| matches!(source, Source::Index(_)) || is_id(key))
}

#[expect(private_bounds, reason = "callers cannot name the reader behind a queue")]
impl<R: Records> Queue<R> {
    /// Every task, in order of their ids.
    ///
    /// # Errors
    ///
    /// `Damaged` for a task that cannot be read.
    pub fn list(&self) -> impl Iterator<Item = Result<Task>> + '_ {
        let fleet = Fleet::default();
        self.stored_tasks().map(move |task| task.and_then(|task| self.shown_in(&fleet, task)))
    }

    /// Every stored task.
    pub(in crate::state::queue) fn stored_tasks(&self) -> impl Iterator<Item = Result<Task>> + '_ {
        let rows = scan(&self.records, CollectionId::QUEUE, KeyRange::all());
        rows.map(|row| row.and_then(|(key, payload)| Task::from_record(&key, &payload)))
    }

    /// A page of at most `limit` tasks (at least one), all or those in one state. `cursor` is the `next` of the
    /// previous page. A page ends early once its tasks hold 4 MiB.
    ///
    /// Without a state, tasks are in order of their ids. Ready tasks that any bot may claim are in the order of claims.
    /// Scheduled tasks are in order of their start times. Waiting tasks that no bot can do come first,
    /// then those that wait for other tasks. Claimed tasks are in order of their deadlines, finished tasks in order of
    /// the time. In a view of a point, all are in order of their ids. A task that changes between two pages may be
    /// missed or seen twice.
    ///
    /// # Errors
    ///
    /// `Invalid` for a cursor that no page of this list has given. `Damaged` for a task that cannot be read.
    ///
    /// # Examples
    ///
    /// ```
    /// use hivekeep::{NewTask, Store, TaskState};
    ///
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = Store::open(dir.path().join("hive.redb"))?;
    /// store.write(|tx| {
    ///     tx.queue().enqueue(NewTask::new("build"))?;
    ///     tx.queue().enqueue(NewTask::new("test"))
    /// })?;
    /// let view = store.view()?;
    /// let first = view.queue().page(Some(TaskState::Ready), None, 1)?;
    /// let second = view.queue().page(Some(TaskState::Ready), first.next.as_deref(), 1)?;
    /// assert_eq!((&first.tasks[0].payload, &second.tasks[0].payload), (&"build".into(), &"test".into()));
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn page(&self, state: Option<TaskState>, cursor: Option<&str>, limit: usize) -> Result<TaskPage> {
        let (source, range) = self.source_of(state);
        let range = resumed(&source, range, cursor)?;
        self.fill(&source, range, limit.max(1))
    }

    /// A page of at most `limit` ready tasks (at least one), in the order of claims with these options. Like
    /// [`page`](Self::page) of the ready tasks, but with aging.
    ///
    /// Tasks that came due since the last claim are at the end. All pages of a list age the tasks to the time of the
    /// first page.
    ///
    /// # Errors
    ///
    /// As [`page`](Self::page).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use hivekeep::{ClaimOptions, NewTask, Store};
    ///
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = Store::open(dir.path().join("hive.redb"))?;
    /// store.write(|tx| tx.queue().enqueue(NewTask::new("build")))?;
    /// let aging = ClaimOptions { aging: Some(Duration::from_secs(600)), ..ClaimOptions::default() };
    /// assert_eq!(store.view()?.queue().ready_page(&aging, None, 10)?.tasks.len(), 1);
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn ready_page(&self, options: &ClaimOptions, cursor: Option<&str>, limit: usize) -> Result<TaskPage> {
        options.check()?;
        match options.aging {
            Some(aging) if self.records.is_now() => self.aged_page(aging, cursor, limit.max(1)),
            _ => self.page(Some(TaskState::Ready), cursor, limit),
        }
    }

    /// A page of at most `limit` tasks (at least one) that fit a filter, in the order of [`page`](Self::page). A page
    /// looks at 10,000 tasks at most, so it may be short, or empty, and have a `next`.
    ///
    /// # Errors
    ///
    /// As [`page`](Self::page).
    pub fn filtered_page(&self, filter: &TaskFilter, cursor: Option<&str>, limit: usize) -> Result<TaskPage> {
        if filter.is_plain() {
            return self.page(filter.state, cursor, limit);
        }
        let now = self.records.now();
        self.page_of(filter, cursor, limit, &|task| filter.fits(task, now))
    }

    /// The same with another test of what is in the state and the place that the filter names.
    pub(in crate::state::queue) fn page_of(
        &self,
        filter: &TaskFilter,
        cursor: Option<&str>,
        limit: usize,
        fits: &dyn Fn(&Task) -> bool,
    ) -> Result<TaskPage> {
        let (source, mut range) = self.source_of(filter.state);
        if let (Source::Tasks | Source::TasksIn(_), Some(prefix)) = (&source, &filter.id_prefix) {
            range = KeyRange::prefix(prefix.as_bytes());
        }
        let range = resumed(&source, range, cursor)?;
        self.fill_with(&source, range, limit.max(1), fits)
    }

    /// A page of at most `limit` tasks (at least one) that wait for a task now, in order of their ids.
    ///
    /// # Errors
    ///
    /// `Invalid` for a cursor that no page of this list has given, and as of a point, where it is not known; `Damaged`.
    pub fn dependents(&self, id: &TaskId, cursor: Option<&str>, limit: usize) -> Result<KeyedPage<TaskId>> {
        if !self.records.is_now() {
            return Err(Error::invalid(
                "the tasks that wait for a task are known for the present only, not for a point",
            ));
        }
        let (own, limit) = (keys::waiting_for(id).range(), limit.max(1));
        let range = cursor.map_or(Ok(own.clone()), |cursor| own.resume(cursor, |_| true))?;
        let mut rows = self.records.rows(Table::Index, &range, limit.saturating_add(1))?;
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows.last().filter(|_| more).map(|(row, _)| hex(row));
        Ok(KeyedPage { items: rows.iter().map(|(row, _)| keys::task_of(row)).collect::<Result<_>>()?, next })
    }

    fn aged_page(&self, aging: Duration, cursor: Option<&str>, limit: usize) -> Result<TaskPage> {
        let AgedCursor { at, lane, positions } = match cursor {
            None => AgedCursor { at: self.now(), lane: None, positions: FROM_THE_FIRST },
            Some(cursor) => match AgedCursor::read(cursor) {
                Some(place) => place,
                // Behind the lanes the cursor is that of a list without aging.
                None => return self.page_of_due(Some(cursor), limit),
            },
        };
        let (fleet, mut page, mut room) = (Fleet::default(), TaskPage::default(), PageRoom::default());
        let mut rest = keys::ready().range();
        if let Some(lane) = &lane {
            rest = rest.from(lane.as_bytes());
        }
        while let Some((row, _)) = self.records.rows(Table::Index, &rest, 1)?.first() {
            let OpenRow::In(next) = keys::open(row)? else { break };
            rest = rest.from(&next.behind());
            if self.nobody_in(&fleet, &next)?.is_some() {
                continue;
            }
            let from = if lane.as_ref() == Some(&next) { &positions } else { &FROM_THE_FIRST };
            let mut order = Order::in_lane(self, &next, from, at, Some(aging))?;
            while let Some(positions) = order.positions() {
                if page.tasks.len() == limit || room.is_full() {
                    page.next = Some(AgedCursor { at, lane: Some(next), positions }.written());
                    return Ok(page);
                }
                if let Some(id) = order.next(&mut PassedOver::default())? {
                    let task = self.shown_in(&fleet, self.indexed(&id)?)?;
                    room.take(task.weight());
                    page.tasks.push(task);
                }
            }
        }
        self.with_due(page, limit)
    }

    /// Fills the page with tasks that are due and in no lane yet.
    fn with_due(&self, mut page: TaskPage, limit: usize) -> Result<TaskPage> {
        let left = limit - page.tasks.len();
        let due = self.page_of_due(None, left.max(1))?;
        if left > 0 {
            page.tasks.extend(due.tasks);
            page.next = due.next;
        } else if !due.tasks.is_empty() {
            page.next = Some(hex(&keys::in_front_of_delayed()));
        }
        Ok(page)
    }

    fn page_of_due(&self, cursor: Option<&str>, limit: usize) -> Result<TaskPage> {
        let rows = keys::delayed().range();
        let rows = cursor.map_or(Ok(rows.clone()), |cursor| rows.resume(cursor, |_| true))?;
        self.fill(&Source::Index(TaskState::Ready), rows, limit)
    }

    /// The rows of a list of all tasks, or of those in one state.
    fn source_of(&self, state: Option<TaskState>) -> (Source, KeyRange) {
        match state {
            None => (Source::Tasks, KeyRange::all()),
            Some(state) if self.records.is_now() => (Source::Index(state), keys::in_state(state)),
            Some(state) => (Source::TasksIn(state), KeyRange::all()),
        }
    }

    fn fill(&self, source: &Source, range: KeyRange, limit: usize) -> Result<TaskPage> {
        self.fill_with(source, range, limit, &|_| true)
    }

    fn fill_with(
        &self,
        source: &Source,
        mut range: KeyRange,
        limit: usize,
        fits: &dyn Fn(&Task) -> bool,
    ) -> Result<TaskPage> {
        let mut looked = 0;
        let fleet = Fleet::default();
        let (mut page, mut room) = (TaskPage::default(), PageRoom::default());
        let mut last = None;
        loop {
            let ask = LOOK.min(limit.saturating_add(1));
            let rows = self.rows_of(source, &range, ask)?;
            let mut leap = None;
            for row in &rows {
                leap = self.leap_over(source, &fleet, row)?;
                if leap.is_some() {
                    break;
                }
                let task = self.task_of_row(source, &fleet, row).map(|task| task.filter(|task| fits(task)));
                looked += 1;
                if looked > LOOKED_MAX && matches!(task, Ok(None)) {
                    return Ok(TaskPage { next: Some(hex(&row.0)), ..page });
                }
                if page.tasks.len() == limit || room.is_full() {
                    // The next page reports a further task that cannot be read.
                    match task {
                        Ok(None) => continue,
                        Ok(Some(_)) | Err(_) => return Ok(TaskPage { next: last, ..page }),
                    }
                }
                let task = task?;
                room.take(task.as_ref().map_or(0, Task::weight));
                page.tasks.extend(task);
                last = Some(hex(&row.0));
            }
            match (leap, rows.last().filter(|_| is_full(&rows, ask))) {
                (Some(next), _) => range = range.from(&next),
                (None, Some((key, _))) => range = range.after(key),
                (None, None) => return Ok(page),
            }
        }
    }

    fn rows_of(&self, source: &Source, range: &KeyRange, limit: usize) -> Result<Vec<Row>> {
        match source {
            _ if range.is_empty() => Ok(Vec::new()),
            Source::Tasks | Source::TasksIn(_) => self.records.part(CollectionId::QUEUE, range, limit),
            Source::Index(_) => self.records.rows(Table::Index, range, limit),
        }
    }

    /// The next row to read, if this row and all of its lane or kind are not in the listed state. Their rows are
    /// skipped in one step.
    fn leap_over(&self, source: &Source, fleet: &Fleet, (row, _): &Row) -> Result<Option<Vec<u8>>> {
        let Source::Index(state @ (TaskState::Ready | TaskState::Waiting)) = source else { return Ok(None) };
        Ok(match keys::open(row)? {
            OpenRow::In(lane) => {
                let is_deserted = self.nobody_in(fleet, &lane)?.is_some();
                (is_deserted == (*state == TaskState::Ready)).then(|| lane.behind())
            }
            OpenRow::Delayed(time) => (time > self.records.now()).then(keys::behind_delayed),
            OpenRow::Waiting => None,
        })
    }

    /// The task of a row. A task that waits for several others has a row for each; only the first row counts.
    fn task_of_row(&self, source: &Source, fleet: &Fleet, (key, payload): &Row) -> Result<Option<Task>> {
        match source {
            Source::Tasks => self.shown_in(fleet, Task::from_record(key, payload)?).map(Some),
            Source::TasksIn(state) => {
                let task = self.shown_in(fleet, Task::from_record(key, payload)?)?;
                Ok(Some(task).filter(|task| task.state == *state))
            }
            Source::Index(state) => {
                let task = self.shown_in(fleet, self.indexed(&keys::task_of(key)?)?)?;
                let other = keys::waited_for(key)?;
                let is_first = other.is_none() || task.waiting_for.first() == other.as_ref();
                Ok(Some(task).filter(|task| is_first && task.state == *state))
            }
        }
    }
}
