//! The schema of the arguments of a tool, made from its fields.

use serde_json::{Map, Value};

use crate::face::wire::field::Field;
use crate::face::wire::field::schema_of;

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
    let mut schema = schema_of(field.value_type, |shape| object(shape.fields).into());
    schema["description"] = field.about.into();
    schema
}
