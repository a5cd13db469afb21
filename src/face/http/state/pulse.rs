//! `/api/pulse` and `/api/timeline`: whether to look again, and the points along a time axis.

use axum::Json;
use axum::http::Method;
use axum::response::IntoResponse;
use axum::routing::get;
use serde_json::json;

use crate::face::http::app::App;
use crate::face::http::bodies::query::{Filling, Query};
use crate::face::http::problem::Answer;
use crate::face::http::route::{CURSOR, Gives, LIMIT, NEXT, Needs, OK, Route, Takes};
use crate::face::http::shapes::TAGS;
use crate::face::wire::field::FieldType::{Flag, List, Map, Number, Of, Text, Time, Word};
use crate::face::wire::field::{Shape, nullable, optional, required};
use crate::{Epoch, Error, parse_time};

/// Number of parts of a timeline unless set.
const PARTS: usize = 200;

const BRIEF_POINT: Shape = Shape {
    name: "BriefPoint",
    about: "a restore point without the statistics of its content",
    base: None,
    fields: &[
        required("point", Text, "the text that names it: its id, or `epoch 7` for the point of a single commit"),
        required("epoch", Number, "number of the epoch that it sealed"),
        required("timestamp", Time, "time at which it was made"),
        nullable(
            "origin",
            Word(|| vec!["live", "documents", "adopted", "safety"]),
            "origin of the point; null for that of a single commit",
        ),
        required("manual", Flag, "whether a client or a person asked for it, and not a schedule"),
        required("description", Text, "free text of its creator"),
        required("tags", TAGS, "tags as given"),
        required("held", Flag, "whether it is held, so that retention never forgets it"),
        required("partial", Flag, "whether a repair could not recover all of it"),
    ],
};

const BUCKET: Shape = Shape {
    name: "TimelineBucket",
    about: "the numbers of points in one part of a timeline",
    base: None,
    fields: &[
        required("part", Number, "number of the part, from 0"),
        required("manual", Number, "points of live state that were requested"),
        required("automatic", Number, "points of live state that a scheduler made"),
        required("safety", Number, "points that restores made"),
        required("documents", Number, "points of documents, and adopted ones"),
        required("commits", Number, "points of single commits"),
        required("held", Number, "held points among these"),
    ],
};

/// The routes.
pub(in crate::face::http) const ROUTES: &[Route] = &[
    Route {
        method: Method::GET,
        path: "/api/pulse",
        needs: Needs::Reader,
        about: "Tell in a few numbers whether anything has changed",
        query: &[],
        takes: Takes::Nothing,
        gives: Gives::Fields(&[
            required("state", Text, "opaque token; changes with any record, point, event or audit entry"),
            required("timestamp", Time, "time of the store's clock"),
            required("tasks", Map(&Number), "number of tasks by state"),
            required("bots", Number, "number of registered bots"),
            required("points", Number, "number of retained points, without those of single commits"),
            nullable("latest", Of(&BRIEF_POINT), "the newest point of live state"),
            required("last_event", Number, "number of the newest event"),
            required("last_audit", Number, "number of the newest audit entry"),
            nullable("crash", Number, "session of the newest crash that is not acknowledged"),
        ]),
        statuses: OK,
        refuses: &[],
        handler: || get(pulse),
    },
    Route {
        method: Method::GET,
        path: "/api/timeline",
        needs: Needs::Reader,
        about: "Count the restore points in equal parts of a stretch of time",
        query: &[
            optional("from", Time, "its beginning; the oldest point unless set"),
            optional("to", Time, "its end; now unless set"),
            optional("limit", Number, "number of equal parts; 200 unless set, at most 2,000"),
        ],
        takes: Takes::Nothing,
        gives: Gives::Fields(&[
            required("from", Time, "its beginning"),
            required("to", Time, "its end"),
            required("parts", Number, "number of equal parts"),
            required("buckets", List(&Of(&BUCKET)), "the parts with points in them, in order"),
        ]),
        statuses: OK,
        refuses: &[],
        handler: || get(timeline),
    },
    Route {
        method: Method::GET,
        path: "/api/timeline/points",
        needs: Needs::Reader,
        about: "List the restore points in short, newest first",
        query: &[
            optional("all", Flag, "also list the points of restores, documents and single commits"),
            LIMIT,
            CURSOR,
        ],
        takes: Takes::Nothing,
        gives: Gives::Fields(&[required("points", List(&Of(&BRIEF_POINT)), "the points"), NEXT]),
        statuses: OK,
        refuses: &[],
        handler: || get(points),
    },
];

async fn pulse(app: App) -> Answer {
    app.read(|store| Ok(Json(json!(store.pulse()?)).into_response())).await
}

async fn timeline(app: App, query: Query) -> Answer {
    let time = |name: &str| {
        let wrong =
            |_| Error::invalid(format!("query parameter must be a time such as 2026-01-02T03:04:05Z: name={name}"));
        query.get(name).map(|text| parse_time(text).map_err(wrong)).transpose()
    };
    let (from, to) = (time("from")?, time("to")?);
    let parts = query.limit_or(PARTS)?;
    app.show(move |store| Ok(Json(json!(store.timeline(from, to, parts)?)).into_response())).await
}

async fn points(app: App, query: Query) -> Answer {
    let (limit, before, all) = (query.limit()?, query.number("cursor")?.map(Epoch), query.flag("all")?);
    app.show(move |store| {
        let mut page = Filling::new(limit);
        for point in store.brief_points(before, all, limit + 1)? {
            if page.add(point.epoch.0, &point)?.is_break() {
                break;
            }
        }
        Ok(Json(page.named("points")).into_response())
    })
    .await
}
