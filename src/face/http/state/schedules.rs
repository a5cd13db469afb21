//! `/api/schedules`: tasks that come back by the calendar.

use axum::Json;
use axum::http::Method;
use axum::response::IntoResponse;
use axum::routing::{delete, get, post};
use serde_json::json;

use crate::face::http::app::App;
use crate::face::http::bodies::body::Object;
use crate::face::http::bodies::query::{Listed, Name, Query};
use crate::face::http::problem::Answer;
use crate::face::http::route::{AT, CURSOR, Gives, LIMIT, LOST, NEXT, Needs, OK, PARTIAL, Route, Takes};
use crate::face::http::shapes::{SCHEDULE, TASK};
use crate::face::http::state::reading::{list as listed, read};
use crate::face::wire::field::FieldType::{Flag, List, Number, Of, Text, Word};
use crate::face::wire::field::{optional, required};
use crate::face::wire::task::NEW_TASK;
use crate::{Error, Missed, NewSchedule, Overlap, Result, Schedule, ScheduleName, WriteTx};

/// The routes.
pub(in crate::face::http) const ROUTES: &[Route] = &[
    Route {
        method: Method::GET,
        path: "/api/schedules",
        needs: Needs::Reader,
        about: "List the schedules by name",
        query: &[LIMIT, CURSOR, AT],
        takes: Takes::Nothing,
        gives: Gives::Fields(&[required("schedules", List(&Of(&SCHEDULE)), "the schedules"), NEXT, PARTIAL, LOST]),
        statuses: OK,
        refuses: &[],
        handler: || get(list),
    },
    Route {
        method: Method::POST,
        path: "/api/schedules",
        needs: Needs::Operator,
        about: "Add a schedule, or replace one",
        query: &[],
        takes: Takes::Fields(&[
            required("name", Text, "its name: 1 to 64 letters, digits, hyphens, dots and underscores"),
            optional("every_ms", Number, "the interval, at least 1,000; excludes cron"),
            optional("cron", Text, "a cron expression of five fields, such as 0 3 * * *; excludes every_ms"),
            optional("time_zone", Text, "the time zone of the cron expression, such as Europe/Vienna; UTC unless set"),
            optional(
                "missed",
                Word(|| Missed::ALL.map(Missed::as_str).to_vec()),
                "missed due times that fire; last unless set",
            ),
            optional(
                "overlap",
                Word(|| Overlap::ALL.map(Overlap::as_str).to_vec()),
                "whether due times fire while the last task is not finished; allow unless set",
            ),
            optional("replace", Flag, "whether a schedule of that name is replaced; otherwise that is an error"),
            required(
                "task",
                Of(&NEW_TASK),
                "the task; it comes back, so it cannot have id, not_before, depends_on and idempotency_key",
            ),
        ]),
        gives: Gives::Of(&SCHEDULE),
        statuses: OK,
        refuses: &[409],
        handler: || post(add),
    },
    Route {
        method: Method::GET,
        path: "/api/schedules/{name}",
        needs: Needs::Reader,
        about: "Show a schedule",
        query: &[AT],
        takes: Takes::Nothing,
        gives: Gives::Of(&SCHEDULE),
        statuses: OK,
        refuses: &[404],
        handler: || get(one),
    },
    Route {
        method: Method::DELETE,
        path: "/api/schedules/{name}",
        needs: Needs::Operator,
        about: "Remove a schedule; its tasks stay",
        query: &[],
        takes: Takes::Nothing,
        gives: Gives::Fields(&[required("removed", Flag, "true")]),
        statuses: OK,
        refuses: &[404],
        handler: || delete(remove),
    },
    Route {
        method: Method::POST,
        path: "/api/schedules/{name}/pause",
        needs: Needs::Operator,
        about: "Pause a schedule; the due times of a pause do not fire later",
        query: &[],
        takes: Takes::Nothing,
        gives: Gives::Of(&SCHEDULE),
        statuses: OK,
        refuses: &[404],
        handler: || post(pause),
    },
    Route {
        method: Method::POST,
        path: "/api/schedules/{name}/resume",
        needs: Needs::Operator,
        about: "Resume a paused schedule with its first due time after now",
        query: &[],
        takes: Takes::Nothing,
        gives: Gives::Of(&SCHEDULE),
        statuses: OK,
        refuses: &[404],
        handler: || post(resume),
    },
    Route {
        method: Method::POST,
        path: "/api/schedules/{name}/run",
        needs: Needs::Operator,
        about: "Put the task of a schedule into the queue now, also while it is paused",
        query: &[],
        takes: Takes::Nothing,
        gives: Gives::Of(&TASK),
        statuses: OK,
        refuses: &[404],
        handler: || post(run),
    },
];

async fn list(app: App, query: Query) -> Answer {
    let asked = query.clone();
    listed(&app, &query, "schedules", move |view| {
        let page = view.schedules().page(asked.cursor(), asked.limit()?)?;
        Ok(Listed::of(page, "schedules"))
    })
    .await
}

async fn one(app: App, Name(name): Name, query: Query) -> Answer {
    let name: ScheduleName = name.parse()?;
    read(&app, &query, move |view| {
        let missing = || Error::not_found(format!("there is no such schedule: schedule={name}"));
        let found = view.schedules().get(&name)?;
        found.ok_or_else(|| view.lost_or("schedules", name.as_str(), missing()))
    })
    .await
}

async fn add(app: App, Object(fields): Object) -> Answer {
    let new = NewSchedule::from_fields(fields.rest())?;
    change(&app, move |tx| tx.schedules().add(new)).await
}

async fn remove(app: App, Name(name): Name) -> Answer {
    let name: ScheduleName = name.parse()?;
    app.change(move |store| store.write(|tx| tx.schedules().remove(&name))).await?;
    Ok(Json(json!({"removed": true})).into_response())
}

async fn pause(app: App, Name(name): Name) -> Answer {
    let name: ScheduleName = name.parse()?;
    change(&app, move |tx| tx.schedules().pause(&name)).await
}

async fn resume(app: App, Name(name): Name) -> Answer {
    let name: ScheduleName = name.parse()?;
    change(&app, move |tx| tx.schedules().resume(&name)).await
}

async fn run(app: App, Name(name): Name) -> Answer {
    let name: ScheduleName = name.parse()?;
    let task = app.change(move |store| store.write(|tx| tx.schedules().run(&name))).await?;
    Ok(Json(task).into_response())
}

/// Changes a schedule, and shows it.
async fn change(app: &App, work: impl FnOnce(&mut WriteTx<'_>) -> Result<Schedule> + Send + 'static) -> Answer {
    let schedule = app.change(move |store| store.write(work)).await?;
    Ok(Json(schedule).into_response())
}
