//! `/api/collections`: every collection and record by name, now or as of a point.

use std::collections::BTreeMap;

use axum::http::Method;
use axum::routing::get;
use serde_json::{Value, json};

use crate::face::http::app::App;
use crate::face::http::preview::{PREVIEW, Preview};
use crate::face::http::problem::Answer;
use crate::face::http::query::{Listed, Name, Query};
use crate::face::http::route::Kind::{Any, List, Map, Of, Text};
use crate::face::http::route::{AT, CURSOR, Gives, LIMIT, NEXT, Needs, OK, Route, Shape, Takes, optional, required};
use crate::face::http::shapes::STATS;
use crate::face::http::state::reading::read;
use crate::{Error, KeyedPage, Stats};

const RECORD: Shape = Shape {
    name: "Record",
    about: "a record of any collection",
    base: None,
    fields: &[required("key", Text, "its key"), required("value", Any, "its value")],
};

/// The routes.
pub(in crate::face::http) const ROUTES: &[Route] = &[
    Route {
        method: Method::GET,
        path: "/api/collections",
        needs: Needs::Reader,
        about: "List the collections, built-in ones and your own, with their sizes",
        query: &[AT],
        takes: Takes::Nothing,
        gives: Gives::Fields(&[required("collections", Map(&Of(&STATS)), "statistics by name")]),
        statuses: OK,
        refuses: &[],
        handler: || get(collections),
    },
    Route {
        method: Method::GET,
        path: "/api/collections/{collection}",
        needs: Needs::Reader,
        about: "List the records of a collection by key",
        query: &[optional("prefix", Text, "only records whose key begins with this text"), LIMIT, CURSOR, AT, PREVIEW],
        takes: Takes::Nothing,
        gives: Gives::Fields(&[required("records", List(&Of(&RECORD)), "the records"), NEXT]),
        statuses: OK,
        refuses: &[404],
        handler: || get(records),
    },
    Route {
        method: Method::GET,
        path: "/api/collections/{collection}/{key}",
        needs: Needs::Reader,
        about: "Show a record of any collection",
        query: &[AT],
        takes: Takes::Nothing,
        gives: Gives::Of(&RECORD),
        statuses: OK,
        refuses: &[404],
        handler: || get(record),
    },
];

async fn collections(app: App, query: Query) -> Answer {
    read(&app, &query, |view| {
        let collections: BTreeMap<String, Stats> = view.collections()?;
        Ok(json!({ "collections": collections }))
    })
    .await
}

async fn records(app: App, Name(collection): Name, query: Query) -> Answer {
    let (asked, preview, caller) = (query.clone(), Preview::of(&query)?, app.clone());
    read(&app, &query, move |view| {
        let prefix = asked.get("prefix").unwrap_or_default();
        let page = view.records_page(&collection, prefix, asked.cursor(), asked.limit()?)?;
        let items = page
            .items
            .into_iter()
            .map(|record| preview.of_item(shown(&caller, &collection, record), &["value"]))
            .collect();
        Ok(Listed::of(KeyedPage { items, next: page.next }, "records"))
    })
    .await
}

async fn record(app: App, Name((collection, key)): Name<(String, String)>, query: Query) -> Answer {
    let caller = app.clone();
    read(&app, &query, move |view| {
        let missing = || {
            let (collection, key) = (collection.escape_debug(), key.escape_debug());
            Error::not_found(format!("there is no such record: collection={collection} key={key}"))
        };
        let value = view.record(&collection, &key)?.ok_or_else(|| view.lost_or(&collection, &key, missing()))?;
        Ok(shown(&caller, &collection, (key, value)))
    })
    .await
}

/// Moves the value: `json!` would write its numbers in another way.
fn shown(caller: &App, collection: &str, (key, mut value): (String, Value)) -> Value {
    if collection == "queue" {
        caller.hide_token_in(&mut value);
    }
    let mut record = json!({ "key": key });
    record["value"] = value;
    record
}
