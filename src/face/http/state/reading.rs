//! Reading the state, now or as of a point.

use axum::Json;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::face::http::app::App;
use crate::face::http::bodies::query::Query;
use crate::face::http::problem::Answer;
use crate::{Error, Resolved, Result, Selector, View, show_time};

/// The point of the response: its id, or the time of its commit.
const POINT: HeaderName = HeaderName::from_static("hivekeep-point");
/// The seconds from that point to the requested time.
const OFF: HeaderName = HeaderName::from_static("hivekeep-point-off-seconds");

/// Responds with the result of a read, as of the point in the query.
pub(super) async fn read<R: Serialize + Send + 'static>(
    app: &App,
    query: &Query,
    work: impl FnOnce(&View) -> Result<R> + Send + 'static,
) -> Answer {
    respond(app, query, |view| Ok(Json(work(view)?).into_response())).await
}

/// The same with a list of a collection, an object. It says whether a repair has lost records of it at the point.
pub(super) async fn list<R: Serialize + Send + 'static>(
    app: &App,
    query: &Query,
    collection: impl Into<String>,
    work: impl FnOnce(&View) -> Result<R> + Send + 'static,
) -> Answer {
    let collection = collection.into();
    respond(app, query, move |view| {
        let list = work(view)?;
        let Some(lost) = view.lost_of(&collection)? else { return Ok(Json(list).into_response()) };
        let wrong = |source| Error::invalid("a list cannot be shown as JSON").with_source(source);
        let mut text = serde_json::to_string(&list).map_err(wrong)?;
        // Not as a value, whose numbers would be written in another way.
        text.truncate(text.len().saturating_sub(1));
        text += &format!(",\"partial\":true,\"lost\":{}}}", serde_json::json!(lost));
        Ok(([(header::CONTENT_TYPE, "application/json")], text).into_response())
    })
    .await
}

/// Responds as of the point in the query.
async fn respond(app: &App, query: &Query, work: impl FnOnce(&View) -> Result<Response> + Send + 'static) -> Answer {
    let at = query.at()?;
    let (mut response, point) = app
        .show(move |store| {
            let now = store.view()?;
            if at == Selector::Now {
                return Ok((work(&now)?, None));
            }
            let resolved = now.resolve(&at)?;
            let view = store.view_at(resolved.epoch())?;
            Ok((work(&view)?, Some(resolved)))
        })
        .await?;
    if let Some(Resolved::Point { id, at, off, .. }) = point {
        let name = if id.is_empty() { show_time(at) } else { id };
        note(&mut response, POINT, &name);
        note(&mut response, OFF, &off.as_secs().to_string());
    }
    Ok(response)
}

fn note(response: &mut Response, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}
