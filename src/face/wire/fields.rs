//! The fields of a request body, read one by one.
//!
//! A body is parsed by [`crate::json`], so that a document in it keeps its order and its numbers as written. Null means
//! absent, except for a required field that may be null. The endpoints of the replaced service are lenient, as it was;
//! the others return an error.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::{Error, Result, parse_time};

/// The fields of a body that have not been read yet.
#[derive(Debug, Default)]
pub(in crate::face) struct Fields(Map<String, Value>);

impl From<Map<String, Value>> for Fields {
    fn from(fields: Map<String, Value>) -> Self {
        Self(fields)
    }
}

impl Fields {
    /// Those of a body; an empty body and null have none.
    pub(in crate::face) fn of(body: Option<Value>) -> Result<Self> {
        match body {
            None | Some(Value::Null) => Ok(Self::default()),
            Some(Value::Object(fields)) => Ok(Self(fields)),
            Some(_) => Err(Error::invalid("the body must be a JSON object")),
        }
    }

    /// Whether a field is there that has not been read, also if it is null.
    pub(in crate::face) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Any value.
    pub(in crate::face) fn value(&mut self, name: &str) -> Option<Value> {
        self.0.shift_remove(name).filter(|value| !value.is_null())
    }

    /// A required value; null is one.
    pub(in crate::face) fn required_value(&mut self, name: &str) -> Result<Value> {
        self.0.shift_remove(name).ok_or_else(|| missing(name))
    }

    /// A string.
    pub(in crate::face) fn text(&mut self, name: &str) -> Result<Option<String>> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(wrong(name, "a string")),
        }
    }

    /// A string, parsed.
    pub(in crate::face) fn parsed<T: FromStr<Err = Error>>(&mut self, name: &str) -> Result<Option<T>> {
        self.text(name)?.map(|text| text.parse()).transpose()
    }

    /// A required string, parsed, or null.
    pub(in crate::face) fn required_or_null<T: FromStr<Err = Error>>(&mut self, name: &str) -> Result<Option<T>> {
        if self.has(name) { self.parsed(name) } else { Err(missing(name)) }
    }

    /// A required string.
    pub(in crate::face) fn required_text(&mut self, name: &str) -> Result<String> {
        self.text(name)?.ok_or_else(|| missing(name))
    }

    /// A string, or the JSON of any other value.
    pub(in crate::face) fn any_text(&mut self, name: &str) -> Option<String> {
        self.value(name).map(into_text)
    }

    /// A boolean; false unless set.
    pub(in crate::face) fn flag(&mut self, name: &str) -> Result<bool> {
        self.flag_or(name, false)
    }

    /// A boolean with its default.
    pub(in crate::face) fn flag_or(&mut self, name: &str, unless_set: bool) -> Result<bool> {
        match self.value(name) {
            None => Ok(unless_set),
            Some(Value::Bool(flag)) => Ok(flag),
            Some(_) => Err(wrong(name, "a boolean")),
        }
    }

    /// Whether it is truthy in Python.
    pub(in crate::face) fn truth(&mut self, name: &str) -> Option<bool> {
        self.value(name).map(|value| !is_empty(&value))
    }

    /// A non-negative integer.
    pub(in crate::face) fn number(&mut self, name: &str) -> Result<Option<u64>> {
        let number = |value: Value| value.as_u64().ok_or_else(|| wrong(name, "a non-negative integer"));
        self.value(name).map(number).transpose()
    }

    /// A non-negative integer up to `most`.
    pub(in crate::face) fn number_up_to(&mut self, name: &str, most: u64) -> Result<Option<u64>> {
        match self.number(name)? {
            Some(number) if number > most => Err(wrong(name, &format!("at most {most}"))),
            number => Ok(number),
        }
    }

    /// A number of milliseconds.
    pub(in crate::face) fn millis(&mut self, name: &str) -> Result<Option<Duration>> {
        Ok(self.number(name)?.map(Duration::from_millis))
    }

    /// A time.
    pub(in crate::face) fn time(&mut self, name: &str) -> Result<Option<Timestamp>> {
        let read = |text: String| parse_time(&text).map_err(|_| wrong(name, "a time such as 2026-01-02T03:04:05Z"));
        self.text(name)?.map(read).transpose()
    }

    /// An object.
    pub(in crate::face) fn object(&mut self, name: &str) -> Result<Map<String, Value>> {
        match self.value(name) {
            None => Ok(Map::new()),
            Some(Value::Object(fields)) => Ok(fields),
            Some(_) => Err(wrong(name, "an object")),
        }
    }

    /// An object of strings; other values become their JSON.
    pub(in crate::face) fn tags(&mut self, name: &str) -> Result<BTreeMap<String, String>> {
        let tags = self.object(name)?.into_iter().filter(|(_, value)| !value.is_null());
        Ok(tags.map(|(name, value)| (name, into_text(value))).collect())
    }

    /// An array of strings, or one string with commas in it.
    pub(in crate::face) fn list(&mut self, name: &str) -> Result<Vec<String>> {
        match self.value(name) {
            None => Ok(Vec::new()),
            Some(Value::String(text)) => {
                Ok(text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect())
            }
            Some(Value::Array(parts)) => {
                let text = |part| match part {
                    Value::String(text) => Ok(text),
                    _ => Err(wrong(name, "an array of strings")),
                };
                parts.into_iter().map(text).collect()
            }
            Some(_) => Err(wrong(name, "an array of strings")),
        }
    }

    /// A required array of objects, each with its fields.
    pub(in crate::face) fn objects(&mut self, name: &str) -> Result<Vec<Self>> {
        let Value::Array(parts) = self.required_value(name)? else { return Err(wrong(name, "an array of objects")) };
        let fields = |part| match part {
            Value::Object(fields) => Ok(Self(fields)),
            _ => Err(wrong(name, "an array of objects")),
        };
        parts.into_iter().map(fields).collect()
    }

    /// The fields that have not been read.
    pub(in crate::face) fn rest(self) -> Map<String, Value> {
        self.0
    }

    /// Refuses unknown fields: most often they are misspelt.
    pub(in crate::face) fn end(self) -> Result<()> {
        match self.0.keys().next() {
            None => Ok(()),
            Some(name) => Err(Error::invalid(format!("unknown field: field={}", name.escape_debug()))),
        }
    }
}

/// Whether a value is falsy in Python.
pub(in crate::face) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(elements) => elements.is_empty(),
        Value::Object(fields) => fields.is_empty(),
    }
}

fn into_text(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

fn wrong(name: &str, what: &str) -> Error {
    Error::invalid(format!("field must be {what}: field={name}"))
}

/// The error of a required field that is absent.
pub(in crate::face) fn missing(name: &str) -> Error {
    Error::invalid(format!("missing field: field={name}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(body: Value) -> Fields {
        Fields::of(Some(body)).unwrap()
    }

    #[test]
    fn null_is_absent_and_an_empty_body_has_no_fields() {
        assert_eq!(fields(json!({"a": null})).text("a").unwrap(), None);
        assert_eq!(fields(Value::Null).value("a"), None);
        assert_eq!(Fields::of(None).unwrap().value("a"), None);
        assert_eq!(Fields::of(Some(json!([]))).unwrap_err().to_string(), "the body must be a JSON object");
    }

    #[test]
    fn tags_that_are_not_strings_become_their_json() {
        let tags = fields(json!({"tags": {"a": "x", "b": 1, "c": null, "d": [1]}})).tags("tags").unwrap();
        assert_eq!(tags, [("a".into(), "x".into()), ("b".into(), "1".into()), ("d".into(), "[1]".into())].into());
    }

    #[test]
    fn a_value_is_true_if_it_is_truthy_in_python() {
        for (value, truth) in [(json!(0), false), (json!("no"), true), (json!([]), false), (json!(true), true)] {
            assert_eq!(fields(json!({"manual": value})).truth("manual"), Some(truth));
        }
    }

    #[test]
    fn an_error_names_the_field() {
        let refused = fields(json!({"lease_ms": -1})).number("lease_ms").unwrap_err();
        assert_eq!(refused.to_string(), "field must be a non-negative integer: field=lease_ms");
        let unread = fields(json!({"leese_ms": 1})).end().unwrap_err();
        assert_eq!(unread.to_string(), "unknown field: field=leese_ms");
    }

    #[test]
    fn a_list_may_be_written_with_commas() {
        let list = |value| fields(json!({"only": value})).list("only");
        assert_eq!(list(json!("registry, queue")).unwrap(), ["registry", "queue"]);
        assert_eq!(list(json!(["registry"])).unwrap(), ["registry"]);
        assert!(list(json!([1])).is_err());
    }
}
