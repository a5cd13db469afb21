//! `registry.json` and `bots.json`: the bots.
//!
//! Port, process, repository, status and times have fields of their own in the store. Everything else becomes an
//! attribute, also a value that does not fit: a port of 70000, a process of -1. Nothing is lost.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Map, Value};

use super::input::PART_MAX;
use super::marks::Mark;
use super::members;
use super::report::AdoptThing;
use super::work::{FileWork, Seen, Taking};
use crate::error::{ErrorKind, Result};
use crate::state::ids::BotId;
use crate::state::registry::Bot;

/// Fields that show that a field of `bots.json` is a bot.
const SIGNS: [&str; 4] = ["bot_id", "role", "status", "port"];

/// A bot from a file, with notes for people.
struct ReadBot {
    bot: Bot,
    notes: Vec<String>,
}

/// Adopts `{"bots": {ID: {..}}, ..}`.
pub(super) fn adopt_registry(work: &mut FileWork<'_>) -> Result<()> {
    let Some(mut members) = work.object()? else { return Ok(()) };
    match members.shift_remove("bots") {
        Some(Value::Object(bots)) => take_all(work, bots, members),
        _ => {
            work.file.problem("", "it has no field bots with an object", false);
            Ok(())
        }
    }
}

/// Adopts `{ID: {..}, ..}`, if the file has this form. A file of that name may be something else.
pub(super) fn adopt_bots(work: &mut FileWork<'_>) -> Result<()> {
    let Some(mut members) = work.object()? else { return Ok(()) };
    if let Some(Value::Object(bots)) = members.get_mut("bots") {
        let bots = std::mem::take(bots);
        members.shift_remove("bots");
        return take_all(work, bots, members);
    }
    let is_bot = |value: &Value| value.as_object().is_some_and(|bot| SIGNS.iter().any(|sign| bot.contains_key(*sign)));
    let (bots, rest): (Map<_, _>, Map<_, _>) = members.into_iter().partition(|(_, value)| is_bot(value));
    if bots.is_empty() {
        work.foreign = Some("it has the name of a list of bots, but not its content");
        return Ok(());
    }
    take_all(work, bots, rest)
}

fn take_all(work: &mut FileWork<'_>, bots: Map<String, Value>, rest: Map<String, Value>) -> Result<()> {
    work.load("all bots", |taking| {
        taking.members = rest;
        bots.into_iter().try_for_each(|(name, value)| take(taking, &name, value))
    })
}

fn take(taking: &mut Taking<'_, '_>, name: &str, value: Value) -> Result<()> {
    let place = format!("bot {}", name.escape_debug());
    let text = value.to_string();
    let id = match (BotId::new(name), &value) {
        (Err(error), _) => return taking.problem(place, error.to_string(), text.as_bytes()),
        (_, value) if !value.is_object() => return taking.problem(place, "it is no object", text.as_bytes()),
        _ if text.len() > PART_MAX => return taking.problem(place, format!("it is too long: limit={PART_MAX}"), &[]),
        (Ok(id), _) => id,
    };
    let mark = Mark::new("bot", &[name.as_bytes(), text.as_bytes()]);
    if taking.seen(&mark, |tx, _| Ok(tx.registry().get(&id)?.is_some()))? == Seen::Before {
        return Ok(());
    }
    let Value::Object(members) = value else { return Ok(()) };
    let ReadBot { bot, notes } = read(id, members, &taking.options.time_zone);
    notes.into_iter().for_each(|note| taking.file.note(format!("{place}: {note}")));
    match taking.tx.registry().get(&bot.id)? {
        None => match taking.tx.registry().put_as_it_is(&bot) {
            Err(error) if error.kind() == ErrorKind::Invalid => {
                return taking.problem(place, error.to_string(), text.as_bytes());
            }
            put => {
                put?;
                taking.file.took(AdoptThing::Bots, 1);
            }
        },
        Some(known) => complete(taking, &place, known, bot, &text)?,
    }
    mark.write(taking.tx, 0)
}

/// The bot in an object.
fn read(id: BotId, mut members: Map<String, Value>, zone: &TimeZone) -> ReadBot {
    if members.get("bot_id").and_then(Value::as_str) == Some(id.as_str()) {
        members.shift_remove("bot_id");
    }
    let mut notes = Vec::new();
    let mut time = |members: &mut Map<String, Value>, name| {
        members::time(members, name, zone).unwrap_or_else(|error| {
            notes.push(format!("kept as an attribute: {error}"));
            None
        })
    };
    let registered_at = time(&mut members, "registered_at");
    let last_heartbeat = time(&mut members, "last_heartbeat");
    let kind = members.get("metadata").and_then(|metadata| metadata.get("bot_type")).and_then(Value::as_str);
    let bot = Bot {
        kind: kind.map(str::to_owned),
        status: members::text(&mut members, "status"),
        endpoint: members::text(&mut members, "endpoint"),
        port: members::number(&mut members, "port"),
        pid: members::number(&mut members, "pid"),
        repo: members::text(&mut members, "repo"),
        registered_at,
        last_heartbeat,
        ..Bot::new(id)
    };
    ReadBot { bot: Bot { attributes: members, ..bot }, notes }
}

/// Adds missing fields to an existing bot. Its own fields stay, and differences in the file are reported.
fn complete(taking: &mut Taking<'_, '_>, place: &str, known: Bot, new: Bot, text: &str) -> Result<()> {
    let mut other = Vec::new();
    let mut bot = known.clone();
    fill(&mut bot.kind, new.kind, "kind", &mut other);
    fill(&mut bot.status, new.status, "status", &mut other);
    fill(&mut bot.endpoint, new.endpoint, "endpoint", &mut other);
    fill(&mut bot.port, new.port, "port", &mut other);
    fill(&mut bot.pid, new.pid, "pid", &mut other);
    fill(&mut bot.repo, new.repo, "repo", &mut other);
    fill(&mut bot.registered_at, new.registered_at, "registered_at", &mut other);
    for (name, value) in new.attributes {
        match bot.attributes.get(&name) {
            None => drop(bot.attributes.insert(name, value)),
            Some(known) if *known == value || name == members::ORIGINAL_TIMES => {}
            Some(_) => other.push(name),
        }
    }
    if bot != known {
        taking.tx.registry().put_as_it_is(&bot)?;
        taking.file.took(AdoptThing::Bots, 1);
    } else {
        taking.file.known += 1;
    }
    heard_of(taking, &bot.id, known.last_heartbeat, new.last_heartbeat)?;
    if other.is_empty() {
        return Ok(());
    }
    let why = format!("the store already has it with other values, which stay: fields={}", other.join(","));
    taking.problem(place, why, text.as_bytes())
}

fn fill<T: PartialEq>(known: &mut Option<T>, new: Option<T>, name: &str, other: &mut Vec<String>) {
    match (&known, new) {
        (None, new) => *known = new,
        (Some(known), Some(new)) if *known != new => other.push(name.to_owned()),
        _ => {}
    }
}

/// A heartbeat only moves forward in time.
fn heard_of(taking: &mut Taking<'_, '_>, id: &BotId, known: Option<Timestamp>, new: Option<Timestamp>) -> Result<()> {
    match new {
        Some(at) if known.is_none_or(|known| at > known) => taking.tx.registry().heartbeat(id, at),
        _ => Ok(()),
    }
}
