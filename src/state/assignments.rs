//! Assignments: the tasks that each bot holds.
//!
//! An assignment follows from a task, and is written in the same transaction as the task: a claimed task is its
//! holder's; a ready task that is assigned to a bot is that bot's; no other task is anybody's.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::engine::codec::{self, Stored};
use crate::engine::records::{KeyRange, Records, Row, scan};
use crate::engine::schema::CollectionId;
use crate::engine::view::View;
use crate::engine::write::WriteTx;
use crate::error::{Error, Result};
use crate::state::ids::{BotId, TaskId};
use crate::state::page::KeyedPage;
use crate::state::queue::Task;

/// Between the bot and the task in a key; no name has it in it.
const END: u8 = 0;

/// A task that is a bot's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// The bot.
    pub bot: BotId,
    /// The task.
    pub task: TaskId,
    /// Why the task is the bot's.
    pub hold: AssignmentKind,
    /// Since when.
    #[serde(with = "crate::clock::time")]
    pub since: Timestamp,
}

/// Why a task is a bot's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AssignmentKind {
    /// It is ready, and no other bot may claim it.
    Assigned,
    /// The bot has claimed it.
    Claimed,
}

impl Stored for Assignment {
    const VERSION: u8 = 1;
    const WHAT: &'static str = "an assignment";
}

/// The assignments. Only the queue changes them: by assigning, claiming, and the end of a claim.
pub struct Assignments<R> {
    records: R,
}

impl WriteTx<'_> {
    /// The assignments.
    pub fn assignments(&self) -> Assignments<&Self> {
        Assignments { records: self }
    }
}

impl View {
    /// The assignments, as this view sees them.
    pub fn assignments(&self) -> Assignments<&Self> {
        Assignments { records: self }
    }
}

#[expect(private_bounds, reason = "callers cannot name the reader behind assignments")]
impl<R: Records> Assignments<R> {
    /// The assignment of that task to that bot.
    ///
    /// # Errors
    ///
    /// `Damaged` when it cannot be read.
    pub fn get(&self, bot: &BotId, task: &TaskId) -> Result<Option<Assignment>> {
        let key = key(bot, task);
        let payload = self.records.get(CollectionId::ASSIGNMENTS, &key)?;
        payload.map(|payload| from_record(&key, &payload)).transpose()
    }

    /// Every assignment, in order of bots and tasks.
    ///
    /// # Errors
    ///
    /// `Damaged` for one that cannot be read.
    ///
    /// # Examples
    ///
    /// ```
    /// use hivekeep::{AssignmentKind, BotId, ClaimOptions, NewTask, Store};
    ///
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = Store::open(dir.path().join("hive.redb"))?;
    /// let bot = BotId::new("BOT-1")?;
    /// store.write(|tx| {
    ///     tx.queue().enqueue(NewTask::new("build"))?;
    ///     tx.queue().claim(&bot, &ClaimOptions::default())
    /// })?;
    /// for assignment in store.view()?.assignments().list() {
    ///     assert_eq!(assignment?.hold, AssignmentKind::Claimed);
    /// }
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn list(&self) -> impl Iterator<Item = Result<Assignment>> + '_ {
        self.range(KeyRange::all())
    }

    /// The assignments of one bot, in order of tasks.
    ///
    /// # Errors
    ///
    /// `Damaged` for one that cannot be read.
    pub fn of(&self, bot: &BotId) -> impl Iterator<Item = Result<Assignment>> + '_ {
        self.range(KeyRange::prefix(&key_of_bot(bot)))
    }

    /// At most `limit` assignments (at least one), all or those of one bot, in order of bots and tasks; `cursor` is the
    /// `next` of the page before.
    ///
    /// # Errors
    ///
    /// `Invalid` for a cursor that no page of this list has given. `Damaged` for one that cannot be read.
    pub fn page(&self, bot: Option<&BotId>, cursor: Option<&str>, limit: usize) -> Result<KeyedPage<Assignment>> {
        let range = bot.map_or_else(KeyRange::all, |bot| KeyRange::prefix(&key_of_bot(bot)));
        let read = |(key, payload): Row| from_record(&key, &payload);
        KeyedPage::read(&self.records, CollectionId::ASSIGNMENTS, range, (cursor, limit), read)
    }

    fn range(&self, range: KeyRange) -> impl Iterator<Item = Result<Assignment>> + '_ {
        let rows = scan(&self.records, CollectionId::ASSIGNMENTS, range);
        rows.map(|row| row.and_then(|(key, payload)| from_record(&key, &payload)))
    }
}

/// Lets the assignments follow a change of a task.
pub(super) fn follow(tx: &mut WriteTx<'_>, before: Option<&Task>, after: Option<&Task>) -> Result<()> {
    let (was, is) = (before.and_then(held), after.and_then(held));
    if was == is {
        return Ok(());
    }
    if let (Some((bot, _, _)), Some(task)) = (was, before)
        && is.is_none_or(|(other, _, _)| other != bot)
    {
        tx.remove(CollectionId::ASSIGNMENTS, &key(bot, &task.id))?;
    }
    if let (Some((bot, hold, since)), Some(task)) = (is, after) {
        let since = since.unwrap_or_else(|| tx.now());
        let assignment = Assignment { bot: bot.clone(), task: task.id.clone(), hold, since };
        tx.put(CollectionId::ASSIGNMENTS, &key(bot, &task.id), &codec::encode(&assignment)?)?;
    }
    Ok(())
}

/// Reads the assignment that follows from a task, before that is changed: one that is damaged could not follow.
pub(super) fn read_for<R: Records>(records: &R, task: &Task) -> Result<()> {
    match held(task) {
        Some((bot, _, _)) => Assignments { records }.get(bot, &task.id).map(drop),
        None => Ok(()),
    }
}

/// The key of the assignment that follows from a task, if one does.
pub(crate) fn key_of(task: &Task) -> Option<Vec<u8>> {
    held(task).map(|(bot, _, _)| key(bot, &task.id))
}

/// The key of the assignment of a task to a bot, whether these are names or not.
pub(crate) fn key_of_names(bot: &str, task: &str) -> Vec<u8> {
    [bot.as_bytes(), &[END], task.as_bytes()].concat()
}

/// The names of bot and task in a key.
pub(crate) fn names_of(key: &[u8]) -> Option<(&str, &str)> {
    std::str::from_utf8(key).ok()?.split_once(char::from(END))
}

/// Whose a task is and why, and since when if that follows from it.
fn held(task: &Task) -> Option<(&BotId, AssignmentKind, Option<Timestamp>)> {
    match (&task.holder, &task.assigned_to) {
        (Some(holder), _) => Some((&holder.bot, AssignmentKind::Claimed, Some(holder.since))),
        (None, Some(bot)) if !task.state.is_finished() => Some((bot, AssignmentKind::Assigned, None)),
        _ => None,
    }
}

/// Reports every task without the assignment that follows from it, and every assignment that follows from no task.
///
/// # Errors
///
/// `Damaged` when a task or an assignment cannot be read.
pub(crate) fn check_assignments<R: Records>(records: &R, report: &mut dyn FnMut(String)) -> Result<()> {
    let assignments = Assignments { records };
    let tasks = scan(records, CollectionId::QUEUE, KeyRange::all());
    for row in tasks {
        let (key, payload) = row?;
        let task = Task::from_record(&key, &payload)?;
        if let Some((bot, _, _)) = held(&task)
            && assignments.get(bot, &task.id)?.is_none()
        {
            report(format!("a task has no assignment: task={} bot={bot}", task.id));
        }
    }
    for assignment in assignments.list() {
        let assignment = assignment?;
        if !follows(records, &assignment)? {
            let Assignment { bot, task, .. } = assignment;
            report(format!("an assignment does not follow from its task: task={task} bot={bot}"));
        }
    }
    Ok(())
}

/// Repairs everything that [`check_assignments`] would report. Returns the number of changed assignments.
pub(crate) fn mend_assignments(tx: &mut WriteTx<'_>) -> Result<u64> {
    let mut wrong = Vec::new();
    for assignment in (Assignments { records: &*tx }).list() {
        let assignment = assignment?;
        if !follows(&*tx, &assignment)? {
            wrong.push(key(&assignment.bot, &assignment.task));
        }
    }
    let mut mended = wrong.len() as u64;
    for key in wrong {
        tx.remove(CollectionId::ASSIGNMENTS, &key)?;
    }
    tx.each_to_change(CollectionId::QUEUE, |tx, key, payload| {
        let task = Task::from_record(key, payload)?;
        if let Some(key) = key_of(&task)
            && tx.get(CollectionId::ASSIGNMENTS, &key)?.is_none()
        {
            mended += 1;
            follow(tx, None, Some(&task))?;
        }
        Ok(())
    })?;
    Ok(mended)
}

fn follows<R: Records>(records: &R, assignment: &Assignment) -> Result<bool> {
    let key = assignment.task.as_bytes();
    let Some(payload) = records.get(CollectionId::QUEUE, key)? else { return Ok(false) };
    let task = Task::from_record(key, &payload)?;
    Ok(held(&task).is_some_and(|(bot, hold, since)| {
        *bot == assignment.bot && hold == assignment.hold && since.is_none_or(|since| since == assignment.since)
    }))
}

fn key_of_bot(bot: &BotId) -> Vec<u8> {
    [bot.as_bytes(), &[END]].concat()
}

fn key(bot: &BotId, task: &TaskId) -> Vec<u8> {
    [&key_of_bot(bot), task.as_bytes()].concat()
}

fn from_record(found: &[u8], payload: &[u8]) -> Result<Assignment> {
    let assignment: Assignment = codec::decode(payload)?;
    if key(&assignment.bot, &assignment.task) != found {
        let (bot, task) = (&assignment.bot, &assignment.task);
        let found = found.escape_ascii();
        return Err(Error::damaged(format!(
            "an assignment stands under another's key: key={found} bot={bot} task={task}"
        )));
    }
    Ok(assignment)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::queue::NewTask;
    use crate::testkit::checked_store::{Fixture, time};

    #[test]
    fn an_assignment_that_does_not_follow_from_a_task_is_found_and_so_is_a_missing_one() {
        let hive = Fixture::new();
        let bot = BotId::new("bee").unwrap();
        let task = hive.write(|tx| tx.queue().enqueue(NewTask::new("x").assign_to(bot.clone())));
        let key = key_of(&task).unwrap();
        let findings = |change: &dyn Fn(&mut WriteTx<'_>) -> Result<()>| {
            hive.store.write(change).unwrap();
            let mut found = Vec::new();
            check_assignments(&hive.view(), &mut |finding| found.push(finding)).unwrap();
            found
        };
        assert_eq!(findings(&|_| Ok(())), [""; 0]);
        let missing = findings(&|tx| tx.remove(CollectionId::ASSIGNMENTS, &key).map(drop));
        assert_eq!(missing, ["a task has no assignment: task=task-1 bot=bee"]);
        let claimed =
            Assignment { bot: bot.clone(), task: task.id.clone(), hold: AssignmentKind::Claimed, since: time(0) };
        let wrong = findings(&|tx| tx.put(CollectionId::ASSIGNMENTS, &key, &codec::encode(&claimed)?));
        assert_eq!(wrong, ["an assignment does not follow from its task: task=task-1 bot=bee"]);
    }

    #[test]
    fn a_bot_has_its_own_assignments_and_not_those_of_a_bot_whose_name_begins_like_its_own() {
        let hive = Fixture::new();
        for (name, task) in [("bee", "a"), ("bee2", "b"), ("bee", "c")] {
            let new = NewTask::new(1).id(TaskId::new(task).unwrap()).assign_to(BotId::new(name).unwrap());
            hive.write(|tx| tx.queue().enqueue(new));
        }
        let of = |name| {
            let view = hive.view();
            let (assignments, bot) = (view.assignments(), BotId::new(name).unwrap());
            assignments.of(&bot).map(|found| found.unwrap().task.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(of("bee"), ["a", "c"]);
        assert_eq!(of("be"), [""; 0]);
    }

    #[test]
    fn the_bytes_of_an_assignment_are_fixed() {
        let assignment = Assignment {
            bot: BotId::new("b").unwrap(),
            task: TaskId::new("t").unwrap(),
            hold: AssignmentKind::Claimed,
            since: Timestamp::from_microsecond(5).unwrap(),
        };
        let bytes = codec::encode(&assignment).unwrap();
        assert_eq!(bytes, b"\x01\x01b\x01t\x01\x0a");
        assert_eq!(from_record(b"b\0t", &bytes).unwrap(), assignment);
        assert!(from_record(b"b\0u", &bytes).is_err());
    }
}
