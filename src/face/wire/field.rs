//! Descriptions of JSON objects, from which the OpenAPI document and the schemas of tools are made.

use serde_json::{Value, json};

/// A query parameter, or a field of a request body or a response.
pub(in crate::face) struct Field {
    pub(in crate::face) name: &'static str,
    pub(in crate::face) value_type: FieldType,
    pub(in crate::face) about: &'static str,
    /// Whether it is required in a request, and always present in a response.
    pub(in crate::face) required: bool,
    /// Whether it may be null.
    pub(in crate::face) null: bool,
}

/// The type of a field.
#[derive(Clone, Copy)]
pub(in crate::face) enum FieldType {
    Text,
    /// One of these strings.
    Word(fn() -> Vec<&'static str>),
    Time,
    Number,
    Decimal,
    Flag,
    /// Any object.
    Object,
    Of(&'static Shape),
    List(&'static FieldType),
    /// An object with any names and values of this type.
    Map(&'static FieldType),
    Any,
}

/// A named object, shared by several responses.
pub(in crate::face) struct Shape {
    pub(in crate::face) name: &'static str,
    pub(in crate::face) about: &'static str,
    /// The shape whose fields it has too.
    pub(in crate::face) base: Option<&'static Self>,
    pub(in crate::face) fields: &'static [Field],
}

impl Shape {
    /// The fields of the base, then its own.
    pub(in crate::face) fn all_fields(&self) -> impl Iterator<Item = &'static Field> + Clone {
        self.base.map_or(&[][..], |base| base.fields).iter().chain(self.fields)
    }
}

/// An array of strings.
pub(in crate::face) const TEXTS: FieldType = FieldType::List(&FieldType::Text);

/// An optional field of a request; null means absent.
pub(in crate::face) const fn optional(name: &'static str, value_type: FieldType, about: &'static str) -> Field {
    Field { name, value_type, about, required: false, null: true }
}

/// A field that is required in a request, and always present in a response.
pub(in crate::face) const fn required(name: &'static str, value_type: FieldType, about: &'static str) -> Field {
    Field { name, value_type, about, required: true, null: false }
}

/// The same, with null as a possible value.
pub(in crate::face) const fn nullable(name: &'static str, value_type: FieldType, about: &'static str) -> Field {
    Field { name, value_type, about, required: true, null: true }
}

/// A field that only some responses have.
pub(in crate::face) const fn sometimes(name: &'static str, value_type: FieldType, about: &'static str) -> Field {
    Field { name, value_type, about, required: false, null: false }
}

/// The schema of a value, with that of each shape in it made so.
pub(in crate::face) fn schema_of(value_type: FieldType, of_shape: fn(&'static Shape) -> Value) -> Value {
    match value_type {
        FieldType::Text => json!({"type": "string"}),
        FieldType::Word(words) => json!({"type": "string", "enum": words()}),
        FieldType::Time => json!({"type": "string", "format": "date-time"}),
        FieldType::Number => json!({"type": "integer", "minimum": 0}),
        FieldType::Decimal => json!({"type": "number"}),
        FieldType::Flag => json!({"type": "boolean"}),
        FieldType::Object => json!({"type": "object"}),
        FieldType::Of(shape) => of_shape(shape),
        FieldType::List(of) => json!({"type": "array", "items": schema_of(*of, of_shape)}),
        FieldType::Map(of) => json!({"type": "object", "additionalProperties": schema_of(*of, of_shape)}),
        FieldType::Any => json!({}),
    }
}
