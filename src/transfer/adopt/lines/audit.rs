//! `*-activity.jsonl` and `registry-changes.jsonl`: each line is an action for the audit trail.
//!
//! Two forms of activities are known: `ts`, `agent_id`, `event`, and `timestamp`, `bot_id`, `event_type`. An
//! entry keeps the text of its line.

use serde_json::{Map, Value};

use super::super::members::{first_text, line_time, parsed, text};
use super::super::report::AdoptThing;
use super::each_line::{From, Record};
use crate::engine::write::WriteTx;
use crate::error::Result;
use crate::state::audit::NewEntry;

/// The action of an activity that names none.
const ACTIVITY: &str = "activity";
/// The action of a change of the registry that names none.
const CHANGE: &str = "registry_change";
/// The actor of changes of the registry.
const REGISTRY: &str = "registry";

/// Something that a bot did.
pub(in super::super) struct Activity;

/// Something that was done to the registry.
pub(in super::super) struct RegistryChanges;

impl Record for Activity {
    type New = NewEntry;
    const THING: AdoptThing = AdoptThing::AuditEntries;
    const MARK: &'static str = "activity";

    fn read(mut members: Map<String, Value>, from: &From<'_>) -> Result<NewEntry> {
        let (at, _) = line_time(&mut members, &["ts", "timestamp"], from.zone)?;
        let action = first_text(&mut members, &["event", "event_type", "action"]);
        let of_file = from.file.strip_suffix("-activity").unwrap_or(from.file);
        let actor = first_text(&mut members, &["agent_id", "bot_id", "actor"]);
        let entry = NewEntry::new(action.as_deref().unwrap_or(ACTIVITY), actor.as_deref().unwrap_or(of_file));
        Ok(NewEntry {
            at: Some(at),
            target: text(&mut members, "target"),
            level: parsed(&mut members, "level", str::parse).ok().flatten().unwrap_or_default(),
            result: text(&mut members, "result"),
            details: Value::Object(members),
            original: Some(from.line.to_owned()),
            ..entry
        })
    }

    fn append(tx: &mut WriteTx<'_>, new: NewEntry) -> Result<u64> {
        tx.audit().append(new)
    }
}

impl Record for RegistryChanges {
    type New = NewEntry;
    const THING: AdoptThing = AdoptThing::AuditEntries;
    const MARK: &'static str = "registry change";

    fn read(mut members: Map<String, Value>, from: &From<'_>) -> Result<NewEntry> {
        let (at, _) = line_time(&mut members, &["timestamp"], from.zone)?;
        let action = text(&mut members, "action");
        let target = text(&mut members, "bot_id");
        let details = match members.get("details") {
            Some(Value::Object(_)) if members.len() == 1 => members.shift_remove("details").unwrap_or_default(),
            _ => Value::Object(members),
        };
        let entry = NewEntry::new(action.as_deref().unwrap_or(CHANGE), REGISTRY);
        Ok(NewEntry { at: Some(at), target, details, original: Some(from.line.to_owned()), ..entry })
    }

    fn append(tx: &mut WriteTx<'_>, new: NewEntry) -> Result<u64> {
        tx.audit().append(new)
    }
}
