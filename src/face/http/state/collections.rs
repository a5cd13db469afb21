//! `/api/collections`: every collection and record by name, now or as of a point.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::FromRequestParts;
use axum::http::Method;
use axum::http::request::Parts;
use axum::response::IntoResponse;
use axum::routing::{delete, get, patch, put};
use serde_json::{Value, json};

use crate::face::http::app::App;
use crate::face::http::bodies::body::{Json as Given, Object as Changed};
use crate::face::http::bodies::condition::Condition;
use crate::face::http::bodies::preview::{PREVIEW, Preview};
use crate::face::http::bodies::query::{Listed, Name, PAGE_BYTES, Query};
use crate::face::http::problem::{Answer, Problem};
use crate::face::http::route::{AT, CURSOR, Gives, LIMIT, LOST, NEXT, Needs, OK, PARTIAL, Route, Takes};
use crate::face::http::shapes::STATS;
use crate::face::http::state::reading::{list, read};
use crate::face::wire::field::FieldType::{Any, Flag, List, Map, Object, Of, Text};
use crate::face::wire::field::{Shape, TEXTS, optional, required};
use crate::{DocumentId, Error, ErrorKind, KeyedPage, RecordChanges, Result, Stats, View, WriteTx};

/// The heaviest document that is shown, counted as `get_within` does: about its memory as a value.
const DOCUMENT_WEIGHT: usize = 256 << 20;
/// The number of documents that a page looks at.
const DOCUMENTS_LOOKED: usize = 10_000;

const RECORD: Shape = Shape {
    name: "Record",
    about: "a record of any collection",
    base: None,
    fields: &[required("key", Text, "its key"), required("value", Any, "its value")],
};

/// The name of a record to change.
struct Place {
    collection: String,
    key: String,
}

impl FromRequestParts<App> for Place {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let Name((collection, key)) = Name::from_request_parts(parts, app).await?;
        Ok(Self { collection, key })
    }
}

/// The name of a record that was changed.
const PLACE: Gives = Gives::Fields(&[required("collection", Text, "its collection"), required("key", Text, "its key")]);

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
        gives: Gives::Fields(&[required("records", List(&Of(&RECORD)), "the records"), NEXT, PARTIAL, LOST]),
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
    Route {
        method: Method::PATCH,
        path: "/api/collections/{collection}",
        needs: Needs::Operator,
        about: "Change many records of the config, or of a collection of your own, all of them or none",
        query: &[],
        takes: Takes::Fields(&[
            optional("clear", Flag, "whether every record is removed first"),
            optional("put", Object, "values to set, by key; the first one creates a collection"),
            optional("put_new", Object, "values to set where there is no value yet, by key"),
            optional("remove", TEXTS, "keys to remove"),
        ]),
        gives: Gives::Fields(&[required("before", Object, "the values that the keys of put_new and remove had")]),
        statuses: OK,
        refuses: &[],
        handler: || patch(change),
    },
    Route {
        method: Method::PUT,
        path: "/api/collections/{collection}/{key}",
        needs: Needs::Operator,
        about: "Put a record: a bot, a value of the configuration, a document KIND/SOURCE, or one of your own collection",
        query: &[],
        takes: Takes::Any("the record"),
        gives: PLACE,
        statuses: OK,
        refuses: &[412],
        handler: || put(put_record),
    },
    Route {
        method: Method::DELETE,
        path: "/api/collections/{collection}/{key}",
        needs: Needs::Operator,
        about: "Remove a record that can be put",
        query: &[],
        takes: Takes::Nothing,
        gives: PLACE,
        statuses: OK,
        refuses: &[404, 412],
        handler: || delete(remove_record),
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
    list(&app, &query, collection.clone(), move |view| {
        let prefix = asked.get("prefix").unwrap_or_default();
        let (cursor, limit) = (asked.cursor(), asked.limit()?);
        let page = match collection.as_str() {
            "documents" => documents(view, prefix, cursor, limit)?,
            name => view.records_page(name, prefix, cursor, limit)?,
        };
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
        let value = match collection.as_str() {
            "documents" => {
                let id: DocumentId = key.parse()?;
                view.documents().get_within(&id, DOCUMENT_WEIGHT)?
            }
            name => view.record(name, &key)?,
        };
        let value = value.ok_or_else(|| view.lost_or(&collection, &key, missing()))?;
        Ok(shown(&caller, &collection, (key, value)))
    })
    .await
}

async fn change(app: App, Name(collection): Name, Changed(mut fields): Changed) -> Answer {
    let changes = RecordChanges {
        clear: fields.flag("clear")?,
        put: fields.object("put")?,
        put_new: fields.object("put_new")?,
        remove: fields.list("remove")?,
    };
    fields.end()?;
    let before = app.change(move |store| store.write(|tx| tx.change_records(&collection, &changes))).await?;
    Ok(Json(json!({"before": before})).into_response())
}

/// A page of whole documents, each of which the store keeps as many records. Each ends a page that is already long.
fn documents(view: &View, prefix: &str, cursor: Option<&str>, limit: usize) -> Result<KeyedPage<(String, Value)>> {
    let (mut items, mut bytes, mut last) = (Vec::new(), 0, None);
    let behind: Option<DocumentId> = cursor.map(str::parse).transpose()?;
    let documents = view.documents();
    for (looked, id) in documents.list_behind(behind.as_ref()).enumerate() {
        let id = id?;
        let name = id.to_string();
        if items.len() == limit || bytes >= PAGE_BYTES || looked == DOCUMENTS_LOOKED {
            return Ok(KeyedPage { items, next: last });
        }
        if name.starts_with(prefix) {
            let document = match documents.get_within(&id, DOCUMENT_WEIGHT) {
                // In a list it is shortened like any long value, so that the list goes on behind it.
                Err(error) if error.kind() == ErrorKind::Invalid => Some(json!({"…": error.to_string()})),
                document => document?,
            };
            if let Some(document) = document {
                bytes += document.to_string().len();
                items.push((name.clone(), document));
            }
        }
        last = Some(name);
    }
    Ok(KeyedPage { items, next: None })
}

async fn put_record(app: App, place: Place, condition: Condition, Given(value): Given) -> Answer {
    changed(app, place, condition, move |tx, Place { collection, key }| tx.put_record(collection, key, &value)).await
}

async fn remove_record(app: App, place: Place, condition: Condition) -> Answer {
    changed(app, place, condition, |tx, Place { collection, key }| {
        if tx.remove_record(collection, key)? {
            return Ok(());
        }
        let (collection, key) = (collection.escape_debug(), key.escape_debug());
        Err(Error::not_found(format!("no such record: collection={collection} key={key}")))
    })
    .await
}

/// Changes a record if its conditions hold. Only the values of the configuration have an `ETag`.
async fn changed(
    app: App,
    place: Place,
    condition: Condition,
    change: impl FnOnce(&mut WriteTx<'_>, &Place) -> Result<()> + Send + 'static,
) -> Answer {
    if place.collection != "config" {
        condition.refuse_any()?;
    }
    let (refusal, shown) = (condition.refusal(), json!({"collection": place.collection, "key": place.key}));
    let done = app.change(move |store| store.write(|tx| condition.change(tx, &place.key, |tx| change(tx, &place))));
    done.await?.ok_or(refusal)?;
    Ok(Json(shown).into_response())
}

/// Moves the value: `json!` would write its numbers in another way.
fn shown(caller: &App, collection: &str, (key, mut value): (String, Value)) -> Value {
    caller.hide_tokens(collection, None, &mut value);
    let mut record = json!({ "key": key });
    record["value"] = value;
    record
}
