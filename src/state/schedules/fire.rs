//! Due times become tasks: in one transaction, a schedule's tasks are enqueued and its position moves on. Any process
//! that runs a scheduler does it; the position that the transaction reads makes each due time fire once.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::name::ScheduleName;
use super::position::Position;
use super::schedule::{Missed, Overlap, Schedule};
use super::timing::is_late;
use super::verbs::Schedules;
use crate::clock::{Wait, as_stored};
use crate::engine::digest::Stats;
use crate::engine::records::Records;
use crate::engine::store::Store;
use crate::engine::view::View;
use crate::engine::write::WriteTx;
use crate::error::{Error, Result};
use crate::state::collection::SCHEDULES as COLLECTION;
use crate::state::ids::TaskId;

/// The most missed due times of a schedule that fire.
const MISSED_MAX: usize = 1000;
/// The schedules that fire in one transaction.
const AT_ONCE: usize = 64;
/// A schedule that could not fire is tried again after this time.
const AGAIN_AFTER: Duration = Duration::from_secs(10);

/// The schedules of a store with their next due times, so that a look that finds nothing due reads none of them.
#[derive(Debug, Default)]
pub(crate) struct Firing {
    /// The size and digest of the schedules that were read last.
    seen: Option<Stats>,
    /// The next due times. Another process may have fired them meanwhile; the transaction finds that out.
    next: BTreeMap<ScheduleName, Option<Timestamp>>,
    /// Why schedules could not fire at their last try, and the wait until the next one.
    failing: BTreeMap<ScheduleName, (Error, Wait)>,
    /// Why a record is not a schedule.
    unreadable: Option<Error>,
}

/// The result of a look.
#[derive(Debug, Default)]
pub(crate) struct Fired {
    /// The new tasks.
    pub(crate) tasks: Vec<TaskId>,
    /// The first of the next due times.
    pub(crate) next: Option<Timestamp>,
}

impl Store {
    /// Fires every schedule that is due, and returns the new tasks. A [`Scheduler`](crate::Scheduler) does this by
    /// itself; call it periodically in a program without one. However many processes call it, each due time fires once.
    ///
    /// # Errors
    ///
    /// As [`Store::write`]; the error of the first schedule that could not fire, after all others did.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use hivekeep::{ManualClock, NewSchedule, NewTask, Store, Timing};
    ///
    /// # let dir = tempfile::tempdir().unwrap();
    /// let clock = ManualClock::new("2026-11-28T16:00:00Z".parse().unwrap());
    /// let store = Store::options().clock(clock.clone()).open(dir.path().join("h.redb"))?;
    /// let every = Timing::every(Duration::from_secs(600))?;
    /// store.write(|tx| tx.schedules().add(NewSchedule::new("tidy".parse()?, every, NewTask::new("tidy up"))))?;
    /// clock.advance(Duration::from_secs(600));
    /// let tasks = store.fire_schedules()?;
    /// assert_eq!(tasks[0].as_str(), "tidy@2026-11-28T16:10:00Z");
    /// assert!(store.fire_schedules()?.is_empty());
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn fire_schedules(&self) -> Result<Vec<TaskId>> {
        let mut firing = Firing::default();
        let fired = firing.look(self)?;
        let failed = firing.failing.into_values().next().map(|(error, _)| error);
        failed.or(firing.unreadable).map_or(Ok(fired.tasks), Err)
    }
}

impl Firing {
    /// Fires all due times. A schedule that fails keeps no other from firing.
    pub(crate) fn look(&mut self, store: &Store) -> Result<Fired> {
        let view = store.view()?;
        self.read(&view)?;
        let now = store.clock().now();
        let due = self.due(&view, now)?;
        drop(view);
        // A late one may have missed many due times, so its tasks fill a transaction of their own.
        let (late, timely): (Vec<_>, Vec<_>) = due.into_iter().partition(|(_, next)| is_late(*next, now));
        let [late, timely] = [late, timely].map(|due| due.into_iter().map(|(name, _)| name).collect::<Vec<_>>());
        let mut tasks = Vec::new();
        for names in late.chunks(1).chain(timely.chunks(AT_ONCE)) {
            let all = self.fire(store, names, &mut tasks);
            if all.is_ok() {
                continue;
            }
            // One of them keeps the others from firing, so each fires alone.
            for name in names {
                if let Err(error) = self.fire(store, std::slice::from_ref(name), &mut tasks) {
                    let error = error.context(format_args!("schedule {name}"));
                    self.failing.insert(name.clone(), (error, Wait::new(now, AGAIN_AFTER)));
                }
            }
        }
        let next = self.next.iter().filter_map(|(name, next)| {
            let again = self.failing.get(name).map(|(_, wait)| wait.end());
            next.map(|next| again.map_or(next, |again| next.max(again)))
        });
        let next = next.min();
        Ok(Fired { tasks, next })
    }

    /// The schedules that are due, each with its due time. Another process may have fired one meanwhile, which the view
    /// tells, so that not every process begins a transaction for every due time.
    fn due(&mut self, view: &View, now: Timestamp) -> Result<Vec<(ScheduleName, Timestamp)>> {
        let is_due = |name: &ScheduleName, next: &Timestamp| {
            *next <= now && self.failing.get(name).is_none_or(|(_, wait)| wait.is_over(now))
        };
        let expected = self.next.iter().filter_map(|(name, next)| next.map(|next| (name.clone(), next)));
        let expected: Vec<_> = expected.filter(|(name, next)| is_due(name, next)).collect();
        let mut due = Vec::new();
        for (name, next) in expected {
            let next = view.schedules().next_of(&name, next)?;
            self.next.insert(name.clone(), next);
            due.extend(next.filter(|next| *next <= now).map(|next| (name, next)));
        }
        Ok(due)
    }

    /// The error of a single schedule, for as long as it has not fired since. A record that is no schedule is none: an
    /// earlier version may have written it.
    pub(crate) fn failure(&self) -> Option<&Error> {
        self.failing.values().next().map(|(error, _)| error)
    }

    /// Fires those schedules in one transaction.
    fn fire(&mut self, store: &Store, names: &[ScheduleName], tasks: &mut Vec<TaskId>) -> Result<()> {
        let fire =
            |tx: &mut WriteTx<'_>| names.iter().map(|name| tx.schedules().fire(name)).collect::<Result<Vec<_>>>();
        for (name, fired) in names.iter().zip(store.write(fire)?) {
            tasks.extend(fired.tasks);
            self.failing.remove(name);
            self.next.insert(name.clone(), fired.next);
        }
        Ok(())
    }

    /// Reads all schedules if any of them has changed.
    fn read(&mut self, view: &View) -> Result<()> {
        let id = view.collection_id(COLLECTION)?;
        let stats = id.map_or(Ok(Stats::default()), |id| view.stats(id))?;
        if self.seen == Some(stats) {
            return Ok(());
        }
        let schedules = view.schedules();
        (self.next, self.failing, self.unreadable) = (BTreeMap::new(), BTreeMap::new(), None);
        // A position without a schedule is due at once: then it is removed.
        self.next.extend(Position::names(&view)?.into_iter().map(|name| (name, Some(Timestamp::MIN))));
        for row in schedules.rows()? {
            let (key, payload) = row?;
            match Schedule::from_record(&key, &payload) {
                Ok(schedule) => drop(self.next.insert(schedule.name.clone(), schedules.look_at(schedule, &payload)?)),
                Err(error) => drop(self.unreadable.get_or_insert(error)),
            }
        }
        self.seen = Some(stats);
        Ok(())
    }
}

impl Schedules<&View> {
    /// The same by its name. One that cannot be read stays due, and fails when it is to fire.
    fn next_of(&self, name: &ScheduleName, due: Timestamp) -> Result<Option<Timestamp>> {
        let Some(payload) = self.record(name)? else {
            return Ok(Position::read(&self.records, name)?.map(|_| Timestamp::MIN));
        };
        match Schedule::from_record(name.as_str().as_bytes(), &payload) {
            Ok(schedule) => self.look_at(schedule, &payload),
            Err(_) => Ok(Some(due)),
        }
    }

    /// The time at which a schedule needs a transaction: its next due time, or now, if its definition is new.
    fn look_at(&self, schedule: Schedule, payload: &[u8]) -> Result<Option<Timestamp>> {
        let position = Position::read(&self.records, &schedule.name)?;
        Ok(match position.filter(|position| position.is_of(payload)) {
            None => Some(Timestamp::MIN),
            position => schedule.at(position.as_ref(), self.records.now()).next_at,
        })
    }
}

impl Schedules<&mut WriteTx<'_>> {
    /// Fires the due times of a schedule, and moves its position on.
    fn fire(&mut self, name: &ScheduleName) -> Result<Fired> {
        // The schedule was removed: its position would hold back a new one of that name.
        let Some(payload) = self.record(name)? else {
            Position::remove(self.records, name)?;
            return Ok(Fired::default());
        };
        let schedule = Schedule::from_record(name.as_str().as_bytes(), &payload)?;
        let (now, position) = (as_stored(self.records.now()), Position::read(self.records, name)?);
        // A new definition, also one that a restore has brought back, begins now: no due time of the past fires.
        let Some(mut position) = position.clone().filter(|position| position.is_of(&payload)) else {
            let begun = Position::begin(&payload, now, position);
            begun.put(self.records, name)?;
            return Ok(Fired { tasks: Vec::new(), next: schedule.at(Some(&begun), now).next_at });
        };
        let mut tasks = Vec::new();
        if !schedule.paused {
            let due = due(&schedule, position.through, now);
            if let Some(through) = due.through {
                for at in due.fire {
                    tasks.extend(self.enqueue(&schedule, &mut position, at)?);
                }
                // In the transaction of the tasks, so that each due time fires once, in one process.
                position.through = through;
                position.put(self.records, name)?;
            }
        }
        Ok(Fired { tasks, next: schedule.at(Some(&position), now).next_at })
    }

    /// Enqueues the task of a due time, unless there is or was that task, or the last one goes on.
    fn enqueue(&mut self, schedule: &Schedule, position: &mut Position, due: Timestamp) -> Result<Option<TaskId>> {
        if schedule.overlap == Overlap::Skip
            && let Some(last) = &position.last_task
            && self.records.queue().get(last)?.is_some_and(|task| !task.state.is_finished())
        {
            return Ok(None);
        }
        let task = match self.records.queue().enqueue_unseen(schedule.task_at(due)?)? {
            Some(task) => task,
            // It has fired, and its task may be gone since, or somebody else took the id.
            None if self.is_there(schedule, due)? || position.last_due.is_some_and(|last| due <= last) => {
                return Ok(None);
            }
            // Anybody may enqueue a task under that id. The position makes the due time fire once without it.
            None => match self.records.queue().enqueue_unseen(schedule.unnamed_task_at(due))? {
                Some(task) => task,
                None => return Ok(None),
            },
        };
        (position.last_due, position.last_task) = (Some(due), Some(task.id.clone()));
        Ok(Some(task.id))
    }

    /// Whether the task of that due time's id is one of the schedule.
    fn is_there(&mut self, schedule: &Schedule, due: Timestamp) -> Result<bool> {
        let there = self.records.queue().get(&schedule.name.task_at(due)?)?;
        Ok(there.is_some_and(|there| there.schedule() == Some(schedule.name.as_str())))
    }
}

/// The due times up to now.
struct Due {
    /// Those that fire.
    fire: Vec<Timestamp>,
    /// The last of all.
    through: Option<Timestamp>,
}

/// Chooses among the due times since that moment.
fn due(schedule: &Schedule, since: Timestamp, now: Timestamp) -> Due {
    let most = if schedule.missed == Missed::All { MISSED_MAX } else { 1 };
    let mut fire = schedule.timing.latest(since, now, most);
    let through = fire.last().copied();
    if schedule.missed == Missed::None {
        fire.retain(|due| !is_late(*due, now));
    }
    Due { fire, through }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock as _, after, before};
    use crate::state::queue::NewTask;
    use crate::state::schedules::schedule::NewSchedule;
    use crate::state::schedules::timing::Timing;
    use crate::testkit::checked_store::Fixture;

    /// A store with a schedule that is due each minute, and whose first due time is now.
    fn due_now(task: NewTask) -> Fixture {
        let hive = Fixture::new();
        let every = Timing::every(Duration::from_secs(60)).unwrap();
        hive.write(|tx| tx.schedules().add(NewSchedule::new("a".parse()?, every, task)));
        hive.clock.advance(Duration::from_secs(60));
        hive
    }

    #[test]
    fn one_that_comes_after_another_has_fired_begins_no_transaction() {
        let hive = due_now(NewTask::new(1));
        let [mut first, mut second] = [Firing::default(), Firing::default()];
        second.read(&hive.view()).unwrap();
        assert_eq!(first.look(&hive.store).unwrap().tasks.len(), 1);
        // Within a transaction another one is refused.
        hive.write(|_| {
            let fired = second.look(&hive.store)?;
            assert!(fired.tasks.is_empty() && second.failure().is_none(), "{:?}", second.failure());
            assert_eq!(fired.next, Some(after(hive.clock.now(), Duration::from_secs(60))));
            Ok(())
        });
    }

    #[test]
    fn a_schedule_that_failed_is_tried_again_although_the_clock_was_set_back() {
        // The name of no bot, with a space that nobody sees.
        let hive = due_now(NewTask::new(1).assign_to("ant\u{200b}".parse().unwrap()));
        hive.clock.advance(Duration::from_secs(7_200));
        let mut firing = Firing::default();
        firing.look(&hive.store).unwrap();
        let said = firing.failure().map(ToString::to_string).unwrap();
        assert!(said.contains("schedule a"), "{said}");
        let mut is_tried = || {
            firing.failing.values_mut().for_each(|(error, _)| *error = Error::conflict("before"));
            firing.look(&hive.store).unwrap();
            firing.failure().unwrap().to_string() != "before"
        };
        assert!(!is_tried(), "it waits for a while");
        hive.clock.set(before(hive.clock.now(), Duration::from_secs(3_600)));
        assert!(is_tried(), "the wait began in what is the future now");
    }
}
