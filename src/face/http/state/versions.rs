//! `/api/versions/{collection}/{key}`: the history of a record.

use std::collections::BTreeMap;

use axum::Json;
use axum::http::Method;
use axum::response::IntoResponse;
use axum::routing::get;

use crate::face::http::app::App;
use crate::face::http::bodies::query::{Name, Query};
use crate::face::http::problem::Answer;
use crate::face::http::route::{Gives, LIMIT, Needs, OK, Route, Takes};
use crate::face::http::shapes::VERSION;
use crate::face::wire::field::FieldType::{List, Of};
use crate::face::wire::field::required;

/// The routes.
pub(in crate::face::http) const ROUTES: &[Route] = &[Route {
    method: Method::GET,
    path: "/api/versions/{collection}/{key}",
    needs: Needs::Reader,
    about: "List the versions of a record, newest first, with their points and authors",
    query: &[LIMIT],
    takes: Takes::Nothing,
    gives: Gives::Fields(&[required("versions", List(&Of(&VERSION)), "the versions")]),
    statuses: OK,
    refuses: &[404],
    handler: || get(versions),
}];

async fn versions(app: App, Name((collection, key)): Name<(String, String)>, query: Query) -> Answer {
    let limit = query.limit()?;
    let shown = app.clone();
    app.show(move |store| {
        let mut versions = store.view()?.versions(&collection, &key, limit)?;
        versions.iter_mut().for_each(|version| shown.hide_tokens(&collection, None, &mut version.value));
        // A conversion to a value would write numbers in another way.
        Ok(Json(BTreeMap::from([("versions", versions)])).into_response())
    })
    .await
}
