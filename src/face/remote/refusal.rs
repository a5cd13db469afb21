//! The error that an answer means.

use axum::http::{StatusCode, header};
use serde_json::Value;

use crate::face::remote::address::Address;
use crate::face::remote::exchange::Answer;
use crate::face::wire::hint::hint_of;
use crate::{Error, ErrorKind, Hint, json};

/// The longest message that is taken over, in characters.
const LONGEST: usize = 4096;

/// The memory that the value of an answer may take. The longest document that a service shows takes less.
const MOST: usize = 1 << 30;

/// An answer as the value or the error that it means.
pub(super) enum Meant {
    Value(Value),
    /// An error of the service.
    Refused(Error),
    /// The service does not have the request, so it is of another version.
    Unknown,
    /// The answer is not that of a service.
    Strange(Error),
}

/// Reads an answer.
pub(super) fn meant(answer: &Answer, address: &Address) -> Meant {
    let strange = || Meant::Strange(no_service(answer, address));
    if answer.status.is_success() {
        return match answer.media_type() {
            "application/json" => match json::parse_within(&answer.body, MOST) {
                Ok(Some(value)) => Meant::Value(value),
                Ok(None) => Meant::Strange(too_many(address)),
                Err(_) => strange(),
            },
            _ => strange(),
        };
    }
    if answer.media_type() != "application/problem+json" {
        return strange();
    }
    let Ok(problem) = json::parse(&answer.body) else { return strange() };
    let (Some(word), Some(detail)) = (problem["kind"].as_str(), problem["detail"].as_str()) else { return strange() };
    let is_unknown = answer.status == StatusCode::NOT_FOUND && detail.starts_with("unknown path");
    if is_unknown || answer.status == StatusCode::METHOD_NOT_ALLOWED {
        return Meant::Unknown;
    }
    let detail: String = detail.chars().take(LONGEST).collect();
    let error = Error::new(kind(word, answer.status), detail);
    let hint = match answer.status {
        StatusCode::UNAUTHORIZED => Some(Hint::GiveKey),
        _ => problem["hint"].as_str().and_then(hint_of),
    };
    Meant::Refused(hint.into_iter().fold(error, Error::with_hint))
}

/// The kind of an error. Kinds of HTTP itself have none of their own.
fn kind(word: &str, status: StatusCode) -> ErrorKind {
    if let Some(kind) = ErrorKind::ALL.into_iter().find(|kind| kind.as_str() == word) {
        return kind;
    }
    match status.as_u16() {
        401 | 403 => ErrorKind::Forbidden,
        408 | 429 | 503 => ErrorKind::NotCommitted,
        412 => ErrorKind::Conflict,
        400..=499 => ErrorKind::Invalid,
        _ => ErrorKind::Io,
    }
}

fn too_many(address: &Address) -> Error {
    let message = "the answer holds more values than this program reads";
    Error::new(ErrorKind::Io, format!("{message}: address={address} max_memory={MOST}"))
}

fn no_service(answer: &Answer, address: &Address) -> Error {
    let what = match answer.media_type() {
        "" => "nothing that says its type",
        other => other,
    };
    let (status, to) = (answer.status.as_u16(), answer.header(&header::LOCATION));
    let to = if to.is_empty() { String::new() } else { format!(" location={to}") };
    Error::new(
        ErrorKind::Io,
        format!(
            "the answer is not that of a Hivekeep service; look at the address, and at a proxy before the service: \
             address={address} status={status} content_type={what}{to}"
        ),
    )
}
