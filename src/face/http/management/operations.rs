//! Endpoints for operators and their tools: liveness, readiness, metrics and the OpenAPI document.

use axum::Json;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;
use serde_json::Value;

use crate::face::http::app::App;
use crate::face::http::management::metrics;
use crate::face::http::problem::Answer;
use crate::face::http::route::{Gives, Needs, OK, Route, Takes};
use crate::face::http::shapes::READY_CHECK;
use crate::face::wire::field::FieldType::{Map, Of, Word};
use crate::face::wire::field::required;
use crate::service::health::HealthCheck;

/// The routes.
pub(in crate::face::http) const ROUTES: &[Route] = &[
    Route {
        method: Method::GET,
        path: "/livez",
        needs: Needs::Anyone,
        about: "Report liveness; 503 while a failure keeps the store's file closed",
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
        needs: Needs::Anyone,
        about: "Report readiness, check by check; 503 if a check fails",
        query: &[],
        takes: Takes::Nothing,
        gives: Gives::Fields(&[
            required("status", Word(|| vec!["ready", "failing"]), "ready if every check passes"),
            required("checks", Map(&Of(&READY_CHECK)), "checks by name"),
        ]),
        statuses: &[200, 503],
        refuses: &[],
        handler: || get(ready),
    },
    Route {
        method: Method::GET,
        path: "/metrics",
        needs: Needs::Reader,
        about: "Return metrics in the Prometheus text format",
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
        needs: Needs::Reader,
        about: "Return this document",
        query: &[],
        takes: Takes::Nothing,
        gives: Gives::Any("an OpenAPI 3.1 document"),
        statuses: OK,
        refuses: &[],
        handler: || get(description),
    },
];

/// A check in the response.
#[derive(Serialize)]
struct Shown {
    ok: bool,
    detail: Option<String>,
}

async fn live(app: App) -> Answer {
    app.instance().live()?;
    Ok("ok\n".into_response())
}

async fn ready(app: App) -> Answer {
    let instance = app.instance().clone();
    let checks = app.beside(move || instance.health_checks()).await?;
    let ok = checks.iter().all(|check| check.ok);
    let shown: serde_json::Map<_, _> = checks
        .into_iter()
        .map(|HealthCheck { name, ok, detail }| (name.to_owned(), serde_json::json!(Shown { ok, detail })))
        .collect();
    let status = if ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = serde_json::json!({"status": if ok { "ready" } else { "failing" }, "checks": shown});
    Ok::<Response, _>((status, Json(body)).into_response())
}

async fn description(app: App) -> Json<Value> {
    Json(app.description().clone())
}
