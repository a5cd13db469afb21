//! Reading the state, now or as of a point.

use axum::Json;
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::face::http::app::App;
use crate::face::http::problem::Answer;
use crate::face::http::query::Query;
use crate::{Resolved, Result, Selector, View, show_time};

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
    let at = query.at()?;
    let (mut response, point) = app
        .show(move |store| {
            let now = store.view()?;
            if at == Selector::Now {
                return Ok((Json(work(&now)?).into_response(), None));
            }
            let resolved = now.resolve(&at)?;
            let view = store.view_at(resolved.epoch())?;
            Ok((Json(work(&view)?).into_response(), Some(resolved)))
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
