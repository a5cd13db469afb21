//! `POST /mark-shutdown`.

use axum::Json;
use serde_json::{Value, json};

use crate::face::http::app::App;
use crate::face::http::problem::Answer;
use crate::show_time;

/// Ignores the body, as the replaced service did.
pub(super) async fn mark(app: App) -> Answer<Json<Value>> {
    // Not through `change`, which would take the mark back first.
    app.read(|store| {
        let timestamp = show_time(store.mark_shutdown()?);
        Ok(Json(json!({"success": true, "message": "Clean shutdown marked", "timestamp": timestamp})))
    })
    .await
}
