//! A route: one row of the table from which both the router and the OpenAPI document are made, so that they cannot
//! differ.

use axum::http::Method;
use axum::routing::MethodRouter;

use crate::Role;
use crate::face::http::app::App;
use crate::face::wire::field::{Field, FieldType, Shape, TEXTS, nullable, optional, required, sometimes};

/// An operation of the service.
pub(super) struct Route {
    /// The method.
    pub(super) method: Method,
    /// The path, with its parameters in braces.
    pub(super) path: &'static str,
    /// The role that it needs.
    pub(super) needs: Needs,
    /// The summary, in one sentence.
    pub(super) about: &'static str,
    /// The query parameters.
    pub(super) query: &'static [Field],
    /// The request body.
    pub(super) takes: Takes,
    /// The body of a successful response.
    pub(super) gives: Gives,
    /// The statuses of successful responses.
    pub(super) statuses: &'static [u16],
    /// The statuses of its own errors, besides those that follow from its parameters and body.
    pub(super) refuses: &'static [u16],
    /// The handler.
    pub(super) handler: fn() -> MethodRouter<App>,
}

/// The role that a route needs, where the service asks for keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Needs {
    /// No key: the answer reveals nothing but that the service runs.
    Anyone,
    /// [`Role::Reader`] or a higher one.
    Reader,
    /// [`Role::Bot`] or a higher one; a bot only acts as itself.
    Bot,
    /// [`Role::Operator`] or a higher one.
    Operator,
    /// [`Role::Admin`].
    Admin,
}

impl Needs {
    /// The lowest role that may ask; none if no key is needed.
    pub(super) fn role(self) -> Option<Role> {
        match self {
            Self::Anyone => None,
            Self::Reader => Some(Role::Reader),
            Self::Bot => Some(Role::Bot),
            Self::Operator => Some(Role::Operator),
            Self::Admin => Some(Role::Admin),
        }
    }
}

/// A request body.
#[derive(Clone, Copy)]
pub(super) enum Takes {
    /// No body.
    Nothing,
    /// A JSON object with these fields. The body may be empty if no field is required.
    Fields(&'static [Field]),
    /// The same, but never empty, since it replaces what is there.
    Whole(&'static [Field]),
    /// Any JSON value.
    Any(&'static str),
}

impl Takes {
    /// The fields of the object.
    pub(super) fn fields(self) -> &'static [Field] {
        match self {
            Self::Fields(fields) | Self::Whole(fields) => fields,
            Self::Nothing | Self::Any(_) => &[],
        }
    }
}

/// The body of a successful response.
#[derive(Clone, Copy)]
pub(super) enum Gives {
    /// A JSON object with these fields.
    Fields(&'static [Field]),
    /// A JSON object of this shape.
    Of(&'static Shape),
    /// A JSON object of one of these shapes, each with its description.
    Either((&'static str, &'static Shape), (&'static str, &'static Shape)),
    /// Any JSON value, with its description.
    Any(&'static str),
    /// Plain text, with its description.
    Text(&'static str),
}

/// Most routes have this success status only.
pub(super) const OK: &[u16] = &[200];

/// Every read of versioned state takes it.
pub(super) const AT: Field =
    optional("at", FieldType::Text, "read as of this restore point: an id, latest, latest~3, a time, or '10m ago'");
/// The length of a page.
pub(super) const LIMIT: Field =
    optional("limit", FieldType::Number, "maximum number; 100 unless set, at most 1,000. A page also ends after 4 MiB");
/// The start of a page.
pub(super) const CURSOR: Field = optional("cursor", FieldType::Text, "`next` of the previous page");
/// The start of the next page.
pub(super) const NEXT: Field = nullable("next", FieldType::Text, "`cursor` of the next page; null on the last page");
/// That a list of a point leaves out records.
pub(super) const PARTIAL: Field =
    sometimes("partial", FieldType::Flag, "true if a repair lost records of this collection at the point");
/// The records that are left out.
pub(super) const LOST: Field =
    sometimes("lost", TEXTS, "with partial: keys that are known to be lost, at most 100; there may be others");
/// The first field in responses of the replaced service.
pub(super) const SUCCESS: Field = required("success", FieldType::Flag, "whether the request succeeded");
/// The time of the response.
pub(super) const TIMESTAMP: Field = required("timestamp", FieldType::Time, "time of the response in UTC");
