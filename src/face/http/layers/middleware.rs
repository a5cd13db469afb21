//! The layers around all routes: callers and their addresses, counting, and headers for browsers.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::HttpBody as _;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};

use crate::face::http::admission::caller::Caller;
use crate::face::http::app::App;
use crate::face::http::layers::identify::{self, Asked};
use crate::face::http::problem::{Answer, Problem};
use crate::face::http::route::Needs;
use crate::face::http::sockets::memory::within_memory;
use crate::service::keyring::KeyRing;

/// Longer methods, in bytes, are refused before anything is logged of them.
const LONGEST_METHOD: usize = 32;
/// The methods with series of their own; clients cannot add any.
const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT"];
/// The id of a request, in its response.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The moment of the copy of a replica, in its responses.
#[cfg(feature = "replica")]
const COPY_TIME: HeaderName = HeaderName::from_static("hivekeep-copy-time");
/// The statuses of requests that are refused because of who asks.
const REFUSED: [StatusCode; 3] = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN, StatusCode::TOO_MANY_REQUESTS];
/// All other methods.
const OTHER_METHOD: &str = "other";

/// The role that a request needs.
type NeedsOf = fn(&Request) -> Needs;

/// Puts the layers around the routes; a request passes the last one first.
pub(in crate::face::http) fn around(routes: Router<App>, app: &App, needs_of: NeedsOf) -> Router<App> {
    #[cfg(feature = "replica")]
    let routes = routes.layer(from_fn_with_state(app.clone(), tell_copy_time));
    routes
        .layer(from_fn_with_state(app.memory().clone(), within_memory))
        .layer(from_fn_with_state((app.clone(), needs_of), check_role))
        .layer(from_fn_with_state(app.clone(), check_access))
        .layer(from_fn_with_state(app.clone(), count))
        .layer(from_fn(for_browsers))
        .layer(from_fn_with_state(app.clone(), close_when_crowded))
}

async fn check_access(State(app): State<App>, request: Request, next: Next) -> Answer {
    let any_host = identify::keys_are_asked_for(&app, &*key_ring(&app, &request).await);
    app.live().access.admit(&request, any_host)?;
    Ok(next.run(request).await)
}

/// The keys for a request.
fn key_ring<'r>(app: &'r App, request: &'r Request) -> impl Future<Output = Arc<KeyRing>> + use<'r> {
    let shown = identify::shown(request.headers()).ok().flatten();
    app.key_ring_for(request.uri().path(), shown)
}

/// Finds out who asks, and whether they may.
async fn check_role(State((app, needs_of)): State<(App, NeedsOf)>, mut request: Request, next: Next) -> Response {
    let ring = key_ring(&app, &request).await;
    let mut caller = Caller::unknown(request.extensions().get().copied());
    let needs = needs_of(&request);
    let asked = Asked { method: request.method(), headers: request.headers() };
    let admitted = match identify::identify(&app, &ring, &caller, &asked) {
        Ok(known) => {
            caller = known;
            admit(&app, &caller, needs)
        }
        // A probe that shows an old key is answered nevertheless.
        Err(problem) if needs.role().is_some() => Err(problem),
        Err(_) => Ok(()),
    };
    request.extensions_mut().insert(caller.clone());
    let mut response = match admitted {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
    if let Ok(id) = HeaderValue::from_str(caller.request_id()) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response.extensions_mut().insert(caller);
    response
}

/// Lets a request through, or says why not. A probe is always answered.
fn admit(app: &App, caller: &Caller, needs: Needs) -> Result<(), Problem> {
    if needs.role().is_some() {
        app.rates().request(&caller.who(), app.live().rates)?;
    }
    caller.refuse_unless(needs.role())
}

/// Says of which moment the copy of a replica is, as of before the request.
#[cfg(feature = "replica")]
async fn tell_copy_time(State(app): State<App>, request: Request, next: Next) -> Response {
    let store = app.instance().store().clone();
    let time = match store.is_standby() {
        true => app.beside(move || store.copy_time()).await.ok().and_then(|time| time.ok().flatten()),
        false => None,
    };
    let mut response = next.run(request).await;
    if let Some(time) = time.and_then(|time| HeaderValue::try_from(time.to_string()).ok()) {
        response.headers_mut().insert(COPY_TIME, time);
    }
    response
}

/// Counts a request and logs it.
async fn count(State(app): State<App>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let method = name_of(request.method());
    // The path of the route, not of the request, so that no client can make names without end.
    let path = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let address = request.extensions().get().copied();
    let response = match request.method().as_str().len() {
        0..=LONGEST_METHOD => next.run(request).await,
        _ => long_method().into_response(),
    };
    let (status, took) = (response.status().as_u16(), begun.elapsed());
    let caller = response.extensions().get().cloned().unwrap_or_else(|| Caller::unknown(address));
    let (key, id) = (caller.key().unwrap_or("none"), caller.request_id());
    let address = caller.address().map(tracing::field::display);
    let bytes = response.body().size_hint().exact();
    tracing::info!(%method, path, status, bytes, took_us = took.as_micros(), key, address, id, "request");
    if REFUSED.contains(&response.status()) {
        app.was_refused(&caller, format!("{method} {path}"), response.status());
    }
    let method = if path == "none" { "any" } else { method };
    app.request_counts().count(method, path, status, took);
    response
}

/// The name of a method in metrics and log.
fn name_of(method: &Method) -> &'static str {
    METHODS.into_iter().find(|known| method == *known).unwrap_or(OTHER_METHOD)
}

fn long_method() -> Problem {
    let detail = format!("the method is too long: limit_bytes={LONGEST_METHOD}");
    Problem::new(StatusCode::BAD_REQUEST, "method_not_allowed", detail)
}

/// Headers that tell browsers to respect the content type, to send no referrer, and to show no
/// response to pages of other sites.
pub(super) const FOR_BROWSERS: [(HeaderName, &str); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (header::X_FRAME_OPTIONS, "DENY"),
];

/// Adds the headers for browsers; no response may be cached.
async fn for_browsers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.extend(FOR_BROWSERS.map(|(name, value)| (name, HeaderValue::from_static(value))));
    response
}

/// Near the connection limit, closes each connection after its response, so that idle clients keep nobody out.
async fn close_when_crowded(State(app): State<App>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if app.connections().are_crowded() {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
