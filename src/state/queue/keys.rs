//! The index of the queue: the rows that follow from a task, so that every operation finds its tasks without a scan.
//!
//! Every row's key begins with [`QUEUE`] and a byte that names its kind, and ends with the task's id; the values are
//! empty. Names have no control characters, so that a zero byte ends one.
//!
//! | kind | key | of |
//! |---|---|---|
//! | ready | [`Lane`] ‖ priority ‖ sequence | what can be claimed now |
//! | delayed | time | what is ready but for its time |
//! | waiting | id of what it waits for ‖ 0 | what is ready but for another task; one row for each of those |
//! | lease | deadline | claimed tasks |
//! | held | bot ‖ 0 | claimed tasks |
//! | session | session number | tasks that a process claimed for itself |
//! | finished | state ‖ time | finished tasks |
//! | known | idempotency key ‖ 0 | tasks with one |

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::engine::index::IndexRule;
use crate::engine::records::KeyRange;
use crate::engine::schema::CollectionId;
use crate::error::{Error, Result};
use crate::state::ids::{BotId, SessionId, TaskId};
use crate::state::queue::task::{Head, Priority, TaskState};

/// The first byte of the queue's rows.
const QUEUE: u8 = b'q';
// The first three together are the tasks in the state ready.
const READY: u8 = 1;
const DELAYED: u8 = 2;
const WAITING: u8 = 3;
const LEASE: u8 = 4;
const HELD: u8 = 5;
const SESSION: u8 = 6;
const FINISHED: u8 = 7;
const KNOWN: u8 = 8;

/// Ends a name.
const END: u8 = 0;
/// Behind each capability of a lane; it sorts behind [`END`], so that a lane's rows stand before those of lanes that
/// ask for more.
const AND: u8 = 1;
/// Behind every name, because no UTF-8 text has this byte.
const BEHIND_NAMES: u8 = 0xff;

/// Turned in times, so that those before 1970 sort first.
const SIGN: u64 = 1 << 63;

/// Keeps the index of the queue.
pub(crate) const RULE: IndexRule = IndexRule { collection: CollectionId::QUEUE, derive };

/// Names the rows of a task: a pure function of its record.
fn derive(key: &[u8], payload: &[u8], emit: &mut dyn FnMut(&[u8])) -> Result<()> {
    let task = Head::from_record(key, payload)?;
    if let Some(name) = &task.idempotency_key {
        emit(&known_by(name).id(&task.id));
    }
    if let Some(holder) = &task.holder {
        emit(&Key::of(LEASE).time(holder.deadline).id(&task.id));
        emit(&held_by(&holder.bot).id(&task.id));
        if let Some(session) = holder.session {
            emit(&of_session(session).id(&task.id));
        }
    } else if let Some(at) = task.finished_at {
        emit(&finished(task.state).time(at).id(&task.id));
    } else if !task.waiting_for.is_empty() {
        task.waiting_for.iter().for_each(|other| emit(&waiting_for(other).id(&task.id)));
    } else if let Some(time) = task.not_before {
        emit(&Key::of(DELAYED).time(time).id(&task.id));
    } else {
        let lane = Lane::of(task.assigned_to.as_ref(), &task.capabilities);
        emit(&lane.place(task.priority, task.sequence).id(&task.id));
    }
    Ok(())
}

/// The rows of ready tasks.
pub(super) fn ready() -> Key {
    Key::of(READY)
}

/// The rows of delayed tasks, the first that comes due in front.
pub(super) fn delayed() -> Key {
    Key::of(DELAYED)
}

/// The rows of delayed tasks that are due at `now`.
pub(super) fn due(now: Timestamp) -> KeyRange {
    Key::of(DELAYED).until_time(now)
}

/// The rows of delayed tasks that come due behind one time and up to another.
pub(super) fn delayed_between(from: Timestamp, through: Timestamp) -> KeyRange {
    due(through).from(&Key::of(DELAYED).time(from).byte(BEHIND_NAMES).0)
}

/// The key in front of the rows of delayed tasks.
pub(super) fn in_front_of_delayed() -> Vec<u8> {
    delayed().0
}

/// Where the rows behind those of delayed tasks begin.
pub(super) fn behind_delayed() -> Vec<u8> {
    waiting().0
}

/// The rows of all waiting tasks, one for each task that they wait for.
pub(super) fn waiting() -> Key {
    Key::of(WAITING)
}

/// The rows of tasks that wait for `other`.
pub(super) fn waiting_for(other: &TaskId) -> Key {
    Key::of(WAITING).name(other.as_bytes())
}

/// Where the rows behind those of tasks that wait for `other` begin.
pub(super) fn behind_waiting_for(other: &TaskId) -> Vec<u8> {
    Key::of(WAITING).bytes(other.as_bytes()).byte(AND).0
}

/// The rows of claimed tasks, the first lease to end in front.
pub(super) fn leases() -> Key {
    Key::of(LEASE)
}

/// The rows of claimed tasks whose lease has ended at `now`.
pub(super) fn expired(now: Timestamp) -> KeyRange {
    Key::of(LEASE).until_time(now)
}

/// The rows of tasks that `bot` has claimed.
pub(super) fn held_by(bot: &BotId) -> Key {
    Key::of(HELD).name(bot.as_bytes())
}

/// The rows of tasks that were claimed in `session`.
pub(super) fn of_session(session: SessionId) -> Key {
    Key::of(SESSION).number(session.0)
}

/// The rows of tasks that finished in `state`, the first in front.
pub(super) fn finished(state: TaskState) -> Key {
    Key::of(FINISHED).byte(state_byte(state))
}

/// The rows of tasks that finished in `state` before `time`.
pub(super) fn finished_before(state: TaskState, time: Timestamp) -> KeyRange {
    let rows = finished(state);
    rows.clone().range().until(&rows.time(time).0)
}

/// The rows, one at most, of the task with that idempotency key.
pub(super) fn known_by(name: &str) -> Key {
    Key::of(KNOWN).name(name.as_bytes())
}

/// The rows of tasks in `state`. A task that waits for several others has several.
pub(super) fn in_state(state: TaskState) -> KeyRange {
    match state {
        TaskState::Ready => KeyRange::prefix(&[QUEUE]).until(&waiting().0),
        TaskState::Scheduled => delayed().range(),
        TaskState::Waiting => KeyRange::prefix(&[QUEUE]).until(&leases().0),
        TaskState::Claimed => leases().range(),
        state => finished(state).range(),
    }
}

/// The kind of an index row of a task that is neither claimed nor finished.
pub(super) enum OpenRow {
    /// Bots to which the lane is open can claim the task.
    In(Lane),
    /// The start time is in the future, or has passed since the last claim.
    Delayed(Timestamp),
    /// The task waits for another task.
    Waiting,
}

/// Reads the kind of an index row of a task that is neither claimed nor finished.
pub(super) fn open(row: &[u8]) -> Result<OpenRow> {
    match row {
        [QUEUE, READY, ..] => Lane::of_row(row).map(OpenRow::In),
        [QUEUE, DELAYED, ..] => time_of(row).map(OpenRow::Delayed),
        [QUEUE, WAITING, ..] => Ok(OpenRow::Waiting),
        _ => Err(wrong(row)),
    }
}

/// The id of the task that a row is of, at the end of its key.
pub(super) fn task_of(row: &[u8]) -> Result<TaskId> {
    const NUMBER: usize = size_of::<u64>();
    let id = match row {
        [QUEUE, READY, rest @ ..] => behind_name(rest).and_then(behind_name).and_then(|rest| rest.get(1 + NUMBER..)),
        [QUEUE, WAITING | HELD | KNOWN, rest @ ..] => behind_name(rest),
        [QUEUE, DELAYED | LEASE | SESSION, rest @ ..] => rest.get(NUMBER..),
        [QUEUE, FINISHED, rest @ ..] => rest.get(1 + NUMBER..),
        _ => None,
    };
    id.ok_or_else(|| wrong(row)).and_then(TaskId::from_key)
}

/// When a delayed task comes due, or a lease ends.
pub(super) fn time_of(row: &[u8]) -> Result<Timestamp> {
    let [QUEUE, DELAYED | LEASE, rest @ ..] = row else { return Err(wrong(row)) };
    behind_time(rest).map(|(time, _)| time).ok_or_else(|| wrong(row))
}

/// A time as it stands in keys: microseconds since 1970, in an order that those before 1970 are part of.
pub(super) fn time_key(time: Timestamp) -> [u8; 8] {
    (time.as_microsecond().cast_unsigned() ^ SIGN).to_be_bytes()
}

/// The time that a key begins with, and what is behind it.
pub(super) fn behind_time(key: &[u8]) -> Option<(Timestamp, &[u8])> {
    let (micros, rest) = key.split_first_chunk::<8>()?;
    let micros = (u64::from_be_bytes(*micros) ^ SIGN).cast_signed();
    Timestamp::from_microsecond(micros).ok().map(|time| (time, rest))
}

/// The dependency of the task of a row, if the row is of a waiting task.
pub(super) fn waited_for(row: &[u8]) -> Result<Option<TaskId>> {
    let [QUEUE, WAITING, rest @ ..] = row else { return Ok(None) };
    let name = rest.split(|byte| *byte == END).next().unwrap_or_default();
    TaskId::from_key(name).map(Some)
}

fn behind_name(rest: &[u8]) -> Option<&[u8]> {
    let end = rest.iter().position(|byte| *byte == END)?;
    rest.get(end + 1..)
}

fn wrong(row: &[u8]) -> Error {
    Error::damaged(format!("a row of the index cannot be read; run check: key={}", row.escape_ascii()))
}

/// The byte of a state in keys; part of the file format.
fn state_byte(state: TaskState) -> u8 {
    match state {
        // Nothing finishes in one of the first three.
        TaskState::Ready | TaskState::Scheduled | TaskState::Waiting => b'r',
        TaskState::Claimed => b'c',
        TaskState::Done => b'd',
        TaskState::Failed => b'f',
        TaskState::Dead => b'x',
        TaskState::Cancelled => b'n',
    }
}

/// Ready tasks that the same bots may claim: those of one assignee, or of none, that ask for the same capabilities.
/// A claim looks at the heads of the lanes that are open to its bot, and at no task of another lane.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Lane(Key);

impl Lane {
    /// The lane of tasks with that assignee and those capabilities.
    pub(super) fn of(assignee: Option<&BotId>, capabilities: &BTreeSet<String>) -> Self {
        let head = Self::lanes_of(assignee);
        let all = capabilities.iter().fold(head, |key, capability| key.bytes(capability.as_bytes()).byte(AND));
        Self(all.byte(END))
    }

    /// The lane that a row of a ready task is in.
    pub(super) fn of_row(row: &[u8]) -> Result<Self> {
        let [QUEUE, READY, rest @ ..] = row else { return Err(wrong(row)) };
        let behind = behind_name(rest).and_then(behind_name).ok_or_else(|| wrong(row))?;
        let lane = row.get(..row.len() - behind.len()).unwrap_or_default();
        Ok(Self(Key(lane.to_vec())))
    }

    /// The only bot that may claim from it, if there is one, and what it asks for.
    pub(super) fn asks_for(&self) -> Result<(Option<BotId>, BTreeSet<String>)> {
        let wrong = || wrong(&self.0.0);
        let name = |bytes: &[u8]| str::from_utf8(bytes).map(str::to_owned).map_err(|_| wrong());
        let [QUEUE, READY, rest @ ..] = self.0.0.as_slice() else { return Err(wrong()) };
        let asked = behind_name(rest).ok_or_else(wrong)?;
        let assignee = rest.get(..rest.len() - asked.len() - 1).unwrap_or_default();
        let assignee = if assignee.is_empty() { None } else { Some(BotId::new(name(assignee)?).map_err(|_| wrong())?) };
        let asked = asked.strip_suffix(&[END]).ok_or_else(wrong)?;
        let asked = asked.split(|byte| *byte == AND).filter(|asked| !asked.is_empty()).map(name);
        Ok((assignee, asked.collect::<Result<_>>()?))
    }

    /// Where the rows behind its own begin.
    pub(super) fn behind(&self) -> Vec<u8> {
        let mut end = self.0.0.clone();
        end.pop();
        Key(end).byte(AND).0
    }

    /// The beginning of the keys of an assignee's lanes.
    pub(super) fn lanes_of(assignee: Option<&BotId>) -> Key {
        ready().name(assignee.map(BotId::as_bytes).unwrap_or_default())
    }

    /// Whether `row`, of a lane under `head`, is in a lane that `able` opens; or else where the next lane can be that
    /// is.
    pub(super) fn find(head: &Key, row: &[u8], able: &BTreeSet<String>) -> Result<FoundLane> {
        let rest = row.strip_prefix(head.0.as_slice()).ok_or_else(|| wrong(row))?;
        let end = rest.iter().position(|byte| *byte == END).ok_or_else(|| wrong(row))?;
        let asked = rest.get(..end).unwrap_or_default();
        let mut key = head.clone();
        for capability in asked.split(|byte| *byte == AND).filter(|name| !name.is_empty()) {
            let name = str::from_utf8(capability).map_err(|_| wrong(row))?;
            if !able.contains(name) {
                let next = able.range::<str, _>((std::ops::Bound::Excluded(name), std::ops::Bound::Unbounded)).next();
                return Ok(FoundLane::Closed {
                    next: match next {
                        Some(next) => key.bytes(next.as_bytes()).0,
                        None => key.byte(BEHIND_NAMES).0,
                    },
                });
            }
            key = key.bytes(capability).byte(AND);
        }
        let next = key.clone().byte(AND).0;
        Ok(FoundLane::Open { lane: Self(key.byte(END)), next })
    }

    /// The rows of the lane, the one to be claimed first in front.
    pub(super) fn rows(&self) -> KeyRange {
        self.0.clone().range()
    }

    /// The rows of one priority from that sequence on.
    pub(super) fn rows_from(&self, priority: Priority, sequence: u64) -> KeyRange {
        self.0.clone().byte(priority as u8).range().from(&self.clone().place(priority, sequence).0)
    }

    /// Its bytes in a cursor; [`of_row`](Self::of_row) reads them back.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0.0
    }

    /// Where a row of the lane stands among those of all lanes, and its task.
    pub(super) fn place_of(&self, row: &[u8]) -> Result<(u8, u64, TaskId)> {
        let rest = row.strip_prefix(self.0.0.as_slice()).and_then(|rest| rest.split_first());
        let (priority, rest) = rest.ok_or_else(|| wrong(row))?;
        let (sequence, id) = rest.split_first_chunk::<8>().ok_or_else(|| wrong(row))?;
        Ok((*priority, u64::from_be_bytes(*sequence), TaskId::from_key(id)?))
    }

    fn place(self, priority: Priority, sequence: u64) -> Key {
        self.0.byte(priority as u8).number(sequence)
    }
}

/// The lane of a ready task's row, for a bot with given capabilities.
pub(super) enum FoundLane {
    /// The bot may claim from the lane.
    Open {
        /// The lane.
        lane: Lane,
        /// Where the rows of the lanes after it begin.
        next: Vec<u8>,
    },
    /// The bot lacks a capability.
    Closed {
        /// Where the rows of the next lane begin that it may claim from.
        next: Vec<u8>,
    },
}

/// The beginning of a row's key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key(Vec<u8>);

impl Key {
    fn of(kind: u8) -> Self {
        Self(vec![QUEUE, kind])
    }

    /// Every key that begins with this.
    pub(super) fn range(self) -> KeyRange {
        KeyRange::prefix(&self.0)
    }

    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn byte(self, byte: u8) -> Self {
        self.bytes(&[byte])
    }

    fn name(self, name: &[u8]) -> Self {
        self.bytes(name).byte(END)
    }

    fn number(self, number: u64) -> Self {
        self.bytes(&number.to_be_bytes())
    }

    fn time(self, time: Timestamp) -> Self {
        self.bytes(&time_key(time))
    }

    fn id(self, id: &TaskId) -> Vec<u8> {
        self.bytes(id.as_bytes()).0
    }

    /// The keys of this kind whose time is at or before `time`.
    fn until_time(self, time: Timestamp) -> KeyRange {
        let end = self.clone().time(time).byte(BEHIND_NAMES);
        self.range().until(&end.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn times_sort_in_keys_as_they_do_in_life() {
        let times = [-2_000_000, -1, 0, 1, 5_000_000].map(|micros| Timestamp::from_microsecond(micros).unwrap());
        let keys = times.map(|time| delayed().time(time).0);
        assert!(keys.is_sorted());
        assert_eq!(keys.map(|key| time_of(&key).unwrap()), times);
    }

    #[test]
    fn a_lane_is_open_to_bots_that_can_all_that_it_asks_for() {
        let head = Lane::lanes_of(None);
        let row = |asked: &[&str]| Lane::of(None, &names(asked)).place(Priority::P0, 7).0;
        for (asked, able, open) in [
            (&[][..], &[][..], true),
            (&["a"], &[], false),
            (&["a"], &["a", "b"], true),
            (&["a", "c"], &["a", "b"], false),
            (&["a", "b"], &["a", "b"], true),
        ] {
            let found = Lane::find(&head, &row(asked), &names(able)).unwrap();
            assert_eq!(matches!(found, FoundLane::Open { .. }), open, "{asked:?} for {able:?}");
        }
    }

    #[test]
    fn the_way_to_the_next_lane_passes_over_none_that_is_open() {
        let all = ["", "a", "a b", "a b c", "a c", "ab", "b", "b c", "c", "é"]
            .map(|lane| lane.split(' ').filter(|name| !name.is_empty()).map(str::to_string).collect::<BTreeSet<_>>());
        let head = Lane::lanes_of(None);
        let mut rows: Vec<_> = all.iter().map(|lane| Lane::of(None, lane).place(Priority::P1, 1).0).collect();
        rows.sort();
        for able in &all {
            let (mut open, mut from) = (Vec::new(), Vec::new());
            while let Some(row) = rows.iter().find(|row| **row >= from) {
                from = match Lane::find(&head, row, able).unwrap() {
                    FoundLane::Open { lane, next } => {
                        open.push(lane);
                        next
                    }
                    FoundLane::Closed { next } => next,
                };
                assert!(from > *row, "the way goes forward");
            }
            let expected: Vec<_> = all.iter().filter(|lane| lane.is_subset(able)).collect();
            assert_eq!(open.len(), expected.len(), "{able:?}");
            for lane in expected {
                assert!(open.contains(&Lane::of(None, lane)));
            }
        }
    }

    #[test]
    fn a_row_that_is_cut_off_is_an_error() {
        let lane = Lane::of(None, &names(&["a"]));
        let row = lane.clone().place(Priority::P3, 9).id(&TaskId::new("t").unwrap());
        assert_eq!(lane.place_of(&row).unwrap(), (3, 9, TaskId::new("t").unwrap()));
        for len in 0..row.len() {
            assert!(lane.place_of(&row[..len]).is_err());
        }
        assert_eq!(task_of(&row).unwrap(), TaskId::new("t").unwrap());
        for kind in 0..=u8::MAX {
            for len in 0..8 {
                assert!(task_of(&[&[QUEUE, kind][..], &vec![1; len]].concat()).is_err());
            }
        }
    }
}
