//! The description of a task to enqueue.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::clock::{after, as_stored};
use crate::error::{Error, Result};
use crate::limits;
use crate::state::ids::{BotId, TaskId, check_name};
use crate::state::queue::claiming::claim::millis;
use crate::state::queue::tasks::task::{DUE_ATTRIBUTE, Priority, SCHEDULE_ATTRIBUTE, Task, names_a_schedule};

/// The default number of attempts.
const MAX_ATTEMPTS: u32 = 5;

/// A task to enqueue: its payload, and optional fields.
///
/// In JSON every field but `payload` is optional.
///
/// # Examples
///
/// ```
/// use hivekeep::{NewTask, Priority};
/// use serde_json::json;
///
/// let task = NewTask::new(json!({"review": "src/lib.rs"}))
///     .id("review-1".parse()?)
///     .priority(Priority::P1)
///     .capability("rust")
///     .after("build-1".parse()?)
///     .idempotency_key("review of 4f2a");
/// # let _ = task;
/// # Ok::<(), hivekeep::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewTask {
    pub(in crate::state::queue) payload: Value,
    #[serde(default)]
    pub(in crate::state::queue) id: Option<TaskId>,
    #[serde(default)]
    pub(in crate::state::queue) priority: Priority,
    #[serde(default)]
    pub(in crate::state::queue) not_before: Option<Timestamp>,
    #[serde(default)]
    pub(super) delay_ms: Option<u64>,
    #[serde(default)]
    pub(in crate::state::queue) capabilities: BTreeSet<String>,
    #[serde(default)]
    pub(in crate::state::queue) assigned_to: Option<BotId>,
    #[serde(default)]
    pub(in crate::state::queue) depends_on: BTreeSet<TaskId>,
    #[serde(default)]
    pub(in crate::state::queue) allow_missing_dependencies: bool,
    #[serde(default)]
    pub(in crate::state::queue) idempotency_key: Option<String>,
    #[serde(default)]
    pub(in crate::state::queue) allow_different: bool,
    #[serde(default = "max_attempts")]
    pub(in crate::state::queue) max_attempts: u32,
    #[serde(default)]
    pub(in crate::state::queue) attributes: Map<String, Value>,
    #[serde(skip)]
    pub(in crate::state::queue) enqueued_at: Option<Timestamp>,
    #[serde(skip)]
    pub(in crate::state::queue) done: Option<Done>,
}

/// The result of a task that was done before it was enqueued.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::state::queue) struct Done {
    pub(in crate::state::queue) at: Timestamp,
    pub(super) by: Option<BotId>,
    pub(in crate::state::queue) result: Value,
}

fn max_attempts() -> u32 {
    MAX_ATTEMPTS
}

impl NewTask {
    /// A task with that payload, priority P2 and five attempts, that any bot may claim at once.
    pub fn new(payload: impl Into<Value>) -> Self {
        Self {
            payload: payload.into(),
            id: None,
            priority: Priority::default(),
            not_before: None,
            delay_ms: None,
            capabilities: BTreeSet::new(),
            assigned_to: None,
            depends_on: BTreeSet::new(),
            allow_missing_dependencies: false,
            idempotency_key: None,
            allow_different: false,
            max_attempts: MAX_ATTEMPTS,
            attributes: Map::new(),
            enqueued_at: None,
            done: None,
        }
    }

    /// The task of the fields of a JSON object. A null field counts as absent, except the payload.
    ///
    /// # Errors
    ///
    /// `Invalid` for an unknown field, and for a value of the wrong type.
    ///
    /// # Examples
    ///
    /// ```
    /// use hivekeep::NewTask;
    /// use serde_json::json;
    ///
    /// let fields = json!({"payload": "build", "max_attempts": 2, "id": null}).as_object().cloned().unwrap();
    /// assert_eq!(NewTask::from_fields(fields)?, NewTask::new("build").max_attempts(2));
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn from_fields(mut fields: Map<String, Value>) -> Result<Self> {
        fields.retain(|name, value| name == "payload" || !value.is_null());
        // These keep their numbers as they were written, which a conversion does not.
        let payload = fields.get_mut("payload").map(std::mem::take);
        let attributes = fields.get_mut("attributes").and_then(Value::as_object_mut).map(std::mem::take);
        let task: Self = serde_json::from_value(Value::Object(fields))
            .map_err(|source| Error::invalid(format!("invalid task: {source}")).with_source(source))?;
        Ok(Self { payload: payload.unwrap_or_default(), attributes: attributes.unwrap_or_default(), ..task })
    }

    /// Sets the id. The default is made from the sequence number, such as `task-17`.
    #[must_use]
    pub fn id(mut self, id: TaskId) -> Self {
        self.id = Some(id);
        self
    }

    /// Sets the priority.
    #[must_use]
    pub fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// Sets the start time: no bot can claim the task before it.
    #[must_use]
    pub fn not_before(mut self, time: Timestamp) -> Self {
        self.not_before = Some(time);
        self
    }

    /// Sets a delay from the enqueue on, by the store's clock: no bot can claim the task before it is over. With
    /// [`not_before`](Self::not_before) too, the later time counts.
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay_ms = Some(millis(delay));
        self
    }

    /// Adds a required capability.
    #[must_use]
    pub fn capability(mut self, capability: impl Into<String>) -> Self {
        self.capabilities.insert(capability.into());
        self
    }

    /// Lets only that bot claim it.
    #[must_use]
    pub fn assign_to(mut self, bot: BotId) -> Self {
        self.assigned_to = Some(bot);
        self
    }

    /// Adds a dependency: no bot can claim this task before the other one is done. If the other task fails or is
    /// cancelled, this one waits until it is requeued and done. A task that was done and purged counts as done. An
    /// unknown task is refused, unless missing dependencies are [allowed](Self::allow_missing_dependencies).
    #[must_use]
    pub fn after(mut self, other: TaskId) -> Self {
        self.depends_on.insert(other);
        self
    }

    /// Allows dependencies that are not enqueued yet, so that tasks may be enqueued in any order. A task with a
    /// mistyped dependency then waits forever.
    #[must_use]
    pub fn allow_missing_dependencies(mut self) -> Self {
        self.allow_missing_dependencies = true;
        self
    }

    /// Sets the idempotency key: enqueueing the same key again returns the same task, until that task is purged.
    #[must_use]
    pub fn idempotency_key(mut self, key: impl Into<String>) -> Self {
        self.idempotency_key = Some(key.into());
        self
    }

    /// Accepts an earlier task with the same idempotency key although it differs. Otherwise a difference is refused.
    #[must_use]
    pub fn allow_different(mut self) -> Self {
        self.allow_different = true;
        self
    }

    /// Sets the number of attempts that may fail before the task is dead; at least one.
    #[must_use]
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = attempts;
        self
    }

    /// Sets the attributes: any further data to keep with the task.
    #[must_use]
    pub fn attributes(mut self, attributes: Map<String, Value>) -> Self {
        self.attributes = attributes;
        self
    }

    /// Sets the time of the enqueue, for a task that is taken over from another queue. The default is now.
    #[must_use]
    pub fn enqueued_at(mut self, time: Timestamp) -> Self {
        self.enqueued_at = Some(time);
        self
    }

    /// Marks the task as done already, for a task that is taken over from another queue.
    #[must_use]
    pub fn done(mut self, at: Timestamp, by: Option<BotId>, result: Value) -> Self {
        self.done = Some(Done { at, by, result });
        self
    }

    /// The payload.
    pub fn payload(&self) -> &Value {
        &self.payload
    }

    /// The attributes.
    pub(crate) fn own_attributes(&self) -> &Map<String, Value> {
        &self.attributes
    }

    /// Adds attributes.
    pub(crate) fn with_attributes(mut self, attributes: impl IntoIterator<Item = (String, Value)>) -> Self {
        self.attributes.extend(attributes);
        self
    }

    /// The fields of a JSON object that [`from_fields`](Self::from_fields) reads, without those that have their
    /// default.
    ///
    /// # Errors
    ///
    /// `Invalid` when a field cannot be JSON.
    pub(crate) fn to_fields(&self) -> Result<Map<String, Value>> {
        // These keep their numbers as they were written, which a conversion does not.
        let bare = Self { payload: Value::Null, attributes: Map::new(), ..self.clone() };
        let fields = serde_json::to_value(bare)
            .map_err(|source| Error::invalid(format!("invalid task: {source}")).with_source(source))?;
        let Value::Object(mut fields) = fields else { return Ok(Map::new()) };
        let is_default = |value: &Value| match value {
            Value::Null | Value::Bool(false) => true,
            Value::Array(values) => values.is_empty(),
            Value::Object(members) => members.is_empty(),
            _ => false,
        };
        fields.retain(|_, value| !is_default(value));
        fields.insert("payload".to_owned(), self.payload.clone());
        if !self.attributes.is_empty() {
            fields.insert("attributes".to_owned(), Value::Object(self.attributes.clone()));
        }
        Ok(fields)
    }

    /// Refuses attributes by which a task would be taken for one of a schedule.
    pub(super) fn check_as_callers(&self) -> Result<()> {
        self.check()?;
        if names_a_schedule(&self.attributes) {
            return Err(Error::invalid(format!(
                "a schedule sets these attributes on its tasks; rename one of them: \
                 attributes={SCHEDULE_ATTRIBUTE},{DUE_ATTRIBUTE}"
            )));
        }
        Ok(())
    }

    /// Refuses fields that a task which comes back cannot have.
    pub(crate) fn check_for_schedule(&self) -> Result<()> {
        self.check()?;
        let own = [
            ("id", self.id.is_some()),
            ("not_before", self.not_before.is_some()),
            ("depends_on", !self.depends_on.is_empty()),
            ("idempotency_key", self.idempotency_key.is_some()),
            ("enqueued_at", self.enqueued_at.is_some()),
            ("done", self.done.is_some()),
        ];
        if let Some((field, _)) = own.into_iter().find(|(_, is_set)| *is_set) {
            return Err(Error::invalid(format!(
                "the task of a schedule comes back, so it cannot have one: field={field}"
            )));
        }
        let kept = [SCHEDULE_ATTRIBUTE, DUE_ATTRIBUTE].into_iter().find(|name| self.attributes.contains_key(*name));
        kept.map_or(Ok(()), |name| {
            Err(Error::invalid(format!("the schedule sets that attribute itself; rename it: attribute={name}")))
        })
    }

    /// The fields that a stored task does not have as this one asks for them. A time or a bot that this one does not
    /// ask for is no difference. Neither is a time when the store no longer knows when the stored task could first be
    /// claimed.
    pub(super) fn differences(&self, known: &Task) -> Vec<&'static str> {
        let delayed = self.delay_ms.filter(|_| self.enqueued_at.is_none());
        let delayed = delayed.map(|delay| after(known.enqueued_at, Duration::from_millis(delay)));
        let asked = self.not_before.max(delayed).map(as_stored);
        let to_come = known.not_before.filter(|_| known.attempts == 0);
        // A delay counts from the time of enqueueing, so that a delay differs from none; a time that
        // is now may be asked for twice.
        let at_once = known.ready_since.filter(|since| delayed.is_some() && *since == known.enqueued_at);
        let starts_otherwise = to_come.or(at_once).zip(asked).is_some_and(|(start, asked)| asked != start);
        let differs = [
            ("payload", self.payload != known.payload),
            ("id", self.id.as_ref().is_some_and(|id| *id != known.id)),
            ("priority", self.priority != known.priority),
            ("capabilities", self.capabilities != known.capabilities),
            ("assigned_to", self.assigned_to.is_some() && self.assigned_to != known.assigned_to),
            ("depends_on", self.depends_on != known.depends_on),
            ("not_before", starts_otherwise && delayed.is_none()),
            ("delay_ms", starts_otherwise && delayed.is_some()),
            ("max_attempts", self.max_attempts != known.max_attempts),
            ("attributes", self.attributes != known.attributes),
        ];
        differs.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
    }

    /// The start time of the task if it is enqueued at `now`.
    pub(super) fn starts_at(&self, now: Timestamp) -> Option<Timestamp> {
        let delayed = self.delay_ms.map(|delay| after(now, Duration::from_millis(delay)));
        self.not_before.max(delayed)
    }

    /// Refuses invalid fields.
    pub(in crate::state::queue) fn check(&self) -> Result<()> {
        for capability in &self.capabilities {
            check_name("a capability", capability)?;
        }
        if let Some(key) = &self.idempotency_key {
            check_name("an idempotency key", key)?;
        }
        limits::count("the capabilities of a task", self.capabilities.len(), limits::CAPABILITIES)?;
        limits::count("the dependencies of a task", self.depends_on.len(), limits::DEPENDENCIES)?;
        limits::json("the payload of a task", &self.payload, limits::VALUE_BYTES)?;
        limits::members("the attributes of a task", &self.attributes, limits::ATTRIBUTES_BYTES)?;
        if let Some(done) = &self.done {
            limits::json("the result of a task", &done.result, limits::VALUE_BYTES)?;
        }
        if let Some(delay) = self.delay_ms {
            limits::duration("the delay of a task", Duration::from_millis(delay), limits::TASK_DELAY)?;
        }
        if self.max_attempts == 0 {
            return Err(Error::invalid("a task needs at least one attempt: max_attempts=0"));
        }
        if let Some(id) = self.id.as_ref().filter(|id| self.depends_on.contains(*id)) {
            return Err(Error::invalid(format!("a task must not depend on itself: task={id}")));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task() -> NewTask {
        NewTask::new("work")
    }

    #[test]
    fn an_invalid_task_is_refused_and_the_message_names_the_fault() {
        let id = |name: &str| TaskId::new(name).unwrap();
        let many = |task: NewTask| (0..17).fold(task, |task, i| task.capability(format!("c{i}")));
        for (task, message) in [
            (task().capability(""), "a capability must not be empty"),
            (
                task().idempotency_key("a\u{1}"),
                r"an idempotency key must not have control characters in it: name=a\u{1}",
            ),
            (many(task()), "the capabilities of a task are too many; leave some out: count=17 max=16"),
            (task().max_attempts(0), "a task needs at least one attempt: max_attempts=0"),
            (task().id(id("a")).after(id("a")), "a task must not depend on itself: task=a"),
        ] {
            assert_eq!(task.check().unwrap_err().to_string(), message);
        }
        let depends = (0..1001).fold(task(), |task, i| task.after(id(&format!("t{i}"))));
        let message = "the dependencies of a task are too many; leave some out: count=1001 max=1000";
        assert_eq!(depends.check().unwrap_err().to_string(), message);
    }

    #[test]
    fn in_json_only_the_payload_must_be_there_and_a_misspelt_member_is_refused() {
        let read = serde_json::from_str::<NewTask>(r#"{"payload": "work"}"#).unwrap();
        assert_eq!(read, task());
        assert!(serde_json::from_str::<NewTask>(r#"{"payload": 1, "prioritty": "P0"}"#).is_err());
        assert!(serde_json::from_str::<NewTask>("{}").is_err());
        let fields = crate::json::parse(br#"{"payload": [1e400, 1.50], "attributes": {"a": -0}, "id": null}"#).unwrap();
        let read = NewTask::from_fields(fields.as_object().cloned().unwrap()).unwrap();
        assert_eq!((read.payload.to_string(), read.attributes["a"].to_string()), ("[1e400,1.50]".into(), "-0".into()));
        let fields = read.to_fields().unwrap();
        assert_eq!(fields["payload"].to_string(), "[1e400,1.50]");
        assert_eq!(NewTask::from_fields(fields).unwrap(), read);
    }
}
