//! How long every text and list may be that somebody stores, and the rule that what can be written can be read: by
//! every reader of the file, by an archive, an import and a repair. They hold for what is written now; longer ones that
//! an earlier version stored are still read, archived, imported and repaired.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// The name of a bot, a task, a conversation, a capability, a config key and the like. Every key
/// made of names fits in the store.
pub(crate) const NAME_BYTES: usize = 200;
/// The name of a user's collection.
pub(crate) const COLLECTION_NAME_BYTES: usize = 64;
/// How many collections users may have: every point names all of them.
pub(crate) const COLLECTIONS: u64 = 10_000;
/// The key of a record in a user's collection.
pub(crate) const KEY_BYTES: usize = 1024;
/// The kind and the source of a document, and who made a backup: they are in the key of every row.
pub(crate) const SOURCE_BYTES: usize = 512;
/// The description of a restore point.
pub(crate) const DESCRIPTION_BYTES: usize = 4 << 10;
/// The tags of a restore point or backup, and the name and value of one together.
pub(crate) const TAGS: usize = 64;
pub(crate) const TAG_BYTES: usize = 256;
/// A short text: what a bot is and where, who did what to what.
pub(crate) const SHORT_BYTES: usize = 4 << 10;
/// Why an attempt failed, and how something ended.
pub(crate) const REASON_BYTES: usize = 64 << 10;
/// The details of an audit entry, as JSON.
pub(crate) const DETAILS_BYTES: usize = 64 << 10;
/// The text of an audit entry as another program wrote it.
pub(crate) const ORIGINAL_BYTES: usize = 1 << 20;
/// The details of an event, as JSON. Those of an adoption hold texts of up to 256 KiB that could not be taken over.
pub(crate) const EVENT_BYTES: usize = 2 << 20;
/// The content of a message.
pub(crate) const CHAT_BYTES: usize = 1 << 20;
/// The attributes of a bot, a task or a message, as JSON.
pub(crate) const ATTRIBUTES_BYTES: usize = 1 << 20;
/// A value as JSON: of a config key or of a user's collection, a task's payload, its result, an element of a document.
/// Low in tests, so that those that reach it are quick.
pub(crate) const VALUE_BYTES: usize = if cfg!(test) { 4 << 20 } else { 64 << 20 };
/// A document as JSON.
pub(crate) const DOCUMENT_BYTES: usize = 1 << 30;
/// The name of a key.
pub(crate) const KEY_NAME_BYTES: usize = 64;
/// How many keys there may be: a service holds all of them in memory.
pub(crate) const KEYS: usize = 1000;
/// The name of a schedule, its payload and its attributes as JSON, and how many there may be: each
/// look at what is due reads them.
pub(crate) const SCHEDULE_NAME_BYTES: usize = 64;
pub(crate) const SCHEDULE_BYTES: usize = 64 << 10;
pub(crate) const SCHEDULES: usize = 1000;
/// The specializations of a bot.
pub(crate) const SPECIALIZATIONS: usize = 256;
/// The capabilities that a task asks for; each is part of a key.
pub(crate) const CAPABILITIES: usize = 16;
/// The tasks that a task depends on; each of them rewrites it when it is done.
pub(crate) const DEPENDENCIES: usize = 1000;
/// The tasks of one batch, their dependencies together, and their payloads, attributes and names of
/// dependencies together, as JSON.
pub(crate) const BATCH_TASKS: usize = 10_000;
pub(crate) const BATCH_DEPENDENCIES: usize = 100_000;
pub(crate) const BATCH_BYTES: usize = VALUE_BYTES;
/// The records that are changed together: each has an entry in the audit trail.
pub(crate) const CHANGED_RECORDS: usize = 1_000;
/// A lease.
pub(crate) const LEASE: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Until a task may be claimed first.
pub(crate) const TASK_DELAY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
/// Until an attempt that failed is made again.
pub(crate) const RETRY_DELAY: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The longest stored thing that is read at all: a record, and a row outside of records. The readers of stored types,
/// of pages and of archives take it from here.
pub(crate) const RECORD_BYTES: usize = 256 << 20;

/// The longest record is a task, with all that can be in it.
const TASK_BYTES: usize =
    2 * VALUE_BYTES + ATTRIBUTES_BYTES + REASON_BYTES + (CAPABILITIES + 2 * DEPENDENCIES + 8) * (NAME_BYTES + 16);
/// The longest row outside of records is an event, an audit entry, or the manifest of a point.
const EVENT_ROW: usize = EVENT_BYTES + SHORT_BYTES;
const AUDIT_ROW: usize = 4 * SHORT_BYTES + REASON_BYTES + DETAILS_BYTES + ORIGINAL_BYTES;
const POINT_ROW: usize = DESCRIPTION_BYTES + TAGS * (TAG_BYTES + 16) + (COLLECTIONS as usize + 64) * 64 + SHORT_BYTES;
const _: () = assert!(TASK_BYTES <= RECORD_BYTES && EVENT_ROW <= RECORD_BYTES);
const _: () = assert!(AUDIT_ROW <= RECORD_BYTES && POINT_ROW <= RECORD_BYTES);

/// Refuses a text that is longer than that.
pub(crate) fn text(what: &str, text: &str, max: usize) -> Result<()> {
    bytes(what, text.len(), max)
}

/// The same for a text that may be absent.
pub(crate) fn optional(what: &str, optional: Option<&String>, max: usize) -> Result<()> {
    optional.map_or(Ok(()), |found| text(what, found, max))
}

/// Refuses a length in bytes that is over its limit.
pub(crate) fn bytes(what: &str, bytes: usize, max: usize) -> Result<()> {
    if bytes <= max { Ok(()) } else { Err(too_long(what, bytes, max)) }
}

/// Refuses more things than that.
pub(crate) fn count(what: &str, count: usize, max: usize) -> Result<()> {
    if count <= max {
        return Ok(());
    }
    Err(Error::invalid(format!("{what} are too many; leave some out: count={count} max={max}")))
}

/// Refuses a count of zero, where nothing would be done.
pub(crate) fn not_zero(why: &str, name: &str, count: usize) -> Result<()> {
    if count > 0 { Ok(()) } else { Err(Error::invalid(format!("{why}: {name}=0"))) }
}

/// Refuses a longer time than that.
pub(crate) fn duration(what: &str, duration: Duration, max: Duration) -> Result<()> {
    if duration <= max {
        return Ok(());
    }
    let (length, most) = (duration.as_millis(), max.as_millis());
    Err(Error::invalid(format!("{what} is too long; shorten it: length_ms={length} max_ms={most}")))
}

/// Refuses a value whose compact JSON is longer than that.
pub(crate) fn json(what: &str, value: &Value, max: usize) -> Result<()> {
    if may_exceed(value, max) { bytes(what, printed(value), max) } else { Ok(()) }
}

/// The same for the members of an object.
pub(crate) fn members(what: &str, members: &Map<String, Value>, max: usize) -> Result<()> {
    let mut left = max;
    let fits = members.iter().all(|(name, value)| take(&mut left, 6 * name.len() + 4) && fits(value, &mut left, 0));
    if fits { Ok(()) } else { bytes(what, printed(members), max) }
}

/// Refuses tags that are too many or too long.
pub(crate) fn tags(tags: &BTreeMap<String, String>) -> Result<()> {
    count("tags", tags.len(), TAGS)?;
    tags.iter().try_for_each(|(name, value)| bytes("a tag", name.len() + value.len(), TAG_BYTES))
}

/// Shortens the description and tags of an earlier version, or of another program, to their
/// limits; says which were too long.
#[cfg(feature = "transfer")]
pub(crate) fn fit(description: &mut String, tags: &mut BTreeMap<String, String>) -> Option<Error> {
    let wrong = text("a description", description, DESCRIPTION_BYTES).and_then(|()| self::tags(tags)).err()?;
    shorten(description, DESCRIPTION_BYTES);
    let mut left = TAGS;
    tags.retain(|name, value| {
        let room = TAG_BYTES.checked_sub(name.len()).filter(|_| left > 0);
        left = left.saturating_sub(usize::from(room.is_some()));
        room.is_some_and(|room| {
            shorten(value, room);
            true
        })
    });
    Some(wrong)
}

/// Cuts a text between characters, and marks that.
pub(crate) fn shorten(text: &mut String, max: usize) {
    const MARK: &str = "…";
    if text.len() > max {
        let end = max.saturating_sub(MARK.len());
        text.truncate((0..=end).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default());
        if max >= MARK.len() {
            text.push_str(MARK);
        }
    }
}

fn too_long(what: &str, bytes: usize, max: usize) -> Error {
    let is_plural = ["the details ", "the attributes "].iter().any(|plural| what.starts_with(plural));
    let (are, them) = if is_plural { ("are", "them") } else { ("is", "it") };
    Error::invalid(format!("{what} {are} too long; shorten {them}: bytes={bytes} max={max}"))
}

/// Whether the JSON of a value could be longer, as far as can be told without printing it, which takes longer.
fn may_exceed(value: &Value, max: usize) -> bool {
    let mut left = max;
    !fits(value, &mut left, 0)
}

fn fits(value: &Value, left: &mut usize, depth: usize) -> bool {
    match value {
        Value::Null | Value::Bool(_) => take(left, 6),
        Value::Number(number) => take(left, number.as_str().len() + 1),
        // A character is escaped by six at most.
        Value::String(text) => take(left, 6 * text.len() + 3),
        // Deeper nesting is refused when it is written.
        Value::Array(_) | Value::Object(_) if depth > crate::json::MAX_DEPTH => true,
        Value::Array(items) => take(left, 3) && items.iter().all(|item| fits(item, left, depth + 1)),
        Value::Object(members) => {
            take(left, 3)
                && members.iter().all(|(name, value)| take(left, 6 * name.len() + 4) && fits(value, left, depth + 1))
        }
    }
}

fn take(left: &mut usize, bytes: usize) -> bool {
    left.checked_sub(bytes).map(|rest| *left = rest).is_some()
}

/// How long something is as compact JSON.
pub(crate) fn printed(value: &impl serde::Serialize) -> usize {
    struct Count(usize);
    impl io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self.0.saturating_add(bytes.len());
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    // A value that cannot be printed is refused where it is stored.
    let _printed = serde_json::to_writer(&mut count, value);
    count.0
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_text_is_refused_by_name_from_one_byte_too_many_on() {
        assert!(text("a description", &"x".repeat(9), 9).is_ok());
        let error = text("a description", &"x".repeat(10), 9).unwrap_err();
        assert_eq!(error.to_string(), "a description is too long; shorten it: bytes=10 max=9");
        let error = json("the details of an event", &json!("details"), 8).unwrap_err();
        assert_eq!(error.to_string(), "the details of an event are too long; shorten them: bytes=9 max=8");
        let error = count("capabilities", 17, CAPABILITIES).unwrap_err();
        assert_eq!(error.to_string(), "capabilities are too many; leave some out: count=17 max=16");
        let error = duration("a lease", LEASE + Duration::from_secs(1), LEASE).unwrap_err();
        assert_eq!(error.to_string(), "a lease is too long; shorten it: length_ms=604801000 max_ms=604800000");
    }

    #[test]
    fn a_value_counts_as_it_is_printed() {
        for value in [json!("a\u{1}\"ü"), json!({"a": [1, null, true, {"b": 1.5}]}), json!([[], {}, ""]), json!(12.50)]
        {
            let length = value.to_string().len();
            assert!(json("a value", &value, length).is_ok(), "{value}");
            let error = json("a value", &value, length - 1).unwrap_err().to_string();
            assert!(error.ends_with(&format!("bytes={length} max={}", length - 1)), "{error}");
        }
        let object = json!({"a": "\n\n\n", "b": 2});
        let length = object.to_string().len();
        assert!(members("attributes", object.as_object().unwrap(), length).is_ok());
        assert!(members("attributes", object.as_object().unwrap(), length - 1).is_err());
    }

    #[test]
    fn tags_are_counted_and_measured_with_their_names() {
        let some = |count: usize, bytes: usize| -> BTreeMap<_, _> {
            (0..count).map(|n| (format!("{n:02}"), "v".repeat(bytes))).collect()
        };
        assert!(tags(&some(TAGS, TAG_BYTES - 2)).is_ok());
        assert!(tags(&some(TAGS + 1, 1)).is_err());
        assert!(tags(&some(1, TAG_BYTES - 1)).is_err());
    }

    #[test]
    #[cfg(feature = "transfer")]
    fn a_text_that_is_too_long_is_made_to_fit() {
        let mut description = "ü".repeat(DESCRIPTION_BYTES);
        let mut all: BTreeMap<_, _> = (0..99).map(|n| (format!("{n:02}"), "ü".repeat(300))).collect();
        all.insert("a".repeat(TAG_BYTES + 1), String::new());
        assert!(fit(&mut description, &mut all).is_some());
        assert!(text("a description", &description, DESCRIPTION_BYTES).is_ok() && description.ends_with("ü…"));
        assert!(tags(&all).is_ok() && all.len() == TAGS && all["00"].ends_with("ü…"));
        assert!(fit(&mut description, &mut all).is_none());
    }
}
