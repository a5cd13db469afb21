//! `/api/bulk`: all tasks that fit a filter are requeued, cancelled or purged, as a job that
//! outlives the request and the service.

use axum::Json;
use axum::http::{Method, StatusCode};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use serde_json::json;

use crate::face::http::app::App;
use crate::face::http::bodies::body::Object;
use crate::face::http::bodies::query::Name;
use crate::face::http::problem::Answer;
use crate::face::http::route::{Gives, Needs, OK, Route, Takes};
use crate::face::http::shapes::BULK;
use crate::face::wire::field::FieldType::{Flag, List, Number, Of, Text, Word};
use crate::face::wire::field::{Shape, optional, required};
use crate::face::wire::task::{AGE_FILTER, BOT_FILTER, CAN_FILTER, ID_FILTER, PRIORITY_FILTER, bulk_tasks};
use crate::{BulkAction, Error};

/// A number of tasks, and nothing changed.
const PLAN: Shape = Shape {
    name: "BulkPlan",
    about: "the tasks that a bulk change would be about",
    base: None,
    fields: &[required("fits", Number, "number of tasks that fit now")],
};

/// The routes.
pub(in crate::face::http) const ROUTES: &[Route] = &[
    Route {
        method: Method::POST,
        path: "/api/bulk",
        needs: Needs::Operator,
        about: "Requeue, cancel or purge all tasks that fit a filter, or all there are, as a job behind a new restore point (202); one job runs at a time",
        query: &[],
        takes: Takes::Fields(&[
            required("action", Word(|| BulkAction::ALL.map(BulkAction::as_str).into()), "the action on each task"),
            optional("state", Text, "only tasks in this state; all states of the action unless set"),
            BOT_FILTER,
            CAN_FILTER,
            PRIORITY_FILTER,
            ID_FILTER,
            AGE_FILTER,
            optional("all", Flag, "true for all tasks in the states of the action; without it a filter is required"),
            optional("at_most", Number, "refuse it if more tasks fit, such as the number of a dry run"),
            optional("dry_run", Flag, "true to count the tasks and change nothing"),
        ]),
        gives: Gives::Either(("the job", &BULK), ("with dry_run", &PLAN)),
        statuses: &[200, 202],
        refuses: &[404, 409],
        handler: || post(start),
    },
    Route {
        method: Method::GET,
        path: "/api/bulk",
        needs: Needs::Reader,
        about: "List the last bulk changes of tasks, newest first",
        query: &[],
        takes: Takes::Nothing,
        gives: Gives::Fields(&[required("jobs", List(&Of(&BULK)), "the jobs, at most 16")]),
        statuses: OK,
        refuses: &[],
        handler: || get(list),
    },
    Route {
        method: Method::GET,
        path: "/api/bulk/{id}",
        needs: Needs::Reader,
        about: "Show how far a bulk change of tasks has come",
        query: &[],
        takes: Takes::Nothing,
        gives: Gives::Of(&BULK),
        statuses: OK,
        refuses: &[404],
        handler: || get(one),
    },
    Route {
        method: Method::POST,
        path: "/api/bulk/{id}/stop",
        needs: Needs::Operator,
        about: "Stop a bulk change of tasks; those that it has changed stay so",
        query: &[],
        takes: Takes::Nothing,
        gives: Gives::Of(&BULK),
        statuses: OK,
        refuses: &[404, 409],
        handler: || post(stop),
    },
];

async fn start(app: App, Object(mut fields): Object) -> Answer {
    let action = fields.required_text("action")?;
    let tasks = bulk_tasks(&mut fields)?;
    let (at_most, dry_run) = (fields.number("at_most")?, fields.flag("dry_run")?);
    fields.end()?;
    let action: BulkAction = action.parse()?;
    if dry_run {
        let fits = app.look_through(move |_, store| store.plan_bulk(action, tasks)).await?;
        return Ok(Json(json!({"fits": fits})).into_response());
    }
    app.admit_point()?;
    let job = app.change_by(move |instance, store| instance.begin_bulk(store, action, tasks, at_most)).await?;
    Ok((StatusCode::ACCEPTED, Json(job)).into_response())
}

async fn list(app: App) -> Answer {
    let jobs = app.read(|store| store.bulk_jobs()).await?;
    Ok(Json(json!({"jobs": jobs})).into_response())
}

async fn one(app: App, Name(id): Name) -> Answer {
    let found = app.read(move |store| {
        let missing = || Error::not_found(format!("no such bulk change is remembered: id={}", id.escape_debug()));
        store.bulk_jobs()?.into_iter().find(|job| job.id == id).ok_or_else(missing)
    });
    Ok(Json(found.await?).into_response())
}

async fn stop(app: App, Name(id): Name) -> Answer {
    Ok(Json(app.change(move |store| store.stop_bulk(&id)).await?).into_response())
}
