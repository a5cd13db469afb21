//! One request and its answer.

use std::future::poll_fn;
use std::pin::Pin;

use axum::body::{Body, HttpBody};
use axum::http::{HeaderMap, HeaderName, Request, StatusCode, header};
use hyper::body::Incoming;

use crate::face::remote::connect::Sender;

/// The longest answer, in bytes: a page, which ends behind the record with which it is longer than 4 MiB, and what
/// its JSON takes beside the values.
pub(super) const LONGEST: usize = 192 << 20;

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// The text of a header; empty if it is absent.
    pub(super) fn header(&self, name: &HeaderName) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The media type without its parameters.
    pub(super) fn media_type(&self) -> &str {
        self.header(&header::CONTENT_TYPE).split(';').next().unwrap_or_default().trim()
    }
}

/// The reason why there is no answer. The request may have arrived.
#[derive(Debug)]
pub(super) struct NoAnswer {
    pub(super) why: String,
    /// Whether there may be one if the request is sent again.
    pub(super) may_come: bool,
}

/// Sends a request, and reads the answer.
pub(super) async fn exchange(sender: &mut Sender, request: Request<Body>) -> Result<Answer, NoAnswer> {
    sender.ready().await.map_err(|error| told(&error))?;
    let response = sender.send_request(request).await.map_err(|error| told(&error))?;
    let (head, body) = response.into_parts();
    Ok(Answer { status: head.status, headers: head.headers, body: read(body).await? })
}

async fn read(mut body: Incoming) -> Result<Vec<u8>, NoAnswer> {
    let mut bytes = Vec::new();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let Ok(data) = frame.map_err(|error| told(&error))?.into_data() else { continue };
        if bytes.len() + data.len() > LONGEST {
            return Err(NoAnswer { why: format!("the answer is longer than {LONGEST} bytes"), may_come: false });
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}

/// The fault of a connection.
fn told(error: &hyper::Error) -> NoAnswer {
    let ended = error.is_incomplete_message() || error.is_closed() || error.is_canceled();
    let why = match () {
        () if error.is_parse() => "the answer is no HTTP".to_owned(),
        () if ended => "the connection ended before the answer did".to_owned(),
        () => error.to_string(),
    };
    NoAnswer { why, may_come: !error.is_parse() }
}
