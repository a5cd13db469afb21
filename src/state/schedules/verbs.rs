//! The verbs on schedules.

use jiff::Timestamp;

use super::name::ScheduleName;
use super::position::Position;
use super::schedule::{NewSchedule, Schedule, attributes};
use crate::clock::as_stored;
use crate::engine::records::{KeyRange, Records, Row, scan};
use crate::engine::view::View;
use crate::engine::write::WriteTx;
use crate::error::{Error, ErrorKind, Result};
use crate::limits;
use crate::state::collection::SCHEDULES as COLLECTION;
use crate::state::ids::TaskId;
use crate::state::page::KeyedPage;
use crate::state::queue::{NewTask, Task};

/// The schedules, in a view or a transaction.
#[derive(Debug)]
pub struct Schedules<R> {
    pub(super) records: R,
}

impl View {
    /// The schedules at this view's point.
    pub fn schedules(&self) -> Schedules<&Self> {
        Schedules { records: self }
    }
}

impl WriteTx<'_> {
    /// The schedules, to read and to change.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use hivekeep::{NewSchedule, NewTask, Store, Timing};
    ///
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = Store::open(dir.path().join("h.redb")).unwrap();
    /// let every = Timing::every(Duration::from_secs(600))?;
    /// let new = NewSchedule::new("tidy".parse()?, every, NewTask::new("tidy up"));
    /// let schedule = store.write(|tx| tx.schedules().add(new))?;
    /// assert!(schedule.next_at.is_some());
    /// assert_eq!(store.view()?.schedules().list()?.len(), 1);
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn schedules(&mut self) -> Schedules<&mut Self> {
        Schedules { records: self }
    }
}

#[expect(private_bounds, reason = "only views and transactions can be read from")]
impl<R: Records> Schedules<R> {
    /// The schedule of that name.
    ///
    /// # Errors
    ///
    /// `Invalid` when its record is not a schedule, `Damaged`, `Io`.
    pub fn get(&self, name: &ScheduleName) -> Result<Option<Schedule>> {
        let record = self.record(name)?;
        record.map(|payload| self.placed((name.as_str().as_bytes().to_vec(), payload))).transpose()
    }

    /// Every schedule, by name. It skips records that are no schedules, which an earlier program may have written.
    ///
    /// # Errors
    ///
    /// `Damaged`, `Io`.
    pub fn list(&self) -> Result<Vec<Schedule>> {
        self.rows()?.filter_map(|row| row.and_then(|row| self.placed_if_any(row)).transpose()).collect()
    }

    /// At most `limit` schedules (at least one), by name; `cursor` is the `next` of the page before. It passes over
    /// records that are none, as [`list`](Self::list) does, so a page may be shorter than the limit.
    ///
    /// # Errors
    ///
    /// `Invalid` for a cursor that does not come from a page of this list. `Damaged`, `Io`.
    pub fn page(&self, cursor: Option<&str>, limit: usize) -> Result<KeyedPage<Schedule>> {
        let page = match self.records.collection_id(COLLECTION)? {
            Some(id) => {
                KeyedPage::read(&self.records, id, KeyRange::all(), (cursor, limit), |row| self.placed_if_any(row))?
            }
            None => KeyedPage { items: Vec::new(), next: None },
        };
        Ok(KeyedPage { items: page.items.into_iter().flatten().collect(), next: page.next })
    }

    /// Why a record of the collection is not a schedule, if one is none.
    #[cfg(feature = "transfer")]
    pub(crate) fn stranger(&self) -> Result<Option<Error>> {
        for row in self.rows()? {
            let (key, payload) = row?;
            if let Err(error) = Schedule::from_record(&key, &payload) {
                return Ok(Some(error));
            }
        }
        Ok(None)
    }

    /// How many schedules there are; it reads none of them.
    ///
    /// # Errors
    ///
    /// `Damaged`, `Io`.
    pub fn count(&self) -> Result<u64> {
        let id = self.records.collection_id(COLLECTION)?;
        id.map_or(Ok(0), |id| Ok(self.records.stats(id)?.count))
    }

    /// The record of a schedule.
    pub(super) fn record(&self, name: &ScheduleName) -> Result<Option<Vec<u8>>> {
        let id = self.records.collection_id(COLLECTION)?;
        id.map_or(Ok(None), |id| self.records.get(id, name.as_str().as_bytes()))
    }

    pub(super) fn rows(&self) -> Result<impl Iterator<Item = Result<Row>> + '_> {
        let id = self.records.collection_id(COLLECTION)?;
        Ok(id.map(|id| scan(&self.records, id, KeyRange::all())).into_iter().flatten())
    }

    /// The schedule of a record, with its position if this reads now.
    fn placed(&self, (key, payload): Row) -> Result<Schedule> {
        let schedule = Schedule::from_record(&key, &payload)?;
        if !self.records.is_now() {
            return Ok(schedule);
        }
        let position = Position::read(&self.records, &schedule.name)?;
        let position = position.filter(|position| position.is_of(&payload));
        Ok(schedule.at(position.as_ref(), self.records.now()))
    }

    /// The same; none for a record that is no schedule.
    fn placed_if_any(&self, row: Row) -> Result<Option<Schedule>> {
        match self.placed(row) {
            Ok(schedule) => Ok(Some(schedule)),
            Err(error) if error.kind() == ErrorKind::Invalid => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn existing(&self, name: &ScheduleName) -> Result<Schedule> {
        self.get(name)?.ok_or_else(|| Error::not_found(format!("there is no such schedule: schedule={name}")))
    }
}

impl Schedules<&mut WriteTx<'_>> {
    /// Adds a schedule and returns it. Its first due time is the first one after now.
    ///
    /// # Errors
    ///
    /// `Conflict` when there is one of that name, unless the new one [replaces](NewSchedule::replacing) it.
    /// `Invalid` when its task is invalid, or has an id, a start time, dependencies or an idempotency key,
    /// which a task that comes back cannot have; when its payload is longer than its [limit](crate#limits); and
    /// when there are 1,000 schedules.
    pub fn add(&mut self, new: NewSchedule) -> Result<Schedule> {
        new.check()?;
        let (name, replaces, now) = (new.name.clone(), new.replaces, self.records.now());
        let there = self.record(&name)?;
        let is_there = there.is_some();
        if is_there && !replaces {
            let message = "there is a schedule of that name; remove it, or replace it";
            return Err(Error::conflict(format!("{message}: schedule={name}")));
        }
        if !is_there {
            let count = usize::try_from(self.count()?).unwrap_or(usize::MAX);
            limits::count("the schedules", count.saturating_add(1), limits::SCHEDULES)?;
        }
        // A program may replace its schedules at each start. One that stays as it is goes on, and does not begin anew,
        // unless a clock has moved it far ahead.
        if let Some(payload) = there
            && let Ok(earlier) = Schedule::from_record(name.as_str().as_bytes(), &payload)
            && Schedule::new(new.clone(), earlier.created_at).to_record()? == payload
        {
            let existing = self.existing(&name)?;
            if existing.silent_until(now).is_none() {
                return Ok(existing);
            }
        }
        self.put(&Schedule::new(new, now))?;
        self.records.note("schedule_add", Some(name.as_str()))?;
        self.existing(&name)
    }

    /// Pauses a schedule: its due times do not fire, and do not fire later either. Returns it.
    ///
    /// # Errors
    ///
    /// `NotFound` when there is no such schedule.
    pub fn pause(&mut self, name: &ScheduleName) -> Result<Schedule> {
        self.set_paused(name, true, "schedule_pause")
    }

    /// Resumes a paused schedule with the first due time after now. Returns it.
    ///
    /// # Errors
    ///
    /// `NotFound` when there is no such schedule.
    pub fn resume(&mut self, name: &ScheduleName) -> Result<Schedule> {
        self.set_paused(name, false, "schedule_resume")
    }

    fn set_paused(&mut self, name: &ScheduleName, paused: bool, action: &'static str) -> Result<Schedule> {
        let schedule = self.existing(name)?;
        if schedule.paused == paused {
            return Ok(schedule);
        }
        self.put(&Schedule { paused, ..schedule })?;
        self.records.note(action, Some(name.as_str()))?;
        self.existing(name)
    }

    /// Removes a schedule. Its tasks stay.
    ///
    /// # Errors
    ///
    /// `NotFound` when there is no such schedule.
    pub fn remove(&mut self, name: &ScheduleName) -> Result<()> {
        let id = self.records.collection_id(COLLECTION)?;
        if !id.map_or(Ok(false), |id| self.records.remove(id, name.as_str().as_bytes()))? {
            return Err(Error::not_found(format!("there is no such schedule: schedule={name}")));
        }
        Position::remove(self.records, name)?;
        self.records.note("schedule_remove", Some(name.as_str()))
    }

    /// Enqueues the task of a schedule now, also while it is paused. Its due times stay as they are. Returns the task.
    ///
    /// # Errors
    ///
    /// `NotFound` when there is no such schedule; as [`Queue::enqueue`](crate::Queue::enqueue).
    pub fn run(&mut self, name: &ScheduleName) -> Result<Task> {
        let schedule = self.existing(name)?;
        let now = as_stored(self.records.now());
        let task = self.records.queue().enqueue_unseen(schedule.task_at(now)?)?;
        let task = task.ok_or_else(|| Error::conflict(format!("it runs already; try again: schedule={name}")))?;
        if let Some(mut position) = Position::read(self.records, name)? {
            position.last_task = Some(task.id.clone());
            position.put(self.records, name)?;
        }
        self.records.note("schedule_run", Some(name.as_str()))?;
        Ok(task)
    }

    /// Brings the positions in line with the definitions after these were changed as a whole, by a restore or an
    /// import: a definition that is new or another one begins now. So no due time of the past fires again, and none of
    /// a time when the schedule was not there.
    pub(crate) fn settle(&mut self) -> Result<()> {
        let now = as_stored(self.records.now());
        for name in Position::names(self.records)? {
            if self.record(&name)?.is_none() {
                Position::remove(self.records, &name)?;
            }
        }
        let rows = self.rows()?.collect::<Result<Vec<_>>>()?;
        for (key, payload) in rows {
            let Some(name) = str::from_utf8(&key).ok().and_then(|key| key.parse().ok()) else { continue };
            let position = Position::read(self.records, &name)?;
            if position.as_ref().is_none_or(|position| !position.is_of(&payload)) {
                Position::begin(&payload, now, position).put(self.records, &name)?;
            }
        }
        Ok(())
    }

    /// Writes a definition. It begins now, also where a clock that was ahead has moved its position ahead.
    pub(super) fn put(&mut self, schedule: &Schedule) -> Result<()> {
        let (name, payload) = (&schedule.name, schedule.to_record()?);
        // One that nests too deeply would not read back.
        Schedule::from_record(name.as_str().as_bytes(), &payload)?;
        let id = self.records.user_collection(COLLECTION)?;
        self.records.put(id, name.as_str().as_bytes(), &payload)?;
        let (now, earlier) = (as_stored(self.records.now()), Position::read(self.records, name)?);
        let begun = Position { through: now, ..Position::begin(&payload, now, earlier) };
        begun.put(self.records, name)
    }
}

impl Schedule {
    /// The task of a due time.
    pub(super) fn task_at(&self, due: Timestamp) -> Result<NewTask> {
        let id: TaskId = self.name.task_at(due)?;
        Ok(self.unnamed_task_at(due).id(id))
    }

    /// The same, under an id that the queue makes.
    pub(super) fn unnamed_task_at(&self, due: Timestamp) -> NewTask {
        self.task.clone().with_attributes(attributes(&self.name, due))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::state::schedules::timing::Timing;
    use crate::testkit::checked_store::Fixture;

    #[test]
    fn a_record_that_is_no_schedule_hides_none_and_is_named() {
        let hive = Fixture::new();
        let every = Timing::every(Duration::from_secs(60)).unwrap();
        hive.write(|tx| {
            for name in ["a", "c"] {
                tx.schedules().add(NewSchedule::new(name.parse()?, every.clone(), NewTask::new(1)))?;
            }
            let id = tx.user_collection(COLLECTION)?;
            tx.put(id, b"b", br#"{"of": "a user"}"#)
        });
        let view = hive.view();
        let names = |schedules: Vec<Schedule>| schedules.iter().map(|one| one.name.to_string()).collect::<Vec<_>>();
        assert_eq!(names(view.schedules().list().unwrap()), ["a", "c"]);
        let first = view.schedules().page(None, 2).unwrap();
        let second = view.schedules().page(first.next.as_deref(), 2).unwrap();
        assert_eq!((names(first.items), names(second.items)), (vec!["a".to_owned()], vec!["c".to_owned()]));
        let refused = view.schedules().get(&"b".parse().unwrap()).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Invalid);
        #[cfg(feature = "transfer")]
        {
            let named = view.schedules().stranger().unwrap().unwrap().to_string();
            assert!(named.contains("collection=schedules key=b"), "{named}");
            assert_eq!(hive.store.summary().unwrap().schedules.total, 2);
        }
        hive.clock.advance(Duration::from_secs(60));
        let refused = hive.store.fire_schedules().unwrap_err();
        assert!(refused.to_string().contains("key=b"), "{refused}");
        assert_eq!(hive.view().queue().counts().unwrap().ready, 2);
    }
}
