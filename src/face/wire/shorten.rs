//! Shortens values, so that an answer stays short although a payload may have megabytes.

use serde_json::Value;

/// Shortens these fields of an object.
pub(in crate::face) fn shorten_fields(item: &mut Value, fields: &[&str], most: usize) {
    for field in fields {
        if let Some(value) = item.get_mut(*field) {
            shorten(value, most);
        }
    }
}

/// An object stays one, with the beginning of its JSON as its only member, because some fields are objects.
fn shorten(value: &mut Value, most: usize) {
    let short = match &*value {
        Value::String(text) if text.len() > most => Value::String(begin(text, most)),
        Value::Array(_) => match longer_than(value, most) {
            Some(text) => Value::String(begin(&text, most)),
            None => return,
        },
        Value::Object(_) => match longer_than(value, most) {
            Some(text) => serde_json::json!({ "…": begin(&text, most) }),
            None => return,
        },
        Value::Number(number) if number.to_string().len() > most.max(80) => {
            Value::String(begin(&number.to_string(), most))
        }
        _ => return,
    };
    *value = short;
}

/// The JSON of a value if it is longer.
fn longer_than(value: &Value, most: usize) -> Option<String> {
    Some(value.to_string()).filter(|text| text.len() > most)
}

fn begin(text: &str, most: usize) -> String {
    let end = (0..=most.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
    format!("{}…", text.get(..end).unwrap_or_default())
}
