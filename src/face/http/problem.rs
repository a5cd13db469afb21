//! Error responses as RFC 9457 describes them. The kind of an error becomes a status here and nowhere else.

use std::borrow::Cow;

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::face::wire::hint::field_of;
use crate::{Error, ErrorKind};

/// Clients see this for an operating system error, whose message may contain paths.
const NOT_SHOWN: &str = "the store could not be read or written; see the log of the service";

/// An error on its way to a client.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    kind: &'static str,
    detail: String,
    /// The field of the request that is the way out.
    hint: Option<&'static str>,
    header: Option<(HeaderName, Cow<'static, str>)>,
}

/// The result of a handler.
pub(super) type Answer<R = Response> = Result<R, Problem>;

impl Problem {
    /// An error of HTTP itself, without an [`ErrorKind`].
    pub(super) fn new(status: StatusCode, kind: &'static str, detail: impl Into<String>) -> Self {
        Self { status, kind, detail: detail.into(), hint: None, header: None }
    }

    /// With a header that tells the client what to do next.
    pub(super) fn with(self, name: HeaderName, value: impl Into<Cow<'static, str>>) -> Self {
        Self { header: Some((name, value.into())), ..self }
    }

    /// Its kind.
    #[cfg(feature = "mcp")]
    pub(super) fn kind(&self) -> &'static str {
        self.kind
    }

    /// Its description.
    #[cfg(feature = "mcp")]
    pub(super) fn detail(&self) -> &str {
        &self.detail
    }

    /// The body of the response.
    pub(super) fn body(&self) -> String {
        let mut body = json!({
            "type": "about:blank",
            "title": self.status.canonical_reason().unwrap_or_default(),
            "status": self.status.as_u16(),
            "detail": self.detail,
            "kind": self.kind,
            "success": false,
        });
        if let Some(hint) = self.hint {
            body["hint"] = hint.into();
        }
        body.to_string()
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let status = status_of(error.kind());
        let problem = Self::new(status, error.kind().as_str(), detail_of(&error));
        let problem = Self { hint: error.hint().and_then(field_of), ..problem };
        if status == StatusCode::SERVICE_UNAVAILABLE { problem.with(header::RETRY_AFTER, "1") } else { problem }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let problem = [(header::CONTENT_TYPE, "application/problem+json")];
        let mut response = (self.status, problem, self.body()).into_response();
        if let Some((name, value)) = self.header
            && let Ok(value) = HeaderValue::from_str(&value)
        {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

fn detail_of(error: &Error) -> String {
    match error.kind() {
        ErrorKind::Io | ErrorKind::NoStore | ErrorKind::NotAStore | ErrorKind::NewerFormat => {
            tracing::error!(kind = error.kind().as_str(), %error, "a request failed");
            NOT_SHOWN.to_owned()
        }
        ErrorKind::Damaged | ErrorKind::Full | ErrorKind::Uncertain | ErrorKind::Reopen | ErrorKind::Moved => {
            tracing::error!(kind = error.kind().as_str(), %error, "a request failed");
            error.to_string()
        }
        _ => error.to_string(),
    }
}

fn status_of(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::NotFound | ErrorKind::Gone => StatusCode::NOT_FOUND,
        ErrorKind::Invalid | ErrorKind::Ambiguous => StatusCode::UNPROCESSABLE_ENTITY,
        ErrorKind::Conflict | ErrorKind::Damaged => StatusCode::CONFLICT,
        ErrorKind::Forbidden => StatusCode::FORBIDDEN,
        ErrorKind::Locked | ErrorKind::NotCommitted | ErrorKind::Reopen => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Full => StatusCode::INSUFFICIENT_STORAGE,
        ErrorKind::NoStore
        | ErrorKind::NotAStore
        | ErrorKind::NewerFormat
        | ErrorKind::Uncertain
        | ErrorKind::Forked
        | ErrorKind::Moved
        | ErrorKind::Io => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operating_system_error_reveals_no_path() {
        let problem = Problem::from(Error::new(ErrorKind::Io, "/var/lib/hive.redb: permission denied"));
        assert_eq!(problem.detail, NOT_SHOWN);
        assert_eq!(problem.status, StatusCode::INTERNAL_SERVER_ERROR);
    }

    #[test]
    fn an_error_that_can_be_retried_says_when() {
        let response = Problem::from(Error::new(ErrorKind::Locked, "busy")).into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[header::RETRY_AFTER], "1");
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
    }
}
