//! `disaster-recovery.jsonl`: an event on each line, with `timestamp`, `event` and `details`.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::super::members::{line_time, text};
use super::super::report::AdoptThing;
use super::each_line::{From, Record};
use crate::engine::write::WriteTx;
use crate::error::{Error, Result};
use crate::recovery::events::event::EventKind;

/// Where an event keeps the text of its time.
const ORIGINAL_TIME: &str = "original_time";
/// Where it keeps its line, when that says more than an event can.
const ORIGINAL_LINE: &str = "original_line";

/// An event.
pub(in super::super) struct Events;

impl Record for Events {
    type New = (Timestamp, EventKind, Value);
    const THING: AdoptThing = AdoptThing::Events;
    const MARK: &'static str = "event";

    fn read(mut members: Map<String, Value>, from: &From<'_>) -> Result<Self::New> {
        let (at, original) = line_time(&mut members, &["timestamp"], from.zone)?;
        let kind = text(&mut members, "event")
            .ok_or_else(|| Error::invalid("it has no event, or its event is not a string"))?;
        let kind: EventKind = kind.parse()?;
        let (mut details, whole) = match members.shift_remove("details") {
            Some(Value::Object(details)) => (details, members.is_empty()),
            None | Some(Value::Null) => (Map::new(), members.is_empty()),
            Some(other) => (Map::from_iter([("details".to_owned(), other)]), false),
        };
        let mut keep = |name: &str, text: &str| {
            details.entry(name).or_insert_with(|| Value::String(text.to_owned()));
        };
        keep(ORIGINAL_TIME, &original);
        if !whole {
            keep(ORIGINAL_LINE, from.line);
        }
        Ok((at, kind, Value::Object(details)))
    }

    fn append(tx: &mut WriteTx<'_>, (at, kind, details): Self::New) -> Result<u64> {
        tx.events().append_at(at, kind, details)
    }
}
