//! The columns of each type of record.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use crate::face::cli::printing::screen::Cell;
use crate::face::cli::printing::table::{Columns, shortened};
use crate::text::show_bytes;
use crate::{
    Assignment, AssignmentKind, Backup, BackupOf, Bot, ChangeKind, Entry, Event, Key, Message, Origin, Point, Schedule,
    Task, Version,
};

/// The maximum length of a text in a table; JSON has all of it.
const TEXT_MAX: usize = 100;

impl Columns for Bot {
    const HEAD: &'static [&'static str] = &["BOT", "KIND", "STATUS", "PORT", "REPO", "CAN", "LAST HEARD OF"];

    fn cells(&self) -> Vec<Cell> {
        vec![
            Cell::Name(self.id.to_string()),
            or_dash(self.kind.as_ref()),
            or_dash(self.status.as_ref()),
            or_dash(self.port),
            or_dash(self.repo.as_ref()),
            list(&self.specializations).into(),
            Cell::time(self.last_heartbeat),
        ]
    }
}

impl Columns for Task {
    const HEAD: &'static [&'static str] = &["TASK", "PRIORITY", "STATE", "BOT", "ATTEMPTS", "PAYLOAD"];

    fn cells(&self) -> Vec<Cell> {
        let bot = self.holder.as_ref().map(|holder| &holder.bot).or(self.finished_by.as_ref());
        vec![
            Cell::Name(self.id.to_string()),
            self.priority.to_string().into(),
            self.state.to_string().into(),
            name(bot.or(self.assigned_to.as_ref())),
            format!("{}/{}", self.attempts, self.max_attempts).into(),
            compact(&self.payload).into(),
        ]
    }
}

impl Columns for Schedule {
    const HEAD: &'static [&'static str] = &["SCHEDULE", "DUE", "NEXT", "LAST TASK", "PAYLOAD"];

    fn cells(&self) -> Vec<Cell> {
        vec![
            Cell::Name(self.name.to_string()),
            self.timing.to_string().into(),
            if self.paused { "paused".into() } else { Cell::time(self.next_at) },
            name(self.last_task.as_ref()),
            compact(self.task.payload()).into(),
        ]
    }
}

impl Columns for Assignment {
    const HEAD: &'static [&'static str] = &["BOT", "TASK", "HOLD", "SINCE"];

    fn cells(&self) -> Vec<Cell> {
        let hold = match self.hold {
            AssignmentKind::Assigned => "assigned",
            AssignmentKind::Claimed => "claimed",
        };
        vec![Cell::Name(self.bot.to_string()), Cell::Name(self.task.to_string()), hold.into(), Cell::Time(self.since)]
    }
}

impl Columns for Key {
    const HEAD: &'static [&'static str] = &["KEY", "ROLE", "BOT", "STATE", "CREATED", "EXPIRES", "LAST USED"];

    fn cells(&self) -> Vec<Cell> {
        vec![
            Cell::Name(self.name.to_string()),
            self.role.as_str().into(),
            name(self.bot.as_ref()),
            self.state.as_str().into(),
            Cell::Time(self.created_at),
            Cell::time(self.expires_at),
            Cell::time(self.last_used_at),
        ]
    }
}

impl Columns for Message {
    const HEAD: &'static [&'static str] = &["NUMBER", "TIME", "CONVERSATION", "BOT", "ROLE", "CONTENT"];

    fn cells(&self) -> Vec<Cell> {
        vec![
            self.sequence.to_string().into(),
            Cell::Time(self.at),
            Cell::Name(self.conversation.clone()),
            name(self.bot.as_ref()),
            self.role.clone().into(),
            shortened(&self.content, TEXT_MAX).into(),
        ]
    }
}

impl Columns for Entry {
    const HEAD: &'static [&'static str] = &["NUMBER", "TIME", "LEVEL", "ACTOR", "ACTION", "TARGET", "RESULT"];

    fn cells(&self) -> Vec<Cell> {
        vec![
            self.sequence.to_string().into(),
            Cell::Time(self.at),
            self.level.to_string().into(),
            Cell::Name(self.actor.clone()),
            self.action.clone().into(),
            target(self.target.as_deref()),
            or_dash(self.result.as_ref()),
        ]
    }
}

impl Columns for Event {
    const HEAD: &'static [&'static str] = &["TIME", "EVENT", "DETAILS"];

    fn cells(&self) -> Vec<Cell> {
        vec![Cell::Time(self.at), self.kind.to_string().into(), Cell::Members(self.details.clone())]
    }
}

impl Columns for Backup {
    const HEAD: &'static [&'static str] = &["BACKUP", "TIME", "KIND", "OF", "ITEMS", "SIZE", "SOURCE"];

    fn cells(&self) -> Vec<Cell> {
        let of = match self.of {
            BackupOf::Live => "live",
            BackupOf::Documents => "documents",
        };
        vec![
            Cell::Id(self.backup_id.clone()),
            Cell::Time(self.timestamp),
            self.backup_type.to_string().into(),
            of.to_owned().into(),
            self.item_count.to_string().into(),
            show_bytes(self.size_bytes).into(),
            format!("{}{}", self.source, tags(&self.tags)).into(),
        ]
    }
}

impl Columns for Version {
    const HEAD: &'static [&'static str] = &["CHANGE", "AFTER", "BY THEN", "WHO", "POINTS", "NEWEST POINT", "VALUE"];

    fn cells(&self) -> Vec<Cell> {
        let change = match self.change {
            Some(ChangeKind::Added) => "added",
            Some(ChangeKind::Changed) => "changed",
            Some(ChangeKind::Removed) => "removed",
            Some(ChangeKind::Lost) => "lost in a repair",
            None => "-",
        };
        let who = self.by.as_ref().map(|by| format!("{} ({})", by.actor, by.action));
        let value = if self.value.is_null() { "-".to_owned() } else { self.value.to_string() };
        vec![
            change.into(),
            Cell::time(self.changed_after),
            Cell::time(self.changed_before),
            or_dash(who.as_ref()),
            self.points.to_string().into(),
            self.point.as_ref().map_or_else(|| "-".into(), |held| Cell::Id(held.point.to_string())),
            shortened(&value, TEXT_MAX).into(),
        ]
    }
}

impl Columns for Point {
    const HEAD: &'static [&'static str] = &["POINT", "TIME", "ORIGIN", "HELD", "RECORDS", "DESCRIPTION"];

    fn cells(&self) -> Vec<Cell> {
        let visible = self.collections.iter().filter(|(name, _)| !name.starts_with('#'));
        vec![
            self.given_id().map_or_else(|| "-".into(), |id| Cell::Id(id.to_string())),
            Cell::Time(self.timestamp),
            format!("{}{}", origin(self), if self.partial { ", partial" } else { "" }).into(),
            if self.held { "held" } else { "-" }.into(),
            // The point of a single commit stores no numbers.
            self.given_id()
                .map_or_else(|| "-".into(), |_| visible.map(|(_, stats)| stats.count).sum::<u64>().to_string().into()),
            format!("{}{}", self.description, tags(&self.tags)).trim_start().into(),
        ]
    }
}

/// A record of a collection that has no columns of its own.
#[derive(Serialize)]
pub(in crate::face::cli) struct KeyValue {
    pub(in crate::face::cli) key: String,
    pub(in crate::face::cli) value: Value,
}

impl Columns for KeyValue {
    const HEAD: &'static [&'static str] = &["KEY", "VALUE"];

    fn cells(&self) -> Vec<Cell> {
        vec![Cell::Name(self.key.clone()), compact(&self.value).into()]
    }
}

/// The origin of a point, in one word.
pub(in crate::face::cli) fn origin(point: &Point) -> &'static str {
    match point.origin {
        Some(Origin::Live) if point.manual => "manual",
        Some(Origin::Live) => "automatic",
        Some(Origin::Documents) => "documents",
        Some(Origin::Adopted) => "adopted",
        Some(Origin::Safety) => "safety",
        None => "commit",
    }
}

/// JSON on one line, shortened.
fn compact(value: &Value) -> String {
    shortened(&value.to_string(), TEXT_MAX)
}

fn tags(tags: &BTreeMap<String, String>) -> String {
    tags.iter().map(|(name, value)| format!(" {name}={value}")).collect()
}

fn list(names: &BTreeSet<String>) -> String {
    if names.is_empty() { "-".to_owned() } else { names.iter().map(String::as_str).collect::<Vec<_>>().join(",") }
}

/// A name that can be typed, or a dash.
fn name<T: ToString>(value: Option<T>) -> Cell {
    Cell::Name(value.map_or_else(|| "-".to_owned(), |value| value.to_string()))
}

/// The target of an entry: a name, or the path of a file.
fn target(target: Option<&str>) -> Cell {
    match target {
        Some(path) if Path::new(path).is_absolute() => Cell::Path(path.to_owned()),
        target => name(target),
    }
}

fn or_dash<T: ToString>(value: Option<T>) -> Cell {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string()).into()
}
