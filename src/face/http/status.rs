//! `GET /status`: what the store holds.

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use serde::Serialize;

use crate::engine::store::Store;
use crate::face::http::blocking;
use crate::face::http::problem::Problem;
use crate::face::summary::Summary;

/// What the store holds, in numbers.
#[derive(Debug, Serialize)]
pub(super) struct Status {
    #[serde(with = "crate::clock::time")]
    timestamp: Timestamp,
    total_restore_points: u64,
    total_bots: u64,
    total_tasks: u64,
}

pub(super) async fn status(State(store): State<Store>) -> Result<Json<Status>, Problem> {
    blocking(store, |store| {
        let summary = Summary::of(store)?;
        Ok(Json(Status {
            timestamp: store.clock().now(),
            total_restore_points: summary.points.total,
            total_bots: summary.count("registry"),
            total_tasks: summary.count("queue"),
        }))
    })
    .await
}
