//! The schema of the arguments of a tool, made from its fields.

use serde_json::{Map, Value, json};

use crate::face::http::route::{Field, Kind};

/// The schema of an object with these fields, and with no others.
pub(super) fn object(fields: &[Field]) -> Map<String, Value> {
    let properties: Map<_, _> = fields.iter().map(|field| (field.name.to_owned(), of_field(field))).collect();
    let required: Vec<_> = fields.iter().filter(|field| field.required).map(|field| Value::from(field.name)).collect();
    let mut schema = Map::new();
    schema.insert("type".to_owned(), "object".into());
    schema.insert("properties".to_owned(), properties.into());
    if !required.is_empty() {
        schema.insert("required".to_owned(), required.into());
    }
    schema.insert("additionalProperties".to_owned(), false.into());
    schema
}

fn of_field(field: &Field) -> Value {
    let mut schema = of_kind(field.kind);
    schema["description"] = field.about.into();
    schema
}

fn of_kind(kind: Kind) -> Value {
    match kind {
        Kind::Text => json!({"type": "string"}),
        Kind::Word(words) => json!({"type": "string", "enum": words()}),
        Kind::Time => json!({"type": "string", "format": "date-time"}),
        Kind::Number => json!({"type": "integer", "minimum": 0}),
        Kind::Decimal => json!({"type": "number"}),
        Kind::Flag => json!({"type": "boolean"}),
        Kind::Object => json!({"type": "object"}),
        Kind::Of(shape) => object(shape.fields).into(),
        Kind::List(of) => json!({"type": "array", "items": of_kind(*of)}),
        Kind::Map(of) => json!({"type": "object", "additionalProperties": of_kind(*of)}),
        Kind::Any => json!({}),
    }
}
