//! The index of the queue: the rows that follow from a task, so that every operation finds its tasks without a scan.
//!
//! Every row's key begins with [`QUEUE`] and a byte that names its kind, and ends with the task's id; the values are
//! empty. Names have no control characters, so that a zero byte ends one.
//!
//! | kind | key | of |
//! |---|---|---|
//! | ready | [`Lane`] ‖ priority ‖ sequence | tasks that can be claimed now |
//! | delayed | time | ready tasks whose time has not come |
//! | waiting | id of the other task ‖ 0 | ready tasks that wait for another task; one row for each of those |
//! | lease | deadline | claimed tasks |
//! | held | bot ‖ 0 | claimed tasks |
//! | session | session number | tasks that a process claimed for itself |
//! | finished | state ‖ time | finished tasks |
//! | known | idempotency key ‖ 0 | tasks with one |

use jiff::Timestamp;

use crate::engine::index::{IndexRule, RowIs};
use crate::engine::records::KeyRange;
use crate::engine::schema::CollectionId;
use crate::engine::wakes::Wakes;
use crate::error::Result;
use crate::state::ids::{BotId, SessionId, TaskId};
use crate::state::queue::tasks::lane::Lane;
use crate::state::queue::tasks::row_key::{
    AND, BEHIND_NAMES, DELAYED, END, FINISHED, HELD, KNOWN, Key, LEASE, QUEUE, READY, SESSION, SIGN, WAITING,
    behind_name, wrong,
};
use crate::state::queue::tasks::task::{Head, TaskState};

/// Keeps the index of the queue.
pub(crate) const RULE: IndexRule = IndexRule { collection: CollectionId::QUEUE, derive, wakes };

/// A task that becomes ready wakes a bot that waits: its own one, or any. A task that a bot no longer holds leaves that
/// bot room for another. One that comes due later, and a lease, wake a bot at their time.
fn wakes(row: &[u8], is: RowIs, wakes: &mut Wakes) {
    let name = |rest: &[u8]| rest.split(|byte| *byte == END).next().unwrap_or_default().to_vec();
    match (row, is) {
        ([QUEUE, READY, rest @ ..], RowIs::New) => {
            let assignee = name(rest);
            wakes.add(Some(assignee.as_slice()).filter(|assignee| !assignee.is_empty()));
        }
        ([QUEUE, HELD, rest @ ..], RowIs::Gone) => wakes.add(Some(&name(rest))),
        ([QUEUE, DELAYED | LEASE, ..], RowIs::New) => time_of(row).into_iter().for_each(|time| wakes.add_at(time)),
        _ => {}
    }
}

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
pub(in crate::state::queue) fn ready() -> Key {
    Key::of(READY)
}

/// The rows of delayed tasks, the first that comes due in front.
pub(in crate::state::queue) fn delayed() -> Key {
    Key::of(DELAYED)
}

/// The rows of delayed tasks that are due at `now`.
pub(in crate::state::queue) fn due(now: Timestamp) -> KeyRange {
    Key::of(DELAYED).until_time(now)
}

/// The rows of delayed tasks that become due after one time and up to another.
pub(in crate::state::queue) fn delayed_between(from: Timestamp, through: Timestamp) -> KeyRange {
    due(through).from(&Key::of(DELAYED).time(from).byte(BEHIND_NAMES).0)
}

/// The key in front of the rows of delayed tasks.
pub(in crate::state::queue) fn in_front_of_delayed() -> Vec<u8> {
    delayed().0
}

/// The start of the rows after those of delayed tasks.
pub(in crate::state::queue) fn behind_delayed() -> Vec<u8> {
    waiting().0
}

/// The rows of all waiting tasks, one for each task that they wait for.
pub(in crate::state::queue) fn waiting() -> Key {
    Key::of(WAITING)
}

/// The rows of tasks that wait for `other`.
pub(in crate::state::queue) fn waiting_for(other: &TaskId) -> Key {
    Key::of(WAITING).name(other.as_bytes())
}

/// The start of the rows after those of tasks that wait for `other`.
pub(in crate::state::queue) fn behind_waiting_for(other: &TaskId) -> Vec<u8> {
    Key::of(WAITING).bytes(other.as_bytes()).byte(AND).0
}

/// The rows of claimed tasks, the first lease to end in front.
pub(in crate::state::queue) fn leases() -> Key {
    Key::of(LEASE)
}

/// The rows of claimed tasks whose lease has ended at `now`.
pub(in crate::state::queue) fn expired(now: Timestamp) -> KeyRange {
    Key::of(LEASE).until_time(now)
}

/// The rows of tasks that `bot` has claimed.
pub(in crate::state::queue) fn held_by(bot: &BotId) -> Key {
    Key::of(HELD).name(bot.as_bytes())
}

/// The rows of tasks that were claimed in `session`.
pub(in crate::state::queue) fn of_session(session: SessionId) -> Key {
    Key::of(SESSION).number(session.0)
}

/// The rows of tasks that finished in `state`, the first in front.
pub(in crate::state::queue) fn finished(state: TaskState) -> Key {
    Key::of(FINISHED).byte(state_byte(state))
}

/// The rows of tasks that finished in `state` before `time`.
pub(in crate::state::queue) fn finished_before(state: TaskState, time: Timestamp) -> KeyRange {
    let rows = finished(state);
    rows.clone().range().until(&rows.time(time).0)
}

/// The rows, one at most, of the task with that idempotency key.
pub(in crate::state::queue) fn known_by(name: &str) -> Key {
    Key::of(KNOWN).name(name.as_bytes())
}

/// The rows of tasks in `state`. A task that waits for several others has several.
pub(in crate::state::queue) fn in_state(state: TaskState) -> KeyRange {
    match state {
        TaskState::Ready => KeyRange::prefix(&[QUEUE]).until(&waiting().0),
        TaskState::Scheduled => delayed().range(),
        TaskState::Waiting => KeyRange::prefix(&[QUEUE]).until(&leases().0),
        TaskState::Claimed => leases().range(),
        state => finished(state).range(),
    }
}

/// The kind of an index row of a task that is neither claimed nor finished.
pub(in crate::state::queue) enum OpenRow {
    /// Bots to which the lane is open can claim the task.
    In(Lane),
    /// The start time is in the future, or has passed since the last claim.
    Delayed(Timestamp),
    /// The task waits for another task.
    Waiting,
}

/// Reads the kind of an index row of a task that is neither claimed nor finished.
pub(in crate::state::queue) fn open(row: &[u8]) -> Result<OpenRow> {
    match row {
        [QUEUE, READY, ..] => Lane::of_row(row).map(OpenRow::In),
        [QUEUE, DELAYED, ..] => time_of(row).map(OpenRow::Delayed),
        [QUEUE, WAITING, ..] => Ok(OpenRow::Waiting),
        _ => Err(wrong(row)),
    }
}

/// The id of the task that a row is of, at the end of its key.
pub(in crate::state::queue) fn task_of(row: &[u8]) -> Result<TaskId> {
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
pub(in crate::state::queue) fn time_of(row: &[u8]) -> Result<Timestamp> {
    let [QUEUE, DELAYED | LEASE, rest @ ..] = row else { return Err(wrong(row)) };
    behind_time(rest).map(|(time, _)| time).ok_or_else(|| wrong(row))
}

/// The time at the start of a key, and the rest.
pub(in crate::state::queue) fn behind_time(key: &[u8]) -> Option<(Timestamp, &[u8])> {
    let (micros, rest) = key.split_first_chunk::<8>()?;
    let micros = (u64::from_be_bytes(*micros) ^ SIGN).cast_signed();
    Timestamp::from_microsecond(micros).ok().map(|time| (time, rest))
}

/// The dependency of the task of a row, if the row is of a waiting task.
pub(in crate::state::queue) fn waited_for(row: &[u8]) -> Result<Option<TaskId>> {
    let [QUEUE, WAITING, rest @ ..] = row else { return Ok(None) };
    let name = rest.split(|byte| *byte == END).next().unwrap_or_default();
    TaskId::from_key(name).map(Some)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::queue::tasks::task::Priority;

    #[test]
    fn times_sort_in_keys_as_they_do_in_life() {
        let times = [-2_000_000, -1, 0, 1, 5_000_000].map(|micros| Timestamp::from_microsecond(micros).unwrap());
        let keys = times.map(|time| delayed().time(time).0);
        assert!(keys.is_sorted());
        assert_eq!(keys.map(|key| time_of(&key).unwrap()), times);
    }

    #[test]
    fn a_row_that_is_cut_off_is_an_error() {
        let lane = Lane::of(None, &["a".to_owned()].into());
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
