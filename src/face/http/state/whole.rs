//! `/api/summary`, `/api/sizes`, `/api/backups`, `/api/policy`, `/api/queue-memory` and `/api/forget`: the store as a
//! whole, and the rules by which it forgets.

use axum::Json;
use axum::http::Method;
use axum::response::IntoResponse;
use axum::routing::{get, post, put};
use serde_json::{Value, json};

use crate::face::http::app::App;
use crate::face::http::bodies::body::Object;
use crate::face::http::bodies::query::{Listed, Query};
use crate::face::http::problem::Answer;
use crate::face::http::route::{CURSOR, Gives, LIMIT, NEXT, Needs, OK, Route, Takes};
use crate::face::http::shapes::{self, STATS};
use crate::face::wire::field::FieldType::{Flag, List, Map, Number, Object as JsonObject, Of, Text};
use crate::face::wire::field::{Field, Shape, TEXTS, nullable, optional, required};
use crate::service::instance::Instance;
use crate::{Error, Kind, Point, Policy, Result, Selector, Store};

const POINT_TOTALS: Shape = Shape {
    name: "PointTotals",
    about: "the numbers of restore points",
    base: None,
    fields: &[
        required("total", Number, "manual and automatic points of live state"),
        required("others", Number, "points of documents, of restores and of single commits"),
        nullable("latest", Of(&shapes::POINT), "the point that latest names"),
    ],
};

const OUTSIDE_COPY: Shape = Shape {
    name: "OutsideCopy",
    about: "the copy that would remain if the file were lost",
    base: None,
    fields: &[
        nullable("last", Of(&shapes::LAST_ARCHIVE), "the newest automatic archive"),
        nullable("exported", Text, "the newest archive of the whole store, if it was made by hand; null otherwise"),
        nullable("same_file_system", Flag, "whether it is on the file system of the store; null if unknown"),
        nullable("changed_since", Flag, "whether the state has changed since; null without an archive"),
        nullable("warning", Text, "the risk of losing state; null while a copy is safe"),
    ],
};

const SCHEDULE_TOTALS: Shape = Shape {
    name: "ScheduleTotals",
    about: "the number of schedules",
    base: None,
    fields: &[
        required("total", Number, "all of them"),
        required("paused", Number, "those that are paused"),
        required("overdue", Number, "those whose due time is more than a minute old"),
        required("silent", Number, "those that a clock that was ahead has moved ahead"),
    ],
};

const SEEN_CRASH: Shape = Shape {
    name: "SeenCrash",
    about: "a crash that nobody has acknowledged",
    base: None,
    fields: &[
        required("session", JsonObject, "the session that crashed"),
        required("reason", Text, "process_died or stale_marker"),
        nullable("restore_point", Text, "the newest restore point; a crash alone is no reason to restore it"),
        required("tasks_returned", Number, "claimed tasks of the process that became ready again"),
    ],
};

const STATUS: Gives = Gives::Fields(&[
    required("store", Text, "the path of the file"),
    required("file_bytes", Number, "the size of the file"),
    required("collections", Map(&Of(&STATS)), "statistics by name"),
    required("documents", Number, "number of documents; each of them is a record for each of its elements"),
    required("tasks", Map(&Number), "number of tasks by state"),
    required("schedules", Of(&SCHEDULE_TOTALS), "the schedules"),
    required("points", Of(&POINT_TOTALS), "the restore points"),
    required("archive", Of(&OUTSIDE_COPY), "the newest automatic archive"),
    nullable("crash", Of(&SEEN_CRASH), "the newest crash that nobody has acknowledged"),
    nullable("last_drill", Of(&shapes::DRILL), "the last drill"),
    nullable("log", Of(&shapes::LOG), "the write-ahead log; null where commits go into the file"),
    nullable(
        "replica",
        JsonObject,
        "the replica: how far it is behind, the last verification and drill; null without one",
    ),
]);

const WEIGHT: Shape = Shape {
    name: "Weight",
    about: "the size of a part of the store",
    base: None,
    fields: &[required("rows", Number, "number of rows"), required("bytes", Number, "bytes of their keys and values")],
};

const SIZES: Gives = Gives::Fields(&[
    required("live", Of(&WEIGHT), "the current records, including their long values"),
    required("history", Of(&WEIGHT), "rows that forgetting every restore point would free"),
    required("free_bytes", Number, "bytes of the file without a row"),
    required("readers", TEXTS, "processes that keep a view open for long"),
]);

const FULL_BACKUP: Shape = Shape {
    name: "FullBackup",
    about: "a backup with all known facts about it",
    base: Some(&shapes::BACKUP),
    fields: &[
        nullable("file_checksum", Text, "for an adopted file whose bytes differ from its checksum's text: its SHA-256"),
        nullable("original_time", Text, "for an adopted backup: its time as the other program wrote it"),
        required("epoch", Number, "number of the epoch of the point that holds its content"),
    ],
};

const POLICY: &[Field] = &[
    nullable("policy", JsonObject, "the rules; null: nothing is forgotten"),
    nullable("set", JsonObject, "the program that set them, and the time; null while the defaults apply"),
];

const POLICY_SET: &[Field] = &[
    nullable("policy", JsonObject, "the rules; null: nothing is forgotten"),
    nullable("set", JsonObject, "the program that set them, and the time; null while the defaults apply"),
    required("changed", Flag, "whether the rules differ from those before"),
];

const MEMORY: Gives = Gives::Fields(&[
    required("count", Number, "number of purged tasks that are remembered"),
    required("keep_ms", Number, "time for which each is remembered after its purge, in milliseconds"),
    required("most", Number, "maximum number of them"),
]);

/// The routes.
pub(in crate::face::http) const ROUTES: &[Route] = &[
    Route {
        method: Method::GET,
        path: "/api/summary",
        needs: Needs::Reader,
        about: "Show the content of the store in numbers",
        query: &[],
        takes: Takes::Nothing,
        gives: STATUS,
        statuses: OK,
        refuses: &[],
        handler: || get(status),
    },
    Route {
        method: Method::GET,
        path: "/api/sizes",
        needs: Needs::Reader,
        about: "Measure the live records, what only restore points need, and free space, by reading everything",
        query: &[],
        takes: Takes::Nothing,
        gives: SIZES,
        statuses: OK,
        refuses: &[],
        handler: || get(sizes),
    },
    Route {
        method: Method::GET,
        path: "/api/backups",
        needs: Needs::Reader,
        about: "List the backups with all known facts about them, newest first",
        query: &[optional("kind", Text, "only this kind: registry, queue, bot_assignments or full"), LIMIT, CURSOR],
        takes: Takes::Nothing,
        gives: Gives::Fields(&[required("backups", List(&Of(&FULL_BACKUP)), "the backups"), NEXT]),
        statuses: OK,
        refuses: &[],
        handler: || get(backups),
    },
    Route {
        method: Method::GET,
        path: "/api/policy",
        needs: Needs::Reader,
        about: "Show the retention policy of the store",
        query: &[],
        takes: Takes::Nothing,
        gives: Gives::Fields(POLICY),
        statuses: OK,
        refuses: &[],
        handler: || get(policy),
    },
    Route {
        method: Method::PUT,
        path: "/api/policy",
        needs: Needs::Admin,
        about: "Set the retention policy of the store; it applies from the next retention on",
        query: &[],
        takes: Takes::Fields(&[
            nullable("policy", JsonObject, "all rules, as GET shows them; null: forget nothing"),
            optional("by", Text, "the program that sets them; the service unless set"),
        ]),
        gives: Gives::Fields(POLICY_SET),
        statuses: OK,
        refuses: &[],
        handler: || put(set_policy),
    },
    Route {
        method: Method::GET,
        path: "/api/queue-memory",
        needs: Needs::Reader,
        about: "Show how many purged tasks are remembered, and the limits",
        query: &[],
        takes: Takes::Nothing,
        gives: MEMORY,
        statuses: OK,
        refuses: &[],
        handler: || get(memory),
    },
    Route {
        method: Method::PUT,
        path: "/api/queue-memory",
        needs: Needs::Admin,
        about: "Set the limits of the memory of purged tasks",
        query: &[],
        takes: Takes::Fields(&[
            optional("keep_ms", Number, "time for which each is remembered; as before unless set"),
            optional("most", Number, "maximum number of them; as before unless set"),
        ]),
        gives: MEMORY,
        statuses: OK,
        refuses: &[],
        handler: || put(set_memory),
    },
    Route {
        method: Method::POST,
        path: "/api/forget",
        needs: Needs::Operator,
        about: "Forget several restore points in one transaction, all of them or none",
        query: &[],
        takes: Takes::Fields(&[
            required("points", TEXTS, "the points, each an id, latest, latest~3, a time, or '10m ago'"),
            optional("dry_run", Flag, "whether to only show them"),
        ]),
        gives: Gives::Fields(&[required("points", List(&Of(&shapes::POINT)), "the points")]),
        statuses: OK,
        refuses: &[409],
        handler: || post(forget),
    },
];

async fn status(app: App) -> Answer {
    let answer =
        |instance: &Instance, store: &Store| Ok(Json(json!(store.summary_with(instance.replica()?)?)).into_response());
    app.look_through(answer).await
}

async fn sizes(app: App) -> Answer {
    app.measure(|store| Ok(Json(json!(store.weigh()?)).into_response())).await
}

async fn backups(app: App, query: Query) -> Answer {
    let kind: Option<Kind> = query.parsed("kind")?;
    app.show(move |store| {
        let page = store.backups_page(kind, query.cursor(), query.limit()?)?;
        Ok(Json(Listed::of(page, "backups")).into_response())
    })
    .await
}

async fn policy(app: App) -> Answer {
    app.read(|store| Ok(Json(json!(store.policy()?)).into_response())).await
}

async fn set_policy(app: App, Object(mut fields): Object) -> Answer {
    let (rules, by) = (fields.required_value("policy")?, fields.text("by")?);
    fields.end()?;
    let by = by.unwrap_or_else(|| "hivekeep serve".to_owned());
    let policy = match rules {
        Value::Null => None,
        rules => Some(serde_json::from_value::<Policy>(rules).map_err(wrong_rules)?),
    };
    app.change(move |store| {
        let changed = store.set_policy(policy, &by)?;
        let mut shown = json!(store.policy()?);
        shown["changed"] = changed.into();
        Ok(Json(shown).into_response())
    })
    .await
}

fn wrong_rules(error: serde_json::Error) -> Error {
    Error::invalid(format!("the rules cannot be read ({error}): field=policy"))
}

async fn memory(app: App) -> Answer {
    app.read(|store| Ok(Json(json!(store.view()?.queue().memory()?)).into_response())).await
}

async fn set_memory(app: App, Object(mut fields): Object) -> Answer {
    let (keep, most) = (fields.millis("keep_ms")?, fields.number("most")?);
    fields.end()?;
    app.change(move |store| {
        let memory = store.write(|tx| tx.queue().change_memory(keep, most))?;
        Ok(Json(json!(memory)).into_response())
    })
    .await
}

async fn forget(app: App, Object(mut fields): Object) -> Answer {
    let (points, dry_run) = (fields.list("points")?, fields.flag("dry_run")?);
    fields.end()?;
    let points = points.iter().map(|point| point.parse()).collect::<Result<Vec<Selector>>>()?;
    if points.is_empty() {
        return Err(Error::invalid("name at least one point: field=points").into());
    }
    let answer = |points: Vec<Point>| Json(json!({ "points": points })).into_response();
    if dry_run {
        return app.read(move |store| named(store, &points).map(answer)).await;
    }
    app.change(move |store| store.forget(&points).map(answer)).await
}

fn named(store: &Store, points: &[Selector]) -> Result<Vec<Point>> {
    let now = || Error::invalid("now is no restore point; name one");
    points.iter().map(|point| store.find_point(point)?.ok_or_else(now)).collect()
}
