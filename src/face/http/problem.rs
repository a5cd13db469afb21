//! How an error is answered: RFC 9457, with the one place where the kind of an error becomes a status.

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::error::{Error, ErrorKind};

/// An error on its way to a client.
#[derive(Debug)]
pub(super) struct Problem(pub(super) Error);

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self(error) = self;
        let status = status_of(error.kind());
        let body = json!({
            "type": "about:blank",
            "title": status.canonical_reason().unwrap_or_default(),
            "status": status.as_u16(),
            "detail": error.to_string(),
            "kind": error.kind().as_str(),
            "success": false,
        });
        (status, [(header::CONTENT_TYPE, "application/problem+json")], Json(body)).into_response()
    }
}

fn status_of(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::NotFound | ErrorKind::Gone => StatusCode::NOT_FOUND,
        ErrorKind::Invalid | ErrorKind::Ambiguous => StatusCode::UNPROCESSABLE_ENTITY,
        ErrorKind::Conflict | ErrorKind::Damaged => StatusCode::CONFLICT,
        ErrorKind::Locked | ErrorKind::NotCommitted | ErrorKind::Reopen => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Full => StatusCode::INSUFFICIENT_STORAGE,
        ErrorKind::NoStore | ErrorKind::NotAStore | ErrorKind::NewerFormat | ErrorKind::Uncertain | ErrorKind::Io => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
    }
}
