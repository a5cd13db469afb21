//! How each sort of record looks in a table.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use crate::clock::show_time;
use crate::engine::point::Origin;
use crate::face::cli::table::{Columns, shortened};
use crate::face::summary::show_bytes;
use crate::recovery::backups::{Backup, BackupOf};
use crate::recovery::diff::ChangeKind;
use crate::recovery::events::Event;
use crate::recovery::points::Point;
use crate::recovery::versions::Version;
use crate::state::assignments::{Assignment, Hold};
use crate::state::audit::Entry;
use crate::state::chat::Message;
use crate::state::queue::Task;
use crate::state::registry::Bot;

/// What is longer is cut in a table; JSON has it whole.
const TEXT_MAX: usize = 100;

impl Columns for Bot {
    const HEAD: &'static [&'static str] = &["BOT", "KIND", "STATUS", "PORT", "REPO", "CAN", "LAST HEARD OF"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.id.to_string(),
            or_dash(self.kind.as_ref()),
            or_dash(self.status.as_ref()),
            or_dash(self.port),
            or_dash(self.repo.as_ref()),
            list(&self.specializations),
            or_dash(self.last_heartbeat.map(show_time)),
        ]
    }
}

impl Columns for Task {
    const HEAD: &'static [&'static str] = &["TASK", "PRIORITY", "STATE", "BOT", "ATTEMPTS", "PAYLOAD"];

    fn cells(&self) -> Vec<String> {
        let bot = self.holder.as_ref().map(|holder| &holder.bot).or(self.finished_by.as_ref());
        vec![
            self.id.to_string(),
            self.priority.to_string(),
            self.state.to_string(),
            or_dash(bot.or(self.assigned_to.as_ref())),
            format!("{}/{}", self.attempts, self.max_attempts),
            compact(&self.payload),
        ]
    }
}

impl Columns for Assignment {
    const HEAD: &'static [&'static str] = &["BOT", "TASK", "HOLD", "SINCE"];

    fn cells(&self) -> Vec<String> {
        let hold = match self.hold {
            Hold::Assigned => "assigned",
            Hold::Claimed => "claimed",
        };
        vec![self.bot.to_string(), self.task.to_string(), hold.to_owned(), show_time(self.since)]
    }
}

impl Columns for Message {
    const HEAD: &'static [&'static str] = &["NUMBER", "TIME", "CONVERSATION", "BOT", "ROLE", "CONTENT"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.sequence.to_string(),
            show_time(self.at),
            self.conversation.clone(),
            or_dash(self.bot.as_ref()),
            self.role.clone(),
            shortened(&self.content, TEXT_MAX),
        ]
    }
}

impl Columns for Entry {
    const HEAD: &'static [&'static str] = &["NUMBER", "TIME", "LEVEL", "ACTOR", "ACTION", "TARGET", "RESULT"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.sequence.to_string(),
            show_time(self.at),
            self.level.to_string(),
            self.actor.clone(),
            self.action.clone(),
            or_dash(self.target.as_ref()),
            or_dash(self.result.as_ref()),
        ]
    }
}

impl Columns for Event {
    const HEAD: &'static [&'static str] = &["TIME", "EVENT", "DETAILS"];

    fn cells(&self) -> Vec<String> {
        vec![show_time(self.at), self.kind.to_string(), members(&self.details)]
    }
}

impl Columns for Backup {
    const HEAD: &'static [&'static str] = &["BACKUP", "TIME", "KIND", "OF", "ITEMS", "SIZE", "SOURCE"];

    fn cells(&self) -> Vec<String> {
        let of = match self.of {
            BackupOf::Live => "live",
            BackupOf::Documents => "documents",
        };
        vec![
            self.backup_id.clone(),
            show_time(self.timestamp),
            self.backup_type.to_string(),
            of.to_owned(),
            self.item_count.to_string(),
            show_bytes(self.size_bytes),
            format!("{}{}", self.source, tags(&self.tags)),
        ]
    }
}

impl Columns for Version {
    const HEAD: &'static [&'static str] = &["CHANGE", "AFTER", "BY THEN", "WHO", "POINTS", "NEWEST POINT", "VALUE"];

    fn cells(&self) -> Vec<String> {
        let change = match self.change {
            Some(ChangeKind::Added) => "added",
            Some(ChangeKind::Changed) => "changed",
            Some(ChangeKind::Removed) => "removed",
            None => "-",
        };
        let who = self.by.as_ref().map(|by| format!("{} ({})", by.actor, by.action));
        let value = if self.value.is_null() { "-".to_owned() } else { self.value.to_string() };
        vec![
            change.to_owned(),
            or_dash(self.changed_after.map(show_time).as_ref()),
            or_dash(self.changed_before.map(show_time).as_ref()),
            or_dash(who.as_ref()),
            self.points.to_string(),
            or_dash(self.point.as_ref().map(|held| &held.point)),
            shortened(&value, TEXT_MAX),
        ]
    }
}

impl Columns for Point {
    const HEAD: &'static [&'static str] = &["POINT", "TIME", "ORIGIN", "HELD", "RECORDS", "DESCRIPTION"];

    fn cells(&self) -> Vec<String> {
        let visible = self.collections.iter().filter(|(name, _)| !name.starts_with('#'));
        vec![
            or_dash(self.given_id()),
            show_time(self.timestamp),
            format!("{}{}", origin(self), if self.partial { ", partial" } else { "" }),
            if self.held { "held" } else { "-" }.to_owned(),
            visible.map(|(_, stats)| stats.count).sum::<u64>().to_string(),
            format!("{}{}", self.description, tags(&self.tags)).trim_start().to_owned(),
        ]
    }
}

/// A record of a collection that has no columns of its own.
#[derive(Serialize)]
pub(super) struct KeyValue {
    pub(super) key: String,
    pub(super) value: Value,
}

impl Columns for KeyValue {
    const HEAD: &'static [&'static str] = &["KEY", "VALUE"];

    fn cells(&self) -> Vec<String> {
        vec![self.key.clone(), compact(&self.value)]
    }
}

/// Why a point was made, in a word.
pub(super) fn origin(point: &Point) -> &'static str {
    match point.origin {
        Some(Origin::Live) if point.manual => "manual",
        Some(Origin::Live) => "automatic",
        Some(Origin::Documents) => "documents",
        Some(Origin::Adopted) => "adopted",
        Some(Origin::Safety) => "safety",
        None => "commit",
    }
}

/// JSON on one line, as much as fits.
fn compact(value: &Value) -> String {
    shortened(&value.to_string(), TEXT_MAX)
}

/// The members of an object as `name=value`; texts without quotes.
fn members(value: &Value) -> String {
    let Value::Object(members) = value else { return value.to_string() };
    let shown = members.iter().map(|(name, value)| match value {
        Value::String(text) => format!("{name}={text}"),
        value => format!("{name}={value}"),
    });
    shown.collect::<Vec<_>>().join(" ")
}

fn tags(tags: &BTreeMap<String, String>) -> String {
    tags.iter().map(|(name, value)| format!(" {name}={value}")).collect()
}

fn list(names: &BTreeSet<String>) -> String {
    if names.is_empty() { "-".to_owned() } else { names.iter().map(String::as_str).collect::<Vec<_>>().join(",") }
}

fn or_dash<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}
