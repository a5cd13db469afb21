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
    pub(super) query: &'static [Member],
    /// The members of the body.
    pub(super) takes: Takes,
    /// The members of the answer.
    pub(super) gives: Gives,
    /// Who answers.
    pub(super) handler: fn() -> MethodRouter<App>,
}

/// What a request carries.
#[derive(Clone, Copy)]
pub(super) enum Takes {
    /// No body.
    Nothing,
    /// A JSON object with these members. Where none is needed the body may be left out.
    Members(&'static [Member]),
    /// Any JSON.
    Any(&'static str),
}

/// What an answer of success carries.
#[derive(Clone, Copy)]
pub(super) enum Gives {
    /// A JSON object with these members.
    Members(&'static [Member]),
    /// JSON that this says.
    Any(&'static str),
    /// Plain text.
    Text(&'static str),
}

/// A member of a query, a body or an answer.
pub(super) struct Member {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) about: &'static str,
    pub(super) needed: bool,
}

/// What sort of JSON a member is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Time,
    Number,
    Decimal,
    Flag,
    Object,
    List,
    Any,
}

/// A member that may be absent.
pub(super) const fn member(name: &'static str, kind: Kind, about: &'static str) -> Member {
    Member { name, kind, about, needed: false }
}

/// A member that must be there, or, in an answer, always is.
pub(super) const fn needed(name: &'static str, kind: Kind, about: &'static str) -> Member {
    Member { name, kind, about, needed: true }
}

/// Reads the past: every read takes it.
pub(super) const AT: Member =
    member("at", Kind::Text, "as of this restore point: an id, latest, latest~3, a time, or '10m ago'");
/// How long a page is.
pub(super) const LIMIT: Member = member("limit", Kind::Number, "at most so many; 100 unless set, 1,000 at most");
/// Where a page begins.
pub(super) const CURSOR: Member = member("cursor", Kind::Text, "the `next` of the page before");
/// Where the next page begins.
pub(super) const NEXT: Member = needed("next", Kind::Text, "the `cursor` of the page after this one; null on the last");
/// The first member of the answers of the replaced service.
pub(super) const SUCCESS: Member = needed("success", Kind::Flag, "whether it was done");
/// When it was answered.
pub(super) const TIMESTAMP: Member = needed("timestamp", Kind::Time, "the time of the answer, in UTC");
