//! `/api/points` and `/api/undo`: going back, and forward again.

use axum::Json;
use axum::http::Method;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use serde_json::{Value, json};

use crate::face::http::app::App;
use crate::face::http::bodies::body::Object;
use crate::face::http::bodies::preview::{PREVIEW, Preview};
use crate::face::http::bodies::query::{Filling, Name, Query};
use crate::face::http::problem::Answer;
use crate::face::http::route::{CURSOR, Gives, LIMIT, NEXT, Needs, OK, Route, Takes};
use crate::face::http::shapes::{self, CHANGE, COUNTS_BY_COLLECTION, TAGS};
use crate::face::wire::field::FieldType::{Flag, List, Number, Of, Text};
use crate::face::wire::field::{Field, TEXTS, optional, required};
use crate::{DiffFilter, Epoch, Error, Point, PointRequest, RestoreOptions, RestorePlan, Result, Selector, Store};

/// The answer to whatever makes or changes a point.
const POINT: Gives = Gives::Of(&shapes::POINT);
/// The answer to a restore.
const RESTORED: Gives = Gives::Either(("the result", &shapes::RESTORED), ("the plan of a dry run", &shapes::PLAN));

/// A restore says which plan it follows.
const EXPECT: Field = optional(
    "expect",
    Text,
    "`state` of the plan: the request is refused (409) if the state in its part has changed since",
);

/// Points are weighed only if a request asks for it, since that reads all that changed up to the next point.
const SIZES: Field = optional("sizes", Flag, "also show the space that forgetting each one alone would free");

/// The routes.
pub(in crate::face::http) const ROUTES: &[Route] = &[
    Route {
        method: Method::GET,
        path: "/api/points",
        needs: Needs::Reader,
        about: "List the restore points, newest first",
        query: &[
            optional("all", Flag, "also list the points of restores, documents and single commits"),
            SIZES,
            LIMIT,
            CURSOR,
        ],
        takes: Takes::Nothing,
        gives: Gives::Fields(&[required("points", List(&Of(&shapes::POINT)), "the points"), NEXT]),
        statuses: OK,
        refuses: &[],
        handler: || get(list),
    },
    Route {
        method: Method::POST,
        path: "/api/points",
        needs: Needs::Operator,
        about: "Make a restore point of the live state",
        query: &[],
        takes: Takes::Fields(&[
            optional("description", Text, "free text"),
            optional("tags", TAGS, "object of strings"),
            optional("held", Flag, "whether to hold the point until it is released"),
        ]),
        gives: POINT,
        statuses: OK,
        refuses: &[507],
        handler: || post(make),
    },
    Route {
        method: Method::GET,
        path: "/api/points/{point}",
        needs: Needs::Reader,
        about: "Show the point that an id, latest, latest~3, '10m ago' or a time names",
        query: &[SIZES],
        takes: Takes::Nothing,
        gives: POINT,
        statuses: OK,
        refuses: &[404],
        handler: || get(one),
    },
    Route {
        method: Method::DELETE,
        path: "/api/points/{point}",
        needs: Needs::Operator,
        about: "Forget a point, and free what only it needs",
        query: &[],
        takes: Takes::Nothing,
        gives: POINT,
        statuses: OK,
        refuses: &[404, 409],
        handler: || delete(forget),
    },
    Route {
        method: Method::POST,
        path: "/api/points/{point}/hold",
        needs: Needs::Operator,
        about: "Hold a point until it is released",
        query: &[],
        takes: Takes::Nothing,
        gives: POINT,
        statuses: OK,
        refuses: &[404],
        handler: || post(hold),
    },
    Route {
        method: Method::POST,
        path: "/api/points/{point}/release",
        needs: Needs::Operator,
        about: "Release a held point, so that retention may forget it",
        query: &[],
        takes: Takes::Nothing,
        gives: POINT,
        statuses: OK,
        refuses: &[404],
        handler: || post(release),
    },
    Route {
        method: Method::POST,
        path: "/api/points/{point}/restore",
        needs: Needs::Operator,
        about: "Restore a point in one transaction that can be undone",
        query: &[],
        takes: Takes::Fields(&[
            optional("only", TEXTS, "collections to restore; all unless set"),
            optional("key", Text, "key of the only record to restore, in the one collection"),
            optional("dry_run", Flag, "whether to only plan it"),
            optional("verify", Flag, "whether to verify every record and every point first"),
            optional("keep_finished", Flag, "whether tasks that finished since stay finished"),
            optional("partial", Flag, "whether to restore what is left of a point of which a repair lost a part"),
            EXPECT,
        ]),
        gives: RESTORED,
        statuses: OK,
        refuses: &[404, 409],
        handler: || post(restore),
    },
    Route {
        method: Method::GET,
        path: "/api/points/{point}/diff",
        needs: Needs::Reader,
        about: "Show the changes from a point to another one, or to now",
        query: &[
            optional("to", Text, "the other point; now unless set"),
            optional("collection", Text, "list only records of this collection"),
            optional("prefix", Text, "list only records whose key begins with this text"),
            LIMIT,
            CURSOR,
            PREVIEW,
        ],
        takes: Takes::Nothing,
        gives: Gives::Fields(&[
            required("changes", List(&Of(&CHANGE)), "the records that differ"),
            required("counts", COUNTS_BY_COLLECTION, "numbers of all changes by collection"),
            required("total", Number, "number of all changes"),
            NEXT,
        ]),
        statuses: OK,
        refuses: &[404],
        handler: || get(diff),
    },
    Route {
        method: Method::POST,
        path: "/api/undo",
        needs: Needs::Operator,
        about: "Undo the last restore exactly; undoing an undo redoes it",
        query: &[],
        takes: Takes::Fields(&[
            optional("discard", Flag, "whether to undo even if records have changed since"),
            optional("dry_run", Flag, "whether to only plan it"),
            EXPECT,
        ]),
        gives: RESTORED,
        statuses: OK,
        refuses: &[404, 409],
        handler: || post(undo),
    },
];

async fn list(app: App, query: Query) -> Answer {
    let sizes = query.flag("sizes")?;
    let page = move |store: &Store| -> Result<Response> {
        let mut page = Filling::new(query.limit()?);
        let before = query.number("cursor")?.map_or(Epoch::NOW, Epoch);
        let points = if query.flag("all")? { store.all_points()? } else { store.points()? };
        for point in points.into_iter().filter(|point| point.epoch < before) {
            if page.add(point.epoch.0, &shown(store, point, sizes)?)?.is_break() {
                break;
            }
        }
        Ok(Json(page.named("points")).into_response())
    };
    if sizes { app.measure(page).await } else { app.show(page).await }
}

async fn make(app: App, Object(mut fields): Object) -> Answer {
    app.admit_point()?;
    let mut request = PointRequest::new(fields.text("description")?.unwrap_or_default()).held(fields.flag("held")?);
    for (name, value) in fields.tags("tags")? {
        request = request.tag(name, value);
    }
    fields.end()?;
    app.change_by(move |instance, store| Ok(Json(json!(instance.make_point(store, request)?)).into_response())).await
}

async fn one(app: App, Name(point): Name, query: Query) -> Answer {
    let (selector, sizes): (Selector, _) = (point.parse()?, query.flag("sizes")?);
    let one = move |store: &Store| -> Result<Response> {
        let now = || Error::invalid("now is not a restore point");
        let point = store.find_point(selector)?.ok_or_else(now)?;
        Ok(Json(shown(store, point, sizes)?).into_response())
    };
    if sizes { app.measure(one).await } else { app.read(one).await }
}

/// A point, with its size if that is asked for.
fn shown(store: &Store, point: Point, sizes: bool) -> Result<Value> {
    let mut shown = json!(point);
    if sizes {
        shown["frees"] = json!(store.point_size(&point)?);
    }
    Ok(shown)
}

/// A plan, with its text.
fn planned(plan: &RestorePlan) -> Response {
    let mut shown = json!(plan);
    shown["text"] = plan.to_string().into();
    Json(shown).into_response()
}

async fn hold(app: App, name: Name) -> Answer {
    act(app, name, |store, selector| store.hold(selector)).await
}

async fn release(app: App, name: Name) -> Answer {
    act(app, name, |store, selector| store.release(selector)).await
}

async fn act(
    app: App,
    Name(point): Name,
    work: impl FnOnce(&Store, Selector) -> Result<Point> + Send + 'static,
) -> Answer {
    let selector: Selector = point.parse()?;
    app.change(move |store| Ok(Json(json!(work(store, selector)?)).into_response())).await
}

async fn restore(app: App, Name(point): Name, Object(mut fields): Object) -> Answer {
    let selector: Selector = point.parse()?;
    let mut options = RestoreOptions::new().only(fields.list("only")?);
    options = options.verify(fields.flag("verify")?).keep_finished(fields.flag("keep_finished")?);
    options = options.partial(fields.flag("partial")?);
    if let Some(key) = fields.text("key")? {
        options = options.key(key);
    }
    if let Some(state) = fields.text("expect")? {
        options = options.expect(state);
    }
    let dry_run = fields.flag("dry_run")?;
    fields.end()?;
    if dry_run {
        return app.read(move |store| Ok(planned(&store.plan_restore(selector, options)?))).await;
    }
    app.change(move |store| Ok(Json(json!(store.restore(selector, options)?)).into_response())).await
}

async fn diff(app: App, Name(point): Name, query: Query) -> Answer {
    let (from, preview): (Selector, _) = (point.parse()?, Preview::of(&query)?);
    let to: Selector = query.parsed("to")?.unwrap_or(Selector::Now);
    let text = |name: &str| query.get(name).map(str::to_owned);
    let filter = DiffFilter { collection: text("collection"), prefix: text("prefix") };
    let shown = app.clone();
    app.show(move |store| {
        let mut page = store.diff_page((from, to), &filter, query.cursor(), query.limit()?)?;
        for change in &mut page.changes {
            shown.hide_tokens(&change.collection, Some(&change.key), &mut change.before);
            shown.hide_tokens(&change.collection, Some(&change.key), &mut change.after);
        }
        Ok(Json(preview.of_list(page, "changes", &["before", "after"])?).into_response())
    })
    .await
}

async fn forget(app: App, Name(point): Name) -> Answer {
    let selector: Selector = point.parse()?;
    app.change(move |store| {
        let gone = || Error::not_found("there is no such point");
        let forgotten = store.forget(&[selector])?.pop().ok_or_else(gone)?;
        Ok(Json(json!(forgotten)).into_response())
    })
    .await
}

async fn undo(app: App, Object(mut fields): Object) -> Answer {
    let (discard, dry_run) = (fields.flag("discard")?, fields.flag("dry_run")?);
    let expect = fields.text("expect")?;
    fields.end()?;
    if dry_run {
        return app.read(|store| Ok(planned(&store.plan_undo()?))).await;
    }
    app.change(move |store| {
        let plan = store.plan_undo()?;
        let plan = if discard { plan.discard() } else { plan };
        let plan = expect.into_iter().fold(plan, RestorePlan::expect);
        Ok(Json(json!(store.apply(&plan)?)).into_response())
    })
    .await
}
