//! `/api/doctor`, `/api/crash/ack` and `/api/service`: whether the data would come back, that a crash was
//! seen, and how the service runs.

use axum::Json;
use axum::http::Method;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use serde_json::json;

use crate::face::http::app::App;
use crate::face::http::problem::Answer;
use crate::face::http::route::{Gives, Needs, OK, Route, Takes};
use crate::face::wire::field::FieldType::{List, Map, Number, Of, Text, Time, Word};
use crate::face::wire::field::{FieldType, Shape, TEXTS, nullable, required};

const VERDICT: FieldType = Word(|| vec!["ok", "warn", "bad"]);

const LINE: Shape = Shape {
    name: "DiagnosisLine",
    about: "the finding about one topic",
    base: None,
    fields: &[
        required("topic", Text, "the topic in one word"),
        required("verdict", VERDICT, "ok; warn: data is at risk; bad: data is damaged"),
        required("what", Text, "the observation"),
        nullable("advice", Text, "the next step; null if all is well"),
    ],
};

/// The routes.
pub(in crate::face::http) const ROUTES: &[Route] = &[
    Route {
        method: Method::GET,
        path: "/api/doctor",
        needs: Needs::Reader,
        about: "Diagnose whether the data would come back right now; verifies about 20,000 rows",
        query: &[],
        takes: Takes::Nothing,
        gives: Gives::Fields(&[
            required("verdict", VERDICT, "the worst verdict of all lines"),
            required("lines", List(&Of(&LINE)), "the topics"),
            nullable(
                "restorable_until",
                Time,
                "the moment up to which everything would come back from the replica; null without one, and where that \
                 is not known",
            ),
        ]),
        statuses: OK,
        refuses: &[],
        handler: || get(doctor),
    },
    Route {
        method: Method::GET,
        path: "/api/service",
        needs: Needs::Reader,
        about: "Show the settings of the service, and the bots that wait in it for a task",
        query: &[],
        takes: Takes::Nothing,
        gives: Gives::Fields(&[
            required("settings", Map(&Text), "the settings that are set, by name, without passwords"),
            required("waiting", TEXTS, "the bots that wait, by name"),
        ]),
        statuses: OK,
        refuses: &[],
        handler: || get(service),
    },
    Route {
        method: Method::POST,
        path: "/api/crash/ack",
        needs: Needs::Operator,
        about: "Acknowledge all crashes that were seen",
        query: &[],
        takes: Takes::Nothing,
        gives: Gives::Fields(&[required("acknowledged", Number, "number of crashes")]),
        statuses: OK,
        refuses: &[],
        handler: || post(acknowledge),
    },
];

async fn doctor(app: App) -> Answer {
    app.look_through(|instance, _| Ok(Json(json!(instance.diagnose()?)).into_response())).await
}

async fn service(app: App) -> Answer {
    let live = app.live();
    let waiting = app.call(|instance, _| Ok(instance.waiting_bots())).await?;
    Ok(Json(json!({ "settings": live.settings, "waiting": waiting })).into_response())
}

async fn acknowledge(app: App) -> Answer {
    let acknowledged = app.change(|store| store.acknowledge_crashes()).await?;
    Ok(Json(json!({ "acknowledged": acknowledged })).into_response())
}
