//! The task, as it is stored and as JSON.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::engine::codec::{self, Stored};
use crate::error::{Error, Result};
use crate::state::ids::{BotId, SessionId, TaskId, Token};
use crate::state::page::{weight_of_members, weight_of_value};

/// A piece of work in the queue. A finished task stays until it is purged.
///
/// The JSON is one flat object with these fields; a time that is not set is `null`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// The id.
    pub id: TaskId,
    /// The priority.
    pub priority: Priority,
    /// The sequence number within the priority; the lowest comes first.
    pub sequence: u64,
    /// The state.
    pub state: TaskState,
    /// The holder, while the task is claimed.
    pub holder: Option<Holder>,
    /// The only bot that may claim it, when there is one.
    pub assigned_to: Option<BotId>,
    /// The capabilities that a bot must have to claim it.
    pub capabilities: BTreeSet<String>,
    /// The dependencies that it still waits for. A dependency that nobody has enqueued yet is one of them.
    pub waiting_for: BTreeSet<TaskId>,
    /// The start time: no bot can claim it before. Not set once the time has passed.
    #[serde(with = "crate::clock::time::option")]
    pub not_before: Option<Timestamp>,
    /// The time when it became done, failed, dead or cancelled.
    #[serde(with = "crate::clock::time::option")]
    pub finished_at: Option<Timestamp>,
    /// The idempotency key: enqueueing it again returns this task.
    pub idempotency_key: Option<String>,
    // Up to here the fields are those of `Head`.
    /// The dependencies: tasks that must be done before this one can be claimed.
    pub depends_on: BTreeSet<TaskId>,
    /// The number of claims, without those that were released.
    pub attempts: u32,
    /// The number of failed attempts after which it is dead.
    pub max_attempts: u32,
    /// The time when it was enqueued.
    #[serde(with = "crate::clock::time")]
    pub enqueued_at: Timestamp,
    /// The bot that finished it, or held it when it became dead; none when somebody else cancelled it.
    pub finished_by: Option<BotId>,
    /// The error of the last failed attempt.
    pub last_error: Option<String>,
    /// The work to do, as the producer described it.
    #[serde(with = "codec::json")]
    pub payload: Value,
    /// The result; null until it is done.
    #[serde(with = "codec::json")]
    pub result: Value,
    /// Further data that the producer gave.
    #[serde(with = "codec::json")]
    pub attributes: Map<String, Value>,
    /// The time since which it can be claimed. Not set while it is scheduled or waits for another task, and not set in
    /// records of earlier versions.
    #[serde(with = "crate::clock::time::option")]
    pub ready_since: Option<Timestamp>,
}

/// The attributes by which a task names the schedule that enqueued it, and the due time.
pub(crate) const SCHEDULE_ATTRIBUTE: &str = "schedule";
pub(crate) const DUE_ATTRIBUTE: &str = "due_at";

/// Whether attributes name a schedule and its due time. One of the two alone is a word of the producer's own.
pub(in crate::state::queue) fn names_a_schedule(attributes: &Map<String, Value>) -> bool {
    [SCHEDULE_ATTRIBUTE, DUE_ATTRIBUTE].iter().all(|name| attributes.get(*name).is_some_and(Value::is_string))
}

impl Stored for Task {
    const VERSION: u8 = 2;
    const WHAT: &'static str = "a task";

    /// Version 1 had no `ready_since`. The bytes that are appended to it mean a time that is not set.
    fn upgrade(_version: u8, bytes: &[u8]) -> Result<Self> {
        codec::decode_body(&[bytes, &[0]].concat())
    }
}

/// The holder of a claimed task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The bot.
    pub bot: BotId,
    /// The token that the bot must show.
    #[serde(serialize_with = "shown", deserialize_with = "seen")]
    pub token: Token,
    /// The time of the claim.
    #[serde(with = "crate::clock::time")]
    pub since: Timestamp,
    /// The end of the lease, unless it is extended.
    #[serde(with = "crate::clock::time")]
    pub deadline: Timestamp,
    /// The length of the lease in milliseconds, so that a deadline further away than that shows a clock that went back.
    pub lease_ms: u64,
    /// The session of the process that claimed it for itself. If that process crashes, the task is returned at once.
    pub session: Option<SessionId>,
}

/// A hidden token is null in JSON.
fn shown<S: Serializer>(token: &Token, to: S) -> Result<S::Ok, S::Error> {
    if to.is_human_readable() && *token == Token::HIDDEN { to.serialize_none() } else { token.serialize(to) }
}

/// In JSON null is a hidden token.
fn seen<'de, D: Deserializer<'de>>(from: D) -> Result<Token, D::Error> {
    match from.is_human_readable() {
        true => Ok(Option::deserialize(from)?.unwrap_or(Token::HIDDEN)),
        false => Token::deserialize(from),
    }
}

/// The first fields of a task, which the index needs. The JSON after them is not read, because this takes far longer.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::state::queue) struct Head {
    pub(in crate::state::queue) id: TaskId,
    pub(in crate::state::queue) priority: Priority,
    pub(in crate::state::queue) sequence: u64,
    pub(in crate::state::queue) state: TaskState,
    pub(in crate::state::queue) holder: Option<Holder>,
    pub(in crate::state::queue) assigned_to: Option<BotId>,
    pub(in crate::state::queue) capabilities: BTreeSet<String>,
    pub(in crate::state::queue) waiting_for: BTreeSet<TaskId>,
    #[serde(with = "crate::clock::time::option")]
    pub(in crate::state::queue) not_before: Option<Timestamp>,
    #[serde(with = "crate::clock::time::option")]
    pub(in crate::state::queue) finished_at: Option<Timestamp>,
    pub(in crate::state::queue) idempotency_key: Option<String>,
}

impl Stored for Head {
    const VERSION: u8 = Task::VERSION;
    const WHAT: &'static str = Task::WHAT;

    fn upgrade(_version: u8, bytes: &[u8]) -> Result<Self> {
        codec::decode_head_body(bytes)
    }
}

impl Task {
    /// The `last_error` of an attempt that failed without a reason.
    pub const NO_REASON: &str = "no reason was given";

    /// The record's key.
    pub(crate) fn key(&self) -> &[u8] {
        self.id.as_bytes()
    }

    /// The task of a record.
    ///
    /// # Errors
    ///
    /// `Damaged` when the bytes are not a task's, stand under another task's key, or contradict themselves.
    pub(crate) fn from_record(key: &[u8], payload: &[u8]) -> Result<Self> {
        let task: Self = codec::decode(payload)?;
        check_head(key, &task.id, task.state, task.holder.as_ref(), task.finished_at)?;
        Ok(task)
    }

    /// The name of the schedule that enqueued it, if one did.
    pub fn schedule(&self) -> Option<&str> {
        self.set_by_schedule(SCHEDULE_ATTRIBUTE)
    }

    /// The due time of that schedule, as text.
    pub fn due_at(&self) -> Option<&str> {
        self.set_by_schedule(DUE_ATTRIBUTE)
    }

    fn set_by_schedule(&self, name: &str) -> Option<&str> {
        names_a_schedule(&self.attributes).then(|| self.attributes.get(name)?.as_str()).flatten()
    }

    /// How much it counts in a page.
    pub(in crate::state::queue) fn weight(&self) -> usize {
        let (payload, result) = (weight_of_value(&self.payload), weight_of_value(&self.result));
        payload + result + weight_of_members(&self.attributes) + size_of::<Self>()
    }

    /// The state by the record alone, without the time and without the registered bots.
    pub(in crate::state::queue) fn state_by_record(&self) -> TaskState {
        match self.state {
            TaskState::Ready if !self.waiting_for.is_empty() => TaskState::Waiting,
            TaskState::Ready if self.not_before.is_some() => TaskState::Scheduled,
            state => state,
        }
    }
}

impl Head {
    /// The first fields of a record.
    ///
    /// # Errors
    ///
    /// As [`Task::from_record`], except for faults after them.
    pub(in crate::state::queue) fn from_record(key: &[u8], payload: &[u8]) -> Result<Self> {
        let head: Self = codec::decode_head(payload)?;
        check_head(key, &head.id, head.state, head.holder.as_ref(), head.finished_at)?;
        Ok(head)
    }
}

/// Whether the task of a record is finished, read without its JSON.
///
/// # Errors
///
/// As [`Task::from_record`], except for faults after the first fields.
pub(crate) fn is_finished(key: &[u8], payload: &[u8]) -> Result<bool> {
    Ok(Head::from_record(key, payload)?.state.is_finished())
}

/// Refuses a task under another one's key, and one whose fields are not those of its state.
fn check_head(
    key: &[u8],
    id: &TaskId,
    state: TaskState,
    holder: Option<&Holder>,
    finished_at: Option<Timestamp>,
) -> Result<()> {
    let is_claimed = state == TaskState::Claimed;
    if id.as_bytes() != key
        || !state.is_stored()
        || is_claimed != holder.is_some()
        || state.is_finished() != finished_at.is_some()
    {
        let key = key.escape_ascii();
        return Err(Error::damaged(format!("a task contradicts itself: key={key} id={id} state={state}")));
    }
    Ok(())
}

/// The priority of a task: all of [`P0`](Self::P0) go before any of [`P1`](Self::P1), and so on.
///
/// # Examples
///
/// ```
/// use hivekeep::Priority;
///
/// assert!(Priority::P0 < Priority::P3);
/// assert_eq!("p1".parse::<Priority>()?, Priority::P1);
/// # Ok::<(), hivekeep::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Priority {
    /// Most urgent.
    P0,
    /// Urgent.
    P1,
    /// Normal.
    #[default]
    P2,
    /// Least urgent.
    P3,
}

impl Priority {
    /// All of them, the most urgent first.
    pub const ALL: [Self; 4] = [Self::P0, Self::P1, Self::P2, Self::P3];

    /// As text and JSON show it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::P0 => "P0",
            Self::P1 => "P1",
            Self::P2 => "P2",
            Self::P3 => "P3",
        }
    }
}

/// The state of a task.
///
/// A task is scheduled or waiting until it can be claimed; a ready one is claimed; a claimed one becomes done, ready
/// again, failed or dead. Every unfinished task can be cancelled. Every finished task that is not done can be requeued.
///
/// The store keeps one state for scheduled, waiting and ready. Which of them it is follows at each read from the
/// dependencies, the time, and the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// Some bot could claim it now.
    Ready,
    /// A bot holds it.
    Claimed,
    /// Completed.
    Done,
    /// Given up by a bot that asked for no retry.
    Failed,
    /// Given up because no attempt is left.
    Dead,
    /// Cancelled.
    Cancelled,
    // These two are never stored.
    /// The start time is in the future.
    Scheduled,
    /// It waits for its dependencies, or for a bot that could do it: its assigned bot is not registered, or no
    /// registered bot has the capabilities. A bot that is not registered can still claim tasks that are assigned to it.
    Waiting,
}

impl TaskState {
    /// All of them, in the order of a task's life.
    pub const ALL: [Self; 8] = [
        Self::Scheduled,
        Self::Waiting,
        Self::Ready,
        Self::Claimed,
        Self::Done,
        Self::Failed,
        Self::Dead,
        Self::Cancelled,
    ];

    /// As text and JSON show it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Waiting => "waiting",
            Self::Ready => "ready",
            Self::Claimed => "claimed",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Dead => "dead",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether the task is finished: no bot works on it unless it is requeued.
    pub fn is_finished(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Dead | Self::Cancelled)
    }

    /// Whether it is stored; the others are shown.
    fn is_stored(self) -> bool {
        !matches!(self, Self::Scheduled | Self::Waiting)
    }
}

/// Gives an enum whose `ALL` have an `as_str` its text both ways.
macro_rules! choice_text {
    ($($choice:ident, $what:literal;)*) => {$(
        impl std::fmt::Display for $choice {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $choice {
            type Err = $crate::Error;

            fn from_str(text: &str) -> $crate::Result<Self> {
                let found = Self::ALL.into_iter().find(|choice| choice.as_str().eq_ignore_ascii_case(text));
                found.ok_or_else(|| {
                    let known = Self::ALL.map(Self::as_str).join(", ");
                    $crate::Error::invalid(format!(concat!($what, " is one of {}: text={}"), known, text))
                })
            }
        }
    )*};
}

pub(crate) use choice_text;

choice_text! {
    Priority, "a priority";
    TaskState, "a task's state";
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn time(micros: i64) -> Timestamp {
        Timestamp::from_microsecond(micros).unwrap()
    }

    fn sample() -> Task {
        Task {
            id: TaskId::new("t").unwrap(),
            priority: Priority::P1,
            sequence: 3,
            state: TaskState::Claimed,
            holder: Some(Holder {
                bot: BotId::new("b").unwrap(),
                token: Token(4),
                since: time(1),
                deadline: time(2),
                lease_ms: 5,
                session: Some(SessionId(6)),
            }),
            assigned_to: None,
            capabilities: BTreeSet::from(["rust".to_string()]),
            depends_on: BTreeSet::from([TaskId::new("d").unwrap()]),
            waiting_for: BTreeSet::new(),
            not_before: None,
            idempotency_key: Some("k".into()),
            attempts: 1,
            max_attempts: 5,
            enqueued_at: time(7),
            finished_at: None,
            finished_by: None,
            last_error: Some("e".into()),
            payload: serde_json::json!({"a": 1}),
            result: Value::Null,
            attributes: Map::new(),
            ready_since: Some(time(9)),
        }
    }

    #[test]
    fn the_bytes_of_a_task_are_fixed() {
        let bytes = codec::encode(&sample()).unwrap();
        let golden = b"\x02\x01t\x01\x03\x01\x01\x01b\x04\x02\x04\x05\x01\x06\x00\x01\x04rust\x00\x00\x00\x01\x01k\
            \x01\x01d\x01\x05\x0e\x00\x01\x01e\x07{\"a\":1}\x04null\x02{}\x01\x12";
        assert_eq!(bytes.escape_ascii().to_string(), golden.escape_ascii().to_string());
        assert_eq!(Task::from_record(b"t", &bytes).unwrap(), sample());
        // As version 1 wrote it.
        let first = b"\x01\x01t\x01\x03\x01\x01\x01b\x04\x02\x04\x05\x01\x06\x00\x01\x04rust\x00\x00\x00\x01\x01k\
            \x01\x01d\x01\x05\x0e\x00\x01\x01e\x07{\"a\":1}\x04null\x02{}";
        assert_eq!(Task::from_record(b"t", first).unwrap(), Task { ready_since: None, ..sample() });
        assert_eq!(Head::from_record(b"t", first).unwrap().idempotency_key.as_deref(), Some("k"));
    }

    #[test]
    fn the_head_of_a_task_is_its_first_fields() {
        let task = sample();
        let head = Head::from_record(b"t", &codec::encode(&task).unwrap()).unwrap();
        assert_eq!((head.id, head.priority, head.sequence), (task.id, task.priority, task.sequence));
        assert_eq!((head.state, head.holder, head.assigned_to), (task.state, task.holder, task.assigned_to));
        assert_eq!((head.capabilities, head.waiting_for), (task.capabilities, task.waiting_for));
        assert_eq!((head.not_before, head.finished_at), (task.not_before, task.finished_at));
        assert_eq!(head.idempotency_key, task.idempotency_key);
        assert!(Head::from_record(b"u", &codec::encode(&sample()).unwrap()).is_err());
    }

    #[test]
    fn the_json_of_a_task_is_flat_and_reads_back() {
        let json = serde_json::to_value(sample()).unwrap();
        assert_eq!(json["state"], "claimed");
        assert_eq!(json["priority"], "P1");
        assert_eq!(json["holder"]["deadline"], "1970-01-01T00:00:00.000002+00:00");
        assert_eq!(json["payload"]["a"], 1);
        assert!(json["finished_at"].is_null());
        assert_eq!(serde_json::from_value::<Task>(json).unwrap(), sample());
    }

    #[test]
    fn a_task_that_contradicts_itself_is_damage() {
        let refused = |key: &[u8], task: &Task| {
            let error = Task::from_record(key, &codec::encode(task).unwrap()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Damaged);
            error.to_string()
        };
        assert_eq!(refused(b"u", &sample()), "a task contradicts itself: key=u id=t state=claimed");
        refused(b"t", &Task { holder: None, ..sample() });
        refused(b"t", &Task { state: TaskState::Ready, ..sample() });
        refused(b"t", &Task { state: TaskState::Done, holder: None, ..sample() });
        refused(b"t", &Task { finished_at: Some(time(1)), ..sample() });
    }

    #[test]
    fn no_byte_that_is_cut_off_or_changed_makes_decoding_panic() {
        let good = codec::encode(&sample()).unwrap();
        for at in 0..good.len() {
            assert!(Task::from_record(b"t", &good[..at]).is_err());
            for value in 0..=u8::MAX {
                let mut bytes = good.clone();
                bytes[at] = value;
                let _ = Task::from_record(b"t", &bytes);
            }
        }
    }

    #[test]
    fn choices_read_back_from_their_text() {
        for state in TaskState::ALL {
            assert_eq!(state.to_string().parse::<TaskState>().unwrap(), state);
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
        }
        for priority in Priority::ALL {
            assert_eq!(priority.to_string().parse::<Priority>().unwrap(), priority);
            assert_eq!(serde_json::to_value(priority).unwrap(), priority.as_str());
        }
        assert_eq!(
            "urgent".parse::<Priority>().unwrap_err().to_string(),
            "a priority is one of P0, P1, P2, P3: text=urgent"
        );
    }
}
