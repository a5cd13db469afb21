//! What operators and their tools ask: whether it lives, whether it is ready, what it counts, what there is to ask.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;

use crate::duration;
use crate::face::http::app::App;
use crate::face::http::problem::Answer;
use crate::face::http::route::Kind::{Map, Of, Word};
use crate::face::http::route::{Gives, OK, Route, Takes, needed};
use crate::face::http::shapes::READY_CHECK;
use crate::face::http::{metrics, openapi};
use crate::service::instance::Instance;
use crate::{Error, ErrorKind};

/// A file that is closed for less long, until it is opened again, is no reason to end the process.
const NOT_LIVE_AFTER: Duration = Duration::from_secs(1);

/// The routes.
pub(super) const ROUTES: &[Route] = &[
    Route {
        method: Method::GET,
        path: "/livez",
        about: "Say that the process lives; 503 while nothing can be served, as a failure has closed the store's file",
        query: &[],
        takes: Takes::Nothing,
        gives: Gives::Text("ok"),
        statuses: OK,
        refuses: &[],
        handler: || get(live),
    },
    Route {
        method: Method::GET,
        path: "/readyz",
        about: "Say whether the service does its work, check by check; 503 when one fails",
        query: &[],
        takes: Takes::Nothing,
        gives: Gives::Members(&[
            needed("status", Word(|| vec!["ready", "failing"]), "whether every check passes"),
            needed("checks", Map(&Of(&READY_CHECK)), "the checks by name"),
        ]),
        statuses: &[200, 503],
        refuses: &[],
        handler: || get(ready),
    },
    Route {
        method: Method::GET,
        path: "/metrics",
        about: "Give what the service counts, as Prometheus reads it",
        query: &[],
        takes: Takes::Nothing,
        gives: Gives::Text("Prometheus text, version 0.0.4"),
        statuses: OK,
        refuses: &[],
        handler: || get(metrics::metrics),
    },
    Route {
        method: Method::GET,
        path: "/openapi.json",
        about: "Give this description",
        query: &[],
        takes: Takes::Nothing,
        gives: Gives::Any("an OpenAPI 3.1 document"),
        statuses: OK,
        refuses: &[],
        handler: || get(openapi::openapi),
    },
];

/// One thing that has to work.
#[derive(Debug)]
pub(super) struct Check {
    pub(super) name: &'static str,
    pub(super) ok: bool,
    detail: Option<String>,
}

/// How a check is shown.
#[derive(Serialize)]
struct Shown {
    ok: bool,
    detail: Option<String>,
}

impl Check {
    fn of(name: &'static str, error: Option<String>) -> Self {
        Self { name, ok: error.is_none(), detail: error }
    }
}

/// Whether there is an archive outside of the store that is as young as it should be.
fn archive(instance: &Instance) -> Check {
    let name = "archive";
    if instance.archive_error().is_some() {
        let why = "the last automatic archive failed; the service's log says why";
        return Check::of(name, Some(why.to_owned()));
    }
    // That the store cannot be read is another check's business.
    let Ok(Some((outside, late))) = instance.outside() else { return Check::of(name, None) };
    let age = duration::show(duration::since(outside.last.state_at, instance.store().clock().now()));
    let since = if outside.changed_since { "something has changed since" } else { "nothing has changed since" };
    let detail = Some(format!("the newest archive is of the state of {age} ago, and {since}"));
    Check { name, ok: !late, detail }
}

/// Every check, run now. Details of the operating system stay in the log: anybody may ask.
pub(super) fn checks(app: &App) -> Vec<Check> {
    let instance = app.instance();
    let health = instance.health();
    let store = instance.store();
    let closed = instance.keeper().state().closed_for.map(still_closed);
    let readable = || store.view().and_then(|view| view.queue().counts()).and_then(|_| store.refuse_moved()).err();
    let unreadable = |error: Error| format!("the store cannot be used: kind={}", error.kind().as_str());
    let failed = |error: Option<String>, what: &str| error.map(|_| format!("{what}; the service's log says why"));
    vec![
        Check::of("store", closed.or_else(|| readable().map(unreadable))),
        Check::of("backup", failed(health.backup_error, "the last automatic backup failed")),
        Check::of("retention", failed(health.retention_error, "the last retention failed")),
        archive(instance),
        Check::of("upkeep", failed(health.upkeep_error, "the last upkeep of leases and sessions failed")),
        Check::of("disk", instance.room().for_point(store).err().map(|error| error.to_string())),
        Check::of("event_log", failed(store.event_log_error(), "events cannot be written to their log")),
        Check::of("last_check", app.jobs().last_problem()),
    ]
}

fn still_closed(closed: Duration) -> String {
    format!("a failure has closed the store's file, and it is being opened again: closed_s={}", closed.as_secs())
}

async fn live(State(app): State<App>) -> Answer {
    match app.instance().keeper().state().closed_for.filter(|closed| *closed >= NOT_LIVE_AFTER) {
        Some(closed) => Err(Error::new(ErrorKind::Reopen, still_closed(closed)).into()),
        None => Ok("ok\n".into_response()),
    }
}

async fn ready(State(app): State<App>) -> Answer {
    let own = app.clone();
    let checks = app.beside(move || checks(&own)).await?;
    let ok = checks.iter().all(|check| check.ok);
    let shown: serde_json::Map<_, _> = checks
        .into_iter()
        .map(|Check { name, ok, detail }| (name.to_owned(), serde_json::json!(Shown { ok, detail })))
        .collect();
    let status = if ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = serde_json::json!({"status": if ok { "ready" } else { "failing" }, "checks": shown});
    Ok::<Response, _>((status, Json(body)).into_response())
}
