//! `/api/check`: a full check takes a while, so it is a job with progress. `/api/audit-check`: the audit trail alone.

use axum::Json;
use axum::http::{Method, StatusCode};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use serde_json::{Value, json};

use crate::face::http::app::App;
use crate::face::http::bodies::query::Name;
use crate::face::http::problem::Answer;
use crate::face::http::route::{Gives, Needs, OK, Route, TIMESTAMP, Takes};
use crate::face::http::shapes::JOB;
use crate::face::wire::field::FieldType::Number;
use crate::face::wire::field::{TEXTS, required};
use crate::service::check_jobs::CheckJob;
use crate::{Error, show_time};

/// The routes.
pub(in crate::face::http) const ROUTES: &[Route] = &[
    Route {
        method: Method::POST,
        path: "/api/check",
        needs: Needs::Operator,
        about: "Verify every record, every point and every digest; returns the new job, or the one that is already running (202)",
        query: &[],
        takes: Takes::Nothing,
        gives: Gives::Of(&JOB),
        statuses: &[202],
        refuses: &[],
        handler: || post(start),
    },
    Route {
        method: Method::GET,
        path: "/api/check/{id}",
        needs: Needs::Reader,
        about: "Show the progress and the report of a job",
        query: &[],
        takes: Takes::Nothing,
        gives: Gives::Of(&JOB),
        statuses: OK,
        refuses: &[404],
        handler: || get(one),
    },
    Route {
        method: Method::GET,
        path: "/api/audit-check",
        needs: Needs::Reader,
        about: "Verify the chain of the audit trail, entry by entry, once a minute at most",
        query: &[],
        takes: Takes::Nothing,
        gives: Gives::Fields(&[
            TIMESTAMP,
            required("entries", Number, "number of entries that should be there"),
            required("last", Number, "number of the newest entry; the chain is verified up to it"),
            required("lost", Number, "number of entries that a repair has marked as lost"),
            required("findings", TEXTS, "faults in words; at most 100 are listed"),
            required("found", Number, "total number of faults"),
        ]),
        statuses: OK,
        refuses: &[],
        handler: || get(verify_audit),
    },
];

/// Maximum number of faults of the audit trail in an answer.
const FAULTS: usize = 100;

async fn start(app: App) -> Answer {
    let instance = app.instance();
    let (job, is_new) = instance.check_jobs().start(instance.store().clock().now());
    if is_new {
        let (own, instance) = (job.clone(), instance.clone());
        // Not through `App::read`: it would hold a permit for as long as it runs, and only one check runs at a time.
        tokio::task::spawn_blocking(move || instance.run_check(&own));
    }
    Ok((StatusCode::ACCEPTED, Json(shown(&job))).into_response())
}

async fn one(app: App, Name(id): Name) -> Answer {
    let job = app
        .instance()
        .check_jobs()
        .find(&id)
        .ok_or_else(|| Error::not_found(format!("unknown check: id={}", id.escape_debug())))?;
    Ok(Json(shown(&job)).into_response())
}

async fn verify_audit(app: App) -> Answer {
    let instance = app.instance().clone();
    app.measure(move |store| {
        let check = instance.check_jobs().audit(store)?;
        let report = &check.report;
        let findings: Vec<_> = report.findings.iter().take(FAULTS).map(ToString::to_string).collect();
        Ok(Json(json!({
            "timestamp": show_time(check.at), "entries": report.entries, "last": report.last,
            "lost": report.lost, "findings": findings, "found": report.findings.len(),
        }))
        .into_response())
    })
    .await
}

fn shown(job: &CheckJob) -> Value {
    let (done, of) = job.progress();
    let ended = job.ended();
    let report = ended.as_ref().map(|ended| &ended.report);
    let state = match report {
        None => "running",
        Some(Ok(_)) => "done",
        Some(Err(_)) => "failed",
    };
    json!({
        "id": job.id,
        "state": state,
        "done": done,
        "of": of,
        "healed": job.healed(),
        "started_at": show_time(job.started_at),
        "finished_at": ended.as_ref().map(|ended| show_time(ended.at)),
        "report": report.and_then(|report| report.as_ref().ok()),
        "error": report.and_then(|report| report.as_ref().err()).map(|error| error.kind().as_str()),
    })
}
