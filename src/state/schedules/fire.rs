//! Due times become tasks: in one transaction, a schedule's tasks are enqueued and its position moves on. Any process that
//! runs a scheduler does it; the position that the transaction reads makes each due time fire once.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::Schedules;
use super::name::ScheduleName;
use super::position::Position;
use super::schedule::{Missed, Overlap, Schedule};
use super::timing::is_late;
use crate::clock::{after, as_stored};
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
    /// Why schedules could not fire at their last try.
    failing: BTreeMap<ScheduleName, Error>,
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
    /// Fires every schedule that is due, and returns the new tasks. A [`Scheduler`](crate::Scheduler) does this by itself;
    /// call it periodically in a program without one. However many processes call it, each due time fires once.
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
        firing.failing.into_values().next().or(firing.unreadable).map_or(Ok(fired.tasks), Err)
    }
}

impl Firing {
    /// Fires what is due. A schedule that fails keeps no other from firing.
    pub(crate) fn look(&mut self, store: &Store) -> Result<Fired> {
        self.read(&store.view()?)?;
        let now = store.clock().now();
        let due = self.next.iter().filter_map(|(name, next)| next.filter(|next| *next <= now).map(|next| (name, next)));
        // A late one may have missed many due times, so its tasks fill a transaction of their own.
        let (late, timely): (Vec<_>, Vec<_>) = due.partition(|(_, next)| is_late(*next, now));
        let [late, timely] =
            [late, timely].map(|due| due.into_iter().map(|(name, _)| name.clone()).collect::<Vec<_>>());
        let mut tasks = Vec::new();
        for names in late.chunks(1).chain(timely.chunks(AT_ONCE)) {
            let all = self.fire(store, names, &mut tasks);
            if all.is_ok() {
                continue;
            }
            // One of them keeps the others from firing, so each fires alone.
            for name in names {
                if let Err(error) = self.fire(store, std::slice::from_ref(name), &mut tasks) {
                    self.next.insert(name.clone(), Some(after(now, AGAIN_AFTER)));
                    self.failing.insert(name.clone(), error.context(format_args!("schedule {name}")));
                }
            }
        }
        Ok(Fired { tasks, next: self.next.values().flatten().min().copied() })
    }

    /// The error of a single schedule, for as long as it has not fired since. A record that is no schedule is none: an
    /// earlier version may have written it.
    pub(crate) fn failure(&self) -> Option<&Error> {
        self.failing.values().next()
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
        let Some(payload) = self.record(name)? else {
            Position::remove(self.records, name)?;
            return Ok(Fired::default());
        };
        let schedule = Schedule::from_record(name.as_str().as_bytes(), &payload)?;
        let (now, position) = (as_stored(self.records.now()), Position::read(self.records, name)?);
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
            None if self.is_there(schedule, due)? => return Ok(None),
            // Anybody may enqueue a task under that id. The position makes the due time fire once without it.
            None => self.records.queue().enqueue(schedule.unnamed_task_at(due))?,
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
