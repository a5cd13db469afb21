//! What a route is: one row of a table from which the router and the OpenAPI document are both made, so that neither
//! can know what the other does not.

use axum::http::Method;
use axum::routing::MethodRouter;

use crate::face::http::app::App;

/// Something that can be asked for.
pub(super) struct Route {
    /// How.
    pub(super) method: Method,
    /// Where, with the names of its parts in braces.
    pub(super) path: &'static str,
    /// What it does, in one sentence.
    pub(super) about: &'static str,
    /// What may stand behind the question mark.
    pub(super) query: &'static [Field],
    /// The fields of the body.
    pub(super) takes: Takes,
    /// What an answer of success carries.
    pub(super) gives: Gives,
    /// The statuses of the answers that carry it.
    pub(super) statuses: &'static [u16],
    /// The statuses of its own refusals, beside those that follow from what it takes.
    pub(super) refuses: &'static [u16],
    /// Who answers.
    pub(super) handler: fn() -> MethodRouter<App>,
}

/// What a request carries.
#[derive(Clone, Copy)]
pub(super) enum Takes {
    /// No body.
    Nothing,
    /// A JSON object with these fields. Where none is needed the body may be left out.
    Fields(&'static [Field]),
    /// Any JSON.
    Any(&'static str),
}

/// What an answer of success carries.
#[derive(Clone, Copy)]
pub(super) enum Gives {
    /// A JSON object with these fields.
    Fields(&'static [Field]),
    /// A JSON object of this shape.
    Of(&'static Shape),
    /// A JSON object of one of these shapes, for what the first text says and for what the second says.
    Either((&'static str, &'static Shape), (&'static str, &'static Shape)),
    /// JSON that this says.
    Any(&'static str),
    /// Plain text.
    Text(&'static str),
}

/// An object that has a name, because more than one answer has it.
pub(super) struct Shape {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) fields: &'static [Field],
}

/// A field of a query, a body or an answer.
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) about: &'static str,
    /// Whether it must be there, or, in an answer, always is.
    pub(super) required: bool,
    /// Whether it may be null.
    pub(super) null: bool,
}

/// What sort of JSON a field is.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Text,
    /// One of these words, and never another.
    Word(fn() -> Vec<&'static str>),
    Time,
    Number,
    Decimal,
    Flag,
    /// Any object.
    Object,
    Of(&'static Shape),
    List(&'static Kind),
    /// An object of which only the names are the caller's.
    Map(&'static Kind),
    Any,
}

/// A field of a request that may be absent; null means that too.
pub(super) const fn optional(name: &'static str, kind: Kind, about: &'static str) -> Field {
    Field { name, kind, about, required: false, null: true }
}

/// A field that must be there, or, in an answer, always is.
pub(super) const fn required(name: &'static str, kind: Kind, about: &'static str) -> Field {
    Field { name, kind, about, required: true, null: false }
}

/// A field that must be there, or, in an answer, always is, and that is null when there is nothing to say.
pub(super) const fn nullable(name: &'static str, kind: Kind, about: &'static str) -> Field {
    Field { name, kind, about, required: true, null: true }
}

/// A field that only some answers have.
pub(super) const fn sometimes(name: &'static str, kind: Kind, about: &'static str) -> Field {
    Field { name, kind, about, required: false, null: false }
}

/// Most answers have this status only.
pub(super) const OK: &[u16] = &[200];

/// Reads the past: every read takes it.
pub(super) const AT: Field =
    optional("at", Kind::Text, "as of this restore point: an id, latest, latest~3, a time, or '10m ago'");
/// How long a page is.
pub(super) const LIMIT: Field = optional("limit", Kind::Number, "at most so many; 100 unless set, 1,000 at most");
/// Where a page begins.
pub(super) const CURSOR: Field = optional("cursor", Kind::Text, "the `next` of the page before");
/// Where the next page begins.
pub(super) const NEXT: Field =
    nullable("next", Kind::Text, "the `cursor` of the page after this one; null on the last");
/// The first field of the answers of the replaced service.
pub(super) const SUCCESS: Field = required("success", Kind::Flag, "whether it was done");
/// When it was answered.
pub(super) const TIMESTAMP: Field = required("timestamp", Kind::Time, "the time of the answer, in UTC");
