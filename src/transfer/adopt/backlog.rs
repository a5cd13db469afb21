//! `backlog.json`: the tasks.
//!
//! A task with the status DONE becomes done. One with TODO, QUEUED, ASSIGNED or IN_PROGRESS becomes ready: no bot holds
//! a claim here, and only the bot to which it is assigned may claim it. That bot is its assignee.
//!
//! The payload consists of title and description. Every field without a place in a task becomes an attribute, as do
//! title, description and the original text of the status.
//!
//! A task does not wait for a dependency on a missing task, because nothing would ever end the wait: most often that
//! task was finished and deleted. The dependency is reported, and kept as an attribute. A task waits for a task of the
//! same file that could not be adopted.

use std::collections::BTreeSet;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Map, Value};

use super::input::PART_MAX;
use super::marks::Mark;
use super::members;
use super::report::AdoptThing;
use super::work::{FileWork, Seen, Taking};
use crate::engine::records::Records;
use crate::error::{Error, ErrorKind, Result};
use crate::state::ids::{BotId, TaskId};
use crate::state::queue::{NewTask, Priority};

/// A task from a file, with the parts that were changed.
struct ReadTask {
    task: NewTask,
    /// Whether it waits for others. A finished task does not.
    waits: bool,
    /// The ids of its dependencies.
    dependencies: Vec<TaskId>,
    /// All its dependencies in their original form.
    written: Option<Value>,
    attributes: Map<String, Value>,
    problems: Vec<String>,
}

/// The meaning of a status.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Status {
    Ready,
    /// It was assigned to a bot.
    Held,
    Done,
}

/// Adopts `{"backlog": [{..}, ..], ..}`.
pub(super) fn adopt(work: &mut FileWork<'_>) -> Result<()> {
    let Some(mut members) = work.object()? else { return Ok(()) };
    let Some(Value::Array(tasks)) = members.shift_remove("backlog") else {
        work.file.problem("", "it has no field backlog with an array", false);
        return Ok(());
    };
    let in_file: BTreeSet<TaskId> = tasks.iter().filter_map(|task| id_of(task).ok()).collect();
    work.load("all tasks", |taking| {
        taking.members = members;
        tasks.into_iter().enumerate().try_for_each(|(index, task)| take(taking, index, task, &in_file))
    })
}

fn id_of(task: &Value) -> Result<TaskId> {
    let id = task.get("id").and_then(Value::as_str);
    TaskId::new(id.ok_or_else(|| Error::invalid("it has no id, or its id is not a string"))?)
}

fn take(taking: &mut Taking<'_, '_>, index: usize, task: Value, in_file: &BTreeSet<TaskId>) -> Result<()> {
    let text = task.to_string();
    let id = match id_of(&task) {
        Ok(id) => id,
        Err(error) => return taking.problem(format!("element {index}"), error.to_string(), text.as_bytes()),
    };
    let place = format!("task {id}");
    if text.len() > PART_MAX {
        return taking.problem(place, format!("it is too long: limit={PART_MAX}"), &[]);
    }
    let mark = Mark::new("task", &[text.as_bytes()]);
    if taking.seen(&mark, |tx, _| Ok(tx.queue().get(&id)?.is_some()))? == Seen::Before {
        return Ok(());
    }
    let members = task.as_object().cloned().unwrap_or_default();
    let read = match read(&id, members, &taking.options.time_zone, taking.tx.now()) {
        Ok(read) => read,
        Err(error) => return taking.problem(place, error.to_string(), text.as_bytes()),
    };
    if taking.tx.queue().get(&id)?.is_some() {
        let why = "the store already has another task with that id, which stays";
        return taking.problem(place, why, text.as_bytes());
    }
    match enqueue(taking, &place, read, &text, in_file) {
        Err(error) if error.kind() == ErrorKind::Invalid => taking.problem(place, error.to_string(), text.as_bytes()),
        enqueued => {
            enqueued?;
            taking.file.took(AdoptThing::Tasks, 1);
            mark.write(taking.tx, 0)
        }
    }
}

/// Puts the task into the queue, and reports changes.
fn enqueue(
    taking: &mut Taking<'_, '_>,
    place: &str,
    mut read: ReadTask,
    text: &str,
    in_file: &BTreeSet<TaskId>,
) -> Result<()> {
    let mut waits_for = Vec::new();
    for id in read.dependencies {
        if !read.waits || in_file.contains(&id) || taking.tx.queue().get(&id)?.is_some() {
            waits_for.push(id);
        } else {
            read.problems.push(format!("it does not wait for a task that does not exist: dependency={id}"));
        }
    }
    let with = |attributes: &Map<String, Value>| read.task.clone().attributes(attributes.clone());
    let keep_dependencies = |attributes: &mut Map<String, Value>| {
        if let Some(written) = &read.written {
            attributes.insert("dependencies".to_owned(), written.clone());
        }
    };
    if !read.problems.is_empty() {
        keep_dependencies(&mut read.attributes);
    }
    // A later task of the file does not exist yet.
    let waiting = waits_for.into_iter().fold(with(&read.attributes), NewTask::after).allow_missing_dependencies();
    match taking.tx.queue().enqueue(waiting) {
        Err(error) if error.kind() == ErrorKind::Invalid => {
            keep_dependencies(&mut read.attributes);
            read.problems.push(format!("it waits for no other task: {error}"));
            taking.tx.queue().enqueue(with(&read.attributes))?;
        }
        enqueued => drop(enqueued?),
    }
    read.problems.into_iter().try_for_each(|why| taking.problem(place, why, text.as_bytes()))
}

/// The task in an object.
///
/// # Errors
///
/// `Invalid` when its status is unknown. To guess whether work remains would be wrong.
fn read(id: &TaskId, mut members: Map<String, Value>, zone: &TimeZone, now: Timestamp) -> Result<ReadTask> {
    let status = status(members.get("status"))?;
    members.shift_remove("id");
    let mut problems = Vec::new();
    let mut task = NewTask::new(payload(&members)).id(id.clone());
    match members::parsed(&mut members, "priority", str::parse::<Priority>) {
        Ok(priority) => task = task.priority(priority.unwrap_or_default()),
        Err(error) => problems.push(format!("it was given priority {}: {error}", Priority::default())),
    }
    match members::parsed(&mut members, "assigned_to", str::parse::<BotId>) {
        Ok(Some(bot)) => task = task.assign_to(bot),
        Ok(None) if status == Status::Held => {
            problems.push("it was assigned to an unnamed bot: any bot may claim it".to_owned());
        }
        Ok(None) => {}
        Err(error) => problems.push(format!("any bot may claim it: {error}")),
    }
    if let Some(at) =
        members.get("created_at").and_then(Value::as_str).and_then(|text| super::times::read(text, zone).ok())
    {
        task = task.enqueued_at(at);
    }
    if status == Status::Done {
        task = done(task, &mut members, zone, now, &mut problems);
    }
    let written = members.shift_remove("dependencies");
    let dependencies = dependencies(written.as_ref(), &mut problems);
    let waits = status != Status::Done;
    Ok(ReadTask { task, waits, dependencies, written, attributes: members, problems })
}

fn status(status: Option<&Value>) -> Result<Status> {
    let written = status.and_then(Value::as_str).unwrap_or_default();
    match written.to_ascii_uppercase().as_str() {
        "DONE" => Ok(Status::Done),
        "TODO" | "QUEUED" => Ok(Status::Ready),
        "ASSIGNED" | "IN_PROGRESS" => Ok(Status::Held),
        _ => {
            let status: String = status.unwrap_or(&Value::Null).to_string().chars().take(80).collect();
            Err(Error::invalid(format!(
                "its status is unknown; known are DONE, TODO, QUEUED, ASSIGNED and IN_PROGRESS: status={status}"
            )))
        }
    }
}

/// The payload of a task.
fn payload(members: &Map<String, Value>) -> Value {
    let said =
        ["title", "description"].into_iter().filter_map(|name| Some((name.to_owned(), members.get(name)?.clone())));
    Value::Object(said.collect())
}

/// The bot that finished the task, the time and the result. The original text of the time stays an attribute.
fn done(
    task: NewTask,
    members: &mut Map<String, Value>,
    zone: &TimeZone,
    now: Timestamp,
    problems: &mut Vec<String>,
) -> NewTask {
    let by = members::parsed(members, "completed_by", str::parse::<BotId>).unwrap_or_else(|error| {
        problems.push(format!("kept as an attribute: {error}"));
        None
    });
    let at = match members.get("completed_at") {
        None | Some(Value::Null) => Ok(now),
        Some(Value::String(text)) => super::times::read(text, zone),
        Some(_) => Err(Error::invalid("it is no text")),
    };
    let at = at.unwrap_or_else(|error| {
        problems.push(format!("it counts as finished now: completed_at: {error}"));
        now
    });
    task.done(at, by, members.shift_remove("result").unwrap_or_default())
}

/// The ids among the dependencies.
fn dependencies(written: Option<&Value>, problems: &mut Vec<String>) -> Vec<TaskId> {
    let listed = match written {
        None | Some(Value::Null) => return Vec::new(),
        Some(Value::Array(listed)) => listed,
        Some(_) => {
            problems.push("its dependencies are not an array".to_owned());
            return Vec::new();
        }
    };
    let mut ids = Vec::new();
    for one in listed {
        match one.as_str().map(TaskId::new) {
            Some(Ok(id)) => ids.push(id),
            Some(Err(error)) => problems.push(format!("a dependency is ignored: {error}")),
            None => problems.push("a dependency is ignored: it is not a string".to_owned()),
        }
    }
    ids
}
