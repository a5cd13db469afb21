//! `GET /backup-history`.

use axum::Json;
use serde_json::{Value, json};

use crate::face::http::app::App;
use crate::face::http::bodies::query::Query;
use crate::face::http::problem::Answer;
use crate::face::http::recovery::shape::Listed;
use crate::show_time;

/// How many are listed unless it is said.
const LIMIT: u64 = 100;

pub(super) async fn history(app: App, query: Query) -> Answer<Json<Value>> {
    let limit = usize::try_from(query.number("limit")?.unwrap_or(LIMIT)).unwrap_or(usize::MAX);
    let kind = query.get("backup_type").and_then(|kind| kind.parse().ok());
    app.read(move |store| {
        let backups: Vec<_> = store.backups(kind)?.into_iter().take(limit).map(Listed::from).collect();
        let timestamp = show_time(store.clock().now());
        Ok(Json(json!({"backups": backups, "count": backups.len(), "timestamp": timestamp})))
    })
    .await
}
