//! Takes fields from an object of another program. A field without the expected form stays in the object, so that it
//! becomes an attribute and is not lost.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Map, Value};

use super::times;
use crate::error::{Error, Result};

/// The field with the texts of times, by the names of their fields.
pub(super) const ORIGINAL_TIMES: &str = "original_times";

/// Takes a text. Null means absent.
pub(super) fn text(members: &mut Map<String, Value>, name: &str) -> Option<String> {
    match members.get(name)? {
        Value::Null => drop(members.shift_remove(name)),
        Value::String(_) => {
            if let Some(Value::String(text)) = members.shift_remove(name) {
                return Some(text);
            }
        }
        _ => {}
    }
    None
}

/// Takes the first existing text.
pub(super) fn first_text(members: &mut Map<String, Value>, names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| text(members, name))
}

/// Takes a text that can be parsed. Another one stays.
pub(super) fn parsed<T>(
    members: &mut Map<String, Value>,
    name: &str,
    parse: impl FnOnce(&str) -> Result<T>,
) -> Result<Option<T>> {
    let Some(text) = text(members, name) else {
        return match members.get(name) {
            None => Ok(None),
            Some(_) => Err(Error::invalid(format!("{name} is not a text"))),
        };
    };
    let parsed = parse(&text);
    if parsed.is_err() {
        members.insert(name.to_owned(), Value::String(text));
    }
    parsed.map(Some).map_err(|error| error.context(name))
}

/// Takes an integer that fits.
pub(super) fn number<T: TryFrom<u64>>(members: &mut Map<String, Value>, name: &str) -> Option<T> {
    let number = members.get(name)?;
    if number.is_null() {
        members.shift_remove(name);
        return None;
    }
    let number = T::try_from(number.as_u64()?).ok()?;
    members.shift_remove(name);
    Some(number)
}

/// Takes a time, and keeps its text in the object.
pub(super) fn time(members: &mut Map<String, Value>, name: &str, zone: &TimeZone) -> Result<Option<Timestamp>> {
    let mut original = None;
    let time = parsed(members, name, |text| {
        original = Some(text.to_owned());
        times::read(text, zone)
    })?;
    if let (Some(_), Some(text)) = (time, original) {
        let originals = members.entry(ORIGINAL_TIMES).or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(originals) = originals {
            originals.insert(name.to_owned(), Value::String(text));
        }
    }
    Ok(time)
}

/// The time of a line and its text. A line without one is refused.
pub(super) fn line_time(
    members: &mut Map<String, Value>,
    names: &[&str],
    zone: &TimeZone,
) -> Result<(Timestamp, String)> {
    let text = first_text(members, names).ok_or_else(|| Error::invalid(format!("it has no {}", names.join(" or "))))?;
    Ok((times::read(&text, zone)?, text))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        let Value::Object(members) = value else { panic!("no object: {value}") };
        members
    }

    #[test]
    fn a_field_without_the_expected_form_stays() {
        let mut members = object(json!({
            "port": 70000, "pid": -1, "load": 1.5, "n": 7, "null": null, "text": "t", "list": [], "at": "soon"
        }));
        assert_eq!(number::<u16>(&mut members, "port"), None);
        assert_eq!(number::<u32>(&mut members, "pid"), None);
        assert_eq!(number::<u32>(&mut members, "load"), None);
        assert_eq!(number::<u16>(&mut members, "n"), Some(7));
        assert_eq!(number::<u16>(&mut members, "null"), None);
        assert_eq!(text(&mut members, "text"), Some("t".into()));
        assert_eq!(text(&mut members, "list"), None);
        let error = time(&mut members, "at", &TimeZone::UTC).unwrap_err();
        assert_eq!(error.to_string(), "at: a time cannot be read: time=soon");
        assert_eq!(time(&mut members, "list", &TimeZone::UTC).unwrap_err().to_string(), "list is not a text");
        assert_eq!(Value::Object(members), json!({"port": 70000, "pid": -1, "load": 1.5, "list": [], "at": "soon"}));
    }

    #[test]
    fn the_text_of_a_time_is_kept_under_the_name_of_its_field() {
        let mut members = object(json!({"a": "2025-01-01T00:00:00", "b": "2025-01-02T00:00:00Z"}));
        assert!(time(&mut members, "a", &TimeZone::UTC).unwrap().is_some());
        assert!(time(&mut members, "b", &TimeZone::UTC).unwrap().is_some());
        let texts = json!({"a": "2025-01-01T00:00:00", "b": "2025-01-02T00:00:00Z"});
        assert_eq!(Value::Object(members), json!({"original_times": texts}));
    }
}
