//! Holds a value against a schema of the OpenAPI document, more strictly than the document has it: an object has no
//! field that is not declared. A keyword that is not known here fails, so that none is passed over.

use serde_json::{Map, Value};

/// The faults of a value, each with its place. `root` is the document, in which references are looked up.
pub fn faults(root: &Value, schema: &Value, value: &Value) -> Vec<String> {
    let mut look = Look { root, found: Vec::new() };
    look.at("", schema, value);
    look.found
}

struct Look<'a> {
    root: &'a Value,
    found: Vec<String>,
}

impl Look<'_> {
    fn at(&mut self, place: &str, schema: &Value, value: &Value) {
        let schema = schema.as_object().unwrap();
        for (keyword, rule) in schema {
            match keyword.as_str() {
                // Both are looked at with the fields.
                "description" | "additionalProperties" => {}
                "$ref" => self.at(place, resolved(self.root, rule), value),
                "anyOf" => self.any_of(place, rule.as_array().unwrap(), value),
                "type" => self.expect(is_of_type(rule, value), place, || format!("is no {rule}: {value}")),
                "enum" => {
                    let is_known = rule.as_array().unwrap().contains(value);
                    self.expect(is_known, place, || format!("is none of {rule}: {value}"));
                }
                "const" => self.expect(rule == value, place, || format!("is not {rule}: {value}")),
                "minimum" => {
                    let too_low = value.as_f64() < rule.as_f64() && value.is_number();
                    self.expect(!too_low, place, || format!("is below {rule}: {value}"));
                }
                "format" => {
                    assert_eq!(rule, "date-time");
                    let is_time = value.as_str().is_none_or(|text| text.parse::<jiff::Timestamp>().is_ok());
                    self.expect(is_time, place, || format!("is no time: {value}"));
                }
                "items" => {
                    for (at, element) in value.as_array().into_iter().flatten().enumerate() {
                        self.at(&format!("{place}/{at}"), rule, element);
                    }
                }
                "required" => {
                    let names = rule.as_array().unwrap().iter().map(|name| name.as_str().unwrap());
                    for name in names.filter(|name| value.is_object() && value.get(name).is_none()) {
                        self.found.push(format!("{place}/{name} is missing"));
                    }
                }
                "properties" => self.fields(place, rule.as_object().unwrap(), value, schema),
                other => panic!("nobody knows here what {other} means"),
            }
        }
        if let Some(rule) = schema.get("additionalProperties") {
            for (name, field) in value.as_object().into_iter().flatten() {
                self.at(&format!("{place}/{name}"), rule, field);
            }
        }
    }

    fn fields(&mut self, place: &str, known: &Map<String, Value>, value: &Value, schema: &Map<String, Value>) {
        assert!(!schema.contains_key("additionalProperties"), "an object has fields or is a map");
        for (name, field) in value.as_object().into_iter().flatten() {
            match known.get(name) {
                Some(rule) => self.at(&format!("{place}/{name}"), rule, field),
                None => self.found.push(format!("{place}/{name} is not declared")),
            }
        }
    }

    fn any_of(&mut self, place: &str, rules: &[Value], value: &Value) {
        let tried: Vec<_> = rules.iter().map(|rule| faults(self.root, rule, value)).collect();
        if tried.iter().all(|found| !found.is_empty()) {
            self.found.push(format!("{place} is none of these: {tried:?}"));
        }
    }

    fn expect(&mut self, holds: bool, place: &str, fault: impl FnOnce() -> String) {
        if !holds {
            self.found.push(format!("{place} {}", fault()));
        }
    }
}

/// The target of a reference.
pub fn resolved<'a>(root: &'a Value, reference: &Value) -> &'a Value {
    let path = reference.as_str().and_then(|path| path.strip_prefix('#')).unwrap();
    root.pointer(path).unwrap_or_else(|| panic!("{reference} leads nowhere"))
}

fn is_of_type(rule: &Value, value: &Value) -> bool {
    let is = |name: &Value| match name.as_str().unwrap() {
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "object" => value.is_object(),
        "array" => value.is_array(),
        "null" => value.is_null(),
        other => panic!("nobody knows here what a {other} is"),
    };
    rule.as_array().map_or_else(|| is(rule), |names| names.iter().any(is))
}

#[test]
fn every_way_to_differ_from_a_schema_is_found() {
    let root = serde_json::json!({"components": {"schemas": {"Bot": {
        "type": "object",
        "required": ["id", "at"],
        "properties": {
            "id": {"type": "string"},
            "at": {"type": ["string", "null"], "format": "date-time"},
            "state": {"type": "string", "enum": ["on", "off"]},
            "ports": {"type": "array", "items": {"type": "integer", "minimum": 0}},
            "tags": {"type": "object", "additionalProperties": {"type": "string"}},
            "no": {"const": false},
        },
    }}}});
    let schema = serde_json::json!({"anyOf": [{"$ref": "#/components/schemas/Bot"}, {"type": "null"}]});
    let look = |text: &str| faults(&root, &schema, &serde_json::from_str(text).unwrap());
    for right in [
        "null",
        r#"{"id": "a", "at": null}"#,
        r#"{"id": "a", "at": "2026-01-02T03:04:05Z", "state": "on", "ports": [1], "tags": {"x": "y"}, "no": false}"#,
    ] {
        assert_eq!(look(right), Vec::<String>::new(), "{right}");
    }
    for (wrong, place) in [
        ("1", "is no"),
        (r#"{"id": "a"}"#, "/at is missing"),
        (r#"{"id": 1, "at": null}"#, "/id is no"),
        (r#"{"id": "a", "at": "yesterday"}"#, "/at is no time"),
        (r#"{"id": "a", "at": null, "state": "of"}"#, "/state is none of"),
        (r#"{"id": "a", "at": null, "ports": [1, 1.5]}"#, "/ports/1 is no"),
        (r#"{"id": "a", "at": null, "ports": [-1]}"#, "/ports/0 is below"),
        (r#"{"id": "a", "at": null, "tags": {"x": 1}}"#, "/tags/x is no"),
        (r#"{"id": "a", "at": null, "no": true}"#, "/no is not"),
        (r#"{"id": "a", "at": null, "port": 1}"#, "/port is not declared"),
    ] {
        let found = look(wrong);
        assert!(found.len() == 1 && found[0].contains(place), "{wrong}: {found:?}");
    }
}
