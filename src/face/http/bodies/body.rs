//! Reads request bodies, with limits of size and time, and parses them as strictly as documents require.

use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{FromRequest, Request};
use axum::http::{StatusCode, header};
use serde_json::Value;

use crate::face::http::app::App;
use crate::face::http::bodies::metered::MeteredValue;
use crate::face::http::problem::Problem;
use crate::face::http::sockets::memory::{Charge, Meter};
use crate::face::wire::fields::Fields;
use crate::json;
use crate::{Error, ErrorKind};

/// Timeout for reading the whole body.
const BODY_WITHIN: Duration = Duration::from_secs(60);
/// Longer bodies, in bytes, are parsed on a thread for blocking work.
const PARSED_HERE: usize = 64 << 10;

/// A body that is a JSON object, or empty. Its Content-Type is ignored.
pub(in crate::face::http) struct Object(pub(in crate::face::http) Fields);

/// A body that is a JSON object and replaces what is there: without one, everything would be lost.
pub(in crate::face::http) struct Whole(pub(in crate::face::http) Fields);

/// A body that is any JSON value.
pub(in crate::face::http) struct Json(pub(in crate::face::http) Value);

impl FromRequest<App> for Object {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        Ok(Self(Fields::of(value(request, app).await?)?))
    }
}

impl FromRequest<App> for Whole {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let missing = || Error::invalid("the body is missing; it must be a JSON object, which may be {}");
        let body = value(request, app).await?.filter(|body| !body.is_null()).ok_or_else(missing)?;
        Ok(Self(Fields::of(Some(body))?))
    }
}

impl FromRequest<App> for Json {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let missing = || Problem::from(Error::invalid("the body is missing; it must be a JSON value"));
        value(request, app).await?.map(Self).ok_or_else(missing)
    }
}

/// The JSON of a body; `None` if it is empty.
async fn value(request: Request, app: &App) -> Result<Option<Value>, Problem> {
    let charge = Charge::current(app.memory());
    let bytes = bytes(request, app, &charge).await?;
    parsed(app, bytes, &charge, |text, meter| {
        let mut whole = MeteredValue::new(meter);
        let parsed = json::parse_into(text, &mut whole);
        whole.finish(parsed)
    })
    .await
}

/// The whole body.
pub(in crate::face::http) async fn bytes(request: Request, app: &App, charge: &Charge) -> Result<Vec<u8>, Problem> {
    let limit = app.limits().body_bytes;
    tokio::time::timeout(BODY_WITHIN, read(request, limit, charge)).await.map_err(|_| too_slow())?
}

/// The parsed body; `None` if it is empty. `parse` counts what it makes of the body, and returns the meter.
pub(in crate::face::http) async fn parsed<T: Send + 'static>(
    app: &App,
    bytes: Vec<u8>,
    charge: &Charge,
    parse: fn(&[u8], Meter) -> (crate::Result<T>, Meter),
) -> Result<Option<T>, Problem> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    // The stored part of the body is copied on the way into the file.
    charge.take(bytes.len())?;
    let meter = Meter::new(charge.clone());
    let (parsed, meter) = match bytes.len() {
        ..=PARSED_HERE => parse(&bytes, meter),
        _ => app.beside(move || parse(&bytes, meter)).await?,
    };
    match meter.into_refusal() {
        Some(refusal) => Err(refusal),
        None => parsed.map(Some).map_err(not_json),
    }
}

/// Reads a body, charging for the memory as it grows.
async fn read(request: Request, limit: usize, charge: &Charge) -> Result<Vec<u8>, Problem> {
    let announced = request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    let announced: u64 = announced.and_then(|length| length.parse().ok()).unwrap_or_default();
    let mut body = request.into_body();
    if announced > limit as u64 {
        pass_over(&mut body, limit).await;
        return Err(too_large(limit));
    }
    let mut bytes = Vec::new();
    while let Some(frame) = next(&mut body).await {
        let data = frame.map_err(|_| cut_off())?;
        if bytes.len() + data.len() > limit {
            pass_over(&mut body, limit).await;
            return Err(too_large(limit));
        }
        if let Err(refusal) = grow(&mut bytes, data.len(), charge) {
            drop(bytes);
            pass_over(&mut body, limit).await;
            return Err(refusal);
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}

/// Makes room for more bytes, twice as much as before where they do not fit.
fn grow(bytes: &mut Vec<u8>, more: usize, charge: &Charge) -> Result<(), Problem> {
    if bytes.capacity() - bytes.len() < more {
        let room = more.max(bytes.len());
        charge.take(bytes.len() + room - bytes.capacity())?;
        bytes.reserve_exact(room);
    }
    Ok(())
}

/// The next data of a body.
async fn next(body: &mut Body) -> Option<Result<Bytes, axum::Error>> {
    loop {
        let frame = std::future::poll_fn(|context| std::pin::Pin::new(&mut *body).poll_frame(context)).await?;
        match frame.map(|frame| frame.into_data()) {
            Ok(Ok(data)) => return Some(Ok(data)),
            Ok(Err(_)) => {}
            Err(error) => return Some(Err(error)),
        }
    }
}

/// Discards the rest of the body, up to the limit once more, so that the client stays to read the response.
async fn pass_over(body: &mut Body, limit: usize) {
    let mut passed = 0;
    while passed <= limit
        && let Some(Ok(data)) = next(body).await
    {
        passed += data.len();
    }
}

fn not_json(error: Error) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, ErrorKind::Invalid.as_str(), error.to_string())
}

fn too_large(limit: usize) -> Problem {
    let detail = format!("the body is too large; raise the limit with hivekeep serve --max-body: limit_bytes={limit}");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail)
}

fn too_slow() -> Problem {
    let detail = format!("timeout while reading the body: limit_s={}", BODY_WITHIN.as_secs());
    Problem::new(StatusCode::REQUEST_TIMEOUT, "too_slow", detail)
}

fn cut_off() -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "cut_off", "the body ended prematurely")
}
