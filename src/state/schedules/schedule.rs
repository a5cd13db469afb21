//! A schedule as callers describe it, as it is stored, and as people see it.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};

use super::name::ScheduleName;
use super::position::Position;
use super::timing::{LATE, Timing, is_late};
use crate::clock::{after, as_stored};
use crate::error::{Error, Result};
use crate::json;
use crate::limits;
use crate::state::ids::TaskId;
use crate::state::queue::{DUE_ATTRIBUTE, NewTask, SCHEDULE_ATTRIBUTE, choice_text};
use crate::text::printable;

/// The due times that fire although they were missed: the next one came before they fired, or they are more than a
/// minute late, because no process fired schedules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Missed {
    /// None of them.
    None,
    /// The last one.
    #[default]
    Last,
    /// All of them, at most the last 1,000.
    All,
}

impl Missed {
    /// Each choice.
    pub const ALL: [Self; 3] = [Self::None, Self::Last, Self::All];

    /// As text and JSON show it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Last => "last",
            Self::All => "all",
        }
    }
}

/// The due times of a schedule whose last task is not finished yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// They fire.
    #[default]
    Allow,
    /// They are skipped.
    Skip,
}

impl Overlap {
    /// Each choice.
    pub const ALL: [Self; 2] = [Self::Allow, Self::Skip];

    /// As text and JSON show it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Skip => "skip",
        }
    }
}

choice_text! {
    Missed, "the choice of missed due times";
    Overlap, "the choice of overlapping tasks";
}

/// A schedule to add: a task, and when it comes back.
///
/// # Examples
///
/// ```
/// use hivekeep::{Missed, NewSchedule, NewTask, Timing};
///
/// let new = NewSchedule::new("nightly".parse()?, Timing::cron("0 3 * * *", "Europe/Vienna")?, NewTask::new("report"))
///     .missed(Missed::All);
/// # let _ = new;
/// # Ok::<(), hivekeep::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct NewSchedule {
    pub(super) name: ScheduleName,
    pub(super) timing: Timing,
    pub(super) missed: Missed,
    pub(super) overlap: Overlap,
    pub(super) replaces: bool,
    pub(super) task: NewTask,
}

impl NewSchedule {
    /// A schedule that enqueues that task each time. The last of its missed due times fires.
    pub fn new(name: ScheduleName, timing: Timing, task: NewTask) -> Self {
        Self { name, timing, missed: Missed::default(), overlap: Overlap::default(), replaces: false, task }
    }

    /// The schedule of the fields of a JSON object: `name`, `every_ms` or `cron` with `time_zone` (`UTC` unless set),
    /// `missed`, `overlap`, `replace`, and `task` with the fields of [`NewTask::from_fields`].
    ///
    /// # Errors
    ///
    /// `Invalid` for an unknown field, a value of the wrong type, and when there is not exactly one of `every_ms` and
    /// `cron`.
    pub fn from_fields(mut fields: Map<String, Value>) -> Result<Self> {
        if let Some(unknown) = fields.keys().find(|name| !FIELDS.contains(&name.as_str())) {
            return Err(Error::invalid(format!("unknown field: field={}", printable(unknown))));
        }
        fields.retain(|_, value| !value.is_null());
        let task = task_of(&mut fields)?;
        let fields: Fields = serde_json::from_value(Value::Object(fields)).map_err(not_a_schedule)?;
        let timing = timing(fields.every_ms, None, fields.cron.as_deref(), fields.time_zone.as_deref())?;
        let (missed, overlap) = (fields.missed, fields.overlap);
        Ok(Self { name: fields.name, timing, missed, overlap, replaces: fields.replace, task })
    }

    /// Chooses the missed due times that fire.
    #[must_use]
    pub fn missed(self, missed: Missed) -> Self {
        Self { missed, ..self }
    }

    /// Chooses whether due times fire while the last task is not finished.
    #[must_use]
    pub fn overlap(self, overlap: Overlap) -> Self {
        Self { overlap, ..self }
    }

    /// Replaces a schedule of that name. Otherwise it is refused.
    #[must_use]
    pub fn replacing(self) -> Self {
        Self { replaces: true, ..self }
    }

    pub(super) fn check(&self) -> Result<()> {
        limits::json("the payload of a schedule", self.task.payload(), limits::SCHEDULE_BYTES)?;
        limits::members("the attributes of a schedule", self.task.own_attributes(), limits::SCHEDULE_BYTES)?;
        self.task.check_for_schedule()
    }
}

/// The fields of a description.
const FIELDS: [&str; 8] = ["name", "every_ms", "cron", "time_zone", "missed", "overlap", "replace", "task"];

/// Those besides the task.
#[derive(Deserialize)]
struct Fields {
    name: ScheduleName,
    every_ms: Option<u64>,
    cron: Option<String>,
    time_zone: Option<String>,
    #[serde(default)]
    missed: Missed,
    #[serde(default)]
    overlap: Overlap,
    #[serde(default)]
    replace: bool,
}

/// A schedule as it is stored, without its name and beside its task.
#[derive(Serialize, Deserialize)]
struct Stored {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    every_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "crate::clock::time::option")]
    from: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cron: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    time_zone: Option<String>,
    missed: Missed,
    overlap: Overlap,
    paused: bool,
    #[serde(with = "crate::clock::time")]
    created_at: Timestamp,
}

/// A schedule: a task that comes back by the calendar.
///
/// The definition is versioned, so points, differences and restores contain it. The last due time that was handled is
/// not: no restore makes a due time fire again.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// Its name.
    pub name: ScheduleName,
    /// When it is due.
    pub timing: Timing,
    /// The missed due times that fire.
    pub missed: Missed,
    /// Whether due times fire while the last task is not finished.
    pub overlap: Overlap,
    /// Whether it is paused. The due times of a pause do not fire later.
    pub paused: bool,
    /// When it was added.
    pub created_at: Timestamp,
    /// The task that it enqueues.
    pub task: NewTask,
    /// The next due time, by its present position. None while it is paused, and as of a point.
    pub next_at: Option<Timestamp>,
    /// The last due time that became a task.
    pub last_due_at: Option<Timestamp>,
    /// The last task that it enqueued.
    pub last_task: Option<TaskId>,
}

impl Schedule {
    /// The schedule of a description, added at that moment.
    pub(super) fn new(new: NewSchedule, now: Timestamp) -> Self {
        let NewSchedule { name, timing, missed, overlap, replaces: _, task } = new;
        let (timing, created_at) = (timing.starting(now), as_stored(now));
        let (next_at, last_due_at, last_task) = (None, None, None);
        Self { name, timing, missed, overlap, paused: false, created_at, task, next_at, last_due_at, last_task }
    }

    /// Since when it is overdue, if it is: a due time is more than a minute old, and nobody has fired it.
    pub fn overdue_since(&self, now: Timestamp) -> Option<Timestamp> {
        self.next_at.filter(|due| is_late(*due, now))
    }

    /// Its next due time, if due times before that one do not fire any more: they have fired already, at a time that is
    /// the future now, as the clock was ahead. A schedule that is replaced begins now.
    pub fn silent_until(&self, now: Timestamp) -> Option<Timestamp> {
        // The clocks of processes differ a little.
        let expected = self.timing.next(after(now, LATE));
        self.next_at.filter(|next| expected.is_some_and(|expected| *next > expected))
    }

    /// The schedule of a record.
    ///
    /// # Errors
    ///
    /// `Invalid` when the record is not one of a schedule.
    pub(super) fn from_record(key: &[u8], payload: &[u8]) -> Result<Self> {
        let name = str::from_utf8(key).ok().and_then(|name| name.parse().ok());
        let read = |name| Self::read(name, payload);
        name.ok_or_else(|| Error::invalid("its key is no name")).and_then(read).map_err(|source| {
            let key = key.escape_ascii();
            Error::invalid(format!("a record is not a schedule; remove it ({source}): collection=schedules key={key}"))
                .with_source(source)
        })
    }

    fn read(name: ScheduleName, payload: &[u8]) -> Result<Self> {
        let Value::Object(fields) = json::parse(payload)? else { return Err(Error::invalid("it is no object")) };
        Self::defined(name, fields)
    }

    /// The schedule of a definition.
    pub(super) fn defined(name: ScheduleName, mut fields: Map<String, Value>) -> Result<Self> {
        let task = task_of(&mut fields)?;
        let stored: Stored = serde_json::from_value(Value::Object(fields)).map_err(not_a_schedule)?;
        let Stored { every_ms, from, cron, time_zone, missed, overlap, paused, created_at } = stored;
        let timing = timing(every_ms, from, cron.as_deref(), time_zone.as_deref())?;
        let (next_at, last_due_at, last_task) = (None, None, None);
        Ok(Self { name, timing, missed, overlap, paused, created_at, task, next_at, last_due_at, last_task })
    }

    /// Its record.
    pub(super) fn to_record(&self) -> Result<Vec<u8>> {
        Ok(Value::Object(self.definition()?).to_string().into_bytes())
    }

    /// The same with its position.
    pub(super) fn at(mut self, position: Option<&Position>, now: Timestamp) -> Self {
        if let Some(position) = position {
            (self.last_due_at, self.last_task) = (position.last_due, position.last_task.clone());
        }
        let through = position.map_or(now, |position| position.through);
        self.next_at = if self.paused { None } else { self.timing.next(through) };
        self
    }

    /// Its definition as a JSON object, without its name.
    fn definition(&self) -> Result<Map<String, Value>> {
        let (every_ms, cron, time_zone) = parts(&self.timing);
        let from = if let Timing::Every { from, .. } = &self.timing { *from } else { None };
        let Self { missed, overlap, paused, created_at, .. } = *self;
        let stored = Stored { every_ms, from, cron, time_zone, missed, overlap, paused, created_at };
        let mut fields = match serde_json::to_value(stored).map_err(not_a_schedule)? {
            Value::Object(fields) => fields,
            _ => Map::new(),
        };
        fields.insert("task".into(), Value::Object(self.task.to_fields()?));
        Ok(fields)
    }
}

impl Serialize for Schedule {
    fn serialize<S: Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {
        use serde::ser::Error as _;
        let mut fields = Map::from_iter([("name".to_owned(), Value::from(self.name.as_str()))]);
        let definition = self.definition().map_err(S::Error::custom)?;
        // Each field is there, so that a reader needs no rule for absent ones.
        for name in ["every_ms", "from", "cron", "time_zone"] {
            fields.insert(name.to_owned(), Value::Null);
        }
        fields.extend(definition);
        let shown = |time: Option<Timestamp>| time.map(crate::clock::show_time).map_or(Value::Null, Value::from);
        fields.insert("next_at".into(), shown(self.next_at));
        fields.insert("last_due_at".into(), shown(self.last_due_at));
        fields.insert("last_task".into(), self.last_task.as_ref().map_or(Value::Null, |task| task.as_str().into()));
        fields.serialize(to)
    }
}

/// Takes the task out of the fields of a schedule. Its numbers stay as they were written.
fn task_of(fields: &mut Map<String, Value>) -> Result<NewTask> {
    match fields.remove("task") {
        Some(Value::Object(task)) => NewTask::from_fields(task),
        Some(_) => Err(Error::invalid("the task of a schedule is an object with a payload: task")),
        None => Err(Error::invalid("a schedule needs a task: task")),
    }
}

/// The interval in milliseconds, the cron expression and its time zone: those that a timing has.
pub(super) fn parts(timing: &Timing) -> (Option<u64>, Option<String>, Option<String>) {
    let every_ms = timing.interval().map(|every| u64::try_from(every.as_millis()).unwrap_or(u64::MAX));
    let (cron, time_zone) = timing.expression().map(|(cron, zone)| (cron.to_string(), zone.to_owned())).unzip();
    (every_ms, cron, time_zone)
}

fn timing(
    every_ms: Option<u64>,
    from: Option<Timestamp>,
    cron: Option<&str>,
    time_zone: Option<&str>,
) -> Result<Timing> {
    match (every_ms, cron) {
        (Some(_), None) if time_zone.is_some() => {
            Err(Error::invalid("only a cron expression has a time zone: time_zone"))
        }
        (Some(every), None) => Timing::every_from(Duration::from_millis(every), from),
        (None, Some(cron)) => Timing::cron(cron, time_zone.unwrap_or("UTC")),
        _ => Err(Error::invalid("a schedule has either an interval or a cron expression: every_ms, cron")),
    }
}

pub(super) fn not_a_schedule(source: serde_json::Error) -> Error {
    Error::invalid(format!("invalid schedule: {source}")).with_source(source)
}

/// The attributes by which a task names its schedule and its due time.
pub(super) fn attributes(name: &ScheduleName, due: Timestamp) -> [(String, Value); 2] {
    [
        (SCHEDULE_ATTRIBUTE.to_owned(), name.as_str().into()),
        (DUE_ATTRIBUTE.to_owned(), crate::clock::show_time(due).into()),
    ]
}
