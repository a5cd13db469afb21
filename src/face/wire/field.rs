//! Descriptions of JSON objects, from which the OpenAPI document and the schemas of tools are made.

use serde_json::{Value, json};

/// A query parameter, or a field of a request body or a response.
pub(in crate::face) struct Field {
    pub(in crate::face) name: &'static str,
    pub(in crate::face) kind: Kind,
    pub(in crate::face) about: &'static str,
    /// Whether it is required in a request, and always present in a response.
    pub(in crate::face) required: bool,
    /// Whether it may be null.
    pub(in crate::face) null: bool,
}

/// The type of a field.
#[derive(Clone, Copy)]
pub(in crate::face) enum Kind {
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
    List(&'static Kind),
    /// An object with any names and values of this type.
    Map(&'static Kind),
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
pub(in crate::face) const TEXTS: Kind = Kind::List(&Kind::Text);

/// An optional field of a request; null means absent.
pub(in crate::face) const fn optional(name: &'static str, kind: Kind, about: &'static str) -> Field {
    Field { name, kind, about, required: false, null: true }
}

/// A field that is required in a request, and always present in a response.
pub(in crate::face) const fn required(name: &'static str, kind: Kind, about: &'static str) -> Field {
    Field { name, kind, about, required: true, null: false }
}

/// The same, with null as a possible value.
pub(in crate::face) const fn nullable(name: &'static str, kind: Kind, about: &'static str) -> Field {
    Field { name, kind, about, required: true, null: true }
}

/// A field that only some responses have.
pub(in crate::face) const fn sometimes(name: &'static str, kind: Kind, about: &'static str) -> Field {
    Field { name, kind, about, required: false, null: false }
}

/// The schema of a value, with that of each shape in it made so.
pub(in crate::face) fn of_kind(kind: Kind, of_shape: fn(&'static Shape) -> Value) -> Value {
    match kind {
        Kind::Text => json!({"type": "string"}),
        Kind::Word(words) => json!({"type": "string", "enum": words()}),
        Kind::Time => json!({"type": "string", "format": "date-time"}),
        Kind::Number => json!({"type": "integer", "minimum": 0}),
        Kind::Decimal => json!({"type": "number"}),
        Kind::Flag => json!({"type": "boolean"}),
        Kind::Object => json!({"type": "object"}),
        Kind::Of(shape) => of_shape(shape),
        Kind::List(of) => json!({"type": "array", "items": of_kind(*of, of_shape)}),
        Kind::Map(of) => json!({"type": "object", "additionalProperties": of_kind(*of, of_shape)}),
        Kind::Any => json!({}),
    }
}
